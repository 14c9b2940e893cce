"""A client of a sandbox: the real SDK, over HTTP."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Final, TypeVar

import attrs
import pytest
import stripe
from typing_extensions import override

from payments_sandbox import Sandbox
from payments_sandbox.api import ApiRequest, ApiResponse
from payments_sandbox.resources import ROUTES
from payments_sandbox.routing import Router
from support.sandbox import Conformance

GOOD: Final = "pm_card_visa"
FAILING: Final = "pm_card_chargeCustomerFail"
ASKING: Final = "pm_card_authenticationRequired"
HOUR: Final = 3600
ROUTER: Final = Router(ROUTES)
# Which file of stories calls which paths: all that are not named here are payments.
AREAS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "invoice_payments": "billing",
        "invoiceitems": "billing",
        "invoices": "billing",
        "prices": "billing",
        "products": "billing",
        "subscription_items": "subscriptions",
        "subscriptions": "subscriptions",
        "test_helpers": "billing",
    }
)
# The SDK hands httpx a form that it encoded itself, by the name of old.
SDK_MARKS: Final = [
    pytest.mark.anyio,
    pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning"),
]

_T = TypeVar("_T")


class Hasty(stripe.HTTPXClient):
    """Retries as often as the SDK does, but without pauses."""

    @override
    def sleep_async(self, secs: float) -> Any:
        return super().sleep_async(0)  # type: ignore[no-untyped-call]  # the SDK's


@attrs.frozen
class SdkClient:
    """A client of a sandbox, and its requests: "GET /v1/customers/{id} 200"."""

    sandbox: Sandbox
    client: stripe.StripeClient
    calls: list[str]

    @property
    def v1(self) -> stripe.V1Services:
        return self.client.v1

    @property
    def v2(self) -> stripe.V2Services:
        return self.client.v2

    @property
    def now(self) -> int:
        return int(self.sandbox.now.timestamp())

    def happened(self, id_: str) -> list[str]:
        """Return the types of the events of an object, the oldest first."""
        return [
            event["type"]
            for event in self.sandbox.events()
            if event["object_id"] == id_
        ]

    def pass_until(self, seconds: int) -> None:
        self.sandbox.advance(datetime.fromtimestamp(seconds, UTC))

    def pass_half_of(self, subscription: stripe.Subscription) -> None:
        start, end = period_of(subscription)
        self.pass_until(start + (end - start) // 2)

    async def customer(self, card: str | None = GOOD) -> stripe.Customer:
        """Create a customer whose default is this card."""
        customer = await self.v1.customers.create_async()
        if card is not None:
            await self.give_card(customer, card)
        return customer

    async def give_card(
        self, customer: stripe.Customer, card: str
    ) -> stripe.PaymentMethod:
        method = await self.v1.payment_methods.attach_async(
            card, {"customer": customer.id}
        )
        await self.v1.customers.update_async(
            customer.id, {"invoice_settings": {"default_payment_method": method.id}}
        )
        return method

    async def price(self, unit_amount: int = 900) -> stripe.Price:
        return await self.v1.prices.create_async(
            {
                "currency": "eur",
                "unit_amount": unit_amount,
                "recurring": {"interval": "month"},
                "product_data": {"name": f"Plan {unit_amount}"},
            }
        )

    async def subscribe(
        self, customer: stripe.Customer, price: stripe.Price, **params: Any
    ) -> stripe.Subscription:
        wanted: Any = {
            "customer": customer.id,
            "items": [{"price": price.id}],
            "expand": [
                "latest_invoice.payments",
                "latest_invoice.confirmation_secret",
            ],
            **params,
        }
        return await self.v1.subscriptions.create_async(wanted)

    async def charged(self, card: str = GOOD, amount: int = 900) -> stripe.Charge:
        """Make a single payment; return the charge."""
        intent = await self.v1.payment_intents.create_async(
            {
                "amount": amount,
                "currency": "eur",
                "customer": (await self.customer(None)).id,
                "payment_method": card,
                "confirm": True,
                "expand": ["latest_charge"],
            }
        )
        return whole(intent.latest_charge)

    async def charges_of(self, customer: stripe.Customer) -> list[stripe.Charge]:
        """Return the charges attempted on a customer, the newest first."""
        return (await self.v1.charges.list_async({"customer": customer.id})).data

    async def status_of(self, subscription: stripe.Subscription) -> str:
        found = await self.v1.subscriptions.retrieve_async(subscription.id)
        return found.status


def whole(it: _T | str | None) -> _T:
    """Return the expanded object."""
    assert it is not None
    assert not isinstance(it, str)
    return it


def intent_of(subscription: stripe.Subscription) -> str:
    """Return the intent that collects the latest, expanded invoice."""
    payments = whole(whole(subscription.latest_invoice).payments)
    [payment] = payments.data
    intent = payment.payment.payment_intent
    assert isinstance(intent, str)
    return intent


def period_of(subscription: stripe.Subscription) -> tuple[int, int]:
    item = subscription["items"].data[0]
    return item.current_period_start, item.current_period_end


@asynccontextmanager
async def opened(sandbox: Sandbox, **options: Any) -> AsyncIterator[SdkClient]:
    """Lend a client that resets the sandbox first; all answers must conform."""
    sandbox.reset()
    calls, conformance, http = (
        list[str](),
        Conformance(),
        Hasty(timeout=30, verify_ssl_certs=False),
    )

    def watch(request: ApiRequest, response: ApiResponse) -> None:
        conformance(request, response)
        route, _ = ROUTER.find(request.method, request.path)
        calls.append(f"{route.method} {route.path} {response.status}")

    sandbox.engine.watch = watch
    client = stripe.StripeClient(
        sandbox.api_key,
        http_client=http,
        base_addresses={"api": sandbox.url},
        **options,
    )
    with pytest.MonkeyPatch.context() as patch:
        # It would write into the home directory of the user who runs the tests.
        patch.setattr(stripe, "enable_telemetry", False)
        try:
            yield SdkClient(sandbox, client, calls)
        finally:
            await http.close_async()  # type: ignore[no-untyped-call]  # the SDK's
    conformance.check_events(sandbox.engine)
    assert conformance.problems == []


Story = Callable[[SdkClient], Awaitable[None]]


async def answers_to(sdk: SdkClient, stories: Iterable[Story]) -> set[str]:
    """Run stories with one client; return the paths that gave it a good answer."""
    for story in stories:
        await story(sdk)
    return {it.removesuffix(" 200") for it in sdk.calls if it.endswith(" 200")}


def addresses(area: str) -> set[str]:
    """Return the methods and templates of paths of one of the three areas."""
    return {
        f"{route.method} {route.path}"
        for route in ROUTES
        if AREAS.get(route.path.split("/")[2], "payments") == area
    }
