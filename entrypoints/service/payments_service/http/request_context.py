"""A wrapper of the whole application, for every request and every answer.

It adds a request id, headers against caching and sniffing, HEAD for every GET, the
check for one Host, the limits of the lanes, and a log line. Litestar's own middleware
does not run for paths that match no route; this does.
"""

import asyncio
import logging
import os
import re
import time
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Final, Self
from urllib.parse import unquote

import attrs
import structlog
from litestar import Litestar
from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send

from payments_core.errors import Overloaded
from payments_core.identity import Email, UserId
from payments_service.card_data import holds_card_number
from payments_service.http.problems import BUG, HttpProblem, send_problem
from payments_service.lanes import LANE, Lane, unlimited
from payments_service.logs import REQUEST_ID
from payments_service.presentation.arguments import user_named
from payments_service.tallies import SHED, UNMATCHED, RequestTallies

_GIVEN_ID: Final = re.compile(rb"[A-Za-z0-9_-]{1,64}")
_FAILED: Final = 400
_NOT_ALLOWED: Final = 405
_BODY: Final = "http.response.body"
# Stands for "/" within a segment of a path. It is a private-use character, which is not
# printable, so no id and no e-mail contains it.
_SLASH: Final = "\ue000"
_LOG: Final = logging.getLogger()
_BAD_HOST: Final = HttpProblem(
    HTTPStatus.BAD_REQUEST,
    "bad_host",
    "a request must have one Host (RFC 9112, section 3.2)",
)
_NOT_FOUND: Final = HttpProblem(
    HTTPStatus.NOT_FOUND, "not_found", HTTPStatus.NOT_FOUND.description
)
# Litestar treats it as one slash: a proxy, and the lanes, would see another path.
_DOUBLED: Final = b"//"
_ENDING: Final = HttpProblem(
    HTTPStatus.SERVICE_UNAVAILABLE,
    "shutting_down",
    "the process is shutting down before it has an answer: retry the request",
)
_OVERLOADED: Final = HttpProblem(
    HTTPStatus.SERVICE_UNAVAILABLE, Overloaded.code, Overloaded.message
)
_NO_SNIFFING: Final = (b"x-content-type-options", b"nosniff")
_NO_STORE: Final = (b"cache-control", b"no-store")

_Header = tuple[bytes, bytes]


def _read(scope: HTTPScope) -> tuple[str, HttpProblem | None]:
    """Return the request's id, and what is wrong with its `Host` or its path.

    The id is the caller's if it is harmless, else a new one.
    """
    request_id, hosts = "", 0
    for name, value in scope["headers"]:
        if name == b"host":
            hosts += 1
        elif name == b"x-request-id" and not request_id and _GIVEN_ID.fullmatch(value):
            # The id is logged and sent back.
            request_id = "" if holds_card_number(value.decode()) else value.decode()
    wrong = None
    if hosts != 1 and (hosts > 1 or scope["http_version"] != "1.0"):
        wrong = _BAD_HOST
    elif _DOUBLED in scope["raw_path"]:
        wrong = _NOT_FOUND
    return request_id or os.urandom(8).hex(), wrong


def _allowing(name: bytes, value: bytes, known: frozenset[bytes]) -> _Header:
    """Return a header; add to `Allow` the known methods, and HEAD if it has GET."""
    if name != b"allow":
        return name, value
    methods = {method.strip() for method in value.split(b",")} | known
    if b"GET" in methods:
        methods.add(b"HEAD")
    return name, b", ".join(sorted(methods))


def user_in_path(text: str) -> UserId | Email:
    """Read `{user}` of a path, in which an e-mail's "/" is written `%2F`.

    Raises:
        InvalidValue: the text is neither an e-mail nor an id.
    """
    return user_named(text.replace(_SLASH, "/"))


def _path(raw: bytes) -> str:
    """Return the decoded path, with the segments that it had before decoding.

    The server decodes the path as a whole, and a `%2F` would split a segment.
    """
    segments = raw.decode("ascii", "replace").split("/")
    return "/".join(unquote(it).replace("/", _SLASH) for it in segments)


@attrs.define
class _Answer:
    """Sends the application's answer with added headers; `status` is 0 before it."""

    _scope: HTTPScope
    _request_id: str
    _allowed: Mapping[str, frozenset[bytes]]
    _send: Send
    status: int = 0

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = [*message.get("headers", ()), _NO_SNIFFING]
            headers.append((b"x-request-id", self._request_id.encode()))
            # The answer may contain a secret, and a proxy might cache it.
            if b"cache-control" not in dict(headers):
                headers.append(_NO_STORE)
            if self._scope["method"] == "OPTIONS" or self.status == _NOT_ALLOWED:
                known = self._allowed.get(_template(self._scope), frozenset())
                headers = [_allowing(*header, known) for header in headers]
            message = {**message, "headers": headers}
        elif message["type"] == _BODY and self._scope["method"] == "HEAD":
            message = {**message, "body": b""}
        await self._send(message)

    async def instead(self, error: BaseException) -> None:
        """Answer with a problem if the application failed before it answered."""
        if not self.status:
            problem = _ENDING if isinstance(error, asyncio.CancelledError) else BUG
            await send_problem(problem, self._request_id, self)


@attrs.frozen
class RequestContext:
    """Wraps an application; `_allowed` has the methods of each route's template.

    The first lane whose path prefix and methods match applies; otherwise the last one.
    """

    app: ASGIApp
    _allowed: Mapping[str, frozenset[bytes]] = attrs.field(factory=dict)
    _lanes: Sequence[Lane] = attrs.field(factory=lambda: [unlimited()])
    _tallies: RequestTallies = attrs.field(factory=RequestTallies)

    @classmethod
    def of(
        cls,
        app: Litestar,
        lanes: Sequence[Lane] | None = None,
        tallies: RequestTallies | None = None,
    ) -> Self:
        # If a path has two handlers, Litestar's answer to OPTIONS has only one of them.
        return cls(
            app,
            {
                route.path_format: frozenset(it.encode() for it in route.methods)
                for route in app.routes
            },
            lanes or [unlimited()],
            tallies or RequestTallies(),
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await self.app(scope, receive, send)
            return
        if b"%2" in scope["raw_path"]:
            scope["path"] = _path(scope["raw_path"])
        request_id, wrong = _read(scope)
        scope.setdefault("state", {})["request_id"] = request_id
        started = time.perf_counter()
        answer = _Answer(scope, request_id, self._allowed, send)
        method: str = scope["method"]
        if method == "HEAD":
            # A copy of the scope: the server reads its own, and then sends no body.
            scope = {**scope, "method": "GET"}
        # Each request is a task with its own context, so this needs no reset.
        REQUEST_ID.set(request_id)
        # Inline, without a function call, because every webhook passes here.
        lane = self._lanes[-1]
        for it in self._lanes:
            is_method = it.methods is None or method in it.methods
            if is_method and scope["path"].startswith(it.path):
                lane = it
                break
        if lane.in_flight_count >= lane.limit:
            # Not logged: a log line costs more than the answer.
            lane.on_shed(lane.name)
            await send_problem(_OVERLOADED, request_id, answer)
            tally = self._tallies.of(method, SHED, answer.status)
            tally.add(time.perf_counter() - started)
            return
        lane.in_flight_count += 1
        tallies = self._tallies
        tallies.in_flight_count += 1
        LANE.set(lane)
        try:
            if wrong is None:
                await self.app(scope, receive, answer)
            else:
                await send_problem(wrong, request_id, answer)
        except BaseException as error:
            await answer.instead(error)
            raise
        finally:
            lane.in_flight_count -= 1
            tallies.in_flight_count -= 1
            # Inline, without a function call, once such an answer was counted.
            took = time.perf_counter() - started
            route = scope.get("path_template") or UNMATCHED
            # For a wrapper of this application, such as tracing.
            scope["state"]["route"] = route
            key = method, route, answer.status
            tally = tallies.answers.get(key) or tallies.of(*key)
            tally.counts[bisect_left(tally.bounds, took)] += 1
            tally.total += took
        # A success is stored in the database, and the ingress counts all requests.
        if answer.status >= _FAILED or _LOG.isEnabledFor(logging.DEBUG):
            structlog.get_logger().log(
                logging.INFO if answer.status >= _FAILED else logging.DEBUG,
                "request",
                method=method,
                path=_template(scope),
                status=answer.status,
                ms=round(took * 1e3, 1),
            )


def _template(scope: HTTPScope) -> str:
    """Return the route, not the path, because a path contains ids and e-mails."""
    return str(scope.get("path_template") or UNMATCHED)
