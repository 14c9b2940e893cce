"""Locks that only a database has, and rows that the previous release writes."""

import asyncio
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any, Final

import attrs
import pytest

from contracts.deliveries import begun, claim, key
from contracts.erasures import an_erasure
from contracts.examples import (
    ADA,
    APPLIED,
    BOB,
    CH_1,
    NOON,
    SUB_1,
    a_job,
    a_job_key,
    a_payment,
    a_record,
    a_subscription,
    an_account,
    an_event,
    an_intent,
)
from contracts.ledger_guards import (
    LOCKED,
    NEIGHBOURS_COUNT,
    Neighbours,
    all_of,
    ridden,
    words_around,
)
from contracts.ledger_jobs import WAITING, claimed, finished
from contracts.ledger_links import ADAS_EMAIL, KEYS, NAME, claimer, keeper
from contracts.stores import SAVED, Stores, moved
from contracts.work_queue import names
from contracts.work_queue_overdue import SILENT_NOW, silent
from payments_adapters.postgres import partitions
from payments_adapters.postgres.store import PostgresStore
from payments_core.changes import Changes, SaveResult
from payments_core.deliveries import Replayed
from payments_core.errors import SaveTimedOut
from payments_core.identity import Email
from payments_core.job import JobState
from support.postgres_stores import fetch, holding, stores_on

pytestmark = pytest.mark.anyio

# Locks that only a database has: on rows of no account, and those of other sessions
# that have written and not committed.
_LOCKS: Final = {
    "a payment": "select from payments where id = 'ch_1' for update",
    "a subscription": "select from subscriptions where gateway_id = 'sub_1' for update",
    "a link key": "select from link_keys for update",
    "an intent": "select from intents where id = 'int_1' for update",
    "a job": "select from jobs where subject = 'sub_1' for update",
    "a pending event": "select from webhook_events where id = 'evt_1' for update",
    "a new payment": (
        'insert into payments select (jsonb_populate_record(p, \'{"id": "ch_9"}\')).*'
        " from payments p where id = 'ch_1' returning id"
    ),
    "a taken e-mail": """
        insert into payment_accounts
        select (jsonb_populate_record(a, '{"user_id": "eve", "email_key": "bob"}')).*
        from payment_accounts a where user_id = 'ada' returning user_id
    """,
}


async def _held(stores: Stores) -> dict[str, dict[str, Any]]:
    """Fill the store; return the parts of a group that need each of the locks above."""
    await stores.keep(
        an_account(),
        payments=[a_record()],
        subscriptions=[a_subscription()],
        intents=[an_intent()],
        jobs=[a_job()],
        events=[(an_event(), WAITING)],
    )
    assert await stores.save(keeper("ch_0", 0)) == [SAVED]
    return {
        "a payment": {"payments": (await stores.payment(CH_1),)},
        "a subscription": {"subscriptions": (await stores.subscription(SUB_1),)},
        "a link key": {"link_versions": {NAME: 1}},
        "an intent": {"intents": (await stores.intent("int_1"),)},
        "a job": {"jobs": (a_job(),)},
        "a pending event": {"resolved": ((an_event().key, APPLIED),)},
        "a new payment": {"payments": (a_record(a_payment("ch_9")),)},
        "a taken e-mail": {
            "after": attrs.evolve(an_account(BOB), email=Email("bob", "bob"), version=1)
        },
    }


async def test_whatever_is_locked_its_neighbours_are_saved(
    stores: Stores, shared: PostgresStore
) -> None:
    """
    The group is answered "locked", and nothing of it is saved; no save waits for longer
    than a fraction of a second.
    """
    needs = await _held(stores)
    neighbours = Neighbours()
    await neighbours.open(stores)
    before = await all_of(stores)
    for name, need in needs.items():
        async with shared.connection() as connection:
            transaction = connection.transaction()
            await transaction.start()
            assert await connection.fetch(_LOCKS[name]), name
            words = await stores.save(*neighbours.around(ridden(**need)))
            await transaction.rollback()
        assert (name, words) == (name, words_around(LOCKED))
        assert await neighbours.went_on(stores, words)
        assert await all_of(stores) == before


async def test_a_locked_account_is_not_waited_for_at_all(store: PostgresStore) -> None:
    """
    It is skipped, at no cost to the other groups: even where the wait for the lock
    would never end.
    """
    async with store.connection() as connection:
        await connection.execute("alter function save_v1 set lock_timeout = 0")
    stores = stores_on(store)
    await stores.keep(an_account(), an_account(BOB))
    ada, bob = await stores.account(ADA), await stores.account(BOB)
    async with stores.hold(ADA):
        words = await stores.save(moved(ada, ada), moved(bob, bob))
    assert words == [LOCKED, SAVED]


async def test_several_locks_do_not_keep_the_others_from_being_saved(
    stores: Stores, shared: PostgresStore
) -> None:
    """
    The wait for all of them together is no longer than a save may take, and every group
    that is not locked is saved.
    """
    needs = await _held(stores)
    del needs["a taken e-mail"], needs["a new payment"]
    neighbours = Neighbours()
    await neighbours.open(stores)
    groups = [Changes(key=name, **need) for name, need in needs.items()]
    async with AsyncExitStack() as locks:
        for name in needs:
            await locks.enter_async_context(holding(shared, _LOCKS[name]))
        words = await stores.save(*groups, *neighbours.around(Changes(key="nothing")))

    assert words[: len(groups)] == [LOCKED] * len(groups)
    assert words[len(groups) :] == [SAVED] * (NEIGHBOURS_COUNT + 1)
    assert await stores.save(*groups) == [SAVED] * len(groups)


async def test_work_that_another_claims_at_this_moment_is_left_out(
    stores: Stores, shared: PostgresStore
) -> None:
    """
    It delays nothing: the next events are saved at once, and the locked one when the
    other transaction has ended.
    """
    ids = [f"int_{number}" for number in range(3)]
    subjects = [f"sub_{number}" for number in range(3)]
    await stores.keep(
        *map(an_account, ids),
        intents=[an_intent(it, user=it) for it in ids],
        jobs=[a_job(it) for it in subjects],
    )
    async with (
        holding(shared, "select from intents where id <= 'int_1' for update"),
        holding(shared, "select from jobs where subject <= 'sub_1' for update"),
    ):
        assert set(await names(stores)) == {"int_2", "sub_2"}
    assert set(await names(stores)) == {"int_0", "int_1", "sub_0", "sub_1"}


async def test_what_an_account_locks_does_not_hold_up_what_only_refers_to_it(
    stores: Stores,
) -> None:
    """
    An intent or a payment of a locked account, in a group that does not rest on it.
    """
    await stores.keep(an_account())
    group = Changes(key="it", intents=(an_intent(),), payments=(a_record(owner=ADA),))
    async with stores.hold(ADA):
        assert await stores.save(group) == [SAVED]


async def test_f14_a_save_that_takes_too_long_says_so_and_can_be_run_again(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    It is not known whether it was saved: a load shows it, and so do the groups
    themselves.
    """
    group = Changes(key="it", events=((an_event(), APPLIED),))
    with monkeypatch.context() as patch:
        patch.setattr("payments_adapters.postgres.ledger.SAVE_TIMEOUT_S", 0)
        with pytest.raises(SaveTimedOut):
            await stores.save(group)
    known = (await stores.load(events=frozenset({an_event().key}))).events

    (word,) = await stores.save(group)
    assert word is (SaveResult.CHANGED if known else SAVED)


# The previous release writes accounts and unlinked things by itself.
_BY_THE_RELEASE_BEFORE: Final = {
    "a payment of nobody": (
        "insert into payments (id, state, dispute, refunded_minor, email_key, version,"
        " recorded_at, updated_at) values ('ch_old', 'succeeded', 'none', 0, $1, 1,"
        " now(), now())"
    ),
    "an account": (
        "insert into payment_accounts (user_id, email, email_key, payment_status,"
        " version, created_at, updated_at) values ('old', $1, $1, 'none', 1, now(),"
        " now())"
    ),
    "a new e-mail": "update payment_accounts set email_key = $1 where user_id = 'bob'",
}


@pytest.mark.parametrize("writes", _BY_THE_RELEASE_BEFORE)
async def test_what_the_release_before_writes_raises_the_link_keys(
    stores: Stores, shared: PostgresStore, writes: str
) -> None:
    """
    So a group that was decided without it is answered "changed".
    """
    await stores.keep(an_account(BOB))
    assert await stores.save(keeper("ch_0", 0)) == [SAVED]
    await fetch(shared, _BY_THE_RELEASE_BEFORE[writes], ADAS_EMAIL)

    assert await stores.link_version(NAME, KEYS) == 2
    for group in (keeper("ch_1", 1), attrs.evolve(claimer(1), after=None)):
        assert await stores.save(group) == [SaveResult.CHANGED]


_GIVE_UP: Final = """
update jobs set dead = true, due_at = due_at + interval '1 hour', attempts = 12
"""


@pytest.mark.parametrize("given_up", [False, True])
async def test_a_job_that_the_release_before_asked_for_again_is_open(
    stores: Stores, shared: PostgresStore, *, given_up: bool
) -> None:
    """
    The previous release does not know that a finished job's row stays. The job may be
    requested, and given up: then it is tried a day later.
    """
    subscriptions = [silent(SUB_1), silent("sub_2")]
    await stores.keep(subscriptions=subscriptions, jobs=[a_job()])
    await finished(stores, await claimed(stores))
    await fetch(shared, "update jobs set dead = false, asked = asked + 1")
    before = await stores.job(a_job_key())
    assert before.state is JobState.OPEN

    if given_up:
        await fetch(shared, _GIVE_UP)
        job = await stores.job(a_job_key())
        assert (job.state, job.is_failing) == (JobState.OPEN, True)
        assert job.lease.due_at == before.lease.due_at + timedelta(hours=25)
        before = job
    assert await stores.queue.request_overdue(now=SILENT_NOW, limit=1) == 1
    assert await stores.job(a_job_key()) == before
    assert a_job_key("sub_2") in await stores.jobs()


async def test_what_another_asks_for_at_this_moment_is_left_to_him(
    stores: Stores, shared: PostgresStore
) -> None:
    """
    A session that waits for the other's end does not request it again.
    """
    await stores.keep(subscriptions=[silent(SUB_1)])
    async with shared.connection() as connection, connection.transaction():
        await connection.execute(
            "insert into jobs values ('subscription', 'sub_1', 'his', now(), 1, 0, 0,"
            " null, false)"
        )
        asking = asyncio.create_task(
            stores.queue.request_overdue(now=SILENT_NOW, limit=9)
        )
        while not await fetch(shared, "select from pg_locks where not granted"):
            assert not asking.done()
    assert await asking == 0
    assert (await stores.job(a_job_key())).reason == "his"


async def test_what_is_opened_at_this_moment_stands_against_an_erasure(
    stores: Stores, shared: PostgresStore
) -> None:
    """
    Also for things without an owner: no account's lock protects them.
    """
    await stores.keep(an_account(), payments=[a_record(a_payment(user=ADA))])
    account = await stores.account(ADA)
    async with shared.connection() as connection, connection.transaction():
        await connection.execute("update payments set dispute = 'open'")
        erasing = asyncio.create_task(stores.erasures.begin(account, an_erasure()))
        while not await fetch(shared, "select from pg_locks where not granted"):
            assert not erasing.done()
    assert not await erasing
    assert await stores.account(ADA) == account


async def test_what_is_kept_unlinked_at_this_moment_is_waited_for(
    stores: Stores, shared: PostgresStore
) -> None:
    """
    A concurrent save holds a key of the user's: then the new thing is theirs, and may
    be open.
    """
    keyed = Changes(key="keyed", link_versions={NAME: 0})
    await stores.keep(an_account(), payments=[a_record()])
    assert await stores.save(keyed) == [SAVED]
    account = await stores.account(ADA)
    async with shared.connection() as connection, connection.transaction():
        await connection.execute("update link_keys set version = version + 1")
        await connection.execute(
            "update payments set claimed_by = 'ada', dispute = 'open'"
        )
        erasing = asyncio.create_task(stores.erasures.begin(account, an_erasure()))
        while not await fetch(shared, "select from pg_locks where not granted"):
            assert not erasing.done()
    assert not await erasing
    assert await stores.account(ADA) == account


async def test_f51_what_fills_an_endpoint_at_this_moment_is_waited_for(
    stores: Stores, shared: PostgresStore
) -> None:
    """
    A replay counts what is open at that time.
    """
    await begun(stores, ADA, BOB)
    for it in await claim(stores):
        assert await stores.deliveries.finish(it)
    queue = stores.deliveries_of(1)
    async with shared.connection() as connection, connection.transaction():
        await connection.execute("update delivery_cursors set position = position")
        await connection.execute(
            "insert into deliveries"
            " (endpoint, position, user_id, due_at, attempts, lease_no, dead)"
            " values ('crm', 2, 'bob', now(), 0, 0, false)"
        )
        replaying = asyncio.create_task(queue.replay([key(1)], now=NOON))
        while not await fetch(shared, "select from pg_locks where not granted"):
            assert not replaying.done()
    assert await replaying == Replayed([], [key(1)])


async def test_a_body_is_found_whatever_the_day(
    stores: Stores, shared: PostgresStore
) -> None:
    """
    A day with a partition, one without, and the last microsecond of a day; partitions
    may be added at any time, even twice.
    """
    (today,) = await fetch(shared, "select (now() at time zone 'UTC')::date")
    await partitions.prepare(shared, today[0])
    await partitions.prepare(shared, today[0] + timedelta(days=1))
    midnight = NOON.replace(hour=23, minute=59, second=59, microsecond=999_999)
    days = [
        NOON,
        midnight,
        midnight.replace(year=today[0].year, month=today[0].month, day=today[0].day),
        NOON.replace(year=2100),
    ]
    for number, at in enumerate(days):
        event = an_event(f"evt_{number}", body=f"{number}".encode())
        seconds = (at - NOON).total_seconds()
        await stores.keep(events=[(event, APPLIED)], seconds=seconds)

    for number, at in enumerate(days):
        (kept,) = await stores.events.find(f"evt_{number}")
        assert (kept.body, kept.received_at) == (f"{number}".encode(), at)


async def test_the_body_of_an_event_of_the_release_before_is_found(
    stores: Stores, shared: PostgresStore
) -> None:
    """
    The body is stored next to the event.
    """
    await stores.keep(events=[(an_event(body=b"new"), APPLIED)])
    await fetch(shared, "delete from event_bodies")
    await fetch(shared, "update webhook_events set body = 'old'")

    (kept,) = await stores.events.find("evt_1")
    assert kept.body == b"old"


async def test_changes_are_taken_over_by_one_process_at_a_time(
    stores: Stores, shared: PostgresStore
) -> None:
    """
    A second one neither waits for it nor moves the cursor back.
    """
    await stores.deliveries.begin("crm", from_start=True)
    await stores.keep(an_account())
    assert await stores.sequencer.give(1) == 1

    async with holding(shared, "select from delivery_cursors for no key update"):
        assert not await stores.deliveries.take_over("crm", now=NOON, limit=1)

    assert await stores.deliveries.take_over("crm", now=NOON, limit=1) == 1
