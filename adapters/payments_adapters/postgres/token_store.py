"""Tokens that were revoked before they expired."""

from datetime import datetime
from typing import Final

import attrs
import sqlalchemy as sa

from payments_adapters.postgres import statements
from payments_adapters.postgres.store import PostgresStore
from payments_adapters.postgres.tables import invalidated_tokens
from payments_core.identity import UserId
from payments_core.token_list import RevocationPage
from payments_core.tokens import Token, TokenRevocation, UserTokenRevocation

_INVALIDATE: Final = "select revoke_token_v1($1, $2, $3, $4, $5)"
_REVOKE: Final = "select revoke_issued_before_v1($1, $2)"
_REVOKE_ALL: Final = "select revoke_all_issued_before_v1($1)"
_UNTIL_OF: Final = "select at from token_cut_offs where user_id = $1"
_UNTIL: Final = "select issued_before from revocation_head"
_KEY: Final = sa.tuple_(invalidated_tokens.c.issuer, invalidated_tokens.c.jti)
_PAGE: Final = (
    sa.select(*(it for it in invalidated_tokens.c if it.name != "position"))
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

    async def is_revoked(self, token: Token) -> bool:
        async with self._store.connection() as connection:
            return bool(
                await connection.fetchval(
                    statements.IS_REVOKED,
                    token.issuer,
                    token.jti,
                    token.user_id,
                    token.issued_at,
                )
            )

    async def invalidate(self, revocation: TokenRevocation) -> int:
        return await self._revoked(
            _INVALIDATE,
            revocation.issuer,
            revocation.jti,
            revocation.user_id,
            revocation.expires_at,
            revocation.invalidated_at,
        )

    async def revoke_issued_before(self, revocation: UserTokenRevocation) -> int:
        return await self._revoked(_REVOKE, revocation.user_id, revocation.at)

    async def revoke_all_issued_before(self, at: datetime) -> int:
        return await self._revoked(_REVOKE_ALL, at)

    async def revoked_until(self, user: UserId | None) -> datetime | None:
        async with self._store.connection() as connection:
            moment: datetime | None = await (
                connection.fetchval(_UNTIL)
                if user is None
                else connection.fetchval(_UNTIL_OF, user)
            )
        return moment

    async def _revoked(self, statement: str, *values: object) -> int:
        async with self._store.connection() as connection:
            position: int = await connection.fetchval(statement, *values)
        return position

    async def page(
        self, *, after: tuple[str, str] | None = None, limit: int = 100
    ) -> RevocationPage:
        issuer, jti = after or ("", "")
        rows = await self._store.execute(_PAGE, issuer=issuer, jti=jti, most=limit + 1)
        found = [_revocation(**row) for row in rows]
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
