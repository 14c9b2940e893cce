"""Which of two reports is newer: what a report changes, and what it never changes."""

import random
from datetime import UTC, datetime
from functools import reduce
from typing import Final

import attrs
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from contracts.examples import a_report, a_subscription
from contracts.lives import BIRTH, SECOND
from payments_core.subscription import (
    SUBSCRIPTION_STEPS,
    Subscription,
    SubscriptionItem,
    SubscriptionStatus,
)
from payments_core.subscription_merge import (
    EVENT_CLOCK_SLACK,
    MergeResult,
    Observation,
    merge_observation,
)

S: Final = SubscriptionStatus


def heard(
    status: SubscriptionStatus, second: int, sequence: int, *, fetched: bool = False
) -> Observation:
    return Observation(
        report=a_report(status=status, at=BIRTH),
        at=BIRTH + second * SECOND,
        sequence=sequence,
        fetched=fetched,
    )


def after(known: Subscription | None, observation: Observation) -> Subscription | None:
    return merge_observation(known, observation).subscription


statuses = st.sampled_from(S)
reports = st.builds(heard, statuses, st.integers(0, 6), st.integers(1, 9))
answers = reports.map(lambda observation: attrs.evolve(observation, fetched=True))
known = st.lists(reports | answers, max_size=6).map(
    lambda observation: reduce(after, observation, None)
)


@given(known, reports | answers)
def test_p02_the_same_report_again_changes_nothing(
    before: Subscription | None, observation: Observation
) -> None:
    """
    Neither a copy of an event nor an answer that is recorded twice.
    """
    once = after(before, observation)
    assert after(once, observation) == once


@given(known, reports | answers, st.integers(1, 9))
def test_p09_a_twin_of_an_event_changes_nothing(
    before: Subscription | None, observation: Observation, sequence: int
) -> None:
    """
    Two events for one change: their contents are the same, their sequence numbers are
    not.
    """
    once = after(before, observation)
    assume(not observation.fetched)
    twice = after(
        once, attrs.evolve(observation, sequence=observation.sequence + sequence)
    )

    assert (twice and twice.report) == (once and once.report)


@given(known, reports | answers)
def test_p08_what_is_known_only_gets_newer(
    before: Subscription | None, observation: Observation
) -> None:
    """
    No report makes `as_of` or the sequence number smaller, or removes a subscription.
    """
    now = after(before, observation)
    if before is not None:
        assert now is not None
        assert now.as_of >= before.as_of
        assert now.sequence >= before.sequence


@pytest.mark.parametrize("ended", [S.CANCELED, S.INCOMPLETE_EXPIRED])
@given(observation=st.lists(reports | answers, min_size=1, max_size=5))
def test_p04_an_end_absorbs_all_that_comes_later(
    ended: SubscriptionStatus, observation: list[Observation]
) -> None:
    """
    No payload and no answer, whatever its time and sequence number, changes anything.
    """
    end = a_subscription(a_report(status=ended), as_of=BIRTH, sequence=0)
    state: Subscription | None = end
    for piece in observation:
        state = after(state, piece)

    assert state is end


@given(known, st.sampled_from([S.CANCELED, S.INCOMPLETE_EXPIRED]), st.integers(0, 6))
def test_p04_an_end_applies_at_once(
    before: Subscription | None, ended: SubscriptionStatus, second: int
) -> None:
    """
    However old the event is, and however new the known state.
    """
    assume(before is not None and not before.is_terminal)
    ending = heard(ended, second, sequence=0)
    final = after(before, ending)

    assert final is not None
    assert final.report == ending.report


@given(
    st.lists(reports | answers, max_size=5),
    st.sampled_from([status for status in S if SUBSCRIPTION_STEPS[status]]),
    st.randoms(use_true_random=False),
)
def test_p05_the_answer_with_the_greatest_ticket_wins(
    others: list[Observation], status: SubscriptionStatus, random_: random.Random
) -> None:
    """
    In every order; but an end takes precedence, and events that are surely newer are
    newer.
    """
    # Events up to two seconds later are not surely newer: 4 + the answer's second + 1.
    greatest = heard(status, 4, sequence=10, fetched=True)
    order = [*others, greatest]
    random_.shuffle(order)
    final = reduce(after, order, None)

    assert final is not None
    assert final.report.status is status or final.is_terminal
    ends = [e for e in others if e.report.is_terminal]
    assert not final.is_terminal or final.report in [e.report for e in ends]


def test_p05_an_answer_asked_for_before_a_payload_came_is_stale() -> None:
    """
    The payload took its sequence number as it applied; the fetch is repeated.
    """
    now = after(None, heard(S.ACTIVE, 0, sequence=1, fetched=True))
    newer = after(now, heard(S.PAST_DUE, 9, sequence=3))
    late = [heard(S.ACTIVE, 20, sequence, fetched=True) for sequence in (2, 3)]

    for answer in late:
        assert merge_observation(newer, answer) == MergeResult(
            newer, "a newer report came first"
        )


@pytest.mark.parametrize(
    ("second", "look"), [(0, "not surely newer"), (1, "not surely newer"), (2, None)]
)
def test_a_payload_applies_only_if_it_is_surely_newer(
    second: int, look: str | None
) -> None:
    """
    More than a second after everything known; at the boundary it is fetched.
    """
    now = a_subscription(a_report(status=S.ACTIVE), as_of=BIRTH, sequence=1)
    verdict = merge_observation(now, heard(S.PAST_DUE, second, sequence=2))

    assert verdict.sync_reason == look
    assert verdict.subscription is not None
    assert verdict.subscription.status is (S.ACTIVE if look else S.PAST_DUE)


def test_an_answer_is_known_until_the_end_of_its_second() -> None:
    """
    It may contain everything that happened in it, so an event two seconds later is
    fetched.
    """
    now = after(None, heard(S.ACTIVE, 4, sequence=1, fetched=True))

    assert now is not None
    assert now.as_of == BIRTH + 4 * SECOND + EVENT_CLOCK_SLACK
    assert merge_observation(now, heard(S.PAST_DUE, 6, sequence=2)).sync_reason
    assert not merge_observation(now, heard(S.PAST_DUE, 7, sequence=2)).sync_reason


@pytest.mark.parametrize("to", S)
@pytest.mark.parametrize("before", S)
def test_p19_a_move_that_the_table_does_not_have_is_looked_up(
    before: SubscriptionStatus, to: SubscriptionStatus
) -> None:
    """
    Every pair: a payload's step applies, an end applies, anything else is fetched.
    """
    now = a_subscription(a_report(status=before), as_of=BIRTH, sequence=1)
    verdict = merge_observation(now, heard(to, 9, sequence=2))
    answer = merge_observation(now, heard(to, 9, sequence=2, fetched=True))
    moves = (
        to is before or to in SUBSCRIPTION_STEPS[before] or not SUBSCRIPTION_STEPS[to]
    )

    assert verdict.subscription is not None
    assert answer.subscription is not None
    if now.is_terminal:
        assert verdict == answer == MergeResult(now)
    else:
        assert verdict.subscription.status is (to if moves else before)
        assert answer.subscription.status is to
        assert answer.sync_reason is None
        assert (
            moves
            or verdict.sync_reason == f"a {before} subscription does not become {to}"
        )


def test_an_end_whose_last_period_is_not_known_to_be_paid_is_looked_up() -> None:
    """
    Whether it was paid is not in the payload.
    """
    now = a_subscription(as_of=BIRTH)
    verdict = merge_observation(now, heard(S.CANCELED, 9, sequence=2))

    assert verdict.subscription is not None
    assert verdict.subscription.status is S.CANCELED
    assert verdict.sync_reason == "ended"


# As far as the readers accept a time.
moments = st.integers(0, 4_102_444_800).map(lambda s: datetime.fromtimestamp(s, UTC))


@given(
    st.lists(
        st.builds(
            Observation,
            report=st.builds(a_report, status=statuses, at=moments, ended_at=moments),
            at=moments,
            sequence=st.integers(0, 2**63 - 1),
            fetched=st.booleans(),
        ),
        max_size=6,
    )
)
def test_p10_no_report_raises_or_invents_a_status(
    observation: list[Observation],
) -> None:
    """
    Whatever is reported: a state that was reported, or nothing.
    """
    state = None
    for number, piece in enumerate(observation, 1):
        verdict = merge_observation(state, piece)
        state = verdict.subscription
        assert state is None or state.report in [e.report for e in observation[:number]]
        assert state is not None or verdict.sync_reason


# Several items


def an_item(item_id: str, price: str = "price_1") -> SubscriptionItem:
    return SubscriptionItem(
        item_id=item_id,
        product=f"product of {price}",
        price=price,
        quantity=7,
        period_start=BIRTH + SECOND,
        period_end=BIRTH + 9 * SECOND,
    )


@pytest.mark.parametrize("fetched", [False, True])
@pytest.mark.parametrize(
    ("told", "others", "own"),
    [
        # Ours is listed first, whatever else there is.
        ("si_1", [an_item("si_2")], "si_1"),
        # Ours comes later, and another one has the same price.
        ("si_0", [an_item("si_2"), an_item("si_1", "price_2")], "si_1"),
        # Ours was made again, at its price.
        ("si_0", [an_item("si_2", "price_9"), an_item("si_3")], "si_3"),
        ("si_0", [an_item("si_2", "price_9")], "si_0"),
        ("si_0", [], "si_0"),
    ],
)
def test_of_several_items_ours_is_the_one_that_is_known(
    told: str, others: list[SubscriptionItem], own: str, *, fetched: bool
) -> None:
    """
    By its id, else by its price, and then all of its fields; never just the first.
    """
    known = a_subscription(a_report(at=BIRTH))
    report = attrs.evolve(
        a_report(at=BIRTH),
        item_id=told,
        price="price_1" if told == "si_1" else "price_5",
        other_items=tuple(others),
    )
    later = known.as_of + 60 * SECOND
    seen = Observation(
        report=report, at=later, sequence=known.sequence + 1, fetched=fetched
    )

    after = merge_observation(known, seen).subscription

    assert after is not None
    assert after.report.item_id == own
    for item in others:
        if item.item_id == own:
            assert after.report.price == item.price
            assert after.report.product == item.product
            assert after.report.quantity == item.quantity
            assert after.report.period_end == item.period_end
