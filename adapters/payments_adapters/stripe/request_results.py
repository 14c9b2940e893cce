"""Stripe's answers to our requests, and how to find out whether one was done.

Rule 1: an answer counts only if it is about the object of the request.
Rule 2: an object that a request creates is found by the intent in its metadata. The
        effect of a request that sets a state is found by reading that state.
"""

from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

import attrs

from payments_adapters.stripe import billing
from payments_adapters.stripe.api_reader import (
    COLLECTED,
    CUSTOMER,
    MADE_SUBSCRIPTION,
    METHOD,
    SET_UP,
    SUBSCRIPTION,
    Kind,
    Reading,
)
from payments_adapters.stripe.client import Got
from payments_adapters.stripe.customers import Customer, SetUpIntent
from payments_adapters.stripe.fields import Metadata, id_of
from payments_adapters.stripe.invoice_payments import CollectedInvoice
from payments_core import gateway as ours
from payments_core.errors import (
    GatewayObjectMissing,
    GatewayOutcomeUnknown,
    GatewayRefused,
)
from payments_core.gateway import Answer, GatewayRequest
from payments_core.subscription import SubscriptionReport

_ENDED: Final = frozenset({"canceled", "incomplete_expired"})
# In test mode these are aliases of cards: attached, they become payment methods.
_MAGIC: Final = "pm_card_"

_Subscription = Got[billing.Subscription]


def _require(holds: bool) -> None:  # noqa: FBT001  # its only argument
    if not holds:
        raise GatewayOutcomeUnknown("an answer about something else")


def report_of(subscription: billing.Subscription) -> SubscriptionReport:
    """Return what a subscription reports.

    Raises:
        GatewayOutcomeUnknown: it cannot be read.
    """
    try:
        return billing.report_of(subscription)
    except billing.Unreadable as error:
        raise GatewayOutcomeUnknown(str(error)) from error


# Customers and cards


def _customer(asked: ours.CreateCustomer, got: Got[Customer]) -> Answer:
    _require(got.it.is_marked(asked.intent_id))
    return Answer(id=got.it.id, at=got.at)


async def _find_customer(reading: Reading, asked: ours.CreateCustomer) -> Answer | None:
    got = await reading.marked(CUSTOMER, asked.intent_id, email=asked.email)
    return _customer(asked, got) if got else None


def _set_up(asked: ours.CreateSetupIntent, got: Got[SetUpIntent]) -> Answer:
    _require(got.it.is_marked(asked.intent_id))
    _require(id_of(got.it.customer) == asked.customer_id)
    return Answer(id=got.it.id, at=got.at, client_secret=got.it.client_secret)


async def _find_set_up(
    reading: Reading, asked: ours.CreateSetupIntent
) -> Answer | None:
    got = await reading.marked(SET_UP, asked.intent_id, customer=asked.customer_id)
    return _set_up(asked, got) if got else None


def _card(asked: ours.AttachCard, got: Got[billing.PaymentMethod]) -> Answer:
    is_magic = asked.payment_method.startswith(_MAGIC)
    _require(got.it.id == asked.payment_method or is_magic)
    _require(id_of(got.it.customer) == asked.customer_id)
    card = billing.card_of(got.it)
    if card is None:
        raise GatewayRefused(
            "not_a_card", "only cards are accepted", field="payment_method"
        )
    return Answer(id=got.it.id, at=got.at, card=card)


async def _find_card(reading: Reading, asked: ours.AttachCard) -> Answer | None:
    if asked.payment_method.startswith(_MAGIC):
        # The payment method made from it has another id.
        return None
    got = await reading.one(METHOD, asked.payment_method)
    is_there = id_of(got.it.customer) == asked.customer_id
    return _card(asked, got) if is_there else None


def _default(asked: ours.MakeDefault, got: Got[Customer]) -> Answer:
    _require(got.it.id == asked.customer_id)
    _require(got.it.default_method == asked.payment_method)
    return Answer(id=got.it.id, at=got.at)


async def _find_default(reading: Reading, asked: ours.MakeDefault) -> Answer | None:
    got = await reading.one(CUSTOMER, asked.customer_id)
    is_so = got.it.default_method == asked.payment_method
    return _default(asked, got) if is_so else None


def _paid(asked: ours.PayInvoice, got: Got[CollectedInvoice]) -> Answer:
    _require(got.it.id == asked.invoice_id)
    if got.it.status != "paid":
        raise GatewayOutcomeUnknown("an invoice that is being paid")
    return Answer(id=got.it.id, at=got.at)


async def _find_paid(reading: Reading, asked: ours.PayInvoice) -> Answer | None:
    got = await reading.one(COLLECTED, asked.invoice_id)
    return _paid(asked, got) if got.it.status == "paid" else None


# Subscriptions


def _told(got: _Subscription) -> Answer:
    report, periods = report_of(got.it), billing.last_paid_periods_of(got.it)
    own = (it for it in periods if it.item_id in {None, report.item_id})
    return Answer(
        id=got.it.id, at=got.at, subscription=report, paid_period=next(own, None)
    )


async def _seen(reading: Reading, id_: str) -> _Subscription:
    return await reading.one(SUBSCRIPTION, id_, "latest_invoice")


def _started(asked: ours.CreateSubscription, got: _Subscription) -> Answer:
    _require(id_of(got.it.customer) == asked.customer_id)
    _require((got.it.metadata or Metadata()).intent_id == asked.intent_id)
    return _told(got)


async def _find_started(
    reading: Reading, asked: ours.CreateSubscription
) -> Answer | None:
    got = await reading.marked(
        MADE_SUBSCRIPTION, asked.intent_id, customer=asked.customer_id, status="all"
    )
    return _started(asked, await _seen(reading, got.it.id)) if got else None


def _changed(
    asked: ours.UpdateSubscription
    | ours.SetCancelAtPeriodEnd
    | ours.SetSubscriptionCard,
    got: _Subscription,
) -> Answer:
    _require(got.it.id == asked.subscription)
    return _told(got)


async def _find_changed(
    reading: Reading, asked: ours.UpdateSubscription
) -> Answer | None:
    got = await _seen(reading, asked.subscription)
    report = report_of(got.it)
    states = [(report.price, report.quantity)]
    if held := report.pending:
        # The change was made too: it waits for its payment.
        states.append((held.price or report.price, held.quantity or report.quantity))
    is_so = any(
        asked.price in {None, price} and asked.quantity in {None, quantity}
        for price, quantity in states
    )
    return _changed(asked, got) if is_so else None


async def _find_planned(
    reading: Reading, asked: ours.SetCancelAtPeriodEnd
) -> Answer | None:
    got = await _seen(reading, asked.subscription)
    report = report_of(got.it)
    is_planned = report.cancel_at_period_end
    if not is_planned and report.cancel_at is not None:
        # Since 2025-09-30 an end that comes with the period may be set as a time; any
        # time is an end that was not revoked.
        is_planned = (
            not asked.cancel_at_period_end or report.cancel_at <= report.period_end
        )
    is_so = is_planned is asked.cancel_at_period_end
    return _changed(asked, got) if is_so else None


async def _find_pinned(
    reading: Reading, asked: ours.SetSubscriptionCard
) -> Answer | None:
    got = await _seen(reading, asked.subscription)
    is_so = id_of(got.it.default_payment_method) == asked.payment_method
    return _changed(asked, got) if is_so else None


def _ended(asked: ours.CancelSubscription, got: _Subscription) -> Answer:
    _require(got.it.id == asked.subscription and got.it.status in _ENDED)
    return _told(got)


async def _find_ended(
    reading: Reading, asked: ours.CancelSubscription
) -> Answer | None:
    got = await _seen(reading, asked.subscription)
    return _ended(asked, got) if got.it.status in _ENDED else None


# The table


@attrs.frozen
class Sending:
    """How the answer to a kind of request is read, and how its effect is found."""

    kind: Kind[Any]
    answer: Callable[[Any, Got[Any]], Answer]
    find: Callable[[Reading, Any], Awaitable[Answer | None]]
    # A refusal may mean that it was done already.
    may_be_done: bool = False
    # The field of a refusal that names none.
    field: str | None = None


SENDINGS: Final[Mapping[type, Sending]] = MappingProxyType(
    {
        ours.CreateCustomer: Sending(CUSTOMER, _customer, _find_customer),
        ours.CreateSetupIntent: Sending(SET_UP, _set_up, _find_set_up),
        ours.AttachCard: Sending(
            METHOD, _card, _find_card, may_be_done=True, field="payment_method"
        ),
        ours.MakeDefault: Sending(CUSTOMER, _default, _find_default),
        ours.SetSubscriptionCard: Sending(SUBSCRIPTION, _changed, _find_pinned),
        ours.PayInvoice: Sending(COLLECTED, _paid, _find_paid, may_be_done=True),
        ours.CreateSubscription: Sending(SUBSCRIPTION, _started, _find_started),
        ours.UpdateSubscription: Sending(SUBSCRIPTION, _changed, _find_changed),
        ours.SetCancelAtPeriodEnd: Sending(SUBSCRIPTION, _changed, _find_planned),
        ours.CancelSubscription: Sending(
            SUBSCRIPTION, _ended, _find_ended, may_be_done=True
        ),
    }
)


async def find(reading: Reading, request: GatewayRequest) -> Answer | None:
    """Return what a request made or reached; None if it had no effect."""
    try:
        return await SENDINGS[type(request)].find(reading, request)
    except GatewayObjectMissing:
        return None
