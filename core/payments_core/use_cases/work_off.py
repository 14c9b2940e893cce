"""The worker's jobs: what has to be looked up, and events to be applied again.

Rule 1: a piece of work is leased in a short transaction, done outside of any, and
        finished in another, only where the lease is still ours.
Rule 2: a look draws its ticket before it asks.
Rule 3: a gateway that does not listen costs a job no attempt; one that fails does.
"""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from datetime import timedelta
from typing import Final

import attrs

from payments_core.errors import (
    ChangedElsewhere,
    EventNotFound,
    GatewayBusy,
    GatewayObjectMissing,
    OperationInProgress,
    PaymentsError,
    StoreUnavailable,
)
from payments_core.events import EventKey, EventState, Outcome
from payments_core.evidence import Evidence
from payments_core.gateway import LookedUp
from payments_core.identity import CustomerId, UserId
from payments_core.intent import IntentId, IntentKind, IntentState, Wanted
from payments_core.job import Job, JobKind
from payments_core.payment import PaymentId
from payments_core.ports import (
    Clock,
    EventLog,
    EventReader,
    LinkKeys,
    OpenUnitOfWork,
    PaymentGateway,
    UnitOfWork,
)
from payments_core.subscription import SubscriptionReport, subscription_id
from payments_core.use_cases.apply_events import ApplyEvents
from payments_core.use_cases.begin_intent import Asking, BeginIntent
from payments_core.use_cases.books import (
    QUARANTINE_REASON,
    Books,
    Disagreement,
    subscription_job,
)
from payments_core.use_cases.operations import RunIntent
from payments_core.use_cases.posting import books_on, draw_ticket, save

AT_ONCE: Final = 16
# How long a gateway that does not listen is left alone.
PAUSE: Final = timedelta(seconds=5)
A_DAY: Final = timedelta(days=1)
_APPLIED: Final = Outcome(EventState.APPLIED)


def _unheard(_: Job, __: Exception) -> None:
    """Nobody listens."""


class _NotOurs(Exception):  # noqa: N818  # a verdict, never shown to anybody
    """Somebody else has the job by now."""


async def _still_ours(work: UnitOfWork, job: Job) -> Job:
    """Return a job as it is by now.

    Raises:
        _NotOurs: it is done, or somebody else has it; roll back.
    """
    current = await work.job(job.key)
    if current is None or current.lease_no != job.lease_no:
        raise _NotOurs
    return current


@attrs.frozen
class WorkOffJobs:
    """Do jobs that are due, one after the other."""

    open_unit_of_work: OpenUnitOfWork
    gateway: PaymentGateway
    clock: Clock
    apply: ApplyEvents
    events: EventLog
    reader: EventReader
    begin: BeginIntent
    run: RunIntent
    on_failure: Callable[[Job, Exception], None] = _unheard

    async def __call__(self) -> int:
        """Do some; return how many were taken.

        Raises:
            StoreUnavailable: what was not finished will be taken up again.
        """
        now = self.clock()
        async with self.open_unit_of_work() as work:
            await work.ask_for_silent(now=now, limit=AT_ONCE)
            due = await work.due_jobs(now=now, limit=AT_ONCE)
            leased = [job.leased(now) for job in due]
            for job in leased:
                await work.save_job(job)
            await work.commit()
        for job in leased:
            await self._try(job)
        return len(leased)

    async def _try(self, job: Job) -> None:
        try:
            await _JOBS[job.key.kind](self, job)
        except _NotOurs:
            return
        except StoreUnavailable:
            raise
        except (GatewayBusy, OperationInProgress, ChangedElsewhere):
            await self._give_back(job.put_off(self.clock() + PAUSE), job)
        except GatewayObjectMissing as error:
            await self._missing(job, str(error))
        except Exception as error:  # noqa: BLE001  # one job's bug is not the others'
            self.on_failure(job, error)
            await self._give_back(job.failed(self.clock(), _named(error)), job)

    async def _give_back(self, after: Job, mine: Job) -> None:
        with suppress(_NotOurs):
            async with self.open_unit_of_work() as work:
                current = await _still_ours(work, mine)
                # Asked for meanwhile or not: it will be done, and covers that too.
                await work.save_job(attrs.evolve(after, asked=current.asked))
                await work.commit()

    async def _missing(self, job: Job, reason: str) -> None:
        """Set apart what waits for a thing that the gateway does not know."""
        with suppress(_NotOurs):
            async with self.open_unit_of_work() as work:
                await self._finish(work, job, Outcome(EventState.QUARANTINED, reason))
                await work.commit()

    async def _finish(
        self, work: UnitOfWork, job: Job, outcome: Outcome, *, later: bool = False
    ) -> None:
        """Finish a job, and settle what waited for it, unless it was asked for anew.

        `later` keeps it for another day.

        Raises:
            _NotOurs: somebody else has it; roll back.
        """
        current = await _still_ours(work, job)
        if current.asked != job.asked:
            await work.save_job(current.again(self.clock()))
            return
        await work.settle(waiting_for=job.key, outcome=outcome)
        if later:
            await work.save_job(current.put_off(self.clock() + A_DAY))
        else:
            await work.finish_job(current)

    # Subscriptions

    async def subscription(self, job: Job) -> None:
        ticket = await draw_ticket(self.open_unit_of_work)
        found = await self.gateway.subscription(job.key.subject)
        async with self.open_unit_of_work() as work:
            outcome, stale, silent = await self._posted(work, job, found, ticket)
            twin_of = await self._twin_of(work, found.report)
            if stale:
                # A newer report came first; what this one was asked for may be newer.
                await self._look_again(work, job)
            elif twin_of is None:
                await self._finish(work, job, outcome, later=silent)
            await work.commit()
        if twin_of is not None:
            # Before the job is finished: it is what remembers that there is one.
            await self._end_twin(found.report, twin_of)
            async with self.open_unit_of_work() as work:
                await self._finish(work, job, outcome, later=silent)
                await work.commit()

    async def _look_again(self, work: UnitOfWork, job: Job) -> None:
        current = await _still_ours(work, job)
        await work.save_job(current.again(self.clock()))

    async def _posted(
        self, work: UnitOfWork, job: Job, found: LookedUp, ticket: int
    ) -> tuple[Outcome, bool, bool]:
        """Post what a look found.

        Return what it came to, whether it was stale, and whether what should have
        happened by now has not: a gateway whose clock is behind ours must not be
        asked over and over.
        """
        books = await books_on(work, subscriptions=[found.report])
        evidence = Evidence(
            report=found.report, at=found.at, ticket=ticket, looked_up=True
        )
        try:
            verdict = books.post_subscription(evidence)
        except Disagreement:
            return Outcome(EventState.QUARANTINED, QUARANTINE_REASON), False, False
        if found.term is not None:
            books.post_term(found.term)
        books.forget(job.key)
        await save(work, books, self.clock)
        known = books.subscription(found.report.gateway_id)
        look_at = known.look_at if known else None
        silent = look_at is not None and look_at <= self.clock()
        return _APPLIED, verdict.look is not None, silent

    @staticmethod
    async def _twin_of(work: UnitOfWork, report: SubscriptionReport) -> UserId | None:
        """Return the user for whom this was made twice; None if it was not.

        A gateway may go on with a request long after it answered with an error: what
        an intent made since, or gave up, stands against it.
        """
        if report.terminal or report.intent_id is None:
            return None
        intent = await work.intent(IntentId(report.intent_id))
        if intent is None or intent.open:
            return None
        start = intent.call("start")
        made = start.answer.id if start and start.answer else None
        if made == report.gateway_id and intent.state is IntentState.SUCCEEDED:
            return None
        return intent.user_id

    async def _end_twin(self, report: SubscriptionReport, user_id: UserId) -> None:
        id_ = subscription_id(report.gateway_id)
        asking = Asking(
            user_id=user_id,
            kind=IntentKind.END_SUBSCRIPTION,
            subject=id_,
            wanted=Wanted(cancel_at_period_end=False),
            key=f"twin {report.gateway_id}",
        )
        begun = await self.begin(asking)
        if not begun.replayed:
            await self.run(begun.intent)

    # Customers and cards

    async def customer(self, job: Job) -> None:
        """Look at a customer: the card that pays, and what was sold to them."""
        ticket = await draw_ticket(self.open_unit_of_work)
        customer = CustomerId(job.key.subject)
        card = await self.gateway.card_of(customer)
        sold = await self.gateway.subscriptions_of(customer)
        async with self.open_unit_of_work() as work:
            books = Books()
            books.know(await work.accounts(_of(customer)))
            owner = books.holder_of(customer)
            if owner is not None:
                books.open(books.account(owner).with_card(card, ticket=ticket))
            known = await work.subscriptions(report.gateway_id for report in sold)
            ended = {it.gateway_id: not it.live for it in known}
            for report in sold:
                if ended.get(report.gateway_id) is not report.terminal:
                    books.look(
                        subscription_job(report.gateway_id), "seen at the gateway"
                    )
            await save(work, books, self.clock)
            await self._finish(work, job, _APPLIED)
            await work.commit()

    async def set_up(self, job: Job) -> None:
        """Put a card that was set up in the browser in the old one's place."""
        found = await self.gateway.set_up(job.key.subject)
        owner = None
        if found.succeeded and found.customer_id and found.payment_method:
            async with self.open_unit_of_work() as work:
                accounts = await work.accounts(_of(found.customer_id))
            owner = accounts[0].user_id if accounts else None
        if owner is not None:
            asking = Asking(
                user_id=owner,
                kind=IntentKind.UPDATE_CARD,
                wanted=Wanted(payment_method=found.payment_method),
                key=f"set-up {job.key.subject}",
            )
            begun = await self.begin(asking)
            if not begun.replayed:
                await self.run(begun.intent)
        async with self.open_unit_of_work() as work:
            await self._finish(work, job, _APPLIED)
            await work.commit()

    # Payments and events

    async def payment(self, job: Job) -> None:
        found = await self.gateway.payment(PaymentId(job.key.subject))
        async with self.open_unit_of_work() as work:
            books, outcome = await books_on(work, payments=[found]), _APPLIED
            try:
                books.correct(found)
            except Disagreement:
                outcome = Outcome(EventState.QUARANTINED, QUARANTINE_REASON)
            await save(work, books, self.clock)
            await self._finish(work, job, outcome)
            await work.commit()

    async def event(self, job: Job) -> None:
        """Apply an event again that could not be applied."""
        id_, _, type_ = job.key.subject.partition(" ")
        key = EventKey(id_, type_)
        for kept in await self.events.find(id_):
            if kept.key == key and kept.body is not None:
                await self.apply.again(self.reader.reread(kept.body))
                break
        else:
            raise EventNotFound(id_)
        async with self.open_unit_of_work() as work:
            await self._finish(work, job, _APPLIED)
            await work.commit()


def _of(customer: CustomerId) -> LinkKeys:
    return LinkKeys(customer_ids=frozenset({customer}))


def _named(error: Exception) -> str:
    # A message of ours is made of ids and reasons; anybody else's may quote anything.
    return str(error) if isinstance(error, PaymentsError) else type(error).__name__


_Work = Callable[[WorkOffJobs, Job], Awaitable[None]]
_JOBS: Final[Mapping[JobKind, _Work]] = {
    JobKind.SUBSCRIPTION: WorkOffJobs.subscription,
    JobKind.CUSTOMER: WorkOffJobs.customer,
    JobKind.SET_UP: WorkOffJobs.set_up,
    JobKind.PAYMENT: WorkOffJobs.payment,
    JobKind.EVENT: WorkOffJobs.event,
}
