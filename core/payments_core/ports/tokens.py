"""Callers' tokens, their revocation, and access passes."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from payments_core.access_pass import AccessPass, PublishedKey
from payments_core.identity import UserId
from payments_core.revocations import RevocationAnswer, RevocationQuery
from payments_core.token_list import RevocationPage
from payments_core.tokens import Token, TokenRevocation, UserTokenRevocation


class PassSigner(Protocol):
    """Signs access passes with keys whose public part is published."""

    @property
    def published(self) -> Sequence[PublishedKey]:
        """Return all keys that may sign a pass; without any, no pass is issued."""

    def sign(self, access_pass: AccessPass) -> str:
        """Return the pass as a JWT.

        Raises:
            PassesNotOffered: there are no keys.
        """


class TokenVerifier(Protocol):
    def verify(self, text: str) -> Token:
        """Check a bearer token's signature and claims, without any I/O.

        Raises:
            InvalidToken: the token is not valid, for any reason.
            KeysUnavailable: the keys of its issuer are not available.
        """

    async def refresh_keys(self, issuer: str) -> bool:
        """Read an issuer's keys again if that is allowed now; say whether it was.

        Tokens influence neither what is read nor how often. Reading takes at most 5 s,
        and a failure raises nothing.

        Raises:
            KeysUnavailable: too many callers already wait for the keys; whether a newer
                key exists is not known.
        """


class TokenStore(Protocol):
    """Revoked tokens. Each revocation returns a position: see `RevocationLog`.

    A repeated revocation returns its first position, or a later one.
    """

    async def is_revoked(self, token: Token) -> bool:
        """Say whether the token was revoked, alone or with all tokens of its kind.

        True in every process as soon as the revocation has returned.
        """

    async def invalidate(self, revocation: TokenRevocation) -> int:
        """Revoke one token; a repetition only extends `expires_at`."""

    async def revoke_issued_before(self, revocation: UserTokenRevocation) -> int:
        """Revoke a user's tokens issued up to a time; an earlier one has no effect."""

    async def revoke_all_issued_before(self, at: datetime) -> int:
        """Revoke everybody's tokens issued up to a time; as above."""

    async def revoked_until(self, user: UserId | None) -> datetime | None:
        """Return the time up to which a user's tokens, or (None) all, are revoked."""

    async def page(
        self, *, after: tuple[str, str] | None = None, limit: int = 100
    ) -> RevocationPage:
        """Return revocations in the order of (issuer, jti)."""


class RevocationLog(Protocol):
    """Revocations in the order of their commits, and which processes have heard them.

    Positions grow; each one is committed before the next is given.
    """

    async def poll(self, query: RevocationQuery) -> RevocationAnswer:
        """Commit what a process has heard, and return a page of what came since.

        Everything committed before the call is at or before `head`. `is_heard` knows
        what the process has not heard before this call returns. If the mark belongs to
        a table that no longer exists, the process has heard nothing.

        Raises:
            StoreUnavailable: no earlier answer may be relied on; also raised where
                nothing can be committed, as on a replica.
        """

    async def is_heard(self, position: int) -> bool:
        """Say whether all processes that poll have heard a position."""

    async def leave(self, process_id: str) -> None:
        """Forget a process that no longer relies on its answers."""
