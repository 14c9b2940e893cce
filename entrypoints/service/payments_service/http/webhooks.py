"""The gateway's webhooks. The answer is 200 after the event is committed, never before.

The handlers are plain ASGI below Litestar's routing and error handling: a webhook has
no parameters to parse, and the framework's handler would double its cost.
"""

from typing import Annotated, Any, Final

import msgspec
from litestar import Router, asgi, post
from litestar.exceptions import MethodNotAllowedException
from litestar.handlers import ASGIRouteHandler, HTTPRouteHandler
from litestar.openapi import ResponseSpec
from litestar.params import BodyKwarg, HeaderParameter
from litestar.types import Receive, Scope, Send

from payments_core.errors import (
    BadSignature,
    EventTypeMismatch,
    Overloaded,
    PaymentsError,
    StoreUnavailable,
)
from payments_core.events import UNREADABLE
from payments_core.ports import EventReader
from payments_service.http.problems import MEDIA_TYPE, HttpProblem, Problem
from payments_service.http.refusals import refuses
from payments_service.http.requests import check_json, headers_of, read_body
from payments_service.http.schemas import ReceiptOut
from payments_service.ingest_queue import IngestQueue
from payments_service.webhook_reports import DUPLICATE, FAILED, WebhookReports

# Two routes take a single type of event, one takes all.
TYPES: Final = {
    "/charge/succeeded": "charge.succeeded",
    "/charge/failed": "charge.failed",
    "/stripe": None,
}
_SUMMARIES: Final = {
    "/charge/succeeded": "Receive an event of a charge that succeeded.",
    "/charge/failed": "Receive an event of a charge that failed.",
    "/stripe": "Receive an event of any type, snapshot or thin.",
}
_TOLD: Final = (
    "The answer is sent after the event is committed. A signed event that cannot be "
    "read, or is not for this deployment, is stored as quarantined and answered 200."
)
_ALLOW: Final = (b"allow", b"OPTIONS, POST")


def webhooks(
    reader: EventReader, ingest: IngestQueue, reports: WebhookReports
) -> Router:
    """Return the webhook routes."""
    return Router(
        "/webhooks",
        route_handlers=[
            _route(path, reader, ingest, only, reports) for path, only in TYPES.items()
        ],
    )


def _route(
    path: str,
    reader: EventReader,
    ingest: IngestQueue,
    only: str | None,
    reports: WebhookReports,
) -> ASGIRouteHandler:
    async def webhook(scope: Scope, receive: Receive, send: Send) -> None:
        method: str = scope["method"]  # type: ignore[typeddict-item]  # HTTP alone comes here
        if method == "OPTIONS":
            await send(
                {"type": "http.response.start", "status": 204, "headers": [_ALLOW]}
            )
            await send({"type": "http.response.body", "body": b"", "more_body": False})
            return
        if method != "POST":
            raise MethodNotAllowedException(headers={"allow": "OPTIONS, POST"})
        headers = headers_of(scope)
        try:
            check_json(headers)
            body = await read_body(headers, receive)
            # Two signatures are joined, and the verifier refuses that.
            signature = headers.get(b"stripe-signature", b"").decode("latin-1")
            event = reader.read(body, signature)
            if only is not None and event.type not in {only, f"v1.{only}", UNREADABLE}:
                raise EventTypeMismatch(only)  # counted as the others
        except Overloaded:
            # The request is not wrong: it is counted as shed.
            raise
        except (HttpProblem, PaymentsError) as refusal:
            reports.refuse(refusal)
            raise
        outcome: str = FAILED
        try:
            receipt = await ingest(event)
            outcome = receipt.outcome.state if receipt.outcome else DUPLICATE
        finally:
            # Inline, without a function call, except for the first of its kind.
            key = event.type, outcome
            if key in reports.received:
                reports.received[key] += 1
            else:
                reports.receive(*key)
        body = msgspec.json.encode(ReceiptOut.of(receipt))
        length = (b"content-length", str(len(body)).encode())
        shown = [(b"content-type", b"application/json"), length]
        await send({"type": "http.response.start", "status": 200, "headers": shown})
        await send({"type": "http.response.body", "body": body, "more_body": False})

    return asgi(path, copy_scope=False)(webhook)


Signature = Annotated[
    str,
    HeaderParameter(
        name="Stripe-Signature",
        description="`t=…,v1=…`: a signature of the time and the raw body, with the "
        "secret of the endpoint.",
    ),
]


def described() -> Router:
    """Return the same routes as Litestar handlers, for the OpenAPI document.

    They are never served: a test compares them with the routes that are.
    """
    return Router(
        "/webhooks",
        route_handlers=[_description(path, only) for path, only in TYPES.items()],
    )


def _description(path: str, only: str | None) -> HTTPRouteHandler:
    taken: dict[str, object] = {"type": "string"}
    if only is not None:
        taken["enum"] = [only, f"v1.{only}"]

    async def webhook(
        data: Annotated[
            dict[str, Any],
            BodyKwarg(
                media_type="application/json",
                description="The event, as Stripe sends it.",
                schema_extra={
                    "properties": {"id": {"type": "string"}, "type": taken},
                    "required": ["id", "type"],
                },
            ),
        ],
        signature: Signature,
    ) -> ReceiptOut:
        # It only describes the route, which is in `webhooks`.
        raise NotImplementedError

    webhook.__doc__ = f"{_SUMMARIES[path]}\n\n{_TOLD}"
    refused = [BadSignature] if only is None else [BadSignature, EventTypeMismatch]
    return post(
        path,
        status_code=200,
        operation_id=f"webhook{path.replace('/', '_')}",
        responses={
            400: ResponseSpec(Problem, generate_examples=False, media_type=MEDIA_TYPE)
        },
        opt=refuses(*refused, Overloaded, StoreUnavailable),
    )(webhook)
