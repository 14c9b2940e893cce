"""Payments as last committed: one, or a page of a user's."""

from collections.abc import Sequence
from typing import Final

import attrs

from payments_adapters.postgres import rows, statements
from payments_adapters.postgres.store import PostgresStore
from payments_core.identity import UserId
from payments_core.payment import PaymentId, PaymentRecord
from payments_core.payment_list import PaymentPage, PaymentPlace

# Uses the index on the user and the time; ids of the same second are sorted. The
# planner knows of each part how few rows it reads.
_PART: Final = """
(select * from payments where user_id = $1 and {which}
order by created_at desc, id collate "C" desc limit {most})
"""
_UNTIMED: Final = "created_at is null"
_TIMED: Final = "created_at is not null"
_AFTER_UNTIMED: Final = 'created_at is null and id collate "C" < $2'
_OF_SECOND: Final = 'created_at = $2 and id collate "C" < $3'
_BEFORE: Final = "created_at < $2"


@attrs.frozen
class PostgresPaymentDirectory:
    _store: PostgresStore

    async def find(self, id_: PaymentId) -> PaymentRecord | None:
        async with self._store.connection() as connection:
            row = await connection.fetchrow(statements.FIND_PAYMENT, id_)
        return None if row is None else rows.to_payment(row)

    async def page(
        self,
        user_id: UserId,
        *,
        limit: int = 100,
        after: PaymentPlace | None = None,
    ) -> PaymentPage:
        query, more = payments_query(after, limit + 1)
        async with self._store.connection() as connection:
            read = await connection.fetch(query, user_id, *more)
        found = sorted(
            map(rows.to_payment, read),
            key=lambda it: PaymentPlace.of(it).order,
            reverse=True,
        )
        page = found[:limit]
        if len(found) <= limit:
            return PaymentPage(page, None)
        return PaymentPage(page, PaymentPlace.of(page[-1]))


def payments_query(
    after: PaymentPlace | None, most: int
) -> tuple[str, Sequence[object]]:
    """Return the query for payments of a user ($1), and its other parameters."""
    parts: Sequence[str]
    values: Sequence[object]
    if after is None:
        parts, values = (_UNTIMED, _TIMED), ()
    elif after.created_at is None:
        parts, values = (_AFTER_UNTIMED, _TIMED), (after.id,)
    else:
        parts, values = (_OF_SECOND, _BEFORE), (after.created_at, after.id)
    made = [_PART.format(which=it, most=most) for it in parts]
    return " union all ".join(made), values
