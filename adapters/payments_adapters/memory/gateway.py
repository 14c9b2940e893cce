"""A small fake of a payment gateway: for unit tests, and services that embed the core.

Rule 1: it stores objects; a card either pays or does not; a period is a month, and
        never ends by itself. Trials and changes of plan are refused: the sandbox does
        real billing.
Rule 2: the same calls at the same times, by its clock, give the same ids and answers.
Rule 3: a planned fault happens once. A repeated key gets its first answer.
"""

import asyncio
import copy
import json
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from typing import Final, TypeVar

import attrs

from payments_adapters.emails import read_email
from payments_adapters.memory.gateway_objects import GatewayObjects, Making
from payments_core import gateway as core
from payments_core.card import Card
from payments_core.errors import (
    GatewayObjectMissing,
    GatewayOutcomeUnknown,
    GatewayRefused,
)
from payments_core.event_list import EventQuery, ListedEvents
from payments_core.events import ObjectChanged
from payments_core.gateway import (
    Answer,
    FrozenRequest,
    GatewayRequest,
    InvoicePaymentState,
)
from payments_core.identity import CustomerId, UserId
from payments_core.job_key import JobKey
from payments_core.money import Money
from payments_core.months import months_after
from payments_core.payment import Payment, PaymentId, PaymentState
from payments_core.ports import Clock
from payments_core.subscription import PaidPeriod
from payments_core.subscription import SubscriptionReport as Report
from payments_core.subscription import SubscriptionStatus as Status

NOT_PAYING: Final = "0341"  # last digits, as docs.stripe.com/testing gives them
_Row = TypeVar("_Row")


@attrs.define(eq=False)
class MemoryGateway:
    """A `PaymentGateway`; `sent` has every request, also failed ones.

    A test puts prices, cards and events into `objects`, and completes set-ups there.
    """

    clock: Clock
    objects: GatewayObjects = attrs.Factory(GatewayObjects)
    sent: list[tuple[str, FrozenRequest]] = attrs.field(init=False, factory=list)
    _faults: list[tuple[Exception, bool]] = attrs.field(init=False, factory=list)
    _told: dict[str, tuple[FrozenRequest, Answer | Exception]] = attrs.field(
        init=False, factory=dict
    )

    def plan(self, fault: Exception, *, done: bool = False) -> None:
        """Make the next request raise this; `done`: it takes effect all the same."""
        self._faults.append((fault, done))

    def freeze(self, request: GatewayRequest) -> FrozenRequest:
        body = json.dumps(attrs.asdict(request), default=datetime.isoformat)
        path = f"/{type(request).__name__}"
        return FrozenRequest(method="POST", path=path, body=body, api_version="memory")

    async def send(
        self, request: GatewayRequest, frozen: FrozenRequest, *, idempotency_key: str
    ) -> Answer:
        self.sent.append((idempotency_key, frozen))
        # A gateway never answers at once: other tasks run in between, here as well.
        await asyncio.sleep(0)
        fault, done = self._faults.pop(0) if self._faults else (None, True)
        if done and idempotency_key not in self._told:
            wanted = type(request)(**json.loads(frozen.body))
            self._told[idempotency_key] = frozen, self._outcome(wanted)
        if fault is not None:
            if (
                isinstance(fault, GatewayOutcomeUnknown) and fault.server_error_cached
            ):  # its key keeps it
                self._told[idempotency_key] = frozen, fault
            raise fault
        first, told = self._told[idempotency_key]
        if first != frozen:
            raise GatewayOutcomeUnknown(
                "the idempotency key was used with another request"
            )
        if isinstance(told, Exception):
            raise told.with_traceback(None)  # otherwise it accumulates frames
        return told

    async def find(self, request: GatewayRequest) -> Answer | None:
        if isinstance(request, Making):
            for id_, it in self.objects.made.items():
                if type(it) is type(request) and it.intent_id == request.intent_id:
                    return self._answer(id_)
            return None
        before, self.objects = self.objects, copy.deepcopy(self.objects)
        outcome = self._outcome(request)
        # If the request would change nothing, it has been done already.
        reached, self.objects = self.objects == before, before
        return outcome if reached and isinstance(outcome, Answer) else None

    def _outcome(self, request: GatewayRequest) -> Answer | GatewayRefused:
        try:
            return self._answer(self._do(request))
        except GatewayObjectMissing as error:
            return GatewayRefused("missing", str(error), field=error.what)
        except GatewayRefused as refusal:
            return refusal

    def _do(self, request: GatewayRequest) -> str:
        """Do what is requested; return the id of its object."""
        it = self.objects
        match request:
            case core.CreateCustomer():
                id_ = self._made("cus", request)
            case core.CreateSetupIntent(customer_id=customer):
                _found(it.made, customer, "customer")
                id_ = self._made("seti", request)
                it.set_ups_begun[id_] = self._now
                it.set_ups[id_] = core.SetUp(
                    customer_id=customer, payment_method=None, succeeded=False
                )
            case core.CreateSubscription():
                id_ = self._started(request)
            case core.AttachCard(customer_id=customer, payment_method=id_):
                _found(it.made, customer, "customer")
                _found(it.cards, id_, "payment_method")
                owner = it.card_owners.setdefault(id_, customer)
                _refuse_if(owner != customer, "payment_method")
            case core.MakeDefault(customer_id=id_, payment_method=card):
                it.default_cards[id_] = self._own_card(id_, card)
            case core.PayInvoice(invoice_id=id_, payment_method=card):
                self._pay(id_, card)
            case _:
                id_ = request.subscription
                report = _found(it.subscriptions, id_, "subscription")
                it.subscriptions[id_] = self._changed(report, request)
        return id_

    def _made(self, prefix: str, request: Making) -> str:
        id_ = f"{prefix}_{len(self.objects.made)}"
        self.objects.made[id_] = request
        return id_

    def _own_card(self, customer: str, card: str) -> str:
        owner = self.objects.card_owners.get(card)
        _refuse_if(owner != customer, "payment_method")
        return card

    def _started(self, wanted: core.CreateSubscription) -> str:
        it, customer = self.objects, wanted.customer_id
        _found(it.made, customer, "customer")
        price = _found(it.prices, wanted.price, "price")
        _refuse_if(not (price.active and price.recurring), "price")
        _refuse_if(wanted.trial_days, "trial_days")
        card = wanted.payment_method or it.default_cards.get(customer, "")
        pays = wanted.has_card and self._own_card(customer, card)
        id_ = self._made("sub", wanted)
        invoice = f"in_{id_}"
        it.subscriptions[id_] = Report(
            gateway_id=id_,
            customer_id=customer,
            status=Status.INCOMPLETE,
            product=price.product,
            price=price.id,
            quantity=wanted.quantity,
            item_id=f"si_{id_}",
            currency=price.currency,
            created_at=self._now,
            period_start=self._now,
            period_end=months_after(self._now, 1),
            pinned_card=wanted.payment_method,
            latest_invoice_id=invoice,
            metadata_user_id=wanted.user_id,
            intent_id=wanted.intent_id,
        )
        secret, state = f"{invoice}_secret", InvoicePaymentState.OPEN
        it.invoices[invoice] = core.InvoicePayment(state=state, client_secret=secret)
        if pays:
            with suppress(GatewayRefused):
                self._pay(invoice, card)
        return id_

    def _pay(self, invoice_id: str, card: str) -> None:
        it, id_ = self.objects, invoice_id.removeprefix("in_")
        invoice = _found(it.invoices, invoice_id, "invoice")
        report = it.subscriptions[id_]
        pays = it.cards[self._own_card(report.customer_id, card)].last4 != NOT_PAYING
        if invoice.state is InvoicePaymentState.PAID:
            return
        _refuse_if(report.is_terminal, "invoice")
        minor = (it.prices[report.price].amount_minor or 0) * report.quantity
        charge = PaymentId(f"ch_{len(it.payments)}")
        it.payments[charge] = Payment(
            id=charge,
            state=PaymentState.SUCCEEDED if pays else PaymentState.FAILED,
            amount=Money(minor, report.currency),
            created_at=self._now,
            customer_id=report.customer_id,
            invoice_id=invoice_id,
            subscription_id=id_,
            invoice_known=True,
            failure_code=None if pays else "card_declined",
        )
        state = InvoicePaymentState.PAID if pays else InvoicePaymentState.DECLINED
        code = None if pays else "generic_decline"
        it.invoices[invoice_id] = attrs.evolve(invoice, state=state, decline_code=code)
        if not pays:
            raise GatewayRefused("card", "declined", decline_code=code, declined=True)
        paid = attrs.evolve(report, status=Status.ACTIVE, pinned_card=card)
        it.subscriptions[id_] = paid
        it.paid_periods[id_] = PaidPeriod(
            gateway_id=id_,
            invoice_id=invoice_id,
            starts_at=report.period_start,
            ends_at=report.period_end,
            amount_paid_minor=minor,
        )

    def _changed(self, report: Report, wanted: GatewayRequest) -> Report:
        if isinstance(wanted, core.CancelSubscription):
            ended = attrs.evolve(report, status=Status.CANCELED, ended_at=self._now)
            return report if report.is_terminal else ended
        _refuse_if(report.is_terminal, "subscription")
        if isinstance(wanted, core.SetSubscriptionCard):
            card = self._own_card(report.customer_id, wanted.payment_method)
            return attrs.evolve(report, pinned_card=card)
        if isinstance(wanted, core.SetCancelAtPeriodEnd):
            at = report.period_end if wanted.cancel_at_period_end else None
            return attrs.evolve(report, cancel_at_period_end=bool(at), cancel_at=at)
        raise GatewayRefused("change", f"{report.gateway_id}: not prorated here")

    async def preview(
        self, customer_id: CustomerId, change: core.UpdateSubscription
    ) -> core.Preview:
        raise GatewayRefused("change", f"{customer_id}, {change}: not prorated here")

    async def customer_of(self, user_id: UserId, email: str) -> CustomerId | None:
        wanted = (user_id, email)
        for id_, it in self.objects.made.items():
            if isinstance(it, core.CreateCustomer) and (it.user_id, it.email) == wanted:
                return CustomerId(id_)
        return None

    async def customer(self, customer_id: CustomerId) -> core.FetchedCustomer:
        made = _found(self.objects.made, customer_id, "customer")
        is_deleted = customer_id in self.objects.deleted_customers
        email = None if is_deleted else getattr(made, "email", None)
        return core.FetchedCustomer(
            deleted=is_deleted,
            metadata_user_id=getattr(made, "user_id", None),
            email_key=read_email(email).key if email else None,
            card=await self.card_of(customer_id),
        )

    async def subscription(self, gateway_id: str) -> core.FetchedSubscription:
        report = _found(self.objects.subscriptions, gateway_id, "subscription")
        paid = self.objects.paid_periods.get(gateway_id)
        return core.FetchedSubscription(
            report=report, paid_periods=[paid] if paid else [], at=self._now
        )

    async def subscriptions_of(self, customer_id: CustomerId) -> list[Report]:
        reports = self.objects.subscriptions.values()
        return [it for it in reports if it.customer_id == customer_id]

    async def card_of(self, customer_id: CustomerId) -> Card | None:
        _found(self.objects.made, customer_id, "customer")
        return self.objects.cards.get(self.objects.default_cards.get(customer_id, ""))

    async def card(self, customer_id: CustomerId, card_id: str) -> Card | None:
        is_theirs = self.objects.card_owners.get(card_id) == customer_id
        return self.objects.cards.get(card_id) if is_theirs else None

    async def open_invoices(self, subscription: str) -> Sequence[str]:
        invoice = f"in_{subscription}"
        found = self.objects.invoices.get(invoice)
        over = {InvoicePaymentState.PAID, InvoicePaymentState.CLOSED}
        return [invoice] if found and found.state not in over else []

    async def invoice_payment(self, invoice_id: str) -> core.InvoicePayment:
        return _found(self.objects.invoices, invoice_id, "invoice")

    async def set_up(self, set_up_id: str) -> core.SetUp:
        return _found(self.objects.set_ups, set_up_id, "set_up")

    async def newest_set_up(
        self, customer_id: CustomerId, *, since: datetime
    ) -> str | None:
        for id_, begun in reversed(self.objects.set_ups_begun.items()):
            is_theirs = self.objects.set_ups[id_].customer_id == customer_id
            if is_theirs and begun >= since:
                return id_
        return None

    async def payment(self, payment_id: PaymentId) -> core.FetchedPayment:
        found = _found(self.objects.payments, payment_id, "payment")
        periods = self.objects.paid_periods.values()
        return core.FetchedPayment(
            payment=attrs.evolve(found, invoice_known=True),
            paid_periods=[it for it in periods if it.invoice_id == found.invoice_id],
            at=self._now,
        )

    async def jobs_of(self, changed: ObjectChanged) -> Sequence[JobKey]:
        return _found(self.objects.jobs_of, changed.id, changed.kind)

    async def events(self, query: EventQuery) -> ListedEvents:
        return self.objects.listed(query, self._now)

    async def price(self, price_id: str) -> core.Price:
        return _found(self.objects.prices, price_id, "price")

    async def price_of(self, product_id: str) -> core.Price:
        prices = reversed(self.objects.prices.values())
        return _found({it.product: it for it in prices}, product_id, "product")

    @property
    def _now(self) -> datetime:
        return self.clock().replace(microsecond=0)

    def _answer(self, id_: str) -> Answer:
        return Answer(
            id=id_,
            at=self._now,
            client_secret=f"{id_}_secret" if id_ in self.objects.set_ups else None,
            card=self.objects.cards.get(id_),
            subscription=self.objects.subscriptions.get(id_),
            paid_period=self.objects.paid_periods.get(id_),
        )


def _found(table: dict[str, _Row], id_: str, what: str) -> _Row:
    if id_ not in table:
        raise GatewayObjectMissing(what)
    return table[id_]


def _refuse_if(wrong: object, field: str) -> None:
    if wrong:
        raise GatewayRefused(field, "it is refused", field=field)
