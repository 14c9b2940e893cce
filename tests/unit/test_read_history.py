"""A customer's objects are read from lists, or singly if a list says too little."""

from collections.abc import AsyncIterator
from datetime import timedelta
from itertools import count
from typing import Any, cast

import attrs
import pytest

from contracts.examples import NOON, a_payment, a_report
from payments_core.changes import Lookup
from payments_core.errors import GatewayOutcomeUnknown
from payments_core.facts import (
    CardObserved,
    PaymentReported,
    PeriodPaid,
    SubscriptionObserved,
)
from payments_core.identity import CustomerId
from payments_core.job import JobState
from payments_core.job_key import JobKey, JobKind
from payments_core.jobs import Patience, ReadHistory, read_history
from payments_core.object_lists import ListedUnreadable, ObjectList, ObjectPage
from payments_core.payment import DisputeState, PaymentState
from payments_core.subscription import PaidPeriod
from payments_core.sweep import Suspect
from payments_core.use_cases.record_facts import WAIT_S
from support.deployment import ADA
from support.reconciling import OTHER, OneByOne, Story, no_wait, told

pytestmark = pytest.mark.anyio


@pytest.fixture
async def story() -> AsyncIterator[Story]:
    async with told() as it:
        it.deployment.line.reads.clear()
        yield it


async def read(
    story: Story, patience: Patience | None = None, **reconcile: Any
) -> list[str]:
    """Read what Ada's customer has, with some other ports."""
    account = await story.deployment.account()
    history = ReadHistory(
        attrs.evolve(story.reconcile, **reconcile), patience or Patience(no_wait)
    )
    assert account.customer_id is not None
    card = (await story.deployment.gateway.customer(account.customer_id)).card
    snapshot = await story.reconcile.record.snapshot(Lookup())
    return [*await history(account, card, snapshot.sequence)]


async def kept(story: Story, charge: str) -> Any:
    [record] = [
        it
        for it in story.deployment.database.tables.payments.values()
        if it.payment.id == charge
    ]
    return record


async def test_what_was_sold_since_is_taken_from_the_list(story: Story) -> None:
    """
    Nothing is fetched singly; it is linked, as everything of a customer is.
    """
    charge = story.charge()

    assert await read(story) == []

    record = await kept(story, charge)
    assert (record.user_id, record.payment.state) == (ADA, PaymentState.SUCCEEDED)
    assert not record.payment.invoice_known
    assert story.deployment.line.reads["charges"] == 1


@pytest.mark.parametrize("case", ["refunded", "disputed", "lost"])
async def test_what_went_back_is_asked_for_by_itself(story: Story, case: str) -> None:
    """
    A list says neither what it paid, nor the state of its dispute.
    """
    if case == "refunded":
        charge = story.charge()
        story.api.post("refunds", charge=charge)
        expected = (PaymentState.REFUNDED, DisputeState.NONE)
    else:
        intent = story.api.post(
            "payment_intents",
            amount=500,
            currency="eur",
            customer=story.customer,
            payment_method="pm_card_createDispute",
            confirm=True,
            off_session=True,
        )
        charge = intent["latest_charge"]
        expected = (PaymentState.SUCCEEDED, DisputeState.OPEN)
        if case == "lost":
            [dispute] = story.deployment.engine.world.all("dispute")
            story.api.post(f"disputes/{dispute['id']}/close")
            expected = (PaymentState.SUCCEEDED, DisputeState.LOST)

    assert await read(story) == []

    payment = (await kept(story, charge)).payment
    assert (payment.state, payment.dispute) == expected
    assert payment.invoice_known


async def test_what_is_known_otherwise_is_corrected(story: Story) -> None:
    """
    By the gateway's answer about the one object.
    """
    await story.spoil_payment(refunded_minor=100, state=PaymentState.REFUNDED)
    await story.spoil_subscription(cancel_at_period_end=True)

    assert await read(story) == []

    record = await kept(story, story.paid)
    assert (record.payment.state, record.payment.refunded_minor) == (
        PaymentState.SUCCEEDED,
        0,
    )
    [subscription] = (await story.deployment.account()).subscriptions
    assert not subscription.report.cancel_at_period_end


@pytest.mark.parametrize("is_default", [True, False])
async def test_the_own_card_of_a_subscription_goes_before_the_default(
    story: Story, *, is_default: bool
) -> None:
    """
    As in a sync; without one the default pays.
    """
    before = (await story.deployment.account()).card
    method = story.api.post(f"payment_methods/{OTHER}/attach", customer=story.customer)
    if is_default:
        story.api.post(story.subscription, default_payment_method="")
        story.api.post(
            f"customers/{story.customer}",
            invoice_settings={"default_payment_method": method["id"]},
        )
    else:
        story.api.post(story.subscription, default_payment_method=method["id"])

    assert await read(story) == []

    card = (await story.deployment.account()).card
    assert card is not None
    assert card.id == method["id"]
    assert card != before
    assert not [
        key
        for key, job in story.deployment.database.tables.jobs.items()
        if key.kind is JobKind.CUSTOMER and job.state is JobState.OPEN
    ]


async def test_what_is_another_users_is_left_out_and_told(story: Story) -> None:
    """
    Its metadata names another user: a person must decide.
    """
    charge = story.charge(metadata={"user_id": "somebody"})

    [left_out] = await read(story)

    assert left_out.startswith(f"{charge}: ")
    assert not [
        it
        for it in story.deployment.database.tables.payments.values()
        if it.payment.id == charge and it.user_id
    ]


async def test_what_cannot_be_read_is_told_and_the_rest_recorded(story: Story) -> None:
    """
    One object, or a whole list.
    """
    charge = story.charge()
    unreadable = _Lists(story.lists, ObjectList.SUBSCRIPTIONS)
    [left_out] = await read(story, lists=unreadable)
    assert left_out.endswith(": it cannot be read")
    silent = _Lists(story.lists, ObjectList.INVOICES, silent=True)
    [left_out] = await read(story, lists=silent)
    assert left_out.startswith("its invoices: ")

    assert (await kept(story, charge)).user_id == ADA


async def test_a_long_history_is_recorded_in_parts(
    story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Only one part is in memory at a time; everything is recorded.
    """
    monkeypatch.setattr(read_history, "FACTS_MAX", 50)
    charges = {story.charge() for _ in range(120)}
    saves, ledger = story.deployment.fuse.names, _Loads(story.deployment.ledger)

    before = saves["MemoryLedger.save"]
    record = attrs.evolve(story.reconcile.record, ledger=ledger)
    assert await read(story, record=record) == []
    assert saves["MemoryLedger.save"] == before + 2
    # What was recorded is dropped.
    assert max(ledger.payments) == 100

    payments = story.deployment.database.tables.payments.values()
    assert charges <= {it.payment.id for it in payments if it.user_id == ADA}
    assert story.deployment.line.reads["charges"] == 2


async def test_what_was_paid_counts_for_how_much_is_kept(
    story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Payments and periods alike: a part has no more of both together.
    """
    monkeypatch.setattr(read_history, "FACTS_MAX", 1)
    story.api.post(
        "subscriptions",
        customer=story.customer,
        default_payment_method=story.card,
        items=[{"price": story.deployment.pro}],
    )
    for _ in range(3):
        await story.deployment.advance(timedelta(days=31))
    saves = story.deployment.fuse.names

    before = saves["MemoryLedger.save"]
    assert await read(story, lists=OneByOne(story.lists)) == []

    assert saves["MemoryLedger.save"] == before + 8
    assert len(story.deployment.database.tables.periods) == 8


@attrs.frozen
class _Loads:
    """A ledger that notes how many payments each load has."""

    ledger: Any
    payments: list[int] = attrs.field(factory=list)

    async def load(self, lookup: Lookup) -> Any:
        self.payments.append(len(lookup.payments))
        return await self.ledger.load(lookup)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.ledger, name)


@attrs.frozen
class _Lists:
    """Lists of which one cannot be read: its objects, or all of it."""

    lists: Any
    list_: ObjectList
    silent: bool = False

    async def page(
        self, list_: ObjectList, created: Any, *, customer: CustomerId, after: Any
    ) -> ObjectPage:
        page: ObjectPage = await self.lists.page(
            list_, created, customer=customer, after=after
        )
        if list_ is not self.list_:
            return page
        if self.silent:
            raise GatewayOutcomeUnknown("silence")
        unreadable = ListedUnreadable("it cannot be read")
        objects = [attrs.evolve(it, it=unreadable) for it in page.objects]
        return attrs.evolve(page, objects=objects)


def test_what_is_left_out_is_named_by_what_it_is_about() -> None:
    """
    By the gateway's id, which a person can look up.
    """
    named = read_history._subject_of  # rules of few lines
    assert named(PaymentReported(a_payment("ch_1"))) == "ch_1"
    report = a_report("sub_1")
    assert named(SubscriptionObserved(report=report, at=NOON)) == "sub_1"
    period = PaidPeriod(
        gateway_id="sub_1", invoice_id="in_1", starts_at=NOON, ends_at=NOON
    )
    assert named(PeriodPaid(period)) == "in_1"
    card = CardObserved(customer_id=CustomerId("cus_1"), card=None, sequence=1)
    assert named(card) == "its card"


async def test_who_a_customer_is_was_read_before(story: Story) -> None:
    """
    The card is handled once all subscriptions are read.
    """
    history = ReadHistory(story.reconcile, Patience(sleep=no_wait))
    job = JobKey(JobKind.CUSTOMER, "cus_1")
    before = story.deployment.line.reads.total()
    await history._fetch(
        cast("Any", None), Suspect(subject="cus_1", job=job)
    )  # see above
    assert story.deployment.line.reads.total() == before


async def test_what_is_locked_when_it_is_recorded_is_recorded_all_the_same(
    story: Story,
) -> None:
    """
    Once with all the others, and then alone, until it is unlocked.
    """
    charges = {story.charge() for _ in range(2)}
    database = story.deployment.database
    database.locked.add(f"user {ADA}")
    waits = list[float]()

    async def free(wait_s: float) -> None:
        waits.append(wait_s)
        database.locked.clear()

    # At each check the time for locks is over: it tries once.
    clock = count(step=WAIT_S)
    record = attrs.evolve(story.reconcile.record, monotonic=clock.__next__)

    assert await read(story, Patience(free), record=record) == []

    payments = database.tables.payments.values()
    assert charges <= {it.payment.id for it in payments if it.user_id == ADA}
    assert len(waits) == 1
