"""How a gateway in memory takes money: invoices, prorations, renewals.

Rule 1: an invoice is paid when a charge succeeded or nothing was due; what is left
        over after a credit stays with the customer.
Rule 2: time is prorated to the second and rounded half up, for a change and for its
        preview by the same function.
Rule 3: a change that costs is applied when its invoice is paid, and held until then.
Rule 4: nothing falls due by itself: whoever owns the clock says when it has.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

import attrs

from payments_adapters.memory.gateway_books import (
    GENERIC_DECLINE,
    CardBehaviour,
    GatewayBooks,
    KeptCard,
    KeptCustomer,
    KeptInvoice,
    Line,
)
from payments_core.errors import GatewayRefused
from payments_core.gateway import ChangeSubscription, CollectionState, Price
from payments_core.money import Money
from payments_core.months import months_after
from payments_core.payment import Payment, PaymentId, PaymentState
from payments_core.subscription import (
    PendingUpdate,
    SubscriptionReport,
    SubscriptionStatus,
)

# How long an incomplete subscription and a held change wait for their payment.
WAITS: Final = timedelta(hours=23)
_SECOND: Final = timedelta(seconds=1)
_MONTHS_OF_YEAR: Final = 12
_OWING: Final = frozenset({SubscriptionStatus.INCOMPLETE, SubscriptionStatus.PAST_DUE})


def amount_of(price: Price, quantity: int) -> int:
    """Return what a period costs.

    Raises:
        GatewayRefused: the price is not that simple.
    """
    if price.amount_minor is None:
        raise GatewayRefused("price", "it has no plain amount", field="price")
    return price.amount_minor * quantity


def sellable(books: GatewayBooks, price_id: str) -> Price:
    """Return a price that a subscription may have.

    Raises:
        GatewayRefused: it may not.
        GatewayObjectMissing: there is none.
    """
    price = books.price(price_id)
    if not (price.active and price.recurring):
        raise GatewayRefused("price", "it is not sold as that", field="price")
    return price


# Invoices


def due_of(total_minor: int, credit_minor: int) -> int:
    return max(0, total_minor - credit_minor)


def issue(
    books: GatewayBooks, report: SubscriptionReport, lines: Sequence[Line]
) -> KeptInvoice:
    """Write an invoice to a subscription's customer; their credit pays first."""
    customer = books.customer(report.customer_id)
    total = sum(line.amount_minor for line in lines)
    due = due_of(total, customer.credit_minor)
    _move_credit(books, customer, due - total)
    return books.put_invoice(
        KeptInvoice(
            id=books.new_id("in"),
            customer_id=customer.id,
            subscription=report.gateway_id,
            currency=report.currency,
            lines=tuple(lines),
            due_minor=due,
            credit_moved_minor=due - total,
        )
    )


def _move_credit(books: GatewayBooks, customer: KeptCustomer, by_minor: int) -> None:
    credit = customer.credit_minor + by_minor
    books.put_customer(attrs.evolve(customer, credit_minor=credit))


def void(books: GatewayBooks, invoice: KeptInvoice) -> None:
    """Give up an invoice that is not paid; the credit is as it was before it."""
    if invoice.state in (CollectionState.PAID, CollectionState.CLOSED):
        return
    customer = books.customer(invoice.customer_id)
    _move_credit(books, customer, -invoice.credit_moved_minor)
    books.put_invoice(attrs.evolve(invoice, state=CollectionState.CLOSED))


def collect(
    books: GatewayBooks, invoice: KeptInvoice, card: KeptCard | None
) -> KeptInvoice:
    """Try once to take an invoice's money; return it as it is then."""
    if invoice.due_minor == 0:
        return _paid(books, invoice)
    if card is None:
        return invoice
    match card.behaviour:
        case CardBehaviour.PAYS:
            return charge(books, invoice, card.id)
        case CardBehaviour.ASKS:
            return books.put_invoice(
                attrs.evolve(
                    invoice,
                    state=CollectionState.REQUIRES_ACTION,
                    asking_card=card.id,
                    decline_code=None,
                )
            )
        case CardBehaviour.FAILS | CardBehaviour.REFUSES:
            return decline(books, invoice)


def charge(
    books: GatewayBooks, invoice: KeptInvoice, card_id: str | None
) -> KeptInvoice:
    """Take an invoice's money from a card."""
    books.put_charge(_charge(books, invoice, PaymentState.SUCCEEDED))
    return _paid(books, invoice, card_id)


def decline(books: GatewayBooks, invoice: KeptInvoice) -> KeptInvoice:
    """Let the bank say no to an invoice."""
    failed = _charge(books, invoice, PaymentState.FAILED)
    books.put_charge(attrs.evolve(failed, failure_code="card_declined"))
    return unpaid(books, invoice, GENERIC_DECLINE)


def unpaid(
    books: GatewayBooks, invoice: KeptInvoice, decline_code: str | None
) -> KeptInvoice:
    return books.put_invoice(
        attrs.evolve(
            invoice,
            state=CollectionState.DECLINED,
            decline_code=decline_code,
            asking_card=None,
        )
    )


def _charge(books: GatewayBooks, invoice: KeptInvoice, state: PaymentState) -> Payment:
    return Payment(
        id=PaymentId(books.new_id("ch")),
        state=state,
        amount=Money(invoice.due_minor, invoice.currency),
        created_at=books.now,
        customer_id=invoice.customer_id,
        invoice_id=invoice.id,
    )


def _paid(
    books: GatewayBooks, invoice: KeptInvoice, card_id: str | None = None
) -> KeptInvoice:
    invoice = books.put_invoice(
        attrs.evolve(
            invoice, state=CollectionState.PAID, decline_code=None, asking_card=None
        )
    )
    _grant(books, invoice, card_id)
    return invoice


def _grant(books: GatewayBooks, invoice: KeptInvoice, card_id: str | None) -> None:
    """Let the subscription of a paid invoice have what was paid for.

    The card that paid what it owed is pinned to it, as the real requests ask for.
    """
    report = books.subscriptions.get(invoice.subscription)
    if report is None or report.terminal or report.latest_invoice_id != invoice.id:
        return
    if report.pending is not None:
        report = _changed(books, report, report.pending.price, report.pending.quantity)
    if report.status in _OWING:
        report = attrs.evolve(
            report,
            status=SubscriptionStatus.ACTIVE,
            pinned_card=card_id or report.pinned_card,
        )
    books.put_subscription(report)


# Changed


@attrs.frozen(kw_only=True)
class Plan:
    """What a change makes of a subscription, and the lines of its invoice."""

    price: Price
    quantity: int
    lines: Sequence[Line]
    at: datetime

    @property
    def total_minor(self) -> int:
        return sum(line.amount_minor for line in self.lines)


def plan_change(
    books: GatewayBooks, report: SubscriptionReport, change: ChangeSubscription
) -> Plan:
    """Say what a change would be; nothing happens.

    Raises:
        GatewayRefused: it cannot be made.
        GatewayObjectMissing: there is no such price.
    """
    if report.terminal or report.status is SubscriptionStatus.INCOMPLETE:
        raise GatewayRefused("subscription", f"it is {report.status}")
    if change.item_id != report.item_id:
        raise GatewayRefused("resource_missing", "no such item", field="item_id")
    old = books.price(report.price)
    new = old if change.price is None else sellable(books, change.price)
    if new.currency != report.currency:
        raise GatewayRefused("price", "it is in another currency", field="price")
    quantity = report.quantity if change.quantity is None else change.quantity
    at = _proration_date(books, report, change.proration_date)
    same = (new.id, quantity) == (old.id, report.quantity)
    free = same or report.status is SubscriptionStatus.TRIALING
    lines = [] if free else _prorations(report, old, new, quantity, at)
    return Plan(price=new, quantity=quantity, lines=lines, at=at)


def _proration_date(
    books: GatewayBooks, report: SubscriptionReport, wanted: datetime | None
) -> datetime:
    if wanted is None:
        return max(report.period_start, min(books.now, report.period_end))
    if not report.period_start <= wanted <= report.period_end:
        raise GatewayRefused(
            "proration_date", "not within the period", field="proration_date"
        )
    return wanted


def _prorations(
    report: SubscriptionReport, old: Price, new: Price, quantity: int, at: datetime
) -> list[Line]:
    unused = -_left(report, amount_of(old, report.quantity), at)
    rest = _left(report, amount_of(new, quantity), at)
    return [
        Line(
            description=f"{words} {count} x {price.id}",
            amount_minor=amount,
            starts_at=at,
            ends_at=report.period_end,
            prorates=True,
        )
        for words, count, price, amount in (
            ("Unused time on", report.quantity, old, unused),
            ("Remaining time on", quantity, new, rest),
        )
    ]


def _left(report: SubscriptionReport, amount_minor: int, at: datetime) -> int:
    """Return the part of a period's amount from a moment on, rounded half up."""
    seconds = (report.period_end - at) // _SECOND
    whole = (report.period_end - report.period_start) // _SECOND
    return (2 * amount_minor * seconds + whole) // (2 * whole)


def change(
    books: GatewayBooks, report: SubscriptionReport, wanted: ChangeSubscription
) -> SubscriptionReport:
    """Make a change, or hold it until it is paid; return the subscription then.

    Raises:
        GatewayRefused: it cannot be made; nothing happened.
        GatewayObjectMissing: there is no such price.
    """
    plan = plan_change(books, report, wanted)
    report = drop_pending(books, report)
    if not plan.lines:
        return books.put_subscription(
            _changed(books, report, plan.price.id, plan.quantity)
        )
    invoice = issue(books, report, plan.lines)
    # Held, until the invoice is paid: at once, as a rule.
    books.put_subscription(
        attrs.evolve(
            report,
            latest_invoice_id=invoice.id,
            pending=PendingUpdate(
                price=plan.price.id,
                quantity=plan.quantity,
                expires_at=min(books.now + WAITS, report.period_end),
            ),
        )
    )
    collect(books, invoice, books.paying_card(report))
    return books.subscription(report.gateway_id)


def _changed(
    books: GatewayBooks,
    report: SubscriptionReport,
    price_id: str | None,
    quantity: int | None,
) -> SubscriptionReport:
    price = books.price(price_id or report.price)
    return attrs.evolve(
        report,
        price=price.id,
        product=price.product,
        quantity=quantity or report.quantity,
        pending=None,
    )


def drop_pending(books: GatewayBooks, report: SubscriptionReport) -> SubscriptionReport:
    """Give up a held change, and what it would have cost."""
    if report.pending is None:
        return report
    if report.latest_invoice_id is not None:
        void(books, books.invoice(report.latest_invoice_id))
    return books.put_subscription(attrs.evolve(report, pending=None))


# Renewed, ended


def period_line(
    price: Price, quantity: int, starts_at: datetime, ends_at: datetime
) -> Line:
    return Line(
        description=f"{quantity} x {price.id}",
        amount_minor=amount_of(price, quantity),
        starts_at=starts_at,
        ends_at=ends_at,
    )


def renews(report: SubscriptionReport) -> bool:
    """Whether something comes after the present period."""
    return not report.terminal and report.status is not SubscriptionStatus.INCOMPLETE


def renew(
    books: GatewayBooks, report: SubscriptionReport, *, declined: bool = False
) -> SubscriptionReport:
    """Let the present period end: begin the next one, or end as it was planned.

    With `declined` the bank says no, whatever the card.
    """
    report = drop_pending(books, report)
    if report.cancel_at_period_end:
        return end(books, report, at=report.period_end)
    starts_at, ends_at = report.period_end, _next_end(report)
    line = period_line(books.price(report.price), report.quantity, starts_at, ends_at)
    invoice = issue(books, report, [line])
    # It owes its next period, until that is paid.
    report = books.put_subscription(
        attrs.evolve(
            report,
            status=SubscriptionStatus.PAST_DUE,
            period_start=starts_at,
            period_end=ends_at,
            latest_invoice_id=invoice.id,
        )
    )
    if declined and invoice.due_minor:
        decline(books, invoice)
    else:
        collect(books, invoice, books.paying_card(report))
    return books.subscription(report.gateway_id)


def _next_end(report: SubscriptionReport) -> datetime:
    anchor, start = report.trial_end or report.created_at, report.period_end
    years, months = start.year - anchor.year, start.month - anchor.month
    return months_after(anchor, years * _MONTHS_OF_YEAR + months + 1)


def end(
    books: GatewayBooks, report: SubscriptionReport, *, at: datetime
) -> SubscriptionReport:
    """End a subscription; one that never lived owes nothing any more."""
    report = drop_pending(books, report)
    if report.status is SubscriptionStatus.INCOMPLETE and report.latest_invoice_id:
        void(books, books.invoice(report.latest_invoice_id))
    return books.put_subscription(
        attrs.evolve(report, status=SubscriptionStatus.CANCELED, ended_at=at)
    )


def expire(books: GatewayBooks, report: SubscriptionReport) -> SubscriptionReport:
    """Give up a subscription whose first payment never came."""
    report = end(books, report, at=report.created_at + WAITS)
    return books.put_subscription(
        attrs.evolve(report, status=SubscriptionStatus.INCOMPLETE_EXPIRED)
    )


def catch_up(books: GatewayBooks, report: SubscriptionReport) -> SubscriptionReport:
    """Do with a subscription what has fallen due by now."""
    now = books.now
    if report.status is SubscriptionStatus.INCOMPLETE:
        return expire(books, report) if report.created_at + WAITS <= now else report
    while not report.terminal and report.period_end <= now:
        report = renew(books, report)
    if report.pending is not None and report.pending.expires_at <= now:
        report = drop_pending(books, report)
    return report
