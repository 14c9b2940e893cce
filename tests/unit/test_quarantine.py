"""Quarantined events, and what a person decides: the owner, or that it is closed."""

import json
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from typing import Any, Final

import attrs
import pytest
from typing_extensions import override

from contracts.examples import NOON
from payments_adapters.memory import (
    MemoryAuditLog,
    MemoryEventLog,
    MemoryPaymentDirectory,
)
from payments_adapters.memory.tables import EventRow
from payments_adapters.stripe import StripeEvents, StripeSignatures, translate
from payments_core.by_hand import ActionByHand
from payments_core.drift import DriftKind
from payments_core.errors import (
    AccountNotFound,
    EventApplied,
    EventBodyGone,
    EventClosed,
    EventNotFound,
    EventNotLinkable,
    EventOfOtherMode,
    InvalidValue,
    PaymentNotFound,
    ScopeRequired,
    SubscriptionLinked,
)
from payments_core.events import EventState, GatewayEvent, Outcome
from payments_core.facts import facts_of
from payments_core.identity import UserId
from payments_core.job import JobState
from payments_core.job_key import JobKind
from payments_core.jobs import DriftCause
from payments_core.object_lists import ObjectList
from payments_core.payment import PaymentId
from payments_core.use_cases import (
    CloseEvent,
    FindUnappliedEvents,
    LinkEvent,
    LinkPayment,
    LinkSubscription,
    ReadPaymentLink,
)
from support.deployment import ADA, SECRET, Deployment, admin, caller_of
from support.events import SUCCEEDED, event
from support.reconciling import Story, told

pytestmark = pytest.mark.anyio

BOB: Final = UserId("bob")
ROOT: Final = admin()
WHY: Final = "said so on the phone"
# As a database reads an event whose partition was dropped.
GONE: Final[Any] = None


def a_body(event: Any) -> bytes:
    return json.dumps(event).encode()


@attrs.frozen
class ByPeople:
    """What people can do with an event."""

    deployment: Deployment

    @property
    def unapplied(self) -> FindUnappliedEvents:
        return FindUnappliedEvents(MemoryEventLog(self.deployment.database))

    @property
    def close(self) -> CloseEvent:
        return CloseEvent(self.deployment.record, self.unapplied)

    @property
    def subscriptions(self) -> LinkSubscription:
        it = self.deployment
        return LinkSubscription(it.record, it.asked, MemoryAuditLog(it.database))

    @property
    def link(self) -> LinkEvent:
        it = self.deployment
        audit = MemoryAuditLog(it.database)
        read = ReadPaymentLink(MemoryPaymentDirectory(it.database), audit)
        payments = LinkPayment(it.record, it.asked, read)
        reader = StripeEvents(
            StripeSignatures((SECRET,), it.system_clock), livemode=False
        )
        return LinkEvent(self.unapplied, reader, it.asked, payments, self.subscriptions)

    def rows(self, state: EventState) -> Sequence[EventRow]:
        events = self.deployment.database.tables.events.values()
        return [it for it in events if it.outcome.state is state]

    def ids(self, state: EventState, type_: str = "") -> list[str]:
        found = (it.event for it in self.rows(state))
        return [it.id for it in found if it.type.startswith(type_)]

    @property
    def acts(self) -> list[ActionByHand]:
        changes = self.deployment.database.tables.changes_by_hand
        return [it.action for _, it in changes]

    def keep(self, event: GatewayEvent, outcome: Outcome) -> None:
        tables = self.deployment.database.tables.copy()
        tables.put_event(EventRow(event, NOON, outcome))
        self.deployment.database.tables = tables


@pytest.fixture
async def story() -> AsyncIterator[Story]:
    async with told() as it:
        await it.deployment.register(BOB)
        yield it


@pytest.fixture
def people(story: Story) -> ByPeople:
    return ByPeople(story.deployment)


async def sell_to_two(story: Story) -> str:
    """Let ada's customer subscribe with bob's id in the metadata; return the id."""
    sold = story.api.post(
        "subscriptions",
        customer=story.customer,
        default_payment_method=story.card,
        items=[{"price": story.deployment.basic}],
        metadata={"user_id": BOB},
    )
    await story.deployment.hear()
    return str(sold["id"])


def kinds(findings: Any) -> set[DriftKind]:
    return {it.drift.kind for it in findings}


async def test_a_subscription_of_two_users_is_linked_and_then_applied(
    story: Story, people: ByPeople
) -> None:
    """
    To bob, whom its metadata names; what is paid counts for him, nothing differs any
    longer, and later events are applied by themselves.
    """
    sold = await sell_to_two(story)
    found = await story.sweep()
    assert [(it.drift.kind, it.cause) for it in found] == [
        (DriftKind.OWNER_CONFLICT, DriftCause.EVENT_QUARANTINED)
    ]
    (first,) = people.ids(EventState.QUARANTINED, "customer.subscription.created")

    linked = await people.link(first, BOB, WHY, caller=ROOT)

    assert [it.id for it in linked] == [f"subscription:{sold}"]
    assert people.acts[0] is ActionByHand.LINK_SUBSCRIPTION
    assert set(people.acts[1:]) == {ActionByHand.REPLAY_EVENT}
    await story.deployment.work()
    assert first in people.ids(EventState.APPLIED)
    bob = await story.deployment.account(BOB)
    assert bob.payment_expire_date is not None
    assert await story.sweep() == []
    story.api.post(f"subscriptions/{sold}", cancel_at_period_end=True)
    await story.deployment.hear()
    bob = await story.deployment.account(BOB)
    assert bob.subscriptions[0].report.cancel_at_period_end
    assert await story.sweep() == []


async def test_a_subscription_that_was_linked_is_taken_back(
    story: Story, people: ByPeople
) -> None:
    """
    It is then unlinked by hand: no sync and no reconciliation links it again.
    """
    sold = await sell_to_two(story)
    (first,) = people.ids(EventState.QUARANTINED, "customer.subscription.created")
    await people.link(first, BOB, WHY, caller=ROOT)
    await story.deployment.work()

    with pytest.raises(SubscriptionLinked):
        await people.subscriptions(sold, ADA, WHY, caller=ROOT)
    await people.subscriptions(sold, None, "was a mistake", caller=ROOT)
    await story.deployment.work()

    bob = await story.deployment.account(BOB)
    assert (bob.payment_expire_date, bob.subscriptions) == (None, ())
    before = story.deployment.line.reads.total()
    assert await story.sweep(repairs=True) == []
    # It is not fetched either.
    assert story.deployment.line.reads.total() - before == len(ObjectList)
    link = await people.subscriptions.read(sold, caller=ROOT)
    assert (link.subscription.user_id, link.subscription.linked_by_hand) == (None, True)
    assert [it.change.action for it in link.changes] == [
        ActionByHand.LINK_SUBSCRIPTION,
        ActionByHand.UNLINK_SUBSCRIPTION,
    ]
    await people.subscriptions(sold, ADA, "hers after all", caller=ROOT)
    await story.deployment.work()
    assert len((await story.deployment.account(ADA)).subscriptions) == 2
    assert await story.sweep() == []


async def test_a_payment_of_two_users_is_linked_and_then_applied(
    story: Story, people: ByPeople
) -> None:
    """
    With every quarantined event about it.
    """
    charge = story.charge(metadata={"user_id": BOB})
    story.api.post("refunds", charge=charge, amount=100)
    await story.deployment.hear()
    assert kinds(await story.sweep()) == {DriftKind.OWNER_CONFLICT}
    (paid,) = people.ids(EventState.QUARANTINED, "charge.succeeded")

    linked = await people.link(paid, BOB, WHY, caller=ROOT)
    await story.deployment.work()

    assert [it.id for it in linked] == [f"payment:{charge}"]
    record = story.deployment.database.tables.payments[PaymentId(charge)]
    assert (record.user_id, record.payment.refunded_minor) == (BOB, 100)
    assert "charge.refunded" in {
        it.event.type for it in people.rows(EventState.APPLIED)
    }
    assert await story.sweep() == []


@pytest.mark.parametrize("known", [True, False])
async def test_of_two_things_both_are_linked_before_anything_is_applied(
    story: Story, people: ByPeople, *, known: bool
) -> None:
    """
    Each event once. If the last thing cannot be linked, none is applied again.
    """
    sold = await sell_to_two(story)
    charge = story.charge(metadata={"user_id": BOB}) if known else "ch_unknown"
    (first,) = people.ids(EventState.QUARANTINED, "customer.subscription.created")
    paid = event(SUCCEEDED, "twin", id=charge, customer=story.customer)
    twin = attrs.evolve(translate(a_body(paid), livemode=False), id=first)
    people.keep(twin, Outcome(EventState.QUARANTINED, "why"))
    apart = len(people.rows(EventState.QUARANTINED))

    if not known:
        with pytest.raises(PaymentNotFound):
            await people.link(first, BOB, WHY, caller=ROOT)
        assert people.acts == [ActionByHand.LINK_SUBSCRIPTION]
        assert len(people.rows(EventState.QUARANTINED)) == apart
        return
    linked = await people.link(first, BOB, WHY, caller=ROOT)
    assert [it.id for it in linked] == [f"subscription:{sold}", f"payment:{charge}"]
    links = [ActionByHand.LINK_SUBSCRIPTION, ActionByHand.LINK_PAYMENT]
    assert people.acts[:2] == links
    log = story.deployment.database.tables.changes_by_hand
    again = [(it.subject, it.event_type) for _, it in log[2:]]
    types = [SUCCEEDED["type"], "customer.subscription.created"]
    assert sorted(again) == [(first, it) for it in types]


@pytest.mark.parametrize("sells", [True, False], ids=["subscription", "payment"])
async def test_what_is_closed_is_open_no_longer_and_differs_no_more(
    story: Story, people: ByPeople, *, sells: bool
) -> None:
    """
    Until another event about the same thing is quarantined; a redelivery is a
    duplicate. Nothing of it is known here.
    """
    if sells:
        thing = await sell_to_two(story)
    else:
        thing = story.charge(metadata={"user_id": BOB})
        await story.deployment.hear()
    apart = list(people.rows(EventState.QUARANTINED))
    for row in apart:
        closed = await people.close(row.event.id, WHY, caller=ROOT)
        assert [it.key for it in closed] == [row.event.key]
    await story.deployment.work()

    assert not people.rows(EventState.QUARANTINED)
    assert {it.outcome.reason for it in people.rows(EventState.CLOSED)} == {
        f"{WHY}; before: {it.outcome.reason}" for it in apart
    }
    assert people.acts == [ActionByHand.CLOSE_EVENT] * len(apart)
    assert await story.sweep() == []
    await story.deployment.record([facts_of(it.event) for it in apart])
    assert len(people.rows(EventState.CLOSED)) == len(apart)
    tables = story.deployment.database.tables
    assert thing not in {*tables.payments, *tables.subscriptions}

    if sells:
        story.api.post(f"subscriptions/{thing}", cancel_at_period_end=True)
    else:
        story.api.post("refunds", charge=thing)
    await story.deployment.hear()
    assert kinds(await story.sweep()) == {DriftKind.OWNER_CONFLICT}


class BrokenReader(StripeEvents):
    """A reader with a bug: one event makes it fail."""

    @override
    def reread(self, body: bytes) -> GatewayEvent:
        raise RuntimeError


async def test_what_differs_because_an_event_was_closed_says_so(
    story: Story, people: ByPeople
) -> None:
    """
    It still differs: to close an event changes no known state.
    """
    charge = story.charge()
    await story.deployment.hear([], apply_only=True)
    body = a_body(event(SUCCEEDED, "closed"))
    one = attrs.evolve(translate(body, livemode=False), object_id=charge)
    people.keep(one, Outcome(EventState.QUARANTINED, "why"))
    (found,) = await story.sweep()
    assert found.cause is DriftCause.EVENT_QUARANTINED

    await people.close(one.id, WHY, caller=ROOT)

    (found,) = await story.sweep()
    assert found.cause is DriftCause.EVENT_CLOSED
    (found,) = await story.sweep(repairs=True)
    assert found.repaired
    assert await story.sweep() == []


async def test_an_event_that_a_bug_stops_is_closed_with_its_job(
    story: Story, people: ByPeople, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    The job has nothing left to do: it ends, though nothing can read the event.
    """
    body = a_body(event(SUCCEEDED, "poisoned", customer=None))
    one = translate(body, livemode=False)
    broken = attrs.evolve(facts_of(one), facts=(None,))  # type: ignore[arg-type]  # a bug
    (kept,) = await story.deployment.record([broken])
    assert kept.outcome is not None
    assert kept.outcome.state is EventState.PENDING
    monkeypatch.setattr(StripeEvents, "reread", BrokenReader.reread)
    story.deployment.clock.advance(timedelta(hours=1))
    await story.deployment.work_once()
    (job,) = (
        it
        for it in story.deployment.database.tables.jobs.values()
        if it.key.kind is JobKind.EVENT
    )
    assert (job.state, job.lease.attempts) == (JobState.OPEN, 2)

    await people.close(one.id, WHY, caller=ROOT)
    await story.deployment.work()

    assert story.deployment.database.tables.jobs[job.key].state is JobState.DONE
    assert people.ids(EventState.CLOSED) == [one.id]


async def test_what_cannot_be_decided_of_is_refused(
    story: Story, people: ByPeople
) -> None:
    """
    With the reason, and nothing is changed.
    """
    body = a_body(event(SUCCEEDED, "apart", customer=None))
    one = translate(body, livemode=False)
    apart = Outcome(EventState.QUARANTINED, "why")
    unread = translate(b"{}", livemode=False)
    of_account = event(SUCCEEDED, "connected")
    connected = translate(a_body({**of_account, "account": "acct_9"}), livemode=False)
    for it in (
        attrs.evolve(one, id="evt_other", livemode=True),
        attrs.evolve(one, id="evt_gone", body=GONE),
        attrs.evolve(one, id="evt_unknown"),
        unread,
        connected,
    ):
        people.keep(it, apart)
    people.keep(attrs.evolve(one, id="evt_applied"), Outcome(EventState.APPLIED))
    people.keep(attrs.evolve(one, id="evt_closed"), Outcome(EventState.CLOSED))
    before = story.deployment.database.tables

    for id_, error in (
        ("evt_nothing", EventNotFound),
        ("evt_applied", EventApplied),
        ("evt_closed", EventClosed),
        ("evt_other", EventOfOtherMode),
        ("evt_gone", EventBodyGone),
        (unread.id, EventNotLinkable),
        (connected.id, EventNotLinkable),
        ("evt_unknown", PaymentNotFound),
    ):
        with pytest.raises(error):
            await people.link(id_, BOB, WHY, caller=ROOT)
        if error in {EventNotFound, EventApplied, EventClosed}:
            with pytest.raises(error):
                await people.close(id_, WHY, caller=ROOT)
    with pytest.raises(EventNotFound):
        await people.close("evt_gone", WHY, "charge.failed", caller=ROOT)
    for caller, reason, refusal in (
        (ROOT, " ", InvalidValue),
        (ROOT, "x" * 501, InvalidValue),
        (caller_of(ADA), WHY, ScopeRequired),
    ):
        with pytest.raises(refusal):
            await people.link("evt_gone", BOB, reason, caller=caller)
        with pytest.raises(refusal):
            await people.close("evt_gone", reason, caller=caller)
        with pytest.raises(refusal):
            await people.subscriptions("sub_1", BOB, reason, caller=caller)
    with pytest.raises(ScopeRequired):
        await people.unapplied("evt_gone", caller=caller_of(ADA))

    assert story.deployment.database.tables == before


async def test_what_cannot_be_applied_can_be_closed(people: ByPeople) -> None:
    """
    Of the other mode, without a body, unreadable: and of several events the one that is
    named.
    """
    one = translate(a_body(event(SUCCEEDED, "apart")), livemode=False)
    apart = Outcome(EventState.QUARANTINED, "why")
    for it in (
        attrs.evolve(one, livemode=True),
        attrs.evolve(one, type="charge.failed", body=GONE),
    ):
        people.keep(it, apart)

    await people.close(one.id, WHY, "charge.failed", caller=ROOT)
    assert [it.event.type for it in people.rows(EventState.CLOSED)] == ["charge.failed"]
    await people.close(one.id, WHY, caller=ROOT)
    assert len(people.rows(EventState.CLOSED)) == 2


async def test_nobody_gets_what_is_of_nobody_known(
    story: Story, people: ByPeople
) -> None:
    """
    The user must exist first; the event stays as it is.
    """
    await sell_to_two(story)
    (first,) = people.ids(EventState.QUARANTINED, "customer.subscription.created")

    with pytest.raises(AccountNotFound):
        await people.link(first, UserId("nobody"), WHY, caller=ROOT)

    assert first in people.ids(EventState.QUARANTINED)
    assert not people.acts
