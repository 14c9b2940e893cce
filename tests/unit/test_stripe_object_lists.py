"""Stripe's lists, by the real SDK against a sandbox without sockets."""

from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, Final

import attrs
import pytest

from contracts import every_contract_of
from contracts.gateway_lists import PAGE, SECOND, ids, listed, until
from payments_adapters.stripe.gateway import StripeGateway
from payments_adapters.stripe.object_lists import StripeLists
from payments_core.object_lists import (
    ListedCustomer,
    ListedDispute,
    ListedInvoice,
    ListedObject,
    ListedSubscription,
    ObjectList,
)
from payments_core.payment import DisputeState, PaymentId, PaymentState
from payments_core.subscription import SubscriptionStatus
from payments_sandbox.engine import Engine
from support.inprocess import InProcess
from support.listed import SandboxListsWorld
from support.sandbox import Api
from support.watched import FAILING, begin

pytestmark = pytest.mark.anyio

BASE: Final = "http://sandbox.test"


def _here(work: Callable[[], Any]) -> Any:
    return work()


def _world_of(lists: StripeLists, engine: Engine) -> SandboxListsWorld:
    async def pass_time() -> None:
        await engine.advance(engine.now + 1)

    return SandboxListsWorld(lists, engine, _here, pass_time)


@pytest.fixture
async def lists_world() -> AsyncIterator[SandboxListsWorld]:
    engine = Engine(seed=7)
    lists = StripeLists(engine.api.api_key, base=BASE, livemode=False)
    async with lists.opened(InProcess(engine)):
        yield _world_of(lists, engine)


@every_contract_of("lists_world")
class TestStripeLists:
    """Every contract of the lists, with Stripe's answers."""


# What the lists return


@attrs.frozen
class Shop:
    """A sandbox whose every answer must conform, its lists, and single reads of it."""

    api: Api
    line: InProcess
    world: SandboxListsWorld
    gateway: StripeGateway

    async def listed(self, list_: ObjectList) -> Sequence[ListedObject]:
        return await listed(self.world, list_)

    async def said(self, list_: ObjectList) -> Sequence[Any]:
        """Return the report of each, the oldest first."""
        return [it.it for it in (await self.listed(list_))[::-1]]


@pytest.fixture
async def shop(api: Api) -> AsyncIterator[Shop]:
    key, line = api.engine.api.api_key, InProcess(api.engine)
    lists = StripeLists(key, base=BASE, livemode=False)
    gateway = StripeGateway(key, base=BASE, livemode=False)
    async with lists.opened(line), gateway.opened(line):
        yield Shop(api, line, _world_of(lists, api.engine), gateway)


async def test_a_customer_comes_with_the_card_that_pays_by_default(shop: Shop) -> None:
    """
    And with its user, by its metadata.
    """
    ada = shop.api.customer(metadata={"user_id": "ada"})["id"]
    bob = shop.api.customer(None)["id"]

    first, second = await shop.said(ObjectList.CUSTOMERS)

    card = await shop.gateway.card_of(ada)
    assert card is not None
    assert first == ListedCustomer(ada, "ada", card)
    assert second == ListedCustomer(bob, None, None)


@pytest.mark.parametrize("name", ["visa", "amex", "diners", "jcb", "mastercard"])
async def test_a_card_of_the_older_api_is_the_same_as_alone(
    shop: Shop, name: str
) -> None:
    """
    Otherwise each sweep would find another card.
    """
    customer = shop.api.post("customers")
    path = f"payment_methods/pm_card_{name}/attach"
    method = shop.api.post(path, customer=customer["id"])
    shop.api.engine.import_objects(
        [method | {"id": "card_1"}, customer | {"default_source": "card_1"}]
    )

    [it] = await shop.said(ObjectList.CUSTOMERS)

    card = await shop.gateway.card_of(customer["id"])
    assert card is not None
    assert card.id == "card_1"
    assert it == ListedCustomer(customer["id"], None, card)


async def test_a_subscription_says_what_it_says_alone(shop: Shop) -> None:
    """
    Ended ones, and those whose payment is declined, are listed as well.
    """
    active, over = begin(shop.api), begin(shop.api)
    shop.api.delete(f"subscriptions/{over['id']}")
    unpaid = begin(shop.api, FAILING, payment_behavior="default_incomplete")

    found = await shop.listed(ObjectList.SUBSCRIPTIONS)

    assert ids(found) == [unpaid["id"], over["id"], active["id"]]
    for it in found:
        alone = await shop.gateway.subscription(it.id)
        assert it.it == ListedSubscription(alone.report, alone.paid_periods)
    reports = [it.it for it in found if isinstance(it.it, ListedSubscription)]
    assert [it.report.status for it in reports] == [
        SubscriptionStatus.INCOMPLETE,
        SubscriptionStatus.CANCELED,
        SubscriptionStatus.ACTIVE,
    ]
    assert [len(it.paid_periods) for it in reports] == [0, 1, 1]


async def test_an_invoice_says_which_periods_it_paid(shop: Shop) -> None:
    """
    An unpaid invoice is not listed; one without a subscription paid none.
    """
    begun = begin(shop.api)
    begin(shop.api, FAILING, payment_behavior="default_incomplete")

    [it] = await shop.listed(ObjectList.INVOICES)

    alone = await shop.gateway.subscription(begun["id"])
    assert it.id == begun["latest_invoice"]
    assert it.it == ListedInvoice(alone.paid_periods)
    assert len(alone.paid_periods) == 1

    invoice = shop.api.engine.world.get("invoice", it.id)
    shop.api.engine.world.change(invoice, None, parent=None)
    assert await shop.said(ObjectList.INVOICES) == [ListedInvoice(())]


async def test_a_payment_is_listed_whatever_became_of_it(shop: Shop) -> None:
    """
    As in a single read, except for its invoice and the state of its dispute.
    """
    begin(shop.api)
    begin(shop.api, FAILING, payment_behavior="allow_incomplete")
    disputed = begin(shop.api, "pm_card_createDispute")
    [dispute] = shop.api.get("disputes")["data"]
    shop.api.post(f"disputes/{dispute['id']}/close")

    found = await shop.said(ObjectList.PAYMENTS)

    assert [it.payment.state for it in found] == [
        PaymentState.SUCCEEDED,
        PaymentState.FAILED,
        PaymentState.SUCCEEDED,
    ]
    assert [it.payment.dispute for it in found] == [
        DisputeState.NONE,
        DisputeState.NONE,
        DisputeState.OPEN,
    ]
    assert found[-1].payment.customer_id == disputed["customer"]
    for it in found:
        alone = (await shop.gateway.payment(it.payment.id)).payment
        assert it.payment == attrs.evolve(
            alone,
            invoice_id=None,
            subscription_id=None,
            invoice_known=False,
            dispute=it.payment.dispute,
        )


async def test_a_refund_says_what_is_left_of_its_payment(shop: Shop) -> None:
    """
    Each refund the same: the present state of the payment.
    """
    begin(shop.api)
    [charge] = shop.api.get("charges")["data"]
    for _ in range(2):
        shop.api.post("refunds", charge=charge["id"], amount=100)

    [payment] = await shop.said(ObjectList.PAYMENTS)

    assert payment.payment.refunded_minor == 200
    assert await shop.said(ObjectList.REFUNDS) == [payment, payment]


@pytest.mark.parametrize(
    ("evidence", "state"),
    [
        (None, DisputeState.OPEN),
        ("winning_evidence", DisputeState.WON),
        ("losing_evidence", DisputeState.LOST),
    ],
)
async def test_a_dispute_says_how_it_is(
    shop: Shop, evidence: str | None, state: DisputeState
) -> None:
    """
    And which payment it is about.
    """
    begin(shop.api, "pm_card_createDispute")
    [dispute] = shop.api.get("disputes")["data"]
    if evidence is not None:
        path = f"disputes/{dispute['id']}"
        shop.api.post(path, evidence={"uncategorized_text": evidence})

    [it] = await shop.listed(ObjectList.DISPUTES)

    assert it.id == dispute["id"]
    assert it.it == ListedDispute(PaymentId(dispute["charge"]), state)


@pytest.mark.parametrize("subscriptions", [0, 1, 100, 101, 250])
async def test_a_sweep_costs_a_call_for_each_hundred_objects(
    shop: Shop, subscriptions: int
) -> None:
    """
    Of a list, and one for an empty list: nothing else is read.
    """
    shop.api.engine.watch = lambda _, __: None
    price = shop.api.price()["id"]
    for _ in range(subscriptions):
        shop.api.subscribe(shop.api.customer()["id"], price)

    found = {it: len(await shop.listed(it)) for it in ObjectList}

    full = -(-subscriptions // PAGE) or 1
    assert shop.line.reads == Counter(
        customers=full,
        subscriptions=full,
        invoices=full,
        charges=full,
        refunds=1,
        disputes=1,
    )
    assert list(found.values()) == [subscriptions] * 4 + [0] * 2


async def test_a_list_is_asked_for_as_stripe_has_it(shop: Shop) -> None:
    """
    Also from a time on: what the SDK could not send does not conform.
    """
    begin(shop.api)
    window = until(shop.world.now + SECOND, start=shop.world.now)
    checked = shop.api.conformance.checked
    for list_ in ObjectList:
        page = await shop.world.lists.page(list_, window)
        if page.objects:
            await shop.world.lists.page(list_, window, after=page.objects[0].id)
    assert shop.api.conformance.checked > checked
    assert shop.api.conformance.problems == []
