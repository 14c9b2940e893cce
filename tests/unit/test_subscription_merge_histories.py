"""Lives of subscriptions: reported in any order, they end in the true state."""

import random
from collections.abc import Sequence
from itertools import permutations, product
from typing import Final

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.examples import ADA, a_subscription, an_account
from contracts.lives import (
    BIRTH,
    BORN,
    SECOND,
    Change,
    Rule,
    Step,
    Story,
    a_life,
    lives,
    play,
    steps,
    told,
    walk,
)
from payments_core.facts import SubscriptionObserved
from payments_core.subscription import Subscription, SubscriptionStatus
from payments_core.subscription_merge import MergeResult, Observation, merge_observation
from support.deciding import Kept, found
from support.profiles import examples

S: Final = SubscriptionStatus


@settings(max_examples=examples(1_000, proven=30_000))
@given(lives(), steps, st.permutations(range(7)))
def test_p01_p26_every_story_ends_in_the_truth(
    life: list[Change], plot: list[Step], order: list[int]
) -> None:
    """
    Shuffled, doubled, late, with slow fetches: once all is delivered, the state is
    known.
    """
    story = Story(life)
    for step in plot:
        play(story, step)
    story.settle(order)

    assert story.told_right


def seconds(count: int) -> list[tuple[int, ...]]:
    """Return all ways in which changes may be 0, 1 or 3 seconds apart."""
    return [
        tuple(sum(gaps[:n]) for n in range(count))
        for gaps in product((0, 1, 3), repeat=count - 1)
    ]


@pytest.mark.parametrize("late", [False, True], ids=["live", "late"])
@pytest.mark.parametrize("delay", [0, 1, 3])
@pytest.mark.parametrize(
    "walked",
    [
        (S.INCOMPLETE, S.ACTIVE, S.PAST_DUE, S.ACTIVE),
        (S.INCOMPLETE, S.ACTIVE, S.PAST_DUE, S.UNPAID, S.CANCELED),
        (S.TRIALING, S.ACTIVE, S.ACTIVE, S.PAST_DUE, S.ACTIVE),
    ],
    ids=["paid", "canceled", "mended"],
)
def test_p01_every_order_of_a_life_ends_in_the_truth(
    walked: Sequence[SubscriptionStatus], delay: int, *, late: bool
) -> None:
    """
    All orders, all spacings, with answers that arrive at once or much later.
    """
    for at in seconds(len(walked)):
        life = a_life(*zip(at, walked, strict=True))
        for order in permutations(range(len(life))):
            assert told(life, order, late=late, delay=delay).told_right, (at, order)


@pytest.mark.parametrize("gap", [0, 1, 2, 3])
def test_p01_every_order_of_six_events_ends_in_the_truth(gap: int) -> None:
    """
    As above, with equal distances between the changes.
    """
    walked = (S.TRIALING, S.ACTIVE, S.PAST_DUE, S.UNPAID, S.ACTIVE, S.CANCELED)
    life = a_life(*((n * gap, status) for n, status in enumerate(walked)))
    for order in permutations(range(len(life))):
        for late, delay in product((False, True), (0, 2)):
            assert told(life, order, late=late, delay=delay).told_right, order


# Numbers that were drawn for fetches are smaller than those of the later loads.
FIRST_LOAD: Final = 100


def observed(life: Sequence[Change], sequence: int) -> list[SubscriptionObserved]:
    """Return a payload for each change, and a fetch of the last, drawn before."""
    payloads = [
        SubscriptionObserved(report=it.report, at=BIRTH + it.second * SECOND)
        for it in life
    ]
    return [*payloads, attrs.evolve(payloads[-1], sequence=sequence)]


def known_after(
    *batches: Sequence[SubscriptionObserved],
) -> dict[str, Subscription]:
    """Record reports of Ada's subscriptions in these batches, saving after each.

    The load on which a payload was decided is left out: batches have fewer loads.
    """
    kept = Kept.of(an_account())
    kept.database.last_sequence = FIRST_LOAD
    for batch in batches:
        kept.record(*(found(it) for it in batch))
        tables = kept.database.tables
        account, saved = tables.whole(tables.accounts[ADA]), tables.subscriptions
        assert account.subscriptions == tuple(
            sorted(saved.values(), key=lambda it: it.gateway_id)
        )
    return {
        id_: attrs.evolve(it, version=0, sequence=min(it.sequence, FIRST_LOAD))
        for id_, it in kept.database.tables.subscriptions.items()
    }


def hers(life: Sequence[Change], id_: str) -> list[Change]:
    """Return the same life as one of Ada's, under another id."""
    return [
        attrs.evolve(
            change,
            report=attrs.evolve(change.report, gateway_id=id_, metadata_user_id=ADA),
        )
        for change in life
    ]


@given(lives(), st.data())
def test_p06_batches_do_not_matter(life: list[Change], data: st.DataObject) -> None:
    """
    All in one, each in its own, or split anywhere: the same is known, and stored.
    """
    facts = data.draw(st.permutations(observed(hers(life, "sub_1"), 1)))
    at = data.draw(st.integers(0, len(facts)))
    together = known_after(facts)

    assert known_after(facts[:at], facts[at:]) == together
    assert known_after(*([fact] for fact in facts)) == together


@given(st.lists(lives(), min_size=2, max_size=5), st.data())
def test_p07_subscriptions_do_not_disturb_each_other(
    drawn: list[list[Change]], data: st.DataObject
) -> None:
    """
    Interleaved in any way, each has the same state as if it were the only one.
    """
    parts = [
        data.draw(st.permutations(observed(hers(life, f"sub_{n}"), n + 1)))
        for n, life in enumerate(drawn)
    ]
    alone = {id_: it for part in parts for id_, it in known_after(part).items()}
    places = [n for n, part in enumerate(parts) for _ in part]
    rest = [iter(part) for part in parts]
    mixed = [next(rest[n]) for n in data.draw(st.permutations(places))]

    assert known_after(mixed) == alone


# The proof would find a wrong rule


def _taken(known: Subscription | None, observation: Observation) -> MergeResult:
    until = max(observation.at, known.as_of) if known else observation.at
    return MergeResult(a_subscription(observation.report, as_of=until))


def by_arrival(known: Subscription | None, observation: Observation) -> MergeResult:
    return _taken(known, observation)


def not_older(known: Subscription | None, observation: Observation) -> MergeResult:
    if known is None or observation.at >= known.as_of:
        return _taken(known, observation)
    return MergeResult(known)


def newer(known: Subscription | None, observation: Observation) -> MergeResult:
    if known is None or observation.at > known.as_of:
        return _taken(known, observation)
    return MergeResult(known)


def without_tickets(
    known: Subscription | None, observation: Observation
) -> MergeResult:
    sequence = observation.sequence if known is None else known.sequence + 1
    return merge_observation(known, attrs.evolve(observation, sequence=sequence))


SAME_SECOND: Final = a_life((0, S.INCOMPLETE), (0, S.TRIALING))
SECONDS_APART: Final = a_life((0, S.ACTIVE), (2, S.INCOMPLETE), (2, S.TRIALING))
RULES: Final[dict[str, Rule]] = {
    "arrival": by_arrival,
    "created >=": not_older,
    "created >": newer,
    "no tickets": without_tickets,
}


@pytest.mark.parametrize(
    ("rule", "life"),
    [(by_arrival, SAME_SECOND), (not_older, SAME_SECOND), (newer, SECONDS_APART)],
)
def test_an_order_by_arrival_or_by_seconds_is_caught(
    rule: Rule, life: list[Change]
) -> None:
    """
    Some order of a known counter-example ends wrong; none does by the real rule.
    """
    orders = list(permutations(range(len(life))))

    assert not all(told(life, order, rule=rule).told_right for order in orders)
    assert all(told(life, order).told_right for order in orders)


def in_vain(rule: Rule) -> Story:
    """Let the answer to a later fetch overtake an earlier answer."""
    story = Story(a_life((0, S.ACTIVE), (9, S.PAST_DUE)), rule)
    for step in (
        ("happen", 0),
        ("deliver", 0),
        ("look", 0),
        ("read", 1),
        ("happen", 0),
        ("deliver", 1),
        ("look", 0),
        ("read", 1),
        ("answer", 1),
        ("answer", 0),
    ):
        play(story, step)
    story.settle()
    return story


def test_answers_without_tickets_are_caught() -> None:
    """
    The answer that was requested first arrives last, and is the older one.
    """
    assert not in_vain(without_tickets).told_right
    assert in_vain(merge_observation).told_right


def a_random_story(random_: random.Random, rule: Rule) -> Story:
    """Report a life as gateways do: most in order, some late, twice or together."""
    life = walk(
        random_.choice(BORN), random_.randint(1, 7), random_.choice, random_.choice
    )
    story = Story(life, rule)
    names = ["happen", "tick", "deliver", "look", "read", "answer"]
    for _ in range(random_.randrange(40)):
        play(story, (random_.choice(names), random_.randrange(7)))
    story.settle(random_.sample(range(7), 7))
    return story


def test_p26_thousands_of_random_stories_end_in_the_truth() -> None:
    """
    Every one by the real rule; many of them do not by any of the wrong rules.
    """
    seeds = range(5_000)
    stories = [a_random_story(random.Random(seed), merge_observation) for seed in seeds]  # noqa: S311  # a history, no secret
    looks = sum(story.looks_count for story in stories)
    deliveries = sum(story.deliveries_count for story in stories)
    print(f"looks per delivery: {looks / deliveries:.2f} of {deliveries}")

    assert all(story.told_right for story in stories)
    for name, rule in RULES.items():
        others = (a_random_story(random.Random(seed), rule) for seed in seeds)  # noqa: S311  # as above
        wrong = sum(not story.told_right for story in others)
        print(f"wrong by {name}: {wrong / len(seeds):.1%}")
        assert wrong
