"""Apply a batch of events in one transaction. There is no second way in."""

from collections.abc import Sequence

import attrs

from payments_core.account import Policy
from payments_core.events import (
    Doubt,
    EventKey,
    EventState,
    GatewayEvent,
    Outcome,
    Receipt,
)
from payments_core.payment import Payment
from payments_core.ports import Clock, OpenUnitOfWork, UnitOfWork
from payments_core.use_cases.books import QUARANTINE_REASON, Books, Disagreement

_APPLIED = Outcome(EventState.APPLIED)
_CONTRADICTED = Outcome(EventState.PENDING, "contradicts an earlier report")


@attrs.frozen
class ApplyEvents:
    """Keep events, post what they report, save the accounts: all or nothing."""

    open_unit_of_work: OpenUnitOfWork
    clock: Clock
    policy: Policy

    async def __call__(self, events: Sequence[GatewayEvent]) -> Sequence[Receipt]:
        """Apply what is new, in the order given; return a receipt for each.

        Raises:
            StoreUnavailable: nothing is known; apply the same events again.
            ChangedElsewhere: nothing happened; apply the same events again.
        """
        async with self.open_unit_of_work() as work:
            found = await work.look_up(events)
            fresh: dict[EventKey, GatewayEvent] = {}
            for event in events:
                if event.key not in found.known:
                    fresh.setdefault(event.key, event)
            if not fresh:
                return [Receipt(None)] * len(events)
            books = Books()
            books.know(found.accounts, found.payments)
            outcomes = await self._post(work, books, list(fresh.values()))
            await work.keep(
                events=[(event, outcomes[key]) for key, event in fresh.items()],
                accounts=books.changed_accounts,
                payments=books.changed_payments,
                at=self.clock(),
            )
            await work.commit()
        return [Receipt(outcomes.pop(event.key, None)) for event in events]

    async def set_aside(self, event: GatewayEvent, reason: str) -> Receipt:
        """Keep an event that could not be applied, for the worker.

        Raises:
            StoreUnavailable, ChangedElsewhere: as above.
        """
        outcome = Outcome(EventState.PENDING, reason)
        async with self.open_unit_of_work() as work:
            if event.key in (await work.look_up([event])).known:
                return Receipt(None)
            await work.keep(events=[(event, outcome)], at=self.clock())
            await work.commit()
        return Receipt(outcome)

    async def _post(
        self, work: UnitOfWork, books: Books, events: Sequence[GatewayEvent]
    ) -> dict[EventKey, Outcome]:
        ours = [
            (event, event.report)
            for event in events
            if event.livemode is self.policy.livemode
            and isinstance(event.report, Payment)
        ]
        reports = [report for _, report in ours]
        if keys := books.ownerless(reports):
            await work.hold(keys, exclusive=False)
            books.know(await work.accounts(keys))
        outcomes = {event.key: self._unposted(event) for event in events}
        for event, report in ours:
            try:
                in_doubt = books.post(report)
            except Disagreement:
                outcome = Outcome(EventState.QUARANTINED, QUARANTINE_REASON)
            else:
                outcome = _CONTRADICTED if in_doubt else _APPLIED
            outcomes[event.key] = outcome
        if books.to_replay:
            books.replay(await work.history(books.to_replay))
        return outcomes

    def _unposted(self, event: GatewayEvent) -> Outcome:
        if event.livemode is not self.policy.livemode:
            return Outcome(EventState.QUARANTINED, "livemode is not ours")
        if isinstance(event.report, Doubt):
            return Outcome(EventState.PENDING, event.report.reason)
        return Outcome(EventState.IGNORED)
