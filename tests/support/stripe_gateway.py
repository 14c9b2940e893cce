"""The Stripe gateway in front of a sandbox, for tests of it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import attrs
import pytest

from payments_adapters.stripe.gateway import StripeGateway
from payments_adapters.stripe.transport import Transport
from payments_core.gateway import Answer, CreateSubscription, GatewayRequest
from payments_core.identity import CustomerId
from payments_core.subscription import SubscriptionReport
from payments_sandbox import Sandbox
from payments_sandbox.api import ApiRequest, ApiResponse
from support.lying_stripe import ADA, PATIENCE_S
from support.sandbox import Api, Conformance


@attrs.frozen
class Place:
    """A gateway, the sandbox that it calls as Stripe, and its requests."""

    gateway: StripeGateway
    sandbox: Sandbox
    asked: list[ApiRequest]

    def api(self, method: str, path: str, **params: Any) -> Any:
        """Act at Stripe as somebody else."""
        # Its engine is its own thread's.
        api = Api(self.sandbox.engine)
        return self.sandbox._do(lambda: api.call(method, path, params))

    def post(self, path: str, **params: Any) -> Any:
        return self.api("POST", path, **params)

    def price(self, unit_amount: int = 900, **more: Any) -> Any:
        return self.post(
            "prices",
            **{
                "currency": "eur",
                "unit_amount": unit_amount,
                "recurring": {"interval": "month"},
                "product_data": {"name": f"Plan {unit_amount}"},
                **more,
            },
        )

    def customer(self, card: str | None = "pm_card_visa") -> CustomerId:
        id_ = self.post("customers", email="ada@example.com")["id"]
        if card is not None:
            self.post(
                f"customers/{id_}",
                invoice_settings={"default_payment_method": self.card(id_, card)},
            )
        return CustomerId(id_)

    def card(self, customer: str, name: str = "pm_card_visa") -> str:
        return str(self.post(f"payment_methods/{name}/attach", customer=customer)["id"])

    def new_card(self) -> str:
        made = self.post("payment_methods", type="card", card={"token": "tok_visa"})
        return str(made["id"])

    async def ask(
        self, request: GatewayRequest, key: str = "key-1", **frozen: str
    ) -> Answer:
        """Send a request; `frozen` are the bytes that an older release stored."""
        bytes_ = attrs.evolve(self.gateway.freeze(request), **frozen)
        return await self.gateway.send(request, bytes_, idempotency_key=key)

    def start(
        self, customer: CustomerId, price: str, **more: Any
    ) -> CreateSubscription:
        wanted: dict[str, Any] = {"quantity": 1, "has_card": True, **more}
        return CreateSubscription(
            customer_id=customer,
            price=price,
            user_id=ADA,
            intent_id="intent-1",
            **wanted,
        )

    async def started(self, **more: Any) -> SubscriptionReport:
        """Begin a subscription of a new customer to a new price."""
        customer = self.customer(more.pop("card", "pm_card_visa"))
        request = self.start(customer, self.price()["id"], **more)
        return reported(await self.ask(request, f"start-{customer}"))


@pytest.fixture
async def place(sandbox: Sandbox) -> AsyncIterator[Place]:
    """Reset the sandbox; all requests and answers must conform to the SDK's types."""
    async with opened(sandbox) as place:
        yield place


@asynccontextmanager
async def opened(sandbox: Sandbox) -> AsyncIterator[Place]:
    sandbox.reset()
    sandbox.calm()
    conformance, asked = Conformance(), list[ApiRequest]()

    def watch(request: ApiRequest, response: ApiResponse) -> None:
        conformance(request, response)
        asked.append(request)

    sandbox.engine.watch = watch
    gateway = StripeGateway(sandbox.api_key, base=sandbox.url, livemode=False)
    async with gateway.opened(Transport(deadline_s=PATIENCE_S)):
        yield Place(gateway, sandbox, asked)
    assert conformance.problems == []


def reported(answer: Answer) -> SubscriptionReport:
    assert answer.subscription is not None
    return answer.subscription


def invoice_of(report: SubscriptionReport) -> str:
    assert report.latest_invoice_id is not None
    return report.latest_invoice_id
