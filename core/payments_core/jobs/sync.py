"""Syncs: what the gateway says now of one object, recorded as facts.

Rule 1: the number that orders what is fetched was drawn before the gateway is asked.
Rule 2: a job is finished together with the facts that it found, or not at all.
"""

import attrs

from payments_core.decide import subscription_job
from payments_core.errors import EventNotFound, GatewayUnavailable
from payments_core.events import (
    EventKey,
    EventState,
    ObjectChanged,
    Outcome,
    SyncNeeded,
)
from payments_core.facts import SourcedFacts, facts_of
from payments_core.identity import CustomerId, UserId
from payments_core.intent import (
    IntentId,
    IntentKind,
    IntentState,
    OperationParams,
    Step,
)
from payments_core.job import Job
from payments_core.jobs.fetch import (
    facts_of_payment,
    facts_of_subscription,
    fetch_customer,
)
from payments_core.operations.start import OperationRequest
from payments_core.payment import PaymentId
from payments_core.ports import (
    AccountDirectory,
    AccountHistory,
    EventLog,
    EventReader,
    IntentDirectory,
    PaymentGateway,
)
from payments_core.subscription import SubscriptionReport, subscription_id
from payments_core.use_cases.execute_operation import ExecuteOperation
from payments_core.use_cases.record_facts import RecordedState, RecordFacts


@attrs.frozen
class JobRun:
    """What jobs work with. `sequence` was drawn with the claim of the job."""

    gateway: PaymentGateway
    record: RecordFacts
    execute: ExecuteOperation
    accounts: AccountDirectory
    intents: IntentDirectory
    events: EventLog
    reader: EventReader
    history: AccountHistory
    sequence: int


async def sync_subscription(run: JobRun, job: Job) -> None:
    found = await run.gateway.subscription(job.key.subject)
    facts = SourcedFacts(facts=facts_of_subscription(found, run.sequence))
    twin_of = await _twin_of(run, found.report)
    if twin_of is None:
        await run.record.one(attrs.evolve(facts, job=job))
        return
    # It has to be known before it can be ended, and ended before the job is finished:
    # the job is what remembers that there is one.
    recorded = await run.record.one(facts)
    await _end_twin(run, found.report, twin_of)
    outcome = recorded.outcome or facts.job_outcome
    await run.record.one(SourcedFacts(job=job, job_outcome=outcome))


async def _twin_of(run: JobRun, report: SubscriptionReport) -> UserId | None:
    """Return the user for whom this was made twice; None if it was not.

    A gateway may go on with a request long after it answered with an error: what an
    intent made since, or gave up, stands against it.
    """
    if report.is_terminal or report.intent_id is None:
        return None
    intent = await run.intents.find(IntentId(report.intent_id))
    if intent is None or intent.open:
        return None
    start = intent.call(Step.START)
    made = start.answer.id if start and start.answer else None
    if made == report.gateway_id and intent.state is IntentState.SUCCEEDED:
        return None
    return intent.user_id


async def _end_twin(run: JobRun, report: SubscriptionReport, user_id: UserId) -> None:
    request = OperationRequest(
        user_id=user_id,
        kind=IntentKind.END_SUBSCRIPTION,
        subject=subscription_id(report.gateway_id),
        wanted=OperationParams(cancel_at_period_end=False),
        key=f"twin {report.gateway_id}",
    )
    await _execute(run, request)


async def _execute(run: JobRun, request: OperationRequest) -> None:
    """Execute what a job asks for.

    Raises:
        GatewayUnavailable: our key was refused. It counts as a failure of the job, for
            each attempt saves an intent.
    """
    intent = (await run.execute(request, wait_s=None)).intent
    if intent.is_key_refused:
        raise GatewayUnavailable("Stripe refused the key of this service")


async def sync_customer(run: JobRun, job: Job) -> None:
    """Sync a customer: the card that pays, and their subscriptions."""
    customer = CustomerId(job.key.subject)
    found = await fetch_customer(run.gateway, run.accounts, customer, run.sequence)
    owner = await run.accounts.owner_of_customer(customer)
    account = await run.accounts.find(owner) if owner else None
    subscriptions = account.subscriptions if account else ()
    known = {it.gateway_id: not it.is_terminal for it in subscriptions}
    syncs = [
        SyncNeeded(job=subscription_job(it.gateway_id), reason="seen at Stripe")
        for it in found.subscriptions
        # One too many is ended by its sync, though it is known.
        if known.get(it.gateway_id) is not (not it.is_terminal)
        or await _twin_of(run, it) is not None
    ]
    await run.record.one(SourcedFacts(facts=(*found.facts, *syncs), job=job))


async def sync_card_setup(run: JobRun, job: Job) -> None:
    """Put a card that was set up in the browser in the old one's place."""
    found = await run.gateway.set_up(job.key.subject)
    owner = None
    if found.succeeded and found.customer_id and found.payment_method:
        owner = await run.accounts.owner_of_customer(found.customer_id)
    if owner is not None and found.payment_method:
        await _execute(
            run, update_of_set_up(owner, job.key.subject, found.payment_method)
        )
    await run.record.one(SourcedFacts(job=job))


def update_of_set_up(
    user_id: UserId, set_up_id: str, payment_method: str
) -> OperationRequest:
    """Return what puts a card in place that was set up, once however often told."""
    return OperationRequest(
        user_id=user_id,
        kind=IntentKind.UPDATE_CARD,
        wanted=OperationParams(payment_method=payment_method),
        key=f"set-up {set_up_id}",
    )


async def sync_payment(run: JobRun, job: Job) -> None:
    found = await run.gateway.payment(PaymentId(job.key.subject))
    facts = facts_of_payment(found, run.sequence)
    await run.record.one(SourcedFacts(facts=facts, job=job))


async def apply_event(run: JobRun, job: Job) -> None:
    """Apply an event again that could not be applied."""
    id_, _, type_ = job.key.subject.partition(" ")
    key = EventKey(id_, type_)
    for kept in await run.events.find(id_):
        if kept.key == key and kept.outcome.state is EventState.CLOSED:
            # By hand, since it was asked for; it may be one that nothing can read.
            await run.record.one(SourcedFacts(job=job))
            return
        if kept.key == key and kept.body is None:
            gone = Outcome(EventState.QUARANTINED, "its body is not kept any more")
            await run.record.one(SourcedFacts(job=job, job_outcome=gone))
            return
        if kept.key == key and kept.body is not None:
            event = run.reader.reread(kept.body)
            # It has the name by which it was kept, though it may be readable by now.
            event = attrs.evolve(event, id=key.id, type=key.type)
            source = facts_of(event)
            if isinstance(event.report, ObjectChanged):
                needed = await run.gateway.jobs_of(event.report)
                facts = tuple(SyncNeeded(it, event.type) for it in needed)
                source = attrs.evolve(source, facts=facts)
            again = attrs.evolve(source, reapplied=True, job=job)
            recorded = await run.record.one(again)
            if recorded.state is RecordedState.DUPLICATE:
                # Another worker has applied it meanwhile.
                await run.record.one(SourcedFacts(job=job))
            return
    raise EventNotFound(id_)
