"""The caller of a request, and which accounts the caller may access."""

from typing import Final

import attrs

from payments_core.errors import AccountNotFound, ScopeRequired
from payments_core.identity import Email, UserId
from payments_core.tokens import Token

ADMIN_SCOPE: Final = "payments:admin"
# Reads every user and changes nothing: for support.
READ_SCOPE: Final = "payments:read"
# Reads the feed and nothing else: for other services.
FEED_SCOPE: Final = "payments:feed"


@attrs.frozen
class Caller:
    """The caller: a user, a reader of all users, or an administrator.

    Another service is not a user: it owns only its tokens.
    """

    token: Token

    @property
    def user_id(self) -> UserId:
        return self.token.user_id

    @property
    def is_admin(self) -> bool:
        return ADMIN_SCOPE in self.token.scopes

    @property
    def reads_all(self) -> bool:
        return self.is_admin or READ_SCOPE in self.token.scopes

    def names(self, user: UserId | Email) -> bool:
        """Say whether the caller's own token carries this id or e-mail."""
        if isinstance(user, Email):
            return self.token.email is not None and self.token.email.key == user.key
        return self.is_user(user)

    def is_user(self, user_id: UserId) -> bool:
        """Say whether the caller is this user; a service is not a user."""
        return not self.token.is_service and self.user_id == user_id

    def holds(self, token: Token) -> bool:
        """Say whether a token is one of the caller's own."""
        same_kind = token.is_service == self.token.is_service
        return same_kind and token.user_id == self.user_id

    def require_admin(self) -> None:
        """Refuse callers that are not administrators.

        Raises:
            ScopeRequired: the token lacks the scope.
        """
        if not self.is_admin:
            raise ScopeRequired(ADMIN_SCOPE)

    def require_feed(self) -> None:
        """Refuse callers that may not read the feed.

        Raises:
            ScopeRequired: the token lacks the scope.
        """
        if not self.is_admin and FEED_SCOPE not in self.token.scopes:
            raise ScopeRequired(FEED_SCOPE)

    def require_access(self, owner: UserId, *, reading: bool = False) -> None:
        """Refuse the account of another user, as if it did not exist.

        `reading`: the request changes nothing and shows no secret.

        Raises:
            AccountNotFound: the caller may not access it.
        """
        reaches_all = self.reads_all if reading else self.is_admin
        if not reaches_all and not self.is_user(owner):
            raise AccountNotFound
