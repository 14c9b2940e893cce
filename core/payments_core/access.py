"""What a user has access to, until when, and because of what.

Rule 1: a grant is the access from one source: the last paid period of a subscription,
        its trial, prepaid months. It says until when access is paid or free; the policy
        says how long access outlives that.
Rule 2: several grants of one product or feature do not add up: the latest end counts.
Rule 3: features come from the current catalogue; a grant has none
        (`payments_core.catalogue`).
Rule 4: a product's own days after the end apply only if this product was paid for: not
        after a trial, and not after a period that was paid for another plan and ends
        with this one. Those have the general grace, if that is shorter.
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
    """The source of a grant.

    `id` is the invoice of a paid period, or the gateway's id of the subscription in
    trial; prepaid months have none.
    """

    kind: GrantKind
    id: str | None = None


PREPAID_MONTHS: Final = GrantSource(GrantKind.PREPAID)


@attrs.frozen
class Grant:
    """Access to a product, at a price, until the paid or free time ends.

    `has_grace`: access outlives that end. `own_days`: by the product's own days, else
    at most by the general grace (rule 4). `price` is None for prepaid months.
    """

    product: str
    price: str | None
    paid_until: datetime
    has_grace: bool
    because: GrantSource
    own_days: bool = True

    def until(self, policy: Policy) -> datetime:
        """Return the time from which it gives no access."""
        if not self.has_grace:
            return self.paid_until
        grace = policy.grace_of(self.product)
        if not self.own_days:
            grace = min(grace, policy.grace)
        return moved(self.paid_until, grace)


@attrs.frozen(kw_only=True)
class AccessTo:
    """Whether there is access to a product or feature, until when, and why.

    `until` may have passed. Without it there never was any access, as far as is known,
    and `product` is None.
    """

    granted: bool = False
    until: datetime | None = None
    product: str | None = None
    because: GrantSource | None = None


NO_ACCESS: Final = AccessTo()


@attrs.frozen
class Access:
    """Access by product and by feature: those of the grants and of the catalogue."""

    products: Mapping[str, AccessTo]
    features: Mapping[str, AccessTo]


def access_of(grants: Iterable[Grant], policy: Policy, now: datetime) -> Access:
    """Return what the grants give access to at `now`, by the policy's catalogue."""
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
