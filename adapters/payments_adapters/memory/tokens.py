"""Revoked tokens, in memory, and which processes have heard of them."""

import uuid
from datetime import datetime
from typing import Any

import attrs

from payments_core.identity import UserId
from payments_core.retention import PurgeKind
from payments_core.revocations import BEGINNING, RevocationAnswer, RevocationQuery
from payments_core.token_list import RevocationPage
from payments_core.tokens import (
    TOKEN_AGE_MAX,
    Token,
    TokenRevocation,
    UserTokenRevocation,
)


def _mark() -> str:
    return str(uuid.uuid4())


@attrs.define(eq=False)
class MemoryTokenStore:
    """A `TokenStore`, and its `RevocationLog`."""

    _revocations: dict[tuple[str, str], TokenRevocation] = attrs.field(
        init=False, factory=dict
    )
    _cut_offs: dict[UserId, UserTokenRevocation] = attrs.field(init=False, factory=dict)
    _issued_before: datetime | None = attrs.field(init=False, default=None)
    _head: int = attrs.field(init=False, default=BEGINNING)
    _positions: dict[tuple[str, str] | UserId, int] = attrs.field(
        init=False, factory=dict
    )
    # The mark of each position; the first is the beginning.
    _marks: list[str] = attrs.field(init=False, factory=lambda: [_mark()])
    _heard: dict[str, int] = attrs.field(init=False, factory=dict)

    async def is_revoked(self, token: Token) -> bool:
        revocation = self._cut_offs.get(token.user_id)
        return (
            (token.issuer, token.jti) in self._revocations
            or (revocation is not None and revocation.covers(token))
            or (
                self._issued_before is not None
                and token.issued_at <= self._issued_before
            )
        )

    async def invalidate(self, revocation: TokenRevocation) -> int:
        key = (revocation.issuer, revocation.jti)
        known = self._revocations.get(key)
        if known is None:
            self._revocations[key] = revocation
            self._give(key)
        elif known.expires_at < revocation.expires_at:
            self._revocations[key] = attrs.evolve(
                known, expires_at=revocation.expires_at
            )
            self._give(key)
        return self._positions[key]

    async def revoke_issued_before(self, revocation: UserTokenRevocation) -> int:
        user = revocation.user_id
        known = self._cut_offs.get(user)
        if known is None or known.at < revocation.at:
            self._cut_offs[user] = revocation
            self._give(user)
        return self._positions[user]

    async def revoke_all_issued_before(self, at: datetime) -> int:
        if self._issued_before is None or self._issued_before < at:
            self._issued_before = at
            self._advance()
        return self._head

    async def revoked_until(self, user: UserId | None) -> datetime | None:
        if user is None:
            return self._issued_before
        known = self._cut_offs.get(user)
        return None if known is None else known.at

    def _give(self, key: tuple[str, str] | UserId) -> None:
        self._advance()
        self._positions[key] = self._head

    def _advance(self) -> None:
        self._head += 1
        self._marks.append(_mark())

    async def page(
        self, *, after: tuple[str, str] | None = None, limit: int = 100
    ) -> RevocationPage:
        keys = sorted(k for k in self._revocations if after is None or k > after)
        taken = keys[:limit]
        return RevocationPage(
            [self._revocations[key] for key in taken],
            taken[-1] if len(keys) > len(taken) else None,
        )

    async def poll(self, query: RevocationQuery) -> RevocationAnswer:
        is_known = query.heard == BEGINNING or (
            query.heard <= self._head and query.mark in self._marks
        )
        self._heard[query.process_id] = query.heard if is_known else BEGINNING
        if not is_known:
            return self._answer(reached=self._head, is_known=False)
        later = sorted(
            (position, key)
            for key, position in self._positions.items()
            if position > query.after and self._is_needed(key, query)
        )
        taken = later[: query.limit]
        keys = [key for _, key in taken]
        return self._answer(
            tokens=[key for key in keys if isinstance(key, tuple)],
            users=[self._cut_offs[key] for key in keys if not isinstance(key, tuple)],
            reached=self._head if len(taken) < query.limit else taken[-1][0],
        )

    def _answer(self, **page: Any) -> RevocationAnswer:
        return RevocationAnswer(
            **{"tokens": [], "users": [], **page},
            issued_before=self._issued_before,
            head=self._head,
            mark=self._marks[-1],
        )

    def _is_needed(self, key: tuple[str, str] | UserId, query: RevocationQuery) -> bool:
        if isinstance(key, tuple):
            return self._revocations[key].expires_at >= query.expires_from
        return self._cut_offs[key].at >= query.issued_from

    async def is_heard(self, position: int) -> bool:
        return all(heard >= position for heard in self._heard.values())

    async def leave(self, process_id: str) -> None:
        self._heard.pop(process_id, None)

    def old(self, kind: PurgeKind, before: datetime) -> list[tuple[str, str] | UserId]:
        """Return what no longer revokes anything: the keys of tokens and users."""
        if kind is PurgeKind.HEARTBEATS:
            # A killed process would lose them.
            return []
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
        del self._positions[key]
