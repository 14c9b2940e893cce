"""Tokens of callers, their revocations, and access passes."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from payments_core.access_pass import AccessPass, PublishedKey
from payments_core.identity import UserId
from payments_core.revocations import RevocationAnswer, RevocationQuery
from payments_core.token_list import RevocationPage
from payments_core.tokens import Token, TokenRevocation, UserTokenRevocation


class PassSigner(Protocol):
    """Signs access passes with keys that are published."""

    @property
    def published(self) -> Sequence[PublishedKey]:
        """Return all keys that a pass may be signed with; none: no pass is issued."""

    def sign(self, access_pass: AccessPass) -> str:
        """Return the pass as a JWT.

        Raises:
            PassesNotOffered: there are no keys.
        """


class TokenVerifier(Protocol):
    def verify(self, text: str) -> Token:
        """Check a bearer token's signature and claims, without waiting for anything.

        Raises:
            InvalidToken: anything is wrong with it.
            KeysUnavailable: there are no keys of its issuer now.
        """

    async def refresh_keys(self, issuer: str) -> bool:
        """Read an issuer's keys anew, if that may be done now; say whether it was.

        Tokens choose neither what is read nor how often. It takes 5 s at most, and
        fails without an error.

        Raises:
            KeysUnavailable: too many wait for them already; whether there is a newer
                key is not known.
        """


class TokenStore(Protocol):
    """Revoked tokens. What revokes returns a position: see `RevocationLog`.

    Of what was revoked before, it returns that of then, or a later one.
    """

    async def is_revoked(self, token: Token) -> bool:
        """Say whether the token, or all tokens that it is one of, were revoked.

        True for every process as soon as the revocation returned.
        """

    async def invalidate(self, revocation: TokenRevocation) -> int:
        """Revoke one token; again, it only makes `expires_at` later, if it is."""

    async def revoke_issued_before(self, revocation: UserTokenRevocation) -> int:
        """Revoke a user's tokens up to a moment; an earlier moment changes nothing."""

    async def revoke_all_issued_before(self, at: datetime) -> int:
        """Revoke everybody's tokens issued up to a moment; as above."""

    async def revoked_until(self, user: UserId | None) -> datetime | None:
        """Return the moment that holds for a user, or (None) for everybody."""

    async def page(
        self, *, after: tuple[str, str] | None = None, limit: int = 100
    ) -> RevocationPage:
        """Return revocations in the order of (issuer, jti)."""


class RevocationLog(Protocol):
    """Revocations in the order of their commits, and who heard of them.

    Positions grow; each one is committed before the next is given.
    """

    async def poll(self, query: RevocationQuery) -> RevocationAnswer:
        """Commit what a process has heard, and return a page of what came since.

        What is committed before the call is at `head` or before it. What the process
        had not heard is known to who asks `is_heard` before the answer comes.
        With a mark that was told by a table that is gone, nothing was heard.

        Raises:
            StoreUnavailable: nothing may be relied on; also where nothing can be
                committed, as on a replica.
        """

    async def is_heard(self, position: int) -> bool:
        """Say whether all processes that poll have heard of a position."""

    async def leave(self, process_id: str) -> None:
        """Forget a process that relies on nothing any more."""
