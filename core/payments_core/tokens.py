"""Tokens, and tokens that were revoked before they expired."""

from datetime import datetime, timedelta
from typing import Final

import attrs

from payments_core.identity import Email, UserId

# The longest time for which any setting lets a token be valid.
TOKEN_AGE_MAX: Final = timedelta(days=366)


@attrs.frozen(kw_only=True)
class Token:
    """The claims of a verified token that we rely on.

    A token is known by its issuer and `jti`, never by its text: one token can be
    spelled in several ways.

    `is_service`: it is another service's, which is no user although it has an id. What
    it may do follows from its scopes alone.
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
    """One token is revoked.

    A verifier has a leeway: the record may go only that long after `expires_at`.
    """

    issuer: str
    jti: str
    expires_at: datetime
    invalidated_at: datetime
    user_id: UserId | None = None


@attrs.frozen(kw_only=True)
class UserTokenRevocation:
    """All of a user's tokens issued up to a moment are revoked.

    Tokens carry whole seconds, so a token of that very second is revoked as well: too
    many rather than one too few. A token whose issuer's clock was ahead stays valid by
    as much; its verifier bounds that with its leeway.
    """

    user_id: UserId
    at: datetime

    def covers(self, token: Token) -> bool:
        return token.user_id == self.user_id and token.issued_at <= self.at
