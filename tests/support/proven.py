"""Which test files name which threat, fault and property: writes that into their pages.

`python tests/support/proven.py` rewrites the last column of each page. What an id means
is written by hand. A row without a test names the layer that answers it, by a file or
folder of the repository, or says that it is not taken, and why: "Layer: `deploy/base`"
or "Not taken: …".
"""

import ast
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
PAGES: Final = {
    "T": ROOT / "docs" / "threats.md",
    "F": ROOT / "docs" / "faults.md",
    "P": ROOT / "docs" / "properties.md",
}
# The number of ids of each page: all of them, from 1.
LAST: Final = {"T": 80, "F": 56, "P": 38}
_IN_NAME: Final = re.compile(r"_([tfp]\d\d)(?=_|$)")
_IN_PROSE: Final = re.compile(r"\b[TFP]\d\d\b")
_LAYER: Final = re.compile(r"\bLayer: `([^`]+)`")
_NOT_TAKEN: Final = re.compile(r"\bNot taken: \w")
_ROW: Final = re.compile(r"(?m)^\| ([TFP]\d\d) \| (.+?) \|(.*)\|$")


def named(tests: Path) -> dict[str, list[str]]:
    """Return each id that a test names, with the files of those tests, sorted."""
    found = dict[str, list[str]]()
    for path in sorted(tests.rglob("*.py")):
        for name in sorted(set(_ids(ast.parse(path.read_text())))):
            found.setdefault(name, []).append(path.relative_to(tests).as_posix())
    return found


def _ids(module: ast.Module) -> Iterator[str]:
    for node in ast.walk(module):
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                yield from (name.upper() for name in _IN_NAME.findall(node.name))
                yield from _IN_PROSE.findall(ast.get_docstring(node) or "")
            case ast.ClassDef() | ast.Module():
                yield from _IN_PROSE.findall(ast.get_docstring(node) or "")
            case _:
                pass


def listed(page: str) -> list[str]:
    """Return the ids of a page's rows, in their order."""
    return [row[1] for row in _ROW.finditer(page)]


def answered(page: str) -> list[str]:
    """Return the ids that a layer answers, or that are not taken.

    Raises:
        FileNotFoundError: the layer that a row names does not exist.
    """
    found = []
    for row in _ROW.finditer(page):
        layers = _LAYER.findall(row[2])
        for it in layers:
            if not (ROOT / it).exists():
                raise FileNotFoundError(f"{row[1]}: {it}")
        if layers or _NOT_TAKEN.search(row[2]):
            found.append(row[1])
    return found


def rewritten(page: str, files: Mapping[str, list[str]]) -> str:
    """Return a page with the test files of each of its ids."""

    def row(match: re.Match[str]) -> str:
        shown = ", ".join(f"`{name}`" for name in files.get(match[1], ()))
        return f"| {match[1]} | {match[2]} | {shown} |"

    return _ROW.sub(row, page)


def main() -> int:
    files = named(ROOT / "tests")
    for page in PAGES.values():
        page.write_text(rewritten(page.read_text(), files))
    return 0


if __name__ == "__main__":
    sys.exit(main())
