"""What a user has access to, until when, and because of what.

Rule 1: a grant is what one thing gives: the last period of a subscription that was
        paid for, its trial, months that are prepaid. It says what was paid or free; the
        policy says how long access outlives it.
Rule 2: several grants of a product or a feature do not add up: the latest end counts.
Rule 3: features follow from the catalogue of now; a grant holds none
        (`payments_core.catalogue`).
Rule 4: the days after the end that a product has of its own are for who paid for this
        product: not after a trial, nor after a period that was paid for another plan
        and ends with this one. Those have the grace of all, if that is shorter.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Final

import attrs

from payments_core.catalogue import NO_CATALOGUE
from payments_core.months import moved
from payments_core.policy import Policy


class GrantKind(StrEnum):
    PAID_PERIOD = "paid_period"
    TRIAL = "trial"
    PREPAID = "prepaid"


@attrs.frozen
class GrantSource:
    """Where a grant is from.

    `id` is the invoice of a paid period, or the gateway's id of the subscription whose
    trial it is; prepaid months have none.
    """

    kind: GrantKind
    id: str | None = None


PREPAID_MONTHS: Final = GrantSource(GrantKind.PREPAID)


@attrs.frozen
class Grant:
    """A product that a user has, at a price, until what was paid or free ends.

    `has_grace`: access outlives that. `own_days`: by the days of the product, else at
    most by the grace of all (rule 4). `price` is None for prepaid months.
    """

    product: str
    price: str | None
    paid_until: datetime
    has_grace: bool
    because: GrantSource
    own_days: bool = True

    def until(self, policy: Policy) -> datetime:
        """Return the moment from which on it gives no access."""
        if not self.has_grace:
            return self.paid_until
        grace = policy.grace_of(self.product)
        if not self.own_days:
            grace = min(grace, policy.grace)
        return moved(self.paid_until, grace)


@attrs.frozen(kw_only=True)
class AccessTo:
    """Whether there is access to something, until when, and because of what.

    `until` may have passed. Without it there never was any, as far as is known, and
    there is no `product` that gives it.
    """

    granted: bool = False
    until: datetime | None = None
    product: str | None = None
    because: GrantSource | None = None


NO_ACCESS: Final = AccessTo()


@attrs.frozen
class Access:
    """By product and by feature: those of the grants, and all of the catalogue."""

    products: Mapping[str, AccessTo]
    features: Mapping[str, AccessTo]


def access_of(grants: Iterable[Grant], policy: Policy, now: datetime) -> Access:
    """Say what grants give access to at a moment, by the policy's catalogue."""
    catalogue = policy.catalogue or NO_CATALOGUE
    products: dict[str, AccessTo] = dict.fromkeys(catalogue.products, NO_ACCESS)
    features: dict[str, AccessTo] = dict.fromkeys(catalogue.features, NO_ACCESS)
    for grant in grants:
        until = grant.until(policy)
        found = AccessTo(
            granted=now < until,
            until=until,
            product=grant.product,
            because=grant.because,
        )
        products[grant.product] = _later(products.get(grant.product), found)
        for feature in catalogue.features_of(grant.product, grant.price):
            features[feature] = _later(features.get(feature), found)
    return Access(products, features)


def _later(known: AccessTo | None, found: AccessTo) -> AccessTo:
    if known is None or known.until is None:
        return found
    return found if found.until and known.until < found.until else known
