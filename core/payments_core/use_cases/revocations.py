"""Follow revocations while a process serves, and wait until all have heard of one.

Rule 1: a token is checked in memory while the lease runs. After that, one poll serves
        all waiting requests; without an answer no token is accepted.
Rule 2: a process that received something new polls again at once: that poll
        acknowledges it.
Rule 3: a revocation returns when every process has heard of it, or every lease that
        began before it has expired.
Rule 4: a process that ends drops its lease before it deregisters, and no longer polls:
        its requests in progress get `StoreUnavailable`.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import Final

import attrs

from payments_core.errors import StoreUnavailable
from payments_core.ports import LeaseClock, RevocationLog, SystemClock, TokenStore
from payments_core.revocations import (
    KEPT_AFTER_EXPIRY,
    LEASE_MARGIN_S,
    LEASE_S,
    LeasedRevocations,
    RevocationPoll,
    RevocationQuery,
    TokenState,
)
from payments_core.tokens import TOKEN_AGE_MAX, Token

POLL_EVERY_S: Final = 0.25
# An answer later than a lease gives no new lease, but its revocations are still used.
POLL_TIMEOUT_S: Final = 2 * LEASE_S
PAGE_LENGTH: Final = 2_000
# Polls per request at most: each is enough unless it took longer than a lease.
POLLS_MAX: Final = 3
LEAVE_TIMEOUT_S: Final = 1.0
# The pause between two checks whether all have heard: it doubles from one to the other.
ASK_AFTER_S: Final = 0.005
ASK_EVERY_S: Final = 0.04


def _ignore(_: Exception) -> None:
    """Do nothing: no listener was given."""


def _poll_nothing() -> None:
    """Poll nothing: this process does not serve."""


@attrs.define(eq=False)
class FollowRevocations:
    """What a serving process knows of revoked tokens, kept up to date by `running`.

    `on_failure` is called for the first of consecutive failed polls.
    """

    _log: RevocationLog
    _tokens: TokenStore
    _lease_clock: LeaseClock
    _clock: SystemClock
    _process_id: str
    _token_age_max: timedelta = TOKEN_AGE_MAX
    _on_failure: Callable[[Exception], None] = _ignore
    _known: LeasedRevocations = attrs.field(factory=LeasedRevocations)
    _poll_every_s: float = POLL_EVERY_S
    _poll_timeout_s: float = POLL_TIMEOUT_S
    _page_length: int = PAGE_LENGTH
    failures_count: int = attrs.field(init=False, default=0)
    _is_failing: bool = attrs.field(init=False, default=False)
    # The position that the last answered poll acknowledged.
    _acknowledged: int = attrs.field(init=False, default=0)
    _polling: "asyncio.Task[None] | None" = attrs.field(init=False, default=None)
    _is_due: asyncio.Event = attrs.field(init=False, factory=asyncio.Event)
    _has_ended: bool = attrs.field(init=False, default=False)

    def is_surely_valid(self, token: Token) -> bool:
        """Say whether a token is known not to be revoked; if not, call `is_revoked`."""
        return self._known.accepts(token, self._lease_clock())

    async def is_revoked(self, token: Token) -> bool:
        """Say whether a token is revoked.

        Raises:
            StoreUnavailable: it is not known whether the token is revoked.
        """
        for attempt in range(POLLS_MAX + 1):
            state = self._known.state_of(token, self._lease_clock())
            if state is TokenState.ASK_STORE:
                return await self._tokens.is_revoked(token)
            if state is not TokenState.UNKNOWN:
                return state is TokenState.REVOKED
            # Checked again after the poll: a poll that was already running may be too
            # old.
            if attempt < POLLS_MAX:
                await self._poll_once()
        raise StoreUnavailable

    def poll_now(self) -> None:
        """Poll now instead of at the next turn: something was revoked."""
        self._is_due.set()

    @property
    def is_leased(self) -> bool:
        """Say whether all is loaded and the lease runs: whether to accept requests."""
        return self._known.is_leased(self._lease_clock())

    @property
    def lease_age_s(self) -> float:
        """Return the age of the poll that gave the lease; NaN: there was none."""
        return self._known.lease_age_s(self._lease_clock())

    @property
    def entries_count(self) -> int:
        return self._known.entries_count

    @property
    def is_over_cap(self) -> bool:
        """Say whether there are too many to keep in memory: the store is queried."""
        return self._known.is_over_cap

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Poll until the end, then deregister."""
        self._has_ended = False
        polling = asyncio.create_task(self._run())
        try:
            yield
        finally:
            polling.cancel()
            await asyncio.wait([polling])
            await self._leave()

    async def _run(self) -> None:
        while True:
            self._is_due.clear()
            try:
                await self._poll_once()
                is_more = (
                    self._known.cursor > self._acknowledged or await self._reload()
                )
            except Exception as error:  # noqa: BLE001  # the lease then expires
                self._fail(error)
                is_more = False
            else:
                self._is_failing = False
            if not is_more:
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._poll_every_s):
                        await self._is_due.wait()

    def _fail(self, error: Exception) -> None:
        if not self._is_failing:
            self._on_failure(error)
        self._is_failing = True

    async def _poll_once(self) -> None:
        """Poll until nothing is new; concurrent calls wait for the same poll.

        Raises:
            StoreUnavailable: the poll failed, or the process ends.
        """
        if self._has_ended:
            raise StoreUnavailable
        if self._polling is None or self._polling.done():
            self._polling = asyncio.create_task(self._catch_up())
            # Also if all callers have gone.
            self._polling.add_done_callback(_retrieved)
        polling = self._polling
        # A cancelled request does not cancel a poll that others wait for. A poll that
        # is cancelled because the process ends does not cancel a request.
        await asyncio.wait([polling])
        if polling.cancelled():
            raise StoreUnavailable
        polling.result()

    async def _catch_up(self) -> None:
        while not await self._page(self._known.begin(self._lease_clock())):
            continue

    async def _reload(self) -> bool:
        """Read a page of the full reload, if due; say whether there is more."""
        poll = self._known.begin_reload(self._lease_clock())
        return poll is not None and not await self._page(poll)

    async def _page(self, poll: RevocationPoll) -> bool:
        now = self._clock()
        query = RevocationQuery(
            process_id=self._process_id,
            heard=poll.heard,
            mark=poll.mark,
            after=poll.after,
            limit=self._page_length,
            expires_from=now - KEPT_AFTER_EXPIRY,
            issued_from=now - KEPT_AFTER_EXPIRY - self._token_age_max,
        )
        try:
            async with asyncio.timeout(self._poll_timeout_s):
                news = await self._log.poll(query)
        except TimeoutError:
            self.failures_count += 1
            raise StoreUnavailable from None
        except StoreUnavailable:
            self.failures_count += 1
            raise
        self._acknowledged = poll.heard
        return self._known.apply(poll, news)

    async def _leave(self) -> None:
        """End, and deregister so that no revocation waits for this process."""
        self._has_ended = True
        self._known.forget()
        if self._polling is not None:
            self._polling.cancel()
            await asyncio.wait([self._polling])
        # If this fails, revocations wait one lease longer, until the row is purged.
        with suppress(StoreUnavailable, TimeoutError):
            async with asyncio.timeout(LEAVE_TIMEOUT_S):
                await self._log.leave(self._process_id)


def _retrieved(task: "asyncio.Task[None]") -> None:
    if not task.cancelled():
        task.exception()


@attrs.frozen
class AwaitRevocation:
    """Waits until a revocation holds in every process.

    `on_revoked` is called first, so that this process polls at once, if it serves.
    """

    log: RevocationLog
    lease_clock: LeaseClock
    on_revoked: Callable[[], None] = _poll_nothing
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep

    async def __call__(self, position: int) -> None:
        """Return when all have heard of it; at most one lease after the commit."""
        until = self.lease_clock() + LEASE_S + LEASE_MARGIN_S
        self.on_revoked()
        pause_s = ASK_AFTER_S
        while (left_s := until - self.lease_clock()) > 0:
            # Without an answer, wait until the lease has expired.
            with suppress(StoreUnavailable, TimeoutError):
                async with asyncio.timeout(left_s):
                    if await self.log.is_heard(position):
                        return
            await self.sleep(min(pause_s, max(until - self.lease_clock(), 0)))
            pause_s = min(2 * pause_s, ASK_EVERY_S)
