"""A sweep by night: once, by one process, and to its end whatever interrupts it."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any, cast

import attrs
import pytest
from typing_extensions import override

from payments_adapters.memory.checkpoints import MemoryCheckpoints
from payments_core.drift import DriftKind
from payments_core.errors import GatewayMisconfigured
from payments_core.gateway import FetchedPayment
from payments_core.identity import CustomerId
from payments_core.jobs import DriftCounts, Finding, RunSweep, SweepStep
from payments_core.jobs.drift_cause import SETTLES_WITHIN
from payments_core.jobs.run_sweep import COMPARED_FOR
from payments_core.jobs.sweep_nightly import (
    LEASE,
    SWEEP,
    SweepListener,
    SweepNightly,
    SweepProgress,
    next_night,
)
from payments_core.object_lists import CreatedBetween, ObjectList, ObjectPage
from payments_core.payment import PaymentId
from payments_core.sweep import SweepPlace, SweepRange
from support.deployment import BEGINNING
from support.reconciling import A_MOMENT, Story, no_wait, told

pytestmark = pytest.mark.anyio


@attrs.define
class Heard(SweepListener):
    pages: list[ObjectList] = attrs.field(factory=list)
    findings: list[Finding] = attrs.field(factory=list)
    ends: list[datetime] = attrs.field(factory=list)
    failures: list[Exception] = attrs.field(factory=list)

    @override
    def read(self, list_: ObjectList, objects: int) -> None:
        assert objects >= 0
        self.pages.append(list_)

    @override
    def found(self, finding: Finding) -> None:
        self.findings.append(finding)

    @override
    def ended(self, until: datetime) -> None:
        self.ends.append(until)

    @override
    def failed(self, error: Exception) -> None:
        self.failures.append(error)


async def no_matter() -> None:
    """Do nothing."""


@pytest.fixture
async def story() -> AsyncIterator[Story]:
    """Lend a story in its first night."""
    async with told() as it:
        assert not await nightly(it)()
        it.deployment.clock.now = next_night(it.deployment.clock.now)
        yield it


def nightly(story: Story, heard: SweepListener | None = None) -> SweepNightly:
    deployment = story.deployment
    return SweepNightly(
        RunSweep(story.reconcile, sleep=no_wait),
        MemoryCheckpoints(deployment.database),
        deployment.system_clock,
        listener=heard or SweepListener(),
    )


async def test_f39_what_was_lost_is_repaired_in_the_night(story: Story) -> None:
    """
    Once: the next sweep is due when the next night begins.
    """
    story.charge()
    await story.deployment.hear([], apply_only=True)
    story.deployment.clock.advance(A_MOMENT)
    heard = Heard()
    sweep, now = nightly(story, heard), story.deployment.clock.now

    assert await sweep()
    assert [it.drift.kind for it in heard.findings] == [DriftKind.PAYMENT_UNKNOWN]
    assert all(it.repaired for it in heard.findings)
    assert heard.pages == list(ObjectList)
    assert heard.ends == [now - SETTLES_WITHIN]

    assert not await sweep()
    story.deployment.clock.now = next_night(now)
    assert await sweep()
    assert len(heard.findings) == 1


async def test_a_new_database_is_compared_in_its_first_night() -> None:
    """
    And not before, unless requested.
    """
    async with told() as story:
        heard, clock = Heard(), story.deployment.clock
        night = next_night(clock.now)
        for now in (clock.now, night - timedelta(seconds=1)):
            clock.now = now
            assert not await nightly(story, heard)()
        assert heard.pages == []

        clock.now = night
        assert await nightly(story, heard)()
        assert heard.pages == list(ObjectList)


async def test_a_first_sweep_that_the_morning_cuts_off_goes_on_by_day(
    story: Story,
) -> None:
    """
    Once begun it does not wait for another night; nothing that it noted remains.
    """
    heard, deployment = Heard(), story.deployment
    assert await nightly(story, heard)(lambda: True)
    deployment.clock.now = next_night(deployment.clock.now) - timedelta(hours=12)

    assert await nightly(story, heard)()

    assert set(heard.pages) == set(ObjectList)
    assert len(heard.ends) == 1
    assert not deployment.database.listed_customers


async def test_it_reports_only_where_it_shall_not_repair(story: Story) -> None:
    """
    Then it is reported again.
    """
    story.charge()
    await story.deployment.hear([], apply_only=True)
    heard = Heard()
    for _ in range(2):
        story.deployment.clock.advance(timedelta(days=1))
        assert await attrs.evolve(nightly(story, heard), repairs=False)()

    assert len(heard.findings) == 2
    assert not any(it.repaired for it in heard.findings)


class Killed(BaseException):
    """The process is killed."""


def found_by(story: Story) -> DriftCounts:
    """Return what the last finished sweep has stored."""
    result = story.deployment.database.loops[SWEEP].result
    assert result is not None
    return DriftCounts.of_facts(json.loads(result))


@pytest.mark.parametrize("repairs", [True, False])
async def test_what_a_sweep_found_is_kept_with_its_end(
    story: Story, *, repairs: bool
) -> None:
    """
    By kind, and how much of it was repaired; until the next one ends.
    """
    for _ in range(3):
        story.charge()
    await story.deployment.hear([], apply_only=True)
    story.deployment.clock.advance(A_MOMENT)

    sweep = attrs.evolve(nightly(story), repairs=repairs)
    assert await sweep()
    first = found_by(story)
    story.deployment.clock.now = next_night(story.deployment.clock.now)
    for _ in range(2):
        assert await sweep(lambda: True)
    under_way = found_by(story)
    assert await sweep()

    counted = {"payment_unknown": 3}
    assert first.found == under_way.found == counted
    assert first.repaired == (counted if repairs else {})
    assert found_by(story).found == ({} if repairs else counted)


async def test_a_sweep_that_goes_on_in_another_process_goes_on_counting(
    story: Story,
) -> None:
    """
    In the middle of a page, too: what was repaired is not found and counted again,
    except the one thing in progress; what was only found is counted once.
    """
    for _ in range(4):
        story.charge()
    await story.deployment.hear([], apply_only=True)
    story.deployment.clock.advance(A_MOMENT)

    @attrs.define
    class Dying(Heard):
        @override
        def found(self, finding: Finding) -> None:
            super().found(finding)
            if len(self.findings) == 3:
                raise Killed

    for repairs in (False, True):
        with pytest.raises(Killed):
            await attrs.evolve(nightly(story, Dying()), repairs=repairs)()
        story.deployment.clock.advance(LEASE)
    assert await nightly(story)()

    kept = found_by(story)
    assert kept.found == kept.repaired == {"payment_unknown": 3}


async def test_a_sweep_that_a_release_without_counts_began_is_gone_on_with(
    story: Story,
) -> None:
    """
    Its place has no counts.
    """
    assert await nightly(story)(lambda: True)
    loops = story.deployment.database.loops
    place = json.loads(loops[SWEEP].position or "")
    del place["counts"]
    loops[SWEEP] = attrs.evolve(loops[SWEEP], position=json.dumps(place))
    heard = Heard()
    assert await nightly(story, heard)()
    assert heard.pages == list(ObjectList)[1:]
    since = datetime.fromisoformat(place["since"])
    assert found_by(story) == DriftCounts(since=since)


async def test_a_sweep_that_is_stopped_goes_on_in_another_process(
    story: Story,
) -> None:
    """
    At once, from its place: each page is read once in all.
    """
    heard = Heard()
    for _ in ObjectList:
        assert await nightly(story, heard)(lambda: True)

    assert not await nightly(story, heard)()
    assert heard.pages == list(ObjectList)
    assert len(heard.ends) == 1


@attrs.define
class Fatal(SweepListener):
    """Kills the process when it has compared a page, and not saved it."""

    left: int

    @override
    def read(self, list_: ObjectList, objects: int) -> None:
        assert (list_, objects >= 0) == (list_, True)
        self.left -= 1
        if self.left < 0:
            raise Killed


async def test_f01_a_sweep_that_is_killed_goes_on_when_its_lease_is_over(
    story: Story,
) -> None:
    """
    At any point: what it read and did not save is read again.
    """
    for survives in range(3):
        with pytest.raises(Killed):
            await nightly(story, Fatal(survives))()
        assert not await nightly(story)()
        story.deployment.clock.advance(LEASE)

    heard = Heard()
    assert await nightly(story, heard)()
    assert heard.pages == list(ObjectList)[3:]
    assert len(heard.ends) == 1


async def test_p33_f05_a_sweep_that_was_taken_over_stops(story: Story) -> None:
    """
    It was frozen for longer than its lease; its place does not overwrite the other's.
    """
    frozen, other = Heard(), Heard()

    @attrs.define
    class Frozen(Heard):
        @override
        def read(self, list_: ObjectList, objects: int) -> None:
            super().read(list_, objects)
            loops = story.deployment.database.loops
            loop = loops[SWEEP]
            loops[SWEEP] = attrs.evolve(
                loop, lease=loop.lease.claimed(BEGINNING, LEASE)
            )

    frozen = Frozen()
    assert await nightly(story, frozen)()
    assert frozen.pages == [ObjectList.CUSTOMERS]

    story.deployment.clock.advance(LEASE)
    assert await nightly(story, other)()
    assert other.pages == list(ObjectList)


async def test_f05_a_step_that_takes_long_keeps_its_claim(story: Story) -> None:
    """
    Longer than a lease, with one thing after the other: no other process takes it over.
    """
    for _ in range(5):
        story.charge()
    await story.deployment.hear([], apply_only=True)
    story.deployment.clock.advance(A_MOMENT)
    claims = list[bool]()

    class Slow:
        def __getattr__(self, name: str) -> Any:
            return getattr(story.deployment.gateway, name)

        async def payment(self, payment_id: PaymentId) -> FetchedPayment:
            story.deployment.clock.advance(LEASE / 6)
            claims.append(await nightly(story)())
            return await story.deployment.gateway.payment(payment_id)

    heard, slow = Heard(), Slow()
    sweep = nightly(story, heard)
    reconcile = attrs.evolve(sweep.run.reconcile, gateway=cast("Any", slow))
    run = RunSweep(reconcile, sleep=no_wait)
    assert await attrs.evolve(sweep, run=run)()

    assert len(claims) > 5
    assert not any(claims)
    assert len(heard.ends) == 1


async def test_a_gateway_that_refuses_is_told_and_asked_later(story: Story) -> None:
    """
    It does not end the worker, and requests are not sent all the time.
    """

    class Refusing:
        async def page(
            self,
            list_: ObjectList,
            created: CreatedBetween,
            *,
            customer: CustomerId | None = None,
            after: str | None = None,
        ) -> ObjectPage:
            raise GatewayMisconfigured(f"{list_} {created} {customer} {after}")

    heard = Heard()
    sweep = nightly(story, heard)
    reconcile = attrs.evolve(sweep.run.reconcile, lists=Refusing())
    refused = attrs.evolve(sweep, run=RunSweep(reconcile, sleep=no_wait))

    def attempts() -> int:
        return story.deployment.database.loops[SWEEP].lease.attempts

    a_page_more, all_pages = (lambda: True), (lambda: False)
    for stopping in (a_page_more, all_pages):
        assert await refused()
        assert attempts() == len(heard.failures)
        assert not await sweep()
        story.deployment.clock.advance(timedelta(minutes=1))
        assert await sweep(stopping)
        assert attempts() == 0
        heard.failures.clear()
    assert heard.pages == list(ObjectList)


@pytest.mark.parametrize("ends", [True, False])
async def test_a_step_that_was_taken_ends_the_longer_waits(
    story: Story, *, ends: bool
) -> None:
    """
    Whether the sweep continues after it or is stopped there.
    """

    class Refusing:
        async def page(self, *_: Any, **__: Any) -> ObjectPage:
            raise GatewayMisconfigured("not now")

    sweep = nightly(story)
    lists: Any = Refusing()
    reconcile = attrs.evolve(sweep.run.reconcile, lists=lists)
    refused = attrs.evolve(sweep, run=RunSweep(reconcile, sleep=no_wait))
    for attempts in (1, 2):
        story.deployment.clock.advance(timedelta(hours=1))
        assert await refused()
        assert story.deployment.database.loops[SWEEP].lease.attempts == attempts

    story.deployment.clock.advance(timedelta(hours=1))
    assert await sweep(lambda: ends)

    assert story.deployment.database.loops[SWEEP].lease.attempts == 0


@pytest.mark.parametrize(
    "position", ['{"list": "of tomorrow"}', "no JSON", "[]", '{"until": 1}']
)
async def test_f09_a_sweep_whose_place_cannot_be_read_begins_anew(
    story: Story, position: str
) -> None:
    """
    As another release writes it: it is reported, and everything is compared.
    """
    heard = Heard()
    sweep = nightly(story, heard)
    loops = story.deployment.database.loops
    assert await sweep(lambda: True)
    loops[SWEEP] = attrs.evolve(loops[SWEEP], position=position)
    heard.pages.clear()

    assert await sweep()

    assert len(heard.failures) == 1
    assert heard.pages == list(ObjectList)
    assert (loops[SWEEP].position, loops[SWEEP].lease.attempts) == (None, 0)


async def test_a_later_sweep_goes_back_to_the_last_one(story: Story) -> None:
    """
    After a long outage nothing is left out. What was before the first sweep is imported
    by hand on request, because it may be very much.
    """
    ranges = list[SweepRange]()

    @attrs.frozen
    class Noting(RunSweep):
        @override
        def __call__(
            self,
            range_: SweepRange,
            place: SweepPlace,
            *,
            repairs: bool,
            before_each: Callable[[], Awaitable[None]] = no_matter,
        ) -> AsyncIterator[SweepStep]:
            ranges.append(range_)
            return super().__call__(
                range_, place, repairs=repairs, before_each=before_each
            )

    sweep = nightly(story)
    sweep = attrs.evolve(sweep, run=Noting(story.reconcile, no_wait))
    clock, began = story.deployment.clock, story.deployment.clock.now
    assert await sweep()
    clock.advance(timedelta(days=1))
    assert await sweep()
    # By day, too: only the first sweep waits for a night.
    clock.advance(COMPARED_FOR * 2 + timedelta(hours=9))
    assert await sweep()

    day_later = began + timedelta(days=1) - SETTLES_WITHIN
    assert [it.since for it in ranges] == [
        began - COMPARED_FOR,
        day_later - COMPARED_FOR,
        day_later,
    ]


def test_a_place_is_read_as_it_was_written() -> None:
    """
    With all its fields, and with none.
    """
    range_ = SweepRange(since=None, until=BEGINNING)
    for progress in (
        SweepProgress(range_, SweepPlace()),
        SweepProgress(
            attrs.evolve(range_, since=BEGINNING - COMPARED_FOR),
            SweepPlace(
                list_=ObjectList.PAYMENTS,
                after="ch_1",
                edge=BEGINNING,
                edge_ids=("ch_1", "ch_2"),
            ),
        ),
    ):
        assert SweepProgress.of_text(progress.text) == progress


@pytest.mark.parametrize(
    ("now", "night"),
    [
        ("2026-01-10T01:59:59Z", "2026-01-10T02:00:00Z"),
        ("2026-01-10T02:00:00Z", "2026-01-11T02:00:00Z"),
        ("2026-01-10T23:30:00-05:00", "2026-01-12T02:00:00Z"),
    ],
)
def test_a_night_begins_at_two(now: str, night: str) -> None:
    """
    In UTC, whatever the time zone.
    """
    assert next_night(datetime.fromisoformat(now)) == datetime.fromisoformat(night)
