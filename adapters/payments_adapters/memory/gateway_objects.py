"""The objects of the fake gateway, and its list of events."""

from datetime import datetime

import attrs

from payments_core import gateway as core
from payments_core.card import Card
from payments_core.errors import GatewayObjectMissing
from payments_core.event_list import EventQuery, ListedEvents
from payments_core.events import GatewayEvent
from payments_core.job_key import JobKey
from payments_core.payment import Payment
from payments_core.subscription import PaidPeriod
from payments_core.subscription import SubscriptionReport as Report

Making = core.CreateCustomer | core.CreateSetupIntent | core.CreateSubscription


@attrs.define
class GatewayObjects:
    """All objects of a gateway, by id; `made` has what each request created."""

    prices: dict[str, core.Price] = attrs.Factory(dict)
    made: dict[str, Making] = attrs.Factory(dict)
    deleted_customers: set[str] = attrs.Factory(set)
    cards: dict[str, Card] = attrs.Factory(dict)
    card_owners: dict[str, str] = attrs.Factory(dict)
    default_cards: dict[str, str] = attrs.Factory(dict)
    set_ups: dict[str, core.SetUp] = attrs.Factory(dict)
    # When each was begun, oldest first.
    set_ups_begun: dict[str, datetime] = attrs.Factory(dict)
    # What must be synced when one of these changes.
    jobs_of: dict[str, tuple[JobKey, ...]] = attrs.Factory(dict)
    subscriptions: dict[str, Report] = attrs.Factory(dict)
    invoices: dict[str, core.InvoicePayment] = attrs.Factory(dict)
    paid_periods: dict[str, PaidPeriod] = attrs.Factory(dict)
    payments: dict[str, Payment] = attrs.Factory(dict)
    # Oldest first.
    events: list[GatewayEvent] = attrs.Factory(list)
    # The ids of the events that an endpoint did not accept.
    undelivered: set[str] = attrs.Factory(set)

    def listed(self, query: EventQuery, at: datetime) -> ListedEvents:
        """Return a page of the events."""
        found, ids = list(self.events), [it.id for it in self.events]
        for id_ in filter(None, (query.after, query.before)):
            if id_ not in ids:
                raise GatewayObjectMissing("event")
        if query.after is not None:
            found = found[ids.index(query.after) + 1 :]
        if query.before is not None:
            found = found[: ids.index(query.before)]
        found = [
            it
            for it in found
            if (query.since is None or it.created_at >= query.since)
            and (query.until is None or it.created_at < query.until)
            and (not query.undelivered or it.id in self.undelivered)
        ]
        limit, is_newer = query.limit, query.after is not None
        return ListedEvents(
            events=found[:limit] if is_newer else found[-limit:],
            has_more=len(found) > limit,
            at=at,
        )
