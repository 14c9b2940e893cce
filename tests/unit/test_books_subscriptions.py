"""Whose subscription is it, and what has to be looked up? Straight on the books."""

from datetime import timedelta
from typing import Final

import attrs
import pytest

from contracts.examples import (
    ADA,
    BOB,
    CH_1,
    CUS_1,
    CUS_2,
    MONTH,
    NOON,
    a_job_key,
    a_payment,
    a_report,
    a_subscription,
    a_term,
    an_account,
    in_trial,
)
from payments_core.evidence import Evidence
from payments_core.identity import CustomerId, UserId
from payments_core.job import Job, JobKind
from payments_core.payment import DisputeState, Payment, PaymentState
from payments_core.ports import LinkKeys, PaymentRecord, Unlinked
from payments_core.subscription import (
    Subscription,
    SubscriptionReport,
    SubscriptionStatus,
)
from payments_core.use_cases.books import AFTER_PAYMENT, Books, Disagreement

S, P = SubscriptionStatus, PaymentState
DAY: Final = timedelta(days=1)
TWO_BOUND: Final = (an_account(ADA, customer=CUS_1), an_account(BOB, customer=CUS_2))
CUS_9: Final = CustomerId("cus_9")


def looked_up(report: SubscriptionReport, ticket: int = 2) -> Evidence:
    return Evidence(report=report, at=NOON, ticket=ticket, looked_up=True)


def paid_for(status: SubscriptionStatus = S.ACTIVE) -> Subscription:
    return a_subscription(a_report(status=status), owner=ADA, term=a_term())


def books_with(*subscriptions: Subscription) -> Books:
    """Return books in which Ada has these."""
    account = an_account(customer=CUS_1)
    for subscription in subscriptions:
        account = account.with_subscription(subscription)
    books = Books()
    books.know([account], subscriptions=subscriptions)
    return books


@pytest.mark.parametrize(
    ("report", "owner"),
    [
        (a_report(user=ADA), ADA),
        (a_report(customer=CUS_2), BOB),
        (a_report(user=BOB, customer=CUS_2), BOB),
        (a_report(user=ADA, customer=CUS_9), ADA),
        (a_report(user="nobody", customer=CUS_9), None),
        (a_report(customer=CUS_9), None),
    ],
)
def test_metadata_and_then_the_customer_say_whose_it_is(
    report: SubscriptionReport, owner: UserId | None
) -> None:
    """
    Who is not there yet waits; the account takes its subscription at once.
    """
    books = Books()
    books.know(TWO_BOUND)
    books.post_subscription(looked_up(report))

    (kept,) = books.changed_subscriptions
    assert kept.user_id == owner
    assert [a.user_id for a in books.changed_accounts] == ([owner] if owner else [])
    assert all(a.subscriptions == (kept,) for a in books.changed_accounts)


@pytest.mark.parametrize(
    ("known", "report"),
    [
        (None, a_report(user=ADA, customer=CUS_2)),
        (a_subscription(owner=ADA), a_report(user=BOB)),
        (a_subscription(owner=ADA), a_report(customer=CUS_2)),
    ],
    ids=["new", "another user", "another customer"],
)
def test_t23_what_names_two_users_moves_neither(
    known: Subscription | None, report: SubscriptionReport
) -> None:
    """
    The customer is one user's, the metadata or the owner another: nothing changes.
    """
    books = Books()
    books.know(TWO_BOUND, subscriptions=[known] if known else [])
    with pytest.raises(Disagreement):
        books.post_subscription(looked_up(report))

    assert not books.changed_accounts
    assert not books.changed_subscriptions
    assert not books.jobs(NOON)


def test_p21_no_report_of_a_subscription_binds_its_customer() -> None:
    """
    Metadata says whose it is, and not who the customer is.
    """
    books = Books()
    books.know([an_account(ADA)])
    books.post_subscription(looked_up(a_report(user=ADA, customer=CUS_1)))

    assert books.account(ADA).customer_id is None


def test_what_has_to_be_looked_up_is_asked_for_once() -> None:
    """
    A subscription that is not known yet, its term, and again: one job.
    """
    books = Books()
    payload = attrs.evolve(looked_up(a_report()), looked_up=False)

    assert books.post_subscription(payload).look == "not known yet"
    assert not books.post_term(a_term())
    assert list(books.jobs(NOON)) == [
        Job(key=a_job_key(), reason="not known yet", due_at=NOON)
    ]
    assert not books.changed_subscriptions


def test_a_paid_term_goes_to_its_subscription_and_to_its_account() -> None:
    """
    Ours or nobody's; one that was known changes nothing.
    """
    hers = a_subscription(owner=ADA)
    books = books_with(hers)
    assert books.post_term(a_term())
    assert books.changed_subscriptions == [attrs.evolve(hers, term=a_term())]
    assert books.account(ADA).payment_expire_date == NOON + MONTH

    nobodys = Books()
    nobodys.know(subscriptions=[a_subscription()])
    assert nobodys.post_term(a_term())
    assert nobodys.changed_subscriptions == [a_subscription(term=a_term())]

    again = books_with(paid_for())
    assert again.post_term(a_term())
    assert not again.changed_subscriptions
    assert not again.changed_accounts


PAID: Final = a_payment(at=NOON + DAY, user=ADA)
FAILED: Final = a_payment(state=P.FAILED, at=NOON + DAY, user=ADA)


@pytest.mark.parametrize(
    ("subscription", "payment", "looked"),
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
def test_a_payment_within_a_life_is_a_reason_to_look_if_it_tells_more(
    subscription: Subscription,
    payment: Payment,
    looked: bool,  # noqa: FBT001  # a column
) -> None:
    """
    A little later: the events that come with it may make the look needless.
    """
    books = books_with(subscription)
    books.post(payment)

    expected = Job(
        key=a_job_key(), reason=f"payment {CH_1}", due_at=NOON + AFTER_PAYMENT
    )
    assert list(books.jobs(NOON)) == ([expected] if looked else [])


def test_of_two_wishes_for_one_look_the_earlier_counts() -> None:
    """
    Whichever came first; and who works on a job does not ask for it.
    """
    key = a_job_key()
    for delays in ((AFTER_PAYMENT, timedelta()), (timedelta(), AFTER_PAYMENT)):
        books = Books()
        for delay in delays:
            books.look(key, "because", after=delay)
        assert [job.due_at for job in books.jobs(NOON)] == [NOON]
        books.forget(key)
        assert not books.jobs(NOON)


def test_jobs_come_in_the_order_of_their_keys() -> None:
    """
    Two transactions that ask for the same ones meet them in one order.
    """
    books = Books()
    keys = [a_job_key(it, kind) for kind in sorted(JobKind) for it in ("a", "b", "c")]
    for key in reversed(keys):
        books.look(key, "because")

    assert [job.key for job in books.jobs(NOON)] == keys


@pytest.mark.parametrize("kept", [P.CONTRADICTED, P.SUCCEEDED, P.REFUNDED])
def test_what_the_gateway_says_of_a_payment_takes_the_place_of_all_reports(
    kept: PaymentState,
) -> None:
    """
    No merging: even a contradiction ends, and the account follows.
    """
    books = Books()
    wrong = a_payment(state=kept, dispute=DisputeState.CONTRADICTED, user=ADA)
    books.know([an_account()], [PaymentRecord(wrong, ADA, version=3)])
    books.correct(FAILED)
    books.replay([])

    assert books.changed_payments == [PaymentRecord(FAILED, ADA, version=3)]
    latest = books.account(ADA).checkpoint.latest
    assert latest is not None
    assert latest.status == "failed"


def test_a_correction_gives_no_payment_to_another() -> None:
    """
    Whose it is stays; a payment that was not known finds its owner.
    """
    books = Books()
    books.know(TWO_BOUND, [PaymentRecord(PAID, ADA)])
    with pytest.raises(Disagreement):
        books.correct(attrs.evolve(PAID, claimed_by=BOB))
    assert not books.changed_payments
    books.correct(a_payment("ch_2", customer=CUS_2))
    assert [record.user_id for record in books.changed_payments] == [BOB]


def test_a_new_account_adopts_what_carries_its_keys() -> None:
    """
    What names two users, or is another's customer's, stays nobody's.
    """
    books = Books()
    books.know([an_account(BOB, customer=CUS_2)])
    books.open(an_account(ADA, customer=CUS_1))
    found = Unlinked(
        [PaymentRecord(a_payment(CH_1, user=ADA))],
        [
            a_subscription(a_report("sub_1")),
            a_subscription(a_report("sub_2", user=ADA, customer=CUS_2)),
            a_subscription(a_report("sub_3", user=ADA, customer=CUS_9)),
        ],
    )
    assert books.unknown_customers(found) == LinkKeys(customer_ids=frozenset({CUS_9}))
    books.adopt(found)
    books.replay([])

    linked = {it.gateway_id: it.user_id for it in books.changed_subscriptions}
    assert linked == {"sub_1": ADA, "sub_3": ADA}
    assert [it.gateway_id for it in books.account(ADA).subscriptions] == [*linked]
    assert [record.user_id for record in books.changed_payments] == [ADA]
