"""What the container made reaches the handlers that name it, traced or not."""

from inspect import iscoroutinefunction
from typing import Any, get_type_hints

import pytest
from litestar import Litestar
from litestar.routes import HTTPRoute

from payments_core.use_cases import RecordFacts
from payments_service.container import build_container
from payments_service.http.app import create_app
from payments_service.settings import Settings
from payments_service.spans import NO_SPANS
from payments_service.wiring.use_cases import USE_CASES
from support.service import World
from support.spans import Kept

SETTINGS = Settings.from_env(World("postgresql://nobody@127.0.0.1:1/no").env(0, 0))


@pytest.mark.parametrize("is_traced", [False, True])
def test_each_handler_gets_what_it_names(*, is_traced: bool) -> None:
    """
    Nothing validates it at a request: a wrong one would fail there.
    """
    spans = Kept.of({}).spans if is_traced else NO_SPANS
    app = create_app(build_container(SETTINGS, spans=spans)).app
    while not isinstance(app, Litestar):
        app = vars_of(app)["app"]
    handlers = [
        handler
        for route in app.routes
        if isinstance(route, HTTPRoute)
        for handler in route.route_handlers
        if handler.http_methods != {"OPTIONS"}
    ]

    count = 0
    for handler in handlers:
        hints = get_type_hints(handler.fn)
        for name, provider in handler.resolve_dependencies().items():
            if name in hints and name != "key":
                assert isinstance(provider.dependency(), hints[name]), name
                count += 1
    assert count > 30


def vars_of(app: Any) -> dict[str, Any]:
    """Return the fields of a middleware of ours, by their names."""
    return {name.strip("_"): getattr(app, name) for name in type(app).__slots__}


def test_every_use_case_is_traced_once_and_stays_what_it_is() -> None:
    """
    By its class, in its holders, and for those that hold it already: no read changes
    it.
    """
    traced = build_container(SETTINGS, spans=Kept.of({}).spans)
    plain = build_container(SETTINGS)

    for use_case in (*USE_CASES, RecordFacts):
        made = traced[use_case]
        kind = type(made)
        assert isinstance(made, use_case)
        assert traced[use_case] is made
        assert type(made) is kind
        # Others answer at once, from their own state.
        waits = iscoroutinefunction(vars(use_case).get("__call__"))
        assert layers_of(kind) - layers_of(type(plain[use_case])) == waits


def layers_of(kind: type) -> int:
    """Return how many functions wrap the call that a class defines."""
    call: Any = vars(kind).get("__call__")
    count = 0
    while hasattr(call, "__wrapped__"):
        call, count = call.__wrapped__, count + 1
    return count
