"""Load, decide and save step by step, over a ledger in memory without an event loop."""

from collections.abc import Coroutine
from datetime import datetime
from typing import Any, TypeVar

import attrs

from contracts.examples import NOON, NOW, an_event
from payments_adapters.memory import MemoryDatabase, MemoryLedger
from payments_core.account import PaymentAccount
from payments_core.changes import SaveResult, Snapshot
from payments_core.decide import Decision, decide, lookup_of
from payments_core.events import GatewayEvent, Report
from payments_core.facts import Fact, SourcedFacts, facts_of
from payments_core.now import Now
from payments_core.payment import PaymentRecord
from payments_core.plain_payments import WHOLE_HISTORY_MAX
from payments_core.policy import Policy
from payments_core.subscription import Subscription

LOADS_MAX = 8

_T = TypeVar("_T")


def finished(work: Coroutine[Any, Any, _T]) -> _T:
    """Run a coroutine that never waits for I/O, as everything in memory."""
    try:
        while True:
            work.send(None)
    except StopIteration as end:
        value: _T = end.value
        return value


def found(*facts: Fact) -> SourcedFacts:
    """Return facts without an event, a job or an intent."""
    return SourcedFacts(facts=facts)


def reported(number: int, report: Report | None) -> SourcedFacts:
    """Return the report of the event with this number."""
    return facts_of(an_event(f"evt_{number}", report))


def event_in(source: SourcedFacts) -> GatewayEvent:
    assert source.event is not None
    return source.event


@attrs.frozen
class Kept:
    """A ledger's content, and the decision on facts with it."""

    database: MemoryDatabase = attrs.field(factory=MemoryDatabase)
    now: Now = NOW
    # Plain payments of longer histories are summed.
    whole_max: int = WHOLE_HISTORY_MAX

    @classmethod
    def of(cls, *things: PaymentAccount | PaymentRecord | Subscription) -> "Kept":
        """Store these unchanged, but with a version of at least one."""
        kept = cls()
        tables = kept.database.tables
        for it in things:
            thing = attrs.evolve(it, version=max(it.version, 1))
            match thing:
                case PaymentAccount():
                    tables.put_account(thing)
                case PaymentRecord():
                    tables.put_payment(thing)
                case Subscription():
                    tables.put_subscription(thing)
        return kept

    def load(self, *sources: SourcedFacts) -> tuple[Snapshot, Decision]:
        """Load until these facts can be decided; return the last load, and that."""
        lookup, ledger = lookup_of(sources), MemoryLedger(self.database, self.whole_max)
        for _ in range(LOADS_MAX):
            snapshot = finished(ledger.load(lookup))
            decision = decide(snapshot, sources, now=self.now, policy=Policy())
            if decision.more is None:
                return snapshot, decision
            lookup |= decision.more
        raise AssertionError("the decision finds no end")

    def decide(self, *sources: SourcedFacts) -> Decision:
        return self.load(*sources)[1]

    def record(self, *sources: SourcedFacts, at: datetime = NOON) -> Decision:
        """Decide and save."""
        decision = self.decide(*sources)
        groups = decision.groups
        saved = finished(MemoryLedger(self.database).save(groups, at=at))
        assert list(saved) == [SaveResult.SAVED] * len(groups)
        return decision
