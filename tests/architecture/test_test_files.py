"""Each module of the core has a test file with its name.

Rule 1: `lease.py` is tested in `tests/unit`, in `test_lease.py` or `test_lease_….py`;
`decide/group.py` in `test_decide_group….py`, or in `test_group….py` if no other module
is called `group`. A package with code of its own is tested under its name:
`test_decide….py`.

Rule 2: a file belongs to the module with the longest matching name, of any
distribution.

Rule 3: a module in the table has its tests elsewhere, in a file that uses its names.
"""

import ast
import functools
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
CORE: Final = ROOT / "core" / "payments_core"
UNIT: Final = ROOT / "tests" / "unit"
OTHERS: Final = frozenset(
    path.stem
    for folder in ("adapters", "entrypoints")
    for path in (ROOT / folder).rglob("*.py")
    if ".venv" not in path.parts
)
ELSEWHERE: Final = {
    # The requests to a gateway: the contract sends each of them to every gateway.
    "gateway.py": "contracts/gateway_sending.py",
    # Records without code: the contents of the gateway's lists.
    "object_lists.py": "contracts/gateway_lists.py",
    # Protocols without code: the contracts are their tests.
    **{
        f"ports/{it}.py": "contracts/stores.py"
        for it in ("accounts", "deletion", "deliveries", "events", "tokens", "work")
    },
    "ports/gateway.py": "contracts/gateway_lists.py",
    # Any function that returns a time: this test has one of its own.
    "ports/clocks.py": "unit/test_jwt.py",
}


def modules(core: Path) -> Sequence[str]:
    """Return the modules of the core, except those that only re-export names."""
    return sorted(
        str(path.relative_to(core))
        for path in core.rglob("*.py")
        if path.name != "__init__.py" or _defined(path)
    )


def unit_files(unit: Path) -> Sequence[str]:
    """Return the names of the unit tests' files that have a test."""
    return sorted(
        path.stem
        for path in unit.rglob("test_*.py")
        if any(it.startswith(("test_", "Test")) for it in _defined(path))
    )


def _defined(path: Path) -> set[str]:
    """Return the functions and classes that a file defines."""
    defines = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    body = ast.parse(path.read_text()).body
    return {node.name for node in body if isinstance(node, defines)}


def _used(path: Path) -> set[str]:
    tree = ast.walk(ast.parse(path.read_text()))
    return {node.id for node in tree if isinstance(node, ast.Name)}


def owners(core: Sequence[str], files: Sequence[str]) -> Mapping[str, str]:
    """Return the core module of each test file; "" if it belongs to no core module."""
    parts = {it: it.removesuffix(".py").removesuffix("/__init__") for it in core}
    alike = Counter(it.rpartition("/")[2] for it in parts.values())
    names = dict[str, str]()
    for module, name in parts.items():
        last = name.rpartition("/")[2]
        names[name.replace("/", "_")] = module
        if alike[last] == 1:
            names[last] = module
    found = {}
    names = {**dict.fromkeys(OTHERS, ""), **names}
    for file in files:
        words = file.removeprefix("test_").split("_")
        for length in range(len(words), 0, -1):
            name = "_".join(words[:length])
            if name in names:
                found[file] = names[name]
                break
    return found


@functools.cache
def with_a_file() -> frozenset[str]:
    return frozenset(owners(modules(CORE), unit_files(UNIT)).values())


@pytest.mark.parametrize("module", modules(CORE))
def test_each_module_of_the_core_has_a_test_file(module: str) -> None:
    """
    A newcomer finds the tests by the name.
    """
    if module in ELSEWHERE:
        elsewhere = ROOT / "tests" / ELSEWHERE[module]
        assert _defined(CORE / module) & _used(elsewhere)
        return
    assert module in with_a_file()


def test_the_table_holds_nothing_but_modules_without_a_test_file() -> None:
    """
    An entry whose module is gone, or has a test file by now, must be removed.
    """
    assert set(ELSEWHERE) <= set(modules(CORE))
    assert not set(ELSEWHERE) & with_a_file()


@pytest.mark.parametrize(
    ("file", "module"),
    [
        ("test_lease", "lease.py"),
        ("test_lease_in_races", "lease.py"),
        ("test_leases", None),
        ("test_run_work", "jobs/run_work.py"),
        ("test_run", "operations/run.py"),
        ("test_operations_run", "operations/run.py"),
        ("test_decide", "decide/__init__.py"),
        ("test_decide_cards", "decide/cards.py"),
        ("test_nobody", None),
        ("test_card_data", ""),
    ],
)
def test_a_file_belongs_to_the_module_with_the_longest_name(
    file: str, module: str | None
) -> None:
    """
    If two packages have a module of the same name, the package must be named.
    """
    core = ["lease.py", "decide/__init__.py", "decide/cards.py", "operations/cards.py"]
    core += ["operations/run.py", "jobs/run_work.py"]

    assert owners(core, [file]).get(file) == module
