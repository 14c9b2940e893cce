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
    """Verify a token; if its key is not known, the keys are read again, once.

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
            KeysUnavailable: the token cannot be verified now.
            StoreUnavailable: it is not known whether the token is revoked.
        """
        token = await _verified(self.verifier, text)
        known = self.revocations
        # Nearly always answered from memory, without waiting.
        if not known.is_surely_valid(token) and await known.is_revoked(token):
            raise TokenInvalidated
        return Caller(token)


@attrs.frozen
class InvalidateToken:
    """Revokes one token.

    `token_age_max` is the longest lifetime of any issuer's tokens.
    """

    verifier: TokenVerifier
    tokens: TokenStore
    clock: SystemClock
    heard: AwaitRevocation
    token_age_max: timedelta = TOKEN_AGE_MAX

    async def __call__(self, text: str, *, caller: Caller) -> bool:
        """Revoke a token given by its text: the caller's own, or any by an admin.

        The token is refused by every process when this returns.

        A text that is not a valid token needs no revocation: nothing is saved, and the
        result is False (RFC 7009, section 2.2).

        Raises:
            TokenNotFound: the token is another user's.
            KeysUnavailable: the token cannot be verified now.
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
        """Revoke a token of which an administrator knows only the issuer and the id.

        `expires_at` is not verified: the revocation is stored until then, and at least
        as long as any token issued until now may be valid.

        Raises:
            ScopeRequired: the caller is no administrator.
            InvalidValue: the time is outside of the years 1 to 9999 in UTC.
        """
        caller.require_admin()
        try:
            expires_at = expires_at.astimezone(UTC)
        except OverflowError:
            raise InvalidValue("expires_at", "not a time in UTC") from None
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
        """Revoke a user's tokens issued until a time; return the revocation in force.

        The time is now, unless given; an earlier revocation with a later time stays in
        force. The tokens are refused by every process when this returns. An id needs no
        account: tokens may be older than the account.

        Raises:
            AccountNotFound: no account has the e-mail, or another user has it.
            InvalidValue: the time is in the future.
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
        """Say whether an account has this id: without one it may be mistyped."""
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
        """Revoke all tokens issued until a time; return the time in force.

        The time is now, unless given; an earlier revocation with a later time stays in
        force. The tokens are refused by every process when this returns.

        Raises:
            ScopeRequired: the caller is no administrator.
            InvalidValue: the time is in the future.
        """
        caller.require_admin()
        at = _until(issued_before, self.clock())
        await self.heard(await self.tokens.revoke_all_issued_before(at))
        return await self.tokens.revoked_until(None) or at


def _until(given: datetime | None, now: datetime) -> datetime:
    """Return a time in whole seconds, as tokens have it."""
    if given is not None and given > now:
        # Tokens issued until then would be refused as soon as they are issued.
        raise InvalidValue("issued_before", "in the future")
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
        """Return until when issued tokens of a user, or of everybody, are revoked.

        None: no such revocation exists.

        Raises:
            ScopeRequired: the caller is no administrator.
        """
        caller.require_admin()
        return await self.tokens.revoked_until(user)
