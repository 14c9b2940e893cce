"""What is kept of the gateway's objects, by when they were made."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Final

import attrs
import sqlalchemy as sa

from payments_adapters.postgres.store import PostgresStore
from payments_adapters.postgres.tables import payments, subscriptions
from payments_core.object_lists import CreatedBetween, ObjectList


def _made(id_: "sa.Column[Any]", at: "sa.Column[Any]") -> sa.Select[Any]:
    """Return what reads the ids of one table, by the index on the time."""
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
