"""`/_sandbox/…`: actions for the owner of a sandbox that Stripe does not offer.

JSON in and out, with the sandbox's own key, which a page in a browser does not have.
"""

import hmac
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Annotated, Any, Final

import attrs
import msgspec
from litestar import Litestar, Request, Response, Router, get, post
from litestar.connection import ASGIConnection
from litestar.datastructures import State
from litestar.exceptions import HTTPException, NotAuthorizedException
from litestar.handlers import BaseRouteHandler
from litestar.params import FromQuery, JSONBody

from payments_sandbox.chaos import Fault, Plan
from payments_sandbox.engine import Engine, Until
from payments_sandbox.errors import ApiError
from payments_sandbox.state import Object
from payments_sandbox.triggers import TriggerError, trigger

EVENTS_MAX: Final = 1_000


class _Body(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A body without unknown fields."""


class Advance(_Body, frozen=True):
    until: Annotated[str, msgspec.Meta(max_length=64)] | int


class PlannedFault(_Body, frozen=True):
    fault: Fault
    matches: str = "*"
    times: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 1
    skip: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] = 0


class SetChaos(_Body, frozen=True):
    calm: bool = False
    seed: int | None = None
    rates: dict[Fault, Annotated[float, msgspec.Meta(ge=0, le=1)]] = {}
    plans: Annotated[list[PlannedFault], msgspec.Meta(max_length=100)] = []


class Trigger(_Body, frozen=True):
    type: str
    user: str
    values: dict[str, str] = {}


class Authenticate(_Body, frozen=True):
    intent: str
    succeed: bool = True
    card: str | None = None


class SetCard(_Body, frozen=True):
    payment_method: str
    declines: str | None = None


class Import(_Body, frozen=True):
    objects: list[Any]


class Roll(_Body, frozen=True):
    endpoint: str
    keep_s: Annotated[int, msgspec.Meta(ge=0)] = 86_400


class Reset(_Body, frozen=True):
    seed: int | None = None


@attrs.define
class _Reach:
    """What the handlers use."""

    engine: Engine
    advance: Callable[[Until], Awaitable[int]]
    tell: Callable[[], None]


Asked = Request[Any, Any, State]


def _of(request: Asked) -> _Reach:
    reach: _Reach = request.app.state.reach
    return reach


def _guard(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
    key = connection.app.state.reach.engine.api.api_key
    given = connection.headers.get("authorization", "")
    if not hmac.compare_digest(given.encode(), f"Bearer {key}".encode()):
        raise NotAuthorizedException("the sandbox's key is needed")


@post("/advance", status_code=200)
async def advance(request: Asked, data: JSONBody[Advance]) -> dict[str, int]:
    return {"now": await _of(request).advance(data.until)}


@get("/state")
async def state(request: Asked) -> Mapping[str, Any]:
    return _of(request).engine.state()


@get("/events")
async def events(
    request: Asked, kind: FromQuery[str | None] = None, limit: FromQuery[int] = 100
) -> list[Mapping[str, Any]]:
    return _of(request).engine.log(kind)[-max(1, min(limit, EVENTS_MAX)) :]


@get("/deliveries")
async def deliveries(request: Asked) -> list[Mapping[str, Any]]:
    return [
        {"at": at, "type": kind, "endpoint": endpoint, "answer": answer}
        for at, kind, endpoint, answer in _of(request).engine.outbox.attempts
    ]


@post("/chaos", status_code=200)
async def chaos(request: Asked, data: JSONBody[SetChaos]) -> Mapping[str, Any]:
    chaos = _of(request).engine.chaos
    if data.calm:
        chaos.calm()
    if data.seed is not None:
        chaos.reseed(data.seed)
    chaos.set_rates(data.rates)
    for it in data.plans:
        chaos.plan(Plan(it.fault, it.matches, it.times, it.skip))
    return chaos.state()


@post("/trigger", status_code=200)
async def trigger_(request: Asked, data: JSONBody[Trigger]) -> dict[str, Any]:
    reach = _of(request)
    happened = trigger(reach.engine, data.type, data.user, data.values)
    reach.tell()
    return {"events": happened}


@post("/authenticate", status_code=200)
async def authenticate(request: Asked, data: JSONBody[Authenticate]) -> Object:
    reach = _of(request)
    try:
        return reach.engine.authenticate(
            data.intent, succeed=data.succeed, card=data.card
        )
    finally:
        # After a decline the event is delivered as well.
        reach.tell()


@post("/card", status_code=200)
async def card(request: Asked, data: JSONBody[SetCard]) -> dict[str, str | None]:
    _of(request).engine.set_card(data.payment_method, declines=data.declines)
    return {"payment_method": data.payment_method, "declines": data.declines}


@post("/import", status_code=200)
async def import_(request: Asked, data: JSONBody[Import]) -> dict[str, Any]:
    made = _of(request).engine.import_objects(data.objects)
    return {"imported": [{"id": it["id"], "object": it["object"]} for it in made]}


@post("/roll-secret", status_code=200)
async def roll(request: Asked, data: JSONBody[Roll]) -> dict[str, str]:
    engine = _of(request).engine
    return {"secret": engine.roll_secret(data.endpoint, keep_s=data.keep_s)}


@post("/reset", status_code=200)
async def reset(request: Asked, data: JSONBody[Reset]) -> Mapping[str, Any]:
    engine = _of(request).engine
    engine.reset(data.seed)
    return engine.state()


def _api_error(_: Asked, error: ApiError) -> Response[Mapping[str, Any]]:
    return Response(error.body(), status_code=error.status)


def _value_error(
    _: Asked, error: ValueError | TriggerError | RecursionError
) -> Response[Mapping[str, Any]]:
    return Response(
        {"error": {"message": str(error)}}, status_code=HTTPStatus.BAD_REQUEST
    )


def _http_error(_: Asked, error: HTTPException) -> Response[Mapping[str, Any]]:
    message: dict[str, Any] = {"message": error.detail}
    if isinstance(error.extra, list):
        message["fields"] = error.extra
    return Response({"error": message}, status_code=error.status_code)


_HANDLERS: Final = [
    advance,
    authenticate,
    card,
    chaos,
    deliveries,
    events,
    import_,
    reset,
    roll,
    state,
    trigger_,
]


def create_control(
    engine: Engine,
    advance: Callable[[Until], Awaitable[int]],
    tell: Callable[[], None],
) -> Litestar:
    """Return the application; `tell` is called when something may be due."""
    return Litestar(
        [Router("/_sandbox", route_handlers=_HANDLERS, guards=[_guard])],
        state=State({"reach": _Reach(engine, advance, tell)}, deep_copy=False),
        exception_handlers={
            ApiError: _api_error,
            HTTPException: _http_error,
            # A body that is nested too deeply.
            RecursionError: _value_error,
            TriggerError: _value_error,
            ValueError: _value_error,
        },
        logging_config=None,
        openapi_config=None,
    )
