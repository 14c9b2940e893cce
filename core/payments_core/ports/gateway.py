"""The payment gateway, and what is kept of what its lists have."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from payments_core.card import Card
from payments_core.event_list import EventQuery, ListedEvents
from payments_core.events import ObjectChanged
from payments_core.gateway import (
    Answer,
    FetchedCustomer,
    FetchedPayment,
    FetchedSubscription,
    FrozenRequest,
    GatewayRequest,
    InvoicePayment,
    Preview,
    Price,
    SetUp,
    UpdateSubscription,
)
from payments_core.identity import CustomerId, UserId
from payments_core.job_key import JobKey
from payments_core.object_lists import CreatedBetween, ObjectList, ObjectPage
from payments_core.payment import PaymentId
from payments_core.subscription import SubscriptionReport


class PaymentGateway(Protocol):
    """The payment gateway's API.

    Every method may raise `GatewayNotAttempted` (nothing was done) and
    `GatewayOutcomeUnknown` (nobody knows whether it was done), and
    `GatewayObjectMissing` where it reads an object that does not exist. An answer
    about another object or of the other mode, or one that cannot be read, counts as no
    answer.
    """

    def freeze(self, request: GatewayRequest) -> FrozenRequest:
        """Render a request; the same request is rendered the same every time."""

    async def send(
        self, request: GatewayRequest, frozen: FrozenRequest, *, idempotency_key: str
    ) -> Answer:
        """Send what was frozen of this request.

        Raises:
            GatewayRefused: a definite no.
        """

    async def find(self, request: GatewayRequest) -> Answer | None:
        """Return what an earlier sending of this request made or reached.

        It searches by the request's intent, or reads the object itself; None if nothing
        came of it.
        """

    async def customer_of(self, user_id: UserId, email: str) -> CustomerId | None:
        """Return the customer that was made for a user with this e-mail, if any."""

    async def customer(self, customer_id: CustomerId) -> FetchedCustomer:
        """Return a customer, also one that was deleted."""

    async def subscription(self, gateway_id: str) -> FetchedSubscription:
        """Return a subscription as it is now."""

    async def subscriptions_of(
        self, customer_id: CustomerId
    ) -> Sequence[SubscriptionReport]:
        """Return all subscriptions of a customer, ended ones too."""

    async def card_of(self, customer_id: CustomerId) -> Card | None:
        """Return the card that pays by default; None if none does."""

    async def card(self, customer_id: CustomerId, card_id: str) -> Card | None:
        """Return one of a customer's cards; None if it is not theirs, or no card."""

    async def open_invoices(self, subscription: str) -> Sequence[str]:
        """Return the invoices of a subscription that are owed, the oldest first.

        Not its drafts: nothing is owed before they are final.
        """

    async def invoice_payment(self, invoice_id: str) -> InvoicePayment:
        """Return how far the payment of an invoice is."""

    async def set_up(self, set_up_id: str) -> SetUp:
        """Return how far a card set-up is."""

    async def newest_set_up(
        self, customer_id: CustomerId, *, since: datetime
    ) -> str | None:
        """Return a customer's newest card set-up that was begun since; None: none."""

    async def payment(self, payment_id: PaymentId) -> FetchedPayment:
        """Return what the gateway says of a payment now, and of its invoice."""

    async def jobs_of(self, changed: ObjectChanged) -> Sequence[JobKey]:
        """Return what has to be synced because of a change of an object.

        Nothing, if it is about nothing of ours.
        """

    async def events(self, query: EventQuery) -> ListedEvents:
        """Return a page of the gateway's list of events, read as webhooks are.

        Raises:
            GatewayObjectMissing: the event that the query names is not listed.
        """

    async def price(self, price_id: str) -> Price:
        """Return a price."""

    async def price_of(self, product_id: str) -> Price:
        """Return the default price of a product."""

    async def preview(
        self, customer_id: CustomerId, change: UpdateSubscription
    ) -> Preview:
        """Return what a change would cost, if made with its `proration_date`.

        Raises:
            GatewayRefused: the change cannot be made.
        """


class GatewayLists(Protocol):
    async def page(
        self,
        list_: ObjectList,
        created: CreatedBetween,
        *,
        customer: CustomerId | None = None,
        after: str | None = None,
    ) -> ObjectPage:
        """Return a page of a list of the gateway's, with one call.

        One more is made for an invoice that has more lines than a list shows.

        Of one customer, if one is named: subscriptions, invoices and payments have one.
        What was made while it is read may be missing, and nothing comes twice. What
        cannot be read is `ListedUnreadable`; what is of the other mode is left out.

        Raises:
            GatewayNotAttempted: it was not asked.
            GatewayUnavailable: its answer cannot be used.
            GatewayObjectMissing: what the page begins after is gone.
        """


class KeptObjects(Protocol):
    async def made_between(
        self, list_: ObjectList, created: CreatedBetween, *, limit: int
    ) -> Sequence[str]:
        """Return the gateway's ids of what is kept that was made then, some of it.

        The list is one of `payments_core.sweep.KEPT`.
        """

    async def note_listed(
        self, sweep: datetime, customers: Sequence[CustomerId]
    ) -> None:
        """Note that a sweep, named by its own moment, found these in a list."""

    async def unlisted(self, sweep: datetime, *, limit: int) -> Sequence[CustomerId]:
        """Return customers of users that a sweep has not noted, some of them."""

    async def forget_listed(self, sweep: datetime) -> None:
        """Forget what a sweep noted, and what is a week older: it was given up."""
