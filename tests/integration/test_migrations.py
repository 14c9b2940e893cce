"""Migrations create what the tables define, and can be undone."""

import asyncio
import uuid
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Final

import attrs
import pytest
import sqlalchemy as sa
from alembic import command
from alembic.script import ScriptDirectory
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from contracts.examples import (
    ADA,
    APPLIED,
    NOON,
    a_payment,
    a_record,
    a_subscription,
    an_account,
    an_event,
)
from contracts.full_values import ACCOUNTS, INTENTS, RECORDS, SUBSCRIPTIONS
from contracts.revocation_log import names, polled, revoked
from payments_adapters.emails import read_email
from payments_adapters.postgres import schema
from payments_adapters.postgres.schema import SchemaState
from payments_adapters.postgres.store import PostgresStore
from payments_adapters.postgres.tables import METADATA
from payments_core.errors import StoreUnavailable
from payments_core.job_key import JobKey, JobKind
from payments_core.linking import LinkKeys
from payments_core.payment import DisputeState, Payment, PaymentState
from support import databases
from support.postgres_stores import stores_on

pytestmark = pytest.mark.anyio

# The objects that a migration creates, each with its name and its definition. The
# compression of bytes is left out, because the server decides it; so are partitions,
# which are created day by day.
_COLUMNS: Final = """
select table_name || '.' || column_name, concat_ws(' ', data_type, is_nullable,
    column_default)
from information_schema.columns where table_schema = 'public'
    and ('public.' || table_name)::regclass in (
        select oid from pg_class where not relispartition
    )
"""
_CONSTRAINTS: Final = """
select conname, conrelid::regclass || ' ' || pg_get_constraintdef(oid)
from pg_constraint where connamespace = 'public'::regnamespace
    and conrelid in (
        select oid from pg_class where not relispartition
    )
"""
_INDEXES: Final = """
select indexname, indexdef from pg_indexes where schemaname = 'public'
    and ('public.' || tablename)::regclass in (
        select oid from pg_class where not relispartition
    )
"""
_REST: Final = """
select relname, relkind::text || coalesce(pg_get_partkeydef(oid), '')
from pg_class where relnamespace = 'public'::regnamespace
    and relkind in ('r', 'p', 'S') and not relispartition
"""
_ALEMBIC: Final = "alembic_version"


async def shape_of(dsn: str) -> set[tuple[str, str]]:
    """Return a database's objects, except for Alembic's own table."""
    return {
        (name, made)
        for query in (_COLUMNS, _CONSTRAINTS, _INDEXES, _REST)
        for name, made in await databases.fetch(dsn, query)
        if not name.startswith(_ALEMBIC)
    }


async def test_migrations_make_what_the_tables_say(
    postgres: str, database_url: str
) -> None:
    """
    No drift: every table, column, check, key and index, and nothing else.
    """
    name = f"made_{uuid.uuid4().hex}"
    made = databases.named(postgres, name)
    await databases.execute(postgres, f"create database {name}")
    await _on(made, METADATA.create_all)
    expected = await shape_of(made)
    await databases.execute(postgres, f"drop database {name} with (force)")

    assert len(expected) > 100
    assert await shape_of(database_url) == expected


async def _on(dsn: str, work: Callable[[sa.Connection], None]) -> None:
    engine = create_async_engine(
        databases.direct(dsn).replace("postgresql://", "postgresql+asyncpg://", 1),
        poolclass=NullPool,
    )
    async with engine.begin() as connection:
        await connection.run_sync(work)
    await engine.dispose()


def _down(revision: str, connection: sa.Connection) -> None:
    command.downgrade(schema._config(connection), revision)


_FUNCTIONS: Final = """
select proname || '' from pg_proc where pronamespace = 'public'::regnamespace
union select tgname || '' from pg_trigger where not tgisinternal
union select regexp_replace(relname, '[0-9]{8}$', 'day') from pg_class
where relispartition and relkind = 'r'
"""


@pytest.mark.parametrize("revision", ["0002", "0001", "base"])
async def test_migrations_can_be_taken_back_and_run_again(
    database_url: str, revision: str
) -> None:
    """
    No object of them stays, and afterwards the schema is as before.
    """
    before = await shape_of(database_url)
    functions = set(await databases.fetch(database_url, _FUNCTIONS))
    assert functions
    await _on(database_url, partial(_down, revision))
    assert not await databases.fetch(database_url, _FUNCTIONS)
    if revision == "base":
        assert not await shape_of(database_url)
    await schema.upgrade(database_url)

    assert await shape_of(database_url) == before
    assert set(await databases.fetch(database_url, _FUNCTIONS)) == functions


async def test_taking_the_last_migration_back_loses_no_row(
    database_url: str,
) -> None:
    """
    Accounts, payments, subscriptions, intents and events stay, with their bodies; after
    a second upgrade they read as before.
    """
    async with PostgresStore(database_url, 2).opened() as store:
        stores = stores_on(store)
        await stores.keep(
            *ACCOUNTS.values(),
            payments=list(RECORDS.values()),
            subscriptions=list(SUBSCRIPTIONS.values()),
            intents=[INTENTS["bare"]],
            events=[(an_event(body=b"\x00a body"), APPLIED)],
        )
    await _on(database_url, partial(_down, "0002"))
    await schema.upgrade(database_url)

    async with PostgresStore(database_url, 2).opened() as store:
        stores = stores_on(store)
        for record in RECORDS.values():
            kept = await stores.payment(record.payment.id)
            # The previous release does not know what a payment paid for.
            payment = attrs.evolve(
                record.payment, subscription_id=None, invoice_known=False
            )
            if record.user_id is None and payment.email:
                # Nor does it know that a domain has two spellings.
                payment = attrs.evolve(payment, email=read_email(payment.email).key)
            assert kept == attrs.evolve(
                record,
                payment=payment,
                version=1,
                sequence=0,
                linked_by_hand=False,
                as_of=None,
            )
        for one in SUBSCRIPTIONS.values():
            found = await stores.subscription(one.gateway_id)
            # The previous release does not know when a plan was changed, or who linked
            # it.
            assert found == attrs.evolve(
                one, version=1, plan_changed_at=None, linked_by_hand=False
            )
        bare = INTENTS["bare"]
        assert await stores.intent(bare.id) == attrs.evolve(bare, version=1)
        (event,) = await stores.events.find("evt_1")
        assert event.body == b"\x00a body"
        terms = sorted(
            (
                it.last_paid_period
                for it in SUBSCRIPTIONS.values()
                if it.last_paid_period
            ),
            key=lambda it: it.gateway_id,
        )
        periods = sorted(await stores.periods(), key=lambda it: it.gateway_id)
        assert periods == terms


@pytest.mark.parametrize(
    ("payment", "asks"),
    [
        (a_payment(state=PaymentState.REFUNDED), True),
        (a_payment(dispute=DisputeState.OPEN), True),
        (a_payment(dispute=DisputeState.LOST), True),
        (a_payment(), False),
        (a_payment(state=PaymentState.PARTIALLY_REFUNDED), False),
    ],
    ids=["refunded", "disputed", "lost", "kept", "partly"],
)
@pytest.mark.parametrize("subscribed", [False, True])
async def test_a_subscribers_money_that_went_back_before_is_asked_about(
    database_url: str, payment: Payment, *, asks: bool, subscribed: bool
) -> None:
    """
    The invoice that it paid decides since then; without a subscription, no invoice
    does.
    """
    async with PostgresStore(database_url, 2).opened() as store:
        await stores_on(store).keep(
            an_account(),
            payments=[a_record(payment, owner=ADA)],
            subscriptions=[a_subscription(owner=ADA)] if subscribed else [],
        )
    await _on(database_url, partial(_down, "0003"))
    await schema.upgrade(database_url)

    async with PostgresStore(database_url, 2).opened() as store:
        jobs = await stores_on(store).jobs()
    wanted = {JobKey(JobKind.PAYMENT, payment.id)} if asks and subscribed else set()
    assert set(jobs) == wanted
    assert all(job.lease.attempts == 0 for job in jobs.values())


async def test_f47_what_was_given_up_before_is_open_again(database_url: str) -> None:
    """
    Jobs that were dead are due; finished jobs stay finished. A pending event without a
    job is quarantined, with its reason.
    """
    await _on(database_url, partial(_down, "0006"))
    await databases.execute(
        database_url,
        "insert into jobs (kind, subject, reason, due_at, asked, attempts, lease_no,"
        " dead, finished_at) values"
        " ('payment', 'ch_dead', 'r', now(), 1, 12, 12, true, null),"
        " ('payment', 'ch_done', 'r', now(), 1, 0, 1, true, now())",
        "insert into webhook_events (id, type, created_at, received_at, livemode,"
        " state, reason, waits_for) values"
        " ('evt_1', 't', now(), now(), false, 'pending', 'why', null),"
        " ('evt_2', 't', now(), now(), false, 'pending', 'why', 'payment ch_dead')",
    )
    await schema.upgrade(database_url)

    assert set(
        await databases.fetch(database_url, "select subject, dead from jobs")
    ) == {("ch_dead", False), ("ch_done", True)}
    assert set(
        await databases.fetch(
            database_url, "select id, state, reason from webhook_events"
        )
    ) == {("evt_1", "quarantined", "why"), ("evt_2", "pending", "why")}


@pytest.mark.parametrize("first", ["ascii", "letters"])
async def test_t69_emails_are_read_anew_and_two_that_are_one_by_now_are_listed(
    database_url: str, first: str
) -> None:
    """
    The first user keeps it, in any spelling; the other is found only by id, and a
    person must decide.
    """
    await _on(database_url, partial(_down, "0004"))
    both = [
        ("ascii", "ann@xn--bcher-kva.example", "ann@xn--bcher-kva.example"),
        ("letters", "ann@bücher.example", "ann@bücher.example"),
    ]
    later = "letters" if first == "ascii" else "ascii"
    for number, (user, email, key) in enumerate(
        [
            *(both if first == "ascii" else reversed(both)),
            ("sharp", "straße@a.example", "strasse@a.example"),
            ("emoji", "ann@i❤.ws", "ann@i❤.ws"),
        ]
    ):
        await databases.fetch(
            database_url,
            "insert into payment_accounts (user_id, email, email_key, payment_status,"
            " version, created_at, updated_at) values ($1, $2, $3, 'none', 1, $4, $4)",
            *(user, email, key, NOON + timedelta(days=number)),
        )
    await databases.execute(
        database_url,
        "insert into payments (id, state, dispute, refunded_minor, email_key, version,"
        " recorded_at, updated_at) values"
        " ('ch_1', 'succeeded', 'none', 0, 'bob@bücher.example', 1, now(), now())",
    )

    findings = await schema.upgrade(database_url)

    (finding,) = findings
    assert f"user {later} has the e-mail of user {first}" in finding
    assert set(
        await databases.fetch(
            database_url, "select user_id, email_key from payment_accounts"
        )
    ) == {
        (first, "ann@xn--bcher-kva.example"),
        (later, "ann@bücher.example"),
        ("sharp", "straße@a.example"),
        ("emoji", "ann@i❤.ws"),
    }
    assert list(
        await databases.fetch(database_url, "select email_key from payments")
    ) == [("bob@xn--bcher-kva.example",)]
    assert not await schema.upgrade(database_url)


async def test_t69_an_email_that_the_release_before_changes_is_noted(
    database_url: str,
) -> None:
    """
    The previous release runs next to this one, and knows no former keys.
    """
    async with PostgresStore(database_url, 2).opened() as store:
        stores = stores_on(store)
        await stores.keep(an_account())
        await databases.execute(
            database_url,
            "update payment_accounts set email = 'own@a.b', email_key = 'own@a.b'",
        )
        account = await stores.account(ADA)
        keys = LinkKeys(email_keys=frozenset({an_account().email.key}))
        (former,) = (await stores.load(keys=keys)).former_keys

    assert (former.user_id, former.since) == (ADA, None)
    assert account.email_since == former.until


async def test_f49_f50_an_upgrade_that_waits_for_a_lock_gives_up(
    database_url: str,
) -> None:
    """
    A reader that holds a table and does nothing would otherwise block all others.
    """
    await _on(database_url, partial(_down, "0004"))
    idle = await databases.connected(database_url)
    try:
        await idle.execute("begin")
        await idle.fetch("select from payment_accounts")
        with pytest.raises(StoreUnavailable):
            await schema.upgrade(database_url)
        assert await schema.current(database_url) == "0004"
    finally:
        await idle.close()

    await schema.upgrade(database_url)
    assert await schema.current(database_url) == schema.head()


async def test_a_locked_version_is_not_waited_for(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Readers get "the database does not answer": they would wait for ever.
    """
    holder = await databases.connected(database_url)
    try:
        await holder.execute("begin")
        await holder.execute("lock table alembic_version")
        monkeypatch.setattr(schema, "COMMAND_TIMEOUT_S", 0.01)
        with pytest.raises(StoreUnavailable):
            await asyncio.wait_for(schema.current(database_url), 60)
    finally:
        await holder.close()


@pytest.mark.parametrize(
    ("statement", "revision", "state"),
    [
        ("select", schema.head(), SchemaState.CURRENT),
        ("update alembic_version set version_num = '0001'", "0001", SchemaState.BEHIND),
        ("update alembic_version set version_num = '9999'", "9999", SchemaState.LATER),
        (
            "update alembic_version set version_num = 'garbage'",
            "garbage",
            SchemaState.UNKNOWN,
        ),
        # Not a number of ours, and not greater than ours.
        (
            "update alembic_version set version_num = '0000'",
            "0000",
            SchemaState.UNKNOWN,
        ),
        (
            "insert into alembic_version values ('0001')",
            f"0001, {schema.head()}",
            SchemaState.UNKNOWN,
        ),
        ("delete from alembic_version", "none", SchemaState.UNKNOWN),
        (
            "drop schema public cascade; create schema public",
            None,
            SchemaState.EMPTY,
        ),
    ],
    ids=["ours", "old", "later", "garbage", "number", "two", "lost", "empty"],
)
async def test_a_revision_that_no_release_has_is_not_taken_for_a_later_one(
    database_url: str, statement: str, revision: str | None, state: SchemaState
) -> None:
    """
    Nor may a database without a revision pass for an empty one. An upgrade leaves it
    alone.
    """
    await databases.execute(database_url, statement)
    before = await schema.current(database_url)
    assert (before, schema.state_of(before)) == (revision, state)
    if state is SchemaState.UNKNOWN:
        await schema.upgrade(database_url)
        assert await schema.current(database_url) == before


@pytest.mark.parametrize("by_hand", [True, False])
async def test_f50_the_release_before_does_not_undo_a_link_by_hand(
    database_url: str, *, by_hand: bool
) -> None:
    """
    The previous release does not know such links, and links by a payment's own keys.
    """
    record = attrs.evolve(a_record(), linked_by_hand=by_hand)
    async with PostgresStore(database_url, 2).opened() as store:
        stores = stores_on(store)
        await stores.keep(an_account(), payments=[record])
        await databases.execute(
            database_url, "update payments set user_id = 'ada', state = 'refunded'"
        )
        kept = await stores.payment(record.payment.id)

    assert kept.user_id == (None if by_hand else ADA)
    assert kept.payment.state is PaymentState.REFUNDED


async def test_p30_what_was_revoked_before_has_positions_and_is_heard(
    database_url: str,
) -> None:
    """
    In the order of their times; later revocations come after all of them.
    """
    await _on(database_url, partial(_down, "0020"))
    await databases.execute(
        database_url,
        "insert into invalidated_tokens (issuer, jti, expires_at, invalidated_at)"
        " values ('i', 'later', now() + interval '1 h', now()),"
        " ('i', 'first', now() + interval '1 h', now() - interval '1 h')",
        "insert into token_cut_offs (user_id, at) values ('ada', now())",
    )
    await schema.upgrade(database_url)

    async with PostgresStore(database_url, 2).opened() as store:
        stores = stores_on(store)
        answer = await polled(stores)
        assert names(answer) == ["first", "later"]
        assert [it.user_id for it in answer.users] == [ADA]
        assert (answer.reached, answer.head) == (3, 3)
        assert await revoked(stores, "new") == [4]


def test_the_name_of_a_file_begins_with_its_revision() -> None:
    """
    So a process's schema is known without a migration tool.
    """
    scripts = ScriptDirectory.from_config(schema._config())
    (head,) = scripts.get_heads()
    known = [it.revision for it in scripts.walk_revisions()]
    assert schema.head() == head
    assert all(
        schema.state_of(it) is schema.SchemaState.BEHIND for it in known if it != head
    )
    assert schema.state_of(head) is schema.SchemaState.CURRENT


async def test_a_table_has_as_much_room_as_it_is_made_with(database_url: str) -> None:
    """
    A fillfactor is not part of a table's shape: a migration may omit it.
    """
    wanted = {
        (it.name, f"fillfactor={factor}")
        for it in METADATA.sorted_tables
        if (
            factor := (it.dialect_options["postgresql"]["with"] or {}).get("fillfactor")
        )
    }
    found = await databases.fetch(
        database_url,
        "select relname, option from pg_class, unnest(reloptions) as option"
        " where relnamespace = 'public'::regnamespace and option like 'fillfactor=%'",
    )
    assert wanted
    assert set(map(tuple, found)) == wanted
