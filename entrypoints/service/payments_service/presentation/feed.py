"""The feed, as it is asked for and shown."""

from collections.abc import Sequence
from datetime import datetime
from typing import Self

import msgspec

from payments_core.entitlement import PaymentStatus
from payments_core.feed import FeedChange, FeedPage

# What grants give is not asked of a catalogue.
NO_CATALOGUE = "none"


class BecauseOut(msgspec.Struct, frozen=True):
    """What gives access: its kind, and the id of an invoice or a subscription."""

    kind: str
    id: str | None


class GrantOut(msgspec.Struct, frozen=True):
    """A product that a user has until a moment, and why."""

    product: str
    price: str | None
    until: datetime
    because: BecauseOut


class ChangeOut(msgspec.Struct, frozen=True):
    """What became known of a user at a moment; `position` is its place in the feed.

    `entitled_until` is when access ends, by what was known then; null: there is none.
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
    def of(cls, change: FeedChange) -> Self:
        return cls(
            position=change.position,
            user_id=change.user_id,
            version=change.version,
            at=change.at,
            payment_status=change.payment_status,
            payment_expire_date=change.payment_expire_date,
            entitled_until=change.entitled_until,
            # Of the change's own grants, with the catalogue of now.
            grants=[],
            cause=change.cause,
        )


class FeedOut(msgspec.Struct, frozen=True):
    """A page: the next one begins after `next`, which is there without changes, too.

    `catalogue` is the version of the catalogue by which grants are shown.
    """

    changes: Sequence[ChangeOut]
    next: str
    has_more: bool
    catalogue: str

    @classmethod
    def of(cls, page: FeedPage) -> Self:
        changes = [ChangeOut.of(it) for it in page.changes]
        return cls(changes, str(page.next), page.has_more, NO_CATALOGUE)
