"""Sweep once a night, in one process, and continue an interrupted sweep.

Rule 1: the sweep is claimed (`payments_core.checkpoints`); its place is saved after
        each step, and the claim is extended before each thing is compared. A process
        that lost the claim stops: another process has taken over.
Rule 2: the first sweep is in the first night. A sweep goes back to where the last one
        ended, and at least `COMPARED_FOR`. Older objects than those of the first sweep
        are reconciled by hand.
Rule 3: findings are counted, and the counts are saved at its end. A repaired drift is
        not found again, so it is counted and saved before the next thing is compared.
Rule 4: if the gateway is busy or refuses our key, that is reported, and the sweep
        continues later.
"""

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import attrs

from payments_core.checkpoints import LoopCheckpoint
from payments_core.errors import StoreUnavailable
from payments_core.jobs.drift_counts import DriftCounts
from payments_core.jobs.loop_claim import ClaimLost, LoopClaim
from payments_core.jobs.reconcile import Finding
from payments_core.jobs.run_sweep import COMPARED_FOR, RunSweep
from payments_core.lease import BackOff
from payments_core.object_lists import ObjectList
from payments_core.ports import Checkpoints, SystemClock
from payments_core.sweep import SweepPlace, SweepRange

SWEEP: Final = "sweep"
# UTC: when there are few other calls.
NIGHT_HOUR: Final = 2
NIGHT_ENDS: Final = 6
A_DAY: Final = timedelta(days=1)
# Longer than a step takes, even if it waits for the gateway.
LEASE: Final = timedelta(minutes=10)
BACK_OFF: Final = BackOff(timedelta(minutes=1), timedelta(hours=1))


class SweepListener:
    """Receives what a sweep does; this class ignores it."""

    def read(self, list_: ObjectList, objects: int) -> None:
        """Receive how many objects of a list were compared."""

    def found(self, finding: Finding) -> None:
        """Receive a finding."""

    def ended(self, until: datetime) -> None:
        """Receive that a sweep has compared everything made before this time."""

    def failed(self, error: Exception) -> None:
        """Receive why it stopped; it continues later."""


@attrs.frozen
class SweepProgress:
    """The range of a sweep, how far it is, and what it found so far."""

    range_: SweepRange
    place: SweepPlace
    counts: DriftCounts = attrs.Factory(DriftCounts)

    @property
    def text(self) -> str:
        place, since = self.place, self.range_.since
        return json.dumps(
            {
                "since": since.isoformat() if since else None,
                "until": self.range_.until.isoformat(),
                "list": place.list_.value,
                "after": place.after,
                "edge": place.edge.isoformat() if place.edge else None,
                "edge_ids": place.edge_ids,
                "before": place.before.isoformat() if place.before else None,
                "counts": self.counts.facts,
            }
        )

    @classmethod
    def of_text(cls, text: str) -> "SweepProgress":
        """Read what `text` returned."""
        found: Mapping[str, Any] = json.loads(text)
        until = datetime.fromisoformat(found["until"])
        counts = found.get("counts")
        return cls(
            SweepRange(since=_moment(found["since"]), until=until),
            SweepPlace(
                list_=ObjectList(found["list"]),
                after=found["after"],
                edge=_moment(found["edge"]),
                edge_ids=tuple(found["edge_ids"]),
                before=_moment(found["before"]),
            ),
            # An earlier release began it, without counts.
            DriftCounts.of_facts(counts)
            if counts
            else DriftCounts(since=_moment(found["since"])),
        )


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def next_night(now: datetime) -> datetime:
    """Return the beginning of the next night after `now`."""
    tonight = now.astimezone(UTC).replace(
        hour=NIGHT_HOUR, minute=0, second=0, microsecond=0
    )
    return tonight if tonight > now else tonight + A_DAY


@attrs.frozen
class SweepNightly:
    run: RunSweep
    checkpoints: Checkpoints
    system_clock: SystemClock
    repairs: bool = True
    listener: SweepListener = attrs.Factory(SweepListener)

    async def __call__(self, stopping: Callable[[], bool] = lambda: False) -> bool:
        """Sweep, if it is due, to its end; say whether it was due.

        It stops between steps if `stopping` returns True, and is due again at once.

        Raises:
            StoreUnavailable: it continues from the last saved step.
        """
        now = self.system_clock()
        kept = await self.checkpoints.claim(SWEEP, now=now, lease=LEASE)
        if kept is None:
            return False
        is_first = kept.position is None and kept.reached_at is None
        if is_first and not NIGHT_HOUR <= now.astimezone(UTC).hour < NIGHT_ENDS:
            # A new database: the first sweep can wait for the night.
            lease = kept.lease.released(next_night(now))
            await self.checkpoints.save(attrs.evolve(kept, lease=lease))
            return False
        claim = LoopClaim(self.checkpoints, self.system_clock, kept, LEASE)
        try:
            await self._go_on(claim, self._progress(kept), stopping)
        except ClaimLost:
            return True
        except StoreUnavailable:
            raise
        except Exception as error:  # noqa: BLE001  # it is reported and retried later
            self.listener.failed(error)
            failed = claim.lease.failed(self.system_clock(), BACK_OFF)
            with suppress(ClaimLost):
                await claim.save(lease=failed)
        return True

    def _progress(self, kept: LoopCheckpoint) -> SweepProgress:
        """Return how far the sweep is; with an unreadable place it begins again."""
        if kept.position is not None:
            try:
                return SweepProgress.of_text(kept.position)
            except (ValueError, LookupError, TypeError) as error:
                # Another release wrote it: what was compared is compared again.
                self.listener.failed(error)
        range_ = self._range(kept)
        return SweepProgress(range_, SweepPlace(), DriftCounts(since=range_.since))

    def _range(self, kept: LoopCheckpoint) -> SweepRange:
        range_ = self.run.range_now()
        if kept.reached_at is None:
            return range_
        since = min(kept.reached_at, range_.until - COMPARED_FOR)
        return attrs.evolve(range_, since=since)

    async def _go_on(
        self,
        claim: LoopClaim,
        progress: SweepProgress,
        stopping: Callable[[], bool],
    ) -> None:
        range_, place, counts = progress.range_, progress.place, progress.counts

        def found(finding: Finding) -> None:
            self.listener.found(finding)
            if finding.repaired:
                counts.add(finding)

        async def keep() -> None:
            # With what was repaired meanwhile: it is not found again.
            await claim.keep(attrs.evolve(progress, place=place).text)

        run = attrs.evolve(self.run, on_finding=found)
        async for step in run(range_, place, repairs=self.repairs, before_each=keep):
            self.listener.read(place.list_, step.objects)
            for finding in step.findings:
                if not finding.repaired:
                    counts.add(finding)
            now, lease = self.system_clock(), claim.lease
            lease = attrs.evolve(lease.extended(now, LEASE), attempts=0)
            if step.place is None:
                self.listener.ended(range_.until)
                await claim.save(
                    position=None,
                    reached_at=range_.until,
                    result=json.dumps(counts.facts),
                    lease=lease.released(next_night(now)),
                )
                return
            place = step.place
            ends = stopping()
            await claim.save(
                position=attrs.evolve(progress, place=place).text,
                lease=lease.released(now) if ends else lease,
            )
            if ends:
                return
