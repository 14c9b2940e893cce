"""Tokens, and revocations of tokens before they expire."""

from datetime import datetime, timedelta
from typing import Final

import attrs

from payments_core.identity import Email, UserId

# The longest lifetime of a token that any setting allows.
TOKEN_AGE_MAX: Final = timedelta(days=366)


@attrs.frozen(kw_only=True)
class Token:
    """The claims of a verified token that we rely on.

    A token is identified by its issuer and `jti`, never by its text: one token can be
    encoded in several ways.

    `is_service`: the token is of another service, which is not a user although it has
    an id. Its scopes alone decide what it may do.
    """

    issuer: str
    jti: str
    user_id: UserId
    issued_at: datetime
    expires_at: datetime
    email: Email | None = None
    scopes: frozenset[str] = frozenset()
    is_service: bool = False


@attrs.frozen(kw_only=True)
class TokenRevocation:
    """The revocation of one token.

    Verifiers have a leeway: it may be deleted only that long after `expires_at`.
    """

    issuer: str
    jti: str
    expires_at: datetime
    invalidated_at: datetime
    user_id: UserId | None = None


@attrs.frozen(kw_only=True)
class UserTokenRevocation:
    """The revocation of all of a user's tokens issued up to a time.

    Tokens have whole seconds, so a token of that same second is revoked as well: rather
    too many than too few. A token from an issuer whose clock was ahead may stay valid;
    the verifier's leeway bounds that.
    """

    user_id: UserId
    at: datetime

    def covers(self, token: Token) -> bool:
        return token.user_id == self.user_id and token.issued_at <= self.at
