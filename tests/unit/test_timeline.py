"""The place of things in a timeline, and its pages."""

from datetime import timedelta

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.examples import (
    ADA,
    NOON,
    a_payment,
    a_record,
    a_report,
    a_subscription,
)
from payments_core.entitlement import PaymentStatus
from payments_core.subscription import SubscriptionStatus
from payments_core.timeline import (
    StatusChange,
    SubscriptionBegan,
    SubscriptionEnded,
    TimelineItem,
    lives_of,
    newest,
    place_of,
)

DAY = timedelta(days=1)


def status(version: int, seconds: int = 0) -> StatusChange:
    return StatusChange(
        version=version,
        at=NOON + timedelta(seconds=seconds),
        payment_status=PaymentStatus.PAID,
        payment_expire_date=None,
        cause="",
        sources=(),
    )


def payment(number: int, seconds: int = 0) -> TimelineItem:
    at = NOON + timedelta(seconds=seconds)
    return a_record(a_payment(f"ch_{number}", at=at), owner=ADA)


def life(number: int, seconds: int = 0) -> TimelineItem:
    at = NOON + timedelta(seconds=seconds)
    return SubscriptionBegan(a_subscription(a_report(f"sub_{number}", at=at)))


numbered = st.tuples(
    st.sampled_from([status, payment, life]), st.integers(0, 12), st.integers(0, 2)
)


@given(st.lists(numbered, unique=True), st.integers(1, 5))
def test_p36_pages_joined_are_the_whole_timeline(
    things: list[tuple[object, int, int]], limit: int
) -> None:
    """
    However many things happened at one time; each once.
    """
    items = [make(number, at) for make, number, at in things]  # type: ignore[operator]  # one of three
    whole = newest(items, before=None, limit=len(items))
    joined, before = list[TimelineItem](), None
    while page := newest(items, before=before, limit=limit):
        joined += page
        before = place_of(page[-1])

    assert joined == whole
    moments = [place_of(it).at for it in whole]
    assert moments == sorted(moments, reverse=True)
    assert {place_of(it) for it in whole} == {place_of(it) for it in items}


def test_a_later_version_is_newer_also_of_one_moment() -> None:
    """
    By its number, not as a text: 10 comes after 9.
    """
    items = [status(9), status(10), status(1)]
    found = newest(items, before=None, limit=9)
    assert found == [status(10), status(9), status(1)]


def test_a_subscription_begins_and_may_end() -> None:
    """
    Each at its own time; a planned end is not listed yet.
    """
    lives = a_subscription(attrs.evolve(a_report("sub_1"), cancel_at=NOON + 9 * DAY))
    over = a_subscription(
        a_report("sub_2", SubscriptionStatus.CANCELED, ended_at=NOON + DAY)
    )
    found = newest(lives_of([lives, over]), before=None, limit=9)
    assert found == [
        SubscriptionEnded(over),
        SubscriptionBegan(over),
        SubscriptionBegan(lives),
    ]
    assert [place_of(it).at for it in found] == [NOON + DAY, NOON, NOON]


def test_what_has_no_moment_has_no_place() -> None:
    """
    A payment whose time is unknown.
    """
    untimed = a_record(attrs.evolve(a_payment(), created_at=None))
    with pytest.raises(ValueError, match="without a time"):
        place_of(untimed)
