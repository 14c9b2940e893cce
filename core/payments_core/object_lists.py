"""Pages of the gateway's lists of objects, by creation time.

A sweep reads them: a page costs one call and has up to a hundred objects.
"""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum

import attrs

from payments_core.card import Card
from payments_core.identity import CustomerId
from payments_core.payment import DisputeState, Payment, PaymentId
from payments_core.subscription import PaidPeriod, SubscriptionReport


class ObjectList(StrEnum):
    """The lists, in the order in which a sweep reads them."""

    CUSTOMERS = "customers"
    SUBSCRIPTIONS = "subscriptions"
    INVOICES = "invoices"
    PAYMENTS = "payments"
    REFUNDS = "refunds"
    DISPUTES = "disputes"


@attrs.frozen
class ListedCustomer:
    """A customer that is not deleted, with its default card, if any."""

    customer_id: CustomerId
    metadata_user_id: str | None
    card: Card | None


@attrs.frozen
class ListedSubscription:
    """A subscription, open or ended, and the periods that its latest invoice paid.

    There are none also if the list does not show that whole invoice.
    """

    report: SubscriptionReport
    paid_periods: Sequence[PaidPeriod]
    # The payment method that it pins; None also if that is not a card.
    own_card: Card | None = None


@attrs.frozen
class ListedInvoice:
    """The periods that a paid invoice covers; empty if it paid none."""

    paid_periods: Sequence[PaidPeriod]


@attrs.frozen
class ListedPayment:
    """A payment as listed, without its invoice and the state of a dispute.

    For a refund it is the refunded payment.
    """

    payment: Payment


@attrs.frozen
class ListedDispute:
    """The state of one dispute of a payment; there may be others."""

    payment_id: PaymentId
    state: DisputeState


@attrs.frozen
class ListedUnreadable:
    """An object that cannot be read, and why."""

    reason: str


Listed = (
    ListedCustomer
    | ListedSubscription
    | ListedInvoice
    | ListedPayment
    | ListedDispute
    | ListedUnreadable
)


@attrs.frozen(kw_only=True)
class ListedObject:
    """One object of a list, by its own id."""

    id: str
    created_at: datetime
    it: Listed


@attrs.frozen(kw_only=True)
class CreatedBetween:
    """Objects created from `start` on and before `end`, in seconds; None: no start."""

    start: datetime | None
    end: datetime

    def holds(self, moment: datetime) -> bool:
        return (self.start is None or self.start <= moment) and moment < self.end


@attrs.frozen(kw_only=True)
class ObjectPage:
    """A page of a list, the newest object first.

    `at` is the second of the answer. `after` is where the next page begins; None on the
    last page.
    """

    objects: Sequence[ListedObject]
    at: datetime
    after: str | None
