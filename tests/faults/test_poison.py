"""An event that cannot be applied: stored for the worker, without harm to others."""

import json
from collections.abc import Iterator
from typing import Any, Final

import anyio
import httpx
import pytest

from faults.deliveries import Event, client, post
from faults.payers import assert_each_counted_once, payers, register
from support import databases
from support.events import SUCCEEDED, event
from support.service import ServiceProcess, World, running

pytestmark = pytest.mark.anyio

USERS: Final = 4
MONTHS: Final = 5
POISON: Final = "poison"

# A database error that our code does not expect.
_FAULT: Final = f"""
create function refuse_poison() returns trigger language plpgsql as $$
begin
    raise exception 'poison' using errcode = 'P0001';
end $$;
create trigger poison before insert on payments for each row
    when (new.id = 'ch_{POISON}') execute function refuse_poison();
"""


_STATE: Final = "select state from webhook_events where id = $1"


@pytest.fixture
def ready(database_url: str) -> Iterator[ServiceProcess]:
    """A service of the test's own; the shared one must not see its faults."""
    with running(World(database_url)) as [service]:
        yield service


async def test_f47_a_poison_event_is_kept_and_stops_nobody(
    ready: ServiceProcess,
) -> None:
    """
    One of 21 concurrent events cannot be applied: all answer 200, it is stored whole
    with a reason, and the others count, those of the same user too. When the fault is
    gone its redelivery applies it.
    """
    everybody = payers(USERS, MONTHS)
    register(ready, everybody)
    dsn = ready.world.database_url
    await databases.execute(dsn, _FAULT)
    poison = event(
        SUCCEEDED, POISON, at=everybody[0].anchor, receipt_email=everybody[0].email
    )
    events = [event for payer in everybody for event in payer.events()]
    events.insert(len(events) // 2, poison)

    answers = await _at_once(ready, events)

    assert {id_: answer.status_code for id_, answer in answers.items()} == {
        event["id"]: 200 for event in events
    }
    assert answers[poison["id"]].json() == {"outcome": "pending"}
    await assert_each_counted_once(dsn, everybody, set_aside=[poison["id"]])
    kept = await _kept(dsn, poison["id"])
    assert kept["reason"]
    assert json.loads(kept["body"]) == poison

    await databases.execute(dsn, "drop trigger poison on payments")
    [again] = (await _at_once(ready, [poison])).values()

    # Nothing prevents it any longer: a redelivery applies it.
    assert (again.status_code, again.json()) == (200, {"outcome": "duplicate"})
    paid = "select id from payments where id = $1"
    assert await databases.fetch(dsn, paid, f"ch_{POISON}")
    [row] = await databases.fetch(dsn, _STATE, poison["id"])
    assert row["state"] == "applied"


async def _at_once(
    service: ServiceProcess, events: list[Event]
) -> dict[str, httpx.Response]:
    answers: dict[str, httpx.Response] = {}

    async def send(event: Event) -> None:
        answers[event["id"]] = await post(http, service, event)

    async with client() as http, anyio.create_task_group() as senders:
        for event in events:
            senders.start_soon(send, event)
    return answers


async def _kept(dsn: str, event_id: str) -> Any:  # a driver's row
    [row] = await databases.fetch(
        dsn,
        "select e.reason, b.body from webhook_events e"
        " join event_bodies b using (id, type)"
        " where e.id = $1 and e.state = 'pending'",
        event_id,
    )
    return row
