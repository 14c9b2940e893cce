"""The functions in the walks of docs/architecture.md exist.

And so do the modules that docs/sandbox.md names.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
PAGE: Final = (ROOT / "docs" / "architecture.md").read_text()
HOPS: Final = re.findall(r"(?m)^\| `(\S+\.py)` \| `([\w.]+)` \| \S.* \|$", PAGE)

SANDBOX: Final = ROOT / "entrypoints" / "sandbox" / "payments_sandbox"
SANDBOX_PARTS: Final = re.findall(
    r"`(\w+/?)`",
    (ROOT / "docs" / "sandbox.md").read_text().partition("## How it is made\n")[2],
)


def functions(node: ast.AST, within: str = "") -> Iterator[str]:
    """Return the names of a module's functions, qualified by their class."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            name = f"{within}{child.name}"
            if not isinstance(child, ast.ClassDef):
                yield name
            yield from functions(child, f"{name}.")
        else:
            yield from functions(child, within)


@pytest.mark.parametrize(("file", "function"), sorted(set(HOPS)))
def test_each_hop_is_a_function_of_its_file(file: str, function: str) -> None:
    """
    A function that is moved or renamed is updated in the walk, too.
    """
    module = ast.parse((ROOT / file).read_text())

    assert function in functions(module)


def test_four_ways_are_walked() -> None:
    """
    A webhook's body, a read, a subscription's POST and a job, none of them empty.
    """
    section = PAGE.partition("## Walks")[2].partition("\n## ")[0]
    walks = section.split("\n### ")[1:]

    assert [walk.partition("\n")[0] for walk in walks] == [
        "A webhook's body",
        "A read",
        "A subscription's POST",
        "A job",
    ]
    hops = [walk.count("\n| `") for walk in walks]
    assert all(hops)
    # No row is skipped because it has another format.
    assert sum(hops) == len(HOPS)


@pytest.mark.parametrize("name", SANDBOX_PARTS)
def test_each_part_of_the_sandbox_is_a_module_of_it(name: str) -> None:
    """
    Or a package, which is written with a slash.
    """
    path = SANDBOX / name if name.endswith("/") else SANDBOX / f"{name}.py"

    assert path.exists()


def test_the_parts_of_the_sandbox_are_found() -> None:
    """
    The section exists, and names most of the modules.
    """
    assert {"state", "resources/", "webhook_sender", "server"} <= {*SANDBOX_PARTS}
