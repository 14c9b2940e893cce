"""Invoices: their lines and sums, and the way from draft to paid or void.

Rule 1: `total` is the sum of the lines; the amount due is the total and the customer's
        balance, but never less than can be charged: the rest stays in the balance.
Rule 2: an invoice is paid only if a charge succeeded, nothing was due, or it was paid
        outside Stripe.
Rule 3: the owner of an invoice (a subscription) is called with its outcome.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from payments_sandbox import charging, shapes
from payments_sandbox.cards import Decline
from payments_sandbox.currencies import least_minor
from payments_sandbox.errors import ApiError, invalid
from payments_sandbox.periods import DAY, HOUR
from payments_sandbox.state import Object, World, listed

# A renewal is finalised and collected this long after it was drafted.
DRAFT_S: Final = HOUR
# After the first failure, in days, some of them minus hours; the last one ends two
# weeks (docs.stripe.com/billing/revenue-recovery/smart-retries: up to 8 in 2 weeks).
RETRY_DAYS: Final = (1, 2, 4, 6, 8, 10, 12, 14)
_JITTER_S: Final = 6 * HOUR

# Called when an invoice was paid, and when collecting it finally failed.
Owner = Callable[[World, Object], None]


def draft(  # noqa: PLR0913  # an invoice's parts by name
    world: World,
    customer: Object,
    lines: Iterable[Object],
    *,
    reason: str,
    currency: str,
    subscription: Object | None = None,
    period: tuple[int, int] | None = None,
) -> Object:
    """Return a new invoice with these lines; nothing is stored yet."""
    start, end = period or (world.now, world.now)
    invoice = shapes.invoice(
        world,
        customer,
        billing_reason=reason,
        currency=currency,
        parent=subscription and _parent(subscription),
        period_start=start,
        period_end=end,
        default_payment_method=None,
    )
    lines = [{**line, "invoice": invoice["id"]} for line in lines]
    return {
        **invoice,
        **sums(sum(line["amount"] for line in lines), customer["balance"], currency),
        "lines": listed(f"/v1/invoices/{invoice['id']}/lines", lines),
    }


def _parent(subscription: Object) -> Object:
    return {
        "quote_details": None,
        "subscription_details": {
            "metadata": subscription["metadata"],
            "subscription": subscription["id"],
        },
        "type": "subscription_details",
    }


def of_subscription(subscription: Object) -> Object:
    """Return the part of an invoice that decides which card it is collected from."""
    return {
        "customer": subscription["customer"],
        "default_payment_method": None,
        "parent": _parent(subscription),
    }


def sums(total: int, balance: int, currency: str) -> dict[str, Any]:
    """Return every sum of an unpaid invoice; a negative balance is credit.

    An amount below the minimum is not due: it waits in the balance for the next invoice
    (docs.stripe.com/api/invoices/object#invoice_object-amount_due).
    """
    due = total + balance
    if due < least_minor(currency):
        due = 0
    return {
        "amount_due": due,
        "amount_paid": 0,
        "amount_remaining": due,
        "starting_balance": balance,
        "subtotal": total,
        "subtotal_excluding_tax": total,
        "total": total,
        "total_excluding_tax": total,
    }


def issue(world: World, invoice: Object, items: Iterable[Object]) -> Object:
    """Store a draft, with the invoice items that it includes."""
    invoice = world.create(invoice, "invoice.created")
    for item in items:
        world.change(item, None, invoice=invoice["id"])
    return invoice


def issue_paused(
    world: World, invoice: Object, items: Iterable[Object], behavior: str
) -> Object:
    """Issue an invoice of a subscription whose collection is paused.

    `behavior` is keep_as_draft, mark_uncollectible or void. If nothing is due, none of
    them applies: the invoice is open, and the caller settles it.

    Source: docs.stripe.com/billing/subscriptions/pause-payment.
    """
    if behavior == "keep_as_draft":
        return issue(world, {**invoice, "auto_advance": False}, items)
    invoice = finalize(world, issue(world, invoice, items))
    if invoice["amount_due"] == 0:
        return invoice
    if behavior == "void":
        return void(world, invoice)
    return mark_uncollectible(world, invoice)


def finalize(world: World, invoice: Object) -> Object:
    """Open a draft: apply the balance, create the payment intent."""
    customer = world.get("customer", invoice["customer"])
    amounts = sums(invoice["total"], customer["balance"], invoice["currency"])
    number = customer["next_invoice_sequence"]
    ending = invoice["total"] + customer["balance"] - amounts["amount_due"]
    world.change(
        customer,
        "customer.updated",
        balance=ending,
        currency=invoice["currency"],
        next_invoice_sequence=number + 1,
    )
    intent = _intent(world, invoice, amounts["amount_due"])
    base = f"https://invoice.stripe.com/i/{invoice['id']}"
    invoice = world.change(
        invoice,
        None,
        **amounts,
        automatically_finalizes_at=None,
        effective_at=world.now,
        ending_balance=ending,
        hosted_invoice_url=base,
        invoice_pdf=f"{base}/pdf",
        number=f"{customer['invoice_prefix']}-{number:04d}",
        status="open",
        status_transitions={**invoice["status_transitions"], "finalized_at": world.now},
    )
    if intent:
        world.create(shapes.invoice_payment(world, invoice, intent["id"]), None)
    world.report("invoice.finalized", invoice)
    return invoice


def _intent(world: World, invoice: Object, amount: int) -> Object | None:
    if not amount:
        return None
    method = method_for(world, invoice)
    return world.create(
        shapes.payment_intent(
            world,
            amount=amount,
            currency=invoice["currency"],
            customer=invoice["customer"],
            description="Subscription creation"
            if invoice["billing_reason"] == "subscription_create"
            else "Subscription update",
            payment_method=method and method["id"],
            setup_future_usage="off_session" if invoice["parent"] else None,
            status="requires_confirmation" if method else "requires_payment_method",
        ),
        "payment_intent.created",
    )


def method_for(world: World, invoice: Object) -> Object | None:
    """Return the card to collect from: the subscription's, else the customer's.

    A card that was detached since then does not count.
    """
    customer = world.get("customer", invoice["customer"])
    details = invoice["parent"] and invoice["parent"]["subscription_details"]
    subscription = details and world.find("subscription", details["subscription"])
    named = (
        invoice["default_payment_method"],
        subscription and subscription["default_payment_method"],
        subscription and subscription["default_source"],
        customer["invoice_settings"]["default_payment_method"],
        customer["default_source"],
    )
    for id_ in filter(None, named):
        method = world.find("payment_method", id_)
        if method and method["customer"] == customer["id"]:
            return method
    return None


def collect(  # noqa: PLR0913  # how an attempt may differ, by name
    world: World,
    invoice: Object,
    owner: Owner,
    *,
    method: Object | None = None,
    off_session: bool,
    retries: bool = False,
) -> Object:
    """Try to collect an open invoice; return it afterwards, paid or not.

    With `retries` a failure schedules the next automatic attempt, and its event has
    that time. The owner is called only after a success; the caller handles a failure.
    """
    if invoice["amount_remaining"] == 0:
        return settle(world, invoice, owner)
    intent = world.intent_of(invoice)
    method = method or method_for(world, invoice)
    if intent is None or method is None:
        return _attempted(world, invoice, "invoice.payment_failed", retries=retries)
    intent = charging.confirm(world, intent, method, off_session=off_session)
    return after_attempt(world, invoice, intent, owner, retries=retries)


def after_attempt(
    world: World,
    invoice: Object,
    intent: Object,
    owner: Owner,
    *,
    retries: bool = False,
) -> Object:
    """Update an invoice from its intent; return it."""
    if intent["status"] == "succeeded":
        return settle(world, invoice, owner, intent)
    if intent["status"] == "requires_action":
        event = "invoice.payment_action_required"
        invoice = _attempted(world, invoice, event, retries=retries)
        world.report("invoice.payment_failed", invoice)
        return invoice
    return _attempted(world, invoice, "invoice.payment_failed", retries=retries)


def _attempted(world: World, invoice: Object, event: str, *, retries: bool) -> Object:
    planned = (
        _planned_retry(world, invoice) if retries else invoice["next_payment_attempt"]
    )
    return world.change(
        invoice,
        event,
        attempted=True,
        attempt_count=max(1, invoice["attempt_count"]),
        next_payment_attempt=planned,
    )


def settle(
    world: World, invoice: Object, owner: Owner, intent: Object | None = None
) -> Object:
    """Mark an invoice paid: by an intent, outside Stripe, or because nothing is due."""
    paid = invoice["amount_remaining"] if intent else 0
    count = invoice["attempt_count"]
    payments = world.by("invoice_payment", "invoice", invoice["id"])
    transitions = {**invoice["status_transitions"], "paid_at": world.now}
    for payment in payments if intent else ():
        world.change(
            payment,
            "invoice_payment.paid",
            amount_paid=paid,
            status="paid",
            status_transitions={**payment["status_transitions"], "paid_at": world.now},
        )
    invoice = world.change(
        invoice,
        "invoice.paid",
        amount_paid=invoice["amount_due"],
        amount_paid_off_stripe=invoice["amount_due"] - paid,
        amount_remaining=0,
        attempted=True,
        attempt_count=max(1, count) if intent else count,
        auto_advance=False,
        next_payment_attempt=None,
        status="paid",
        status_transitions=transitions,
    )
    world.report("invoice.payment_succeeded", invoice)
    owner(world, invoice)
    return invoice


def void(world: World, invoice: Object) -> Object:
    """Void an open invoice; what it took from or gave to the balance is returned."""
    _end_intent(world, invoice, "void_invoice")
    customer = world.find("customer", invoice["customer"])
    if customer:
        moved = invoice["starting_balance"] - invoice["ending_balance"]
        world.change(customer, "customer.updated", balance=customer["balance"] + moved)
    return world.change(
        invoice,
        "invoice.voided",
        auto_advance=False,
        next_payment_attempt=None,
        status="void",
        status_transitions={**invoice["status_transitions"], "voided_at": world.now},
    )


def mark_uncollectible(world: World, invoice: Object) -> Object:
    """Write an open invoice off; it can still be paid."""
    return world.change(
        invoice,
        "invoice.marked_uncollectible",
        auto_advance=False,
        next_payment_attempt=None,
        status="uncollectible",
        status_transitions={
            **invoice["status_transitions"],
            "marked_uncollectible_at": world.now,
        },
    )


def pay_elsewhere(world: World, invoice: Object, owner: Owner) -> Object:
    """Mark an open invoice as paid outside Stripe."""
    _end_intent(world, invoice, "void_invoice")
    return settle(world, invoice, owner)


def _end_intent(world: World, invoice: Object, reason: str) -> None:
    intent = world.intent_of(invoice)
    if intent and intent["status"] not in ("succeeded", "canceled"):
        charging.cancel(world, intent, reason)
    for payment in world.by("invoice_payment", "invoice", invoice["id"]):
        if payment["status"] == "open":
            world.change(
                payment,
                None,
                status="canceled",
                status_transitions={
                    **payment["status_transitions"],
                    "canceled_at": world.now,
                },
            )


def leave(world: World, invoice: Object) -> Object:
    """Stop automatic collection of an invoice; it stays as it is."""
    return world.change(
        invoice,
        "invoice.updated",
        auto_advance=False,
        automatically_finalizes_at=None,
        next_payment_attempt=None,
    )


# Retries


def _planned_retry(world: World, invoice: Object) -> int | None:
    """Schedule the next automatic attempt; None if the last one was made."""
    first: int = invoice["status_transitions"]["finalized_at"]
    days = [it * DAY for it in RETRY_DAYS if first + it * DAY - _JITTER_S >= world.now]
    if not days:
        return None
    due = first + days[0] - world.jitter(_JITTER_S)
    world.later(due, "retry", invoice["id"])
    return due


def plan_retry(world: World, invoice: Object) -> Object:
    """Schedule an automatic attempt for an invoice without any attempt yet."""
    due = _planned_retry(world, invoice)
    return world.change(invoice, "invoice.updated", next_payment_attempt=due)


def retry(world: World, invoice: Object, owner: Owner) -> Object:
    """Make an automatic attempt, unless only another card would help."""
    intent = world.intent_of(invoice)
    method = method_for(world, invoice)
    count = invoice["attempt_count"] + 1
    if intent and method and _is_hopeless(intent, method):
        return world.change(
            invoice,
            "invoice.updated",
            attempt_count=count,
            next_payment_attempt=_planned_retry(world, invoice),
        )
    invoice = world.change(invoice, None, attempt_count=count)
    return collect(world, invoice, owner, off_session=True, retries=True)


def _is_hopeless(intent: Object, method: Object) -> bool:
    decline: Decline | None = charging.last_decline(intent)
    tried: Mapping[str, Any] = (intent["last_payment_error"] or {}).get(
        "payment_method", {}
    )
    return bool(decline and decline.is_hard and tried.get("id") == method["id"])


def require_payable(invoice: Object) -> None:
    """Refuse to collect an invoice that cannot be collected.

    Raises:
        ApiError: it is paid, void, or written off.
    """
    if invoice["status"] == "paid":
        raise invalid("Invoice is already paid", None, "invoice_already_paid")
    if invoice["status"] not in ("draft", "open", "uncollectible"):
        raise invalid(f"A {invoice['status']} invoice cannot be paid.")


def refusal(world: World, invoice: Object) -> ApiError:
    """Return the 402 with the reason why an invoice is still not paid."""
    intent = world.intent_of(invoice)
    if intent is None or intent["status"] == "requires_confirmation":
        return invalid(
            "There is no default payment method set on this Customer.",
            None,
            "resource_missing",
        )
    if intent["status"] == "requires_action":
        return Decline(
            "invoice_payment_intent_requires_action",
            None,
            "This payment requires additional user action before it can be completed.",
        ).error(payment_intent=intent)
    if intent["last_payment_error"] is None:
        return invalid(
            "This customer has no attached payment source or default payment method.",
            None,
            "resource_missing",
        )
    return charging.refusal_of(intent)
