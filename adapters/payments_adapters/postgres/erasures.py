"""Erases a user: one transaction for all rows found by index, then the events.

The classification of the columns is in `personal_data`; the statements follow from it.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import attrs

from payments_adapters.postgres.mentions import Identifiers, mentioning
from payments_adapters.postgres.personal_data import (
    BY_HAND_OF_EVENTS,
    FATES,
    THEIRS,
    Fate,
    Theirs,
    identifiers_of,
    of_theirs,
    shared_emails,
)
from payments_adapters.postgres.rows import to_payment, to_subscription
from payments_adapters.postgres.store import PostgresStore
from payments_core.account import PaymentAccount
from payments_core.by_hand import ActionByHand
from payments_core.erasure import SETTLED, Erasure, what_is_open
from payments_core.errors import ErasureKeyUnusable
from payments_core.events import EventKey
from payments_core.identity import CustomerId, Email, UserId
from payments_core.linking import NOTHING_UNLINKED, LinkKeys, Unlinked
from payments_core.payment import DisputeState, PaymentState
from payments_core.tombstones import Tombstones

# We wait for others who lock the account, for as long as no save has to wait for us.
_SETTINGS: Final = (
    "set local lock_timeout = '2s'",
    "set local statement_timeout = '60s'",
    # The triggers for the previous release must not record these deletions.
    "set local payments.saved_by = 'save_v1'",
)
_TIMEOUT_S: Final = 60.0
_LOCK: Final = """
select version = $2 and not exists (
    select from intents where user_id = $1 and state in ('new', 'sent', 'unknown')
) from payment_accounts where user_id = $1 for update
"""
_LOCK_KEYS: Final = (
    f"select from link_keys where {of_theirs('link_keys')} order by key for update"
)
_BURY: Final = """
insert into erased_keys as e (digest, at)
select digest, at from unnest($1::bytea[], $2::timestamptz[]) as k (digest, at)
on conflict (digest) do update set at = greatest(e.at, excluded.at)
"""
_IS_OTHER_KEY: Final = """
select exists (select from erased_keys)
    and not exists (select from erased_keys where digest = $1)
"""
# The bodies of events are searched later: until then each event is without a user.
_LET_GO: Final = "update webhook_events set user_id = null where user_id = $1"
_BEGIN: Final = "insert into erasures (pseudonym, identifiers, at) values ($1, $2, $3)"
_LOG: Final = """
insert into changes_by_hand (at, action, subject, user_id, decided_by, reason)
values ($1, $2, $3, $3, $4, $5)
"""
_PURGE_JOBS: Final = """
with gone as (delete from jobs where {} returning lease_no)
insert into purged_jobs as p (singleton, lease_no)
select true, max(lease_no) from gone having count(*) > 0
on conflict (singleton) do update set lease_no = greatest(p.lease_no, excluded.lease_no)
"""
# The value of a column that cannot be null.
_NOT_NULL: Final[Mapping[tuple[str, str], str]] = {
    ("account_log", "cause"): "'erased'",
    ("account_log", "sources"): "'{}'",
    ("changes_by_hand", "reason"): "'erased'",
}
_E_MAIL: Final = "$6::text || '@erased.invalid'"
_ADDRESSES: Final = frozenset({"email", "email_key"})
# Their version grows: a decision on the previous state is made anew.
_VERSIONED: Final = frozenset({"payment_accounts", "payments", "subscriptions"})


def _value(table: str, column: str, fate: Fate) -> str:
    if column == "version" and table in _VERSIONED:
        return "version + 1"
    match fate:
        case Fate.EMPTIED:
            return _NOT_NULL.get((table, column), "null")
        case Fate.PSEUDONYM:
            return _pseudonym(table, column)
        case _:
            return column


def _pseudonym(table: str, column: str) -> str:
    if column in _ADDRESSES:
        return _E_MAIL
    if table == "changes_by_hand" and column == "user_id":
        # A decision about theirs in favour of another user stays.
        return "case when user_id = $1 then $6 else user_id end"
    if table == "changes_by_hand":
        # A customer, or the job of one.
        jobs = "array(select 'customer:' || it from unnest($2::text[]) it)"
        return f"case when {column} = any($2 || {jobs}) then $6 else {column} end"
    return "$6"


def _statements() -> Iterator[str]:
    """Yield the statement for each table, in an order that the references allow."""
    account = _columns("payment_accounts")
    values = (_value("payment_accounts", name, it) for name, it in account.items())
    yield (
        f"insert into payment_accounts ({', '.join(account)})"  # noqa: S608  # our own names
        f" select {', '.join(values)} from payment_accounts"
        f" where {of_theirs('payment_accounts', _PSEUDONYM)}"
    )
    for table in THEIRS:
        fate = FATES[table]
        where = of_theirs(table, _PSEUDONYM)
        if table == "jobs":
            yield _PURGE_JOBS.format(where)
        elif fate is Fate.ROW_DELETED:
            yield f"delete from {table} where {where}"  # noqa: S608  # our own names
        elif not isinstance(fate, Fate) and table != "payment_accounts":
            changes = ", ".join(
                f"{name} = {value}"
                for name, it in fate.items()
                if (value := _value(table, name, it)) != name
            )
            yield f"update {table} set {changes} where {where}"  # noqa: S608  # our own names
    yield (
        "delete from payment_accounts"  # noqa: S608  # our own names
        f" where {of_theirs('payment_accounts', _PSEUDONYM)}"
    )


_PSEUDONYM: Final = "$6::text"


def _columns(table: str) -> Mapping[str, Fate]:
    fate = FATES[table]
    if isinstance(fate, Fate):
        raise TypeError(table)
    return fate


_ERASE: Final = tuple(_statements())

# There may be many payments: only those that may be open are read.
_MAY_BE_OPEN: Final = (
    f"(state = '{PaymentState.PENDING.value}' or dispute = '{DisputeState.OPEN.value}')"
)
_OWN_PAYMENTS: Final = f"select * from payments where user_id = $1 and {_MAY_BE_OPEN}"  # noqa: S608  # our own names
_OWN_SUBSCRIPTIONS: Final = "select * from subscriptions where user_id = $1"
_OPEN_PAYMENTS: Final = (
    f"select * from payments where {of_theirs('payments')}"  # noqa: S608  # our own names
    f" and user_id is null and {_MAY_BE_OPEN}"
)
_OPEN_SUBSCRIPTIONS: Final = (
    f"select * from subscriptions where {of_theirs('subscriptions')}"  # noqa: S608  # our own names
    " and user_id is null"
)


class _IsOpenError(Exception):
    """Something of the pseudonym's would be open: nothing is changed."""


def _open_of(payments: Sequence[Any], subscriptions: Sequence[Any]) -> Unlinked:
    """Return the open rows, which prevent an erasure."""
    records, sold = map(to_payment, payments), map(to_subscription, subscriptions)
    return Unlinked(
        tuple(it for it in records if any(what_is_open([], [it], []))),
        tuple(it for it in sold if any(what_is_open([it], [], []))),
    )


_STRIP_BODIES: Final = """
delete from event_bodies b using unnest($1::text[], $2::text[]) as k (id, type)
where b.id = k.id and b.type = k.type
    and b.received_on = (
        select (e.received_at at time zone 'UTC')::date from webhook_events e
        where e.id = k.id and e.type = k.type
    )
"""
_STRIP_EVENTS: Final = """
update webhook_events e set object_id = null, body = null, waits_for = null,
    user_id = null,
    reason = case when e.state = 'applied' then null else 'erased' end,
    state = case when e.state in ('pending', 'quarantined') then 'ignored'
        else e.state end
from unnest($1::text[], $2::text[]) as k (id, type)
where e.id = k.id and e.type = k.type
"""
_STRIP_CHANGES: Final = f"""
update changes_by_hand set reason = 'erased', instead_of = null
where {BY_HAND_OF_EVENTS}
"""  # noqa: S608  # our own names
_EVENT_JOBS: Final = _PURGE_JOBS.format(
    "kind = 'event' and subject = any("
    "select k.id || ' ' || k.type from unnest($1::text[], $2::text[]) as k (id, type))"
)


async def is_erasure_key(store: PostgresStore, tombstones: Tombstones | None) -> bool:
    """Return whether a key is that of the stored tombstones, if there are any."""
    proof = tombstones.proof if tombstones else b""
    async with store.connection() as connection:
        return not await connection.fetchval(_IS_OTHER_KEY, proof)


@attrs.frozen
class PostgresErasures:
    _store: PostgresStore
    _tombstones: Tombstones | None

    async def is_erased(self, user: UserId | Email) -> bool:
        name = f"email {user.key}" if isinstance(user, Email) else f"user {user}"
        digest = self._key.of(name)
        async with self._store.connection() as connection:
            return bool(
                await connection.fetchval(
                    "select exists (select from erased_keys where digest = $1)", digest
                )
            )

    async def is_any(self) -> bool:
        async with self._store.connection() as connection:
            return bool(
                await connection.fetchval("select exists (select from erased_keys)")
            )

    async def left(self, before: datetime) -> Sequence[UserId]:
        async with self._store.connection() as connection:
            rows = await connection.fetch(
                "select pseudonym from erasures where at < $1 order by at", before
            )
        return [UserId(pseudonym) for (pseudonym,) in rows]

    async def unfinished(self, user: UserId | Email) -> UserId | None:
        if not await is_erasure_key(self._store, self._key):
            raise ErasureKeyUnusable
        async with self._store.connection() as connection:
            rows = await connection.fetch("select pseudonym, identifiers from erasures")
        for pseudonym, text in rows:
            them = Identifiers.of_text(text)
            known = user.key in them.emails if isinstance(user, Email) else False
            if known or user == them.user_id:
                return UserId(pseudonym)
        return None

    async def open_without_owner(self, user_id: UserId) -> Unlinked:
        async with self._store.connection() as connection:
            theirs = await Theirs.found(connection, user_id)
            payments = await connection.fetch(_OPEN_PAYMENTS, *theirs)
            subscriptions = await connection.fetch(_OPEN_SUBSCRIPTIONS, *theirs)
        return _open_of(payments, subscriptions)

    async def begin(self, account: PaymentAccount, erasure: Erasure) -> bool:
        async with self._store.connection() as connection:
            try:
                async with connection.transaction():
                    return await self._begin(connection, account, erasure)
            except _IsOpenError:
                return False

    async def _begin(
        self, connection: Any, account: PaymentAccount, erasure: Erasure
    ) -> bool:
        for setting in _SETTINGS:
            await connection.execute(setting)
        user, version = account.user_id, account.version
        if not await connection.fetchval(_LOCK, user, version):
            return False
        # Then concurrent saves that store something unlinked under one of their keys,
        # in the order of a save: first the keys, then the things.
        await connection.execute(_LOCK_KEYS, *await Theirs.found(connection, user))
        theirs = await Theirs.found(connection, user)
        them = await identifiers_of(connection, theirs)
        names = dict.fromkeys(_names(theirs), erasure.at)
        for email, until in (await shared_emails(connection, user)).items():
            # An e-mail that another user also had counts only for the time they had it.
            names[f"email {email}"] = until or erasure.at
        digests = [self._key.proof, *map(self._key.of, names)]
        await connection.execute(_BURY, digests, [erasure.at, *names.values()])
        pseudonym, decided = erasure.pseudonym, erasure.decided
        await connection.execute(_BEGIN, pseudonym, them.text, erasure.at)
        await connection.execute(_LET_GO, user, timeout=_TIMEOUT_S)
        for statement in _ERASE:
            await connection.execute(statement, *theirs, pseudonym, timeout=_TIMEOUT_S)
        # Read now, when no other transaction can change it.
        payments = await connection.fetch(_OWN_PAYMENTS, pseudonym)
        subscriptions = await connection.fetch(_OWN_SUBSCRIPTIONS, pseudonym)
        if _open_of(payments, subscriptions) != NOTHING_UNLINKED:
            raise _IsOpenError
        action = ActionByHand.ERASE_ACCOUNT.value
        await connection.execute(
            _LOG, erasure.at, action, pseudonym, decided.by, decided.reason
        )
        return True

    async def finish(self, pseudonym: UserId) -> int:
        async with self._store.connection() as connection:
            begun = await connection.fetchrow(
                "select identifiers, at from erasures where pseudonym = $1", pseudonym
            )
        count = 0
        if begun is None:
            return count
        them, until = Identifiers.of_text(begun["identifiers"]), begun["at"] + SETTLED
        async for keys in mentioning(self._store, them, emails_until=until):
            count += await self._strip(keys)
        async with self._store.connection() as connection:
            await connection.execute(
                "delete from erasures where pseudonym = $1", pseudonym
            )
        return count

    async def _strip(self, keys: Sequence[EventKey]) -> int:
        """Keep only that events, and changes by hand to them, happened."""
        if not keys:
            return 0
        names = [it.id for it in keys], [it.type for it in keys]
        async with self._store.connection() as connection, connection.transaction():
            for statement in (
                _STRIP_BODIES,
                _STRIP_EVENTS,
                _STRIP_CHANGES,
                _EVENT_JOBS,
            ):
                await connection.execute(statement, *names)
        return len(set(keys))

    @property
    def _key(self) -> Tombstones:
        if self._tombstones is None:
            raise ErasureKeyUnusable(
                "PAYMENTS_ERASURE_KEY is missing: tombstones of erased users need it"
            )
        return self._tombstones


def _names(theirs: Theirs) -> Iterator[str]:
    return LinkKeys(
        frozenset({UserId(theirs.user_id)}),
        frozenset(map(CustomerId, theirs.customers)),
        frozenset(theirs.emails),
    ).names()
