"""The feed as it is shown."""

from collections.abc import Sequence
from datetime import datetime
from typing import Self

import msgspec

from payments_core.access import Grant
from payments_core.catalogue import NO_CATALOGUE
from payments_core.entitlement import PaymentStatus
from payments_core.feed import FeedChange, FeedPage
from payments_core.policy import Policy
from payments_service.presentation.schemas import BecauseOut


class GrantOut(msgspec.Struct, frozen=True):
    """A product that a user has access to until a time, including its grace."""

    product: str
    price: str | None
    until: datetime
    because: BecauseOut

    @classmethod
    def of(cls, grant: Grant, policy: Policy) -> Self:
        because = BecauseOut(grant.because.kind, grant.because.id)
        return cls(grant.product, grant.price, grant.until(policy), because)


class ChangeOut(msgspec.Struct, frozen=True):
    """What became known about a user at a time; `position` is its place in the feed.

    `entitled_until` is when access ends; null: there is no access. It and the ends of
    `grants` follow from what was known then, with the catalogue of now.
    """

    position: int
    user_id: str
    version: int
    at: datetime
    payment_status: PaymentStatus
    payment_expire_date: datetime | None
    entitled_until: datetime | None
    grants: Sequence[GrantOut]
    cause: str

    @classmethod
    def of(cls, change: FeedChange, policy: Policy) -> Self:
        ends = [it.until(policy) for it in change.grants]
        return cls(
            position=change.position,
            user_id=change.user_id,
            version=change.version,
            at=change.at,
            payment_status=change.payment_status,
            payment_expire_date=change.payment_expire_date,
            # The latest end of its grants; a row without grants has its own end.
            entitled_until=max(ends, default=change.entitled_until),
            grants=[GrantOut.of(it, policy) for it in change.grants],
            cause=change.cause,
        )


class FeedOut(msgspec.Struct, frozen=True):
    """A page: the next page begins after `next`, which is set even without changes.

    `catalogue` is the version of the catalogue that was used for the grants.
    """

    changes: Sequence[ChangeOut]
    next: str
    has_more: bool
    catalogue: str

    @classmethod
    def of(cls, page: FeedPage, policy: Policy) -> Self:
        changes = [ChangeOut.of(it, policy) for it in page.changes]
        version = (policy.catalogue or NO_CATALOGUE).version
        return cls(changes, str(page.next), page.has_more, version)
