"""The sandbox as an ASGI application: Stripe's API, and the faults of a network.

`/v1/…` and `/v2/…` are Stripe's API, answered (or not answered) byte for byte here:
Litestar serves the rest (`control`).
"""

import asyncio
from collections.abc import Mapping
from typing import Any, Final

import attrs
import msgspec
from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPScope, Receive, Scope, Send

from payments_sandbox.api import BODY_BYTES_MAX, ApiRequest, ApiResponse
from payments_sandbox.chaos import Fault
from payments_sandbox.control import create_control
from payments_sandbox.engine import Engine, Progress, Until
from payments_sandbox.webhook_sender import WebhookSender

# Longer than the SDK's timeout (80 s), so that the client gives up.
HOLD_S: Final = 120.0
_STRIPES: Final = ("/v1/", "/v2/")
_SLOW_PIECES: Final = 8
_SLOW_PAUSE_S: Final = 0.1
_LIMITED: Final = {
    "error": {
        "code": "rate_limit",
        "doc_url": "https://docs.stripe.com/error-codes#rate-limit",
        "message": "Request rate limit exceeded.",
        "type": "invalid_request_error",
    }
}
_FAILS: Final = {Fault.ERROR_BEFORE: "before", Fault.ERROR_AFTER: "after"}


@attrs.define
class SandboxApp:
    """One sandbox, to be served, or called in process."""

    engine: Engine
    sender: WebhookSender
    _control: ASGIApp = attrs.field(init=False)
    _news: asyncio.Event = attrs.field(init=False, factory=asyncio.Event)
    _time: asyncio.Lock = attrs.field(init=False, factory=asyncio.Lock)

    def __attrs_post_init__(self) -> None:
        self._control = create_control(self.engine, self.advance, self.tell)

    @classmethod
    def of(
        cls, engine: Engine, *, at_once: int = 1, endpoints_at_once: int = 1
    ) -> "SandboxApp":
        return cls(engine, WebhookSender(engine, at_once, endpoints_at_once))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == ScopeType.HTTP and scope["path"].startswith(_STRIPES):
            await self._answer(scope, receive, send)
        else:
            await self._control(scope, receive, send)

    async def advance(self, until: Until, progress: Progress = lambda _: None) -> int:
        """Let time pass, as `Engine.advance`; everything due is delivered meanwhile.

        One call at a time: `until` counts from the time at which the call's turn comes.

        Raises:
            ValueError: `until` is in the past, or not a span.
        """
        async with self._time:
            return await self.engine.advance(until, self.sender.flush, progress)

    async def flush(self) -> None:
        """Deliver what is due now."""
        self.engine.outbox.publish()
        await self.sender.flush()

    async def deliver(self) -> None:
        """Wait until something may be due, and deliver it."""
        await self._news.wait()
        self._news.clear()
        try:
            await self.sender.flush()
        except Exception:
            self._news.set()
            raise

    def tell(self) -> None:
        """Signal that something may be due."""
        self.engine.outbox.publish()
        self._news.set()

    async def _answer(self, scope: HTTPScope, receive: Receive, send: Send) -> None:
        request = await _request(scope, receive)
        if request is None:
            return
        fault = self.engine.chaos.for_call(request.method, request.path)
        match fault:
            case Fault.RATE_LIMITED | Fault.RATE_LIMITED_RETRY_AFTER:
                await _send(send, _limited(fault))
            case Fault.TIMEOUT_BEFORE:
                await self._hold(request, receive)
            case _:
                fails = _FAILS.get(fault) if fault else None
                response = self.engine.answer(request, fails=fails)
                await self._faulty(fault, request, response, receive, send)
                self._news.set()

    async def _faulty(
        self,
        fault: Fault | None,
        request: ApiRequest,
        response: ApiResponse,
        receive: Receive,
        send: Send,
    ) -> None:
        match fault:
            case Fault.TIMEOUT_AFTER:
                self._news.set()
                await self._hold(request, receive)
            case Fault.RESET:
                await _cut(send, response)
            case Fault.SLOW:
                await self._drip(request, response, send)
            case Fault.OVERTAKE:
                await self.sender.rush()
                await _send(send, response)
            case _:
                await _send(send, response)

    async def _hold(self, request: ApiRequest, receive: Receive) -> None:
        """Answer nothing until the client gives up."""
        key = self.engine.api.key_of(request)
        held = {key} if key else set()
        self.engine.api.busy |= held
        try:
            async with asyncio.timeout(HOLD_S):
                while (await receive())["type"] != "http.disconnect":
                    pass
        except TimeoutError:
            # The client waits too long; the server ends the request.
            return
        finally:
            self.engine.api.busy -= held

    async def _drip(
        self, request: ApiRequest, response: ApiResponse, send: Send
    ) -> None:
        key = self.engine.api.key_of(request)
        held = {key} if key else set()
        self.engine.api.busy |= held
        try:
            await send(_start(response))
            size = max(1, -(-len(response.body) // _SLOW_PIECES))
            for at in range(0, len(response.body), size):
                piece = response.body[at : at + size]
                await send(_piece(piece, more=True))
                await asyncio.sleep(_SLOW_PAUSE_S)
            await send(_piece(b"", more=False))
        finally:
            self.engine.api.busy -= held


async def _request(scope: HTTPScope, receive: Receive) -> ApiRequest | None:
    """Read a request; None if the client disconnected."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None
        # A body that is too long is read on, and refused for its length.
        if len(body) <= BODY_BYTES_MAX:
            body += message["body"]
        if not message.get("more_body"):
            break
    return ApiRequest(
        method=scope["method"],
        path=scope["path"],
        query=scope["query_string"].decode("latin-1"),
        body=bytes(body),
        headers={
            name.decode("latin-1").lower(): value.decode("latin-1")
            for name, value in scope["headers"]
        },
    )


def _limited(fault: Fault) -> ApiResponse:
    headers = {
        "Content-Type": "application/json",
        "Stripe-Rate-Limited-Reason": "endpoint-rate",
        "Stripe-Should-Retry": "true",
    }
    if fault is Fault.RATE_LIMITED_RETRY_AFTER:
        headers["Retry-After"] = "1"
    return ApiResponse(status=429, body=msgspec.json.encode(_LIMITED), headers=headers)


def _start(response: ApiResponse) -> Any:  # Litestar's messages are typed too narrowly
    headers: Mapping[str, str] = {
        **response.headers,
        "Content-Length": str(len(response.body)),
    }
    return {
        "type": "http.response.start",
        "status": response.status,
        "headers": [
            (name.lower().encode("latin-1"), value.encode("latin-1"))
            for name, value in headers.items()
        ],
    }


def _piece(body: bytes, *, more: bool) -> Any:  # see above
    return {"type": "http.response.body", "body": body, "more_body": more}


async def _send(send: Send, response: ApiResponse) -> None:
    await send(_start(response))
    await send(_piece(response.body, more=False))


async def _cut(send: Send, response: ApiResponse) -> None:
    """Send half an answer, and close the connection."""
    await send(_start(response))
    await send(_piece(response.body[: len(response.body) // 2], more=True))
    # The written bytes must be sent before the connection is closed.
    await asyncio.sleep(0)
    transport = getattr(getattr(send, "__self__", None), "transport", None)
    if transport is not None:
        transport.close()
        await asyncio.sleep(0)
