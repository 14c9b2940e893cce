"""Authenticate callers, and revoke tokens before they expire."""

from datetime import UTC, datetime, timedelta

import attrs

from payments_core.caller import Caller
from payments_core.errors import (
    AccountNotFound,
    InvalidToken,
    InvalidValue,
    KeysUnavailable,
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
from payments_core.tokens import (
    TOKEN_AGE_MAX,
    Token,
    TokenRevocation,
    UserTokenRevocation,
)
from payments_core.use_cases.revocations import AwaitRevocation, FollowRevocations


async def _verified(verifier: TokenVerifier, text: str) -> Token:
    """Verify a token; keys that may be newer than those we know are read once.

    Raises:
        InvalidToken, KeysUnavailable: see `TokenVerifier`.
    """
    try:
        return verifier.verify(text)
    except InvalidToken as error:
        if error.unknown_key_of is None:
            raise
        if not await verifier.refresh_keys(error.unknown_key_of):
            raise
    except KeysUnavailable as error:
        if not await verifier.refresh_keys(error.issuer):
            raise
    return verifier.verify(text)


@attrs.frozen
class AuthenticateCaller:
    verifier: TokenVerifier
    revocations: FollowRevocations

    async def __call__(self, text: str) -> Caller:
        """Return the caller that a bearer token names.

        Raises:
            InvalidToken: forged, expired, or not for us.
            TokenInvalidated: it, or all of its user's tokens, are revoked.
            KeysUnavailable: whether it is good cannot be told now.
            StoreUnavailable: whether it is revoked is not known.
        """
        token = await _verified(self.verifier, text)
        known = self.revocations
        # Nearly always the first: nothing is waited for.
        if not known.is_surely_valid(token) and await known.is_revoked(token):
            raise TokenInvalidated
        return Caller(token)


@attrs.frozen
class InvalidateToken:
    """Revokes one token.

    `token_age_max` is the longest for which any issuer's token is valid.
    """

    verifier: TokenVerifier
    tokens: TokenStore
    clock: SystemClock
    heard: AwaitRevocation
    token_age_max: timedelta = TOKEN_AGE_MAX

    async def __call__(self, text: str, *, caller: Caller) -> bool:
        """Revoke a token given by its text: the caller's own, or any by an admin.

        It is refused everywhere when this returns.

        A text that is no valid token needs no revocation: no error, nothing saved, and
        False (RFC 7009, section 2.2).

        Raises:
            TokenNotFound: it is another user's.
            KeysUnavailable: whether it is valid cannot be told now.
        """
        try:
            token = await _verified(self.verifier, text)
        except InvalidToken:
            return False
        if not caller.is_admin and not caller.holds(token):
            raise TokenNotFound
        await self.heard(await self.tokens.invalidate(self._revocation(token)))
        return True

    async def by_id(
        self, issuer: str, jti: str, expires_at: datetime, *, caller: Caller
    ) -> None:
        """Revoke a token that an administrator knows by its issuer and id only.

        `expires_at` is what somebody says: the revocation is kept until then, and at
        least for as long as any token that was issued until now may be valid.

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
        position = await self.tokens.invalidate(
            TokenRevocation(
                issuer=issuer,
                jti=jti,
                expires_at=max(expires_at, now + self.token_age_max),
                invalidated_at=now,
            )
        )
        await self.heard(position)

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
    heard: AwaitRevocation

    async def __call__(
        self,
        user: UserId | Email,
        *,
        issued_before: datetime | None = None,
        caller: Caller,
    ) -> UserTokenRevocation:
        """Revoke all of a user's tokens issued until a moment; return what holds.

        The moment is now, unless another is given; a later one of before holds. They
        are refused everywhere when this returns. An id needs no account: tokens may be
        older than it.

        Raises:
            AccountNotFound: no account has the e-mail, or it is another user's.
            InvalidValue: the moment is in the future.
        """
        user_id = await self._id_of(user)
        if not caller.is_admin and not caller.is_user(user_id):
            raise AccountNotFound
        at = _until(issued_before, self.clock())
        revocation = UserTokenRevocation(user_id=user_id, at=at)
        await self.heard(await self.tokens.revoke_issued_before(revocation))
        held = await self.tokens.revoked_until(user_id)
        return UserTokenRevocation(user_id=user_id, at=held or at)

    async def is_known(self, user: UserId) -> bool:
        """Say whether there is an account of this id: else it may be mistyped."""
        return await self.directory.find(user) is not None

    async def _id_of(self, user: UserId | Email) -> UserId:
        if not isinstance(user, Email):
            return user
        account = await self.directory.find(user)
        if account is None:
            raise AccountNotFound
        return account.user_id


@attrs.frozen
class InvalidateAllTokens:
    tokens: TokenStore
    clock: SystemClock
    heard: AwaitRevocation

    async def __call__(
        self, *, issued_before: datetime | None = None, caller: Caller
    ) -> datetime:
        """Revoke everybody's tokens issued until a moment; return what holds.

        The moment is now, unless another is given; a later one of before holds. They
        are refused everywhere when this returns.

        Raises:
            ScopeRequired: the caller is no administrator.
            InvalidValue: the moment is in the future.
        """
        caller.require_admin()
        at = _until(issued_before, self.clock())
        await self.heard(await self.tokens.revoke_all_issued_before(at))
        return await self.tokens.revoked_until(None) or at


def _until(given: datetime | None, now: datetime) -> datetime:
    """Return a whole second, as tokens carry them."""
    if given is not None and given > now:
        # What is issued until then would be refused as soon as it is issued.
        raise InvalidValue("issued_before", "a moment in the future")
    return (given or now).replace(microsecond=0)


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

    async def until(self, user: UserId | None, *, caller: Caller) -> datetime | None:
        """Return the moment up to which all tokens of a user, or everybody's, are.

        None: there is none.

        Raises:
            ScopeRequired: the caller is no administrator.
        """
        caller.require_admin()
        return await self.tokens.revoked_until(user)
