"""Group commit: events that wait together share a transaction.

While a batch commits, the next one fills; there is no timer, and an idle service adds
no latency. Whoever waits for an event may go away: it is applied all the same.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

import attrs

from payments_core.errors import ChangedElsewhere, Overloaded, Unavailable
from payments_core.events import GatewayEvent, Receipt
from payments_core.use_cases import ApplyEvents

BATCH_EVENTS_MAX: Final = 64
WAITING_EVENTS_MAX: Final = 4096
RETRIES_MAX: Final = 5
# While one batch waits for the disk, another is worked out; but not for a few events:
# what a transaction costs by itself is shared by those in it.
LANES: Final = 2
SECOND_LANE_EVENTS_MIN: Final = 16

_Waiting = tuple[GatewayEvent, asyncio.Future[Receipt]]


def _unheard(_: GatewayEvent, __: Exception) -> None:
    """Nobody listens."""


@attrs.define
class GroupCommit:
    """The `EventIntake` of a service: one event a caller, many a transaction.

    `on_failure` hears of every event that could not be applied and was set aside.
    """

    _apply: ApplyEvents
    _lanes: int = LANES
    on_failure: Callable[[GatewayEvent, Exception], None] = _unheard
    _waiting: deque[_Waiting] = attrs.field(init=False, factory=deque)
    _flushing: set[asyncio.Task[None]] = attrs.field(init=False, factory=set)
    _lanes_free: int = attrs.field(
        init=False, default=attrs.Factory(lambda self: self._lanes, takes_self=True)
    )

    async def __call__(self, event: GatewayEvent) -> Receipt:
        """Return once the event is durable.

        Raises:
            Overloaded: too many wait already; nothing was kept.
            StoreUnavailable: it may or may not have been kept; send it again.
        """
        if len(self._waiting) >= WAITING_EVENTS_MAX:
            raise Overloaded
        receipt: asyncio.Future[Receipt] = asyncio.get_running_loop().create_future()
        self._waiting.append((event, receipt))
        busy = self._lanes - self._lanes_free
        if self._lanes_free and self._enough(lanes_busy=busy):
            self._lanes_free -= 1
            flush = asyncio.create_task(self._flush())
            # The loop itself keeps no strong reference to a task.
            self._flushing.add(flush)
            flush.add_done_callback(self._flushing.discard)
        return await receipt

    def _enough(self, *, lanes_busy: int) -> bool:
        """Say whether a lane should take a batch while others work already."""
        return len(self._waiting) >= (SECOND_LANE_EVENTS_MIN if lanes_busy else 1)

    async def drain(self) -> None:
        """Return when nothing waits any more."""
        while self._flushing:
            await asyncio.wait(self._flushing)

    async def _flush(self) -> None:
        try:
            while self._enough(lanes_busy=self._lanes - self._lanes_free - 1):
                count = min(len(self._waiting), BATCH_EVENTS_MAX)
                await self._settle([self._waiting.popleft() for _ in range(count)])
        finally:
            # Not by a callback of the task: whoever comes between the end of the loop
            # and that callback would wait for a lane that is no more.
            self._lanes_free += 1
            # Nobody may wait for flushes that were cut off.
            while self._lanes_free == self._lanes and self._waiting:
                self._waiting.popleft()[1].cancel()

    async def _settle(self, batch: Sequence[_Waiting]) -> None:
        try:
            receipts = await self._retrying([event for event, _ in batch])
        except Unavailable as error:
            for _, receipt in batch:
                if not receipt.done():
                    receipt.set_exception(error)
        except Exception as error:  # noqa: BLE001  # one event's bug is not the others'
            if len(batch) > 1:
                for waiting in batch:
                    await self._settle([waiting])
            else:
                await self._set_aside(*batch[0], error)
        else:
            for (_, receipt), answer in zip(batch, receipts, strict=True):
                if not receipt.done():
                    receipt.set_result(answer)

    async def _retrying(self, events: Sequence[GatewayEvent]) -> Sequence[Receipt]:
        for _ in range(RETRIES_MAX):
            try:
                return await self._apply(events)
            except ChangedElsewhere:
                continue
        return await self._apply(events)

    async def _set_aside(
        self,
        event: GatewayEvent,
        receipt: asyncio.Future[Receipt],
        error: Exception,
    ) -> None:
        try:
            answer = await self._apply.set_aside(
                event, f"failed: {type(error).__name__}"
            )
        except Exception as second:  # noqa: BLE001  # it goes to the caller
            if not receipt.done():
                receipt.set_exception(second)
            return
        if not receipt.done():
            receipt.set_result(answer)
        try:
            self.on_failure(event, error)
        except Exception as deaf:  # noqa: BLE001  # the event is kept all the same
            asyncio.get_running_loop().call_exception_handler(
                {"message": "on_failure failed", "exception": deaf}
            )
