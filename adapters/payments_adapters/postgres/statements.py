"""SQL text, made once at import from the tables.

What is hot is written here as SQL, in arrays: one round trip for a whole batch.
What is not is SQLAlchemy Core, compiled for asyncpg by `compiled`.
"""

from collections.abc import Mapping
from typing import Any, Final

import attrs
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import asyncpg as dialect

from payments_adapters.postgres.tables import (
    WRITTEN_AT,
    payment_accounts,
    payments,
    subscriptions,
    type_of,
    webhook_events,
)


@attrs.frozen
class Compiled:
    """A statement as asyncpg takes it: text with $1, and the names of its values.

    `constants` are those values that the statement itself has.
    """

    text: str
    names: tuple[str, ...]
    constants: Mapping[str, object]

    def values(self, **values: object) -> list[object]:
        known = {**self.constants, **values}
        return [known[name] for name in self.names]


def compiled(statement: sa.Executable) -> Compiled:
    sql = statement.compile(  # type: ignore[attr-defined]  # every statement compiles
        dialect=dialect.dialect(),  # type: ignore[no-untyped-call]  # as it is
        compile_kwargs={"render_postcompile": True},
    )
    constants = {
        name: bind.value for name, bind in sql.binds.items() if not bind.required
    }
    return Compiled(str(sql), tuple(sql.positiontup or ()), constants)


def _columns(table: sa.Table, prefix: str = "") -> str:
    return ", ".join(prefix + column.name for column in table.c)


def _given(table: sa.Table) -> list[sa.Column[Any]]:
    return [column for column in table.c if WRITTEN_AT not in column.info]


def width(table: sa.Table) -> int:
    """Return how many arrays a table's rows are given in."""
    return len(_given(table))


def _rows(table: sa.Table, first: int) -> str:
    """Return a select of given rows: an array for each column, from $first on.

    Our own time is one value for all of them: $1.
    """
    given = _given(table)
    arrays = (f"${n}::{type_of(column)}[]" for n, column in enumerate(given, first))
    values = (
        "$1::timestamptz" if WRITTEN_AT in column.info else column.name
        for column in table.c
    )
    return (
        f"select {', '.join(values)} from unnest({', '.join(arrays)})"  # noqa: S608  # our own names
        f" as given({', '.join(column.name for column in given)})"
    )


def _upsert(table: sa.Table, key: str, first: int, kept: str) -> str:
    """Save rows whose version in the table is the one before theirs."""
    changed = ", ".join(
        f"{column.name} = excluded.{column.name}"
        for column in table.c
        if column.name not in {key, kept}
    )
    return (
        f"insert into {table.name} ({_columns(table)})"
        f" {_rows(table, first)}"
        f" on conflict ({key}) do update set {changed}"
        f" where {table.name}.version = excluded.version - 1 returning 1"
    )


# One round trip. Limits and planner settings belong to the transaction and not to the
# connection, so that a pooler may stand in between. Every look-up here is by a key: a
# plan that was made while a table was empty must not read all of it for ever after.
BEGIN: Final = """
begin;
set local statement_timeout = '5s';
set local lock_timeout = '2s';
set local idle_in_transaction_session_timeout = '15s';
set local plan_cache_mode = force_generic_plan;
set local enable_seqscan = off;
set local enable_hashjoin = off;
set local enable_mergejoin = off;
"""

# An account's row ends with the rows of its subscriptions.
_WHOLE: Final = (
    f"{_columns(payment_accounts, 'a.')}, (select"  # noqa: S608  # our own names
    f" array_agg(row({_columns(subscriptions, 's.')})) from subscriptions s"
    " where s.user_id = a.user_id) as subscriptions"
)

# Locked, it is as it is now; what is selected beside it is as it was when the statement
# began. If the version that was seen then is another, somebody held the lock and saved
# meanwhile: the statement has to be run again, with the lock in our hands.
_LOCKED: Final = (
    f"{_WHOLE}, (select seen.version from payment_accounts seen"  # noqa: S608  # our own names
    " where seen.user_id = a.user_id) as seen"
)

_ACCOUNT_IDS: Final = """
    select user_id from payment_accounts where user_id = any($1::text[])
    union select user_id from payment_accounts where customer_id = any($2::text[])
    union select user_id from payment_accounts where email_key = any($3::text[])
"""

# Locked in the order of the ids, so that two batches take turns. The ids are found
# first: an "or" over a subquery would read the whole table.
ACCOUNTS: Final = f"""
with ids as ({_ACCOUNT_IDS})
select {_LOCKED}
from payment_accounts a join ids using (user_id) order by a.user_id for update of a
"""  # noqa: S608  # our own names

LOOK_UP: Final = f"""
with ids as (
    {_ACCOUNT_IDS}
    union select user_id from payments
    where id = any($4::text[]) and user_id is not null
    union select user_id from subscriptions
    where gateway_id = any($7::text[]) and user_id is not null
),
locked as (
    select {_LOCKED}
    from payment_accounts a join ids using (user_id) order by a.user_id for update of a
),
known as (select {_columns(payments)} from payments where id = any($4::text[])),
reported as (
    select {_columns(subscriptions)} from subscriptions
    where gateway_id = any($7::text[])
),
kept as (
    select e.id, e.type from webhook_events e
    join unnest($5::text[], $6::text[]) as given(id, type)
    on e.id = given.id and e.type = given.type
)
select
    (select array_agg(row(locked.*)) from locked),
    (select array_agg(row(known.*)) from known),
    (select array_agg(row(kept.*)) from kept),
    (select array_agg(row(reported.*)) from reported)
"""  # noqa: S608  # our own names

_FIRST_EVENT: Final = 2
_FIRST_ACCOUNT: Final = _FIRST_EVENT + width(webhook_events)
_FIRST_PAYMENT: Final = _FIRST_ACCOUNT + width(payment_accounts)

# Rows come sorted by their keys, so that two batches meet in one order; sorting them
# here would copy every body twice more.
KEEP: Final = f"""
with events as (
    insert into webhook_events ({_columns(webhook_events)})
    {_rows(webhook_events, _FIRST_EVENT)} on conflict do nothing returning 1
),
accounts as ({_upsert(payment_accounts, "user_id", _FIRST_ACCOUNT, "created_at")}),
facts as ({_upsert(payments, "id", _FIRST_PAYMENT, "recorded_at")})
select (select count(*) from events), (select count(*) from accounts),
    (select count(*) from facts)
"""  # noqa: S608  # our own names

PAYMENTS: Final = f"""
select {_columns(payments)} from payments where id = any($1::text[]) order by id
"""  # noqa: S608  # our own names

KEEP_SUBSCRIPTIONS: Final = f"""
with facts as ({_upsert(subscriptions, "gateway_id", 2, "recorded_at")})
select count(*) from facts
"""  # noqa: S608  # our own names

SUBSCRIPTIONS: Final = f"""
select {_columns(subscriptions)} from subscriptions
where gateway_id = any($1::text[]) order by gateway_id
"""  # noqa: S608  # our own names

UNLINKED_SUBSCRIPTIONS: Final = f"""
select {_columns(subscriptions)} from subscriptions where user_id is null and (
    claimed_by = any($1::text[]) or customer_id = any($2::text[])
) order by gateway_id
"""  # noqa: S608  # our own names

# Unlinked things that an account was made for meanwhile, by each of their keys.
LINKABLE: Final = """
with found as (
    select a.user_id, a.customer_id, a.email_key from payments t
    join payment_accounts a on a.user_id = t.claimed_by where t.user_id is null
    union select a.user_id, a.customer_id, a.email_key from payments t
    join payment_accounts a on a.customer_id = t.customer_id where t.user_id is null
    union select a.user_id, a.customer_id, a.email_key from payments t
    join payment_accounts a on a.email_key = t.email_key
    where t.user_id is null and t.claimed_by is null
    union select a.user_id, a.customer_id, a.email_key from subscriptions t
    join payment_accounts a on a.user_id = t.claimed_by where t.user_id is null
    union select a.user_id, a.customer_id, a.email_key from subscriptions t
    join payment_accounts a on a.customer_id = t.customer_id where t.user_id is null
)
select user_id, customer_id, email_key from found order by user_id limit $1
"""

TICKETS: Final = "select nextval('gateway_tickets') from generate_series(1, $1)"

HISTORY: Final = f"""
select {_columns(payments)} from payments where user_id = any($1::text[])
"""  # noqa: S608  # our own names

UNLINKED: Final = f"""
select {_columns(payments)} from payments where user_id is null and (
    claimed_by = any($1::text[]) or customer_id = any($2::text[])
    or email_key = any($3::text[])
) order by id
"""  # noqa: S608  # our own names

# Two 32-bit halves keep our keys apart from anybody else's one-argument locks.
_LOCKS: Final = """
select pg_advisory_xact_lock{shared}(7451, key) from (
    select distinct hashtext(text) as key from unnest($1::text[]) as text order by key
) as keys
"""
HOLD_SHARED: Final = _LOCKS.format(shared="_shared")
HOLD_EXCLUSIVE: Final = _LOCKS.format(shared="")

FIND_ACCOUNT: Final = f"select {_WHOLE} from payment_accounts a where user_id = $1"  # noqa: S608  # our own names
FIND_ACCOUNT_BY_EMAIL: Final = (
    f"select {_WHOLE} from payment_accounts a where email_key = $1"  # noqa: S608  # our own names
)

# Both rows are looked up by their keys, on every request.
IS_DEAD: Final = """
select exists (select from invalidated_tokens where issuer = $1 and jti = $2)
    or exists (select from token_cut_offs where user_id = $3 and at >= $4)
"""
