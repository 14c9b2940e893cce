"""Copies of a state that takes long to build."""

import io
import pickle
from collections.abc import Callable
from types import FunctionType, MappingProxyType
from typing import Any, Final, TypeVar

from typing_extensions import override

from payments_sandbox.routing import Router

_T = TypeVar("_T")
# Immutable objects: all copies share them.
_SHARED: Final = (FunctionType, MappingProxyType, Router)


def snapshot_of(state: _T) -> Callable[[], _T]:
    """Return a function that copies the current state; a copy shares no object.

    Raises:
        TypeError: a function of it holds objects, so that copies would share them.
    """
    shared: list[Any] = []
    file = io.BytesIO()
    _Pickler(file, shared).dump(state)
    copy = file.getvalue()

    def load() -> _T:
        loaded: _T = _Unpickler(io.BytesIO(copy), shared).load()
        return loaded

    return load


class _Pickler(pickle.Pickler):
    def __init__(self, file: io.BytesIO, shared: list[Any]) -> None:
        super().__init__(file, pickle.HIGHEST_PROTOCOL)
        self._shared = shared

    @override
    def persistent_id(self, obj: Any) -> int | None:
        if not isinstance(obj, _SHARED):
            return None
        if getattr(obj, "__closure__", None):
            raise TypeError(f"{obj} holds objects of its own")
        self._shared.append(obj)
        return len(self._shared) - 1


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, shared: list[Any]) -> None:
        super().__init__(file)
        self._shared = shared

    @override
    def persistent_load(self, pid: int) -> Any:
        return self._shared[pid]
