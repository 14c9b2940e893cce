"""Read the feed, and wait for changes that do not exist yet.

Rule 1: existing changes are returned at once; otherwise the call returns with the next
        change, or empty after the requested wait.
Rule 2: however many calls wait, one query polls the database for all of them.
Rule 3: a call that ends, by a change, its time, a stop or a disconnect, leaves nothing
        behind.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import attrs

from payments_core.caller import Caller
from payments_core.errors import Overloaded, PositionNotGiven
from payments_core.feed import BEGINNING, FeedPage
from payments_core.policy import Policy
from payments_core.ports import FeedReader

PAGE_LENGTH_MAX: Final = 1_000
WAIT_MAX_S: Final = 30
# Each waiting call keeps a connection open.
WAITING_MAX: Final = 256
# A change reaches a waiting caller within a second: this is a small part of that.
POLL_S: Final = 0.15


@attrs.define(eq=False)
class ReadFeed:
    _feed: FeedReader
    # The ends of grants are shown by this policy.
    policy: Policy
    _waiting_max: int = WAITING_MAX
    _sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    # The position after which each call waits; the result says whether there is a
    # change.
    _waiting: "dict[asyncio.Future[bool], int]" = attrs.field(init=False, factory=dict)
    _polling: "asyncio.Task[None] | None" = attrs.field(init=False, default=None)
    _is_stopped: bool = attrs.field(init=False, default=False)

    async def __call__(
        self,
        *,
        after: int = BEGINNING,
        limit: int = PAGE_LENGTH_MAX,
        latest: bool = False,
        wait_s: int = 0,
        caller: Caller,
    ) -> FeedPage:
        """Return the changes that come after a position: see `FeedReader`.

        Raises:
            PositionNotGiven: no change has the position `after`.
            ScopeRequired: the caller may not read the feed.
            Overloaded: too many calls wait.
            StoreUnavailable: the database does not answer.
        """
        caller.require_feed()
        until = asyncio.get_running_loop().time() + wait_s
        page = await self._feed.page(after, limit, latest=latest)
        if page.next == after and after > await self._feed.last():
            # The position is from before a restore, say: the caller would miss changes.
            raise PositionNotGiven
        while not (page.changes or page.has_more):
            if not wait_s or not await self._is_more_than(page.next, until):
                break
            page = await self._feed.page(page.next, limit, latest=latest)
        return page

    def stop(self) -> None:
        """Stop waiting: all waiting calls return at once."""
        self._is_stopped = True
        for each in self._waiting:
            if not each.done():
                each.set_result(False)
        if self._polling is not None:
            self._polling.cancel()

    async def _is_more_than(self, position: int, until: float) -> bool:
        """Wait for a later change; return False at the time-out or after a stop."""
        if self._is_stopped:
            return False
        if len(self._waiting) >= self._waiting_max:
            raise Overloaded
        it: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting[it] = position
        if self._polling is None or self._polling.done():
            self._polling = asyncio.create_task(self._poll())
        try:
            async with asyncio.timeout_at(until):
                return await it
        except TimeoutError:
            return False
        finally:
            del self._waiting[it]

    async def _poll(self) -> None:
        while self._waiting:
            try:
                last = await self._feed.last()
            except Exception as error:  # noqa: BLE001  # the waiting calls raise it
                for each in self._waiting:
                    if not each.done():
                        each.set_exception(error)
                return
            for each, after in self._waiting.items():
                if last > after and not each.done():
                    each.set_result(True)
            await self._sleep(POLL_S)
