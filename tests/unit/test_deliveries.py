"""A delivery: when it is retried, when it is dead, and its names."""

from datetime import UTC, datetime, timedelta
from typing import Final

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from payments_core.deliveries import (
    BACK_OFF,
    GIVE_UP_AFTER,
    LEASE,
    REASON_LENGTH_MAX,
    RETRY_AFTER_MAX,
    TIMEOUT_MAX,
    Delivery,
    DeliveryKey,
    SendResult,
)
from payments_core.errors import InvalidValue
from payments_core.identity import UserId
from payments_core.lease import Lease

NOON: Final = datetime(2026, 1, 10, 12, tzinfo=UTC)
NEW: Final = Delivery.due(DeliveryKey("crm", 12), UserId("ada"), NOON)
NO: Final = SendResult(is_delivered=False, reason="it answered 500")
SECOND: Final = timedelta(seconds=1)
EVEN: Final = 0.5


def asking(wait: timedelta) -> SendResult:
    return attrs.evolve(NO, retry_after=wait)


def test_a_new_one_is_due_at_once() -> None:
    """
    Its three days begin with its first attempt, not before.
    """
    assert NEW.lease.is_due(NOON)
    assert not NEW.dead
    claimed = NEW.claimed(NOON + timedelta(days=5))
    assert claimed.lease.until == NOON + timedelta(days=5) + LEASE
    assert claimed.first_tried_at is None
    assert LEASE > TIMEOUT_MAX


def test_f51_a_failure_is_given_back_for_later() -> None:
    """
    With the reason, the time of its first attempt, and without a lease.
    """
    claimed = NEW.claimed(NOON)

    after = claimed.failed(NOON + SECOND, NO, EVEN)

    assert after == attrs.evolve(
        claimed,
        lease=Lease(due_at=NOON + 6 * SECOND, attempts=1, fence=1),
        first_tried_at=NOON + SECOND,
        reason="it answered 500",
    )
    again = after.failed(NOON + 10 * SECOND, NO, EVEN)
    assert again.lease.due_at == NOON + 20 * SECOND
    assert again.first_tried_at == NOON + SECOND


@pytest.mark.parametrize(("jitter", "seconds"), [(0.0, 3.75), (0.5, 5.0), (1.0, 6.25)])
def test_a_wait_is_a_quarter_shorter_or_longer_by_chance(
    jitter: float, seconds: float
) -> None:
    """
    So that not all are retried at one time.
    """
    after = NEW.failed(NOON, NO, jitter)
    assert after.lease.due_at - NOON == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("asked", "waits"),
    [
        (timedelta(0), 5 * SECOND),
        (timedelta(hours=1), timedelta(hours=1)),
        (timedelta(days=2), RETRY_AFTER_MAX),
        (timedelta(days=10_000), RETRY_AFTER_MAX),
    ],
)
def test_what_an_endpoint_asks_for_counts_within_bounds(
    asked: timedelta, waits: timedelta
) -> None:
    """
    Never sooner than without it, and at most a day.
    """
    assert NEW.failed(NOON, asking(asked), EVEN).lease.due_at == NOON + waits


@given(st.lists(st.tuples(st.floats(0, 1), st.sampled_from([0, 60, 90_000]))))
def test_f51_the_last_attempt_is_at_the_end_of_three_days(
    draws: list[tuple[float, int]],
) -> None:
    """
    After it, and not before, it is dead, whatever the jitter, and whatever was
    requested.
    """
    it, now, attempts = NEW, NOON, 0
    waits = iter(draws)
    while not it.dead:
        jitter, asked = next(waits, (EVEN, 0))
        it = it.failed(now, asking(timedelta(seconds=asked)), jitter)
        assert it.lease.due_at >= now
        if it.dead:
            assert now == NOON + GIVE_UP_AFTER
        now, attempts = it.lease.due_at, attempts + 1
    assert attempts <= 60
    assert not draws or attempts > 3


def test_one_that_comes_late_to_its_last_attempt_has_it() -> None:
    """
    No process ran for a week: it is tried once more, and is dead after that.
    """
    it = NEW.failed(NOON, NO, EVEN)
    late = NOON + timedelta(days=7)
    assert it.lease.is_due(late)

    assert it.failed(late, NO, EVEN).dead


def test_a_replayed_one_has_all_its_attempts_again() -> None:
    """
    Due at once; the reason of its earlier failure remains visible.
    """
    late = NOON + GIVE_UP_AFTER
    dead = NEW.failed(NOON, NO, EVEN).failed(late, NO, EVEN)
    assert dead.dead

    again = dead.replayed(late + SECOND)

    assert not again.dead
    assert again.lease == Lease(due_at=late + SECOND)
    assert (again.first_tried_at, again.reason) == (None, "it answered 500")


def test_a_reason_has_an_end() -> None:
    """
    However long the server's text is.
    """
    after = NEW.failed(NOON, attrs.evolve(NO, reason="a" * 10_000), EVEN)
    assert after.reason == "a" * REASON_LENGTH_MAX


def test_waits_grow_up_to_six_hours() -> None:
    """
    Seconds at first, because most failures are short.
    """
    waits = [BACK_OFF.after(it) for it in (0, 1, 2, 12, 13, 100)]
    assert waits == [
        *(timedelta(seconds=it) for it in (5, 10, 20, 20_480)),
        timedelta(hours=6),
        timedelta(hours=6),
    ]


def test_a_delivery_has_a_name_for_people_and_one_for_its_endpoint() -> None:
    """
    The endpoint knows it by the id of the change.
    """
    key = DeliveryKey("crm", 12)
    assert (key.id, key.webhook_id) == ("crm:12", "chg_12")
    assert DeliveryKey.of_id("crm:12") == DeliveryKey.of_id("crm:chg_12") == key


@pytest.mark.parametrize(
    "text",
    ["", "crm", "crm:", ":12", "12", "crm:-1", "crm:1.5", "crm:²", "c:" + "9" * 19],
)
def test_what_names_no_delivery_is_refused(text: str) -> None:
    """
    With what it should be.
    """
    with pytest.raises(InvalidValue) as raised:
        DeliveryKey.of_id(text)
    assert (raised.value.field, raised.value.reason) == (
        "id",
        "not an endpoint and a position: crm:12",
    )
