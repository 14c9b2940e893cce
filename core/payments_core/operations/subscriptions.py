"""The steps of intents about subscriptions.

Rule 1: an operation makes the same steps when it is run again: see
        `payments_core.operations.cards`.
Rule 2: a subscription whose first payment is declined is cancelled: it must not block
        the next attempt.
Rule 3: a product that the user already has is not sold twice, no matter who sold it.
Rule 4: a decline during an operation is recorded, whatever its outcome: see
        `payments_core.use_cases.declines`.
"""

from collections.abc import Sequence

from payments_core.errors import AlreadySubscribed, CardDeclined, GatewayRefused
from payments_core.facts import CardObserved, PeriodPaid, SubscriptionObserved
from payments_core.gateway import (
    AttachCard,
    CancelSubscription,
    CreateSubscription,
    InvoicePayment,
    InvoicePaymentState,
    SetCancelAtPeriodEnd,
    UpdateSubscription,
)
from payments_core.identity import CustomerId
from payments_core.intent import IntentOutcome, IntentState, Refusal, Step
from payments_core.operations.cards import OVER
from payments_core.operations.run import (
    OperationResult,
    OperationRun,
    card_observed,
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
    pinned, card = None, list[CardObserved]()
    if wanted.payment_method is not None:
        attached, attaching = await run.call(
            Step.ATTACH_CARD,
            AttachCard(customer_id=customer, payment_method=wanted.payment_method),
        )
        pinned = attached.card
        if pinned is not None:
            card.append(card_observed(run, pinned, attaching))
    has_card = pinned is not None or await run.gateway.card_of(customer) is not None
    request = CreateSubscription(
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
    invoice_payment = await _tried(run, began.report)
    declined = invoice_payment and invoice_payment.state is InvoicePaymentState.DECLINED
    # After the undo has begun the invoice is void and no longer shows a decline.
    if run.intent.call(Step.UNDO_START) or (has_card and declined):
        return await _undone(run, began, invoice_payment)
    return _settled(began, paid_by(answer), invoice_payment, card)


async def _require_none(run: OperationRun, customer: CustomerId) -> None:
    """Refuse to sell a product that the customer has at the gateway.

    That subscription was created outside of this service, or our database was restored
    from a backup.

    Raises:
        GatewayRefused: the customer has an open subscription to the product.
    """
    for report in await run.gateway.subscriptions_of(customer):
        ours = report.intent_id == run.intent.id
        if report.product == run.intent.subject and not (report.is_terminal or ours):
            run.touched.append(report.gateway_id)
            raise GatewayRefused(
                AlreadySubscribed.code, subscription_id(report.gateway_id)
            )


async def _tried(
    run: OperationRun, report: SubscriptionReport
) -> InvoicePayment | None:
    """Return the payment that a subscription waits for; record a decline."""
    payment = await _awaited_payment(run, report)
    # A bank that requires authentication has not declined.
    if payment is not None and payment.state is InvoicePaymentState.DECLINED:
        run.declined = Refusal(
            code=CardDeclined.code,
            reason="the bank declined the payment",
            decline_code=payment.decline_code,
        )
    return payment


async def _awaited_payment(
    run: OperationRun, report: SubscriptionReport
) -> InvoicePayment | None:
    """Return the payment that a subscription waits for; None: it waits for none."""
    waits = report.status is SubscriptionStatus.INCOMPLETE or report.pending
    if not waits or report.latest_invoice_id is None:
        return None
    return await run.gateway.invoice_payment(report.latest_invoice_id)


async def _undone(
    run: OperationRun, began: SubscriptionObserved, declined: InvoicePayment | None
) -> OperationResult:
    """Cancel a declined subscription: it must not block the next attempt."""
    id_ = began.report.gateway_id
    answer, call = await run.call(Step.UNDO_START, CancelSubscription(subscription=id_))
    return OperationResult(
        state=IntentState.REFUSED,
        outcome=IntentOutcome(
            refusal=Refusal(
                code=CardDeclined.code,
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
    invoice_payment: InvoicePayment | None,
    card: Sequence[CardObserved] = (),
) -> OperationResult:
    unpaid = invoice_payment is not None and invoice_payment.state not in OVER
    return OperationResult(
        outcome=IntentOutcome(
            subscription=observed.report,
            requires_action=unpaid,
            client_secret=invoice_payment.client_secret
            if invoice_payment and unpaid
            else None,
        ),
        # The card first: the subscription's pinned card is then known.
        facts=[*card, observed, *periods],
    )


async def change_subscription(run: OperationRun) -> OperationResult:
    wanted = run.intent.wanted
    account = run.account
    known = account.subscription(SubscriptionId(run.intent.subject)).report
    observed, payment, periods = None, None, list[PeriodPaid]()
    # The request that may be refused goes first: if it is, nothing was done.
    if wanted.price is not None or wanted.quantity is not None:
        answer, call = await run.call(
            Step.CHANGE,
            UpdateSubscription(
                subscription=known.gateway_id,
                item_id=known.item_id,
                price=wanted.price,
                quantity=wanted.quantity,
                proration_date=wanted.proration_date,
            ),
        )
        observed = observation_of(answer, call)
        periods += paid_by(answer)
        # Before the next request: a decline counts even if that request is refused.
        payment = await _tried(run, observed.report)
    if wanted.cancel_at_period_end is not None:
        answer, call = await run.call(
            Step.PLAN_END,
            SetCancelAtPeriodEnd(
                subscription=known.gateway_id,
                cancel_at_period_end=wanted.cancel_at_period_end,
                clears_cancel_at=not wanted.cancel_at_period_end
                and not known.cancel_at_period_end
                and known.cancel_at is not None,
            ),
        )
        observed = observation_of(answer, call)
    if observed is None:
        raise GatewayRefused("nothing", "there is nothing to change")
    if payment is None:
        payment = await _awaited_payment(run, observed.report)
    return _settled(observed, periods, payment)


async def end_subscription(run: OperationRun) -> OperationResult:
    account = run.account
    known = account.subscription(SubscriptionId(run.intent.subject)).report
    if run.intent.wanted.cancel_at_period_end:
        answer, call = await run.call(
            Step.PLAN_END,
            SetCancelAtPeriodEnd(
                subscription=known.gateway_id, cancel_at_period_end=True
            ),
        )
    else:
        answer, call = await run.call(
            Step.END, CancelSubscription(subscription=known.gateway_id)
        )
    return _settled(observation_of(answer, call), (), None)
