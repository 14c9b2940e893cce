"""Whether a database holds real money: stamped once."""

from typing import Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from payments_adapters.postgres.statements import compiled
from payments_adapters.postgres.store import PostgresStore
from payments_adapters.postgres.tables import (
    deployment,
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
