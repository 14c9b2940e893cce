"""Deliver the changes of the feed to one delivery endpoint.

Rule 1: a process makes at most `at_once` attempts to an endpoint at a time. A slow
        attempt delays no other endpoint, and no other user while there is room.
Rule 2: a failed delivery, also by a bug of ours, is released
        (`payments_core.deliveries`). A delivery whose result was not recorded is sent
        again after its lease has expired.
Rule 3: on a stop it claims nothing more, and waits for attempts in progress.
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

# Changes per statement, which takes some milliseconds.
TAKEN_OVER_MAX: Final = 500
# How long it waits for an attempt to end before it claims more.
POLL_S: Final = 0.5


class DeliveryListener:
    """Receives the results of deliveries; this class ignores them."""

    def delivered(self, delivery: Delivery) -> None:
        """Receive that an endpoint accepted a change."""

    def failed(self, after: Delivery) -> None:
        """Receive a delivery after a failed attempt; it may be dead."""

    def bug(self, delivery: Delivery, error: Exception) -> None:
        """Receive an error of our own, which counts as a failed attempt."""


@attrs.define
class DeliverChanges:
    """The deliveries to one endpoint; a new endpoint begins `from_start`, or now."""

    endpoint: str
    queue: DeliveryQueue
    feed: FeedReader
    sender: ChangeSender
    body_of: ChangeBody
    system_clock: SystemClock
    # Returns a random number in 0..1.
    jitter: Callable[[], float]
    listener: DeliveryListener = attrs.Factory(DeliveryListener)
    from_start: bool = False
    at_once: int = AT_ONCE
    _is_begun: bool = attrs.field(init=False, default=False)

    async def __call__(self, stopping: Callable[[], bool] = lambda: False) -> bool:
        """Deliver until nothing is due, or `stopping` returns True.

        Return False: the next call is due after a pause.

        Raises:
            StoreUnavailable: attempts in progress that are not recorded are sent again.
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
        """Start what is due, up to the limit; say whether there may be more."""
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
            # If one raises, the caller waits for the remaining tasks.
            await task
            running.remove(task)

    async def _deliver(self, it: Delivery) -> None:
        try:
            result = await self._send(it)
        except StoreUnavailable:
            raise
        except Exception as error:  # noqa: BLE001  # it is reported and retried later
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
        """Send a delivery; None: its user was erased."""
        change = await change_at(self.feed, it.key.position)
        if change is None:
            return None
        return await self.sender.send(it.key, self.body_of(change))
