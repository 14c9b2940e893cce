"""What an export of a user includes in Postgres besides what they own."""

from collections import Counter

import pytest

from contracts.erasures import done_by_hand
from contracts.examples import ADA, APPLIED, CUS_1, an_account, an_event
from contracts.stores import SAVED, Stores, beside
from payments_adapters.postgres.personal_data import AccountExport
from payments_adapters.postgres.store import PostgresStore
from payments_core.by_hand import ActionByHand
from payments_core.changes import Changes

pytestmark = pytest.mark.anyio


async def test_what_was_done_by_hand_of_their_events_is_exported_once(
    stores: Stores, shared: PostgresStore
) -> None:
    """
    Of the event, and of the job that applies it, also if it names the user itself.
    """
    type_, job = "charge.succeeded", "event:evt_1:charge.succeeded"
    events = [
        an_event("evt_1", type_=type_, body=b'{"customer": "cus_1"}'),
        an_event("evt_2", type_=type_, body=b'{"customer": "cus_2"}'),
    ]
    await stores.keep(
        an_account(ADA, customer=CUS_1), events=[(it, APPLIED) for it in events]
    )
    changes = (
        done_by_hand(ActionByHand.CLOSE_EVENT, "evt_1", type_),
        done_by_hand(ActionByHand.RETRY_JOB, job),
        done_by_hand(ActionByHand.RETRY_JOB, job, user=ADA),
        done_by_hand(ActionByHand.CLOSE_EVENT, "evt_2", type_),
    )
    assert await stores.save(Changes(key="by hand", by_hand=changes)) == [SAVED]

    rows = [
        (row["subject"], row["user_id"])
        async for table, row in AccountExport(shared)(ADA)
        if table == "changes_by_hand"
    ]

    assert Counter(rows) == Counter([("evt_1", None), (job, ADA), (job, None)])


async def test_an_event_of_their_timeline_is_exported_whatever_its_body_says(
    stores: Stores, shared: PostgresStore
) -> None:
    """
    Its body may be deleted, and it may be about an object that nothing else of theirs
    names.
    """
    await stores.keep(an_account(ADA))
    group = beside(await stores.account(ADA), events=((an_event("evt_1"), APPLIED),))
    assert await stores.save(group) == [SAVED]

    found = [
        row["id"]
        async for table, row in AccountExport(shared)(ADA)
        if table == "webhook_events"
    ]

    assert found == ["evt_1"]
