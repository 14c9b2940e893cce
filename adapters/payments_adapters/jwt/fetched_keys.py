"""Keys at an address: fetched periodically, and cached while it does not answer.

Rule 1: keys are fetched every 5 minutes, and every 30 s after a failure.
Rule 2: a token may trigger a fetch at most once in 30 s, whatever tokens say: a token
        that names an unknown key, or arrives before there are any keys. All waiting
        requests share one fetch. Their number is limited, because anybody can write
        such a token and a slow address takes 5 s: the others are refused at once.
Rule 3: a key that left the document is retired at once; a new key verifies at once.
Rule 4: while keys cannot be fetched, the last ones are valid for a day. After that
        there are none.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final

import attrs

from payments_adapters.jwt.key_sources import TooManyWait
from payments_adapters.jwt.key_url import FetchError
from payments_adapters.jwt.keys import KeySet
from payments_adapters.jwt.published_keys import PublishedKeys, read_published
from payments_core.errors import InvalidValue

REFRESH_S: Final = 300.0
RETRY_S: Final = 30.0
ASKED_S: Final = 30.0
STALE_S: Final = 24 * 3600.0
WAITING_MAX: Final = 16


class FetchListener:
    """Receives the results of fetches; this one ignores them."""

    def replaced(self, name: str, published: PublishedKeys) -> None:
        """Handle that the keys changed."""

    def failed(self, name: str, reason: str, *, is_over: bool) -> None:
        """Handle a first failed fetch; `is_over`: or keys that are too old now."""


@attrs.define(eq=False)
class FetchedKeys:
    """The `KeySource` of an address; `name` is the setting that has it.

    At most `waiting_max` tokens wait for a fetch. `failures_total` counts failed
    fetches.
    """

    name: str
    _fetch: Callable[[], Awaitable[bytes]]
    _listener: FetchListener = attrs.field(factory=FetchListener)
    _monotonic: Callable[[], float] = time.monotonic
    _sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    _waiting_max: int = attrs.field(default=WAITING_MAX, kw_only=True)
    current: KeySet | None = attrs.field(init=False, default=None)
    failures_total: int = attrs.field(init=False, default=0)
    _is_failing: bool = attrs.field(init=False, default=False)
    _document: bytes | None = attrs.field(init=False, default=None, repr=False)
    _read_at: float | None = attrs.field(init=False, default=None)
    _asked_at: float | None = attrs.field(init=False, default=None)
    _waiting_count: int = attrs.field(init=False, default=0)
    _reading: "asyncio.Task[None] | None" = attrs.field(init=False, default=None)

    @property
    def age_s(self) -> float | None:
        """Return the age of the keys; None if there are none."""
        return None if self._read_at is None else self._monotonic() - self._read_at

    async def refresh(self) -> bool:
        """Fetch the keys for a token, if none did lately; return whether they changed.

        Raises:
            TooManyWait: `waiting_max` others wait already.
        """
        before, now = self.current, self._monotonic()
        is_new, asked_at = self._reading is None, self._asked_at
        if is_new and asked_at is not None and now - asked_at < ASKED_S:
            return False
        if self._waiting_count >= self._waiting_max:
            raise TooManyWait
        if is_new:
            self._asked_at = now
        self._waiting_count += 1
        try:
            await self.read()
        finally:
            self._waiting_count -= 1
        return self.current is not before

    async def read(self) -> None:
        """Fetch the keys, or wait for the fetch in progress."""
        if self._reading is None:
            self._reading = asyncio.ensure_future(self._read())
            self._reading.add_done_callback(self._end)
        # A cancelled caller does not cancel the fetch for the others.
        await asyncio.shield(self._reading)

    async def keep_reading(self) -> None:
        """Fetch the keys periodically, until cancelled."""
        while True:
            self._expire()
            await self.read()
            await self._sleep(RETRY_S if self._is_failing else REFRESH_S)

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Cancel a fetch in progress before the event loop ends."""
        try:
            yield
        finally:
            if self._reading is not None:
                self._reading.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await self._reading

    def _end(self, _: "asyncio.Task[None]") -> None:
        self._reading = None

    async def _read(self) -> None:
        try:
            document = await self._fetch()
            if document == self._document and self.current is not None:
                published = None
            else:
                # Checking whether a key can be guessed takes some milliseconds.
                published = await asyncio.to_thread(read_published, document)
        except (FetchError, InvalidValue) as error:
            self._fail(getattr(error, "reason", str(error)))
            return
        except Exception as error:  # noqa: BLE001  # any error: read again
            self._fail(f"a bug: {type(error).__name__}")
            return
        self._is_failing = False
        self._read_at, self._document = self._monotonic(), document
        if published is not None:
            self.current = published.keys
            self._listener.replaced(self.name, published)

    def _fail(self, reason: str) -> None:
        self.failures_total += 1
        if not self._is_failing:
            self._is_failing = True
            self._listener.failed(self.name, reason, is_over=False)
        self._expire()

    def _expire(self) -> None:
        age_s = self.age_s
        if self.current is not None and age_s is not None and age_s >= STALE_S:
            self.current = None
            reason = f"for {STALE_S / 3600:.0f} hours"
            self._listener.failed(self.name, reason, is_over=True)
