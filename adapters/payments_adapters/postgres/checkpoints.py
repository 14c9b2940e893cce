"""The progress of loops over the gateway's objects, and which process runs them."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import attrs
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from payments_adapters.postgres.store import PostgresStore
from payments_adapters.postgres.tables import checkpoints
from payments_core.checkpoints import LoopCheckpoint
from payments_core.lease import Lease

_NAME: Final = sa.bindparam("loop", type_=sa.Text)
_FIND: Final = sa.select(checkpoints).where(checkpoints.c.name == _NAME)
_NOW: Final = sa.bindparam("now", type_=checkpoints.c.due_at.type)
_LEASED_UNTIL: Final = sa.bindparam("until", type_=checkpoints.c.due_at.type)
# One statement: of two concurrent processes, the second finds the first one's lease.
_CLAIM: Final = (
    insert(checkpoints)
    .values(name=_NAME, due_at=_NOW, attempts=0, lease_no=1, leased_until=_LEASED_UNTIL)
    .on_conflict_do_update(
        index_elements=[checkpoints.c.name],
        set_={
            "lease_no": checkpoints.c.lease_no + 1,
            "leased_until": _LEASED_UNTIL,
        },
        where=sa.and_(
            checkpoints.c.due_at <= _NOW,
            sa.or_(
                checkpoints.c.leased_until.is_(None),
                checkpoints.c.leased_until <= _NOW,
            ),
        ),
    )
    .returning(checkpoints)
)
_SAVE: Final = (
    sa.update(checkpoints)
    .where(
        checkpoints.c.name == _NAME,
        checkpoints.c.lease_no == sa.bindparam("fence", type_=sa.BigInteger),
    )
    .values(
        position=sa.bindparam("saved_position", type_=sa.Text),
        reached_at=sa.bindparam("saved_reached_at", type_=checkpoints.c.due_at.type),
        result=sa.bindparam("saved_result", type_=sa.Text),
        due_at=sa.bindparam("saved_due_at", type_=checkpoints.c.due_at.type),
        attempts=sa.bindparam("saved_attempts", type_=sa.Integer),
        leased_until=_LEASED_UNTIL,
    )
    .returning(checkpoints.c.name)
)


@attrs.frozen
class PostgresCheckpoints:
    _store: PostgresStore

    async def find(self, name: str) -> LoopCheckpoint | None:
        return _first(await self._store.execute(_FIND, loop=name))

    async def claim(
        self, name: str, *, now: datetime, lease: timedelta
    ) -> LoopCheckpoint | None:
        return _first(
            await self._store.execute(_CLAIM, loop=name, now=now, until=now + lease)
        )

    async def save(self, claimed: LoopCheckpoint) -> bool:
        saved = await self._store.execute(
            _SAVE,
            loop=claimed.name,
            fence=claimed.lease.fence,
            saved_position=claimed.position,
            saved_reached_at=claimed.reached_at,
            saved_result=claimed.result,
            saved_due_at=claimed.lease.due_at,
            saved_attempts=claimed.lease.attempts,
            until=claimed.lease.until,
        )
        return bool(saved)


def _first(rows: Sequence[Mapping[str, Any]]) -> LoopCheckpoint | None:
    if not rows:
        return None
    (row,) = rows
    return LoopCheckpoint(
        name=row["name"],
        position=row["position"],
        reached_at=row["reached_at"],
        result=row["result"],
        lease=Lease(
            due_at=row["due_at"],
            attempts=row["attempts"],
            fence=row["lease_no"],
            until=row["leased_until"],
        ),
    )
