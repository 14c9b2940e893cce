"""What a gateway in memory knows: frozen rows, in tables that change."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Final, TypeVar

import attrs

from payments_core.card import Card
from payments_core.errors import GatewayObjectMissing, GatewayRefused
from payments_core.gateway import CollectionState, Price
from payments_core.identity import CustomerId, UserId
from payments_core.payment import Payment, PaymentState
from payments_core.ports import Clock
from payments_core.subscription import PaidTerm, SubscriptionReport

GENERIC_DECLINE: Final = "generic_decline"


class CardBehaviour(StrEnum):
    """What the bank of a card says."""

    PAYS = "pays"
    # It cannot even be attached to a customer.
    REFUSES = "refuses"
    # It can be attached; charged, it is declined.
    FAILS = "fails"
    # Each payment has to be confirmed: 3-D Secure.
    ASKS = "asks"


# By the names and last digits that docs.stripe.com/testing gives them.
MAGIC_CARDS: Final[Mapping[str, tuple[str, CardBehaviour]]] = MappingProxyType(
    {
        "pm_card_visa": ("4242", CardBehaviour.PAYS),
        "pm_card_chargeDeclined": ("0002", CardBehaviour.REFUSES),
        "pm_card_chargeCustomerFail": ("0341", CardBehaviour.FAILS),
        "pm_card_authenticationRequired": ("3184", CardBehaviour.ASKS),
    }
)


@attrs.frozen(kw_only=True)
class KeptCard:
    """A payment method; without a customer it is nobody's yet."""

    card: Card
    behaviour: CardBehaviour
    customer_id: CustomerId | None = None

    @property
    def id(self) -> str:
        return self.card.id


@attrs.frozen(kw_only=True)
class KeptCustomer:
    """A customer; `credit_minor` is what earlier invoices owe them."""

    id: CustomerId
    user_id: UserId
    email: str
    intent_id: str
    default_card: str | None = None
    credit_minor: int = 0


@attrs.frozen(kw_only=True)
class KeptSetUp:
    id: str
    customer_id: CustomerId
    user_id: UserId
    intent_id: str
    payment_method: str | None = None

    @property
    def client_secret(self) -> str:
        return f"{self.id}_secret"


@attrs.frozen(kw_only=True)
class Line:
    """What is charged, or given back, for a span of a subscription."""

    description: str
    amount_minor: int
    starts_at: datetime
    ends_at: datetime
    # What remains of a period that was paid already.
    prorates: bool = False


@attrs.frozen(kw_only=True)
class KeptInvoice:
    """An invoice; `credit_moved_minor` is by how much it changed the credit."""

    id: str
    customer_id: CustomerId
    subscription: str
    currency: str
    lines: Sequence[Line]
    due_minor: int
    credit_moved_minor: int
    state: CollectionState = CollectionState.OPEN
    decline_code: str | None = None
    # The card that the bank wants to be confirmed.
    asking_card: str | None = None

    @property
    def client_secret(self) -> str | None:
        unpaid = self.state not in (CollectionState.PAID, CollectionState.CLOSED)
        return f"{self.id}_secret" if unpaid and self.due_minor else None

    @property
    def term(self) -> PaidTerm | None:
        """What it covers, if it is paid; None if it is not, or only prorates."""
        if self.state is not CollectionState.PAID:
            return None
        for line in self.lines:
            if not line.prorates:
                return PaidTerm(
                    gateway_id=self.subscription,
                    invoice_id=self.id,
                    starts_at=line.starts_at,
                    ends_at=line.ends_at,
                )
        return None


_Row = TypeVar("_Row")


@attrs.define
class GatewayBooks:
    """All tables of one gateway, its clock, and the numbers of its ids."""

    _clock: Clock
    prices: dict[str, Price] = attrs.field(factory=dict)
    default_prices: dict[str, str] = attrs.field(factory=dict)
    customers: dict[str, KeptCustomer] = attrs.field(factory=dict)
    cards: dict[str, KeptCard] = attrs.field(factory=dict)
    set_ups: dict[str, KeptSetUp] = attrs.field(factory=dict)
    subscriptions: dict[str, SubscriptionReport] = attrs.field(factory=dict)
    invoices: dict[str, KeptInvoice] = attrs.field(factory=dict)
    # Every attempt at a card, declined ones too.
    charges: dict[str, Payment] = attrs.field(factory=dict)
    _numbers: Counter[str] = attrs.field(factory=Counter)

    @property
    def now(self) -> datetime:
        """The gateway's present second."""
        return self._clock().replace(microsecond=0)

    def new_id(self, prefix: str) -> str:
        self._numbers[prefix] += 1
        return f"{prefix}_{self._numbers[prefix]}"

    # Looked up

    def price(self, id_: str) -> Price:
        return _found(self.prices, id_, "price")

    def customer(self, id_: str) -> KeptCustomer:
        return _found(self.customers, id_, "customer")

    def set_up(self, id_: str) -> KeptSetUp:
        return _found(self.set_ups, id_, "set_up")

    def subscription(self, id_: str) -> SubscriptionReport:
        return _found(self.subscriptions, id_, "subscription")

    def invoice(self, id_: str) -> KeptInvoice:
        return _found(self.invoices, id_, "invoice")

    def card(self, id_: str) -> KeptCard:
        """Return a card; a magic name makes a new one.

        Raises:
            GatewayObjectMissing: it is neither.
        """
        if id_ in MAGIC_CARDS:
            return self.make_card(id_)
        return _found(self.cards, id_, "payment_method")

    def own_card(self, id_: str, customer_id: str) -> KeptCard:
        """Return a card that is attached to this customer.

        Raises:
            GatewayRefused: it is nobody's, or another's.
            GatewayObjectMissing: there is none.
        """
        card = _found(self.cards, id_, "payment_method")
        if card.customer_id != customer_id:
            raise GatewayRefused(
                "resource_missing",
                "the customer has no such payment method",
                field="payment_method",
            )
        return card

    def paying_card(self, report: SubscriptionReport) -> KeptCard | None:
        """Return the card that a subscription is collected from; None without one."""
        customer = self.customer(report.customer_id)
        id_ = report.pinned_card or customer.default_card
        return self.cards[id_] if id_ else None

    def of_customer(self, customer_id: str) -> list[SubscriptionReport]:
        return [
            report
            for report in self.subscriptions.values()
            if report.customer_id == customer_id
        ]

    def last_term(self, gateway_id: str) -> PaidTerm | None:
        """Return the last term of a subscription that was paid for."""
        paid = [
            invoice.term
            for invoice in self.invoices.values()
            if invoice.subscription == gateway_id and invoice.term
        ]
        return max(paid, key=lambda term: (term.ends_at, term.starts_at), default=None)

    # Put in

    def make_card(self, name: str) -> KeptCard:
        """Make a card of a magic name; it is nobody's yet."""
        last4, behaviour = _found(MAGIC_CARDS, name, "payment_method")
        card = Card(
            id=self.new_id("pm"),
            brand="visa",
            last4=last4,
            exp_month=12,
            exp_year=self.now.year + 1,
        )
        return self.put_card(KeptCard(card=card, behaviour=behaviour))

    def put_card(self, card: KeptCard) -> KeptCard:
        self.cards[card.id] = card
        return card

    def put_customer(self, customer: KeptCustomer) -> KeptCustomer:
        self.customers[customer.id] = customer
        return customer

    def put_set_up(self, set_up: KeptSetUp) -> KeptSetUp:
        self.set_ups[set_up.id] = set_up
        return set_up

    def put_subscription(self, report: SubscriptionReport) -> SubscriptionReport:
        self.subscriptions[report.gateway_id] = report
        return report

    def put_invoice(self, invoice: KeptInvoice) -> KeptInvoice:
        self.invoices[invoice.id] = invoice
        return invoice

    def put_charge(self, charge: Payment) -> None:
        self.charges[charge.id] = charge


def _found(table: Mapping[str, _Row], id_: str, what: str) -> _Row:
    row = table.get(id_)
    if row is None:
        raise GatewayObjectMissing(what)
    return row


@attrs.frozen
class Ledger:
    """What a gateway has at a moment, for whoever counts duplicates and orphans."""

    customers: Sequence[KeptCustomer]
    set_ups: Sequence[KeptSetUp]
    subscriptions: Sequence[SubscriptionReport]
    invoices: Sequence[KeptInvoice]
    # What was taken: declined attempts are not in it.
    charges: Sequence[Payment]

    def customers_of(self, user_id: str) -> Sequence[CustomerId]:
        return [it.id for it in self.customers if it.user_id == user_id]

    def live_subscriptions_of(self, user_id: str) -> Sequence[str]:
        return [
            report.gateway_id
            for report in self.subscriptions
            if report.claimed_by == user_id and not report.terminal
        ]

    def made_by(self, intent_id: str) -> Sequence[str]:
        """Return the ids of all that carries an intent, ended subscriptions too."""
        made = [
            *((it.id, it.intent_id) for it in self.customers),
            *((it.id, it.intent_id) for it in self.set_ups),
            *((it.gateway_id, it.intent_id) for it in self.subscriptions),
        ]
        return [str(id_) for id_, intent in made if intent == intent_id]

    def taken_from(self, customer_id: str) -> Sequence[int]:
        """Return the amounts that were taken, in minor units, the first one first."""
        return [
            charge.amount.amount_minor
            for charge in self.charges
            if charge.customer_id == customer_id and charge.amount
        ]

    def paid_twice(self) -> Sequence[str]:
        """Return the invoices for which money was taken more than once."""
        paid = Counter(it.invoice_id for it in self.charges if it.invoice_id)
        return [invoice_id for invoice_id, times in paid.items() if times > 1]


def ledger_of(books: GatewayBooks) -> Ledger:
    return Ledger(
        customers=tuple(books.customers.values()),
        set_ups=tuple(books.set_ups.values()),
        subscriptions=tuple(books.subscriptions.values()),
        invoices=tuple(books.invoices.values()),
        charges=tuple(
            charge
            for charge in books.charges.values()
            if charge.state is PaymentState.SUCCEEDED
        ),
    )
