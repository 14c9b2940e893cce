"""The payment gateway, and the stored objects that its lists are compared with."""

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

    Every method may raise `GatewayNotAttempted` (nothing was done) or
    `GatewayOutcomeUnknown` (it is not known whether the request was executed), and
    `GatewayObjectMissing` if it reads an object that does not exist. An answer about
    another object, for the other mode, or that cannot be read counts as no answer.
    """

    def freeze(self, request: GatewayRequest) -> FrozenRequest:
        """Render a request; the same request always renders to the same bytes."""

    async def send(
        self, request: GatewayRequest, frozen: FrozenRequest, *, idempotency_key: str
    ) -> Answer:
        """Send the frozen form of this request.

        Raises:
            GatewayRefused: a definite no.
        """

    async def find(self, request: GatewayRequest) -> Answer | None:
        """Return the result of an earlier attempt to send this request.

        It searches by the request's intent, or reads the object itself; None if the
        attempt had no effect.
        """

    async def customer_of(self, user_id: UserId, email: str) -> CustomerId | None:
        """Return the customer that was created for a user with this e-mail, if any."""

    async def customer(self, customer_id: CustomerId) -> FetchedCustomer:
        """Return a customer, including a deleted one."""

    async def subscription(self, gateway_id: str) -> FetchedSubscription:
        """Return a subscription as it is now."""

    async def subscriptions_of(
        self, customer_id: CustomerId
    ) -> Sequence[SubscriptionReport]:
        """Return all subscriptions of a customer, including ended ones."""

    async def card_of(self, customer_id: CustomerId) -> Card | None:
        """Return the customer's default card; None if there is none."""

    async def card(self, customer_id: CustomerId, card_id: str) -> Card | None:
        """Return one of a customer's cards; None if it is not theirs, or no card."""

    async def open_invoices(self, subscription: str) -> Sequence[str]:
        """Return the unpaid invoices of a subscription, oldest first.

        Without drafts: nothing is owed before an invoice is final.
        """

    async def invoice_payment(self, invoice_id: str) -> InvoicePayment:
        """Return the state of the payment of an invoice."""

    async def set_up(self, set_up_id: str) -> SetUp:
        """Return the state of a card set-up."""

    async def newest_set_up(
        self, customer_id: CustomerId, *, since: datetime
    ) -> str | None:
        """Return a customer's newest card set-up begun since a time, or None."""

    async def payment(self, payment_id: PaymentId) -> FetchedPayment:
        """Return the gateway's current report of a payment and of its invoice."""

    async def jobs_of(self, changed: ObjectChanged) -> Sequence[JobKey]:
        """Return the jobs that a change of an object makes necessary.

        None if the object does not concern this service.
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
        """Return what a change would cost if it is made with its `proration_date`.

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
        """Return a page of one of the gateway's lists, with one call.

        An invoice with more lines than a list shows needs one more call.

        Only one customer's objects, if a customer is named; subscriptions, invoices and
        payments allow that. An object created during the reading may be missing; none
        is returned twice. An unreadable object is returned as `ListedUnreadable`; an
        object of the other mode is left out.

        Raises:
            GatewayNotAttempted: no request was sent.
            GatewayUnavailable: the answer cannot be used.
            GatewayObjectMissing: the object after which the page begins no longer
                exists.
        """


class KeptObjects(Protocol):
    async def made_between(
        self, list_: ObjectList, created: CreatedBetween, *, limit: int
    ) -> Sequence[str]:
        """Return the gateway's ids of some stored objects that were created then.

        The list is one of `payments_core.sweep.KEPT`.
        """

    async def note_listed(
        self, sweep: datetime, customers: Sequence[CustomerId]
    ) -> None:
        """Note that a sweep, named by its start time, found these in a list."""

    async def unlisted(self, sweep: datetime, *, limit: int) -> Sequence[CustomerId]:
        """Return some of the users' customers that a sweep has not noted."""

    async def forget_listed(self, sweep: datetime) -> None:
        """Delete a sweep's notes, and notes a week older: their sweep was given up."""
