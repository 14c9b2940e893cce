"""Deliver the changes of the feed to one delivery endpoint.

Rule 1: of an endpoint a process has at most `at_once` attempts under way: one that is
        slow holds up no other user as long as there is room, and no other endpoint.
Rule 2: what fails is given back (`payments_core.deliveries`), also by a bug of ours.
        What a process did not record is sent again, once its lease has run out.
Rule 3: asked to stop, it claims nothing more, and waits for what is under way.
"""

import asyncio
from collections.abc import Callable
from typing import Final

import attrs

from payments_core.deliveries import AT_ONCE, Delivery, SendResult
from payments_core.errors import StoreUnavailable
from payments_core.ports import (
    ChangeBody,
    ChangeSender,
    DeliveryQueue,
    FeedReader,
    SystemClock,
)
from payments_core.use_cases.deliveries import change_at

# A statement of some milliseconds.
TAKEN_OVER_MAX: Final = 500
# How long it waits for an attempt to end before it asks for more.
POLL_S: Final = 0.5


class DeliveryListener:
    """Hears of what becomes of deliveries; this one drops it."""

    def delivered(self, delivery: Delivery) -> None:
        """Hear that an endpoint took a change."""

    def failed(self, after: Delivery) -> None:
        """Hear that an attempt failed: the delivery as it is then, also a dead one."""

    def bug(self, delivery: Delivery, error: Exception) -> None:
        """Hear of an error of our own, which counts as an attempt that failed."""


@attrs.define
class DeliverChanges:
    """The deliveries to one endpoint; one that is new begins `from_start`, or now."""

    endpoint: str
    queue: DeliveryQueue
    feed: FeedReader
    sender: ChangeSender
    body_of: ChangeBody
    system_clock: SystemClock
    # Returns a number in 0..1, by chance.
    jitter: Callable[[], float]
    listener: DeliveryListener = attrs.Factory(DeliveryListener)
    from_start: bool = False
    at_once: int = AT_ONCE
    _is_begun: bool = attrs.field(init=False, default=False)

    async def __call__(self, stopping: Callable[[], bool] = lambda: False) -> bool:
        """Deliver until nothing is due, or `stopping` says so.

        Return False: it is to be asked again after a moment.

        Raises:
            StoreUnavailable: what is under way is sent again, where it is not recorded.
        """
        if not self._is_begun:
            await self.queue.begin(self.endpoint, from_start=self.from_start)
            self._is_begun = True
        running = set[asyncio.Task[None]]()
        try:
            while not stopping():
                more = await self._begin(running)
                if not running and not more:
                    break
                if running:
                    await self._wait(running)
        except asyncio.CancelledError:
            for task in running:
                task.cancel()
            raise
        finally:
            await asyncio.gather(*running, return_exceptions=True)
        return False

    async def _begin(self, running: "set[asyncio.Task[None]]") -> bool:
        """Start what is due and has room; say whether there may be more."""
        now = self.system_clock()
        taken = await self.queue.take_over(self.endpoint, now=now, limit=TAKEN_OVER_MAX)
        room = self.at_once - len(running)
        claimed = (
            await self.queue.claim(self.endpoint, now=now, limit=room) if room else ()
        )
        running.update(asyncio.create_task(self._deliver(it)) for it in claimed)
        return taken > 0

    async def _wait(self, running: "set[asyncio.Task[None]]") -> None:
        done, _ = await asyncio.wait(
            running, timeout=POLL_S, return_when=asyncio.FIRST_COMPLETED
        )
        for task in done:
            # Where one raises, what is left is waited for with those under way.
            await task
            running.remove(task)

    async def _deliver(self, it: Delivery) -> None:
        try:
            result = await self._send(it)
        except StoreUnavailable:
            raise
        except Exception as error:  # noqa: BLE001  # it is told, and tried again later
            self.listener.bug(it, error)
            result = SendResult(
                is_delivered=False, reason=f"a bug: {type(error).__name__}"
            )
        if result is None:
            await self.queue.finish(it)
            return
        if result.is_delivered:
            await self.queue.finish(it)
            self.listener.delivered(it)
            return
        after = it.failed(self.system_clock(), result, self.jitter())
        await self.queue.release(it, after)
        self.listener.failed(after)

    async def _send(self, it: Delivery) -> SendResult | None:
        """Send it; None: its user was erased."""
        change = await change_at(self.feed, it.key.position)
        if change is None:
            return None
        return await self.sender.send(it.key, self.body_of(change))
