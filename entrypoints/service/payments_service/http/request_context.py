"""Around the whole application: a request id on every answer, a line in the log.

Litestar's own middleware does not run for routes that do not match; this does.
"""

import logging
import os
import re
import time
from typing import Final
from urllib.parse import unquote

import attrs
import structlog
from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send

from payments_core.identity import Email, UserId
from payments_service.card_data import holds_card_number
from payments_service.logs import REQUEST_ID
from payments_service.presentation.arguments import user_named

_GIVEN_ID: Final = re.compile(rb"[A-Za-z0-9_-]{1,64}")
_FAILED: Final = 400
# Stands for "/" within a segment of a path. A character of private use: it is printable
# nowhere, so no id and no e-mail has it.
_SLASH: Final = "\ue000"
_LOG: Final = logging.getLogger()


def _request_id(scope: HTTPScope) -> str:
    """Return the caller's id if it is a harmless one, else a new one."""
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _GIVEN_ID.fullmatch(value):
            # It is logged, and sent back.
            text = value.decode()
            return os.urandom(8).hex() if holds_card_number(text) else text
    return os.urandom(8).hex()


def user_in_path(text: str) -> UserId | Email:
    """Read `{user}` of a path, in which an e-mail's "/" is written `%2F`.

    Raises:
        InvalidValue: neither an e-mail nor an id.
    """
    return user_named(text.replace(_SLASH, "/"))


def _path(raw: bytes) -> str:
    """Return a path that is divided where it was before it was decoded.

    The server decodes it as a whole, and a `%2F` would divide a segment in two.
    """
    segments = raw.decode("ascii", "replace").split("/")
    return "/".join(unquote(it).replace("/", _SLASH) for it in segments)


@attrs.frozen
class RequestContext:
    app: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await self.app(scope, receive, send)
            return
        if b"%2" in scope["raw_path"]:
            scope["path"] = _path(scope["raw_path"])
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
