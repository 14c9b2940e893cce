"""What is stored about an account, newest first, and the log of its verdicts.

Each statement uses an index, and reads at most `FACTS_MAX` rows.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any, Final

import attrs
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from payments_adapters.postgres import rows, work_rows
from payments_adapters.postgres.store import Connection, PostgresStore
from payments_adapters.postgres.tables import (
    OPEN_INTENT,
    account_log,
    changes_by_hand,
    event_bodies,
    intents,
    invoice_payments,
    jobs,
    paid_periods,
    payments,
    subscriptions,
    webhook_events,
)
from payments_core.account import PaymentAccount
from payments_core.account_facts import (
    FACTS_MAX,
    QUARANTINED_MAX,
    AccountFacts,
    named_invoices,
    names_in_bodies,
)
from payments_core.account_log import LoggedVerdict
from payments_core.events import EventState
from payments_core.identity import UserId
from payments_core.job_key import JobKind
from payments_core.kept_events import KeptEvent, cursor_of
from payments_core.linking import Unlinked

_DIALECT: Final = postgresql.asyncpg.dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy's
_Found = Sequence[Mapping[str, Any]]


def _unlinked(table: sa.Table, *columns: str) -> sa.Select[Any]:
    """Return a query for unlinked rows with one of the keys, each by its own index."""
    by_key = [
        sa.select(
            sa.select(table)
            .where(table.c.user_id.is_(None), table.c[name] == sa.bindparam(name))
            .order_by(table.c.created_at.desc())
            .limit(FACTS_MAX)
            .subquery()
        )
        for name in columns
    ]
    found = sa.union(*by_key).subquery()
    return sa.select(found).order_by(found.c.created_at.desc()).limit(FACTS_MAX)


def _texts(name: str) -> sa.BindParameter[Any]:
    """Return an array parameter: the statement is the same for any length."""
    return sa.bindparam(name, type_=postgresql.ARRAY(sa.Text))


_PAYMENTS: Final = (
    sa.select(payments)
    .where(payments.c.user_id == sa.bindparam("user"))
    .order_by(payments.c.created_at.desc().nulls_first(), payments.c.id)
    .limit(FACTS_MAX)
)
_NAMED_PAYMENTS: Final = sa.select(payments).where(
    payments.c.user_id == sa.bindparam("user"),
    # By primary key, and not by a scan of all payments of the user.
    payments.c.id
    == sa.any_(
        sa.func.array(
            sa.union(
                sa.select(sa.func.unnest(_texts("ids"))),
                sa.select(invoice_payments.c.payment_id).where(
                    invoice_payments.c.invoice_id == sa.any_(_texts("invoices"))
                ),
            ).scalar_subquery()
        )
    ),
)
_PERIODS: Final = (
    sa.select(paid_periods)
    .where(paid_periods.c.subscription_id == sa.any_(_texts("ids")))
    .order_by(paid_periods.c.ends_at.desc(), paid_periods.c.invoice_id)
    .limit(FACTS_MAX)
)
_UNLINKED_PAYMENTS: Final = _unlinked(
    payments, "customer_id", "claimed_by", "email_key"
)
_UNLINKED_SUBSCRIPTIONS: Final = _unlinked(subscriptions, "customer_id", "claimed_by")
_INTENTS: Final = (
    sa.select(intents)
    .where(intents.c.user_id == sa.bindparam("user"), OPEN_INTENT)
    .order_by(intents.c.created_at.desc(), intents.c.id)
    .limit(FACTS_MAX)
)
_BY_HAND: Final = (
    sa.select(changes_by_hand)
    .where(changes_by_hand.c.user_id == sa.bindparam("user"))
    .order_by(changes_by_hand.c.at.desc(), changes_by_hand.c.id.desc())
    .limit(FACTS_MAX)
)
_JOBS: Final = (
    sa.select(jobs)
    .where(
        jobs.c.kind.in_(
            [
                sa.literal_column(f"'{it.value}'")
                for it in JobKind
                if it is not JobKind.EVENT
            ]
        ),
        jobs.c.subject == sa.any_(_texts("ids")),
        sa.not_(jobs.c.dead),
    )
    .order_by(jobs.c.due_at, jobs.c.kind, jobs.c.subject)
    .limit(FACTS_MAX)
)
_LATEST_FIRST: Final = ("received_at", "id", "type")
_EVENTS: Final = (
    sa.select(webhook_events)
    .where(webhook_events.c.object_id == sa.any_(_texts("ids")))
    .order_by(*(webhook_events.c[name].desc() for name in _LATEST_FIRST))
    .limit(FACTS_MAX)
)
# A constant: with a parameter the planner does not use the partial index.
_HELD: Final = (
    sa.select(webhook_events)
    .where(
        webhook_events.c.state == sa.literal_column(f"'{EventState.QUARANTINED.value}'")
    )
    .order_by(*(webhook_events.c[name].desc() for name in _LATEST_FIRST))
    .limit(QUARANTINED_MAX)
    .subquery("held")
)
# A body is stored under the day on which its event was received.
_HELD_BODY: Final = sa.func.coalesce(
    sa.select(event_bodies.c.body)
    .where(
        event_bodies.c.received_on
        == sa.cast(sa.func.timezone("UTC", _HELD.c.received_at), sa.Date),
        event_bodies.c.id == _HELD.c.id,
        event_bodies.c.type == _HELD.c.type,
    )
    .scalar_subquery(),
    _HELD.c.body,
)


def _naming(name: str) -> sa.ColumnElement[bool]:
    wanted = sa.bindparam(name, type_=sa.LargeBinary)
    return sa.func.position(wanted.op("in")(_HELD_BODY)) > 0


_QUARANTINED: Final = sa.select(_HELD).where(
    sa.or_(_naming("user"), _naming("customer"))
)
# Rows from before migration 0016 do not have the end of access.
_VERDICT: Final = (
    sa.select(account_log)
    .where(
        account_log.c.user_id == sa.bindparam("user"),
        account_log.c.at <= sa.bindparam("at"),
        account_log.c.grace_s.is_not(None),
    )
    .order_by(account_log.c.version.desc())
    .limit(1)
)
# One account may have very many of these, and others almost none. With a generic plan
# all of them would be read and sorted.
_SKEWED: Final = frozenset(
    {_PAYMENTS, _UNLINKED_PAYMENTS, _UNLINKED_SUBSCRIPTIONS, _BY_HAND, _VERDICT}
)


@cache
def _compiled(statement: sa.Select[Any]) -> tuple[str, Sequence[str], Any]:
    """Return a statement as text, the names of its parameters, and their constants."""
    made = statement.compile(dialect=_DIALECT)
    return str(made), made.positiontup or (), made.params


@attrs.frozen
class _Reader:
    """Runs statements on one connection: SQLAlchemy takes three times as long."""

    _connection: Connection

    async def __call__(self, statement: sa.Select[Any], **values: object) -> _Found:
        text, names, constants = _compiled(statement)
        given = map({**constants, **values}.get, names)
        if statement not in _SKEWED:
            found: _Found = await self._connection.fetch(text, *given)
            return found
        # An unnamed statement is planned for these values.
        asked = await self._connection.prepare(text, name="")
        return [*await asked.fetch(*given)]


@attrs.frozen
class PostgresAccountHistory:
    _store: PostgresStore

    async def facts(
        self, account: PaymentAccount, *, whole: bool = True
    ) -> AccountFacts:
        async with self._store.connection() as connection:
            return await _facts(_Reader(connection), account, whole=whole)

    async def verdict_at(self, user_id: UserId, at: datetime) -> LoggedVerdict | None:
        async with self._store.connection() as connection:
            found = await _Reader(connection)(_VERDICT, user=user_id, at=at)
        return rows.to_logged(found[0]) if found else None


async def _facts(
    read: _Reader, account: PaymentAccount, *, whole: bool
) -> AccountFacts:
    user = account.user_id
    keys = {"customer_id": account.customer_id, "claimed_by": user}
    unlinked: _Found = ()
    others: _Found = ()
    if whole:
        unlinked = await read(_UNLINKED_PAYMENTS, **keys, email_key=account.email.key)
        others = await read(_UNLINKED_SUBSCRIPTIONS, **keys)
    ours = [it.gateway_id for it in account.subscriptions]
    facts = AccountFacts(
        account=account,
        payments=[rows.to_payment(it) for it in await _payments(read, account)],
        periods=[rows.to_period(it) for it in await read(_PERIODS, ids=ours)],
        unlinked=Unlinked(
            [rows.to_payment(it) for it in unlinked],
            [rows.to_subscription(it) for it in others],
        ),
        intents=[work_rows.to_intent(it) for it in await read(_INTENTS, user=user)],
        by_hand=[rows.to_logged_change(it) for it in await read(_BY_HAND, user=user)],
    )
    about = list(facts.objects())
    return attrs.evolve(
        facts,
        jobs=[work_rows.to_job(it) for it in await read(_JOBS, ids=about)],
        events=await _events(read, account, about, whole=whole),
    )


async def _payments(read: _Reader, account: PaymentAccount) -> _Found:
    latest, user = account.summary.latest, account.user_id
    found = await read(_PAYMENTS, user=user)
    named = await read(
        _NAMED_PAYMENTS,
        user=user,
        ids=[latest.payment_id] if latest else [],
        invoices=list(named_invoices(account)),
    )
    return list({row["id"]: row for row in (*found, *named)}.values())


async def _events(
    read: _Reader, account: PaymentAccount, about: Sequence[str], *, whole: bool
) -> Sequence[KeptEvent]:
    user, *others = names_in_bodies(account)
    customer = others[0] if others else None
    found = await read(_EVENTS, ids=about)
    naming: _Found = ()
    if whole:
        naming = await read(_QUARANTINED, user=user, customer=customer)
    kept = [_event_of(row, account.user_id) for row in (*found, *naming)]
    by_key = {it.key: it for it in kept}
    return sorted(by_key.values(), key=cursor_of, reverse=True)[:FACTS_MAX]


def _event_of(row: Mapping[str, Any], user: UserId) -> KeptEvent:
    """Read an event without its body: its object is, or may be, the user's."""
    owner = {"payment_owner": user, "subscription_owner": None, "body": None}
    return rows.to_kept_event({**row, **owner})
