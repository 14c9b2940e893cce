"""Around the whole application: a request id on every answer, a line in the log.

Litestar's own middleware does not run for routes that do not match; this does.
"""

import logging
import os
import re
import time
from typing import Final

import attrs
import structlog
from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send

from payments_service.logs import REQUEST_ID

_GIVEN_ID: Final = re.compile(rb"[A-Za-z0-9_-]{1,64}")
_FAILED: Final = 400
_LOG: Final = logging.getLogger()


def _request_id(scope: HTTPScope) -> str:
    """Return the caller's id if it is a harmless one, else a new one."""
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _GIVEN_ID.fullmatch(value):
            return value.decode()
    return os.urandom(8).hex()


@attrs.frozen
class RequestContext:
    app: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await self.app(scope, receive, send)
            return
        request_id = _request_id(scope)
        scope.setdefault("state", {})["request_id"] = request_id
        started, status = time.perf_counter(), 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = [*message.get("headers", ())]
                headers.append((b"x-request-id", request_id.encode()))
                message = {**message, "headers": headers}
            await send(message)

        # Each request is a task with a context of its own: nothing has to be unbound.
        REQUEST_ID.set(request_id)
        await self.app(scope, receive, send_with_id)
        # Each success is in the database already; the ingress counts the rest.
        if status >= _FAILED or _LOG.isEnabledFor(logging.DEBUG):
            structlog.get_logger().log(
                logging.INFO if status >= _FAILED else logging.DEBUG,
                "request",
                method=scope["method"],
                path=_template(scope),
                status=status,
                ms=round((time.perf_counter() - started) * 1e3, 1),
            )


def _template(scope: HTTPScope) -> str:
    """Return the route, not the path: a path holds ids and e-mails."""
    return str(scope.get("path_template") or "unmatched")
