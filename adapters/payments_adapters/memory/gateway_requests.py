"""What a gateway in memory does with each request: freeze it, do it, find it again.

Rule 1: what was frozen is what is done, whatever the request says by then.
Rule 2: a refusal that is not a decline has changed nothing.
"""

import json
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any, Final

import attrs

from payments_adapters.memory import gateway_billing as billing
from payments_adapters.memory.gateway_books import (
    GENERIC_DECLINE,
    CardBehaviour,
    GatewayBooks,
    KeptCard,
    KeptCustomer,
    KeptInvoice,
    KeptSetUp,
)
from payments_core.errors import GatewayObjectMissing, GatewayRefused
from payments_core.gateway import (
    Answer,
    AttachCard,
    ChangeSubscription,
    CollectionState,
    CreateCustomer,
    EndSubscription,
    FrozenRequest,
    GatewayRequest,
    MakeDefault,
    PayInvoice,
    PinCard,
    PlanEnd,
    SetUpCard,
    StartSubscription,
)
from payments_core.identity import CustomerId
from payments_core.months import months_after
from payments_core.subscription import SubscriptionReport, SubscriptionStatus

API_VERSION: Final = "memory"


# Frozen


def freeze(request: GatewayRequest) -> FrozenRequest:
    """Render a request, in an order that is always the same."""
    name = type(request).__name__
    fields = attrs.asdict(request, value_serializer=_plain)
    method, path = _PATHS[type(request)]
    return FrozenRequest(
        method=method,
        path=path.format_map(fields),
        body=json.dumps({name: fields}, sort_keys=True),
        api_version=API_VERSION,
    )


def _plain(_: object, __: object, value: object) -> object:
    return value.isoformat() if isinstance(value, datetime) else value


def thawed(frozen: FrozenRequest) -> GatewayRequest:
    """Return the request that was frozen."""
    [(name, fields)] = json.loads(frozen.body).items()
    if fields.get("proration_date"):
        fields["proration_date"] = datetime.fromisoformat(fields["proration_date"])
    request: GatewayRequest = _BY_NAME[name](**fields)
    return request


# Done


def do(books: GatewayBooks, request: GatewayRequest) -> Answer:
    """Do what a request asks for.

    Raises:
        GatewayRefused: a definite no.
    """
    try:
        return _DO[type(request)](books, request)
    except GatewayObjectMissing as error:
        raise GatewayRefused(
            "resource_missing", str(error), field=error.what
        ) from error


def _create_customer(books: GatewayBooks, wanted: CreateCustomer) -> Answer:
    customer = KeptCustomer(
        id=CustomerId(books.new_id("cus")),
        user_id=wanted.user_id,
        email=wanted.email,
        intent_id=wanted.intent_id,
    )
    return _answer(books, books.put_customer(customer).id)


def _set_up_card(books: GatewayBooks, wanted: SetUpCard) -> Answer:
    customer = books.customer(wanted.customer_id)
    set_up = KeptSetUp(
        id=books.new_id("seti"),
        customer_id=customer.id,
        user_id=wanted.user_id,
        intent_id=wanted.intent_id,
    )
    return _of_set_up(books, books.put_set_up(set_up))


def attach(books: GatewayBooks, customer_id: CustomerId, card_id: str) -> KeptCard:
    """Give a card to a customer; one that has it keeps it.

    Raises:
        GatewayRefused: another customer has it, or its bank declines.
        GatewayObjectMissing: there is no such customer or card.
    """
    customer, card = books.customer(customer_id), books.card(card_id)
    if card.customer_id not in (None, customer.id):
        raise GatewayRefused(
            "payment_method", "another customer has it", field="payment_method"
        )
    if card.behaviour is CardBehaviour.REFUSES:
        raise _declined(GENERIC_DECLINE)
    return books.put_card(attrs.evolve(card, customer_id=customer.id))


def _declined(decline_code: str | None) -> GatewayRefused:
    return GatewayRefused(
        "card_declined",
        "the card was declined",
        field="payment_method",
        decline_code=decline_code,
        declined=True,
    )


def _attach_card(books: GatewayBooks, wanted: AttachCard) -> Answer:
    card = attach(books, wanted.customer_id, wanted.payment_method)
    return _of_card(books, card)


def _make_default(books: GatewayBooks, wanted: MakeDefault) -> Answer:
    customer = books.customer(wanted.customer_id)
    card = books.own_card(wanted.payment_method, customer.id)
    books.put_customer(attrs.evolve(customer, default_card=card.id))
    return _answer(books, customer.id)


def _pin_card(books: GatewayBooks, wanted: PinCard) -> Answer:
    report = _changeable(books, wanted.subscription)
    card = books.own_card(wanted.payment_method, report.customer_id)
    report = attrs.evolve(report, pinned_card=card.id)
    return _of_subscription(books, books.put_subscription(report))


def _pay_invoice(books: GatewayBooks, wanted: PayInvoice) -> Answer:
    invoice = books.invoice(wanted.invoice_id)
    if invoice.state is CollectionState.PAID:
        return _answer(books, invoice.id)
    if invoice.state is CollectionState.CLOSED:
        raise GatewayRefused("invoice", "it is closed", field="invoice")
    card = books.own_card(wanted.payment_method, invoice.customer_id)
    invoice = billing.collect(books, invoice, card)
    if invoice.state is not CollectionState.PAID:
        raise _declined(invoice.decline_code)
    return _answer(books, invoice.id)


def _start_subscription(books: GatewayBooks, wanted: StartSubscription) -> Answer:
    report = _drafted(books, wanted)
    price, trial = books.price(report.price), report.trial_end is not None
    line = billing.period_line(
        price, report.quantity, report.period_start, report.period_end
    )
    if trial:
        line = attrs.evolve(line, amount_minor=0)
    card = books.paying_card(report)
    if wanted.has_card and card is None and line.amount_minor:
        raise GatewayRefused(
            "resource_missing", "there is no card", field="payment_method"
        )
    invoice = billing.issue(books, report, [line])
    report = attrs.evolve(report, latest_invoice_id=invoice.id)
    books.put_subscription(report)
    if wanted.has_card or not invoice.due_minor:
        billing.collect(books, invoice, card)
    report = books.subscription(report.gateway_id)
    if trial:
        report = attrs.evolve(report, status=SubscriptionStatus.TRIALING)
    return _of_subscription(books, books.put_subscription(report))


def _drafted(books: GatewayBooks, wanted: StartSubscription) -> SubscriptionReport:
    """Return what is wanted as a subscription that is not kept yet."""
    customer, price = (
        books.customer(wanted.customer_id),
        billing.sellable(books, wanted.price),
    )
    pinned = wanted.payment_method and books.own_card(
        wanted.payment_method, customer.id
    )
    now, trial_end = books.now, None
    if wanted.trial_days is not None:
        trial_end = now + timedelta(days=wanted.trial_days)
    return SubscriptionReport(
        gateway_id=books.new_id("sub"),
        customer_id=customer.id,
        status=SubscriptionStatus.INCOMPLETE,
        product=price.product,
        price=price.id,
        quantity=wanted.quantity,
        item_id=books.new_id("si"),
        currency=price.currency,
        created_at=now,
        period_start=now,
        period_end=trial_end or months_after(now, 1),
        trial_start=now if trial_end else None,
        trial_end=trial_end,
        pinned_card=pinned.id if pinned else None,
        claimed_by=wanted.user_id,
        intent_id=wanted.intent_id,
    )


def _change_subscription(books: GatewayBooks, wanted: ChangeSubscription) -> Answer:
    report = billing.change(books, books.subscription(wanted.subscription), wanted)
    return _of_subscription(books, report)


def _plan_end(books: GatewayBooks, wanted: PlanEnd) -> Answer:
    report = _changeable(books, wanted.subscription)
    ends = wanted.cancel_at_period_end
    report = attrs.evolve(
        report,
        cancel_at_period_end=ends,
        cancel_at=report.period_end if ends else None,
    )
    return _of_subscription(books, books.put_subscription(report))


def _end_subscription(books: GatewayBooks, wanted: EndSubscription) -> Answer:
    report = books.subscription(wanted.subscription)
    if not report.terminal:
        report = billing.end(books, report, at=books.now)
    return _of_subscription(books, report)


def _changeable(books: GatewayBooks, gateway_id: str) -> SubscriptionReport:
    report = books.subscription(gateway_id)
    if report.terminal:
        raise GatewayRefused("subscription", f"it is {report.status}")
    return report


# Found again


def find(books: GatewayBooks, request: GatewayRequest) -> Answer | None:
    """Return what a request made or reached; None if nothing came of it."""
    try:
        return _FIND[type(request)](books, request)
    except GatewayObjectMissing:
        return None


def _found_customer(books: GatewayBooks, wanted: CreateCustomer) -> Answer | None:
    for customer in books.customers.values():
        if customer.intent_id == wanted.intent_id:
            return _answer(books, customer.id)
    return None


def _found_set_up(books: GatewayBooks, wanted: SetUpCard) -> Answer | None:
    for set_up in books.set_ups.values():
        known = (set_up.customer_id, set_up.intent_id)
        if known == (wanted.customer_id, wanted.intent_id):
            return _of_set_up(books, set_up)
    return None


def _found_card(books: GatewayBooks, wanted: AttachCard) -> Answer | None:
    # A magic name is no payment method's: what was made of it cannot be found.
    card = books.cards.get(wanted.payment_method)
    if card is None or card.customer_id != wanted.customer_id:
        return None
    return _of_card(books, card)


def _found_default(books: GatewayBooks, wanted: MakeDefault) -> Answer | None:
    customer = books.customer(wanted.customer_id)
    reached = customer.default_card == wanted.payment_method
    return _answer(books, customer.id) if reached else None


def _found_pinned(books: GatewayBooks, wanted: PinCard) -> Answer | None:
    report = books.subscription(wanted.subscription)
    reached = report.pinned_card == wanted.payment_method
    return _of_subscription(books, report) if reached else None


def _found_paid(books: GatewayBooks, wanted: PayInvoice) -> Answer | None:
    invoice: KeptInvoice = books.invoice(wanted.invoice_id)
    reached = invoice.state is CollectionState.PAID
    return _answer(books, invoice.id) if reached else None


def _found_subscription(
    books: GatewayBooks, wanted: StartSubscription
) -> Answer | None:
    for report in books.of_customer(wanted.customer_id):
        if report.intent_id == wanted.intent_id:
            return _of_subscription(books, report)
    return None


def _found_change(books: GatewayBooks, wanted: ChangeSubscription) -> Answer | None:
    report = books.subscription(wanted.subscription)
    # A change that is held has been made as well: it waits for its payment.
    now = report.pending or report
    same_price = wanted.price in (None, now.price)
    same_quantity = wanted.quantity in (None, now.quantity)
    return _of_subscription(books, report) if same_price and same_quantity else None


def _found_planned(books: GatewayBooks, wanted: PlanEnd) -> Answer | None:
    report = books.subscription(wanted.subscription)
    reached = report.cancel_at_period_end == wanted.cancel_at_period_end
    return _of_subscription(books, report) if reached else None


def _found_ended(books: GatewayBooks, wanted: EndSubscription) -> Answer | None:
    report = books.subscription(wanted.subscription)
    return _of_subscription(books, report) if report.terminal else None


# Answered


def _answer(books: GatewayBooks, id_: str) -> Answer:
    return Answer(id=id_, at=books.now)


def _of_set_up(books: GatewayBooks, set_up: KeptSetUp) -> Answer:
    answer = _answer(books, set_up.id)
    return attrs.evolve(answer, client_secret=set_up.client_secret)


def _of_card(books: GatewayBooks, card: KeptCard) -> Answer:
    return attrs.evolve(_answer(books, card.id), card=card.card)


def _of_subscription(books: GatewayBooks, report: SubscriptionReport) -> Answer:
    return attrs.evolve(
        _answer(books, report.gateway_id),
        subscription=report,
        term=books.last_term(report.gateway_id),
    )


# Which request is which; each function is called with requests of its own class only.

_SUBSCRIPTION: Final = "/v1/subscriptions/{subscription}"
_PATHS: Final[Mapping[type, tuple[str, str]]] = MappingProxyType(
    {
        CreateCustomer: ("POST", "/v1/customers"),
        SetUpCard: ("POST", "/v1/setup_intents"),
        AttachCard: ("POST", "/v1/payment_methods/{payment_method}/attach"),
        MakeDefault: ("POST", "/v1/customers/{customer_id}"),
        PinCard: ("POST", _SUBSCRIPTION),
        PayInvoice: ("POST", "/v1/invoices/{invoice_id}/pay"),
        StartSubscription: ("POST", "/v1/subscriptions"),
        ChangeSubscription: ("POST", _SUBSCRIPTION),
        PlanEnd: ("POST", _SUBSCRIPTION),
        EndSubscription: ("DELETE", _SUBSCRIPTION),
    }
)
_BY_NAME: Final[Mapping[str, Any]] = {kind.__name__: kind for kind in _PATHS}
_DO: Final[Mapping[type, Callable[[GatewayBooks, Any], Answer]]] = MappingProxyType(
    {
        CreateCustomer: _create_customer,
        SetUpCard: _set_up_card,
        AttachCard: _attach_card,
        MakeDefault: _make_default,
        PinCard: _pin_card,
        PayInvoice: _pay_invoice,
        StartSubscription: _start_subscription,
        ChangeSubscription: _change_subscription,
        PlanEnd: _plan_end,
        EndSubscription: _end_subscription,
    }
)
_FIND: Final[Mapping[type, Callable[[GatewayBooks, Any], Answer | None]]] = (
    MappingProxyType(
        {
            CreateCustomer: _found_customer,
            SetUpCard: _found_set_up,
            AttachCard: _found_card,
            MakeDefault: _found_default,
            PinCard: _found_pinned,
            PayInvoice: _found_paid,
            StartSubscription: _found_subscription,
            ChangeSubscription: _found_change,
            PlanEnd: _found_planned,
            EndSubscription: _found_ended,
        }
    )
)
