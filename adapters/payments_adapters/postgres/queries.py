"""What is read beside the ledger, and the tokens that are dead."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

import attrs
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from payments_adapters.postgres import rows, statements, work_rows
from payments_adapters.postgres.statements import compiled
from payments_adapters.postgres.store import PostgresStore
from payments_adapters.postgres.tables import (
    deployment,
    event_bodies,
    intents,
    invalidated_tokens,
    payments,
    subscriptions,
    token_cut_offs,
    webhook_events,
)
from payments_core.account import PaymentAccount
from payments_core.events import EventState, KeptEvent
from payments_core.identity import CustomerId, Email, UserId
from payments_core.intent import Intent, IntentId
from payments_core.ports import RevocationPage
from payments_core.revocation import Token, TokenCutOff, TokenRevocation


@attrs.frozen
class PostgresDirectory:
    _store: PostgresStore

    async def find(self, user: UserId | Email) -> PaymentAccount | None:
        by_email = isinstance(user, Email)
        async with self._store.connection() as connection:
            row = await connection.fetchrow(
                statements.FIND_ACCOUNT_BY_EMAIL
                if by_email
                else statements.FIND_ACCOUNT,
                user.key if isinstance(user, Email) else user,
            )
        if row is None:
            return None
        found = row["subscriptions"] or ()
        return rows.to_account(row, [rows.to_subscription(it) for it in found])

    async def holder_of(self, customer_id: CustomerId) -> UserId | None:
        async with self._store.connection() as connection:
            found = await connection.fetchval(statements.FIND_HOLDER, customer_id)
        return UserId(found) if found else None


_FIND_INTENT: Final = compiled(
    sa.select(intents).where(intents.c.id == sa.bindparam("intent_id", type_=sa.Text))
)


@attrs.frozen
class PostgresIntentDirectory:
    _store: PostgresStore

    async def find(self, id_: IntentId) -> Intent | None:
        values = _FIND_INTENT.values(intent_id=id_)
        async with self._store.connection() as connection:
            row = await connection.fetchrow(_FIND_INTENT.text, *values)
        return work_rows.to_intent(row) if row else None


_KEPT: Final = (
    sa.select(
        webhook_events.c.id,
        webhook_events.c.type,
        webhook_events.c.object_id,
        webhook_events.c.created_at,
        webhook_events.c.received_at,
        webhook_events.c.livemode,
        webhook_events.c.state,
        webhook_events.c.reason,
        webhook_events.c.waits_for,
        sa.func.coalesce(payments.c.user_id, subscriptions.c.user_id).label("user_id"),
    )
    .select_from(
        webhook_events.outerjoin(
            payments, webhook_events.c.object_id == payments.c.id
        ).outerjoin(
            subscriptions, webhook_events.c.object_id == subscriptions.c.gateway_id
        )
    )
    .order_by(webhook_events.c.received_at.desc(), webhook_events.c.id)
)
_WANTED: Final = sa.bindparam("state", type_=sa.Text)
_UNLINKED: Final = sa.or_(
    sa.and_(payments.c.id.is_not(None), payments.c.user_id.is_(None)),
    sa.and_(subscriptions.c.id.is_not(None), subscriptions.c.user_id.is_(None)),
)
_KEPT_LIST: Final = compiled(
    _KEPT.add_columns(sa.null().label("body"))
    .where(sa.or_(_WANTED.is_(None), webhook_events.c.state == _WANTED))
    .where(sa.or_(sa.bindparam("linked_too", type_=sa.Boolean), _UNLINKED))
    .limit(sa.bindparam("most", type_=sa.BigInteger))
)
# A body is kept by the day on which its event was received.
_BODY: Final = (
    sa.select(event_bodies.c.body)
    .where(
        event_bodies.c.received_on
        == sa.cast(sa.func.timezone("UTC", webhook_events.c.received_at), sa.Date),
        event_bodies.c.id == webhook_events.c.id,
        event_bodies.c.type == webhook_events.c.type,
    )
    .scalar_subquery()
)
_KEPT_ONE: Final = compiled(
    _KEPT.add_columns(
        sa.func.coalesce(_BODY, webhook_events.c.body).label("body")
    ).where(webhook_events.c.id == sa.bindparam("event_id", type_=sa.Text))
)


@attrs.frozen
class PostgresEventLog:
    _store: PostgresStore

    async def kept(
        self,
        *,
        state: EventState | None = None,
        unlinked: bool = False,
        limit: int = 100,
    ) -> Sequence[KeptEvent]:
        values = _KEPT_LIST.values(
            state=state and state.value, linked_too=not unlinked, most=limit
        )
        async with self._store.connection() as connection:
            found = await connection.fetch(_KEPT_LIST.text, *values)
        return [rows.to_kept_event(row) for row in found]

    async def find(self, event_id: str) -> Sequence[KeptEvent]:
        values = _KEPT_ONE.values(event_id=event_id)
        async with self._store.connection() as connection:
            found = await connection.fetch(_KEPT_ONE.text, *values)
        return [rows.to_kept_event(row) for row in found]


_INVALIDATE: Final = compiled(insert(invalidated_tokens).on_conflict_do_nothing())
_CUT_OFF_INSERT: Final = insert(token_cut_offs)
_CUT_OFF: Final = compiled(
    _CUT_OFF_INSERT.on_conflict_do_update(
        index_elements=[token_cut_offs.c.user_id],
        set_={"at": _CUT_OFF_INSERT.excluded.at},
        where=token_cut_offs.c.at < _CUT_OFF_INSERT.excluded.at,
    )
)
_KEY: Final = sa.tuple_(invalidated_tokens.c.issuer, invalidated_tokens.c.jti)
_PAGE: Final = compiled(
    sa.select(invalidated_tokens)
    .where(
        sa.tuple_(
            sa.bindparam("issuer", type_=sa.Text), sa.bindparam("jti", type_=sa.Text)
        )
        < _KEY
    )
    .order_by(invalidated_tokens.c.issuer, invalidated_tokens.c.jti)
    .limit(sa.bindparam("most", type_=sa.BigInteger))
)


@attrs.frozen
class PostgresTokens:
    _store: PostgresStore

    async def is_dead(self, token: Token) -> bool:
        async with self._store.connection() as connection:
            return bool(
                await connection.fetchval(
                    statements.IS_DEAD,
                    token.issuer,
                    token.jti,
                    token.user_id,
                    token.issued_at,
                )
            )

    async def invalidate(self, revocation: TokenRevocation) -> None:
        values = _INVALIDATE.values(**attrs.asdict(revocation))
        async with self._store.connection() as connection:
            await connection.execute(_INVALIDATE.text, *values)

    async def cut_off(self, cut_off: TokenCutOff) -> None:
        values = _CUT_OFF.values(**attrs.asdict(cut_off))
        async with self._store.connection() as connection:
            await connection.execute(_CUT_OFF.text, *values)

    async def page(
        self, *, after: tuple[str, str] | None = None, limit: int = 100
    ) -> RevocationPage:
        issuer, jti = after or ("", "")
        values = _PAGE.values(issuer=issuer, jti=jti, most=limit + 1)
        async with self._store.connection() as connection:
            found = [
                _revocation(*row) for row in await connection.fetch(_PAGE.text, *values)
            ]
        page = found[:limit]
        last = (page[-1].issuer, page[-1].jti) if len(found) > limit else None
        return RevocationPage(page, last)


def _revocation(
    issuer: str,
    jti: str,
    user_id: str | None,
    expires_at: datetime,
    invalidated_at: datetime,
) -> TokenRevocation:
    return TokenRevocation(
        issuer=issuer,
        jti=jti,
        user_id=UserId(user_id) if user_id else None,
        expires_at=expires_at,
        invalidated_at=invalidated_at,
    )


_STAMP: Final = compiled(
    insert(deployment)
    .values(singleton=sa.true(), livemode=sa.bindparam("mode", type_=sa.Boolean))
    .on_conflict_do_nothing()
)
_STAMPED: Final = compiled(sa.select(deployment.c.livemode))


async def stamped_livemode(store: PostgresStore, *, livemode: bool) -> bool:
    """Stamp a new database with its mode; return the mode that it has."""
    async with store.connection() as connection:
        await connection.execute(_STAMP.text, *_STAMP.values(mode=livemode))
        return bool(await connection.fetchval(_STAMPED.text))


# Whoever is first at an endpoint makes its budget. Who is first at the same moment
# finds none yet, and asks again. Budgets are locked in the order of their names.
_TAKE: Final = """
with wanted as (
    select name, $3::float8 as most, $5::timestamptz as now
    from unnest($1::text[]) as name
), held as (
    select endpoint, most, now, least(
        most, calls_left + most * greatest(extract(epoch from now - counted_at), 0)
    ) as calls_left
    from gateway_budgets join wanted on endpoint = name
    order by endpoint for update of gateway_budgets
), found as (
    select * from held union all
    select name, most, now, most from wanted
    where name not in (select endpoint from held)
), wish as (
    select *, case when calls_left >= greatest(most / 2, $4::int) then $4::int
        when calls_left >= 1 and endpoint = $2 then 1 else 0 end as calls
    from found
), made as (
    insert into gateway_budgets (endpoint, calls_left, counted_at)
    select endpoint, calls_left - calls, now from wish
    where endpoint not in (select endpoint from held)
    order by endpoint on conflict do nothing
    returning endpoint
), taken as (
    -- Another pod's clock may be ahead.
    update gateway_budgets b set
        calls_left = wish.calls_left - wish.calls,
        counted_at = greatest(b.counted_at, wish.now)
    from wish where b.endpoint = wish.endpoint and wish.calls > 0
    returning b.endpoint
)
select endpoint, calls from wish where calls > 0 and endpoint in (
    select endpoint from made union all select endpoint from taken
)
"""
CALLS_AT_ONCE: Final = 3


@attrs.frozen
class PostgresCallBudget:
    """Calls to the gateway that all pods may still make, by endpoint."""

    _store: PostgresStore

    async def take(
        self, endpoint: str, *, beside: Sequence[str] = (), per_s: float, now: datetime
    ) -> Mapping[str, int]:
        names = [endpoint, *beside]
        async with self._store.connection() as connection:
            taken = await connection.fetch(
                _TAKE, names, endpoint, per_s, CALLS_AT_ONCE, now
            )
        return {row["endpoint"]: row["calls"] for row in taken}
