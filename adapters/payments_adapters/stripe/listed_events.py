"""Stripe's list of events, each read like a webhook's body.

Rule 1: the list has all types, and renders each event in the account's version: a type
        that is not followed, another version and an unreadable event are treated as in
        a webhook. One event does not spoil its page.
Rule 2: `types` is not sent: Stripe accepts 20, and we follow more.

Source: docs.stripe.com/api/events/list.
"""

from datetime import datetime

from payments_adapters.stripe.api_reader import RAW_PAGE
from payments_adapters.stripe.client import Client
from payments_adapters.stripe.event_reader import translate
from payments_adapters.stripe.failures import MISSING
from payments_adapters.stripe.requests import Params, path
from payments_core.errors import (
    GatewayObjectMissing,
    GatewayOutcomeUnknown,
    GatewayRefused,
)
from payments_core.event_list import EventQuery, ListedEvents


async def listed_events(
    client: Client, query: EventQuery, *, livemode: bool
) -> ListedEvents:
    """Return a page of the list.

    Raises:
        GatewayObjectMissing: the event that the query names is not in the list.
        GatewayUnavailable: see `Client.call`.
    """
    try:
        got = await client.call("GET", path("events"), _params(query), RAW_PAGE)
    except GatewayRefused as error:
        if error.refusal_code == MISSING:
            raise GatewayObjectMissing("event") from error
        raise
    if got.it.has_more and not got.it.data:
        raise GatewayOutcomeUnknown("a list without an end")
    # Each is copied: otherwise a stored event would keep the whole page in memory.
    bodies = [bytes(it) for it in reversed(got.it.data)]
    return ListedEvents(
        events=[translate(it, livemode=livemode, at=got.at) for it in bodies],
        has_more=got.it.has_more,
        at=got.at,
    )


def _params(query: EventQuery) -> Params:
    created = {"gte": _seconds(query.since), "lt": _seconds(query.until)}
    given = {
        "limit": query.limit,
        "ending_before": query.after,
        "starting_after": query.before,
        "created": {name: it for name, it in created.items() if it is not None},
    }
    params: Params = {name: it for name, it in given.items() if it}
    # Not delivered to every endpoint:
    # docs.stripe.com/webhooks/process-undelivered-events.
    return {**params, "delivery_success": False} if query.undelivered else params


def _seconds(moment: datetime | None) -> int | None:
    return None if moment is None else int(moment.timestamp())
