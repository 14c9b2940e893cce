"""What a payment comes to beside a subscription, and what a correction does."""

from datetime import timedelta
from typing import Final

import attrs
import pytest

from contracts.examples import (
    ADA,
    BOB,
    CH_1,
    CUS_2,
    NOON,
    a_job,
    a_job_key,
    a_payment,
    a_report,
    a_subscription,
    an_account,
    in_trial,
)
from payments_core.changes import JobFinish
from payments_core.decide import SYNC_AFTER_PAYMENT
from payments_core.facts import (
    PaymentCorrected,
    PaymentReported,
)
from payments_core.job import Job, JobKind
from payments_core.payment import DisputeState, Payment, PaymentRecord, PaymentState
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
    A little later: the events that come with it may make the sync needless.
    """
    group = only(kept_with(subscription).decide(found(PaymentReported(payment))).groups)

    job = Job.due(a_job_key(), f"payment {CH_1}", NOON + SYNC_AFTER_PAYMENT, ADA)
    assert group.jobs == ((job,) if syncs else ())


@pytest.mark.parametrize("kept", [P.CONTRADICTED, P.SUCCEEDED, P.REFUNDED])
def test_what_the_gateway_says_of_a_payment_takes_the_place_of_all_reports(
    kept: PaymentState,
) -> None:
    """
    No merging: even a contradiction ends, and the account follows.
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
    What is known was reported, or fetched, after it was asked for.
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
    Whose it is stays; a payment that was not known finds its owner.
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
