"""Payments as last committed: one, or a page of a user's."""

from collections.abc import Iterator
from typing import Final

import attrs

from payments_adapters.postgres import rows, statements
from payments_adapters.postgres.store import PostgresStore
from payments_core.identity import UserId
from payments_core.payment import PaymentId, PaymentRecord
from payments_core.payment_list import PaymentPage, PaymentPlace

# By the index on the user and the time; of one second the ids are sorted.
_UNTIMED: Final = """
(select * from payments where user_id = $1 and created_at is null{after}
order by id collate "C" desc limit {most})
"""
_TIMED: Final = """
(select * from payments where user_id = $1 and created_at is not null{after}
order by created_at desc, id collate "C" desc limit {most})
"""
_AFTER_UNTIMED: Final = ' and id collate "C" < $2'
_AFTER_TIMED: Final = (
    ' and created_at <= $2 and (created_at < $2 or id collate "C" < $3)'
)


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
        query, *more = payments_query(after, limit + 1)
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


def payments_query(after: PaymentPlace | None, most: int) -> Iterator[object]:
    """Return what reads a user's payments ($1) after a place, and its other values."""
    if after is None or after.created_at is None:
        untimed = _AFTER_UNTIMED if after else ""
        yield (
            _UNTIMED.format(after=untimed, most=most)
            + "union all"
            + _TIMED.format(after="", most=most)
        )
        if after is not None:
            yield after.id
    else:
        yield _TIMED.format(after=_AFTER_TIMED, most=most)
        yield after.created_at
        yield after.id
