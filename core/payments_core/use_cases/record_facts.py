"""Record facts: load, decide, save. The only loop that writes accounts.

Rule 1: nothing is locked while we decide: the save reports what was changed meanwhile,
        and that is loaded and decided again at once, because the other writer made
        progress.
Rule 2: only locks are waited for, with back-off, until a deadline; then that group
        alone is reported as busy.
Rule 3: a save that timed out is not retried here: each of its groups may or may not
        have been saved, and the caller records the same facts again.
"""

import asyncio
import itertools
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from enum import StrEnum
from typing import Final

import attrs

from payments_core.account import PaymentAccount
from payments_core.changes import Changes, Lookup, SaveResult, Snapshot
from payments_core.decide import Decided, Decision, decide, lookup_of, set_aside
from payments_core.errors import (
    AccountBusy,
    PaymentsError,
    Rejected,
    SaveTimedOut,
    StoreUnavailable,
)
from payments_core.events import EventKey, EventState, Outcome
from payments_core.facts import SourcedFacts
from payments_core.now import Now
from payments_core.policy import Policy
from payments_core.ports import Clock, Ledger, SystemClock

WAIT_S: Final = 5.0
BACK_OFF_FIRST_S: Final = 0.004
BACK_OFF_MAX_S: Final = 0.5
# A decision asks for each kind of lookup at most once: more loads are a bug.
LOADS_MAX: Final = 8
# Other writers may be first many times in a row, but not for ever.
ROUNDS_MAX: Final = 50


class RecordedState(StrEnum):
    SAVED = "saved"
    # The event was stored before, or the intent saved.
    DUPLICATE = "duplicate"
    # A rule forbids it: `refusal` says which.
    REFUSED = "refused"
    # A bug prevents the decision: `failure` says which. Its event, if any, is stored
    # all the same.
    FAILED = "failed"
    # The account stayed locked, or every try met a concurrent change: record it again.
    BUSY = "busy"
    # Another process holds the intent of these facts: nothing was recorded.
    LEASE_LOST = "lease_lost"
    # The save timed out: it may or may not be recorded. Record it again, alone.
    TIMED_OUT = "timed_out"
    # Not saved: its group is one of those to avoid.
    AVOIDED = "avoided"


@attrs.frozen(kw_only=True)
class Recorded:
    """The result for the facts of one source; `group` is the key of their changes."""

    state: RecordedState
    group: str | None = None
    outcome: Outcome | None = None
    changes: Changes | None = None
    refusal: Rejected | None = None
    failure: Exception | None = None

    @property
    def account(self) -> PaymentAccount | None:
        """Return the account after these facts; None if they have no account."""
        return self.changes.after if self.changes else None

    @property
    def is_kept(self) -> bool:
        """Whether the event that the facts came with is durable."""
        if self.state is RecordedState.FAILED:
            return self.changes is not None
        return self.state in {RecordedState.SAVED, RecordedState.DUPLICATE}


_BUSY: Final = Recorded(state=RecordedState.BUSY)
_DUPLICATE: Final = Recorded(state=RecordedState.DUPLICATE)
_AVOIDED: Final = RecordedState.AVOIDED
_NOT_APPLIED: Final = frozenset({EventState.QUARANTINED, EventState.IGNORED})
_LEASE_LOST: Final = Recorded(state=RecordedState.LEASE_LOST)


def _ignore(_: Outcome) -> None:
    """Ignore it: no listener was given."""


def _unheard(_: str, __: Exception) -> None:
    """Ignore it: no listener was given."""


@attrs.frozen
class RecordFacts:
    ledger: Ledger
    clock: Clock
    system_clock: SystemClock
    policy: Policy
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    # Called for each event that is stored but will not be applied, after it is stored.
    on_not_applied: Callable[[Outcome], None] = _ignore
    # Called by use cases that record many things, once for each that met a bug, with
    # its id: the others continue, and the answer names only an error code.
    on_bug: Callable[[str, Exception], None] = _unheard

    async def __call__(
        self,
        sources: Sequence[SourcedFacts],
        *,
        wait_s: float = WAIT_S,
        avoid: frozenset[str] = frozenset(),
    ) -> Sequence[Recorded]:
        """Record what is new, in the order given; return the result for each source.

        Sources are independent of each other, except those of one account. Groups with
        a key in `avoid` are not saved. `wait_s` is how long to wait for locks.

        Raises:
            StoreUnavailable: the outcome is unknown; record the same again.
        """
        run = _Run(self, sources, avoid, self.monotonic() + wait_s)
        return await run.to_the_end()

    async def snapshot(self, lookup: Lookup) -> Snapshot:
        """Load a snapshot; what is fetched afterwards has a newer sequence."""
        return await self.ledger.load(lookup)

    async def decided(
        self, sources: Sequence[SourcedFacts]
    ) -> tuple[Snapshot, Decision]:
        """Decide on the facts without a save; return the snapshot and the decision.

        It loads more until they can be decided on.
        """
        lookup: Lookup = lookup_of(sources)
        for _ in range(LOADS_MAX):
            snapshot = await self.ledger.load(lookup)
            now = Now(at=self.clock(), system=self.system_clock())
            decision = decide(snapshot, sources, now=now, policy=self.policy)
            if decision.more is None:
                return snapshot, decision
            lookup |= decision.more
        raise RuntimeError(f"still not decided after {LOADS_MAX} loads: {lookup}")

    async def check(self, source: SourcedFacts) -> None:
        """Decide on the facts of one source as `one` does; nothing is saved.

        Raises:
            Rejected: a rule forbids it.
            StoreUnavailable: the database does not answer.
        """
        _, decision = await self.decided([source])
        (answer,) = decision.decided
        if refused := answer.refusal or answer.failure:
            raise refused

    async def one(self, source: SourcedFacts) -> Recorded:
        """Record the facts of one source.

        Raises:
            Rejected: a rule forbids it.
            AccountBusy: the account stayed locked, or every try met a concurrent
                change.
            StoreUnavailable: the outcome is unknown; record the same again.
        """
        (recorded,) = await self([source])
        if recorded.refusal is not None:
            raise recorded.refusal
        if recorded.failure is not None:
            raise recorded.failure
        if recorded.state is RecordedState.BUSY:
            raise AccountBusy
        if recorded.state is RecordedState.TIMED_OUT:
            raise StoreUnavailable
        return recorded


@attrs.define
class _Run:
    """One call of `RecordFacts` in progress."""

    record: RecordFacts
    sources: Sequence[SourcedFacts]
    avoid: frozenset[str]
    deadline: float
    _answers: dict[int, Recorded] = attrs.field(init=False, factory=dict)
    _copies: dict[int, int] = attrs.field(init=False, factory=dict)
    _back_off_s: float = attrs.field(init=False, default=BACK_OFF_FIRST_S)

    async def to_the_end(self) -> Sequence[Recorded]:
        left = self._firsts()
        for round_ in itertools.count(1):
            if not left:
                break
            changed, locked = await self._tried(left)
            late = self.record.monotonic() >= self.deadline
            if late:
                self._answers.update(dict.fromkeys(locked, _BUSY))
                locked = []
            if late and round_ >= ROUNDS_MAX:
                self._answers.update(dict.fromkeys(changed, _BUSY))
                break
            left = sorted((*changed, *locked))
            if locked and not changed:
                await self._back_off()
        for copy, first in self._copies.items():
            # A copy is a duplicate as soon as the first one is stored.
            answer = self._answers[first]
            self._answers[copy] = _DUPLICATE if answer.is_kept else answer
        return [self._answers[number] for number in range(len(self.sources))]

    async def _back_off(self) -> None:
        jitter = random.uniform(0.5, 1)  # noqa: S311  # no secret
        await self.record.sleep(self._back_off_s * jitter)
        self._back_off_s = min(self._back_off_s * 2, BACK_OFF_MAX_S)

    def _firsts(self) -> list[int]:
        """Return the sources without further copies of an event."""
        seen: dict[EventKey, int] = {}
        for number, source in enumerate(self.sources):
            if source.event is not None:
                first = seen.setdefault(source.event.key, number)
                if first != number:
                    self._copies[number] = first
        return [n for n in range(len(self.sources)) if n not in self._copies]

    async def _tried(self, left: Sequence[int]) -> tuple[list[int], list[int]]:
        """Save once; return what was changed meanwhile, and what is locked.

        A bug must affect its own source only: after an exception each is tried alone.
        """
        try:
            return await self._tried_together(left)
        except PaymentsError:
            raise
        except Exception as error:  # noqa: BLE001  # one source's bug is not the others'
            if len(left) == 1:
                self._answers[left[0]] = await self._set_aside(left[0], error)
                return [], []
        changed, locked = list[int](), list[int]()
        for number in left:
            one = await self._tried([number])
            changed += one[0]
            locked += one[1]
        return changed, locked

    async def _set_aside(self, number: int, error: Exception) -> Recorded:
        """Store an event that cannot be applied; raise nothing but a store's errors."""
        source, now = self.sources[number], self.record.clock()
        decided = set_aside(source, self.record.system_clock(), error)
        if decided.changes is None:
            return _recorded(decided)
        try:
            (saved,) = await self.record.ledger.save([decided.changes], at=now)
        except PaymentsError:
            raise
        except Exception as second:  # noqa: BLE001  # it is returned to the caller
            return Recorded(state=RecordedState.FAILED, failure=second)
        if saved is SaveResult.CHANGED:
            # The event was stored before: nothing else is in this save.
            return _DUPLICATE
        return _recorded(decided) if saved is SaveResult.SAVED else _BUSY

    async def _tried_together(self, left: Sequence[int]) -> tuple[list[int], list[int]]:
        _, decision = await self.record.decided([self.sources[it] for it in left])
        groups = [it for it in decision.groups if it.key not in self.avoid]
        results = await self._saved(groups) if groups else {}
        changed, locked = list[int](), list[int]()
        for number, decided in zip(left, decision.decided, strict=True):
            key = decided.changes.key if decided.changes else None
            if key is None:
                self._answers[number] = _recorded(decided)
                continue
            match results.get(key):
                case SaveResult.SAVED:
                    self._answers[number] = _recorded(decided)
                    outcome = decided.outcome
                    if outcome and outcome.state in _NOT_APPLIED:
                        self._tell(self.sources[number], decided, outcome)
                case SaveResult.LOCKED:
                    locked.append(number)
                case SaveResult.CHANGED | SaveResult.TAKEN:
                    changed.append(number)
                case None:
                    avoided = key in self.avoid
                    state = _AVOIDED if avoided else RecordedState.TIMED_OUT
                    self._answers[number] = Recorded(state=state, group=key)
        return changed, locked

    def _tell(self, source: SourcedFacts, decided: Decided, outcome: Outcome) -> None:
        """Report an event that is not applied, if it was not stored before."""
        if not decided.duplicate and (source.event or source.job):
            self.record.on_not_applied(outcome)

    async def _saved(self, groups: Sequence[Changes]) -> dict[str, SaveResult]:
        """Save; return the result of each group, nothing if it is not known."""
        try:
            saved = await self.record.ledger.save(groups, at=self.record.clock())
        except SaveTimedOut:
            return {}
        keys = (group.key for group in groups)
        return dict(zip(keys, saved, strict=True))


def _recorded(decided: Decided) -> Recorded:
    if decided.duplicate:
        return _DUPLICATE
    if decided.lease_lost:
        return _LEASE_LOST
    if decided.failure is not None:
        state = RecordedState.FAILED
    elif decided.refusal is not None:
        state = RecordedState.REFUSED
    else:
        state = RecordedState.SAVED
    return Recorded(
        state=state,
        group=decided.changes.key if decided.changes else None,
        outcome=decided.outcome,
        changes=decided.changes,
        refusal=decided.refusal,
        failure=decided.failure,
    )
