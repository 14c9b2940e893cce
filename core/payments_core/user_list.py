"""Users as people list them, a page at a time.

Rule 1: filters combine: who is listed passes each of them.
Rule 2: a list is in the order of the user ids, by the bytes of their UTF-8. One by a
        text is in the order of what begins with it: of the user id, else of the key of
        the e-mail. Nobody comes twice.
Rule 3: what is left of a user who was erased is no user: it is in no list.
"""

import unicodedata
from collections.abc import Sequence
from typing import Final

import attrs

from payments_core.account import PaymentAccount
from payments_core.entitlement import PaymentStatus
from payments_core.erasure import is_pseudonym
from payments_core.errors import InvalidValue
from payments_core.identity import EMAIL_LENGTH_MAX, CustomerId, Email, UserId

TEXT_LENGTH_MAX: Final = EMAIL_LENGTH_MAX


@attrs.frozen
class UserPlace:
    """Where a user is in a list: by `key` (rule 2), then by the user id."""

    key: str
    user_id: UserId

    @property
    def order(self) -> tuple[bytes, bytes]:
        return self.key.encode(), self.user_id.encode()


def _is_text(_: object, __: object, value: str | None) -> None:
    if value is not None and not (
        0 < len(value) <= TEXT_LENGTH_MAX and value.isprintable()
    ):
        raise InvalidValue("text", f"not 1 to {TEXT_LENGTH_MAX} printable characters")


@attrs.frozen(kw_only=True)
class UserFilter:
    """Which users are listed; None: whatever it is.

    `status` is the derived one; `product` is that of a subscription that is not over;
    `text` begins the user id, or the key of the e-mail in whatever case.
    """

    status: PaymentStatus | None = None
    product: str | None = None
    customer_id: CustomerId | None = None
    email: Email | None = None
    text: str | None = attrs.field(default=None, validator=_is_text)

    @property
    def email_prefix(self) -> str:
        """How the key of an e-mail begins that `text` begins."""
        # As `Email.of` makes a key.
        lower = unicodedata.normalize("NFC", self.text or "").lower()
        return unicodedata.normalize("NFC", lower)

    def place_of(self, account: PaymentAccount) -> UserPlace | None:
        """Return where an account is in the list; None if it is not in it."""
        user, email = account.user_id, account.email.key
        if is_pseudonym(user) or not self._takes(account):
            return None
        if self.text is None or user.startswith(self.text):
            return UserPlace(user, user)
        return UserPlace(email, user) if email.startswith(self.email_prefix) else None

    def _takes(self, account: PaymentAccount) -> bool:
        return (
            self.customer_id in {None, account.customer_id}
            and (self.email is None or self.email.key == account.email.key)
            and self.status in {None, account.payment_status}
            and (
                self.product is None
                or account.open_subscription(self.product) is not None
            )
        )


EVERYBODY: Final = UserFilter()


@attrs.frozen
class UserPage:
    """Some users, and where the next page starts; None at the end."""

    accounts: Sequence[PaymentAccount]
    after: UserPlace | None
