"""Revocations in the order of their commits: read by `revocations_v1.sql`."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import attrs

from payments_adapters.postgres.store import PostgresStore
from payments_core.identity import UserId
from payments_core.revocations import RevocationAnswer, RevocationQuery
from payments_core.tokens import UserTokenRevocation

_POLL: Final = (
    "select place, issuer, name, moment, mark, is_ours"
    " from poll_revocations_v1($1, $2, $3, $4, $5, $6, $7)"
)
_IS_HEARD: Final = (
    "select not exists (select from revocation_heartbeats where heard < $1)"
)
_LEAVE: Final = "delete from revocation_heartbeats where process_id = $1"


@attrs.frozen
class PostgresRevocationLog:
    """Polls have a connection of their own: slow work does not delay them.

    `polls` is opened by `opened`; it connects to the server that everything else writes
    to.
    """

    _store: PostgresStore
    _polls: PostgresStore

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        async with self._polls.opened():
            yield

    async def poll(self, query: RevocationQuery) -> RevocationAnswer:
        async with self._polls.connection() as connection:
            found = await connection.fetch(
                _POLL,
                query.process_id,
                query.heard,
                query.mark,
                query.after,
                query.expires_from,
                query.issued_from,
                query.limit,
            )
        (head, _, _, issued_before, mark, is_ours), *rest = found
        return RevocationAnswer(
            tokens=[
                (issuer, name) for _, issuer, name, *_ in rest if issuer is not None
            ],
            users=_users(rest),
            issued_before=issued_before,
            reached=head if len(rest) < query.limit else rest[-1]["place"],
            head=head,
            mark=mark,
            is_known=is_ours,
        )

    async def is_heard(self, position: int) -> bool:
        async with self._store.connection() as connection:
            return bool(await connection.fetchval(_IS_HEARD, position))

    async def leave(self, process_id: str) -> None:
        async with self._store.connection() as connection:
            await connection.execute(_LEAVE, process_id)


def _users(rows: Sequence[Any]) -> Sequence[UserTokenRevocation]:
    return [
        UserTokenRevocation(user_id=UserId(name), at=moment)
        for _, issuer, name, moment, *_ in rows
        if issuer is None
    ]
