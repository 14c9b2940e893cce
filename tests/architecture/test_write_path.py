"""There is one write path: which files may load and save, and which names are gone."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
PRODUCT: Final = ("core", "adapters", "entrypoints")
NAMES: Final = Path(__file__).with_name("public_names.txt")
GONE: Final = {
    "ApplyEvents",
    "BeginIntent",
    "Books",
    "ChangedElsewhere",
    "EventIntake",
    "GroupCommit",
    "OpenUnitOfWork",
    "UnitOfWork",
    "books_on",
    "hold",
    "posting",
}


def modules() -> Iterator[tuple[Path, ast.Module]]:
    for member in PRODUCT:
        for path in sorted((ROOT / member).rglob("*.py")):
            yield path, ast.parse(path.read_text())


def callers_of(method: str) -> set[str]:
    """Return the files that call a method of something named `ledger`."""
    found = set()
    for path, module in modules():
        for node in ast.walk(module):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr == method
                and ast.unparse(node.func.value).split(".")[-1] in {"ledger", "_ledger"}
            ):
                found.add(path.name)
    return found


@pytest.mark.parametrize("method", ["load", "save"])
def test_two_use_cases_alone_load_and_save(method: str) -> None:
    """
    All other code that learns something produces facts.
    """
    assert callers_of(method) == {"execute_operation.py", "record_facts.py"}


def test_what_one_write_path_replaced_is_gone() -> None:
    """
    No name of the unit of work, of the books, or of group commit is left.
    """
    names = {
        name
        for _, module in modules()
        for node in ast.walk(module)
        for name in (
            getattr(node, "id", None),
            getattr(node, "attr", None),
            getattr(node, "name", None),
        )
        if isinstance(name, str)
    }
    assert names & GONE == set()


def test_the_public_names_and_their_signatures_are_as_they_were_agreed() -> None:
    """
    A change to what importers rely on is made on purpose: see `public_names.py`.
    """
    script = NAMES.with_suffix(".py")
    printed = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, check=True
    ).stdout
    assert printed == NAMES.read_text()


@pytest.mark.parametrize(
    "package", ["decide", "facts", "jobs", "operations", "ports", "use_cases"]
)
def test_each_package_of_the_core_can_be_imported_first(package: str) -> None:
    """
    Whatever an importer needs, in whatever order.
    """
    done = subprocess.run(
        [sys.executable, "-c", f"import payments_core.{package}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
