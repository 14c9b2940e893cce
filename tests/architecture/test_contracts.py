"""Every contract of a port is run by its adapters."""

import ast
import functools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import pytest

from contracts import asked_for, contracts, contracts_of

TESTS: Final = Path(__file__).parents[1]
CONTRACTS: Final = TESTS / "contracts"
# The adapter in memory, and the one of production.
ADAPTERS: Final = 2


def _classes(folder: Path) -> Iterator[ast.ClassDef]:
    for path in folder.rglob("*.py"):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef):
                yield node


@functools.cache
def runs(folder: Path) -> Sequence[str]:
    """Return the fixture, or the contract, that each test class runs."""
    found = list[str]()
    for node in _classes(folder):
        if not node.name.startswith("Test"):
            continue
        found += [base.id for base in node.bases if isinstance(base, ast.Name)]
        for mark in node.decorator_list:
            match mark:
                case ast.Call(
                    func=ast.Name(id="every_contract_of"),
                    args=[ast.Constant(value=str(fixture))],
                ):
                    found.append(fixture)
                case _:
                    pass
    return found


def runners_of(contract: type, found: Sequence[str]) -> int:
    """Count the test classes that run a contract."""
    wanted = asked_for(contract) | {contract.__name__}
    return sum(it in wanted for it in found)


@pytest.mark.parametrize("contract", contracts(), ids=lambda it: it.__name__)
def test_every_contract_is_run_by_each_adapter(contract: type) -> None:
    """
    By the adapter in memory and by the real one; there is no list to maintain.
    """
    assert runners_of(contract, runs(TESTS)) >= ADAPTERS


def test_a_contract_that_nobody_runs_is_seen() -> None:
    """
    A contract whose fixture no test class provides, and that none inherits.
    """

    class ForgottenContract:
        def test_something(self, forgotten: object) -> None: ...

    assert runners_of(ForgottenContract, runs(TESTS)) == 0


def test_what_has_tests_among_the_contracts_is_called_a_contract() -> None:
    """
    Discovery would miss another class, or a function.
    """
    named = {it.__name__ for it in contracts()}
    for path in CONTRACTS.glob("*.py"):
        for node in ast.parse(path.read_text()).body:
            inside = node.body if isinstance(node, ast.ClassDef) else [node]
            tests = [it for it in inside if getattr(it, "name", "").startswith("test_")]
            assert not tests or getattr(node, "name", "") in named, path.name


def test_no_two_contracts_of_one_fixture_have_a_test_of_one_name() -> None:
    """
    Otherwise one of them would replace the other.
    """
    for fixture in ("stores", "world"):
        names = [
            name
            for contract in contracts_of(fixture)
            for name in vars(contract)
            if name.startswith("test_")
        ]
        assert len(names) == len(set(names)) > 0
