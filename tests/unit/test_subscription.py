from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import reduce
from itertools import permutations
from typing import Final

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.examples import (
    MONTH,
    NOON,
    a_report,
    a_subscription,
    a_term,
    in_trial,
)
from payments_core import Subscription, SubscriptionStatus
from payments_core.errors import InvalidValue
from payments_core.subscription import (
    A_DAY,
    COLLECTED_AFTER,
    QUANTITY_MAX,
    SUBSCRIPTION_STEPS,
    PaidPeriod,
    PendingUpdate,
    SubscriptionReport,
    newest_own_card,
    quantity,
    subscription_id,
)

S: Final = SubscriptionStatus
ENDED: Final = {S.CANCELED, S.INCOMPLETE_EXPIRED}
DAY: Final = timedelta(days=1)
MOMENT: Final = timedelta(microseconds=1)

# Written out, so that a reviewer sees a change of the table.
SNAPSHOT = """
incomplete: active canceled incomplete_expired
incomplete_expired:
trialing: active canceled past_due paused
active: canceled past_due paused trialing unpaid
past_due: active canceled unpaid
unpaid: active canceled
paused: active canceled past_due
canceled:
"""


def test_p19_every_status_has_a_row() -> None:
    """
    A status added to the enum and forgotten in the table fails here.
    """
    assert set(SUBSCRIPTION_STEPS) == set(SubscriptionStatus)


def test_p19_the_table_is_the_documented_one() -> None:
    """
    Each status with all that may follow it.
    """
    rows = [
        f"{status}: {' '.join(sorted(steps))}".strip()
        for status, steps in SUBSCRIPTION_STEPS.items()
    ]
    assert "\n".join(rows) == SNAPSHOT.strip()


@pytest.mark.parametrize("status", SubscriptionStatus)
def test_p04_p19_terminal_rows_are_empty(status: SubscriptionStatus) -> None:
    """
    Canceled and incomplete-expired are the end; nothing else is.
    """
    report = a_report(status=status)

    assert (not SUBSCRIPTION_STEPS[status]) == (status in ENDED)
    assert report.is_terminal == (status in ENDED)
    assert a_subscription(report).is_terminal == (status in ENDED)


@pytest.mark.parametrize("value", [-1, 0, QUANTITY_MAX + 1])
def test_a_quantity_has_limits(value: int) -> None:
    """
    At least one, at most a million.
    """
    with pytest.raises(InvalidValue) as refused:
        quantity(value)
    assert refused.value.field == "quantity"


@pytest.mark.parametrize("value", [1, QUANTITY_MAX])
def test_a_quantity_reaches_its_limits(value: int) -> None:
    """
    Both ends are allowed.
    """
    assert quantity(value) == value


def test_a_subscription_has_one_id_whoever_hears_of_it_first() -> None:
    """
    It is derived from the gateway's id, and from nothing else that is reported.
    """
    seen = a_subscription(a_report("sub_1"))
    later = a_subscription(a_report("sub_1", S.CANCELED), owner="ada", sequence=9)

    assert seen.id == later.id == subscription_id("sub_1")
    assert seen.id != subscription_id("sub_2")


@pytest.mark.parametrize(
    ("at", "lived"),
    [
        (NOON - MOMENT, False),
        (NOON, True),
        (NOON + DAY, True),
        (NOON + DAY + MOMENT, False),
    ],
)
def test_a_life_is_from_the_beginning_to_the_end(at: datetime, lived: bool) -> None:  # noqa: FBT001  # a column
    """
    Both times are within; an open subscription has no end yet.
    """
    ended = a_subscription(a_report(status=S.CANCELED, ended_at=NOON + DAY))
    living = a_subscription()

    assert ended.lived_at(at) is lived
    assert living.lived_at(at) is (at >= NOON)


def test_what_never_began_never_lived() -> None:
    """
    A first payment that was never made leaves no life.
    """
    expired = a_report(status=S.INCOMPLETE_EXPIRED, ended_at=NOON + DAY)

    assert not a_subscription(expired).lived_at(NOON)
    assert a_subscription(a_report(status=S.INCOMPLETE)).lived_at(NOON)


@pytest.mark.parametrize(
    ("subscription", "until"),
    [
        (a_subscription(), None),
        (in_trial(), NOON + 14 * DAY),
        (in_trial(S.ACTIVE), NOON + 14 * DAY),
        (in_trial(S.CANCELED, ended_at=NOON + 3 * DAY), NOON + 3 * DAY),
        (in_trial(S.CANCELED, ended_at=NOON + 40 * DAY), NOON + 14 * DAY),
        (in_trial(S.INCOMPLETE), None),
        (in_trial(S.INCOMPLETE_EXPIRED), None),
    ],
    ids=["none", "now", "over", "cut short", "ended later", "waiting", "expired"],
)
def test_a_trial_is_free_until_it_ends_or_the_subscription_does(
    subscription: Subscription, until: datetime | None
) -> None:
    """
    Whichever is first; a subscription that waits for its first payment has no trial
    yet.
    """
    assert subscription.free_until == until


terms = st.builds(
    lambda start, days, invoice: a_term(
        starts_at=NOON + start * DAY,
        ends_at=NOON + (start + days) * DAY,
        invoice=f"in_{invoice}",
    ),
    st.integers(0, 3),
    st.integers(0, 3),
    st.integers(0, 2),
)


@given(st.lists(terms, min_size=1, max_size=4))
def test_p03_paid_terms_come_to_the_same_in_any_order(paid: list[PaidPeriod]) -> None:
    """
    The period that ends last stays, whatever the order and the copies.
    """
    orders = permutations([*paid, paid[0]])
    (only,) = {reduce(Subscription.paid, order, a_subscription()) for order in orders}

    assert only.last_paid_period is not None
    assert only.last_paid_period.ends_at == max(term.ends_at for term in paid)
    assert only.paid(only.last_paid_period) is only


def test_the_invoice_of_a_trial_buys_no_term() -> None:
    """
    It is over zero, and paid at once; the first that costs something counts.
    """
    trial = in_trial()
    bought = a_term(starts_at=NOON + 14 * DAY)

    assert trial.last_paid_period is not None
    assert trial.paid_period is None
    assert trial.paid(bought).paid_period == bought
    assert (
        a_subscription(term=trial.last_paid_period).paid_period
        == trial.last_paid_period
    )


def test_a_period_is_covered_by_its_paid_term_or_its_trial() -> None:
    """
    To exactly its end; a paid period that ends sooner leaves something to be paid.
    """
    term = a_term()
    short = attrs.evolve(term, ends_at=term.ends_at - MOMENT)

    assert a_subscription(term=term).covered
    assert not a_subscription(term=short).covered
    assert not a_subscription().covered
    assert attrs.evolve(in_trial(), last_paid_period=None).covered


@pytest.mark.parametrize("status", sorted(ENDED))
def test_what_has_ended_is_not_looked_at(status: SubscriptionStatus) -> None:
    """
    It can no longer change.
    """
    assert a_subscription(a_report(status=status)).next_sync_at is None


def test_what_is_covered_is_looked_at_after_its_period() -> None:
    """
    Once the next period must have been charged, and never before what is known.
    """
    paid = a_subscription(term=a_term())
    late = attrs.evolve(paid, as_of=NOON + 2 * MONTH)

    assert paid.next_sync_at == NOON + MONTH + COLLECTED_AFTER
    assert late.next_sync_at == NOON + 2 * MONTH + COLLECTED_AFTER


HELD: Final = PendingUpdate(price="price_2", quantity=None, expires_at=NOON + DAY)


@pytest.mark.parametrize(
    "waiting",
    [
        a_subscription(),
        a_subscription(a_report(status=S.INCOMPLETE)),
        a_subscription(a_report(status=S.PAST_DUE), term=a_term()),
        a_subscription(attrs.evolve(a_report(), pending=HELD), term=a_term()),
    ],
    ids=["unpaid", "incomplete", "past due", "held"],
)
def test_what_waits_for_a_payment_is_looked_at_soon_and_a_day_later(
    waiting: Subscription,
) -> None:
    """
    When it must have been charged, and after a day.
    """
    collected = NOON + COLLECTED_AFTER
    later = attrs.evolve(waiting, as_of=collected)

    assert waiting.next_sync_at == collected
    assert later.next_sync_at == collected + A_DAY


def syncs_of(subscription: Subscription, until: datetime) -> Iterator[datetime]:
    """Yield the times of its syncs, if no sync finds a change."""
    while (at := subscription.next_sync_at) is not None and at < until:
        assert at > subscription.as_of
        yield at
        subscription = attrs.evolve(subscription, as_of=at)


def test_what_is_owed_is_looked_at_the_more_rarely_the_longer_it_is() -> None:
    """
    The wait is as long as it has been owed: a day at least, a week at most. When the
    next period begins it is synced like any other.
    """
    owing = a_subscription(a_report(status=S.PAST_DUE))
    found = syncs_of(owing, NOON + MONTH + 3 * DAY)
    hours = [int((at - NOON) / timedelta(hours=1)) for at in found]

    end = 30 * 24
    assert hours == [2, 26, 52, 104, 208, 376, 544, 712, end + 2, end + 26, end + 52]


def test_a_change_that_waits_is_looked_at_daily_however_old_its_period_is() -> None:
    """
    It expires within the day.
    """
    held = a_subscription(attrs.evolve(a_report(), pending=HELD), term=a_term())
    late = attrs.evolve(held, as_of=NOON + 20 * DAY)
    assert late.next_sync_at == late.as_of + A_DAY


def pinning(
    card: str | None,
    id_: str = "sub_1",
    *,
    days: int = 0,
    status: SubscriptionStatus = S.ACTIVE,
) -> SubscriptionReport:
    report = a_report(id_, status, at=NOON + days * DAY)
    return attrs.evolve(report, pinned_card=card)


@pytest.mark.parametrize(
    ("reports", "card"),
    [
        ([], None),
        ([pinning(None)], None),
        ([pinning("pm_1")], "pm_1"),
        ([pinning("pm_1", status=S.CANCELED)], None),
        ([pinning("pm_1"), pinning("pm_2", "sub_2", days=1)], "pm_2"),
        ([pinning("pm_2", "sub_2", days=1), pinning("pm_1")], "pm_2"),
        ([pinning("pm_1"), pinning("pm_2", "sub_2")], "pm_2"),
        ([pinning("pm_1"), pinning(None, "sub_2", days=1)], "pm_1"),
        ([pinning("pm_1"), pinning("pm_2", days=1, status=S.CANCELED)], "pm_1"),
    ],
)
def test_the_newest_subscription_with_a_card_of_its_own_shows_it(
    reports: list[SubscriptionReport], card: str | None
) -> None:
    """
    An ended subscription is no longer paid.
    """
    assert newest_own_card(reports) == card
