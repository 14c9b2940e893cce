"""What happened to a user, the newest first, page by page.

Rule 1: each thing has one time. For an event it is when it was received, for a payment
        when it was made: a payment without a known time is not in the timeline.
Rule 2: things of the same time are in descending order of their kinds, and those of one
        kind in descending order of their ids.
Rule 3: an event belongs to the user whose account it was recorded with, and moves with
        its payment or subscription. An event that was not applied, or that changed
        nothing, may be in no timeline.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from enum import StrEnum
from typing import assert_never

import attrs

from payments_core.by_hand import LoggedChange
from payments_core.entitlement import PaymentStatus
from payments_core.kept_events import KeptEvent
from payments_core.payment import PaymentRecord
from payments_core.subscription import Subscription


class TimelineKind(StrEnum):
    BY_HAND = "by_hand"
    EVENT = "event"
    PAYMENT = "payment"
    STATUS = "status"
    SUBSCRIPTION_BEGAN = "subscription_began"
    SUBSCRIPTION_ENDED = "subscription_ended"


@attrs.frozen(kw_only=True)
class StatusChange:
    """A logged change of an account's status or date.

    `version` is the account's after it; `sources` are the ids of what caused it.
    """

    version: int
    at: datetime
    payment_status: PaymentStatus
    payment_expire_date: datetime | None
    cause: str
    sources: tuple[str, ...]


@attrs.frozen
class SubscriptionBegan:
    subscription: Subscription


@attrs.frozen
class SubscriptionEnded:
    subscription: Subscription


TimelineItem = (
    KeptEvent
    | PaymentRecord
    | StatusChange
    | LoggedChange
    | SubscriptionBegan
    | SubscriptionEnded
)


@attrs.frozen
class TimelinePlace:
    """The place of a thing in a timeline: its time, its kind and its id.

    `id` is the id of the event, the payment or (the gateway's) the subscription, the
    version of the account, or the number in the audit log; `type` is the event's.
    """

    at: datetime
    kind: TimelineKind
    id: str
    type: str = ""

    @property
    def order(self) -> tuple[datetime, str, int, str, str]:
        """The sort key of a timeline, which is in descending order."""
        number = int(self.id) if self.kind in NUMBERED else 0
        return self.at, self.kind.value, number, self.id, self.type


# Kinds with a number as id.
NUMBERED = frozenset({TimelineKind.BY_HAND, TimelineKind.STATUS})


def place_of(item: TimelineItem) -> TimelinePlace:
    """Return the place of a thing; the time of a payment or an end must be known."""
    match item:
        case KeptEvent():
            at, kind = item.received_at, TimelineKind.EVENT
            return TimelinePlace(at, kind, item.key.id, item.key.type)
        case PaymentRecord():
            made_at, id_ = item.payment.created_at, item.payment.id
            return TimelinePlace(_known(made_at), TimelineKind.PAYMENT, id_)
        case StatusChange():
            return TimelinePlace(item.at, TimelineKind.STATUS, str(item.version))
        case LoggedChange():
            return TimelinePlace(item.at, TimelineKind.BY_HAND, str(item.number))
        case SubscriptionBegan(it):
            began = TimelineKind.SUBSCRIPTION_BEGAN
            return TimelinePlace(it.began_at, began, it.gateway_id)
        case SubscriptionEnded(it):
            ended, at = TimelineKind.SUBSCRIPTION_ENDED, _known(it.report.ended_at)
            return TimelinePlace(at, ended, it.gateway_id)
        case _ as never:
            assert_never(never)


def _known(moment: datetime | None) -> datetime:
    if moment is None:
        raise ValueError("a thing without a time is in no timeline")
    return moment


def lives_of(subscriptions: Iterable[Subscription]) -> Iterator[TimelineItem]:
    """Return the begin, and the end if any, of each subscription."""
    for it in subscriptions:
        yield SubscriptionBegan(it)
        if it.report.ended_at is not None:
            yield SubscriptionEnded(it)


def newest(
    items: Iterable[TimelineItem], *, before: TimelinePlace | None, limit: int
) -> Sequence[TimelineItem]:
    """Return the newest of these that come after a place of the timeline."""
    placed = [(place_of(it).order, it) for it in items]
    left = [it for it in placed if before is None or it[0] < before.order]
    left.sort(key=lambda it: it[0], reverse=True)
    return [it for _, it in left[:limit]]


@attrs.frozen
class TimelinePage:
    """Some of what happened, and where the next page starts; None at the end."""

    items: Sequence[TimelineItem]
    after: TimelinePlace | None
