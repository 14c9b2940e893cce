"""A server in Stripe's place with the answers that a test wants, and their bodies."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from email.utils import formatdate
from http import HTTPStatus
from typing import Any, Final

import attrs
import pytest

from payments_adapters.stripe.gateway import StripeGateway
from payments_adapters.stripe.transport import Transport
from payments_core.errors import (
    PaymentsError,
)
from payments_core.gateway import (
    CreateCustomer,
    GatewayRequest,
)
from payments_core.identity import CustomerId, UserId

KEY: Final = "sk_test_" + "x" * 16
PATIENCE_S: Final = 30.0
ADA: Final = UserId("ada")

CREATE: Final = CreateCustomer(
    user_id=ADA, email="ada@example.com", intent_id="intent-1"
)


@attrs.define
class Liar:
    """Answers with the same bytes, or by path; may delay them."""

    url: str = ""
    answer: bytes = b""
    answers: Mapping[str, bytes] = attrs.field(factory=dict)
    asked: list[bytes] = attrs.field(factory=list)
    holds: bool = False
    drips: bool = False
    _over: asyncio.Event = attrs.field(factory=asyncio.Event)

    async def serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        try:
            self.asked.append(await reader.readuntil(b"\r\n\r\n"))
            path = self.asked[-1].split(b" ")[1].partition(b"?")[0].decode()
            writer.write(self.answers.get(path, self.answer))
            await writer.drain()
            while self.drips:
                # One byte each time that another task runs.
                writer.write(b" ")
                await writer.drain()
                await asyncio.sleep(0)
            if self.holds:
                await self._over.wait()
        except (ConnectionError, asyncio.IncompleteReadError):
            return
        finally:
            writer.close()

    def end(self) -> None:
        self.drips = False
        self._over.set()


@asynccontextmanager
async def lying(
    answer: bytes = b"",
    *,
    livemode: bool = False,
    deadline_s: float = PATIENCE_S,
    holds: bool = False,
    drips: bool = False,
) -> AsyncIterator[tuple[StripeGateway, Liar]]:
    """Lend a gateway whose Stripe is this server."""
    liar = Liar(answer=answer, holds=holds, drips=drips)
    server = await asyncio.start_server(liar.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    liar.url = f"http://127.0.0.1:{port}"
    gateway = StripeGateway(KEY, base=liar.url, livemode=livemode)
    async with gateway.opened(Transport(deadline_s=deadline_s)):
        try:
            yield gateway, liar
        finally:
            liar.end()
            server.close()
            await server.wait_closed()


def answer(
    body: bytes | dict[str, Any] | list[Any],
    status: int = HTTPStatus.OK,
    **headers: str,
) -> bytes:
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    usual = {
        "Date": formatdate(0, usegmt=True),
        "Content-Type": "application/json",
        "Content-Length": str(len(body)),
        "Connection": "close",
    }
    given_ = {name.replace("_", "-").title(): it for name, it in headers.items()}
    lines = [f"{name}: {it}" for name, it in (usual | given_).items() if it]
    head = "\r\n".join([f"HTTP/1.1 {status} Whatever", *lines, "", ""])
    return head.encode() + body


CUSTOMER: Final[dict[str, Any]] = {
    "id": "cus_1",
    "object": "customer",
    "livemode": False,
    "metadata": {"intent_id": "intent-1"},
    "invoice_settings": {"default_payment_method": "pm_1"},
}


async def failure_of(gateway: StripeGateway, request: GatewayRequest = CREATE) -> Any:
    frozen = gateway.freeze(request)
    with pytest.raises(PaymentsError) as failure:
        await gateway.send(request, frozen, idempotency_key="key-1")
    return failure.value


CUS_1: Final = CustomerId("cus_1")
METHOD: Final[dict[str, Any]] = {
    "id": "pm_1",
    "object": "payment_method",
    "customer": "cus_1",
    "card": {"brand": "visa", "last4": "4242", "exp_month": 1, "exp_year": 2030},
}
INVOICE: Final = {"id": "in_1", "object": "invoice", "status": "paid"}
