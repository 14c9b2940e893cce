"""Who comes, and how a token dies before its time."""

from datetime import datetime

import attrs

from payments_core.errors import (
    AccountNotFound,
    InvalidToken,
    TokenInvalidated,
    TokenNotFound,
)
from payments_core.identity import Email, UserId
from payments_core.ports import (
    AccountDirectory,
    Clock,
    RevocationPage,
    TokenStore,
    TokenVerifier,
)
from payments_core.revocation import Caller, Token, TokenCutOff, TokenRevocation


@attrs.frozen
class AuthenticateCaller:
    verifier: TokenVerifier
    tokens: TokenStore

    async def __call__(self, text: str) -> Caller:
        """Return who comes with this bearer token.

        Raises:
            InvalidToken: forged, expired, or not for us.
            TokenInvalidated: it, or all of its user's, are dead.
        """
        token = self.verifier.verify(text)
        if await self.tokens.is_dead(token):
            raise TokenInvalidated
        return Caller(token)


@attrs.frozen
class InvalidateToken:
    verifier: TokenVerifier
    tokens: TokenStore
    clock: Clock

    async def __call__(self, text: str, *, caller: Caller) -> None:
        """Kill a token given by its text: the caller's own, or any by an admin.

        A text that is no living token is dead already: no error, nothing kept
        (RFC 7009, section 2.2).

        Raises:
            TokenNotFound: it is another user's.
        """
        try:
            token = self.verifier.verify(text)
        except InvalidToken:
            return
        if not caller.is_admin and token.user_id != caller.user_id:
            raise TokenNotFound
        await self.tokens.invalidate(self._revocation(token))

    async def by_id(
        self, issuer: str, jti: str, expires_at: datetime, *, caller: Caller
    ) -> None:
        """Kill a token that an administrator knows by name only.

        Raises:
            ScopeRequired: the caller is no administrator.
        """
        caller.require_admin()
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
    clock: Clock

    async def __call__(self, user: UserId | Email, *, caller: Caller) -> TokenCutOff:
        """Kill all of a user's tokens issued until now; say until when.

        An id needs no account: tokens may be older than it.

        Raises:
            AccountNotFound: nobody has the e-mail, or it is another's.
        """
        user_id = await self._id_of(user)
        if not caller.is_admin and user_id != caller.user_id:
            raise AccountNotFound
        cut_off = TokenCutOff(user_id=user_id, at=self.clock().replace(microsecond=0))
        await self.tokens.cut_off(cut_off)
        return cut_off

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
