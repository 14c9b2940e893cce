"""Pages of what there is at the gateway, by the time when it was made.

A sweep reads them: a page costs one call, and has up to a hundred objects.
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
    """A customer that is not deleted, with the default card; None without one."""

    customer_id: CustomerId
    metadata_user_id: str | None
    card: Card | None


@attrs.frozen
class ListedSubscription:
    """A subscription, ended ones too, and what its latest invoice paid of it.

    Nothing, also where the list does not show all of that invoice.
    """

    report: SubscriptionReport
    paid_periods: Sequence[PaidPeriod]
    # The one that it has of its own; None also where that is no card.
    own_card: Card | None = None


@attrs.frozen
class ListedInvoice:
    """What a paid invoice covers; nothing, where it paid no period."""

    paid_periods: Sequence[PaidPeriod]


@attrs.frozen
class ListedPayment:
    """A payment as the list says it: not which invoice it paid, nor how a dispute is.

    A refund's is that of the payment which it gives back.
    """

    payment: Payment


@attrs.frozen
class ListedDispute:
    """How one dispute of a payment is; there may be others."""

    payment_id: PaymentId
    state: DisputeState


@attrs.frozen
class ListedUnreadable:
    """Something that cannot be read, and why."""

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
    """Objects made from one second on, and before another; None: from the first."""

    start: datetime | None
    end: datetime

    def holds(self, moment: datetime) -> bool:
        return (self.start is None or self.start <= moment) and moment < self.end


@attrs.frozen(kw_only=True)
class ObjectPage:
    """Part of a list, the newest first.

    `at` is the second in which it was true. `after` is the place where the next page
    begins; None on the last one.
    """

    objects: Sequence[ListedObject]
    at: datetime
    after: str | None
