"""Whether a database is for live mode: stamped once."""

from typing import Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from payments_adapters.postgres.store import PostgresStore
from payments_adapters.postgres.tables import deployment

_STAMP: Final = (
    insert(deployment)
    .values(singleton=sa.true(), livemode=sa.bindparam("mode", type_=sa.Boolean))
    .on_conflict_do_nothing()
)
_STAMPED: Final = sa.select(deployment.c.livemode)


async def stamped_livemode(store: PostgresStore, *, livemode: bool) -> bool:
    """Stamp a new database with its mode; return the mode that it has.

    A stamped database is only read: a process can start while writes are not possible.
    """
    stamped = await read_livemode(store)
    if stamped is None:
        await store.execute(_STAMP, mode=livemode)
        stamped = await read_livemode(store)
    return bool(stamped)


async def read_livemode(store: PostgresStore) -> bool | None:
    """Return the mode of a database; None if it is not stamped yet."""
    stamped = await store.execute(_STAMPED)
    return bool(stamped[0]["livemode"]) if stamped else None
