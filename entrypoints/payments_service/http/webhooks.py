"""What the gateway reports. 200 after the event is committed, and never before."""

from typing import Final

from litestar import Response, Router, post
from litestar.di import NamedDependency

from payments_core.use_cases import ReceiveEvent
from payments_service.http.requests import HttpRequest, raw_body
from payments_service.http.schemas import ReceiptOut

CHARGE_SUCCEEDED: Final = "charge.succeeded"
CHARGE_FAILED: Final = "charge.failed"


async def _receive(
    request: HttpRequest, receive: ReceiveEvent, only: str | None
) -> Response[ReceiptOut]:
    body = await raw_body(request)
    signature = request.headers.get("stripe-signature", "")
    return Response(ReceiptOut.of(await receive(body, signature, only=only)))


@post("/stripe", status_code=200)
async def any_event(
    request: HttpRequest, receive: NamedDependency[ReceiveEvent]
) -> Response[ReceiptOut]:
    return await _receive(request, receive, None)


@post("/charge/succeeded", status_code=200)
async def charge_succeeded(
    request: HttpRequest, receive: NamedDependency[ReceiveEvent]
) -> Response[ReceiptOut]:
    return await _receive(request, receive, CHARGE_SUCCEEDED)


@post("/charge/failed", status_code=200)
async def charge_failed(
    request: HttpRequest, receive: NamedDependency[ReceiveEvent]
) -> Response[ReceiptOut]:
    return await _receive(request, receive, CHARGE_FAILED)


ROUTER: Final = Router(
    "/webhooks", route_handlers=[any_event, charge_succeeded, charge_failed]
)
