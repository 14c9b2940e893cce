"""The contract of the payment gateway, on the real SDK over HTTP, against a sandbox."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import timedelta
from types import MappingProxyType
from typing import Any, Final

import attrs
import pytest

from contracts import every_contract_of
from contracts.gateway_world import (
    CHEAP_MINOR,
    COLLECTED,
    DEAR_MINOR,
    GatewayFault,
)
from payments_adapters.stripe.gateway import StripeGateway
from payments_adapters.stripe.transport import Transport
from payments_core.gateway import GatewayRequest
from payments_core.identity import CustomerId
from payments_core.payment import PaymentId
from payments_sandbox import Fault, Sandbox
from support.sandbox import Api
from support.sdk_client import SDK_MARKS, SdkClient, opened

pytestmark = SDK_MARKS

# Far more than a sandbox on this machine takes, and a short wait without result.
DEADLINE_S: Final = 1.0
FAULTS: Final[Mapping[GatewayFault, Fault]] = MappingProxyType(
    {
        GatewayFault.REPLY_LOST: Fault.RESET,
        GatewayFault.ERROR_MADE: Fault.ERROR_AFTER,
        GatewayFault.ERROR_NOT_MADE: Fault.ERROR_BEFORE,
        GatewayFault.RATE_LIMITED: Fault.RATE_LIMITED,
        GatewayFault.TIMEOUT_BEFORE: Fault.TIMEOUT_BEFORE,
        GatewayFault.TIMEOUT_AFTER: Fault.TIMEOUT_AFTER,
    }
)
MADE: Final = ("customer", "setup_intent", "subscription")


@attrs.frozen
class SandboxWorld:
    """A Stripe gateway, and the sandbox that it calls as Stripe."""

    gateway: StripeGateway
    sandbox: Sandbox
    product: str
    price: str
    dearer: str

    def _post(self, path: str, **params: Any) -> Any:
        return self._do(lambda: Api(self.sandbox.engine).post(path, **params))

    def _do(self, work: Callable[[], Any]) -> Any:
        # Its engine is its own thread's.
        return self.sandbox._do(work)

    def plan(self, fault: GatewayFault, request: GatewayRequest) -> None:
        frozen = self.gateway.freeze(request)
        self.sandbox.plan(FAULTS[fault], f"{frozen.method.upper()} {frozen.path}")

    def new_card(self, name: str) -> str:
        token = f"tok_{name.removeprefix('pm_card_')}"
        made = self._post("payment_methods", type="card", card={"token": token})
        return str(made["id"])

    def complete_set_up(self, set_up_id: str, payment_method: str) -> None:
        self._post(f"setup_intents/{set_up_id}/confirm", payment_method=payment_method)

    def authenticate(self, invoice_id: str, *, accept: bool) -> None:
        self.sandbox.authenticate(self._intent_of(invoice_id), succeed=accept)

    def _intent_of(self, invoice_id: str) -> str:
        world = self.sandbox.engine.world
        intent = self._do(lambda: world.intent_of(world.get("invoice", invoice_id)))
        return str(intent["id"])

    def happen(self, count: int) -> Sequence[str]:
        events = self.sandbox.engine.world.events
        before = len(events)
        for number in range(count):
            self._post("customers", name=f"Ada {number}")
        return list(events)[before:]

    def lose(self, event_id: str) -> None:
        self.sandbox.engine.world.undelivered[event_id] = {"we_1"}

    def pass_time(self, by: timedelta) -> None:
        self.sandbox.advance(self.sandbox.now + by)

    def pass_month(self) -> None:
        self.sandbox.advance("1 month")
        self.pass_time(COLLECTED)

    def made_by(self, intent_id: str) -> Sequence[str]:
        return [
            it["id"]
            for kind in MADE
            for it in self.sandbox.objects(kind)
            if it["metadata"].get("intent_id") == intent_id
        ]

    def taken_from(self, customer_id: CustomerId) -> Sequence[int]:
        return [
            charge["amount"]
            for charge in self._charges(customer_id)
            if charge["status"] == "succeeded"
        ]

    def attempts_at(self, customer_id: CustomerId) -> Sequence[PaymentId]:
        return [PaymentId(it["id"]) for it in self._charges(customer_id)]

    def _charges(self, customer_id: CustomerId) -> Sequence[Mapping[str, Any]]:
        charges = self.sandbox.objects("charge")
        return [it for it in charges if it["customer"] == customer_id]


@pytest.fixture
async def world(sandbox: Sandbox) -> AsyncIterator[SandboxWorld]:
    """Start a new sandbox; every request and answer must conform to the SDK's types."""
    gateway = StripeGateway(sandbox.api_key, base=sandbox.url, livemode=False)
    transport = Transport(deadline_s=DEADLINE_S)
    async with opened(sandbox) as sdk, gateway.opened(transport):
        yield SandboxWorld(gateway, sandbox, *await _prices(sdk))


async def _prices(sdk: SdkClient) -> tuple[str, str, str]:
    """Return a product, its default price, and a more expensive one."""
    cheap = await sdk.price(CHEAP_MINOR)
    product = cheap.product if isinstance(cheap.product, str) else cheap.product.id
    dear = await sdk.v1.prices.create_async(
        {
            "currency": "eur",
            "unit_amount": DEAR_MINOR,
            "recurring": {"interval": "month"},
            "product": product,
        }
    )
    await sdk.v1.products.update_async(product, {"default_price": cheap.id})
    return product, cheap.id, dear.id


@every_contract_of("world")
class TestStripeGateway:
    """Every contract of a gateway, against Stripe's API."""
