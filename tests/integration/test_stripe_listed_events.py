"""Stripe's list of events, from a lying server in its place."""

import json
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import pytest

from payments_core.errors import GatewayOutcomeUnknown
from payments_core.event_list import EventQuery
from payments_core.events import UNREADABLE, QuarantineNeeded, SyncNeeded
from payments_core.job_key import JobKey, JobKind
from payments_core.payment import Payment
from support.lying_stripe import answer, lying
from support.stripe_bodies import charge, event_body

pytestmark = pytest.mark.anyio

GOOD: Final = json.loads(event_body(charge(), id="evt_good"))


def listed(*newest_first: Any, **fields: Any) -> bytes:
    return answer({"object": "list", "data": list(newest_first), **fields})


async def test_the_query_is_asked_in_the_words_of_stripe() -> None:
    """
    Times as seconds; absent filters are not sent.
    """
    noon = datetime(2026, 1, 10, 12, tzinfo=UTC)
    seconds = str(int(noon.timestamp()))
    async with lying(listed()) as (gateway, liar):
        await gateway.events(EventQuery(since=noon, until=noon, before="evt_1"))
        await gateway.events(EventQuery(after="evt_2", limit=7))

    asked = [parse_qs(urlsplit(it.split(b" ")[1].decode()).query) for it in liar.asked]
    assert asked == [
        {
            "created[gte]": [seconds],
            "created[lt]": [seconds],
            "starting_after": ["evt_1"],
            "limit": ["100"],
        },
        {"ending_before": ["evt_2"], "limit": ["7"]},
    ]


async def test_f47_one_event_that_cannot_be_read_spoils_no_page() -> None:
    """
    It is quarantined, as it would be as a webhook; the others are read.
    """
    odd = [
        {**GOOD, "id": "evt_odd", "livemode": "yes"},
        {**GOOD, "id": 5},
        {**GOOD, "id": "evt_nul", "type": "charge.\0"},
        None,
        7,
    ]
    async with lying(listed(*odd, GOOD)) as (gateway, _):
        page = await gateway.events(EventQuery())

    first, *others = page.events
    assert (first.id, type(first.report)) == ("evt_good", Payment)
    assert json.loads(first.body) == GOOD
    assert [type(it.report) for it in others] == [QuarantineNeeded] * 5
    assert [it.type == UNREADABLE for it in others] == [True, True, True, True, False]
    assert {it.created_at for it in others[:2]} == {page.at}


async def test_what_nobody_reads_of_an_event_may_be_anything() -> None:
    """
    A NUL in it, for example: Postgres stores the body as bytes.
    """
    event = {**GOOD, "note": "\0"}
    async with lying(listed(event)) as (gateway, _):
        [found] = (await gateway.events(EventQuery())).events

    assert isinstance(found.report, Payment)


async def test_t21_t22_what_is_of_another_mode_or_account_is_marked() -> None:
    """
    As in a webhook: its content is not trusted, and it does not spoil the page.
    """
    other = {**GOOD, "id": "evt_live", "livemode": True}
    theirs = {**GOOD, "id": "evt_theirs", "account": "acct_other"}
    async with lying(listed(theirs, other, GOOD)) as (gateway, _):
        good, live, foreign = (await gateway.events(EventQuery())).events

    assert (good.livemode, live.livemode) == (False, True)
    assert foreign.report == QuarantineNeeded("the event is of a connected account")


async def test_t26_an_event_of_another_version_asks_for_a_sync() -> None:
    """
    As a webhook of that version does.
    """
    thing = {"object": "subscription", "id": "sub_1"}
    event = json.loads(
        event_body(thing, "customer.subscription.updated", api_version="2020-08-27")
    )
    async with lying(listed(event)) as (gateway, _):
        [found] = (await gateway.events(EventQuery())).events

    job = JobKey(JobKind.SUBSCRIPTION, "sub_1")
    assert found.report == SyncNeeded(job, "another API version")


@pytest.mark.parametrize(
    "lie",
    [
        listed(has_more=True),
        listed(object="event"),
        answer({"object": "list", "data": {}}),
        answer(GOOD),
        answer([GOOD]),
    ],
    ids=["no end", "another kind", "no list", "an event", "a bare list"],
)
async def test_an_answer_that_is_no_list_of_events_is_none(lie: bytes) -> None:
    """
    Nothing of it is read, and it does not count as the end of the list.
    """
    async with lying(lie) as (gateway, _):
        with pytest.raises(GatewayOutcomeUnknown):
            await gateway.events(EventQuery())
