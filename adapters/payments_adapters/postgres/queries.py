"""What is read outside of a unit of work, and the tokens that are dead."""

from collections.abc import Sequence
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
    gateway_budgets,
    intents,
    invalidated_tokens,
    payments,
    subscriptions,
    token_cut_offs,
    webhook_events,
)
from payments_core.account import PaymentAccount
from payments_core.events import EventState, KeptEvent
from payments_core.identity import Email, UserId
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
        return rows.to_account(tuple(row)) if row else None


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
        return work_rows.to_intent(tuple(row)) if row else None


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
        sa.func.coalesce(payments.c.user_id, subscriptions.c.user_id),
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
_KEPT_ONE: Final = compiled(
    _KEPT.add_columns(webhook_events.c.body).where(
        webhook_events.c.id == sa.bindparam("event_id", type_=sa.Text)
    )
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
        return [rows.to_kept_event(tuple(row)) for row in found]

    async def find(self, event_id: str) -> Sequence[KeptEvent]:
        values = _KEPT_ONE.values(event_id=event_id)
        async with self._store.connection() as connection:
            found = await connection.fetch(_KEPT_ONE.text, *values)
        return [rows.to_kept_event(tuple(row)) for row in found]


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


# The budget as it is now: what was left, and what came in since.
_LEFT: Final = sa.func.least(
    sa.bindparam("most", type_=sa.Double),
    gateway_budgets.c.calls_left
    + sa.bindparam("most", type_=sa.Double)
    * sa.func.greatest(
        sa.extract(
            "epoch",
            sa.bindparam("now", type_=sa.DateTime(timezone=True))
            - gateway_budgets.c.counted_at,
        ),
        0,
    ),
)
_NEW_BUDGET: Final = insert(gateway_budgets).values(
    endpoint=sa.bindparam("endpoint_", type_=sa.Text),
    calls_left=sa.bindparam("most", type_=sa.Double) - 1,
    counted_at=sa.bindparam("now", type_=sa.DateTime(timezone=True)),
)
_TAKE: Final = compiled(
    _NEW_BUDGET.on_conflict_do_update(
        index_elements=[gateway_budgets.c.endpoint],
        set_={
            "calls_left": _LEFT - 1,
            # Another pod's clock may be ahead.
            "counted_at": sa.func.greatest(
                gateway_budgets.c.counted_at, _NEW_BUDGET.excluded.counted_at
            ),
        },
        where=_LEFT >= 1,
    ).returning(gateway_budgets.c.endpoint)
)


@attrs.frozen
class PostgresCallBudget:
    """Calls to the gateway that all pods may still make, by endpoint."""

    _store: PostgresStore

    async def take(self, endpoint: str, *, per_s: float, now: datetime) -> bool:
        values = _TAKE.values(endpoint_=endpoint, most=per_s, now=now)
        async with self._store.connection() as connection:
            return await connection.fetchval(_TAKE.text, *values) is not None
