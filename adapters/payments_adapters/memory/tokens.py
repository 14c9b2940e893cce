"""Revoked tokens, in memory."""

from datetime import datetime

import attrs

from payments_core.identity import UserId
from payments_core.token_list import RevocationPage
from payments_core.tokens import (
    TOKEN_AGE_MAX,
    Token,
    TokenRevocation,
    UserTokenRevocation,
)


@attrs.define(eq=False)
class MemoryTokenStore:
    _revocations: dict[tuple[str, str], TokenRevocation] = attrs.field(
        init=False, factory=dict
    )
    _cut_offs: dict[UserId, UserTokenRevocation] = attrs.field(init=False, factory=dict)

    async def is_revoked(self, token: Token) -> bool:
        revocation = self._cut_offs.get(token.user_id)
        return (token.issuer, token.jti) in self._revocations or (
            revocation is not None and revocation.covers(token)
        )

    async def invalidate(self, revocation: TokenRevocation) -> None:
        key = (revocation.issuer, revocation.jti)
        self._revocations.setdefault(key, revocation)

    async def revoke_issued_before(self, revocation: UserTokenRevocation) -> None:
        known = self._cut_offs.setdefault(revocation.user_id, revocation)
        if known.at < revocation.at:
            self._cut_offs[revocation.user_id] = revocation

    async def page(
        self, *, after: tuple[str, str] | None = None, limit: int = 100
    ) -> RevocationPage:
        keys = sorted(k for k in self._revocations if after is None or k > after)
        taken = keys[:limit]
        return RevocationPage(
            [self._revocations[key] for key in taken],
            taken[-1] if len(keys) > len(taken) else None,
        )

    def old(self, before: datetime) -> list[tuple[str, str] | UserId]:
        """Return what revokes nothing any more: the keys of both kinds."""
        return [
            *(k for k, it in self._revocations.items() if it.expires_at < before),
            *(
                user
                for user, it in self._cut_offs.items()
                if it.at < before - TOKEN_AGE_MAX
            ),
        ]

    def purge(self, key: tuple[str, str] | UserId) -> None:
        if isinstance(key, tuple):
            del self._revocations[key]
        else:
            del self._cut_offs[key]
