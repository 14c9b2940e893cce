"""What is kept about an account, the newest of each kind, and the log of its verdicts.

Each statement reads by an index, and at most `FACTS_MAX` rows.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import attrs
import sqlalchemy as sa

from payments_adapters.postgres import rows, work_rows
from payments_adapters.postgres.store import PostgresStore
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

_Found = Sequence[Mapping[str, Any]]


def _unlinked(table: sa.Table, *columns: str) -> sa.Select[Any]:
    """Return what has no owner and carries one of the keys, each by its own index."""
    by_key = [
        sa.select(table).where(
            table.c.user_id.is_(None), table.c[name] == sa.bindparam(name)
        )
        for name in columns
    ]
    found = sa.union(*by_key).subquery()
    return sa.select(found).order_by(found.c.created_at.desc()).limit(FACTS_MAX)


_PAYMENTS: Final = (
    sa.select(payments)
    .where(payments.c.user_id == sa.bindparam("user"))
    .order_by(payments.c.created_at.desc().nulls_first(), payments.c.id)
    .limit(FACTS_MAX)
)
_NAMED_PAYMENTS: Final = sa.select(payments).where(
    payments.c.user_id == sa.bindparam("user"),
    sa.or_(
        payments.c.id.in_(sa.bindparam("ids", expanding=True)),
        payments.c.id.in_(
            sa.select(invoice_payments.c.payment_id).where(
                invoice_payments.c.invoice_id.in_(
                    sa.bindparam("invoices", expanding=True)
                )
            )
        ),
    ),
)
_PERIODS: Final = (
    sa.select(paid_periods)
    .where(paid_periods.c.subscription_id.in_(sa.bindparam("ids", expanding=True)))
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
        jobs.c.kind.in_([it.value for it in JobKind if it is not JobKind.EVENT]),
        jobs.c.subject.in_(sa.bindparam("ids", expanding=True)),
        sa.not_(jobs.c.dead),
    )
    .order_by(jobs.c.due_at, jobs.c.kind, jobs.c.subject)
    .limit(FACTS_MAX)
)
_LATEST_FIRST: Final = ("received_at", "id", "type")
_EVENTS: Final = (
    sa.select(webhook_events)
    .where(webhook_events.c.object_id.in_(sa.bindparam("ids", expanding=True)))
    .order_by(*(webhook_events.c[name].desc() for name in _LATEST_FIRST))
    .limit(FACTS_MAX)
)
# As a constant: a partial index is not found by a parameter.
_HELD: Final = (
    sa.select(webhook_events)
    .where(
        webhook_events.c.state
        == sa.literal(EventState.QUARANTINED.value, literal_execute=True)
    )
    .order_by(*(webhook_events.c[name].desc() for name in _LATEST_FIRST))
    .limit(QUARANTINED_MAX)
    .subquery("held")
)
# A body is kept by the day on which its event was received.
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
# Rows of before migration 0016 do not say until when there was access.
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


@attrs.frozen
class PostgresAccountHistory:
    _store: PostgresStore

    async def facts(self, account: PaymentAccount) -> AccountFacts:
        user = account.user_id
        latest = account.summary.latest
        found = await self._read(_PAYMENTS, user=user)
        named = await self._read(
            _NAMED_PAYMENTS,
            user=user,
            ids=[latest.payment_id] if latest else [],
            invoices=list(named_invoices(account)),
        )
        by_id = {row["id"]: row for row in (*found, *named)}
        keys = {"customer_id": account.customer_id, "claimed_by": user}
        unlinked = await self._read(
            _UNLINKED_PAYMENTS, **keys, email_key=account.email.key
        )
        ours = [it.gateway_id for it in account.subscriptions]
        facts = AccountFacts(
            account=account,
            payments=[rows.to_payment(row) for row in by_id.values()],
            periods=[
                rows.to_period(row) for row in await self._read(_PERIODS, ids=ours)
            ],
            unlinked=Unlinked(
                [rows.to_payment(row) for row in unlinked],
                [
                    rows.to_subscription(row)
                    for row in await self._read(_UNLINKED_SUBSCRIPTIONS, **keys)
                ],
            ),
            intents=[
                work_rows.to_intent(row)
                for row in await self._read(_INTENTS, user=user)
            ],
            by_hand=[
                rows.to_logged_change(row)
                for row in await self._read(_BY_HAND, user=user)
            ],
        )
        about = list(facts.objects())
        return attrs.evolve(
            facts,
            jobs=[work_rows.to_job(row) for row in await self._read(_JOBS, ids=about)],
            events=await self._events(account, about),
        )

    async def _events(
        self, account: PaymentAccount, about: Sequence[str]
    ) -> Sequence[KeptEvent]:
        found = await self._read(_EVENTS, ids=about)
        user, *others = names_in_bodies(account)
        customer = others[0] if others else None
        naming = await self._read(_QUARANTINED, user=user, customer=customer)
        kept = [_event_of(row, account.user_id) for row in (*found, *naming)]
        by_key = {it.key: it for it in kept}
        return sorted(by_key.values(), key=cursor_of, reverse=True)[:FACTS_MAX]

    async def verdict_at(self, user_id: UserId, at: datetime) -> LoggedVerdict | None:
        found = await self._read(_VERDICT, user=user_id, at=at)
        return rows.to_logged(found[0]) if found else None

    async def _read(self, statement: sa.Executable, **values: object) -> _Found:
        return await self._store.execute(statement, **values)


def _event_of(row: Mapping[str, Any], user: UserId) -> KeptEvent:
    """Read an event without its body: what it is about is the user's, or may be."""
    owner = {"payment_owner": user, "subscription_owner": None, "body": None}
    return rows.to_kept_event({**row, **owner})
