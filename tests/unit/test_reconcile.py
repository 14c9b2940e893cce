"""Drift: whatever happens unheard is found, by its kind and its cause, and repaired."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import attrs
import pytest
from typing_extensions import override

from payments_adapters.memory import (
    MemoryAuditLog,
    MemoryLedger,
    MemoryPaymentDirectory,
)
from payments_adapters.stripe import translate
from payments_core.back_fill import KEPT_FOR
from payments_core.changes import Changes, SaveResult
from payments_core.drift import DriftKind
from payments_core.errors import AccountNotFound
from payments_core.events import SyncNeeded
from payments_core.facts import SourcedFacts
from payments_core.identity import CustomerId, UserId
from payments_core.job import QUICK_ATTEMPTS, JobKey, JobKind, JobState
from payments_core.jobs import DriftCause, Finding, RunSweep, reconcile
from payments_core.money import Money
from payments_core.object_lists import ObjectList
from payments_core.payment import DisputeState, PaymentId, PaymentState
from payments_core.subscription import SubscriptionStatus
from payments_core.sweep import SweepPlace
from payments_core.use_cases import LinkPayment, LinkSubscription, ReadPaymentLink
from support.deployment import ADA, BEGINNING, admin
from support.reconciling import A_MOMENT, OTHER, OneByOne, Story, no_wait, told

_A_MONTH: Final = timedelta(days=32)
# A little more than events are waited for.
A_WHILE: Final = timedelta(minutes=65)

pytestmark = pytest.mark.anyio


@pytest.fixture
async def story() -> AsyncIterator[Story]:
    async with told() as it:
        yield it


async def test_p26_what_was_heard_is_no_drift(story: Story) -> None:
    """
    Nor is it asked about: a page of each list is all that it takes.
    """
    before = story.deployment.line.reads.total()
    assert await story.sweep() == []
    assert story.deployment.line.reads.total() - before == len(ObjectList)


Deed = Callable[[Story], Awaitable[object]]
K = DriftKind


def asked(path: Callable[[Story], str], **params: Any) -> Deed:
    """Return a change at the gateway that nobody here hears of."""

    async def deed(story: Story) -> None:
        story.api.post(path(story), **params)

    return deed


def of_subscription(**params: Any) -> Deed:
    return asked(lambda story: story.subscription, **params)


async def cancel(story: Story) -> None:
    story.api.delete(story.subscription)


async def plan(story: Story) -> None:
    until = int((BEGINNING + timedelta(days=20)).timestamp())
    story.api.post(story.subscription, cancel_at=until)


async def change_quantity(story: Story) -> None:
    [item] = story.api.get(story.subscription)["items"]["data"]
    items = [{"id": item["id"], "quantity": 3}]
    story.api.post(story.subscription, items=items)


async def change_price(story: Story) -> None:
    [item] = story.api.get(story.subscription)["items"]["data"]
    items = [{"id": item["id"], "price": story.deployment.pro}]
    story.api.post(story.subscription, items=items)


async def hold_change(story: Story) -> None:
    story.deployment.decline(story.card)
    [item] = story.api.get(story.subscription)["items"]["data"]
    story.api.post(
        story.subscription,
        items=[{"id": item["id"], "quantity": 3}],
        payment_behavior="pending_if_incomplete",
        proration_behavior="always_invoice",
    )


async def add_item(story: Story) -> None:
    other = story.api.price(100)["id"]
    story.api.post(story.subscription, items=[{"price": other}])


async def pin_other(story: Story) -> None:
    made = story.api.post(f"payment_methods/{OTHER}/attach", customer=story.customer)
    story.api.post(story.subscription, default_payment_method=made["id"])


async def choose_other(story: Story) -> None:
    story.api.give_card(story.customer, OTHER)


async def detach(story: Story) -> None:
    story.api.post(f"payment_methods/{story.card}/detach")


async def correct_card(story: Story) -> None:
    story.api.post(f"payment_methods/{story.card}", card={"exp_year": 2044})


async def correct_pinned(story: Story) -> None:
    """Correct the card that pays, where another one is the default by now."""
    own = story.card
    story.api.give_card(story.customer, OTHER)
    await story.deployment.hear()
    story.api.post(f"payment_methods/{own}", card={"exp_year": 2044})


async def correct_pinned_and_plan(story: Story) -> None:
    """Correct it where the subscription has changed as well."""
    await correct_pinned(story)
    story.api.post(story.subscription, cancel_at_period_end=True)


async def renew(story: Story) -> None:
    await story.deployment.advance(_A_MONTH)


async def fail_to_renew(story: Story) -> None:
    story.deployment.decline(story.card)
    await story.deployment.advance(_A_MONTH)


async def subscribe_elsewhere(story: Story) -> None:
    other = story.api.price(300)["id"]
    story.api.subscribe(story.customer, other)


async def subscribe_nobody(story: Story) -> None:
    other = story.api.customer()
    story.api.subscribe(other["id"], story.deployment.basic)


async def begin_trial(story: Story) -> None:
    until = int((BEGINNING + timedelta(days=40)).timestamp())
    story.api.post(story.subscription, trial_end=until, proration_behavior="none")


async def sell_once(story: Story) -> None:
    story.charge()


async def sell_in_vain(story: Story) -> None:
    story.deployment.decline(story.card)
    with pytest.raises(Exception, match="402"):
        story.charge()


def refund(**params: Any) -> Deed:
    async def deed(story: Story) -> None:
        story.api.post("refunds", charge=story.paid, **params)

    return deed


async def fail_refund(story: Story) -> None:
    """Give back, which is heard, and then not, which is not."""
    card = story.api.give_card(story.customer, "pm_card_refundFail")
    intent = story.api.post(
        "payment_intents",
        amount=500,
        currency="eur",
        customer=story.customer,
        payment_method=card,
        confirm=True,
        off_session=True,
    )
    story.api.post("refunds", charge=intent["latest_charge"])
    await story.deployment.hear()
    await story.deployment.advance(timedelta(days=10))


def sell_disputed(story: Story) -> str:
    card = story.api.give_card(story.customer, "pm_card_createDispute")
    intent = story.api.post(
        "payment_intents",
        amount=500,
        currency="eur",
        customer=story.customer,
        payment_method=card,
        confirm=True,
        off_session=True,
    )
    return str(intent["latest_charge"])


async def dispute(story: Story) -> None:
    """Sell, of which is heard, and lose the money at once, of which is not."""
    sell_disputed(story)
    cards = ["payment_method.attached", "customer.updated"]
    await story.deployment.hear(["charge.succeeded", *cards])


def settled(evidence: str) -> Deed:
    async def deed(story: Story) -> None:
        charge = sell_disputed(story)
        await story.deployment.hear()
        [disputed] = story.api.get("disputes", charge=charge)["data"]
        story.api.post(
            f"disputes/{disputed['id']}",
            evidence={"uncategorized_text": evidence},
            submit=True,
        )

    return deed


def spoilt_payment(**fields: Any) -> Deed:
    async def deed(story: Story) -> None:
        await story.spoil_payment(**fields)

    return deed


def spoilt_subscription(**fields: Any) -> Deed:
    async def deed(story: Story) -> None:
        await story.spoil_subscription(**fields)

    return deed


async def lose_subscription(story: Story) -> None:
    """Lose it here, as a database does that was restored from a backup."""
    tables = story.deployment.database.tables
    tables.subscriptions.clear()
    tables.subscriptions_of.clear()
    tables.periods.clear()
    tables.invoices_of.clear()


async def lose_period(story: Story) -> None:
    tables = story.deployment.database.tables
    tables.periods.clear()
    tables.invoices_of.clear()
    [kept] = tables.subscriptions.values()
    tables.subscriptions[kept.gateway_id] = attrs.evolve(kept, last_paid_period=None)


async def spoil_period(story: Story) -> None:
    """Keep that less was paid for a period than was."""
    tables = story.deployment.database.tables
    [period] = tables.periods.values()
    tables.put_period(attrs.evolve(period, amount_paid_minor=1))


async def lose_payment(story: Story) -> None:
    tables = story.deployment.database.tables
    tables.payments.clear()
    tables.payments_by.clear()


async def unlink_subscription(story: Story) -> None:
    tables = story.deployment.database.tables
    [kept] = tables.subscriptions.values()
    tables.subscriptions[kept.gateway_id] = attrs.evolve(kept, user_id=None)


async def unlink_payment(story: Story) -> None:
    tables = story.deployment.database.tables
    [record] = tables.payments.values()
    tables.put_payment(attrs.evolve(record, user_id=None))


async def invent_payment(story: Story) -> None:
    story.invent_payment()


async def invent_subscription(story: Story) -> None:
    story.invent_subscription()


async def contradict(story: Story) -> None:
    """Sell to the customer of one user what its metadata says is another's."""
    story.charge(metadata={"user_id": "eve"})


NEVER: Final = BEGINNING - timedelta(days=300)
# What happened, and what differs then.
DRIFTS: Final[Mapping[str, tuple[Deed, set[DriftKind]]]] = {
    "it was ended in the dashboard": (
        cancel,
        {K.SUBSCRIPTION_STATUS, K.SUBSCRIPTION_END},
    ),
    "its end was planned": (
        of_subscription(cancel_at_period_end=True),
        {K.SUBSCRIPTION_END},
    ),
    "its end was planned for a day": (plan, {K.SUBSCRIPTION_END}),
    "another quantity": (change_quantity, {K.SUBSCRIPTION_PLAN}),
    "another price": (change_price, {K.SUBSCRIPTION_PLAN}),
    "a change that waits": (
        hold_change,
        {K.SUBSCRIPTION_PENDING_CHANGE, K.SUBSCRIPTION_DETAILS, K.PAYMENT_UNKNOWN},
    ),
    "its metadata": (
        of_subscription(metadata={"intent_id": "other"}),
        {K.SUBSCRIPTION_DETAILS},
    ),
    "an item that is not ours": (add_item, set()),
    "a card of its own": (pin_other, {K.SUBSCRIPTION_CARD}),
    "another default, which does not pay": (choose_other, set()),
    "its card was detached": (detach, {K.SUBSCRIPTION_CARD}),
    "its card was corrected": (correct_card, {K.CARD}),
    "its card was corrected, and is not the default": (correct_pinned, {K.CARD}),
    "its card was corrected, and its end was planned": (
        correct_pinned_and_plan,
        {K.CARD, K.SUBSCRIPTION_END},
    ),
    "it was renewed": (
        renew,
        {
            K.SUBSCRIPTION_PERIOD,
            K.SUBSCRIPTION_DETAILS,
            K.PERIOD_UNKNOWN,
            K.PAYMENT_UNKNOWN,
        },
    ),
    "it could not be renewed": (
        fail_to_renew,
        {
            K.SUBSCRIPTION_STATUS,
            K.SUBSCRIPTION_PERIOD,
            K.SUBSCRIPTION_DETAILS,
            K.PAYMENT_UNKNOWN,
        },
    ),
    "another subscription": (
        subscribe_elsewhere,
        {K.SUBSCRIPTION_UNKNOWN, K.PAYMENT_UNKNOWN},
    ),
    "a subscription of nobody": (
        subscribe_nobody,
        {K.SUBSCRIPTION_UNKNOWN, K.PAYMENT_UNKNOWN},
    ),
    "a trial": (
        begin_trial,
        {
            K.SUBSCRIPTION_STATUS,
            K.SUBSCRIPTION_TRIAL,
            K.SUBSCRIPTION_PERIOD,
            K.SUBSCRIPTION_DETAILS,
            K.PERIOD_UNKNOWN,
        },
    ),
    "something was sold once": (sell_once, {K.PAYMENT_UNKNOWN}),
    "something could not be sold": (sell_in_vain, {K.PAYMENT_UNKNOWN}),
    "a refund in full": (refund(), {K.PAYMENT_REFUND}),
    "a refund in part": (refund(amount=100), {K.PAYMENT_REFUND}),
    "a refund that failed": (fail_refund, {K.PAYMENT_REFUND}),
    "a dispute": (dispute, {K.PAYMENT_DISPUTE}),
    "a dispute that was won": (settled("winning_evidence"), {K.PAYMENT_DISPUTE}),
    "a dispute that was lost": (settled("losing_evidence"), {K.PAYMENT_DISPUTE}),
    "a subscription is lost here": (lose_subscription, {K.SUBSCRIPTION_UNKNOWN}),
    "a paid period is lost here": (lose_period, {K.PERIOD_UNKNOWN}),
    "a payment is lost here": (lose_payment, {K.PAYMENT_UNKNOWN}),
    "a subscription has lost its user": (unlink_subscription, {K.SUBSCRIPTION_OWNER}),
    "another status here": (
        spoilt_subscription(status=SubscriptionStatus.PAST_DUE),
        {K.SUBSCRIPTION_STATUS},
    ),
    "another period here": (
        spoilt_subscription(period_end=BEGINNING + timedelta(days=400)),
        {K.SUBSCRIPTION_PERIOD},
    ),
    "another currency here": (
        spoilt_subscription(currency="usd"),
        {K.SUBSCRIPTION_DETAILS},
    ),
    "a planned end here": (
        spoilt_subscription(cancel_at_period_end=True),
        {K.SUBSCRIPTION_END},
    ),
    "a trial here": (
        spoilt_subscription(trial_start=NEVER, trial_end=NEVER),
        {K.SUBSCRIPTION_TRIAL},
    ),
    "a payment that failed here": (
        spoilt_payment(state=PaymentState.FAILED),
        {K.PAYMENT_STATE},
    ),
    "a payment that is pending here": (
        spoilt_payment(state=PaymentState.PENDING),
        {K.PAYMENT_STATE},
    ),
    "a payment that is in doubt here": (
        spoilt_payment(state=PaymentState.CONTRADICTED),
        {K.PAYMENT_STATE},
    ),
    "a dispute that nobody has": (
        spoilt_payment(dispute=DisputeState.OPEN),
        {K.PAYMENT_DISPUTE},
    ),
    "a refund that nobody made": (
        spoilt_payment(state=PaymentState.REFUNDED, refunded_minor=900),
        {K.PAYMENT_REFUND},
    ),
    "a payment has lost its user": (unlink_payment, {K.PAYMENT_OWNER}),
    "another amount here": (
        spoilt_payment(amount=Money(10**6, "eur")),
        {K.PAYMENT_DETAILS},
    ),
    "another state and amount here": (
        spoilt_payment(
            state=PaymentState.FAILED, amount=Money(1, "eur"), failure_code="any"
        ),
        {K.PAYMENT_STATE, K.PAYMENT_DETAILS},
    ),
    "another invoice here": (
        spoilt_payment(
            state=PaymentState.FAILED, invoice_id="in_other", invoice_known=True
        ),
        {K.PAYMENT_STATE, K.PAYMENT_INVOICE},
    ),
    "another period of an invoice here": (spoil_period, {K.PERIOD_DETAILS}),
    "a charge of two users": (contradict, {K.OWNER_CONFLICT}),
    "a payment that is invented": (invent_payment, {K.PAYMENT_MISSING}),
    "a subscription that is invented": (invent_subscription, {K.SUBSCRIPTION_MISSING}),
}
REPORTED_ONLY: Final = {
    K.OWNER_CONFLICT,
    K.PAYMENT_MISSING,
    K.SUBSCRIPTION_MISSING,
}


# Of these the gateway says when they happened.
TIMED: Final = frozenset(
    {
        "it was ended in the dashboard",
        "a change that waits",
        "it was renewed",
        "it could not be renewed",
        "another subscription",
        "a subscription of nobody",
        "a trial",
        "something was sold once",
        "something could not be sold",
        "a refund in full",
        "a refund in part",
        "a charge of two users",
    }
)
INVENTED: Final = frozenset(
    {"a payment that is invented", "a subscription that is invented"}
)
# Nothing happened at the gateway to what was known to be right.
OURS: Final = (
    "another status here",
    "another period here",
    "another currency here",
    "a planned end here",
    "a trial here",
    "a subscription has lost its user",
)


def kinds(findings: list[Finding]) -> set[DriftKind]:
    return {it.drift.kind for it in findings}


@pytest.mark.parametrize("name", DRIFTS)
async def test_p26_f39_f41_what_is_not_heard_is_found_and_repaired(
    story: Story, name: str
) -> None:
    """
    By its kind and its cause; a report changes nothing, and after a repair nothing
    differs.
    """
    deed, expected = DRIFTS[name]
    await story.deployment.advance(A_WHILE)
    await deed(story)
    # All of it is lost.
    await story.deployment.hear([], apply_only=True)
    await story.deployment.advance(A_WHILE)

    found = await story.sweep()
    assert kinds(found) == expected
    why = causes(found)
    if name in TIMED:
        # Of what names no moment the event that made it was heard.
        assert DriftCause.WHILE_DOWN in why
        assert why <= {DriftCause.WHILE_DOWN, DriftCause.EVENT_LOST}
    elif expected:
        lost = name not in INVENTED
        assert why == {DriftCause.EVENT_LOST if lost else DriftCause.UNKNOWN}
    assert kinds(await story.sweep()) == expected

    repaired = await story.sweep(repairs=True)
    await story.deployment.work()
    assert {it.drift.kind for it in repaired if it.repaired} == expected - REPORTED_ONLY
    assert kinds(await story.sweep()) == expected & REPORTED_ONLY


# Why


def causes(findings: list[Finding]) -> set[DriftCause]:
    return {it.cause for it in findings}


async def test_an_event_among_others_is_lost(story: Story) -> None:
    """
    Something was received within the hour.
    """
    story.charge()
    await story.deployment.hear(["payment_intent.succeeded"], apply_only=True)

    assert causes(await story.sweep()) == {DriftCause.EVENT_LOST}


async def test_nothing_was_received_while_we_were_down(story: Story) -> None:
    """
    Not for an hour from when it was made.
    """
    await story.deployment.advance(timedelta(days=2))
    story.charge()
    await story.deployment.advance(timedelta(hours=2))
    await story.deployment.hear([], apply_only=True)

    assert causes(await story.sweep()) == {DriftCause.WHILE_DOWN}


async def compared(story: Story) -> list[Finding]:
    """Compare Ada with what the gateway has of her."""
    reconcile = story.reconcile
    return [
        finding
        for suspect in await reconcile.suspects_of(ADA)
        for finding in await reconcile.compare(suspect, repairs=False)
    ]


@pytest.mark.parametrize("name", OURS)
async def test_what_was_heard_and_differs_is_our_own_bug(
    story: Story, name: str
) -> None:
    """
    Back-fill has read the list of events since what is kept was right.
    """
    await story.deployment.advance(timedelta(hours=12))
    deed, expected = DRIFTS[name]
    await deed(story)
    assert causes(await compared(story)) == {DriftCause.EVENT_LOST}
    await story.deployment.back_fill()
    found = await compared(story)
    assert kinds(found) == expected
    assert causes(found) == {DriftCause.OWN_BUG}


async def test_what_changed_since_the_list_was_read_is_no_bug(story: Story) -> None:
    """
    Nor is what was last known to be right longer ago than events are listed.
    """
    await story.deployment.back_fill()
    await story.deployment.advance(timedelta(hours=12))
    await cancel(story)
    assert causes(await compared(story)) == {DriftCause.EVENT_LOST}
    await story.deployment.advance(KEPT_FOR)
    await story.deployment.back_fill()
    assert DriftCause.OWN_BUG not in causes(await compared(story))


async def test_an_event_that_was_kept_apart_is_the_cause(story: Story) -> None:
    """
    It came, and could not be read.
    """
    await refund()(story)
    await story.deployment.hear([], apply_only=True)
    event = {
        "id": "evt_poisoned",
        "object": "event",
        "type": "charge.refunded",
        "created": int(BEGINNING.timestamp()),
        "livemode": False,
        "data": {"object": {"object": "charge", "id": story.paid, "amount": "many"}},
    }
    await story.deployment.apply([translate(json.dumps(event).encode())])

    assert causes(await story.sweep()) == {DriftCause.EVENT_QUARANTINED}


@pytest.mark.parametrize("attempts", [0, QUICK_ATTEMPTS])
async def test_what_is_being_synced_is_no_drift_until_its_job_fails(
    story: Story, attempts: int
) -> None:
    """
    A job will find the same in a moment, or it never does.
    """
    await cancel(story)
    await story.deployment.hear([], apply_only=True)
    id_ = story.subscription.removeprefix("subscriptions/")
    key = JobKey(JobKind.SUBSCRIPTION, id_)
    await story.deployment.record.one(SourcedFacts(facts=(SyncNeeded(key, "any"),)))
    tables = story.deployment.database.tables
    lease = attrs.evolve(tables.jobs[key].lease, attempts=attempts)
    tables.put_job(attrs.evolve(tables.jobs[key], lease=lease))

    found = await story.sweep()
    assert causes(found) == ({DriftCause.JOB_FAILED} if attempts else set())


async def test_what_a_repair_does_not_repair_is_a_bug_of_ours(story: Story) -> None:
    """
    It is told as such, and nothing says that it was repaired.
    """
    await sell_once(story)
    await story.deployment.hear([], apply_only=True)
    deployment = story.deployment
    record = attrs.evolve(deployment.record, ledger=_Forgetful(deployment.database))
    run = RunSweep(attrs.evolve(story.reconcile, record=record), sleep=no_wait)
    deployment.clock.advance(A_MOMENT)
    range_ = run.range_now(BEGINNING)
    found = [
        finding
        async for step in run(range_, SweepPlace(), repairs=True)
        for finding in step.findings
    ]
    assert [(it.cause, it.repaired) for it in found] == [(DriftCause.OWN_BUG, False)]


class _Forgetful(MemoryLedger):
    """A ledger that says that it saves, and does not."""

    @override
    async def save(
        self, groups: Sequence[Changes], *, at: datetime
    ) -> Sequence[SaveResult]:
        return [SaveResult.SAVED for _ in groups]


@pytest.mark.parametrize("owned", [True, False])
async def test_what_the_gateway_has_not_is_settled_by_hand(
    story: Story, *, owned: bool
) -> None:
    """
    A person unlinks it, of a user or of nobody: then it is told no more, and is worth
    nothing to anybody.
    """
    tables = story.deployment.database.tables
    payment, sold = PaymentId(story.invent_payment()), story.invent_subscription()
    if not owned:
        record, kept = tables.payments[payment], tables.subscriptions[sold]
        tables.put_payment(attrs.evolve(record, user_id=None))
        tables.put_subscription(attrs.evolve(kept, user_id=None))
    assert kinds(await story.sweep(repairs=True)) == {
        K.PAYMENT_MISSING,
        K.SUBSCRIPTION_MISSING,
    }
    it, log = story.deployment, MemoryAuditLog(story.deployment.database)
    read = ReadPaymentLink(MemoryPaymentDirectory(it.database), log)
    unlink_sold = LinkSubscription(it.record, it.asked, log)

    await unlink_sold(sold, None, "invented", caller=admin())
    await LinkPayment(it.record, it.asked, read)(
        payment, None, "invented", caller=admin()
    )
    await it.work()

    assert await story.sweep() == []
    assert [*await story.run.user(ADA, repairs=False)] == []
    account = await it.account()
    assert sold not in {one.gateway_id for one in account.subscriptions}
    # Nor does anything ask for it again, however long no event comes.
    await it.advance(timedelta(days=60))
    key = JobKey(JobKind.SUBSCRIPTION, sold)
    assert it.database.tables.jobs[key].state is JobState.DONE


# The way


async def test_what_is_not_readable_does_not_stop_a_sweep(story: Story) -> None:
    """
    It is told, and all that comes after it is compared.
    """
    charge = story.charge()
    await cancel(story)
    await story.deployment.hear([], apply_only=True)
    spoilt = story.deployment.engine.world.get("charge", charge)
    dict.update(spoilt, currency="EURO")

    found = {it.drift.subject: it.drift for it in await story.sweep()}
    assert found[charge].kind is K.UNREADABLE
    assert found[charge].theirs
    assert len(found) == 2


async def test_a_sweep_goes_on_where_another_process_stopped(story: Story) -> None:
    """
    At every step: nothing is left out, and nothing is told twice.
    """
    await cancel(story)
    await sell_once(story)
    await story.deployment.hear([], apply_only=True)
    whole = kinds(await story.sweep())

    run = story.run
    range_, found = run.range_now(BEGINNING), list[Finding]()
    place: SweepPlace | None = SweepPlace()
    while place is not None:
        step = await anext(run(range_, place, repairs=False))
        found += step.findings
        place = step.place
    assert kinds(found) == whole
    assert len(found) == len({(it.drift.kind, it.drift.subject) for it in found})


# One user


@pytest.mark.parametrize(
    "name",
    [
        it
        for it, (_, expected) in DRIFTS.items()
        # What is here only, of a payment, is found by a sweep of all.
        if expected and not expected & {K.PAYMENT_MISSING} and "nobody" not in it
    ],
)
async def test_one_user_is_compared_alone(story: Story, name: str) -> None:
    """
    The same is found and repaired as of all; of others nothing is read.
    """
    deed, expected = DRIFTS[name]
    await deed(story)
    await story.deployment.hear([], apply_only=True)
    await story.deployment.register(UserId("eve"))

    compare = story.run.user
    found = kinds([*await compare(ADA, repairs=False)])
    # A card that follows from what is found is no finding of its own here, either.
    assert found == expected
    assert await compare(UserId("eve"), repairs=True) == []

    await compare(ADA, repairs=True)
    await story.deployment.work()
    left = await compare(ADA, repairs=False)
    assert kinds([*left]) == expected & REPORTED_ONLY


async def test_all_pages_of_one_user_are_compared(story: Story) -> None:
    """
    What differs may be on any of them.
    """
    sold = [story.charge() for _ in range(3)]
    await story.deployment.hear([], apply_only=True)
    lists: Any = OneByOne(story.lists)
    run = RunSweep(attrs.evolve(story.reconcile, lists=lists), sleep=no_wait)

    found = await run.user(ADA, repairs=False)

    assert {it.drift.subject for it in found} == {*sold}


@pytest.mark.parametrize("by_user", [True, False])
async def test_a_deleted_customer_is_found(story: Story, *, by_user: bool) -> None:
    """
    It is in no list of the gateway's. What it had has ended with it.
    """
    story.api.delete(f"customers/{story.customer}")
    await story.deployment.hear([], apply_only=True)

    if by_user:
        found = [*await story.run.user(ADA, repairs=True)]
    else:
        found = await story.sweep(repairs=True)
    assert K.CUSTOMER_DELETED in kinds(found)
    await story.deployment.work()
    assert await story.sweep() == []
    assert (await story.deployment.account()).customer_id is None


async def test_customers_on_several_pages_are_all_listed(story: Story) -> None:
    """
    Nobody is fetched before the last page is read, and none that was on any; though
    that page is read twice, as after a kill.
    """
    for _ in range(101):
        story.api.post("customers")
    before = story.deployment.line.reads.total()
    assert await story.sweep() == []
    assert story.deployment.line.reads.total() - before == len(ObjectList) + 1

    range_, reconcile = story.run.range_now(), story.reconcile
    first = await reconcile.read(SweepPlace(), range_)
    assert first.place is not None
    assert first.suspects == []
    for _ in range(2):
        last = await reconcile.read(first.place, range_)
        assert last.suspects == []


async def test_a_customer_that_is_not_there_is_told(story: Story) -> None:
    """
    A typo of whoever bound it, or another Stripe account: a person has to look.
    """
    await story.deployment.register(UserId("typo"))
    tables = story.deployment.database.tables
    account = await story.deployment.account(UserId("typo"))
    bound = CustomerId("cus_typo")
    tables.put_account(attrs.evolve(account, customer_id=bound, version=2))

    [found] = await story.run.user(UserId("typo"), repairs=True)
    assert (found.drift.kind, found.drift.subject) == (K.CUSTOMER_MISSING, bound)
    assert (found.drift.user_id, found.repaired) == ("typo", False)


async def test_what_is_a_users_without_their_customer_is_compared(story: Story) -> None:
    """
    A guest's charge, linked by an e-mail; its refund was not heard of.
    """
    guest = story.api.customer()
    card = story.api.get(f"customers/{guest['id']}")["invoice_settings"]
    intent = story.api.post(
        "payment_intents",
        amount=500,
        currency="eur",
        customer=guest["id"],
        payment_method=card["default_payment_method"],
        receipt_email="bob@example.com",
        confirm=True,
        off_session=True,
    )
    await story.deployment.register(UserId("bob"))
    await story.deployment.hear()
    assert (await story.deployment.account(UserId("bob"))).summary.latest
    story.api.post("refunds", charge=intent["latest_charge"])
    await story.deployment.hear([], apply_only=True)

    found = await story.run.user(UserId("bob"), repairs=True)
    assert [(it.drift.kind, it.repaired) for it in found] == [(K.PAYMENT_REFUND, True)]


async def test_a_dispute_that_is_lost_long_after_is_found(story: Story) -> None:
    """
    By the sweep of any night: disputes are few, and all are listed.
    """
    charge = sell_disputed(story)
    await story.deployment.hear()
    await story.deployment.advance(timedelta(days=60))
    await story.deployment.hear()
    [disputed] = story.api.get("disputes", charge=charge)["data"]
    story.api.post(
        f"disputes/{disputed['id']}",
        evidence={"uncategorized_text": "losing_evidence"},
        submit=True,
    )
    await story.deployment.hear([], apply_only=True)

    run, found = story.run, list[Finding]()
    async for step in run(run.range_now(), SweepPlace(), repairs=True):
        found += step.findings
    assert [(it.drift.kind, it.drift.subject) for it in found] == [
        (K.PAYMENT_DISPUTE, charge)
    ]


@pytest.mark.parametrize("evidence", ["winning_evidence", None])
async def test_a_dispute_that_is_lost_only_here_is_found(
    story: Story, evidence: str | None
) -> None:
    """
    What is kept does not hide that Stripe says otherwise: it is won there, or open.
    """
    charge = PaymentId(sell_disputed(story))
    await story.deployment.hear()
    if evidence is not None:
        [disputed] = story.api.get("disputes", charge=charge)["data"]
        told_ = {"uncategorized_text": evidence}
        story.api.post(f"disputes/{disputed['id']}", evidence=told_, submit=True)
        await story.deployment.hear()
    tables = story.deployment.database.tables
    record = tables.payments[charge]
    spoilt = attrs.evolve(record.payment, dispute=DisputeState.LOST)
    tables.put_payment(attrs.evolve(record, payment=spoilt))

    [found] = await story.sweep(repairs=True)

    assert (found.drift.kind, found.drift.subject) == (K.PAYMENT_DISPUTE, charge)
    assert found.repaired
    assert story.deployment.database.tables.payments[charge].payment == record.payment
    assert await story.sweep() == []


async def test_a_user_who_is_not_there_is_not_found(story: Story) -> None:
    """
    A typo is no user without drift.
    """
    with pytest.raises(AccountNotFound):
        await story.run.user(UserId("nobody"), repairs=False)


async def test_the_newest_payments_beside_the_customers_are_compared(
    story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    What was listed with the customer does not count.
    """
    monkeypatch.setattr(reconcile, "PAYMENTS_MAX", 2)
    guest = story.api.customer()
    card = story.api.get(f"customers/{guest['id']}")["invoice_settings"]
    sold = list[str]()
    for _ in range(3):
        intent = story.api.post(
            "payment_intents",
            amount=500,
            currency="eur",
            customer=guest["id"],
            payment_method=card["default_payment_method"],
            receipt_email=f"{ADA}@example.com",
            confirm=True,
            off_session=True,
        )
        sold.append(intent["latest_charge"])
        await story.deployment.advance(A_MOMENT)
    # They are the customer's, and newer.
    for _ in range(2):
        story.charge()
    await story.deployment.hear()

    found = await story.reconcile.suspects_of(ADA)

    payments = [it.subject for it in found if it.subject.startswith("ch_")]
    assert payments == [sold[2], sold[1]]
