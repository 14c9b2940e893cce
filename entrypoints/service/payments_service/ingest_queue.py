"""Events that arrive together are recorded together.

Rule 1: a batch begins when as many events wait as the last one answered or left
        waiting, because two small batches cost more than one; at the latest after as
        long again as the last batch took, at most 10 ms. Each such wait that times out
        halves the next one: if callers do not wait for answers, their events do not
        come sooner. After an idle time an event does not wait. An event is recorded
        even if its caller disconnects.
Rule 2: a locked group goes back into the queue, and the batch continues without it.
        Only its own events wait, for at most five seconds; then they are refused as
        busy.
Rule 3: after a save that timed out, each group of it is saved alone, in a separate
        lane, until it is saved or refused: first with a short timeout, so that several
        slow groups are found soon, and slow ones for longer after all others. A slow
        group is saved alone for a minute; so at most one connection of a process waits
        for slow accounts.
"""

import asyncio
import random
import time
from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from operator import attrgetter
from typing import Any, Final

import attrs

from payments_core.errors import AccountBusy, Overloaded, StoreUnavailable
from payments_core.events import GatewayEvent, Receipt
from payments_core.facts import SourcedFacts, facts_of
from payments_core.use_cases import Recorded, RecordedState, RecordFacts
from payments_service.tallies import Tally

BATCH_EVENTS_MAX: Final = 64
WAITING_EVENTS_MAX: Final = 4096
GATHER_MAX_S: Final = 0.01
# Most answered callers send again within this time; the wait adapts to it.
GATHER_MIN_S: Final = GATHER_MAX_S / 4
WAIT_S: Final = 5.0
BACK_OFF_FIRST_S: Final = 0.01
BACK_OFF_MAX_S: Final = 0.5
FIRST_TRY_S: Final = 0.4
SLOW_FOR_S: Final = 60.0
SLOW_GROUPS_MAX: Final = 1_000
_SIZES: Final = (1, 2, 4, 8, 16, 32, BATCH_EVENTS_MAX)


def _ignore(_: GatewayEvent, __: Exception) -> None:
    """Do nothing: no listener was given."""


@attrs.define(eq=False)
class _Waiting:
    event: GatewayEvent
    source: SourcedFacts
    receipt: "asyncio.Future[Receipt]"
    deadline: float
    tries: int = 0


@attrs.define
class IngestQueue:
    """Takes one event per caller, and records many at once.

    `on_failure` is called for every event that was stored but could not be applied.
    """

    _record: RecordFacts
    on_failure: Callable[[GatewayEvent, Exception], None] = _ignore
    _monotonic: Callable[[], float] = time.monotonic
    _sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    _waiting: deque[_Waiting] = attrs.field(init=False, factory=deque)
    _alone: dict[str, list[_Waiting]] = attrs.field(init=False, factory=dict)
    # How many events of each group saved alone wait for a lock, outside the lane.
    _locked_alone: Counter[str] = attrs.field(init=False, factory=Counter)
    _slow: dict[str, float] = attrs.field(init=False, factory=dict)
    _tasks: set["asyncio.Task[None]"] = attrs.field(init=False, factory=set)
    # How many events a batch waits for, until the wait after the last one is over.
    _expected_count: int = attrs.field(init=False, default=1)
    _gather_s: float = attrs.field(init=False, default=GATHER_MAX_S)
    _batches_count: int = attrs.field(init=False, default=0)
    _lane_busy: bool = attrs.field(init=False, default=False)
    _slow_lane_busy: bool = attrs.field(init=False, default=False)
    _count: int = attrs.field(init=False, default=0)
    # How many events were recorded together, and how often one was retried.
    batches: Tally = attrs.field(init=False, factory=lambda: Tally(_SIZES))
    retries_count: int = attrs.field(init=False, default=0)

    @property
    def waiting_count(self) -> int:
        """Return how many events have no answer yet."""
        return self._count

    @property
    def alone_count(self) -> int:
        """Return how many groups are saved alone now."""
        return len(self._avoided())

    async def __call__(self, event: GatewayEvent) -> Receipt:
        """Return once the event is durable.

        Raises:
            Overloaded: too many wait already; the event was not stored.
            AccountBusy: its account stayed locked; send it again.
            StoreUnavailable: it may or may not have been stored; send it again.
        """
        if self._count >= WAITING_EVENTS_MAX:
            raise Overloaded
        receipt: asyncio.Future[Receipt] = asyncio.get_running_loop().create_future()
        deadline = self._monotonic() + WAIT_S
        self._waiting.append(_Waiting(event, facts_of(event), receipt, deadline))
        self._count += 1
        self._start_lane()
        # If the caller disconnects, the event stays queued and still counts.
        return await receipt

    def _answer(self, waiting: _Waiting, receipt: Receipt) -> None:
        self._count -= 1
        if not waiting.receipt.done():
            waiting.receipt.set_result(receipt)

    def _fail(self, waiting: _Waiting, error: Exception) -> None:
        self._count -= 1
        if not waiting.receipt.done():
            waiting.receipt.set_exception(error)
            # If the caller disconnects now, the unread error is not a bug to report.
            waiting.receipt.exception()

    async def drain(self) -> None:
        """Wait until the queue is empty."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    # The lane of batches

    def _start_lane(self) -> None:
        if len(self._waiting) >= self._expected_count and not self._lane_busy:
            self._lane_busy = True
            if self._expected_count > 1:
                self._gather_s = min(self._gather_s * 2, GATHER_MAX_S)
            self._start(self._run_lane())

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        # The loop itself keeps no strong reference to a task.
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run_lane(self) -> None:
        """Record one batch."""
        batch: Sequence[_Waiting] = ()
        began = self._monotonic()
        try:
            count = min(len(self._waiting), BATCH_EVENTS_MAX)
            batch = self._in_time([self._waiting.popleft() for _ in range(count)])
            # In order of arrival, though some were retried: an event after a newer
            # payment of its account needs the account's whole history.
            batch = sorted(batch, key=attrgetter("deadline"))
            await self._record_batch(batch)
        finally:
            # Not in a callback of the task: an event that arrives between the end of
            # the batch and that callback would wait for a lane that has ended.
            self._lane_busy = False
            self._expect_others(batch, self._monotonic() - began)
            self._start_lane()

    def _expect_others(self, batch: Sequence[_Waiting], took_s: float) -> None:
        """Wait briefly for the next events of the callers that were answered."""
        # A caller that disconnected sends nothing more.
        answered = sum(it.receipt.done() and not it.receipt.cancelled() for it in batch)
        wait_s = min(took_s, self._gather_s)
        count = answered + len(self._waiting) if wait_s > 0 else 1
        self._expected_count = min(max(count, 1), BATCH_EVENTS_MAX)
        self._batches_count += 1
        if self._expected_count > 1:
            self._start(self._expect_no_more(self._batches_count, wait_s))

    async def _expect_no_more(self, batches_count: int, wait_s: float) -> None:
        await self._sleep(wait_s)
        # If a batch has begun meanwhile, the wait did not time out.
        if self._batches_count == batches_count and not self._lane_busy:
            self._expected_count = 1
            self._gather_s = max(self._gather_s / 2, GATHER_MIN_S)
            self._start_lane()

    def _in_time(self, waiting: Sequence[_Waiting]) -> list[_Waiting]:
        """Refuse the events that waited too long; return the others."""
        now = self._monotonic()
        for it in waiting:
            if now >= it.deadline:
                self._fail(it, AccountBusy())
        return [it for it in waiting if now < it.deadline]

    async def _record_batch(self, batch: Sequence[_Waiting]) -> None:
        # Inlined, because it runs for every webhook.
        self.batches.counts[bisect_left(_SIZES, len(batch))] += 1
        self.batches.total += len(batch)
        try:
            recorded = await self._record(
                [it.source for it in batch], wait_s=0, avoid=self._avoided()
            )
        except Exception as error:  # noqa: BLE001  # it goes to the callers
            for it in batch:
                self._fail(it, error)
            return
        for waiting, one in zip(batch, recorded, strict=True):
            self._settle(waiting, one)

    def _avoided(self) -> frozenset[str]:
        """Return the groups that are saved alone now."""
        now = self._monotonic()
        for key in [key for key, until in self._slow.items() if until <= now]:
            del self._slow[key]
        return frozenset((*self._slow, *self._alone, *self._locked_alone))

    def _settle(
        self, waiting: _Waiting, recorded: Recorded, *, alone: str | None = None
    ) -> None:
        if recorded.is_kept:
            self._answer(waiting, Receipt(recorded.outcome))
            if recorded.failure is not None:
                self._tell(waiting.event, recorded.failure)
        elif recorded.state is RecordedState.BUSY:
            self._put_back(waiting, alone)
        elif recorded.group is not None:
            self._add_alone(recorded.group, waiting)
        else:
            self._fail(waiting, recorded.failure or StoreUnavailable())

    def _tell(self, event: GatewayEvent, error: Exception) -> None:
        try:
            self.on_failure(event, error)
        except Exception as deaf:  # noqa: BLE001  # the event is stored anyway
            asyncio.get_running_loop().call_exception_handler(
                {"message": "on_failure failed", "exception": deaf}
            )

    def _put_back(self, waiting: _Waiting, alone: str | None) -> None:
        """Retry after a back-off, while the caller still waits."""
        if self._monotonic() >= waiting.deadline:
            self._fail(waiting, AccountBusy())
            return
        delay = min(BACK_OFF_FIRST_S * 2**waiting.tries, BACK_OFF_MAX_S)
        waiting.tries += 1
        self.retries_count += 1
        delay *= random.uniform(0.5, 1)  # noqa: S311  # not a secret
        if alone is not None:
            self._locked_alone[alone] += 1
        self._start(self._later(waiting, delay, alone))

    async def _later(
        self, waiting: _Waiting, delay_s: float, alone: str | None
    ) -> None:
        await self._sleep(delay_s)
        if alone is None:
            self._waiting.append(waiting)
            self._start_lane()
            return
        # Alone: if it is slow, a shared batch would lock the others meanwhile.
        self._locked_alone[alone] -= 1
        if not self._locked_alone[alone]:
            del self._locked_alone[alone]
        self._add_alone(alone, waiting)

    # The lane of groups that are saved alone

    def _add_alone(self, key: str, waiting: _Waiting) -> None:
        self._alone.setdefault(key, []).append(waiting)
        if not self._slow_lane_busy:
            self._slow_lane_busy = True
            self._start(self._run_slow_lane())

    async def _run_slow_lane(self) -> None:
        try:
            while self._alone:
                # Groups that were never slow when alone come first, and each in turn,
                # however many events one has.
                key = min(self._alone, key=lambda key: key in self._slow)
                await self._record_alone(key, self._alone[key])
                for other, group in list(self._alone.items()):
                    group[:] = self._in_time(group)
                    if not group:
                        del self._alone[other]
                if key in self._alone:
                    self._alone[key] = self._alone.pop(key)
        finally:
            self._slow_lane_busy = False

    async def _record_alone(self, key: str, group: list[_Waiting]) -> None:
        batch = group[:BATCH_EVENTS_MAX]
        first_s = None if key in self._slow else FIRST_TRY_S
        try:
            async with asyncio.timeout(first_s):
                self.batches.add(len(batch))
                recorded = await self._record([it.source for it in batch], wait_s=0)
        except TimeoutError:
            # It is retried after the others.
            self._mark_slow(key)
            return
        except Exception as error:  # noqa: BLE001  # it goes to the callers
            del group[: len(batch)]
            for it in batch:
                self._fail(it, error)
            return
        del group[: len(batch)]
        for waiting, one in zip(batch, recorded, strict=True):
            if one.state is RecordedState.TIMED_OUT:
                self._mark_slow(key)
                self._fail(waiting, StoreUnavailable())
            else:
                self._settle(waiting, one, alone=key)

    def _mark_slow(self, key: str) -> None:
        if len(self._slow) >= SLOW_GROUPS_MAX:
            self._slow.clear()
        self._slow[key] = self._monotonic() + SLOW_FOR_S
