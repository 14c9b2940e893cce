"""The routes of resources: each a method, a path, a shape and a function."""

import re
from collections.abc import Callable, Iterable
from typing import Final

import attrs

from payments_sandbox.errors import ApiError
from payments_sandbox.forms import Params
from payments_sandbox.state import Object, World

# Called with the world, the parameters, and the ids in the path.
Run = Callable[..., Object]
_ID: Final = re.compile(r"\{\w+\}")


@attrs.frozen
class Route:
    """`kind` is the kind of object that the first id in the path names."""

    method: str
    path: str
    shape: type[Params]
    run: Run
    kind: str | None = None


def retrieving(kind: str) -> Run:
    """Return a function that answers with the object that the path names."""

    def retrieve(world: World, _: Params, id_: str) -> Object:
        return world.get(kind, id_)

    return retrieve


class Router:
    """Finds the route of a request."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self.routes = tuple(routes)
        # A literal path such as `/search` goes before a pattern with an id.
        exact = sorted(self.routes, key=lambda route: "{" in route.path)
        self._patterns = [
            (route, re.compile(_ID.sub("([^/]+)", route.path))) for route in exact
        ]

    def find(self, method: str, path: str) -> tuple[Route, tuple[str, ...]]:
        """Return the route and the ids in the path.

        Raises:
            ApiError: 404, no route has this path.
        """
        for route, pattern in self._patterns:
            found = pattern.fullmatch(path)
            if found and route.method == method:
                return route, found.groups()
        raise ApiError(404, f"Unrecognized request URL ({method}: {path[:200]}).")
