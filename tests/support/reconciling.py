"""Ada pays, all webhooks arrive, and a reconciliation compares it with the sandbox."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, Final

import attrs

from payments_adapters.memory import (
    MemoryCheckpoints,
    MemoryEventLog,
    MemoryJobDirectory,
    MemoryKeptObjects,
)
from payments_adapters.stripe.object_lists import StripeLists
from payments_core.identity import CustomerId
from payments_core.jobs import Finding, Reconcile, RunSweep
from payments_core.object_lists import ObjectList, ObjectPage
from payments_core.payment import PaymentId
from payments_core.sweep import SweepPlace
from payments_core.use_cases import Order
from support.deployment import ADA, BEGINNING, Deployment, caller_of

GOOD, OTHER = "pm_card_visa", "pm_card_mastercard"
A_MOMENT: Final = timedelta(minutes=10)


@attrs.frozen
class Story:
    """Ada, who pays for a subscription, with all her webhooks applied."""

    deployment: Deployment
    lists: StripeLists

    @property
    def api(self) -> Any:
        return self.deployment.api

    @property
    def reconcile(self) -> Reconcile:
        it = self.deployment
        return Reconcile(
            self.lists,
            it.asked,
            it.record,
            it.directory,
            MemoryJobDirectory(it.database),
            MemoryEventLog(it.database),
            MemoryKeptObjects(it.database),
            MemoryCheckpoints(it.database),
        )

    @property
    def run(self) -> RunSweep:
        return RunSweep(self.reconcile, sleep=no_wait)

    async def sweep(self, *, repairs: bool = False) -> list[Finding]:
        """Compare everything; all events are settled by then."""
        self.deployment.clock.advance(A_MOMENT)
        run, findings = self.run, list[Finding]()
        async for step in run(run.range_now(BEGINNING), SweepPlace(), repairs=repairs):
            findings += step.findings
        return findings

    @property
    def customer(self) -> str:
        [customer] = self.deployment.customers_of(ADA)
        return customer

    @property
    def subscription(self) -> str:
        [subscription] = self.deployment.subscriptions_of(ADA)
        return f"subscriptions/{subscription['id']}"

    def charge(self, **more: Any) -> str:
        """Make a single sale; return the charge."""
        wanted = {
            "amount": 500,
            "currency": "eur",
            "customer": self.customer,
            "payment_method": self.card,
            "confirm": True,
            "off_session": True,
            **more,
        }
        return str(self.api.post("payment_intents", **wanted)["latest_charge"])

    def charge_guest(self, guest: str, email: str) -> str:
        """Make a single sale to a customer without a user; return the charge."""
        card = self.api.get(f"customers/{guest}")["invoice_settings"]
        method = card["default_payment_method"]
        return self.charge(customer=guest, payment_method=method, receipt_email=email)

    @property
    def paid(self) -> str:
        """Return the charge of the subscription."""
        [charge] = self.deployment.engine.world.all("charge")
        return str(charge["id"])

    @property
    def card(self) -> str:
        [method] = self.api.get(f"customers/{self.customer}/payment_methods")["data"]
        return str(method["id"])

    # Stored rows, changed without the program

    async def spoil_payment(self, **fields: Any) -> None:
        [record] = self.deployment.database.tables.payments.values()
        spoilt = attrs.evolve(record.payment, **fields)
        record = attrs.evolve(record, payment=spoilt)
        self.deployment.database.tables.put_payment(record)

    async def spoil_subscription(self, **fields: Any) -> None:
        [kept] = self.deployment.database.tables.subscriptions.values()
        spoilt = attrs.evolve(kept, report=attrs.evolve(kept.report, **fields))
        self.deployment.database.tables.subscriptions[kept.gateway_id] = spoilt

    def invent_payment(self) -> str:
        """Store a payment that the gateway does not have; return its id."""
        tables = self.deployment.database.tables
        record = next(iter(tables.payments.values()))
        invented = attrs.evolve(record.payment, id=PaymentId("ch_invented"))
        tables.put_payment(attrs.evolve(record, payment=invented))
        return invented.id

    def invent_subscription(self) -> str:
        """Store a subscription that the gateway does not have; return its id."""
        tables = self.deployment.database.tables
        kept = next(iter(tables.subscriptions.values()))
        invented = attrs.evolve(kept.report, gateway_id="sub_invented")
        tables.put_subscription(attrs.evolve(kept, report=invented))
        return invented.gateway_id


@attrs.frozen
class OneByOne:
    """Lists whose pages have one object each."""

    lists: Any

    async def page(
        self,
        list_: ObjectList,
        created: Any,
        *,
        customer: CustomerId,
        after: str | None = None,
    ) -> ObjectPage:
        all_: ObjectPage = await self.lists.page(
            list_, created, customer=customer, after=None
        )
        place = int(after or 0)
        is_last = place + 1 >= len(all_.objects)
        return attrs.evolve(
            all_,
            objects=all_.objects[place : place + 1],
            after=None if is_last else str(place + 1),
        )


async def no_wait(_: float) -> None:
    """Do not wait: no other process exists."""


@asynccontextmanager
async def reconciling(deployment: Deployment) -> AsyncIterator[Story]:
    lists = StripeLists(
        deployment.engine.api.api_key, base="http://sandbox.test", livemode=False
    )
    async with lists.opened(deployment.line):
        yield Story(deployment, lists)


@asynccontextmanager
async def told() -> AsyncIterator[Story]:
    async with Deployment.opened() as deployment, reconciling(deployment) as story:
        await deployment.register()
        caller = caller_of(ADA)
        await deployment.update_card(ADA, GOOD, caller=caller, key=None)
        order = Order(product=deployment.product)
        await deployment.start(ADA, order, caller=caller, key=None)
        await deployment.hear()
        yield story
