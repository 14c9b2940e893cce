"""Tokens that were revoked before they expired."""

from datetime import datetime
from typing import Final

import attrs
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from payments_adapters.postgres import statements
from payments_adapters.postgres.store import PostgresStore
from payments_adapters.postgres.tables import (
    invalidated_tokens,
    token_cut_offs,
)
from payments_core.identity import UserId
from payments_core.token_list import RevocationPage
from payments_core.tokens import Token, TokenRevocation, UserTokenRevocation

_INVALIDATE: Final = insert(invalidated_tokens).on_conflict_do_nothing()
_CUT_OFF_INSERT: Final = insert(token_cut_offs)
_CUT_OFF: Final = _CUT_OFF_INSERT.on_conflict_do_update(
    index_elements=[token_cut_offs.c.user_id],
    set_={"at": _CUT_OFF_INSERT.excluded.at},
    where=token_cut_offs.c.at < _CUT_OFF_INSERT.excluded.at,
)
_KEY: Final = sa.tuple_(invalidated_tokens.c.issuer, invalidated_tokens.c.jti)
_PAGE: Final = (
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

    async def invalidate(self, revocation: TokenRevocation) -> None:
        await self._store.execute(_INVALIDATE, **attrs.asdict(revocation))

    async def revoke_issued_before(self, revocation: UserTokenRevocation) -> None:
        await self._store.execute(_CUT_OFF, **attrs.asdict(revocation))

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
