"""Users for operators, page by page.

Rule 1: filters combine: a listed user passes all of them.
Rule 2: a list is in the order of the user ids, by their UTF-8 bytes. A list by `text`
        is in the order of the value that begins with it: the user id, else the key of
        the e-mail. No user is listed twice.
Rule 3: the pseudonym of an erased user is not a user: it is in no list.
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
    """The place of a user in a list: by `key` (rule 2), then by the user id."""

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
    """Which users are listed; None: any value.

    `status` is the derived one; `product` is that of an open subscription; `text` is a
    prefix of the user id, or of the e-mail's key in any case.
    """

    status: PaymentStatus | None = None
    product: str | None = None
    customer_id: CustomerId | None = None
    email: Email | None = None
    text: str | None = attrs.field(default=None, validator=_is_text)

    @property
    def email_prefix(self) -> str:
        """The prefix of an e-mail's key that `text` stands for."""
        # The same steps as in `Email.of`.
        lower = unicodedata.normalize("NFC", self.text or "").lower()
        return unicodedata.normalize("NFC", lower)

    def place_of(self, account: PaymentAccount) -> UserPlace | None:
        """Return the place of an account in the list; None if it is not listed."""
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
