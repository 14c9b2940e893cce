"""What an administrator decides by hand: by whom, why, and what about.

It is kept for good: `Changes.by_hand`, never changed and never deleted.
"""

from datetime import datetime
from enum import StrEnum
from typing import Final, Self

import attrs

from payments_core.errors import InvalidValue
from payments_core.identity import UserId

REASON_LENGTH_MAX: Final = 500


class ActionByHand(StrEnum):
    BIND_CUSTOMER = "bind_customer"
    LINK_PAYMENT = "link_payment"
    UNLINK_PAYMENT = "unlink_payment"
    ERASE_ACCOUNT = "erase_account"


@attrs.frozen(kw_only=True)
class ByHand:
    """Who decides, and why. `by` is the administrator's user id."""

    by: str
    reason: str

    @classmethod
    def of(cls, by: str, reason: str) -> Self:
        """Read a reason: 1 to 500 printable characters.

        Raises:
            InvalidValue: it is something else.
        """
        reason = reason.strip()
        if not (0 < len(reason) <= REASON_LENGTH_MAX and reason.isprintable()):
            raise InvalidValue(
                "reason", f"not 1 to {REASON_LENGTH_MAX} printable characters"
            )
        return cls(by=by, reason=reason)


@attrs.frozen(kw_only=True)
class ChangeByHand:
    """That somebody changed by hand whose a thing is, or erased a user.

    `subject` is the payment's or the customer's id at the gateway, `user_id` whose it
    is or was, `instead_of` the customer that it takes the place of. Of a user who was
    erased both are the pseudonym.
    """

    action: ActionByHand
    subject: str
    user_id: UserId
    instead_of: str | None = None
    decided: ByHand


@attrs.frozen(kw_only=True)
class LoggedChange:
    """A change by hand, and when it was saved."""

    at: datetime
    change: ChangeByHand
