"""What one process knows of revoked tokens, and until when it may rely on that.

Rule 1: a process polls. It relies on what it knows for `LEASE_S` from the *start* of a
        poll whose answer reached the end of all revocations, not from the answer.
Rule 2: a revocation has returned once each process has said that it applied it, or
        once every lease has run out that was begun before its commit.
Rule 3: a process says what it had applied before the poll, never what the poll brings:
        an answer may get lost.
Rule 4: what it knows only grows. All is loaded anew beside it, without what has
        expired, and takes its place only if it is as new.
Rule 5: beyond its cap a process keeps nothing, goes on polling, and asks the store.
Rule 6: a table that does not know the mark it told last, or that ends before what was
        applied, is another one: restored, or of a server that took over without the
        last commits. All begins anew. So does a process that heard nothing for long.
Rule 7: what is not known is not valid.

Times of leases are seconds of a clock that never goes back and counts time asleep.
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
# By which the clocks of two processes may differ over one lease.
LEASE_MARGIN_S: Final = 0.05
# Beyond it a process asks the store: about 40 MB.
ENTRIES_MAX: Final = 200_000
# What expired is forgotten with the next full load.
RELOAD_AFTER_S: Final = 300.0
# Who heard nothing for as long begins anew: the database may have been restored.
BEGIN_ANEW_AFTER_S: Final = 60.0
# A token is remembered for as long after it expired: a verifier has a leeway, and a
# clock that jumps by two hours and back makes none of them valid again.
KEPT_AFTER_EXPIRY: Final = timedelta(hours=3)
BEGINNING: Final = 0
_NEVER: Final = -math.inf


class TokenState(Enum):
    VALID = "valid"
    REVOKED = "revoked"
    # The lease is over: poll first.
    UNKNOWN = "unknown"
    # There are more revocations than this process keeps.
    ASK_STORE = "ask the store"


@attrs.frozen(kw_only=True)
class RevocationQuery:
    """One poll of a process.

    `heard` is the position up to which the process had applied all revocations before
    this poll, `mark` the newest that it was told, None before the first poll; `after`
    is where the page begins. What revokes only tokens that expired
    before `expires_from`, or that were issued before `issued_from`, is left out.
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
    """What was revoked after a position, up to `reached`; the newest has `head`.

    `tokens` are (issuer, jti). All tokens issued until `issued_before` are revoked.
    `mark` is of the newest, and no other one ever has it. Not `is_known`: the mark that
    the poll came with is of another table, and so is what the process has applied.
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
    """What was read of the table, from its beginning up to `cursor`."""

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

        Late, it is not gone on from: it may be the last page of a table that is gone.
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
            # Nothing is kept, so there is nothing to read on the way to the end.
            self.ids, self.users = {}, {}
        if not is_late:
            reached = answer.head if self.is_over_cap else answer.reached
            self.cursor = max(self.cursor, reached)


@attrs.frozen
class RevocationPoll:
    """A poll under way: when it began, what it asks for, and for which copy."""

    started: float
    heard: int
    mark: str | None
    after: int
    copy: _Copy = attrs.field(eq=False, repr=False)


@attrs.define(eq=False)
class LeasedRevocations:
    """What one process knows; polls are begun and applied by its owner.

    Several may be under way: an answer that comes late neither takes anything back nor
    makes the lease longer than its own poll does.
    """

    _entries_max: int = ENTRIES_MAX
    _main: _Copy = attrs.field(init=False, factory=_Copy)
    # What is loaded anew, beside it.
    _next: _Copy | None = attrs.field(init=False, default=None)
    # The newest position that was told of, and its mark.
    _head: int = attrs.field(init=False, default=BEGINNING)
    _mark: str | None = attrs.field(init=False, default=None)
    # Never, as long as it was not loaded to the end.
    _trusted_until: float = attrs.field(init=False, default=_NEVER)
    _loaded_at: float = attrs.field(init=False, default=_NEVER)

    def accepts(self, token: Token, now: float) -> bool:
        """Say whether a token is known to be valid; `state_of` says why one is not.

        On the way of each request: 0.2 us with the clock (`benchmarks/tokens.py`).
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
        """Say whether a token is revoked, or what has to be done to know it."""
        if self.accepts(token, now):
            return TokenState.VALID
        if not self.is_leased(now):
            return TokenState.UNKNOWN
        return TokenState.ASK_STORE if self._main.is_over_cap else TokenState.REVOKED

    def begin(self, now: float) -> RevocationPoll:
        """Begin a poll for what is new."""
        if _NEVER < self._trusted_until < now - BEGIN_ANEW_AFTER_S:
            self.forget()
        return self._poll(now, self._main)

    def begin_reload(self, now: float) -> RevocationPoll | None:
        """Begin the next page of a load of all; None if none is due."""
        if now >= self._trusted_until or now - self._loaded_at < RELOAD_AFTER_S:
            return None
        if self._next is None:
            self._next = _Copy()
        return self._poll(now, self._next)

    def _poll(self, now: float, copy: _Copy) -> RevocationPoll:
        return RevocationPoll(now, self._main.cursor, self._mark, copy.cursor, copy)

    def apply(self, poll: RevocationPoll, answer: RevocationAnswer) -> bool:
        """Take an answer, committed with its heartbeat; say whether all was read."""
        copy = poll.copy
        if copy is not self._main and copy is not self._next:
            # It was given up, or another one took its place.
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
        """Rely on nothing, and begin anew."""
        self._main, self._next = _Copy(), None
        self._head, self._mark = BEGINNING, None
        self._trusted_until = self._loaded_at = _NEVER

    @property
    def cursor(self) -> int:
        """Return the position up to which all is applied: what a poll says it heard."""
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
        """Return how long ago the poll began that the lease is from; NaN: none yet."""
        if self._trusted_until == _NEVER:
            return math.nan
        return now - (self._trusted_until - LEASE_S)
