"""The worker: due work, claimed and run concurrently, until it is asked to stop.

Rule 1: any number of workers may run; if one drops work, another claims it when the
        lease has expired.
Rule 2: asked to stop, it claims nothing more, waits for running work, and then cancels
        it: within `FINISH_WITHIN_S`, even if something does not answer.
Rule 3: without work it polls again after a short wait; without a database, after a
        longer one.
Rule 4: back-fill, the nightly sweep, the purge, the feed's sequencer, the completion of
        the log and the deliveries to each endpoint run beside all that, each one turn
        after the other: however long they take, no job waits for them.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import attrs
import structlog

from payments_adapters.postgres import partitions
from payments_adapters.postgres.store import PostgresStore
from payments_core.changes import Claimed
from payments_core.errors import StoreUnavailable
from payments_core.jobs import GivePositions, LogAccounts, Purge, RunWork, SweepNightly
from payments_core.use_cases import BackFillEvents
from payments_service.container import Container
from payments_service.work_reports import WorkReports

AT_ONCE: Final = 8
IDLE_S: Final = 0.5
# Work continues within this time after the database is back.
IDLE_MAX_S: Final = 4.0
# Well within the time that Kubernetes gives a pod to terminate.
FINISH_WITHIN_S: Final = 15.0
# A repair: normally a save links what it can. It reads everything unlinked.
LINK_EVERY_S: Final = 30.0
PREPARE_EVERY_S: Final = 3600.0
# How often to check whether a loop's turn is due: one small statement.
LOOP_POLL_S: Final = 5.0
LOOP_WAIT_MAX_S: Final = 300.0
# A change reaches the feed within this: one statement that usually finds nothing.
FEED_POLL_S: Final = 0.15
# A change is sent to an endpoint within this: two statements that usually find nothing,
# for each endpoint.
DELIVERY_POLL_S: Final = 0.5

Chore = Callable[[], Awaitable[object]]
# Takes a turn, if one is due, and ends between pages when asked to stop. Returns
# whether the next turn is due at once.
Loop = Callable[[Callable[[], bool]], Awaitable[bool]]
BACK_FILL: Final = "back-fill"
SWEEP: Final = "sweep"
PURGE: Final = "purge"
FEED: Final = "feed"
LOG: Final = "log"
# Each endpoint has a loop of its own.
DELIVERY: Final = "delivery "


@attrs.define
class Worker:
    """Runs due work, `at_once` pieces at a time."""

    _work: RunWork
    _prepare: Chore
    _at_once: int = AT_ONCE
    _idle_s: float = IDLE_S
    _finish_within_s: float = FINISH_WITHIN_S
    _loops: Mapping[str, Loop] = attrs.field(factory=dict)
    _reports: WorkReports = attrs.field(factory=WorkReports)
    _running: set["asyncio.Task[None]"] = attrs.field(init=False, factory=set)
    _stop: asyncio.Event = attrs.field(init=False, factory=asyncio.Event)
    _stopped_at: float = attrs.field(init=False, default=0.0)
    _store_is_gone: bool = attrs.field(init=False, default=False)

    @classmethod
    def of(
        cls, container: Container, *, back_fills: bool = False, sweeps: bool = False
    ) -> "Worker":
        work = container[RunWork]
        loops: dict[str, Loop] = {
            PURGE: container[Purge],
            FEED: container[GivePositions],
            LOG: container[LogAccounts],
        }
        loops.update({f"{DELIVERY}{it.endpoint}": it for it in container.deliveries})
        if back_fills:
            loops[BACK_FILL] = container[BackFillEvents]
        if sweeps:
            loops[SWEEP] = container[SweepNightly]

        async def prepare() -> None:
            # With the clock that decides the day of a body.
            today = work.clock().date()
            await partitions.prepare(container[PostgresStore], today)

        return cls(work, prepare, loops=loops, reports=container[WorkReports])

    def stop(self) -> None:
        """Claim nothing more."""
        self._stopped_at = time.monotonic()
        self._stop.set()

    async def run(self) -> None:
        """Work until `stop`."""
        chores = [
            _Regularly(LINK_EVERY_S, self._work.link),
            _Regularly(PREPARE_EVERY_S, self._prepare),
        ]
        beside = {
            asyncio.create_task(self._regularly(name, loop))
            for name, loop in self._loops.items()
        }
        wait_s = self._idle_s
        while not self._stop.is_set():
            self._store_is_gone, failed, busy = False, False, 0
            try:
                busy = await self._start()
                for chore in chores:
                    await chore()
            except StoreUnavailable:
                self._store_is_gone = True
            except Exception:  # noqa: BLE001  # a bug must not end the worker
                structlog.get_logger().exception("worker failed", wait_s=wait_s)
                failed = True
            if self._store_is_gone:
                structlog.get_logger().warning("no database", wait_s=wait_s)
            if self._store_is_gone or failed:
                await self._rest(wait_s)
                wait_s = min(wait_s * 2, IDLE_MAX_S)
                continue
            wait_s = self._idle_s
            await self._until_there_is_room(more=busy == self._at_once)
        await self._finish(beside | self._running)

    async def back_fill(self) -> None:
        """Run the turns of back-fill that are due now, to the end of the list.

        Raises:
            StoreUnavailable: the database does not answer.
        """
        back_fill, goes_on = self._loops.get(BACK_FILL), True
        while back_fill is not None and goes_on and not self._stop.is_set():
            goes_on = await back_fill(self._stop.is_set)

    async def give_positions(self) -> None:
        """Give positions to all changes that have none.

        Raises:
            StoreUnavailable: the database does not answer.
        """
        give, goes_on = self._loops.get(FEED), True
        while give is not None and goes_on and not self._stop.is_set():
            goes_on = await give(self._stop.is_set)

    async def deliver(self) -> None:
        """Run the deliveries that are due now, to all endpoints at once.

        Raises:
            StoreUnavailable: the database does not answer.
        """
        loops = [it for name, it in self._loops.items() if name.startswith(DELIVERY)]
        await asyncio.gather(*(it(self._stop.is_set) for it in loops))

    async def _regularly(self, name: str, loop: Loop) -> None:
        poll_s = LOOP_POLL_S
        if name == FEED:
            poll_s = FEED_POLL_S
        elif name.startswith(DELIVERY):
            poll_s = DELIVERY_POLL_S
        wait_s = poll_s
        while not self._stop.is_set():
            try:
                if await loop(self._stop.is_set):
                    continue
                wait_s = poll_s
            except StoreUnavailable:
                # The loop of jobs reports it.
                wait_s = min(max(wait_s * 2, IDLE_S), IDLE_MAX_S)
            except Exception:  # noqa: BLE001  # a bug must not end it
                wait_s = min(wait_s * 2, LOOP_WAIT_MAX_S)
                structlog.get_logger().exception(f"{name} failed", wait_s=wait_s)
            await self._rest(wait_s)

    async def once(self) -> int:
        """Run the work that is due now to its end; return how much it was.

        Raises:
            StoreUnavailable: the database does not answer.
        """
        claimed = await self._work.claim(self._at_once)
        await asyncio.gather(*(self._reports.run(self._work, it) for it in claimed))
        return len(claimed) + await self._work.link()

    async def _start(self) -> int:
        """Claim as much as there is room for; return how much is running."""
        room = self._at_once - len(self._running)
        for claimed in await self._work.claim(room) if room else ():
            task = asyncio.create_task(self._do(claimed))
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        return len(self._running)

    async def _do(self, claimed: Claimed) -> None:
        try:
            await self._reports.run(self._work, claimed)
        except StoreUnavailable:
            # Its lease expires, and it is due again.
            self._store_is_gone = True
        except Exception:  # noqa: BLE001  # not reported elsewhere
            structlog.get_logger().exception("work failed")

    async def _until_there_is_room(self, *, more: bool) -> None:
        """Wait for the next piece of work to end, or for a short time."""
        if more and self._running:
            stopped = asyncio.create_task(self._stop.wait())
            await asyncio.wait(
                {*self._running, stopped}, return_when=asyncio.FIRST_COMPLETED
            )
            stopped.cancel()
            return
        await self._rest(self._idle_s)

    async def _finish(self, running: "set[asyncio.Task[None]]") -> None:
        if not running:
            return
        # Counted from the stop: an unavailable database took time already.
        so_far_s = time.monotonic() - self._stopped_at
        within_s = max(self._finish_within_s - so_far_s, 0)
        _, left = await asyncio.wait(running, timeout=within_s)
        for task in left:
            task.cancel()
        if left:
            structlog.get_logger().warning("work was cut off", count=len(left))
            await asyncio.wait(left, timeout=1)

    async def _rest(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._stop.wait(), seconds)
        except TimeoutError:
            return


@attrs.define
class _Regularly:
    """Runs a chore, at most once in some seconds."""

    every_s: float
    chore: Chore
    _due_at: float = attrs.field(init=False, default=0.0)

    async def __call__(self) -> None:
        if time.monotonic() >= self._due_at:
            self._due_at = time.monotonic() + self.every_s
            await self.chore()
