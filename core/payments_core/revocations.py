"""What one process knows of revoked tokens, and how long it may rely on that.

Rule 1: a process polls. It relies on what it knows for `LEASE_S` from the *start* of a
        poll whose answer reached the end of all revocations, not from the answer on.
Rule 2: a revocation returns after each process has acknowledged it, or every lease that
        began before its commit has expired.
Rule 3: a poll acknowledges what was applied before it, never what it brings: an answer
        may get lost.
Rule 4: what a process knows only grows. A full reload without expired entries is made
        beside it, and replaces it only if it is as new.
Rule 5: above its cap a process keeps nothing in memory, continues to poll, and queries
        the store.
Rule 6: a table without the mark that it returned last, or that ends before what was
        applied, is another table: restored, or of a server that took over without the
        last commits. The process then starts over. It also starts over if no poll was
        answered for long.
Rule 7: a token that cannot be checked is not valid.

Lease times are seconds of a clock that never goes back and counts suspended time.
"""

import math
from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import Enum
from typing import Final

import attrs

from payments_core.identity import UserId
from payments_core.tokens import Token, UserTokenRevocation

LEASE_S: Final = 1.0
# The most that the clocks of two processes may differ over one lease.
LEASE_MARGIN_S: Final = 0.05
# The cap, about 40 MB: above it a process queries the store.
ENTRIES_MAX: Final = 200_000
# Expired entries are dropped with the next full reload.
RELOAD_AFTER_S: Final = 300.0
# After so long without an answer a process starts over: the database may be restored.
BEGIN_ANEW_AFTER_S: Final = 60.0
# How long an expired token is remembered: verifiers have a leeway, and a clock that
# jumps by two hours and back must not make a token valid again.
KEPT_AFTER_EXPIRY: Final = timedelta(hours=3)
BEGINNING: Final = 0
_NEVER: Final = -math.inf


class TokenState(Enum):
    VALID = "valid"
    REVOKED = "revoked"
    # The lease is over: poll first.
    UNKNOWN = "unknown"
    # There are more revocations than the cap of this process.
    ASK_STORE = "ask the store"


@attrs.frozen(kw_only=True)
class RevocationQuery:
    """One poll of a process.

    `heard` is the position up to which the process had applied all revocations before
    this poll, `mark` the newest mark it received, None before the first poll; `after`
    is where the page begins. Revocations of tokens that all expired before
    `expires_from`, or were issued before `issued_from`, are left out.
    """

    process_id: str
    heard: int
    mark: str | None
    after: int
    limit: int
    expires_from: datetime
    issued_from: datetime


@attrs.frozen(kw_only=True)
class RevocationAnswer:
    """What was revoked after a position, up to `reached`; `head` is the newest.

    `tokens` are (issuer, jti). All tokens issued until `issued_before` are revoked.
    `mark` belongs to the newest revocation and is unique. If not `is_known`, the poll's
    mark is of another table, and so is what the process has applied.
    """

    tokens: Sequence[tuple[str, str]] = ()
    users: Sequence[UserTokenRevocation] = ()
    issued_before: datetime | None = None
    reached: int
    head: int
    mark: str | None = None
    is_known: bool = True


@attrs.define(eq=False)
class _Copy:
    """What was read of the table, from the start up to `cursor`."""

    ids: dict[str, set[str]] = attrs.field(factory=dict)
    users: dict[UserId, datetime] = attrs.field(factory=dict)
    issued_before: datetime | None = None
    cursor: int = BEGINNING
    is_over_cap: bool = False

    @property
    def count(self) -> int:
        return len(self.users) + sum(map(len, self.ids.values()))

    def take(
        self, answer: RevocationAnswer, entries_max: int, *, is_late: bool
    ) -> None:
        """Add a page; it may come twice, or late.

        A late page does not move the cursor: it may be from a table that is gone.
        """
        if answer.issued_before is not None:
            self.issued_before = max(
                self.issued_before or answer.issued_before, answer.issued_before
            )
        if not self.is_over_cap:
            for issuer, jti in answer.tokens:
                self.ids.setdefault(issuer, set()).add(jti)
            for it in answer.users:
                self.users[it.user_id] = max(self.users.get(it.user_id, it.at), it.at)
            self.is_over_cap = self.count > entries_max
        if self.is_over_cap:
            # Nothing is kept in memory, so the pages up to the end need not be read.
            self.ids, self.users = {}, {}
        if not is_late:
            reached = answer.head if self.is_over_cap else answer.reached
            self.cursor = max(self.cursor, reached)


@attrs.frozen
class RevocationPoll:
    """A poll in progress: when it began, its query, and the copy it is for."""

    started: float
    heard: int
    mark: str | None
    after: int
    copy: _Copy = attrs.field(eq=False, repr=False)


@attrs.define(eq=False)
class LeasedRevocations:
    """What one process knows; the owner begins and applies polls.

    Several polls may be in progress: a late answer takes nothing back, and extends the
    lease only from the start of its own poll.
    """

    _entries_max: int = ENTRIES_MAX
    _main: _Copy = attrs.field(init=False, factory=_Copy)
    # The full reload in progress.
    _next: _Copy | None = attrs.field(init=False, default=None)
    # The newest position received, and its mark.
    _head: int = attrs.field(init=False, default=BEGINNING)
    _mark: str | None = attrs.field(init=False, default=None)
    # `_NEVER` until everything was loaded once.
    _trusted_until: float = attrs.field(init=False, default=_NEVER)
    _loaded_at: float = attrs.field(init=False, default=_NEVER)

    def accepts(self, token: Token, now: float) -> bool:
        """Say whether a token is known to be valid; `state_of` says why it is not.

        Every request runs this: 0.2 us with the clock (`benchmarks/tokens.py`).
        """
        known = self._main
        if now >= self._trusted_until or known.is_over_cap:
            return False
        ids = known.ids.get(token.issuer)
        if ids is not None and token.jti in ids:
            return False
        before = known.users.get(token.user_id)
        if before is not None and token.issued_at <= before:
            return False
        before = known.issued_before
        return before is None or token.issued_at > before

    def state_of(self, token: Token, now: float) -> TokenState:
        """Say whether a token is revoked, or how to find out."""
        if self.accepts(token, now):
            return TokenState.VALID
        if not self.is_leased(now):
            return TokenState.UNKNOWN
        return TokenState.ASK_STORE if self._main.is_over_cap else TokenState.REVOKED

    def begin(self, now: float) -> RevocationPoll:
        """Begin a poll for new revocations."""
        if _NEVER < self._trusted_until < now - BEGIN_ANEW_AFTER_S:
            self.forget()
        return self._poll(now, self._main)

    def begin_reload(self, now: float) -> RevocationPoll | None:
        """Begin the next page of a full reload; None if none is due."""
        if now >= self._trusted_until or now - self._loaded_at < RELOAD_AFTER_S:
            return None
        if self._next is None:
            self._next = _Copy()
        return self._poll(now, self._next)

    def _poll(self, now: float, copy: _Copy) -> RevocationPoll:
        return RevocationPoll(now, self._main.cursor, self._mark, copy.cursor, copy)

    def apply(self, poll: RevocationPoll, answer: RevocationAnswer) -> bool:
        """Apply an answer, committed with its heartbeat; say whether all was read."""
        copy = poll.copy
        if copy is not self._main and copy is not self._next:
            # The copy was dropped or replaced.
            return False
        is_other = answer.head == self._head and self._mark not in {None, answer.mark}
        if not answer.is_known or is_other or answer.head < max(poll.after, poll.heard):
            self.forget()
            return False
        is_late = answer.head < self._head
        if not is_late:
            self._head, self._mark = answer.head, answer.mark
        copy.take(answer, self._entries_max, is_late=is_late)
        if copy.cursor < answer.head or copy.cursor < self._main.cursor:
            return False
        if copy is self._next:
            self._main, self._next = copy, None
            self._loaded_at = poll.started
        elif self._loaded_at == _NEVER:
            self._loaded_at = poll.started
        self._trusted_until = max(self._trusted_until, poll.started + LEASE_S)
        return True

    def forget(self) -> None:
        """Drop everything and the lease, and start over."""
        self._main, self._next = _Copy(), None
        self._head, self._mark = BEGINNING, None
        self._trusted_until = self._loaded_at = _NEVER

    @property
    def cursor(self) -> int:
        """Return the position up to which all is applied: a poll acknowledges it."""
        return self._main.cursor

    @property
    def entries_count(self) -> int:
        return self._main.count

    @property
    def is_over_cap(self) -> bool:
        return self._main.is_over_cap

    def is_leased(self, now: float) -> bool:
        return now < self._trusted_until

    def lease_age_s(self, now: float) -> float:
        """Return the age of the poll that gave the lease; NaN: there was none."""
        if self._trusted_until == _NEVER:
            return math.nan
        return now - (self._trusted_until - LEASE_S)
