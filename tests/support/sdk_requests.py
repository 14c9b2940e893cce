"""
Checks that the installed Stripe SDK could have sent a request.

The SDK's services are read as source: each method names its verb, its path and the type
of its parameters, so that no table of requests is kept by hand. Values are the text of
a form: "5" is an int, "true" a bool. "" clears where the type has `Literal[""]` (or
takes a key of metadata away); elsewhere it is no `str`.
"""

import ast
import functools
import re
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, NamedTuple

import stripe

from support.sdk_types import DECIMAL, NULL, STR, Shape, Wire, leaf, shape_of, union

SDK: Final = Path(stripe.__file__).parent
ID: Final = "{}"
Steps = tuple[str, ...]


def _word(literal: object) -> str:
    return str(literal).lower() if isinstance(literal, bool) else str(literal)


TEXT: Final = Wire(
    leaves={
        type(None): NULL,  # `params` as a whole may be
        str: leaf("str that is not empty", str, bool),
        int: leaf("int", str, re.compile(r"-?\d+").fullmatch),
        bool: leaf("bool", str, {"true", "false"}.__contains__),
        float: leaf("float", str, DECIMAL.fullmatch),
        Decimal: leaf("decimal", str, DECIMAL.fullmatch),
    },
    word=_word,
    map_leaf=STR,  # in metadata, "" takes a key away
)


def problems_of_request(method: str, path: str, params: Mapping[str, Any]) -> list[str]:
    """Return the problems of a request; `params` are nested as a form nests them."""
    shape = shape_of_request(method, path)
    if shape is None:
        return [f"{method} {path}: is not a request that the SDK knows"]
    return [problem.removeprefix(".") for problem in shape.problems(dict(params))]


def shape_of_request(method: str, path: str) -> Shape | None:
    """Return the shape of a request's parameters; None if the SDK has no such call."""
    known = _places()
    steps: Steps = ()
    for step in _steps(path):
        # A word such as `search` goes before an id.
        steps = (*steps, step if (*steps, step) in known else ID)
    return _shape(method, steps)


class _Request(NamedTuple):
    method: str
    steps: Steps
    params: str  # the annotation, as source
    module: str  # where it stands


@functools.cache
def _shape(method: str, steps: Steps) -> Shape | None:
    found = _requests().get((method, steps))
    if found is None:
        return None
    return union([shape_of(request.params, request.module, TEXT) for request in found])


@functools.cache
def _places() -> frozenset[Steps]:
    """Return all paths and all their beginnings."""
    paths = {steps for _, steps in _requests()}
    return frozenset(path[: end + 1] for path in paths for end in range(len(path)))


@functools.cache
def _requests() -> Mapping[tuple[str, Steps], Sequence[_Request]]:
    # Two services may share one: a customer's source is detached, or deleted.
    found: dict[tuple[str, Steps], list[_Request]] = {}
    for source in sorted(SDK.rglob("_*_service.py")):
        for request in _requests_in(source):
            found.setdefault((request.method, request.steps), []).append(request)
    return found


def _requests_in(source: Path) -> Iterator[_Request]:
    module = ".".join(source.relative_to(SDK.parent).with_suffix("").parts)
    for method in ast.walk(ast.parse(source.read_bytes())):
        if isinstance(method, ast.FunctionDef):
            for node in ast.walk(method):
                if isinstance(node, ast.Call) and _is_request(node.func):
                    yield _request(method, node, module)


def _is_request(function: ast.expr) -> bool:
    # The `_async` twins ask for the same.
    names = {"_request", "_request_stream"}
    return isinstance(function, ast.Attribute) and function.attr in names


def _request(method: ast.FunctionDef, call: ast.Call, module: str) -> _Request:
    verb, path = call.args[:2]
    if isinstance(path, ast.Call) and isinstance(path.func, ast.Attribute):
        path = path.func.value  # "/v1/customers/{customer}".format(...)
    annotations = {arg.arg: arg.annotation for arg in method.args.args}
    params = annotations["params"]
    assert params is not None
    return _Request(
        ast.literal_eval(verb).upper(),
        tuple(
            ID if it.startswith("{") else it for it in _steps(ast.literal_eval(path))
        ),
        ast.unparse(params),
        module,
    )


def _steps(path: str) -> Steps:
    return tuple(path.strip("/").split("/"))
