"""The stored ids of the gateway's objects, by creation time."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Final

import attrs
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from payments_adapters.postgres.store import PostgresStore
from payments_adapters.postgres.tables import (
    listed_customers,
    payment_accounts,
    payments,
    subscriptions,
)
from payments_core.identity import CustomerId
from payments_core.object_lists import CreatedBetween, ObjectList
from payments_core.sweep import GIVEN_UP_AFTER


def _made(id_: "sa.Column[Any]", at: "sa.Column[Any]") -> sa.Select[Any]:
    """Return the query for the ids of one table, by the index on the time."""
    return (
        sa.select(id_.label("id"))
        .where(at >= sa.bindparam("start"), at < sa.bindparam("end"))
        .order_by(at)
        .limit(sa.bindparam("most"))
    )


_READS: Final[Mapping[ObjectList, sa.Select[Any]]] = MappingProxyType(
    {
        ObjectList.SUBSCRIPTIONS: _made(
            subscriptions.c.gateway_id, subscriptions.c.created_at
        ),
        ObjectList.PAYMENTS: _made(payments.c.id, payments.c.created_at),
    }
)


_SWEEP: Final = sa.bindparam("at", type_=listed_customers.c.sweep.type)
_IDS: Final = sa.func.unnest(sa.bindparam("ids", type_=postgresql.ARRAY(sa.Text)))
_NOTE: Final = (
    postgresql.insert(listed_customers)
    .from_select(["sweep", "customer_id"], sa.select(_SWEEP, _IDS))
    .on_conflict_do_nothing()
)
_CUSTOMER: Final = payment_accounts.c.customer_id
_UNLISTED: Final = (
    sa.select(_CUSTOMER)
    .where(
        _CUSTOMER.is_not(None),
        ~sa.exists().where(
            listed_customers.c.sweep == _SWEEP,
            listed_customers.c.customer_id == _CUSTOMER,
        ),
    )
    .order_by(_CUSTOMER)
    .limit(sa.bindparam("most"))
)
_GIVEN_UP: Final = sa.bindparam("given_up", type_=listed_customers.c.sweep.type)
_FORGET: Final = sa.delete(listed_customers).where(
    sa.or_(listed_customers.c.sweep == _SWEEP, listed_customers.c.sweep < _GIVEN_UP)
)

_BEGINNING: Final = datetime(1, 1, 1, tzinfo=UTC)


@attrs.frozen
class PostgresKeptObjects:
    _store: PostgresStore

    async def made_between(
        self, list_: ObjectList, created: CreatedBetween, *, limit: int
    ) -> Sequence[str]:
        found = await self._store.execute(
            _READS[list_],
            start=created.start or _BEGINNING,
            end=created.end,
            most=limit,
        )
        return [row["id"] for row in found]

    async def note_listed(
        self, sweep: datetime, customers: Sequence[CustomerId]
    ) -> None:
        await self._store.execute(_NOTE, at=sweep, ids=list(customers))

    async def unlisted(self, sweep: datetime, *, limit: int) -> Sequence[CustomerId]:
        found = await self._store.execute(_UNLISTED, at=sweep, most=limit)
        return [CustomerId(row["customer_id"]) for row in found]

    async def forget_listed(self, sweep: datetime) -> None:
        await self._store.execute(_FORGET, at=sweep, given_up=sweep - GIVEN_UP_AFTER)
