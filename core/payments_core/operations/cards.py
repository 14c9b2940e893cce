"""The steps of intents about customers and their cards.

Rule 1: an operation makes every change with `run.call`, and may read anything: it is
        run again from the start after a crash, and must make the same steps.
Rule 2: a new card pays all owed invoices, the oldest first, before it becomes the
        default.
Rule 3: a payment that requires authentication (3-D Secure) is a success with
        `requires_action`: the payer continues in the browser, and events report the
        outcome.
"""

from collections.abc import Sequence
from typing import Final

from payments_core.errors import GatewayOutcomeUnknown, GatewayRefused
from payments_core.gateway import (
    AttachCard,
    CreateCustomer,
    CreateSetupIntent,
    InvoicePayment,
    InvoicePaymentState,
    MakeDefault,
    PayInvoice,
    SetSubscriptionCard,
)
from payments_core.identity import CustomerId
from payments_core.intent import IntentOutcome, Step
from payments_core.operations.run import (
    OperationResult,
    OperationRun,
    card_observed,
    customer_bound,
)
from payments_core.subscription import SubscriptionReport, SubscriptionStatus

_OWES: Final = frozenset({SubscriptionStatus.PAST_DUE, SubscriptionStatus.UNPAID})
_ASKS: Final = InvoicePaymentState.REQUIRES_ACTION
# No more money will be taken.
OVER: Final = frozenset({InvoicePaymentState.PAID, InvoicePaymentState.CLOSED})


async def create_customer(run: OperationRun) -> OperationResult:
    account = run.account
    if account.customer_id is not None:
        # Bound by hand meanwhile.
        return OperationResult(outcome=IntentOutcome(customer_id=account.customer_id))
    if run.intent.call(Step.CREATE_CUSTOMER) is None:
        # The customer may exist at the gateway and be missing in a restored database.
        known = await run.gateway.customer_of(account.user_id, account.email.text)
        if known is not None:
            return OperationResult(
                outcome=IntentOutcome(customer_id=known),
                facts=[customer_bound(run, known, existed=True)],
            )
    answer, _call = await run.call(
        Step.CREATE_CUSTOMER,
        CreateCustomer(
            user_id=account.user_id,
            email=account.email.text,
            intent_id=run.intent.id,
        ),
    )
    made = CustomerId(answer.id)
    return OperationResult(
        outcome=IntentOutcome(customer_id=made),
        facts=[customer_bound(run, made, existed=False)],
    )


async def set_up_card(run: OperationRun) -> OperationResult:
    request = CreateSetupIntent(
        customer_id=run.customer_id,
        user_id=run.intent.user_id,
        intent_id=run.intent.id,
    )
    answer, _ = await run.call(Step.SET_UP_CARD, request)
    return OperationResult(outcome=IntentOutcome(client_secret=answer.client_secret))


async def update_card(run: OperationRun) -> OperationResult:
    customer = run.customer_id
    attached, call = await run.call(
        Step.ATTACH_CARD,
        AttachCard(customer_id=customer, payment_method=_wanted_card(run)),
    )
    if attached.card is None:
        raise GatewayOutcomeUnknown("an attached card without card data")
    card = attached.card
    subscriptions = await run.gateway.subscriptions_of(customer)
    owed = [s for s in subscriptions if s.status in _OWES]
    awaited = await _pay(run, owed, card.id)
    await run.call(
        Step.MAKE_DEFAULT, MakeDefault(customer_id=customer, payment_method=card.id)
    )
    for subscription in subscriptions:
        if not subscription.is_terminal and subscription.pinned_card not in {
            None,
            card.id,
        }:
            id_ = subscription.gateway_id
            await run.call(
                Step.PIN_CARD.of(id_),
                SetSubscriptionCard(subscription=id_, payment_method=card.id),
            )
    return OperationResult(
        outcome=IntentOutcome(
            card=card,
            requires_action=awaited is not None,
            client_secret=awaited.client_secret if awaited else None,
        ),
        facts=[card_observed(run, card, call)],
        touched=[subscription.gateway_id for subscription in owed],
    )


def _wanted_card(run: OperationRun) -> str:
    payment_method = run.intent.wanted.payment_method
    if payment_method is None:
        raise GatewayRefused("missing", "no card is named", field="payment_method")
    return payment_method


async def _pay(
    run: OperationRun, owed: Sequence[SubscriptionReport], card_id: str
) -> InvoicePayment | None:
    """Pay all that is past due; return a payment that requires authentication, if any.

    Raises:
        GatewayRefused: the bank declined.
    """
    awaited = None
    invoices = [
        invoice
        for subscription in owed
        for invoice in await run.gateway.open_invoices(subscription.gateway_id)
    ]
    for invoice in invoices:
        invoice_payment = await run.gateway.invoice_payment(invoice)
        if invoice_payment.state in OVER:
            continue
        try:
            await run.call(
                Step.PAY_INVOICE.of(invoice),
                PayInvoice(invoice_id=invoice, payment_method=card_id),
            )
        except GatewayRefused as error:
            invoice_payment = await run.gateway.invoice_payment(invoice)
            if not error.declined or invoice_payment.state is not _ASKS:
                raise
            awaited = invoice_payment
    return awaited
