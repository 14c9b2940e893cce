"""Seeded histories, of which anything may be lost: a sweep knows the truth.

The truth is derived from the sandbox's own objects, by the rules of docs/domain.md.
What is lost is nothing, one event in twenty, or all for some days, or all that ever
was; what comes is doubled, shuffled, and twinned: once more, as another event. Events
are snapshots of the version that we read, snapshots of an older one, or thin.
"""

import random
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import timedelta
from enum import StrEnum
from typing import Final

import attrs
import pytest

from payments_core.identity import UserId
from payments_core.jobs import Finding
from payments_sandbox.api_versions import ACACIA, BASIL, NEWEST
from support.crowd import Crowd, Post, catch_up, compare, work
from support.deployment import Deployment
from support.profiles import PROVES
from support.reconciling import Story, reconciling

SHARES: Final = 8
# So many of a share in the suite; all of them are resumable by their seed.
HISTORIES: Final = 20_000 // SHARES if PROVES else 304 // SHARES
DAYS: Final = (25, 75) if PROVES else (15, 45)
ACTIVITY: Final = 0.12
# So many things somebody does at once.
DEEDS: Final = (1, 1, 1, 2, 3)
TWINNED: Final = 0.05
COUNTED: Final = 60 if PROVES else 12
THIN: Final = "thin"
# Half of all come as we read them.
WAYS: Final = (NEWEST, NEWEST, NEWEST, BASIL, ACACIA, THIN)
# What an event may cost where none is lost and none is hours late, in GETs.
GETS_MAX: Final = {NEWEST: 0.3, BASIL: 1.0, ACACIA: 1.0, THIN: 1.0}


class Lost(StrEnum):
    """What is lost of all events; `SOME` and `DAYS` are one in twenty at least."""

    NOTHING = "nothing"
    SOME = "some"
    DAYS = "days"
    ALL = "all"


@attrs.define
class History:
    """One or two users who live for some weeks."""

    way: str
    lost: Lost
    crowd: Crowd
    post: Post
    deeds: Sequence[int] = DEEDS
    days: tuple[int, int] = DAYS
    # How often a day events are delivered, and worked off.
    steps: int = 1
    gets: int = 0

    @classmethod
    async def lived(cls, story: Story, dice: random.Random) -> "History":
        deployment = story.deployment
        way, lost = dice.choice(WAYS), dice.choice([*Lost, Lost.SOME])
        crowd = Crowd(deployment, dice, deployment.api.price(500)["id"])
        history = cls(way, lost, crowd, post_of(deployment, dice, way))
        await history.live(deployment, dice)
        return history

    async def live(self, deployment: Deployment, dice: random.Random) -> None:
        crowd, post, days = self.crowd, self.post, dice.randint(*self.days)
        outage = range(begins := dice.randrange(days), begins + dice.randint(1, 40))
        for day in range(days):
            if day in {0, 3} and len(crowd.users) < 2:
                await crowd.arrive(UserId(f"user-{day}"))
            active = [it for it in crowd.users if dice.random() < ACTIVITY]
            # In one second: what they do cannot be ordered by time.
            await crowd.do(
                [it for it in active for _ in range(dice.choice(self.deeds))]
            )
            post.lost = post.needless_lost = self.share_lost(is_out=day in outage)
            for _ in range(self.steps):
                await deployment.advance(timedelta(days=1) / self.steps)
                post.collect(day)
                before = deployment.line.reads.total()
                await post.deliver(day)
                await work(deployment)
                self.gets += deployment.line.reads.total() - before
        await catch_up(deployment, post, days)

    def share_lost(self, *, is_out: bool) -> float:
        match self.lost:
            case Lost.NOTHING:
                return 0.0
            case Lost.ALL:
                return 1.0
            case Lost.DAYS if is_out:
                return 1.0
        return 0.05


def post_of(deployment: Deployment, dice: random.Random, way: str) -> Post:
    return Post(
        deployment,
        dice,
        thin_events=way == THIN,
        version=NEWEST if way == THIN else way,
        twinned=TWINNED,
    )


@pytest.mark.anyio
@pytest.mark.parametrize("share", range(SHARES))
async def test_p26_p27_f39_f40_f41_after_a_sweep_all_is_known(
    share: int, record_property: Callable[[str, object], None]
) -> None:
    """
    Status, date, entitlement, card, subscriptions; and a second sweep finds nothing,
    nor does the first one where nothing was lost.
    """
    found, ways, lost, users = Counter[str](), Counter[str](), 0, 0
    for number in range(HISTORIES):
        seed = share * HISTORIES + number
        dice = random.Random(seed)  # noqa: S311  # a seed's
        async with (
            Deployment.opened(seed=seed) as deployment,
            reconciling(deployment) as story,
        ):
            history = await History.lived(story, dice)
            findings = await story.sweep(repairs=True)
            await work(deployment)
            if history.lost is Lost.NOTHING:
                assert findings == [], seed
            users += await compare(deployment, history.crowd.owners, seed)
            again = await story.sweep()
            assert again == list[Finding](), (seed, again)
        found.update(it.drift.kind.value for it in findings)
        lost += history.post.dropped
        ways[history.way] += 1
    record_property(
        "figure",
        f"histories, share {share}: {HISTORIES} of {users} users, {lost} events lost, "
        f"{found.total()} differences found",
    )
    assert lost
    assert found
    assert set(ways) == set(WAYS)


@pytest.mark.anyio
@pytest.mark.parametrize("way", GETS_MAX)
async def test_an_event_costs_few_gets_where_none_is_lost(
    way: str, record_property: Callable[[str, object], None]
) -> None:
    """
    Events come doubled, shuffled and twinned, within the hour; nobody does two things
    in one second. Counted are all GETs of the worker, what is overdue included.
    """
    gets = heard = 0
    for seed in range(COUNTED):
        dice = random.Random(seed)  # noqa: S311  # a seed's
        async with Deployment.opened(seed=seed) as deployment:
            post = post_of(deployment, dice, way)
            post.late_days = 0
            crowd = Crowd(deployment, dice, deployment.api.price(500)["id"])
            history = History(way, Lost.NOTHING, crowd, post, deeds=(1,), steps=24)
            await history.live(deployment, dice)
        gets, heard = gets + history.gets, heard + post.heard
    record_property("figure", f"{way}: {gets / heard:.2f} GETs an event, of {heard}")
    assert 0 < gets / heard <= GETS_MAX[way]
