"""The access of all users in memory: filled once, then kept up to date by the feed.

Rule 1: what a row says holds until its own dates. No row grants anything after them.
Rule 2: all rows hold for `max_age_s` after the service last answered, and no longer:
        until then nobody is denied because it does not answer.
Rule 3: after an error the feed is requested again from the same position, with
        back-off.
Rule 4: if a page names another version of the catalogue, the catalogue is fetched
        again. If it has changed, everything is read anew, at most once in
        `REFILL_EVERY_S`: the end of a grant follows from it. Until then the old rows
        hold.
Rule 5: if the feed does not have our position, it is another feed, of a database that
        was restored: everything is read anew, and earlier rows do not count.
Rule 6: a file, if there is one, has what was known when it was written: the other rules
        hold for it as for the rows in memory.
"""

import asyncio
import logging
import random
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Final, Protocol, Self

from payments_client.client import PAGE_MAX, TIMEOUT_S, WAIT_MAX_S, Sleep
from payments_client.errors import (
    ClientError,
    NotAllowed,
    NotAuthenticated,
    NotFound,
    Refused,
    Unavailable,
)
from payments_client.rows import Features, Rows
from payments_client.saved_copy import SavedCopy, load, save
from payments_client.shapes import Catalogue, FeatureAccess, FeedPage

MAX_AGE_S: Final = 86_400.0
# Shorter than the timeout of a request in proxies.
WAIT_S: Final = 25
READY_WITHIN_S: Final = 10.0
BACK_OFF_FIRST_S: Final = 0.5
BACK_OFF_MAX_S: Final = 30.0
# The service's code for a position that its feed does not have: it was restored.
POSITION_NOT_GIVEN: Final = "position_not_given"
REFILL_EVERY_S: Final = 60.0
# Something between us and the service may answer with an empty page at once.
EMPTY_EVERY_S: Final = 0.5
SAVED_EVERY_S: Final = 300.0
# The number of unknown names that are remembered: they may be a user's input.
WARNED_MAX: Final = 100
# The codes that are about a user or a feature, and not about the request.
_UNKNOWN: Final = frozenset({"account_not_found", "feature_not_found"})
# A person must change something first: the token, its scopes or the address.
_LASTING: Final = (NotAuthenticated, NotAllowed, NotFound)

_log: Final = logging.getLogger("payments_client")


class Source(Protocol):
    """What a copy needs from a `PaymentsClient`."""

    async def feed(
        self, after: str | None, *, latest: bool, limit: int, wait_s: int
    ) -> FeedPage: ...

    async def catalogue(self) -> Catalogue: ...

    async def feature(self, user: str, name: str) -> FeatureAccess: ...


class LocalCopy:
    """Tells who may use what, without a request; one per process is enough.

    The client's token needs the scope `payments:feed` (and for `check`
    `payments:read`), or `payments:admin`. Inside `async with` the copy is kept up to
    date. Entering waits until all is read, until the service refuses, or for
    `READY_WITHIN_S`: an application starts without the service, too.

    All users are in memory: some hundred bytes per user. With a `path` they are also in
    a file, written every `SAVED_EVERY_S` and at the end: an application that starts
    while the service is down has what was known then. The file is for one process and
    one service.

    Raises:
        ValueError: `wait_s` is not 0 to `WAIT_MAX_S`, or `max_age_s` is shorter than
            two requests take: one may fail.
    """

    def __init__(  # noqa: PLR0913  # each by name
        self,
        client: Source,
        *,
        max_age_s: float = MAX_AGE_S,
        wait_s: int = WAIT_S,
        path: Path | None = None,
        clock: Callable[[], float] = time.time,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        if not 0 <= wait_s <= WAIT_MAX_S:
            raise ValueError(f"wait_s is 0 to {WAIT_MAX_S} seconds, not {wait_s}")
        least_s = 2 * (wait_s + TIMEOUT_S)
        if not max_age_s >= least_s:
            raise ValueError(
                f"max_age_s is at least {least_s:.0f} seconds with a wait_s of {wait_s}"
                f", not {max_age_s}"
            )
        self._client = client
        self._max_age_s = max_age_s
        self._wait_s = wait_s
        self._path = path
        self._saved_at = -float("inf")
        self._writing: asyncio.Future[None] | None = None
        self._clock = clock
        self._sleep = sleep
        self._rows: Rows | None = None
        self._after: str | None = None
        self._heard_at = self._refilled_at = -float("inf")
        # Waiting is over: there is a copy, or a refusal.
        self._ready = asyncio.Event()
        self._warned: set[str] = set()
        self._following: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self._load()
        self._following = asyncio.create_task(self._follow())
        try:
            async with asyncio.timeout(READY_WITHIN_S):
                await self._ready.wait()
        except TimeoutError:
            _log.warning("no copy yet: the service is called until it answers")
        except BaseException:
            # `__aexit__` is not called then.
            self._following.cancel()
            raise
        return self

    async def __aexit__(
        self,
        _: type[BaseException] | None,
        __: BaseException | None,
        ___: TracebackType | None,
    ) -> None:
        if self._following is not None:
            self._following.cancel()
            await asyncio.gather(self._following, return_exceptions=True)
        await self._written()
        self._save()
        await self._written()

    @property
    def age_s(self) -> float:
        """Return the age of the copy in seconds; infinite: it was never filled."""
        return max(0.0, self._clock() - self._heard_at)

    @property
    def is_usable(self) -> bool:
        """Whether the copy is recent enough to grant anything."""
        return self.age_s <= self._max_age_s

    def __len__(self) -> int:
        return len(self._rows or ())

    def allows(self, user_id: str, feature: str) -> bool:
        """Return whether a user has a feature, as far as the copy knows.

        False for a user who is not in the copy, and when the copy is too old.

        Raises:
            TypeError: `user_id` is not a str.
        """
        if not isinstance(user_id, str):
            raise _no_user(user_id)
        rows, now = self._rows, self._clock()
        if rows is None or now - self._heard_at > self._max_age_s:
            return False
        if now < rows.until(user_id, feature):
            return True
        self._warn_of(feature, rows.features)
        return False

    async def check(self, user_id: str, feature: str) -> bool:
        """Return the same, and ask the service about a user who is not in the copy.

        Raises:
            Unavailable: the service does not answer.
            Refused: the client's token may not read the user, or the route does not
                exist.
            TypeError: `user_id` is not a str.
        """
        if not is_user(user_id):
            return False
        if self._rows is not None and user_id in self._rows and self.is_usable:
            return self.allows(user_id, feature)
        try:
            return (await self._client.feature(user_id, feature)).granted
        except NotFound as error:
            if error.code not in _UNKNOWN:
                raise
            if self._rows is not None:
                self._warn_of(feature, self._rows.features)
            return False

    async def update(self, *, wait_s: int = 0) -> None:
        """Apply what has changed; `wait_s` is how long to wait for a first change.

        Between `async with` and its end this happens automatically.

        Raises:
            Refused, Unavailable: the copy is unchanged, and keeps ageing.
        """
        if self._rows is None:
            await self._fill(Features(await self._client.catalogue()))
            return
        rows = self._rows
        try:
            page = await self._page(self._after, latest=False, wait_s=wait_s)
        except Refused as error:
            if error.code != POSITION_NOT_GIVEN:
                raise
            _log.warning("the feed was replaced: everything is read anew")
            await self._fill(Features(await self._client.catalogue()))
            return
        if self._rows is not rows:
            # Another call read everything anew meanwhile: continue after that.
            return
        for change in page.changes:
            rows.take(change)
        self._after = page.next
        if not page.has_more:
            self._heard_at = self._clock()
        if page.catalogue != rows.features.version:
            await self._follow_catalogue(rows)

    def _warn_of(self, feature: str, features: Features) -> None:
        """Warn once about a feature that nothing gives: its name may be a typo."""
        if features.names(feature) or feature in self._warned:
            return
        if len(self._warned) < WARNED_MAX:
            self._warned.add(feature)
            version = features.version
            _log.warning("catalogue %.8s… names no feature %.100r", version, feature)

    async def _follow_catalogue(self, rows: Rows) -> None:
        """Read everything anew if what is sold has changed."""
        if self._clock() - self._refilled_at < REFILL_EVERY_S:
            return
        features = Features(await self._client.catalogue())
        # During a rollout one process has the new one, and another does not.
        if features.version != rows.features.version:
            await self._fill(features)

    async def _fill(self, features: Features) -> None:
        rows, after, has_more = Rows(features), None, True
        while has_more:
            page = await self._page(after, latest=True, wait_s=0)
            if page.has_more and page.next == after:
                raise Unavailable("the feed has no end")
            for change in page.changes:
                rows.take(change)
            after, has_more = page.next, page.has_more
        self._rows, self._after = rows, after
        self._heard_at = self._refilled_at = self._clock()
        self._ready.set()

    async def _page(self, after: str | None, *, latest: bool, wait_s: int) -> FeedPage:
        return await self._client.feed(
            after, latest=latest, limit=PAGE_MAX, wait_s=wait_s
        )

    async def _load(self) -> None:
        if self._path is None:
            return
        try:
            found = await asyncio.to_thread(load, self._path)
        except (OSError, ValueError) as error:
            _log.warning("the file of the copy is not usable: %s", error)
            return
        if found is not None:
            self._rows = Rows(Features(found.catalogue), found.rows)
            self._after = found.after
            self._heard_at = min(found.heard_at, self._clock())
            self._ready.set()

    async def _written(self) -> None:
        """Wait until no file is being written."""
        if self._writing is not None:
            await asyncio.wait({self._writing})

    def _save(self) -> None:
        """Begin to write the file, unless a write is in progress; do not wait."""
        if self._path is None or self._rows is None or self._after is None:
            return
        if self._writing is not None and not self._writing.done():
            return
        self._saved_at = self._clock()
        found = SavedCopy(
            after=self._after,
            heard_at=self._heard_at,
            catalogue=self._rows.features.catalogue,
            rows=self._rows.all(),
        )
        self._writing = asyncio.ensure_future(
            asyncio.to_thread(save, self._path, found)
        )
        self._writing.add_done_callback(_told_of_writing)

    async def _follow(self) -> None:
        failures, is_refused = 0, False
        # The first request does not wait: it tells at once what was missed, and that
        # the service answers again.
        wait_s = 0
        while True:
            began, after = self._clock(), self._after
            try:
                await self.update(wait_s=wait_s)
            except Exception as error:  # noqa: BLE001  # any error: retried
                is_lasting = isinstance(error, _LASTING)
                if failures == 0 or (is_lasting and not is_refused):
                    _tell_of(error)
                if is_lasting:
                    is_refused = True
                    self._ready.set()
                await self._sleep(_back_off_s(failures))
                failures, wait_s = failures + 1, 0
                continue
            if failures:
                _log.info("the feed answers again, after %d failures", failures)
            failures, is_refused = 0, False
            if self._clock() - self._saved_at >= SAVED_EVERY_S:
                self._save()
            has_waited, wait_s = wait_s == self._wait_s, self._wait_s
            is_empty = self._after == after
            if has_waited and is_empty and self._clock() - began < EMPTY_EVERY_S:
                await self._sleep(EMPTY_EVERY_S)


def is_user(user_id: str) -> bool:
    """Return whether a text can be a user's id; `.` and `..` cannot be a path segment.

    Raises:
        TypeError: it is not a str.
    """
    if not isinstance(user_id, str):
        raise _no_user(user_id)
    return user_id not in {"", ".", ".."}


def _no_user(user_id: object) -> TypeError:
    return TypeError(f"user_id is not a str: {type(user_id).__name__}")


def _tell_of(error: Exception) -> None:
    if isinstance(error, _LASTING):
        _log.error("the service refuses the feed, HTTP %d: %s", error.status, error)
    elif isinstance(error, Refused):
        _log.warning("the service refuses the feed, HTTP %d: %s", error.status, error)
    elif isinstance(error, ClientError):
        _log.warning("the feed does not answer: %s", error)
    else:
        _log.warning("the feed cannot be read", exc_info=error)


def _told_of_writing(writing: "asyncio.Future[None]") -> None:
    error = None if writing.cancelled() else writing.exception()
    if error is not None:
        _log.warning("the copy cannot be written to its file: %s", error)


def _back_off_s(failures: int) -> float:
    longest: float = min(BACK_OFF_FIRST_S * 2 ** min(failures, 10), BACK_OFF_MAX_S)
    return longest * random.uniform(0.5, 1)  # noqa: S311  # not a secret
