"""What Stripe answers to each of our requests, and how to tell that it was done.

Rule 1: an answer counts only if it is about what was asked for; else it is silence.
Rule 2: what makes something is found by the intent in its metadata. What says how
        things should be is found by looking at them.
"""

from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import attrs
import msgspec

from payments_adapters.stripe import billing, objects
from payments_adapters.stripe.client import Got
from payments_adapters.stripe.fields import id_of
from payments_adapters.stripe.requests import path
from payments_core import gateway as ours
from payments_core.errors import GatewayObjectMissing, GatewayRefused, GatewaySilent
from payments_core.gateway import Answer
from payments_core.subscription import SubscriptionReport

if TYPE_CHECKING:
    from payments_adapters.stripe.gateway import StripeGateway

_ENDED: Final = frozenset({"canceled", "incomplete_expired"})
_EXPAND_INVOICE: Final = {"expand": ["latest_invoice"]}

CUSTOMER: Final = msgspec.json.Decoder(objects.Customer)
CUSTOMERS: Final = msgspec.json.Decoder(objects.Page[objects.Customer])
SET_UP: Final = msgspec.json.Decoder(objects.SetUpIntent)
SET_UPS: Final = msgspec.json.Decoder(objects.Page[objects.SetUpIntent])
METHOD: Final = msgspec.json.Decoder(billing.PaymentMethod)
SUBSCRIPTION: Final = msgspec.json.Decoder(billing.Subscription)
SUBSCRIPTIONS: Final = msgspec.json.Decoder(objects.Page[billing.Subscription])
INVOICE: Final = msgspec.json.Decoder(objects.CollectedInvoice)


def _require(holds: bool) -> None:  # noqa: FBT001  # the one thing it is about
    if not holds:
        raise GatewaySilent("an answer about something else")


def report_of(subscription: billing.Subscription) -> SubscriptionReport:
    """Return what a subscription says.

    Raises:
        GatewaySilent: it cannot be read.
    """
    try:
        return billing.report_of(subscription)
    except billing.Unreadable as error:
        raise GatewaySilent(str(error)) from error


def _marked(it: Any, intent_id: str) -> bool:  # whatever has metadata
    return it.metadata is not None and it.metadata.intent_id == intent_id


# Answers


def _customer(asked: ours.CreateCustomer, got: Got[objects.Customer]) -> Answer:
    _require(_marked(got.it, asked.intent_id))
    return Answer(id=got.it.id, at=got.at)


def _set_up(asked: ours.SetUpCard, got: Got[objects.SetUpIntent]) -> Answer:
    _require(_marked(got.it, asked.intent_id))
    return Answer(id=got.it.id, at=got.at, client_secret=got.it.client_secret)


def _card(asked: ours.AttachCard, got: Got[billing.PaymentMethod]) -> Answer:
    _require(id_of(got.it.customer) == asked.customer_id)
    card = billing.card_of(got.it)
    if card is None:
        raise GatewayRefused(
            "not_a_card", "only cards are taken", field="payment_method"
        )
    return Answer(id=got.it.id, at=got.at, card=card)


def _default(asked: ours.MakeDefault, got: Got[objects.Customer]) -> Answer:
    _require(got.it.id == asked.customer_id)
    _require(got.it.default_method == asked.payment_method)
    return Answer(id=got.it.id, at=got.at)


def _paid(asked: ours.PayInvoice, got: Got[objects.CollectedInvoice]) -> Answer:
    _require(got.it.id == asked.invoice_id)
    if got.it.status != "paid":
        raise GatewayRefused(
            "invoice_not_paid",
            "the bank did not pay",
            field="payment_method",
            declined=True,
        )
    return Answer(id=got.it.id, at=got.at)


def _started(asked: ours.StartSubscription, got: Got[billing.Subscription]) -> Answer:
    _require(_marked(got.it, asked.intent_id))
    return _told(got)


def _changed(
    asked: ours.ChangeSubscription | ours.PinCard | ours.PlanEnd,
    got: Got[billing.Subscription],
) -> Answer:
    _require(got.it.id == asked.subscription)
    return _told(got)


def _ended(asked: ours.EndSubscription, got: Got[billing.Subscription]) -> Answer:
    _require(got.it.id == asked.subscription and got.it.status in _ENDED)
    return _told(got)


def _told(got: Got[billing.Subscription]) -> Answer:
    invoice = got.it.latest_invoice
    paid = billing.term_of(invoice) if isinstance(invoice, billing.Invoice) else None
    return Answer(id=got.it.id, at=got.at, subscription=report_of(got.it), term=paid)


# Looked for


async def _find_customer(
    gateway: "StripeGateway", asked: ours.CreateCustomer
) -> Answer | None:
    params = {"email": asked.email}
    found = await gateway.made("customers", CUSTOMERS, params, asked.intent_id)
    return None if found is None else _customer(asked, found)


async def _find_set_up(
    gateway: "StripeGateway", asked: ours.SetUpCard
) -> Answer | None:
    params = {"customer": asked.customer_id}
    found = await gateway.made("setup_intents", SET_UPS, params, asked.intent_id)
    return None if found is None else _set_up(asked, found)


async def _find_started(
    gateway: "StripeGateway", asked: ours.StartSubscription
) -> Answer | None:
    params = {"customer": asked.customer_id, "status": "all"}
    found = await gateway.made("subscriptions", SUBSCRIPTIONS, params, asked.intent_id)
    return None if found is None else _started(asked, found)


async def _find_card(gateway: "StripeGateway", asked: ours.AttachCard) -> Answer | None:
    where = path("payment_methods", asked.payment_method, field="payment_method")
    try:
        got = await gateway.get(where, METHOD, "payment_method")
    except (GatewayObjectMissing, GatewayRefused):
        return None
    is_there = id_of(got.it.customer) == asked.customer_id
    return _card(asked, got) if is_there else None


async def _find_default(
    gateway: "StripeGateway", asked: ours.MakeDefault
) -> Answer | None:
    got = await gateway.get(path("customers", asked.customer_id), CUSTOMER, "customer")
    is_so = got.it.default_method == asked.payment_method
    return _default(asked, got) if is_so else None


async def _find_paid(gateway: "StripeGateway", asked: ours.PayInvoice) -> Answer | None:
    got = await gateway.get(path("invoices", asked.invoice_id), INVOICE, "invoice")
    return _paid(asked, got) if got.it.status == "paid" else None


async def _seen(gateway: "StripeGateway", id_: str) -> Got[billing.Subscription]:
    where = path("subscriptions", id_)
    return await gateway.get(where, SUBSCRIPTION, "subscription", _EXPAND_INVOICE)


async def _find_changed(
    gateway: "StripeGateway", asked: ours.ChangeSubscription
) -> Answer | None:
    got = await _seen(gateway, asked.subscription)
    report = report_of(got.it)
    held = report.pending
    states = [(report.price, report.quantity)]
    if held is not None:
        states.append((held.price or report.price, held.quantity or report.quantity))
    wanted = {(asked.price or price, asked.quantity or many) for price, many in states}
    return _changed(asked, got) if wanted & set(states) else None


async def _find_planned(gateway: "StripeGateway", asked: ours.PlanEnd) -> Answer | None:
    got = await _seen(gateway, asked.subscription)
    is_so = got.it.cancel_at_period_end is asked.cancel_at_period_end
    return _changed(asked, got) if is_so else None


async def _find_pinned(gateway: "StripeGateway", asked: ours.PinCard) -> Answer | None:
    got = await _seen(gateway, asked.subscription)
    is_so = id_of(got.it.default_payment_method) == asked.payment_method
    return _changed(asked, got) if is_so else None


async def _find_ended(
    gateway: "StripeGateway", asked: ours.EndSubscription
) -> Answer | None:
    got = await _seen(gateway, asked.subscription)
    return _ended(asked, got) if got.it.status in _ENDED else None


@attrs.frozen
class Sending:
    """How the answer to a kind of request is read, and how its effect is found."""

    kind: str
    reads: "msgspec.json.Decoder[Any]"
    answer: Callable[[Any, Got[Any]], Answer]
    find: Callable[["StripeGateway", Any], Awaitable[Answer | None]]
    # A no may mean that it is so already.
    may_be_done: bool = False
    # What a no is about that names nothing.
    field: str | None = None


SENDINGS: Final[Mapping[type, Sending]] = MappingProxyType(
    {
        ours.CreateCustomer: Sending("customer", CUSTOMER, _customer, _find_customer),
        ours.SetUpCard: Sending("setup_intent", SET_UP, _set_up, _find_set_up),
        ours.AttachCard: Sending(
            "payment_method",
            METHOD,
            _card,
            _find_card,
            may_be_done=True,
            field="payment_method",
        ),
        ours.MakeDefault: Sending("customer", CUSTOMER, _default, _find_default),
        ours.PinCard: Sending("subscription", SUBSCRIPTION, _changed, _find_pinned),
        ours.PayInvoice: Sending(
            "invoice", INVOICE, _paid, _find_paid, may_be_done=True
        ),
        ours.StartSubscription: Sending(
            "subscription", SUBSCRIPTION, _started, _find_started
        ),
        ours.ChangeSubscription: Sending(
            "subscription", SUBSCRIPTION, _changed, _find_changed
        ),
        ours.PlanEnd: Sending("subscription", SUBSCRIPTION, _changed, _find_planned),
        ours.EndSubscription: Sending(
            "subscription", SUBSCRIPTION, _ended, _find_ended, may_be_done=True
        ),
    }
)
