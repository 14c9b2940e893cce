"""What every adapter of a port promises, found here and run for each adapter.

A contract is a class called `…Contract`. Its tests use a fixture that provides an empty
adapter: `stores`, `world` for a gateway, `token_store`, `ledger`. A test class runs all
contracts of one fixture by `@every_contract_of("stores")`, or a single one as a
subclass. `tests/architecture` checks that none is left out.
"""

import functools
import importlib
import inspect
import pkgutil
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

import pytest

NAMES: Final = tuple(f"contracts.{it.name}" for it in pkgutil.iter_modules(__path__))
# Contracts are imported, not collected: without this, pytest does not explain their
# failed asserts.
pytest.register_assert_rewrite(*NAMES)

_T = TypeVar("_T")


@functools.cache
def contracts() -> Sequence[type]:
    """Return every contract, in the order of the modules' names."""
    return [
        it
        for name in NAMES
        for it in vars(importlib.import_module(name)).values()
        if isinstance(it, type)
        and it.__module__ == name
        and it.__name__.endswith("Contract")
    ]


def contracts_of(fixture: str) -> Sequence[type]:
    """Return the contracts whose tests use this fixture."""
    return [it for it in contracts() if fixture in asked_for(it)]


def asked_for(contract: type) -> frozenset[str]:
    """Return the names of the fixtures and parameters that its tests use."""
    return frozenset(
        parameter
        for name, test in vars(contract).items()
        if name.startswith("test_")
        for parameter in inspect.signature(test).parameters
    )


def every_contract_of(fixture: str) -> Callable[[type[_T]], type[_T]]:
    """Make a test class run every contract whose tests use this fixture."""

    def decorate(cls: type[_T]) -> type[_T]:
        bases = (cls, *contracts_of(fixture))
        return type(cls.__name__, bases, {"__module__": cls.__module__})

    return decorate
