"""The OpenAPI document: Litestar generates it from the handlers, this completes it.

Litestar knows parameters, bodies and answers by their types. The rest is added here
from what the routes state: the required scopes, every problem with its codes, the
headers of answers, and which fields of a body can be combined.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from http import HTTPStatus
from importlib.metadata import version
from typing import Any, Final

import msgspec
from litestar import Litestar, Response, Router, get
from litestar.di import Provide
from litestar.handlers import HTTPRouteHandler
from litestar.openapi import OpenAPIConfig
from litestar.openapi.spec import Components, SecurityScheme, Server, Tag
from litestar.routes import HTTPRoute
from litestar.types import ControllerRouterHandler

from payments_core.caller import ADMIN_SCOPE, FEED_SCOPE, READ_SCOPE
from payments_core.errors import RateLimited
from payments_service.http.authentication import admin_only, feed_only
from payments_service.http.bodies import Body
from payments_service.http.etags import ETAG, NOT_MODIFIED, tagged
from payments_service.http.examples import EXAMPLES
from payments_service.http.parameters import IfNoneMatch
from payments_service.http.problems import MEDIA_TYPE, HttpProblem, Problem, shown
from payments_service.http.refusals import (
    ADMIN,
    ALWAYS,
    ANY_BODY,
    CALLER,
    JSON_BODY,
    KEY,
    LIMITED,
    NO_BODY,
    TYPED_BODY,
    Refusal,
    stated,
)
from payments_service.http.requests import HttpRequest, no_body
from payments_service.http.wired import Wired
from payments_service.presentation import PREFIX

MAX_AGE_S: Final = 300
_JSON: Final = "application/json"
_SCHEME: Final = "bearer"
_TAGS: Final = {
    "users": "Register users, and read whether they have paid.",
    "access": "What a user has access to, by product and feature.",
    "explanation": "Why a user has paid or not.",
    "lists": "Users, their payments, and what happened to them.",
    "feed": "The changes of users, for other services.",
    "cards": "The card that pays.",
    "subscriptions": "A user's subscriptions, and open operations.",
    "payments": "The owner of a payment, decided by hand.",
    "tokens": "Revoked bearer tokens.",
    "webhooks": "Stripe's events.",
    "access_pass": "Signed access, for checks without this service.",
    "openapi": "This document.",
}
_DESCRIPTION: Final = (
    "Whether users have paid, and what that needs: cards, subscriptions and Stripe's "
    "webhooks. Requests and answers are JSON; times are RFC 3339 in UTC; money is an "
    f"amount in minor units and a currency. Every error is `{MEDIA_TYPE}` (RFC 9457) "
    "with a stable `code`. Unknown and repeated fields of a body or a query are "
    "refused. Every route with GET also answers HEAD."
)
_TOKENS: Final = (
    "A JWT of the users micro-service. A caller has access to their own user (`sub`); "
    f"any other user is 404. The scope `{READ_SCOPE}` reads every user (GET below "
    f"`/users`), and `{ADMIN_SCOPE}` has access to every user; operations that need it "
    "say so."
)
_REQUEST_ID: Final = {
    "description": "The request's `X-Request-Id`, or a new id; it is logged.",
    "schema": {"type": "string"},
}
_RETRY_AFTER: Final = {
    "description": "Seconds after which the same request can be sent again.",
    "schema": {"type": "integer"},
}
_RATE_LIMIT: Final = {
    "RateLimit-Policy": {
        "description": 'With `rate_limited`: the limit, as in `"reads";q=1200;w=60`.',
        "schema": {"type": "string"},
    },
    "RateLimit": {
        "description": "With `rate_limited`: what is left, and for how many seconds.",
        "schema": {"type": "string"},
    },
}
# Codes with `Retry-After`, of statuses that do not always have it.
_WAITING: Final = frozenset(
    {"operation_in_progress", "rate_limited", "synced_recently", "too_many_declines"}
)
_HEADERS: Final[Mapping[HTTPStatus, Mapping[str, Any]]] = {
    HTTPStatus.UNAUTHORIZED: {
        "WWW-Authenticate": {"schema": {"type": "string"}, "description": "`Bearer`."}
    },
    HTTPStatus.SERVICE_UNAVAILABLE: {"Retry-After": _RETRY_AFTER},
}
_REPLAYED: Final = {
    "description": "`true`: the earlier answer to the same `Idempotency-Key`.",
    "schema": {"type": "string", "enum": ["true"]},
}
_LOCATION: Final = {
    "description": "The URL of the operation, where its result appears.",
    "required": True,
    "schema": {"type": "string"},
}

Json = dict[str, Any]
# The scopes that satisfy each guard; a caller needs one of them.
_SCOPES: Final[Mapping[Any, Sequence[str]]] = {
    admin_only: (ADMIN_SCOPE,),
    feed_only: (FEED_SCOPE, ADMIN_SCOPE),
}


def _needed(handler: HTTPRouteHandler) -> Sequence[str]:
    """Return the scopes of which a caller needs one; empty if it needs none."""
    guards = handler.resolve_guards()
    return next((its for guard, its in _SCOPES.items() if guard in guards), ())


def _ref(kind: str, name: str) -> Json:
    return {"$ref": f"#/components/{kind}/{name}"}


class Document:
    """The document as it is served; generated once, at the first request."""

    def __init__(self, make: Callable[[], Json]) -> None:
        self._make = make
        self._made: bytes | None = None

    async def __call__(self) -> bytes:
        """Return the document in JSON."""
        if self._made is None:
            # It takes a tenth of a second, so a thread does it: webhooks do not wait.
            self._made = await asyncio.to_thread(
                lambda: msgspec.json.encode(self._make())
            )
        return self._made


@get(
    "/openapi.json",
    before_request=no_body,
    response_headers=[ETAG],
    responses=NOT_MODIFIED,
)
async def get_openapi(
    document: Wired[Document], if_none_match: IfNoneMatch = None
) -> Response[dict[str, Any]]:
    """Return this document."""
    body = await document()
    return tagged({}, body, given=if_none_match, cache=f"public, max-age={MAX_AGE_S}")


def document(
    *,
    for_callers: Sequence[ControllerRouterHandler],
    for_anybody: Sequence[ControllerRouterHandler],
    dependencies: Mapping[str, Provide],
) -> Json:
    """Return the document of routes: those that need a token, and those that do not.

    `dependencies` are what handlers need by name; they are never called.
    """
    callers = Router("/", route_handlers=for_callers, security=[{_SCHEME: []}])
    anybody = Router("/", route_handlers=for_anybody, security=[{}])
    app = Litestar(
        [Router(PREFIX, route_handlers=[callers, anybody])],
        dependencies=dict(dependencies),
        request_class=HttpRequest,
        logging_config=None,
        openapi_config=OpenAPIConfig(
            title="payments-gateway",
            version=version("payments-service"),
            description=_DESCRIPTION,
            servers=[Server(url="/")],
            tags=[Tag(name=name, description=text) for name, text in _TAGS.items()],
            operation_id_creator=lambda handler, *_: handler.handler_name,
            components=Components(
                security_schemes={
                    _SCHEME: SecurityScheme(
                        type="http",
                        scheme="bearer",
                        bearer_format="JWT",
                        description=_TOKENS,
                    )
                }
            ),
        ),
    )
    made = app.openapi_schema.to_schema()
    schemas = made["components"]["schemas"]
    # The type of a field whose real types only the document lists.
    del schemas[msgspec.Struct.__name__]
    for path, method, handler in _operations(app):
        operation = made["paths"][path][method.lower()]
        _finish(operation, handler)
        _describe_body(operation, handler, schemas)
    made["components"] = {
        "headers": {"RequestId": _REQUEST_ID},
        **made["components"],
        "schemas": dict(sorted(schemas.items())),
    }
    for shape in _shapes(msgspec.Struct):
        if (schema := schemas.get(shape.__name__)) and "__doc__" in shape.__dict__:
            schema["description"] = " ".join((shape.__doc__ or "").split())
    plain: Json = _plain(made)
    return plain


def _shapes(of: type) -> Iterator[type]:
    shape: type
    for shape in of.__subclasses__():
        # Another package in this process may have classes with the same names.
        if shape.__module__.startswith("payments_service."):
            yield shape
        yield from _shapes(shape)


def _operations(app: Litestar) -> Iterator[tuple[str, str, HTTPRouteHandler]]:
    for route in app.routes:
        if isinstance(route, HTTPRoute) and route.path.startswith(PREFIX):
            for handler in route.route_handlers:
                for method in handler.http_methods - {"OPTIONS"}:
                    yield route.path_format, method, handler


def _finish(operation: Json, handler: HTTPRouteHandler) -> None:
    """Add what Litestar does not know about an operation."""
    summary, _, more = (handler.fn.__doc__ or "").partition("\n")
    scopes = _needed(handler)
    operation["summary"] = summary
    operation["tags"] = [handler.fn.__module__.rpartition(".")[2]]
    operation["description"] = _described(more, scopes) or summary
    if operation["security"] == [{}]:
        operation["security"] = []
    if scopes:
        operation["security"] = [{_SCHEME: [it]} for it in scopes]
    taken = {it["name"] for it in operation.get("parameters", ())}
    successes = {
        status: answer
        for status, answer in operation["responses"].items()
        if int(status) < HTTPStatus.BAD_REQUEST
    }
    for status, answer in successes.items():
        if "content" in answer and int(status) != HTTPStatus.ACCEPTED:
            answer["description"] = HTTPStatus(int(status)).phrase
        _show_answer(answer)
        headers = answer.setdefault("headers", {})
        headers["X-Request-Id"] = _ref("headers", "RequestId")
        if "Idempotency-Key" in taken:
            headers["Idempotent-Replayed"] = _REPLAYED
        if int(status) == HTTPStatus.ACCEPTED:
            headers["Location"] = _LOCATION
    operation["responses"] = {
        **dict(sorted(successes.items())),
        **dict(_problems([*_refused(operation, handler, taken)])),
    }


def _show_answer(answer: Json) -> None:
    content = answer.get("content", {}).get(_JSON)
    name = (content or {}).get("schema", {}).get("$ref", "").rpartition("/")[2]
    if name in EXAMPLES:
        value = msgspec.to_builtins(EXAMPLES[name])
        content["examples"] = {name: {"value": value}}


def _described(more: str, scopes: Sequence[str]) -> str:
    text = " ".join(line.strip() for line in more.splitlines()).strip()
    named = " or ".join(f"`{it}`" for it in scopes)
    scope = f"Needs the scope {named}." if scopes else ""
    return "\n\n".join(filter(None, [text, scope]))


def _refused(
    operation: Json, handler: HTTPRouteHandler, taken: Iterable[str]
) -> Iterator[Refusal]:
    yield from stated(handler.opt)
    yield from ALWAYS
    yield from ANY_BODY
    is_callers = bool(operation["security"])
    if is_callers:
        yield from CALLER
        yield LIMITED
    if _needed(handler):
        yield from ADMIN
    if "Idempotency-Key" in taken:
        yield from KEY
    if "requestBody" not in operation:
        yield from NO_BODY
        return
    yield from TYPED_BODY
    if is_callers:
        yield from JSON_BODY


def _problems(refused: Sequence[Refusal]) -> Iterator[tuple[str, Json]]:
    for status in sorted({it.status for it in refused}):
        found = {it.code: it for it in refused if it.status is status}
        some = dict(sorted(found.items()))
        # The refusal that the route itself states, if there is one.
        first = next(it for it in refused if it.status is status)
        headers = dict(_HEADERS.get(status, {}))
        if _WAITING & set(some):
            headers["Retry-After"] = _RETRY_AFTER
        if RateLimited.code in some:
            headers.update(_RATE_LIMIT)
        yield (
            str(status.value),
            {
                "description": "\n".join(
                    f"- `{code}`: {it.meaning}" for code, it in some.items()
                ),
                "headers": {**headers, "X-Request-Id": _ref("headers", "RequestId")},
                "content": {
                    MEDIA_TYPE: {
                        "schema": _ref("schemas", Problem.__name__),
                        "examples": {first.code: {"value": _example(first)}},
                    }
                },
            },
        )


def _example(refusal: Refusal) -> Json:
    problem = HttpProblem(refusal.status, refusal.code, refusal.meaning)
    example: Json = msgspec.to_builtins(shown(problem, "5f0c6f1f9d1b4c35"))
    return example


def _describe_body(operation: Json, handler: HTTPRouteHandler, schemas: Json) -> None:
    data = handler.parsed_fn_signature.parameters.get("data")
    if data is None or not issubclass(data.annotation, Body):
        return
    shape: type[Body] = data.annotation
    schema = schemas[shape.__name__]
    schema.update(shape.rules)
    schema["additionalProperties"] = False
    operation["requestBody"]["content"][_JSON]["examples"] = {
        f"{shape.__name__}{number}": {"value": _given(it)}
        for number, it in enumerate(shape.examples(), 1)
    }


def _given(body: Body) -> Json:
    return {
        field.encode_name: msgspec.to_builtins(value)
        for field in msgspec.structs.fields(body)
        if (value := getattr(body, field.name)) is not msgspec.UNSET
        and (field.required or value != field.default)
    }


def _plain(value: Any) -> Any:
    """Return a part of the document without redundant members."""
    if isinstance(value, list):
        return [_plain(it) for it in value]
    if not isinstance(value, dict):
        return value
    plain = {name: _plain(it) for name, it in value.items() if not _is_idle(name, it)}
    if len(alternatives := plain.get("oneOf", ())) == 1:
        del plain["oneOf"]
        plain = {**alternatives[0], **plain}
    return plain


def _is_idle(name: str, value: Any) -> bool:
    return (name, value) in (
        ("deprecated", False),
        ("allowEmptyValue", False),
        ("allowReserved", False),
    )
