"""Implementations for the contract of the gateway's lists: in memory, and a sandbox."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import attrs

from contracts.examples import NOON
from contracts.gateway_lists import SECOND
from payments_adapters.memory import FixedClock, MemoryLists
from payments_core.identity import CustomerId
from payments_core.money import Money
from payments_core.object_lists import (
    Listed,
    ListedCustomer,
    ListedDispute,
    ListedInvoice,
    ListedObject,
    ListedPayment,
    ListedSubscription,
    ListedUnreadable,
    ObjectList,
)
from payments_core.payment import DisputeState, Payment, PaymentId, PaymentState
from payments_core.ports import GatewayLists
from payments_core.subscription import SubscriptionReport, SubscriptionStatus
from payments_sandbox.engine import Engine
from support.sandbox import Api

CUSTOMER: Final = CustomerId("cus_1")


def _payment(id_: str, at: datetime) -> Payment:
    return Payment(
        id=PaymentId(id_),
        state=PaymentState.SUCCEEDED,
        amount=Money(900, "eur"),
        created_at=at,
        customer_id=CUSTOMER,
    )


def _report(id_: str, at: datetime) -> SubscriptionReport:
    return SubscriptionReport(
        gateway_id=id_,
        customer_id=CUSTOMER,
        status=SubscriptionStatus.ACTIVE,
        product="prod_1",
        price="price_1",
        quantity=1,
        item_id=f"si_{id_}",
        currency="eur",
        created_at=at,
        period_start=at,
        period_end=at,
    )


_EXAMPLES: Final[dict[ObjectList, Callable[[str, datetime], Listed]]] = {
    ObjectList.CUSTOMERS: lambda id_, _: ListedCustomer(CustomerId(id_), None, None),
    ObjectList.SUBSCRIPTIONS: lambda id_, at: ListedSubscription(_report(id_, at), ()),
    ObjectList.INVOICES: lambda _, __: ListedInvoice(()),
    ObjectList.PAYMENTS: lambda id_, at: ListedPayment(_payment(id_, at)),
    ObjectList.REFUNDS: lambda _, at: ListedPayment(_payment("ch_1", at)),
    ObjectList.DISPUTES: lambda _, __: ListedDispute(
        PaymentId("ch_1"), DisputeState.OPEN
    ),
}


@attrs.define
class MemoryListsWorld:
    """Lists in memory, and their clock."""

    clock: FixedClock = attrs.field(factory=lambda: FixedClock(NOON))
    memory: MemoryLists = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.memory = MemoryLists(self.clock)

    @property
    def lists(self) -> GatewayLists:
        return self.memory

    @property
    def now(self) -> datetime:
        return self.clock.now.replace(microsecond=0)

    def make(self, list_: ObjectList, count: int = 1) -> Sequence[str]:
        table = self.memory.objects[list_]
        ids = [f"{list_}_{len(table) + number}" for number in range(count)]
        for id_ in ids:
            it = _EXAMPLES[list_](id_, self.now)
            table.append(ListedObject(id=id_, created_at=self.now, it=it))
        return ids[::-1]

    def spoil(self, list_: ObjectList, id_: str) -> None:
        table = self.memory.objects[list_]
        table[:] = [
            attrs.evolve(it, it=ListedUnreadable("spoilt")) if it.id == id_ else it
            for it in table
        ]

    def delete_customer(self, id_: str) -> None:
        table = self.memory.objects[ObjectList.CUSTOMERS]
        table[:] = [it for it in table if it.id != id_]

    async def pass_second(self) -> None:
        self.clock.advance(SECOND)


# Stripe's name of each of them, and unreadable values of it.
KINDS: Final = {
    ObjectList.CUSTOMERS: "customer",
    ObjectList.SUBSCRIPTIONS: "subscription",
    ObjectList.INVOICES: "invoice",
    ObjectList.PAYMENTS: "charge",
    ObjectList.REFUNDS: "refund",
    ObjectList.DISPUTES: "dispute",
}
_SPOILT: Final[dict[ObjectList, dict[str, Any]]] = {
    ObjectList.CUSTOMERS: {"metadata": {"user_id": 7}},
    ObjectList.SUBSCRIPTIONS: {"status": "odd"},
    ObjectList.INVOICES: {"amount_paid": -1},
    ObjectList.PAYMENTS: {"status": "odd"},
    ObjectList.REFUNDS: {"status": "odd"},
    ObjectList.DISPUTES: {"status": "odd"},
}


@attrs.define
class SandboxListsWorld:
    """A sandbox behind an adapter; its actions are done in `do`."""

    lists: GatewayLists
    engine: Engine
    do: Callable[[Callable[[], Any]], Any]
    pass_time: Callable[[], Any]
    _customers: dict[str, str] = attrs.field(init=False, factory=dict)

    @property
    def now(self) -> datetime:
        return datetime.fromtimestamp(self.engine.now, UTC)

    def make(self, list_: ObjectList, count: int = 1) -> Sequence[str]:
        made: list[str] = self.do(lambda: [self._made(list_) for _ in range(count)])
        return made[::-1]

    def _made(self, list_: ObjectList) -> str:
        api = Api(self.engine)
        if list_ is ObjectList.CUSTOMERS:
            return str(api.post("customers")["id"])
        if list_ in {ObjectList.SUBSCRIPTIONS, ObjectList.INVOICES}:
            begun = api.subscribe(self._payer(api, "pm_card_visa"), self._price(api))
            is_invoice = list_ is ObjectList.INVOICES
            return str(begun["latest_invoice"] if is_invoice else begun["id"])
        is_disputed = list_ is ObjectList.DISPUTES
        card = "pm_card_createDispute" if is_disputed else "pm_card_visa"
        charge = self._charge(api, card)
        if list_ is ObjectList.REFUNDS:
            return str(api.post("refunds", charge=charge)["id"])
        return str(
            api.get("disputes", limit=1)["data"][0]["id"] if is_disputed else charge
        )

    def _payer(self, api: Api, card: str) -> str:
        if card not in self._customers:
            self._customers[card] = api.customer(card)["id"]
        return self._customers[card]

    def _price(self, api: Api) -> str:
        if "price" not in self._customers:
            self._customers["price"] = api.price()["id"]
        return self._customers["price"]

    def _charge(self, api: Api, card: str) -> str:
        customer = self._payer(api, card)
        world = self.engine.world
        method = world.get("customer", customer)["invoice_settings"]
        intent = api.post(
            "payment_intents",
            amount=900,
            currency="eur",
            customer=customer,
            payment_method=method["default_payment_method"],
            confirm=True,
            off_session=True,
        )
        return str(intent["latest_charge"])

    def spoil(self, list_: ObjectList, id_: str) -> None:
        def spoil() -> None:
            world = self.engine.world
            it = world.get(KINDS[list_], id_)
            if list_ is ObjectList.REFUNDS:
                # It says no more than its charge does.
                it = world.get("charge", it["charge"])
            world.change(it, None, **_SPOILT[list_])

        self.do(spoil)

    def delete_customer(self, id_: str) -> None:
        self.do(lambda: Api(self.engine).delete(f"customers/{id_}"))

    async def pass_second(self) -> None:
        await self.pass_time()
