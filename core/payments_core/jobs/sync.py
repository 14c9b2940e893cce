"""The sync jobs: fetch one object from the gateway and record it as facts.

Rule 1: the sequence number was drawn before the object is fetched.
Rule 2: a job is finished in the same save as the facts that it found, or not at all.
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
    """What jobs need. `sequence` was drawn with the claim of the job."""

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
    # It must be recorded before it can be ended, and ended before the job is finished:
    # until then only the job knows of the twin.
    recorded = await run.record.one(facts)
    await _end_twin(run, found.report, twin_of)
    outcome = recorded.outcome or facts.job_outcome
    await run.record.one(SourcedFacts(job=job, job_outcome=outcome))


async def _twin_of(run: JobRun, report: SubscriptionReport) -> UserId | None:
    """Return the user for whom this subscription was created twice; None if not.

    A gateway may complete a request long after it answered with an error: if the intent
    created another one since, or was given up, this one is a twin.
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
    """Execute an operation for a job.

    Raises:
        GatewayUnavailable: our key was refused. It counts as a failure of the job,
            because each attempt saves an intent.
    """
    intent = (await run.execute(request, wait_s=None)).intent
    if intent.is_key_refused:
        raise GatewayUnavailable("Stripe refused the API key of this service")


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
        # A twin is ended by its sync, even if it is known.
        if known.get(it.gateway_id) is not (not it.is_terminal)
        or await _twin_of(run, it) is not None
    ]
    await run.record.one(SourcedFacts(facts=(*found.facts, *syncs), job=job))


async def sync_card_setup(run: JobRun, job: Job) -> None:
    """Replace the user's card by one that was set up in the browser."""
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
    """Return the operation that uses a card from a set-up, once for each set-up."""
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
    """Apply a stored event that could not be applied before."""
    id_, _, type_ = job.key.subject.partition(" ")
    key = EventKey(id_, type_)
    for kept in await run.events.find(id_):
        if kept.key == key and kept.outcome.state is EventState.CLOSED:
            # Closed by hand since the request; the event may be unreadable.
            await run.record.one(SourcedFacts(job=job))
            return
        if kept.key == key and kept.body is None:
            gone = Outcome(EventState.QUARANTINED, "its body is not kept any more")
            await run.record.one(SourcedFacts(job=job, job_outcome=gone))
            return
        if kept.key == key and kept.body is not None:
            event = run.reader.reread(kept.body)
            # Its key stays as stored, even if its own id and type can be read now.
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
