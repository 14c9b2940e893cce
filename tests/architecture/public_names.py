"""Print the public names with their signatures, as importers see them.

`python tests/architecture/public_names.py > tests/architecture/public_names.txt`
accepts a change; CHANGELOG then says what importers must do.
"""

import inspect
from collections.abc import Iterator, Mapping
from enum import Enum
from types import ModuleType
from typing import Any, Final, NewType

import payments_adapters.memory
import payments_core
import payments_core.facts
import payments_core.jobs
import payments_core.ports
import payments_core.use_cases


def lines() -> Iterator[str]:
    for module in (
        payments_core,
        payments_core.facts,
        payments_core.jobs,
        payments_core.ports,
        payments_core.use_cases,
        payments_adapters.memory,
    ):
        yield f"# {module.__name__}"
        for name in sorted(_public(module)):
            yield from _described(name, getattr(module, name))
        yield ""


def _public(module: ModuleType) -> list[str]:
    if names := getattr(module, "__all__", None):
        return list(names)
    return [
        name
        for name, it in vars(module).items()
        if getattr(it, "__module__", None) == module.__name__ and name[0] != "_"
    ]


def _described(name: str, it: Any) -> Iterator[str]:
    if not callable(it):
        yield f"{name}: {type(it).__name__}"
        return
    if inspect.isclass(it) and issubclass(it, Enum):
        yield f"{name}({', '.join(member.name for member in it)})"
        return
    if isinstance(it, NewType):
        # Python 3.12 and later generate a signature for it.
        yield name
        return
    if not getattr(it, "_is_protocol", False):
        yield f"{name}{_signature(it)}"
        return
    yield name
    for method, function in sorted(vars(it).items()):
        own = method == "__call__" or method[0] != "_"
        if own and inspect.isfunction(function):
            yield f"    {method}{_signature(function)}"


def _signature(it: Any) -> str:
    """Return the parameters: by name only after `*`, `=...` for one with a default.

    Without annotations, which are written differently from one Python to the next.
    """
    try:
        parameters = inspect.signature(it).parameters.values()
    except (TypeError, ValueError):
        return ""
    words, keywords = [], False
    for parameter in parameters:
        if parameter.kind is parameter.KEYWORD_ONLY and not keywords:
            words.append("*")
            keywords = True
        given = "" if parameter.default is parameter.empty else "=..."
        words.append(f"{_STARS.get(parameter.kind, '')}{parameter.name}{given}")
    return f"({', '.join(words)})"


_STARS: Final[Mapping[Any, str]] = {
    inspect.Parameter.VAR_POSITIONAL: "*",
    inspect.Parameter.VAR_KEYWORD: "**",
}


if __name__ == "__main__":
    print("\n".join(lines()))
