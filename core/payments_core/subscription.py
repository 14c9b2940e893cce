"""A user's standing order for a product's price, and the table of its statuses.

Rule 1: the statuses are the gateway's eight; two of them are terminal.
Rule 2: a move that is not in the table is not applied and not dropped: it raises,
        and whoever reported it has to fetch the object.

Source of the table: the docstring of `stripe.Subscription.status` and
docs.stripe.com/billing/subscriptions/overview.
"""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Final, NewType, Self

import attrs

from payments_core.account import UserId
from payments_core.errors import IllegalTransition, InvalidValue

SubscriptionId = NewType("SubscriptionId", str)

QUANTITY_MAX: Final = 1_000_000


class SubscriptionStatus(StrEnum):
    INCOMPLETE = "incomplete"
    INCOMPLETE_EXPIRED = "incomplete_expired"
    TRIALING = "trialing"
    ACTIVE = "active"
    PAST_DUE = "past_due"
    UNPAID = "unpaid"
    PAUSED = "paused"
    CANCELED = "canceled"


_S = SubscriptionStatus
SUBSCRIPTION_STEPS: Final[Mapping[_S, frozenset[_S]]] = MappingProxyType(
    {
        _S.INCOMPLETE: frozenset({_S.ACTIVE, _S.INCOMPLETE_EXPIRED, _S.CANCELED}),
        _S.INCOMPLETE_EXPIRED: frozenset(),
        _S.TRIALING: frozenset({_S.ACTIVE, _S.PAST_DUE, _S.PAUSED, _S.CANCELED}),
        _S.ACTIVE: frozenset(
            {_S.TRIALING, _S.PAST_DUE, _S.UNPAID, _S.PAUSED, _S.CANCELED}
        ),
        _S.PAST_DUE: frozenset({_S.ACTIVE, _S.UNPAID, _S.CANCELED}),
        _S.UNPAID: frozenset({_S.ACTIVE, _S.CANCELED}),
        _S.PAUSED: frozenset({_S.ACTIVE, _S.PAST_DUE, _S.CANCELED}),
        _S.CANCELED: frozenset(),
    }
)


def _quantity(_: object, __: object, value: int) -> None:
    if not 1 <= value <= QUANTITY_MAX:
        raise InvalidValue("quantity", f"not in 1..{QUANTITY_MAX}")


@attrs.frozen(kw_only=True)
class Subscription:
    """One standing order; `id` is ours, `gateway_id` the gateway's."""

    id: SubscriptionId
    user_id: UserId
    gateway_id: str
    product: str
    price: str
    quantity: int = attrs.field(default=1, validator=_quantity)
    status: SubscriptionStatus
    period_start: datetime | None = None
    period_end: datetime | None = None
    version: int = 0

    @property
    def live(self) -> bool:
        """Whether anything can still come of it."""
        return bool(SUBSCRIPTION_STEPS[self.status])

    def moved(self, status: SubscriptionStatus) -> Self:
        """Follow one step of the table; staying where it is is no step.

        Raises:
            IllegalTransition: the table has no such step.
        """
        if status is self.status:
            return self
        if status not in SUBSCRIPTION_STEPS[self.status]:
            raise IllegalTransition("subscription", self.status, status)
        return attrs.evolve(self, status=status)
