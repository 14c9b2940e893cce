"""A payment gateway in memory: for tests, demos and services that embed the core.

Rule 1: it has one second, its clock's, and no will of its own: a renewal, a bank's
        confirmation, a card set up in a browser happen when they are told to.
Rule 2: the same calls at the same times give the same ids and answers.
Rule 3: what goes wrong is planned, and happens once.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

import attrs

from payments_adapters.memory import gateway_billing as billing
from payments_adapters.memory import gateway_requests as requests
from payments_adapters.memory.gateway_books import (
    GatewayBooks,
    Ledger,
    ledger_of,
)
from payments_adapters.memory.gateway_faults import (
    PLANNED_REFUSAL,
    FaultPlan,
    GatewayFault,
    KeptAnswer,
    KeptAnswers,
    PlannedFault,
)
from payments_core.card import Card
from payments_core.errors import (
    GatewayBusy,
    GatewayObjectMissing,
    GatewayRefused,
    GatewaySilent,
    InvalidValue,
    PaymentsError,
)
from payments_core.gateway import (
    Answer,
    ChangeSubscription,
    Collection,
    CollectionState,
    FrozenRequest,
    GatewayRequest,
    LookedUp,
    Preview,
    PreviewLine,
    Price,
    SetUp,
)
from payments_core.identity import CustomerId, UserId
from payments_core.money import Money
from payments_core.payment import Payment, PaymentId
from payments_core.ports import Clock
from payments_core.subscription import SubscriptionReport

_KEPT_ERRORS: Final = frozenset({GatewayFault.ERROR_MADE, GatewayFault.ERROR_NOT_MADE})
_UNHEARD: Final = frozenset({GatewayFault.REPLY_LOST, GatewayFault.TIMEOUT_AFTER})


def _books(gateway: "MemoryGateway") -> GatewayBooks:
    return GatewayBooks(gateway.clock)


@attrs.define(eq=False)
class MemoryGateway:
    """A `PaymentGateway`; `sent` is every sending, those that failed too."""

    clock: Clock
    sent: list[tuple[str, FrozenRequest]] = attrs.field(init=False, factory=list)
    _books: GatewayBooks = attrs.field(
        init=False, default=attrs.Factory(_books, takes_self=True)
    )
    _faults: FaultPlan = attrs.field(init=False, factory=FaultPlan)
    _kept: KeptAnswers = attrs.field(init=False, factory=KeptAnswers)

    # Asked to change something

    def freeze(self, request: GatewayRequest) -> FrozenRequest:
        return requests.freeze(request)

    async def send(
        self, request: GatewayRequest, frozen: FrozenRequest, *, idempotency_key: str
    ) -> Answer:
        self.sent.append((idempotency_key, frozen))
        # A gateway never answers at once: others run in between, here as well.
        await asyncio.sleep(0)
        fault = self._faults.next_for(type(request).__name__)
        if fault is GatewayFault.RATE_LIMITED:
            raise GatewayBusy("too many requests")
        if fault is GatewayFault.TIMEOUT_BEFORE:
            raise GatewaySilent("no answer in time")
        if fault not in _UNHEARD:
            return self._answer(frozen, idempotency_key, fault)
        with suppress(PaymentsError):
            self._answer(frozen, idempotency_key, fault)
        raise GatewaySilent("the answer got lost")

    def _answer(
        self, frozen: FrozenRequest, key: str, fault: GatewayFault | None
    ) -> Answer:
        kept = self._kept.under(key, frozen, now=self._books.now)
        if kept is None:
            kept = self._carried_out(frozen, fault)
            self._kept.keep(key, kept)
        return kept.told()

    def _carried_out(
        self, frozen: FrozenRequest, fault: GatewayFault | None
    ) -> KeptAnswer:
        """Do what was frozen, and return what its key is answered from now on.

        Raises:
            GatewayRefused: nothing was done, and nothing is kept.
        """
        if fault is GatewayFault.REFUSED:
            raise GatewayRefused(PLANNED_REFUSAL, "it was planned so")
        outcome: Answer | GatewayRefused | None = None
        if fault is not GatewayFault.ERROR_NOT_MADE:
            outcome = self._done(frozen)
        if fault in _KEPT_ERRORS:
            outcome = None
        return KeptAnswer(frozen, self._books.now, outcome)

    def _done(self, frozen: FrozenRequest) -> Answer | GatewayRefused:
        try:
            return requests.do(self._books, requests.thawed(frozen))
        except GatewayRefused as error:
            # A decline is an answer of the bank, and kept like one.
            if error.declined:
                return error
            raise

    async def find(self, request: GatewayRequest) -> Answer | None:
        return requests.find(self._books, request)

    # Read

    async def customer_of(self, user_id: UserId, email: str) -> CustomerId | None:
        made = (
            it.id
            for it in self._books.customers.values()
            if (it.user_id, it.email) == (user_id, email)
        )
        return next(made, None)

    async def subscription(self, gateway_id: str) -> LookedUp:
        books = self._books
        report = books.subscription(gateway_id)
        return LookedUp(report=report, term=books.last_term(gateway_id), at=books.now)

    async def subscriptions_of(
        self, customer_id: CustomerId
    ) -> Sequence[SubscriptionReport]:
        return self._books.of_customer(customer_id)

    async def card_of(self, customer_id: CustomerId) -> Card | None:
        id_ = self._books.customer(customer_id).default_card
        return self._books.cards[id_].card if id_ else None

    async def collection(self, invoice_id: str) -> Collection:
        invoice = self._books.invoice(invoice_id)
        return Collection(
            state=invoice.state,
            client_secret=invoice.client_secret,
            decline_code=invoice.decline_code,
        )

    async def set_up(self, set_up_id: str) -> SetUp:
        set_up = self._books.set_up(set_up_id)
        return SetUp(
            customer_id=set_up.customer_id,
            payment_method=set_up.payment_method,
            succeeded=set_up.payment_method is not None,
        )

    async def payment(self, payment_id: PaymentId) -> Payment:
        charge = self._books.charges.get(payment_id)
        if charge is None:
            raise GatewayObjectMissing("payment")
        return charge

    async def price(self, price_id: str) -> Price:
        return self._books.price(price_id)

    async def price_of(self, product_id: str) -> Price:
        price_id = self._books.default_prices.get(product_id)
        if price_id is None:
            raise GatewayObjectMissing("product")
        return self._books.price(price_id)

    async def preview(
        self, customer_id: CustomerId, change: ChangeSubscription
    ) -> Preview:
        if change.proration_date is None:
            raise InvalidValue("proration_date", "missing")
        books = self._books
        customer = books.customer(customer_id)
        report = books.subscription(change.subscription)
        if report.customer_id != customer.id:
            raise GatewayRefused("customer", "it is another's", field="subscription")
        try:
            plan = billing.plan_change(books, report, change)
        except GatewayObjectMissing as error:
            raise GatewayRefused(
                "resource_missing", str(error), field=error.what
            ) from error
        credit = customer.credit_minor + _given_up(books, report)
        due = billing.due_of(plan.total_minor, credit) if plan.lines else 0
        return Preview(
            due=Money(due, report.currency),
            proration_date=plan.at,
            lines=[
                PreviewLine(
                    description=line.description, amount_minor=line.amount_minor
                )
                for line in plan.lines
            ],
        )

    # Told, by whoever tests with it

    def add_price(self, price: Price, *, default: bool = False) -> None:
        """Sell at a price; the first of its product is the product's default."""
        self._books.prices[price.id] = price
        if default or price.product not in self._books.default_prices:
            self._books.default_prices[price.product] = price.id

    def make_card(self, name: str) -> str:
        """Return a new card's id; `name` is a magic one, as `pm_card_visa`."""
        return self._books.make_card(name).id

    def complete_set_up(self, set_up_id: str, payment_method: str) -> str:
        """Let a browser end a card set-up; return the id of the attached card.

        Raises:
            GatewayRefused: the bank declines, or another customer has the card.
        """
        set_up = self._books.set_up(set_up_id)
        card = requests.attach(self._books, set_up.customer_id, payment_method)
        self._books.put_set_up(attrs.evolve(set_up, payment_method=card.id))
        return card.id

    def authenticate(self, invoice_id: str, *, accept: bool = True) -> None:
        """Let the payer confirm the payment that the bank asks about, or fail to.

        Raises:
            ValueError: the bank asks nothing.
        """
        invoice = self._books.invoice(invoice_id)
        if invoice.state is not CollectionState.REQUIRES_ACTION:
            raise ValueError(f"nobody has to confirm a {invoice.state} invoice")
        if accept:
            billing.charge(self._books, invoice, invoice.asking_card)
        else:
            billing.unpaid(self._books, invoice, None)

    def renew(self, gateway_id: str) -> SubscriptionReport:
        """Let a subscription's period end now, and collect the next one.

        Raises:
            ValueError: there is nothing to renew.
        """
        return billing.renew(self._books, self._renewable(gateway_id))

    def fail_renewal(self, gateway_id: str) -> SubscriptionReport:
        """Let a subscription's period end now; the bank declines the next one.

        Raises:
            ValueError: there is nothing to renew.
        """
        report = self._renewable(gateway_id)
        return billing.renew(self._books, report, declined=True)

    def _renewable(self, gateway_id: str) -> SubscriptionReport:
        report = self._books.subscription(gateway_id)
        if not billing.renews(report):
            raise ValueError(f"a {report.status} subscription is not renewed")
        return report

    def catch_up(self) -> None:
        """Do all that has fallen due by the clock: renewals, ends, expiries."""
        for report in list(self._books.subscriptions.values()):
            billing.catch_up(self._books, report)

    def plan(self, fault: GatewayFault, matching: str = "", *, after: int = 0) -> None:
        """Let a fault meet the next sending whose request's class is named so, once.

        `after` many of them pass before it.
        """
        self._faults.add(PlannedFault(fault, matching, after))

    def ledger(self) -> Ledger:
        """Return all that there is, as it is now."""
        return ledger_of(self._books)


def _given_up(books: GatewayBooks, report: SubscriptionReport) -> int:
    """Return the credit that comes back when a held change is given up."""
    if report.pending is None or report.latest_invoice_id is None:
        return 0
    return -books.invoice(report.latest_invoice_id).credit_moved_minor
