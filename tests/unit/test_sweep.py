"""Which objects of a list are suspects: what differs, and what is not listed."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import attrs
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from contracts.examples import (
    ADA,
    BOB,
    CH_1,
    CUS_1,
    CUS_2,
    NOON,
    SUB_1,
    a_payment,
    a_record,
    a_report,
    a_subscription,
    a_term,
    an_account,
)
from payments_core.card import Card
from payments_core.changes import Lookup, Snapshot
from payments_core.erasure import PSEUDONYM
from payments_core.facts import PeriodPaid
from payments_core.identity import UserId
from payments_core.job_key import JobKey, JobKind
from payments_core.object_lists import (
    CreatedBetween,
    Listed,
    ListedCustomer,
    ListedDispute,
    ListedInvoice,
    ListedObject,
    ListedPayment,
    ListedSubscription,
    ListedUnreadable,
    ObjectList,
    ObjectPage,
)
from payments_core.payment import DisputeState, PaymentId, PaymentState
from payments_core.subscription import SubscriptionItem, SubscriptionStatus
from payments_core.sweep import (
    EDGE_MAX,
    Suspect,
    SweepPlace,
    missing_of,
    suspects_of,
    wanted_of,
)

VISA = Card(id="pm_1", brand="visa", last4="4242", exp_month=1, exp_year=2030)
OTHER = attrs.evolve(VISA, id="pm_2")
_SECOND = timedelta(seconds=1)


def pages_of(objects: Sequence[ListedObject], size: int) -> list[ObjectPage]:
    newest = sorted(objects, key=lambda it: it.created_at, reverse=True)
    cut = [newest[it : it + size] for it in range(0, len(newest), size)] or [[]]
    return [
        ObjectPage(
            objects=page,
            at=NOON,
            after=page[-1].id if number < len(cut) else None,
        )
        for number, page in enumerate(cut, 1)
    ]


def listed(it: Listed, id_: str = "it", at: datetime = NOON) -> ListedObject:
    return ListedObject(id=id_, created_at=at, it=it)


def a_page(*things: Listed) -> ObjectPage:
    objects = [listed(it, f"it_{number}") for number, it in enumerate(things)]
    return ObjectPage(objects=objects, at=NOON, after=None)


def found(thing: Listed, **known: Any) -> Sequence[Suspect]:
    """Return the suspects among one thing, with this stored state."""
    page = a_page(thing)
    return suspects_of(page, Snapshot(lookup=wanted_of(page), sequence=1, **known))


# The other direction

seconds = st.integers(0, 4)


@given(
    st.lists(seconds, max_size=12),
    st.lists(seconds, max_size=4),
    st.integers(1, 4),
    st.integers(0, 2),
)
@example([0, 0, 0], [0], 2, 0)
@example([1, 0], [1], 1, 0)
def test_p26_whatever_is_kept_and_not_listed_is_found_once(
    there: list[int], gone: list[int], size: int, start: int
) -> None:
    """
    However the seconds are divided into pages; and nothing that is listed is.
    """
    created = CreatedBetween(start=NOON + start * _SECOND, end=NOON + 4 * _SECOND)
    objects = [
        listed(ListedUnreadable("any"), f"there_{number}", NOON + at * _SECOND)
        for number, at in enumerate(there)
        if created.holds(NOON + at * _SECOND)
    ]
    made = {it.id: it.created_at for it in objects} | {
        f"gone_{number}": NOON + at * _SECOND for number, at in enumerate(gone)
    }
    place, missing = SweepPlace(list_=ObjectList.PAYMENTS), list[str]()
    for page in pages_of(objects, size):
        if between := place.whole(page, created):
            kept = [id_ for id_, at in made.items() if between.holds(at)]
            suspects = missing_of(place.list_, kept, place, page)
            missing += [it.subject for it in suspects]
        following = place.next(page)
        assert following is not None
        place = following

    wanted = [
        f"gone_{number}"
        for number, at in enumerate(gone)
        if created.holds(NOON + at * _SECOND)
    ]
    assert sorted(missing) == wanted
    assert place == SweepPlace(list_=ObjectList.REFUNDS)


def test_what_is_missing_is_synced() -> None:
    """
    By its own kind of job; the time at which the gateway made it is unknown.
    """
    [suspect] = missing_of(
        ObjectList.SUBSCRIPTIONS,
        [SUB_1],
        SweepPlace(),
        ObjectPage(objects=[], at=NOON, after=None),
    )
    assert suspect == Suspect(subject=SUB_1, job=JobKey(JobKind.SUBSCRIPTION, SUB_1))


def test_too_many_of_one_second_are_not_compared() -> None:
    """
    Their ids are not all remembered: listed ones would count as missing.
    """
    objects = [
        listed(ListedUnreadable("any"), f"it_{number}")
        for number in range(EDGE_MAX + 1)
    ]
    first, last = pages_of(objects, EDGE_MAX)
    created = CreatedBetween(start=None, end=NOON + _SECOND)
    place = SweepPlace(list_=ObjectList.PAYMENTS).next(first)

    assert place is not None
    assert place.whole(last, created) == CreatedBetween(start=None, end=NOON)


def test_a_sweep_ends_after_the_last_list() -> None:
    """
    Each list once, in their order.
    """
    place: SweepPlace | None = SweepPlace()
    seen = list[ObjectList]()
    while place is not None:
        seen.append(place.list_)
        place = place.next(a_page())
    assert seen == list(ObjectList)


# Suspects


def test_what_cannot_be_read_is_told() -> None:
    """
    With its reason.
    """
    [suspect] = found(ListedUnreadable("no status"))
    assert (suspect.subject, suspect.unreadable) == ("it_0", "no status")


def sync(kind: JobKind, subject: str) -> list[Suspect]:
    return [Suspect(subject=subject, job=JobKey(kind, subject), since=NOON)]


OVER = a_report(status=SubscriptionStatus.CANCELED, ended_at=NOON)


@pytest.mark.parametrize(
    ("known", "report", "is_one"),
    [
        (None, a_report(), True),
        (a_report(), a_report(), False),
        (a_report(), OVER, True),
        (a_report(), attrs.evolve(a_report(), quantity=9), True),
        # What has ended no longer changes.
        (OVER, attrs.evolve(OVER, pinned_card="pm_9"), False),
    ],
)
def test_a_subscription_that_differs_is_suspect(
    known: Any, report: Any, *, is_one: bool
) -> None:
    """
    Or if it is not known.
    """
    kept = [a_subscription(known, owner=ADA)] if known else []
    suspects = found(ListedSubscription(report, ()), subscriptions=kept)
    assert list(suspects) == (sync(JobKind.SUBSCRIPTION, SUB_1) if is_one else [])


def test_another_item_of_a_subscription_is_no_difference() -> None:
    """
    Ours is among the others.
    """
    report = a_report()
    turned = attrs.evolve(
        report,
        item_id="si_other",
        price="price_other",
        other_items=(_item_of(report),),
    )
    kept = [a_subscription(report, owner=ADA)]
    assert not found(ListedSubscription(turned, ()), subscriptions=kept)


def _item_of(report: Any) -> Any:
    names = [it.name for it in attrs.fields(SubscriptionItem)]
    return SubscriptionItem(**{name: getattr(report, name) for name in names})


@pytest.mark.parametrize("in_list", [True, False])
@pytest.mark.parametrize(
    ("change", "is_one"),
    [
        ({}, False),
        ({"invoice_id": "in_other"}, True),
        ({"ends_at": NOON}, True),
        ({"amount_paid_minor": 1}, True),
        # Of an item that was added.
        ({"invoice_id": "in_other", "item_id": "si_other"}, False),
    ],
)
def test_a_paid_period_that_is_not_known_is_suspect(
    change: dict[str, Any], *, is_one: bool, in_list: bool
) -> None:
    """
    Of an invoice, or the latest one of a subscription.
    """
    period = a_term()
    known = {
        "subscriptions": [a_subscription(owner=ADA, term=period)],
        "periods": [period],
    }
    told = attrs.evolve(period, **change)
    if in_list:
        suspects = found(ListedInvoice((told,)), **known)
        facts = Suspect(subject=told.invoice_id, facts=(PeriodPaid(told),), since=NOON)
        assert list(suspects) == ([facts] if is_one else [])
    else:
        suspects = found(ListedSubscription(a_report(), (told,)), **known)
        assert list(suspects) == (sync(JobKind.SUBSCRIPTION, SUB_1) if is_one else [])


def test_the_period_of_an_unknown_subscription_is_none_of_its_own() -> None:
    """
    The subscription is a suspect of its own list.
    """
    assert not found(ListedInvoice((a_term(),)))


S = PaymentState


@pytest.mark.parametrize(
    ("known", "told", "is_one"),
    [
        (None, a_payment(), True),
        (a_payment(), a_payment(), False),
        (a_payment(), a_payment(state=S.REFUNDED), True),
        # A refund that failed.
        (a_payment(state=S.REFUNDED), a_payment(), True),
        (a_payment(state=S.PENDING), a_payment(state=S.FAILED), True),
        (a_payment(), a_payment(dispute=DisputeState.OPEN), True),
        # The list does not have the state of a dispute.
        (
            a_payment(dispute=DisputeState.LOST),
            a_payment(dispute=DisputeState.OPEN),
            False,
        ),
    ],
)
def test_a_payment_that_differs_is_suspect(
    known: Any, told: Any, *, is_one: bool
) -> None:
    """
    Or if it is not known.
    """
    kept = [a_record(known)] if known else []
    suspects = found(ListedPayment(told), payments=kept)
    assert list(suspects) == (sync(JobKind.PAYMENT, CH_1) if is_one else [])


D = DisputeState


@pytest.mark.parametrize(
    ("known", "told", "is_one"),
    [
        (None, D.OPEN, True),
        (D.NONE, D.OPEN, True),
        (D.OPEN, D.OPEN, False),
        (D.OPEN, D.WON, True),
        # Another of its disputes may have been lost: only the payment says so.
        (D.LOST, D.WON, True),
        (D.LOST, D.OPEN, True),
        (D.LOST, D.LOST, False),
    ],
)
def test_a_dispute_that_differs_is_suspect(
    known: D | None, told: D, *, is_one: bool
) -> None:
    """
    It is the payment that is synced.
    """
    kept = [a_record(a_payment(dispute=known))] if known else []
    suspects = found(ListedDispute(PaymentId(CH_1), told), payments=kept)
    assert list(suspects) == (sync(JobKind.PAYMENT, CH_1) if is_one else [])


@pytest.mark.parametrize(
    ("shown", "told", "pinned", "is_one"),
    [
        (None, None, None, False),
        (VISA, VISA, None, False),
        (VISA, None, None, True),
        (None, VISA, None, True),
        (VISA, attrs.evolve(VISA, exp_year=2031), None, True),
        # The card of a subscription takes precedence over the default.
        (OTHER, VISA, "pm_2", False),
        (VISA, VISA, "pm_2", True),
        (None, VISA, "pm_2", True),
        (VISA, attrs.evolve(VISA, exp_year=2031), "pm_1", True),
    ],
)
def test_a_customer_with_another_card_is_suspect(
    shown: Card | None, told: Card | None, pinned: str | None, *, is_one: bool
) -> None:
    """
    The card that pays is shown.
    """
    account = an_account(customer=CUS_1).with_card(shown, sequence=1)
    report = attrs.evolve(a_report(), pinned_card=pinned)
    account = account.with_subscription(a_subscription(report, owner=ADA))
    suspects = found(ListedCustomer(CUS_1, None, told), accounts=[account])
    assert list(suspects) == (sync(JobKind.CUSTOMER, CUS_1) if is_one else [])


def test_a_customer_of_nobody_is_no_suspect() -> None:
    """
    There is nothing to compare.
    """
    assert not found(ListedCustomer(CUS_1, None, VISA))


def test_a_customer_of_a_user_who_has_none_is_suspect() -> None:
    """
    If its metadata names the user; it is bound then.
    """
    account = an_account(ADA)
    [suspect] = found(ListedCustomer(CUS_1, ADA, None), accounts=[account])
    assert (suspect.subject, suspect.names, suspect.since) == (CUS_1, ADA, NOON)
    assert not found(ListedCustomer(CUS_1, None, None), accounts=[account])


@pytest.mark.parametrize(
    "known",
    [
        {},
        {"accounts": [an_account(ADA, customer=CUS_2)]},
        {"accounts": [an_account(ADA), an_account(BOB, customer=CUS_1)]},
        {"accounts": [an_account(ADA)], "erased": {f"customer {CUS_1}": NOON}},
    ],
    ids=["not registered", "has another", "is another's", "erased"],
)
def test_a_customer_that_cannot_be_bound_is_no_suspect(known: Any) -> None:
    """
    Whichever user its metadata names.
    """
    assert not found(ListedCustomer(CUS_1, ADA, None), **known)


def test_a_customer_of_a_pseudonym_is_no_suspect() -> None:
    """
    Money of an erased user stays the pseudonym's, and has no customer.
    """
    nobody = UserId(f"{PSEUDONYM}1")
    listed_ = ListedCustomer(CUS_1, nobody, None)
    assert not found(listed_, accounts=[an_account(nobody)])


def test_of_two_customers_of_one_user_the_newest_is_suspect() -> None:
    """
    The list begins with it.
    """
    page = a_page(ListedCustomer(CUS_2, ADA, None), ListedCustomer(CUS_1, ADA, None))
    snapshot = Snapshot(lookup=Lookup(), sequence=1, accounts=[an_account(ADA)])
    assert [it.subject for it in suspects_of(page, snapshot)] == [CUS_2]


def test_one_thing_that_is_listed_twice_is_one_suspect() -> None:
    """
    Two refunds of one charge.
    """
    page = a_page(ListedPayment(a_payment()), ListedPayment(a_payment()))
    snapshot = Snapshot(lookup=Lookup(), sequence=1)
    assert len(suspects_of(page, snapshot)) == 1
