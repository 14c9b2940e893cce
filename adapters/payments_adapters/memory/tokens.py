"""Dead tokens, in memory."""

import attrs

from payments_core.identity import UserId
from payments_core.ports import RevocationPage
from payments_core.revocation import Token, TokenCutOff, TokenRevocation


@attrs.define(eq=False)
class MemoryTokenStore:
    _revocations: dict[tuple[str, str], TokenRevocation] = attrs.field(
        init=False, factory=dict
    )
    _cut_offs: dict[UserId, TokenCutOff] = attrs.field(init=False, factory=dict)

    async def is_dead(self, token: Token) -> bool:
        cut_off = self._cut_offs.get(token.user_id)
        return (token.issuer, token.jti) in self._revocations or (
            cut_off is not None and cut_off.kills(token)
        )

    async def invalidate(self, revocation: TokenRevocation) -> None:
        key = (revocation.issuer, revocation.jti)
        self._revocations.setdefault(key, revocation)

    async def cut_off(self, cut_off: TokenCutOff) -> None:
        known = self._cut_offs.setdefault(cut_off.user_id, cut_off)
        if known.at < cut_off.at:
            self._cut_offs[cut_off.user_id] = cut_off

    async def page(
        self, *, after: tuple[str, str] | None = None, limit: int = 100
    ) -> RevocationPage:
        keys = sorted(k for k in self._revocations if after is None or k > after)
        taken = keys[:limit]
        return RevocationPage(
            [self._revocations[key] for key in taken],
            taken[-1] if len(keys) > len(taken) else None,
        )
