"""Tokens that are dead before their time, and who comes with a living one."""

from datetime import datetime
from typing import Final

import attrs

from payments_core.account import PaymentAccount
from payments_core.errors import AccountNotFound, ScopeRequired
from payments_core.identity import Email, UserId

ADMIN_SCOPE: Final = "payments:admin"


@attrs.frozen(kw_only=True)
class Token:
    """The claims of a verified token that we rely on.

    A token is known by its issuer and `jti`, never by its text: one token can be
    spelled in several ways.
    """

    issuer: str
    jti: str
    user_id: UserId
    issued_at: datetime
    expires_at: datetime
    email: Email | None = None
    scopes: frozenset[str] = frozenset()


@attrs.frozen(kw_only=True)
class TokenRevocation:
    """One token is dead.

    A verifier has a leeway: the record may go only that long after `expires_at`.
    """

    issuer: str
    jti: str
    expires_at: datetime
    invalidated_at: datetime
    user_id: UserId | None = None


@attrs.frozen(kw_only=True)
class TokenCutOff:
    """All of a user's tokens issued up to a moment are dead.

    Tokens carry whole seconds, so a token of the very second of the cut-off is
    dead as well: too many rather than one too few. A token whose issuer's clock was
    ahead survives a cut-off by as much; its verifier bounds that with its leeway.
    """

    user_id: UserId
    at: datetime

    def kills(self, token: Token) -> bool:
        return token.user_id == self.user_id and token.issued_at <= self.at


@attrs.frozen
class Caller:
    """Who asks: a user for itself, or an administrator for anybody."""

    token: Token

    @property
    def user_id(self) -> UserId:
        return self.token.user_id

    @property
    def is_admin(self) -> bool:
        return ADMIN_SCOPE in self.token.scopes

    def names(self, user: UserId | Email) -> bool:
        """Say whether the caller's own token carries this id or e-mail."""
        if isinstance(user, Email):
            return self.token.email is not None and self.token.email.key == user.key
        return self.user_id == user

    def require_admin(self) -> None:
        """Refuse anybody but an administrator.

        Raises:
            ScopeRequired: the token lacks the scope.
        """
        if not self.is_admin:
            raise ScopeRequired(ADMIN_SCOPE)

    def require_reach(self, account: PaymentAccount) -> None:
        """Refuse an account that is not the caller's, as if it did not exist.

        Raises:
            AccountNotFound: it is another's.
        """
        if not self.is_admin and account.user_id != self.user_id:
            raise AccountNotFound
