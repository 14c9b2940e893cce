"""A span for each request, named by its route; it continues the caller's trace."""

from typing import Final

import attrs
from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send
from opentelemetry.context import Context
from opentelemetry.trace import (
    Span,
    SpanKind,
    Status,
    StatusCode,
    Tracer,
)
from opentelemetry.trace.propagation.tracecontext import (
    TraceContextTextMapPropagator,
)

from payments_service.card_data import holds_card_number, surrounds_card_number
from payments_service.presentation import PREFIX
from payments_service.tallies import METHODS, UNMATCHED
from payments_service.tracing.calls import begun

_FAULT: Final = 500
_PUBLIC: Final = f"{PREFIX}/webhooks/"
_PROPAGATOR: Final = TraceContextTextMapPropagator()


@attrs.frozen
class TracedRequests:
    """An application; each request is a span, named by its path template."""

    _app: ASGIApp
    _tracer: Tracer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        method = scope["method"] if scope["method"] in METHODS else "_OTHER"
        word = "HTTP" if method == "_OTHER" else method
        span = self._tracer.start_span(
            word,
            _caller(scope),
            SpanKind.SERVER,
            {"http.request.method": method, "url.scheme": scope["scheme"]},
        )

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                _tell_status(span, message["status"])
            await send(message)

        # For HEAD the application gets another scope, with the same state.
        state = scope.setdefault("state", {})
        with begun(span):
            try:
                await self._app(scope, receive, sent)
            finally:
                route = state.get("route", UNMATCHED)
                if route != UNMATCHED:
                    span.set_attribute("http.route", route)
                    span.update_name(f"{word} {route}")


def _tell_status(span: Span, status: int) -> None:
    span.set_attribute("http.response.status_code", status)
    if status >= _FAULT:
        span.set_attribute("error.type", str(status))
        span.set_status(Status(StatusCode.ERROR))


def _caller(scope: HTTPScope) -> Context:
    """Return the parent of the request: the caller's span, if it names one.

    `tracestate` and `baggage` are not read: their content is arbitrary, and would be in
    every span. Anybody can send a webhook: its trace begins here.
    """
    given = [value for name, value in scope["headers"] if name == b"traceparent"]
    if len(given) != 1 or scope["path"].startswith(_PUBLIC):
        return Context()
    parent = given[0].decode("latin-1")
    if holds_card_number(parent) or surrounds_card_number(parent):
        return Context()
    return _PROPAGATOR.extract({"traceparent": parent}, Context())
