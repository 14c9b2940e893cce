"""What intents about subscriptions do, step by step.

Rule 1: an operation comes by the same steps when it is run again: see
        `payments_core.operations.cards`.
Rule 2: a subscription whose first payment is declined is ended again: it must not
        stand in the way of the next attempt.
Rule 3: what is sold already, by whomever, is not sold twice.
"""

from collections.abc import Sequence

from payments_core.errors import AlreadySubscribed, GatewayRefused
from payments_core.facts import PeriodPaid, SubscriptionObserved
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
from payments_core.intent import IntentOutcome, IntentState, Refusal, Step
from payments_core.operations.cards import OVER
from payments_core.operations.run import (
    OperationResult,
    OperationRun,
    observation_of,
    paid_by,
)
from payments_core.subscription import (
    SubscriptionId,
    SubscriptionReport,
    SubscriptionStatus,
    subscription_id,
)


async def start_subscription(run: OperationRun) -> OperationResult:
    wanted = run.intent.wanted
    customer = run.customer_id
    if run.intent.call(Step.START) is None:
        await _require_none(run, customer)
    pinned = None
    if wanted.payment_method is not None:
        attached, _ = await run.call(
            Step.ATTACH_CARD,
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
    answer, call = await run.call(Step.START, request)
    began = observation_of(answer, call)
    collection = await _first_payment(run, began.report)
    declined = collection and collection.state is CollectionState.DECLINED
    # Once it is being undone the invoice is void, and declines no more.
    if run.intent.call(Step.UNDO_START) or (has_card and declined):
        return await _undone(run, began, collection)
    return _settled(began, paid_by(answer), collection)


async def _require_none(run: OperationRun, customer: CustomerId) -> None:
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


async def _first_payment(
    run: OperationRun, report: SubscriptionReport
) -> Collection | None:
    """Return how the payment is that a subscription waits for; None if for none."""
    waits = report.status is SubscriptionStatus.INCOMPLETE or report.pending
    if not waits or report.latest_invoice_id is None:
        return None
    return await run.gateway.collection(report.latest_invoice_id)


async def _undone(
    run: OperationRun, began: SubscriptionObserved, declined: Collection | None
) -> OperationResult:
    """End what was declined: it must not stand in the way of the next attempt."""
    id_ = began.report.gateway_id
    answer, call = await run.call(Step.UNDO_START, EndSubscription(subscription=id_))
    return OperationResult(
        state=IntentState.DECLINED,
        outcome=IntentOutcome(
            refusal=Refusal(
                code="card_declined",
                reason="the bank declined the first payment",
                field="payment_method",
                decline_code=declined.decline_code if declined else None,
            )
        ),
        facts=[observation_of(answer, call)],
    )


def _settled(
    observed: SubscriptionObserved,
    periods: Sequence[PeriodPaid],
    collection: Collection | None,
) -> OperationResult:
    unpaid = collection is not None and collection.state not in OVER
    return OperationResult(
        outcome=IntentOutcome(
            subscription=observed.report,
            requires_action=unpaid,
            client_secret=collection.client_secret if collection and unpaid else None,
        ),
        facts=[observed, *periods],
    )


async def change_subscription(run: OperationRun) -> OperationResult:
    wanted = run.intent.wanted
    account = run.account
    known = account.subscription(SubscriptionId(run.intent.subject)).report
    observed, periods = None, list[PeriodPaid]()
    # What may be refused goes first: then nothing is done.
    if wanted.price is not None or wanted.quantity is not None:
        answer, call = await run.call(
            Step.CHANGE,
            ChangeSubscription(
                subscription=known.gateway_id,
                item_id=known.item_id,
                price=wanted.price,
                quantity=wanted.quantity,
                proration_date=wanted.proration_date,
            ),
        )
        observed = observation_of(answer, call)
        periods += paid_by(answer)
    if wanted.cancel_at_period_end is not None:
        answer, call = await run.call(
            Step.PLAN_END,
            PlanEnd(
                subscription=known.gateway_id,
                cancel_at_period_end=wanted.cancel_at_period_end,
            ),
        )
        observed = observation_of(answer, call)
    if observed is None:
        raise GatewayRefused("nothing", "nothing is to be changed")
    collection = await _first_payment(run, observed.report)
    return _settled(observed, periods, collection)


async def end_subscription(run: OperationRun) -> OperationResult:
    account = run.account
    known = account.subscription(SubscriptionId(run.intent.subject)).report
    if run.intent.wanted.cancel_at_period_end:
        answer, call = await run.call(
            Step.PLAN_END,
            PlanEnd(subscription=known.gateway_id, cancel_at_period_end=True),
        )
    else:
        answer, call = await run.call(
            Step.END, EndSubscription(subscription=known.gateway_id)
        )
    return _settled(observation_of(answer, call), (), None)
