"""The errors that a docstring promises exist."""

import ast
import builtins
import re
from collections.abc import Iterator
from functools import cache, cached_property
from pathlib import Path
from typing import Final

import attrs
import pytest

ROOT: Final = Path(__file__).parents[2]
MEMBERS: Final = (
    "core",
    "adapters",
    "adapters/client",
    "entrypoints/sandbox",
    "entrypoints/service",
)
ERRORS: Final = ROOT / "core" / "payments_core" / "errors.py"


@attrs.frozen
class Module:
    """A module of ours: its path, and its code, which only a test needs to parse."""

    path: Path

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.path.read_text())

    def classes(self) -> set[str]:
        return {it.name for it in ast.walk(self.tree) if isinstance(it, ast.ClassDef)}

    def imported(self) -> set[str]:
        return {
            alias.asname or alias.name.partition(".")[0]
            for it in ast.walk(self.tree)
            if isinstance(it, ast.Import | ast.ImportFrom)
            for alias in it.names
        }


def raised_in(docstring: str) -> list[str]:
    """Return the names under `Raises:`; a line that is indented further goes on."""
    section = re.search(r"(?m)^Raises:\n((?:    .*\n?|\n(?=    ))+)", docstring)
    entries = re.findall(r"(?m)^ {4}(?! )(.*?):", section[1]) if section else []
    return [name for entry in entries for name in re.findall(r"[A-Za-z_.]+", entry)]


def promises(module: Module) -> Iterator[str]:
    """Return the errors that the docstrings of a module promise."""
    for node in ast.walk(module.tree):
        if isinstance(
            node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
        ):
            yield from raised_in(ast.get_docstring(node) or "")


MODULES: Final = {
    member: [Module(it) for it in sorted((ROOT / member).glob("payments_*/**/*.py"))]
    for member in MEMBERS
}
WITH_PROMISES: Final = [
    (member, module)
    for member, modules in MODULES.items()
    for module in modules
    if "Raises:" in module.path.read_text()
]


@cache
def classes_of(member: str) -> set[str]:
    """Return the names of a distribution's classes, and of the core's errors."""
    modules = [Module(ERRORS), *MODULES[member]]
    return set().union(*(it.classes() for it in modules))


@pytest.mark.parametrize(
    ("member", "module"),
    WITH_PROMISES,
    ids=[it.path.relative_to(ROOT).as_posix() for _, it in WITH_PROMISES],
)
def test_each_error_that_a_docstring_promises_exists(
    member: str, module: Module
) -> None:
    """
    Each name is a class of the same distribution, an error of the core, or imported.
    """
    known = {*vars(builtins), *module.imported(), *classes_of(member)}

    unknown = [it for it in promises(module) if it.partition(".")[0] not in known]

    assert unknown == []


def test_the_names_under_raises_are_read() -> None:
    """
    Each entry of the section, and nothing from the sentences.
    """
    text = """Do it.

Raises:
    First, Second: a reason
        that: goes on.
    stripe.Third: another.

Returns: it.
"""
    assert raised_in(text) == ["First", "Second", "stripe.Third"]
    assert raised_in("Do it.") == []
