"""What intents about subscriptions do, step by step.

Rule 1: an operation comes by the same steps when it is run again: see
        `payments_core.use_cases.card_operations`.
Rule 2: a subscription whose first payment is declined is ended again: it must not
        stand in the way of the next attempt.
Rule 3: what is sold already, by whomever, is not sold twice.
"""

from collections.abc import Sequence

from payments_core.errors import AlreadySubscribed, GatewayRefused
from payments_core.evidence import Evidence
from payments_core.gateway import (
    AttachCard,
    ChangeSubscription,
    Collection,
    CollectionState,
    EndSubscription,
    PlanEnd,
    StartSubscription,
)
from payments_core.identity import CustomerId
from payments_core.intent import IntentOutcome, IntentState, Refusal
from payments_core.subscription import (
    PaidTerm,
    SubscriptionId,
    SubscriptionReport,
    SubscriptionStatus,
    subscription_id,
)
from payments_core.use_cases.card_operations import OVER
from payments_core.use_cases.run_intent import Ending, Run, evidence_of


async def start_subscription(run: Run) -> Ending:
    wanted = run.intent.wanted
    customer = await run.customer_id()
    if run.intent.call("start") is None:
        await _require_none(run, customer)
    pinned = None
    if wanted.payment_method is not None:
        attached, _ = await run.call(
            "attach",
            AttachCard(customer_id=customer, payment_method=wanted.payment_method),
        )
        pinned = attached.card
    has_card = pinned is not None or await run.gateway.card_of(customer) is not None
    request = StartSubscription(
        customer_id=customer,
        price=wanted.price or "",
        quantity=wanted.quantity or 1,
        payment_method=pinned.id if pinned else None,
        trial_days=wanted.trial_days,
        has_card=has_card,
        user_id=run.intent.user_id,
        intent_id=run.intent.id,
    )
    answer, call = await run.call("start", request)
    evidence = evidence_of(answer, call)
    terms = [answer.term] if answer.term else []
    collection = await _first_payment(run, evidence.report)
    declined = collection and collection.state is CollectionState.DECLINED
    # Once it is being undone the invoice is void, and declines no more.
    if run.intent.call("undo") or (has_card and declined):
        return await _undone(run, evidence, collection)
    return _settled(evidence, terms, collection)


async def _require_none(run: Run, customer: CustomerId) -> None:
    """Refuse to sell twice what the gateway says is sold already.

    Somebody sold it elsewhere, or our database was restored from a backup.

    Raises:
        GatewayRefused: the customer has a living subscription of the product.
    """
    for report in await run.gateway.subscriptions_of(customer):
        ours = report.intent_id == run.intent.id
        if report.product == run.intent.subject and not (report.terminal or ours):
            run.touched.append(report.gateway_id)
            raise GatewayRefused(
                AlreadySubscribed.code, subscription_id(report.gateway_id)
            )


async def _first_payment(run: Run, report: SubscriptionReport) -> Collection | None:
    """Return how the payment is that a subscription waits for; None if for none."""
    waits = report.status is SubscriptionStatus.INCOMPLETE or report.pending
    if not waits or report.latest_invoice_id is None:
        return None
    return await run.gateway.collection(report.latest_invoice_id)


async def _undone(run: Run, began: Evidence, declined: Collection | None) -> Ending:
    """End what was declined: it must not stand in the way of the next attempt."""
    id_ = began.report.gateway_id
    answer, call = await run.call("undo", EndSubscription(subscription=id_))
    return Ending(
        state=IntentState.DECLINED,
        outcome=IntentOutcome(
            refusal=Refusal(
                code="card_declined",
                reason="the bank declined the first payment",
                field="payment_method",
                decline_code=declined.decline_code if declined else None,
            )
        ),
        evidence=[began, evidence_of(answer, call)],
    )


def _settled(
    evidence: Evidence, terms: Sequence[PaidTerm], collection: Collection | None
) -> Ending:
    unpaid = collection is not None and collection.state not in OVER
    return Ending(
        outcome=IntentOutcome(
            subscription=evidence.report,
            requires_action=unpaid,
            client_secret=collection.client_secret if collection and unpaid else None,
        ),
        evidence=[evidence],
        terms=terms,
    )


async def change_subscription(run: Run) -> Ending:
    wanted = run.intent.wanted
    account = await run.account()
    known = account.subscription(SubscriptionId(run.intent.subject)).report
    evidence, terms = None, list[PaidTerm]()
    # What may be refused goes first: then nothing is done.
    if wanted.price is not None or wanted.quantity is not None:
        answer, call = await run.call(
            "change",
            ChangeSubscription(
                subscription=known.gateway_id,
                item_id=known.item_id,
                price=wanted.price,
                quantity=wanted.quantity,
                proration_date=wanted.proration_date,
            ),
        )
        evidence = evidence_of(answer, call)
        terms += [answer.term] if answer.term else []
    if wanted.cancel_at_period_end is not None:
        answer, call = await run.call(
            "plan-end",
            PlanEnd(
                subscription=known.gateway_id,
                cancel_at_period_end=wanted.cancel_at_period_end,
            ),
        )
        evidence = evidence_of(answer, call)
    if evidence is None:
        raise GatewayRefused("nothing", "nothing is to be changed")
    collection = await _first_payment(run, evidence.report)
    return _settled(evidence, terms, collection)


async def end_subscription(run: Run) -> Ending:
    account = await run.account()
    known = account.subscription(SubscriptionId(run.intent.subject)).report
    if run.intent.wanted.cancel_at_period_end:
        answer, call = await run.call(
            "plan-end",
            PlanEnd(subscription=known.gateway_id, cancel_at_period_end=True),
        )
    else:
        answer, call = await run.call(
            "end", EndSubscription(subscription=known.gateway_id)
        )
    return _settled(evidence_of(answer, call), (), None)
