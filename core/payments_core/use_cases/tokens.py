"""Authenticate callers, and revoke tokens before they expire."""

from datetime import UTC, datetime

import attrs

from payments_core.caller import Caller
from payments_core.errors import (
    AccountNotFound,
    InvalidToken,
    InvalidValue,
    TokenInvalidated,
    TokenNotFound,
)
from payments_core.identity import Email, UserId
from payments_core.ports import (
    AccountDirectory,
    SystemClock,
    TokenStore,
    TokenVerifier,
)
from payments_core.token_list import RevocationPage
from payments_core.tokens import Token, TokenRevocation, UserTokenRevocation


@attrs.frozen
class AuthenticateCaller:
    verifier: TokenVerifier
    tokens: TokenStore

    async def __call__(self, text: str) -> Caller:
        """Return the caller that a bearer token names.

        Raises:
            InvalidToken: forged, expired, or not for us.
            TokenInvalidated: it, or all of its user's tokens, are revoked.
        """
        token = self.verifier.verify(text)
        if await self.tokens.is_revoked(token):
            raise TokenInvalidated
        return Caller(token)


@attrs.frozen
class InvalidateToken:
    verifier: TokenVerifier
    tokens: TokenStore
    clock: SystemClock

    async def __call__(self, text: str, *, caller: Caller) -> bool:
        """Revoke a token given by its text: the caller's own, or any by an admin.

        A text that is no valid token needs no revocation: no error, nothing saved, and
        False (RFC 7009, section 2.2).

        Raises:
            TokenNotFound: it is another user's.
        """
        try:
            token = self.verifier.verify(text)
        except InvalidToken:
            return False
        if not caller.is_admin and token.user_id != caller.user_id:
            raise TokenNotFound
        await self.tokens.invalidate(self._revocation(token))
        return True

    async def by_id(
        self, issuer: str, jti: str, expires_at: datetime, *, caller: Caller
    ) -> None:
        """Revoke a token that an administrator knows by its issuer and id only.

        Raises:
            ScopeRequired: the caller is no administrator.
            InvalidValue: the moment is beyond the years 1 to 9999 in UTC.
        """
        caller.require_admin()
        try:
            expires_at = expires_at.astimezone(UTC)
        except OverflowError:
            raise InvalidValue("expires_at", "not a moment in UTC") from None
        now = self.clock()
        await self.tokens.invalidate(
            TokenRevocation(
                issuer=issuer, jti=jti, expires_at=expires_at, invalidated_at=now
            )
        )

    def _revocation(self, token: Token) -> TokenRevocation:
        return TokenRevocation(
            issuer=token.issuer,
            jti=token.jti,
            expires_at=token.expires_at,
            invalidated_at=self.clock(),
            user_id=token.user_id,
        )


@attrs.frozen
class InvalidateUserTokens:
    directory: AccountDirectory
    tokens: TokenStore
    clock: SystemClock

    async def __call__(
        self, user: UserId | Email, *, caller: Caller
    ) -> UserTokenRevocation:
        """Revoke all of a user's tokens issued until now; return until when.

        An id needs no account: tokens may be older than it.

        Raises:
            AccountNotFound: no account has the e-mail, or it is another user's.
        """
        user_id = await self._id_of(user)
        if not caller.is_admin and user_id != caller.user_id:
            raise AccountNotFound
        revocation = UserTokenRevocation(
            user_id=user_id, at=self.clock().replace(microsecond=0)
        )
        await self.tokens.revoke_issued_before(revocation)
        return revocation

    async def _id_of(self, user: UserId | Email) -> UserId:
        if not isinstance(user, Email):
            return user
        account = await self.directory.find(user)
        if account is None:
            raise AccountNotFound
        return account.user_id


@attrs.frozen
class ListInvalidatedTokens:
    tokens: TokenStore

    async def __call__(
        self, *, after: tuple[str, str] | None, limit: int, caller: Caller
    ) -> RevocationPage:
        """Return one page.

        Raises:
            ScopeRequired: the caller is no administrator.
        """
        caller.require_admin()
        return await self.tokens.page(after=after, limit=limit)
