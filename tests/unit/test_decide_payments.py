"""The effect of a payment with a subscription, and of a correction."""

from datetime import timedelta
from typing import Any, Final

import attrs
import pytest

from contracts.examples import (
    ADA,
    BOB,
    CH_1,
    CUS_1,
    CUS_2,
    NOON,
    a_job,
    a_job_key,
    a_payment,
    a_report,
    a_subscription,
    an_account,
    an_event,
    email_of,
    in_trial,
)
from payments_core.by_hand import ActionByHand, ByHand
from payments_core.changes import JobFinish
from payments_core.decide import SYNC_AFTER_PAYMENT
from payments_core.errors import (
    AccountNotFound,
    PaymentLinked,
    PaymentNotFound,
    Rejected,
)
from payments_core.events import EventState
from payments_core.facts import (
    LinkDecided,
    LinkRequested,
    PaymentCorrected,
    PaymentReported,
    UserRegistered,
    facts_of,
)
from payments_core.identity import UserId
from payments_core.job import Job
from payments_core.job_key import JobKey, JobKind
from payments_core.months import months_after
from payments_core.payment import (
    DisputeState,
    Payment,
    PaymentId,
    PaymentRecord,
    PaymentState,
)
from payments_core.subscription import Subscription
from support.deciding import Kept, found
from support.subscribed import QUARANTINED, TWO_BOUND, P, S, kept_with, only, paid_for

DAY: Final = timedelta(days=1)

PAID: Final = a_payment(at=NOON + DAY, user=ADA)
FAILED: Final = a_payment(state=P.FAILED, at=NOON + DAY, user=ADA)


@pytest.mark.parametrize(
    ("subscription", "payment", "syncs"),
    [
        (paid_for(), PAID, False),
        (paid_for(), FAILED, True),
        (paid_for(S.PAST_DUE), PAID, True),
        (paid_for(S.PAST_DUE), FAILED, False),
        (paid_for(S.UNPAID), FAILED, False),
        (paid_for(S.INCOMPLETE), PAID, True),
        (paid_for(S.CANCELED), PAID, False),
        (a_subscription(owner=ADA), PAID, True),
        (attrs.evolve(in_trial(), user_id=ADA), PAID, True),
        (a_subscription(a_report(at=NOON + 2 * DAY), owner=ADA), PAID, False),
    ],
    ids=[
        *["paid", "new failure", "mended", "old failure", "still unpaid", "begun"],
        *["ended", "not covered", "in a trial", "before its life"],
    ],
)
def test_a_payment_within_a_life_is_a_reason_to_sync_if_it_tells_more(
    subscription: Subscription,
    payment: Payment,
    syncs: bool,  # noqa: FBT001  # a column
) -> None:
    """
    A little later: the events that come with it may make the sync unnecessary.
    """
    group = only(kept_with(subscription).decide(found(PaymentReported(payment))).groups)

    job = Job.due(a_job_key(), f"payment {CH_1}", NOON + SYNC_AFTER_PAYMENT, ADA)
    assert group.jobs == ((job,) if syncs else ())


@pytest.mark.parametrize("failed_first", [True, False])
def test_what_a_status_rests_on_after_the_end_is_asked_about(
    failed_first: bool,  # noqa: FBT001  # a column
) -> None:
    """
    The month was paid for, an upgrade failed, and then money was taken: for what?
    """
    ended = a_report(status=S.CANCELED, ended_at=NOON + 5 * DAY)
    kept = kept_with(attrs.evolve(paid_for(), report=ended))
    failed = a_payment("ch_failed", P.FAILED, at=NOON + DAY, user=ADA)
    taken = a_payment("ch_taken", at=NOON + 2 * DAY, user=ADA, customer=CUS_1)
    told = [failed, taken] if failed_first else [taken, failed]

    decided = [kept.record(found(PaymentReported(it))) for it in told]

    asked = [job.key for job in only(decided[-1].groups).jobs]
    assert asked == [JobKey(JobKind.PAYMENT, "ch_taken")]


@pytest.mark.parametrize("kept", [P.CONTRADICTED, P.SUCCEEDED, P.REFUNDED])
def test_what_the_gateway_says_of_a_payment_takes_the_place_of_all_reports(
    kept: PaymentState,
) -> None:
    """
    There is no merging: even a contradiction ends, and the account follows.
    """
    wrong = a_payment(state=kept, dispute=DisputeState.CONTRADICTED, user=ADA)
    record = PaymentRecord(wrong, ADA, version=3, sequence=1)
    correction = found(PaymentCorrected(FAILED, 2))
    group = only(Kept.of(an_account(), record).decide(correction).groups)

    assert group.payments == (PaymentRecord(FAILED, ADA, version=3, sequence=2),)
    assert group.after is not None
    latest = group.after.summary.latest
    assert latest is not None
    assert latest.status == "failed"


@pytest.mark.parametrize("sequence", [1, 2])
def test_a_correction_that_is_not_newer_is_fetched_again(sequence: int) -> None:
    """
    The known state was reported, or fetched, after the correction was requested.
    """
    known = PaymentRecord(PAID, ADA, sequence=2)
    claimed = a_job(CH_1, JobKind.PAYMENT).claimed(NOON)
    stale = attrs.evolve(found(PaymentCorrected(FAILED, sequence)), job=claimed)
    group = only(Kept.of(an_account(), known).decide(stale).groups)

    assert group.finished == (JobFinish(claimed, claimed.requeued(NOON), None, NOON),)
    assert not group.payments
    assert not group.changes_account


def test_a_correction_gives_no_payment_to_another() -> None:
    """
    The owner stays; a payment that was not known finds its owner.
    """
    kept = Kept.of(*TWO_BOUND, PaymentRecord(PAID, ADA))
    forged = PaymentCorrected(attrs.evolve(PAID, metadata_user_id=BOB), 2)
    decision = kept.decide(found(forged))
    assert decision.decided[0].outcome == QUARANTINED
    assert not only(decision.groups).payments
    assert not only(decision.groups).changes_account

    new = found(PaymentCorrected(a_payment("ch_2", customer=CUS_2), 2))
    group = only(kept.decide(new).groups)
    assert [record.user_id for record in group.payments] == [BOB]


WHY: Final = ByHand(by="root", reason="seen")


def decided(user: str | None, **more: Any) -> LinkDecided:
    return LinkDecided(
        payment_id=PaymentId(CH_1),
        user_id=UserId(user) if user else None,
        by_hand=WHY,
        **more,
    )


def owner_in(kept: Kept) -> tuple[str | None, bool]:
    record = kept.database.tables.payments[PaymentId(CH_1)]
    return record.user_id, record.linked_by_hand


def test_a_payment_goes_to_whom_it_is_linked_by_hand_and_back() -> None:
    """
    It buys its month, and gives it back, as if it had never been that user's.
    """
    kept = Kept.of(
        an_account(ADA), PaymentRecord(a_payment(), sequence=3), an_account(BOB)
    )
    kept.record(found(PaymentReported(a_payment("ch_0", at=NOON - DAY, user=ADA))))
    before = kept.database.tables.accounts[ADA]

    kept.record(found(decided(ADA)))

    after = kept.database.tables.accounts[ADA]
    assert owner_in(kept) == (ADA, True)
    assert after.payment_expire_date == months_after(NOON - DAY, 2)
    assert not kept.decide(found(decided(ADA))).groups[0].by_hand
    kept.record(found(decided(None)))
    assert owner_in(kept) == (None, True)
    assert kept.database.tables.accounts[ADA].verdict == before.verdict
    kept.record(found(decided(BOB)))
    assert owner_in(kept) == (BOB, True)
    changes = [it.action for _, it in kept.database.tables.changes_by_hand]
    assert changes == [
        ActionByHand.LINK_PAYMENT,
        ActionByHand.UNLINK_PAYMENT,
        ActionByHand.LINK_PAYMENT,
    ]
    assert {it.decided for _, it in kept.database.tables.changes_by_hand} == {WHY}


@pytest.mark.parametrize(
    ("owner", "user", "refusal"),
    [
        (ADA, BOB, PaymentLinked),
        (None, "nobody", AccountNotFound),
        ("missing", ADA, PaymentNotFound),
        ("missing", None, PaymentNotFound),
    ],
)
def test_what_cannot_be_linked_by_hand_is_refused(
    owner: str | None, user: str | None, refusal: type[Rejected]
) -> None:
    """
    One at a time, so that its former owner is not overlooked.
    """
    kept = Kept.of(an_account(ADA), an_account(BOB))
    if owner != "missing":
        kept.database.tables.put_payment(
            PaymentRecord(a_payment(), UserId(owner) if owner else None, 1)
        )

    (answer,) = kept.decide(found(decided(user))).decided

    assert isinstance(answer.refusal, refusal)


@pytest.mark.parametrize(
    ("whose", "owner"),
    [
        ({"user": ADA}, ADA),
        ({"customer": CUS_2}, BOB),
        ({"email": email_of(BOB)}, BOB),
        ({"user": BOB, "customer": CUS_2}, BOB),
        ({"user": "nobody"}, None),
        # In conflict: a person decides.
        ({"user": ADA, "customer": CUS_2}, None),
    ],
    ids=["named", "customer", "e-mail", "both", "nobody", "two"],
)
@pytest.mark.parametrize("heard", [True, False])
def test_whose_a_payment_is_does_not_depend_on_its_event(
    whose: Any, owner: UserId | None, *, heard: bool
) -> None:
    """
    What its event would link is not linked to another user by hand.
    """
    kept = Kept.of(an_account(ADA), an_account(BOB, customer=CUS_2))
    fetched = a_payment(**whose)
    if heard:
        kept.record(found(PaymentReported(fetched)))

    answers = {
        user: kept.decide(found(decided(user, fetched=fetched))).decided[0].refusal
        for user in (ADA, BOB)
    }

    for user, refusal in answers.items():
        if owner is None or user == owner:
            assert refusal is None
        else:
            assert isinstance(refusal, PaymentLinked)
            assert refusal.user_id == owner


def test_a_payment_of_nobody_is_decided_to_stay_so() -> None:
    """
    With an entry in the audit log that names no user; a repeat changes nothing.
    """
    kept = Kept.of(an_account(ADA), an_account(BOB))
    kept.database.tables.put_payment(PaymentRecord(a_payment(user="carl"), None, 1))

    kept.record(found(decided(None)))

    assert owner_in(kept) == (None, True)
    [(_, logged)] = kept.database.tables.changes_by_hand
    assert (logged.action, logged.user_id) == (ActionByHand.UNLINK_PAYMENT, None)
    assert not kept.decide(found(decided(None))).groups[0].by_hand
    carl = UserRegistered(user_id=UserId("carl"), email=an_account("carl").email)
    kept.record(found(carl))
    assert owner_in(kept) == (None, True)


@pytest.mark.parametrize("user", [ADA, None])
@pytest.mark.parametrize(
    "whose",
    [
        {"user": BOB},
        {"customer": CUS_2},
        {"user": BOB, "customer": CUS_2},
        {"email": email_of(BOB)},
    ],
    ids=["named", "customer", "both", "e-mail"],
)
def test_what_was_decided_by_hand_stands(user: str | None, whose: Any) -> None:
    """
    Whatever the payment later says of itself, and whichever user registers.
    """
    kept = Kept.of(an_account(ADA), an_account(BOB, customer=CUS_2))
    hers = PaymentRecord(a_payment(), None if user else UserId(ADA))
    kept.database.tables.put_payment(attrs.evolve(hers, version=1))
    kept.record(found(decided(user)))

    late = a_payment(state=P.REFUNDED, **whose)
    kept.record(found(PaymentReported(late)))
    kept.record(found(PaymentCorrected(late, 10**6)))
    kept.record(found(LinkRequested(UserId(BOB))))

    assert owner_in(kept) == (user, True)
    record = kept.database.tables.payments[PaymentId(CH_1)]
    assert record.payment.state is P.REFUNDED


def test_a_payment_that_was_never_kept_is_linked_as_it_was_fetched() -> None:
    """
    Its events name two users: only a person can decide which one owns it.
    """
    kept = Kept.of(an_account(ADA), an_account(BOB, customer=CUS_2))
    fetched = a_payment(user=ADA, customer=CUS_2)

    kept.record(found(decided(ADA, fetched=fetched)))

    record = kept.database.tables.payments[PaymentId(CH_1)]
    assert (record.payment, record.user_id) == (fetched, ADA)
    assert record.sequence > 0


@pytest.mark.parametrize(
    ("seconds", "state", "asks"),
    [
        (-60, P.REFUNDED, True),
        (0, P.REFUNDED, True),
        (2, P.REFUNDED, True),
        (3, P.REFUNDED, False),
        (-60, P.PARTIALLY_REFUNDED, True),
        (-60, P.SUCCEEDED, False),
    ],
)
def test_what_is_told_late_of_a_payment_that_was_fetched_is_asked_again(
    seconds: int, state: PaymentState, *, asks: bool
) -> None:
    """
    A refund that failed was fetched; the event that reported the refund is received
    again after it, and must not take the month for good.
    """
    kept = Kept.of(an_account(ADA), PaymentRecord(a_payment(user=ADA), UserId(ADA)))
    fetched = PaymentCorrected(a_payment(user=ADA), 7, NOON)
    kept.record(found(fetched))
    late = a_payment(state=state, user=ADA)
    event = attrs.evolve(
        an_event("evt_late", late), created_at=NOON + timedelta(seconds=seconds)
    )

    decision = kept.record(facts_of(event))

    record = kept.database.tables.payments[PaymentId(CH_1)]
    jobs = [it.key for group in decision.groups for it in group.jobs]
    assert (JobKey(JobKind.PAYMENT, CH_1) in jobs) is asks
    assert record.payment.state is (P.SUCCEEDED if asks else state)
    (outcome,) = [it.outcome for it in decision.decided]
    assert outcome is not None
    assert outcome.state is (EventState.PENDING if asks else EventState.APPLIED)


def test_what_is_linked_by_hand_is_asked_of_the_gateway() -> None:
    """
    While it was in conflict nothing of it was applied; what was fetched for the link is
    not undone by an older event.
    """
    kept = Kept.of(an_account(ADA), PaymentRecord(a_payment()))
    (group,) = kept.record(found(decided(ADA))).groups
    assert [it.key for it in group.jobs] == [JobKey(JobKind.PAYMENT, CH_1)]

    other = Kept.of(an_account(ADA))
    other.record(found(decided(ADA, fetched=a_payment(), at=NOON)))
    late = an_event("evt_late", a_payment(state=P.REFUNDED))
    other.record(facts_of(attrs.evolve(late, created_at=NOON - DAY)))
    record = other.database.tables.payments[PaymentId(CH_1)]
    assert record.payment.state is P.SUCCEEDED


@pytest.mark.parametrize("named", [None, ADA, BOB])
def test_a_payment_stays_where_it_is_whoever_has_its_customer_now(
    named: str | None,
) -> None:
    """
    Its customer was bound by mistake, and is another's since: a refund is still
    recorded. A report that names another user is in conflict.
    """
    hers = PaymentRecord(a_payment(customer=CUS_2), UserId(ADA))
    kept = Kept.of(an_account(ADA), an_account(BOB, customer=CUS_2), hers)
    back = a_payment(state=P.REFUNDED, customer=CUS_2, user=named)

    (answer,) = kept.record(found(PaymentReported(back))).decided

    record = kept.database.tables.payments[PaymentId(CH_1)]
    assert record.user_id == ADA
    assert (record.payment.state is P.REFUNDED) is (named != BOB)
    assert (answer.outcome == QUARANTINED) is (named == BOB)


def test_what_was_fetched_stays_known_when_a_payment_changes() -> None:
    """
    A newer event applies; an older one after it still takes nothing by itself.
    """
    kept = Kept.of(an_account(ADA), PaymentRecord(a_payment(user=ADA), UserId(ADA)))
    kept.record(found(PaymentCorrected(a_payment(user=ADA), 7, NOON)))
    newer = an_event("evt_newer", a_payment(state=P.PARTIALLY_REFUNDED, user=ADA))
    kept.record(facts_of(attrs.evolve(newer, created_at=NOON + DAY)))

    late = an_event("evt_late", a_payment(state=P.REFUNDED, user=ADA))
    kept.record(facts_of(attrs.evolve(late, created_at=NOON - DAY)))

    record = kept.database.tables.payments[PaymentId(CH_1)]
    assert record.payment.state is P.PARTIALLY_REFUNDED
