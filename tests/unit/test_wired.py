"""Handlers are given what they name: nothing looks at it when a request comes."""

import inspect
import typing
from typing import Any, Final

import pytest
from litestar.di import Dependency

from payments_service.http.account_reads import AccountReads
from payments_service.http.app import _NEEDS, FOR_ANYBODY, FOR_CALLERS, OF_REQUESTS
from payments_service.http.openapi import Document

GIVEN: Final = {**_NEEDS, "reads": AccountReads, "document": Document}


def needs_of(handler: Any) -> dict[str, object]:
    """Return what a handler needs, by name."""
    function = inspect.unwrap(handler.fn)
    hints = typing.get_type_hints(function, include_extras=True)
    return {
        name: typing.get_args(hint)[0]
        for name, hint in hints.items()
        if any(isinstance(it, Dependency) for it in getattr(hint, "__metadata__", ()))
        and name not in OF_REQUESTS
    }


@pytest.mark.parametrize(
    "handler", [*FOR_CALLERS, *FOR_ANYBODY], ids=lambda it: it.handler_name
)
def test_a_handler_is_given_what_it_names(handler: Any) -> None:
    """
    By its name, as the application provides it.
    """
    needs = needs_of(handler)
    assert needs
    assert needs == {name: GIVEN[name] for name in needs}
