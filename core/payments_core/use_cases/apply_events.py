"""Apply a batch of events in one transaction. There is no second way in."""

from collections.abc import Iterator, Sequence

import attrs

from payments_core.events import (
    Doubt,
    EventKey,
    EventState,
    GatewayEvent,
    Notice,
    Outcome,
    Receipt,
)
from payments_core.evidence import Evidence
from payments_core.job import Job, JobKey, JobKind
from payments_core.payment import Payment
from payments_core.ports import Clock, OpenUnitOfWork, UnitOfWork
from payments_core.standing import Policy
from payments_core.subscription import PaidTerm, SubscriptionReport
from payments_core.use_cases.books import (
    QUARANTINE_REASON,
    Books,
    Disagreement,
    subscription_job,
)
from payments_core.use_cases.posting import know_owners, save

_APPLIED = Outcome(EventState.APPLIED)
_QUARANTINED = Outcome(EventState.QUARANTINED, QUARANTINE_REASON)
_OTHER_MODE = Outcome(EventState.QUARANTINED, "livemode is not ours")


def event_job(key: EventKey) -> JobKey:
    """Return the job to apply an event again."""
    return JobKey(JobKind.EVENT, f"{key.id} {key.type}")


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
            books.know(found.accounts, found.payments, found.subscriptions)
            outcomes = await self._post(work, books, list(fresh.values()))
            await save(
                work,
                books,
                self.clock,
                [(event, outcomes[key]) for key, event in fresh.items()],
            )
            await work.commit()
        return [Receipt(outcomes.pop(event.key, None)) for event in events]

    async def set_aside(self, event: GatewayEvent, reason: str) -> Receipt:
        """Keep an event that could not be applied, for the worker.

        Raises:
            StoreUnavailable, ChangedElsewhere: as above.
        """
        now, job = self.clock(), event_job(event.key)
        outcome = Outcome(EventState.PENDING, reason, job)
        async with self.open_unit_of_work() as work:
            if event.key in (await work.look_up([event])).known:
                return Receipt(None)
            await work.keep(events=[(event, outcome)], at=now)
            later = Job(key=job, reason=reason, due_at=now).failed(now, reason)
            await work.ask([later])
            await work.commit()
        return Receipt(outcome)

    async def again(self, event: GatewayEvent) -> Outcome:
        """Apply an event that was kept and is pending; settle it.

        Raises:
            StoreUnavailable, ChangedElsewhere: as above.
        """
        async with self.open_unit_of_work() as work:
            found = await work.look_up([event])
            books = Books()
            books.know(found.accounts, found.payments, found.subscriptions)
            outcome = (await self._post(work, books, [event]))[event.key]
            await save(work, books, self.clock)
            await work.settle_event(event.key, outcome)
            await work.commit()
        return outcome

    async def _post(
        self, work: UnitOfWork, books: Books, events: Sequence[GatewayEvent]
    ) -> dict[EventKey, Outcome]:
        ours = [e for e in events if e.livemode is self.policy.livemode]
        subscriptions = [
            event.report
            for event in ours
            if isinstance(event.report, SubscriptionReport)
        ]
        payments = [event.report for event in ours if isinstance(event.report, Payment)]
        await know_owners(work, books, payments=payments, subscriptions=subscriptions)
        tickets = iter(await work.tickets(len(subscriptions)) if subscriptions else ())
        outcomes = {event.key: _OTHER_MODE for event in events}
        for event in ours:
            try:
                outcomes[event.key] = _outcome(books, event, tickets)
            except Disagreement:
                outcomes[event.key] = _QUARANTINED
        return outcomes


def _outcome(books: Books, event: GatewayEvent, tickets: Iterator[int]) -> Outcome:
    """Post what one event reports; say what became of it.

    Raises:
        Disagreement: it is not clear whose it is; nothing changed.
    """
    match event.report:
        case Payment() as payment:
            in_doubt = books.post(payment)
            doubt = Doubt(payment.id, "contradicts an earlier report")
            return _doubtful(books, doubt) if in_doubt else _APPLIED
        case SubscriptionReport() as report:
            verdict = books.post_subscription(
                Evidence(report=report, at=event.created_at, ticket=next(tickets))
            )
            return _waiting(verdict.look, subscription_job(report.gateway_id))
        case PaidTerm() as term:
            known = books.post_term(term)
            reason = None if known else "its subscription is not known yet"
            return _waiting(reason, subscription_job(term.gateway_id))
        case Notice(job, reason):
            books.look(job, reason)
            return _waiting(reason, job)
        case Doubt() as doubt:
            return _doubtful(books, doubt)
        case None:
            return Outcome(EventState.IGNORED)


def _waiting(reason: str | None, job: JobKey) -> Outcome:
    return Outcome(EventState.PENDING, reason, job) if reason else _APPLIED


def _doubtful(books: Books, doubt: Doubt) -> Outcome:
    if doubt.payment_id is None:
        return Outcome(EventState.PENDING, doubt.reason)
    job = JobKey(JobKind.PAYMENT, doubt.payment_id)
    books.look(job, doubt.reason)
    return Outcome(EventState.PENDING, doubt.reason, job)
