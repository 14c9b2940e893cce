"""Seeded histories in which anything may be lost: a sweep finds the truth.

The truth is derived from the sandbox's own objects, by the rules of docs/domain.md.
Lost is nothing, one event in twenty, or all events for some days, or all ever; the rest
is doubled, shuffled, and sent once more as another event. Events are snapshots of the
version that we read, snapshots of an older one, or thin.

If the list of events is read as well, a sweep finds only what the gateway does not
list, although two processes read and work, one of which is frozen now and then.
"""

import random
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import timedelta
from enum import StrEnum
from typing import Any, Final

import attrs
import pytest

from payments_core.changes import Claimed
from payments_core.drift import DriftKind as K
from payments_core.event_list import EventQuery, ListedEvents
from payments_core.identity import UserId
from payments_core.job import Job
from payments_core.jobs import Finding
from payments_core.use_cases.back_fill_events import EVENT_BACK_FILL
from payments_sandbox.api_versions import ACACIA, BASIL, NEWEST
from support.crowd import Crowd, Post, catch_up, compare, known_and_true, work
from support.deployment import CLAIMED_MAX, Break, Deployment, Fuse
from support.explained import Answers, check_explanation
from support.profiles import PROVES
from support.reconciling import A_MOMENT, Story, reconciling
from support.year_truth import GatewayRecords

SHARES: Final = 8
# So many of each share in the suite; each can be repeated by its seed.
HISTORIES: Final = 20_000 // SHARES if PROVES else 160 // SHARES
DAYS: Final = (25, 75) if PROVES else (15, 45)
ACTIVITY: Final = 0.12
# So many things a user does at once.
DEEDS: Final = (1, 1, 1, 2, 3)
TWINNED: Final = 0.05
COUNTED: Final = 60 if PROVES else 12
THIN: Final = "thin"
# Half of all events have the version that we read.
WAYS: Final = (NEWEST, NEWEST, NEWEST, BASIL, ACACIA, THIN)
# So many lives of two processes, of so many days.
PAIRS: Final = 400 if PROVES else 16
DAYS_OF_TWO: Final = (8, 16)
# A call of a port in which the first process is frozen, if there are so many.
FROZEN_AT: Final = (1, 40)
# What an event may cost, in GETs, if none is lost and none is hours late.
GETS_MAX: Final = {NEWEST: 0.3, BASIL: 1.0, ACACIA: 1.0, THIN: 1.0}


class Lost(StrEnum):
    """What is lost of all events; `SOME` and `DAYS` are at least one in twenty."""

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
    # How often a day events are delivered, and jobs are done.
    steps: int = 1
    gets: int = 0
    answers: Answers = attrs.field(factory=Answers)

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
            # Within one second: these acts cannot be ordered by time.
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
            await self.answers.note(deployment, crowd.users)
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
    nor does the first one if nothing was lost. Explanations agree with it, and the
    answer of each day is the logged one for that time.
    """
    found, ways, lost, users = Counter[str](), Counter[str](), 0, 0
    answers = 0
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
            for user in history.crowd.users:
                await check_explanation(deployment, user)
            answers += await history.answers.hold(deployment)
            again = await story.sweep()
            assert again == list[Finding](), (seed, again)
        found.update(it.drift.kind.value for it in findings)
        lost += history.post.dropped
        ways[history.way] += 1
    record_property(
        "figure",
        f"histories, share {share}: {HISTORIES} of {users} users, {lost} events lost, "
        f"{found.total()} differences found, {answers} answers were as is logged",
    )
    assert lost
    assert found
    assert answers > HISTORIES
    assert set(ways) == set(WAYS)


@pytest.mark.anyio
@pytest.mark.parametrize("way", GETS_MAX)
async def test_an_event_costs_few_gets_where_none_is_lost(
    way: str, record_property: Callable[[str, object], None]
) -> None:
    """
    Events arrive doubled, shuffled and as other events, within the hour; no user does
    two things in one second. All GETs of the worker count, those for overdue syncs
    included.
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


@attrs.frozen
class LateList:
    """A gateway that lists some events slightly late, each at its place."""

    gateway: Any
    late: Collection[str]

    async def events(self, query: EventQuery) -> ListedEvents:
        page: ListedEvents = await self.gateway.events(query)
        listed = [it for it in page.events if it.id not in self.late]
        has_more = page.has_more and bool(listed)
        return attrs.evolve(page, events=listed, has_more=has_more)


@attrs.define
class TwoProcesses:
    """Both read the list and work; one is frozen until its leases have ended.

    When it wakes, the other one is done, or still works on what it claimed. Then the
    requests of the first one may get no answer.
    """

    deployment: Deployment
    crowd: Crowd
    post: Post
    dice: random.Random
    seed: int
    frozen: int = 0
    # What the other one had claimed when the first one woke.
    _held: Sequence[Claimed] = ()

    async def live(self, days: int) -> None:
        for day in range(days):
            if day in {0, 3}:
                await self.crowd.arrive(UserId(f"user-{day}"))
            await self.crowd.do([it for it in self.crowd.users if self._chance()])
            # What happened in this second is listed, except some of it.
            await self._read_list(late=self._just_made())
            await self._pass(timedelta(days=1), day)
            await self._work(day)
        await catch_up(self.deployment, self.post, days)

    def _chance(self) -> bool:
        return self.dice.random() < 0.5

    def _just_made(self) -> Collection[str]:
        engine = self.deployment.engine
        made = (it for it in engine.world.events.values() if it.created == engine.now)
        return {it.id for it in made if self._chance()}

    async def _pass(self, by: timedelta, day: int) -> None:
        await self.deployment.advance(by)
        self.post.collect(day)
        await self.post.deliver(day)

    async def _read_list(self, *, late: Collection[str] = ()) -> None:
        back_fill = self.deployment.back_fill
        gateway: Any = LateList(back_fill.gateway, late)
        await attrs.evolve(back_fill, gateway=gateway)()

    async def _work(self, day: int) -> None:
        deployment = self.deployment

        async def go_on() -> None:
            first, deployment.fuse = deployment.fuse, Fuse()
            self.frozen += 1
            await self.crowd.do(self.crowd.users * 2)
            await self._pass(timedelta(minutes=2), day)
            await self._read_list()
            self._held = await deployment.run_work.claim(CLAIMED_MAX)
            if self._chance():
                await self._finish()
            claims.update(self._claims())
            deployment.line.down = self._chance()
            deployment.fuse = first

        claims = dict[str, Any]()
        deployment.fuse = Fuse(self.dice.randint(*FROZEN_AT), Break.FREEZE)
        deployment.fuse.meanwhile = go_on
        if self._chance():
            # The answer is older than what is known when it is recorded.
            deployment.fuse.at, deployment.fuse.only = 2, "subscription"
        await self._read_list()
        await deployment.work_once()
        assert not claims or self._claims() == claims
        deployment.fuse = Fuse()
        deployment.line.down = False
        await self._finish()
        await deployment.advance(A_MOMENT)
        await self._read_list()
        await work(deployment)
        records = GatewayRecords(deployment.engine.world, self.crowd.owners)
        for user in self.crowd.users:
            known, truth = await known_and_true(deployment, records, user)
            assert known.subscriptions == truth.subscriptions, (self.seed, day, user)
            assert known.card == truth.card, (self.seed, day, user)

    async def _finish(self) -> None:
        """Let the other process finish what it has claimed."""
        held, self._held = self._held, ()
        for it in held:
            await self.deployment.run_work(it)

    def _claims(self) -> Mapping[str, Any]:
        """Return the leases of what the other process has claimed."""
        jobs = self.deployment.database.tables.jobs
        held = [it.work for it in self._held if isinstance(it.work, Job)]
        loop = self.deployment.database.loops[EVENT_BACK_FILL]
        return {EVENT_BACK_FILL: (loop.lease, loop.position)} | {
            it.key.id: (jobs[it.key].lease.fence, jobs[it.key].lease.until)
            for it in held
        }


@pytest.mark.anyio
async def test_p27_p33_where_the_list_is_read_a_sweep_finds_nothing(
    record_property: Callable[[str, object], None],
) -> None:
    """
    Half of all events are received in no other way, some are listed late, and one of
    two processes is frozen again and again. What the gateway does not list is found all
    the same.
    """
    frozen = 0
    for seed in range(PAIRS):
        dice = random.Random(seed)  # noqa: S311  # a seed's
        async with (
            Deployment.opened(seed=seed) as deployment,
            reconciling(deployment) as story,
        ):
            crowd = Crowd(deployment, dice, deployment.api.price(500)["id"])
            post = post_of(deployment, dice, dice.choice(WAYS))
            post.lost = post.needless_lost = 0.5
            both = TwoProcesses(deployment, crowd, post, dice, seed)
            await both.live(dice.randint(*DAYS_OF_TWO))
            assert await story.sweep() == [], seed
            unknown = {K.SUBSCRIPTION_MISSING: story.invent_subscription()}
            if deployment.database.tables.payments:
                unknown[K.PAYMENT_MISSING] = story.invent_payment()
            found = {it.drift.kind: it.drift.subject for it in await story.sweep()}
            assert found == unknown, seed
        frozen += both.frozen
    record_property("figure", f"{PAIRS} lives of two processes, {frozen} times frozen")
    assert frozen > PAIRS
