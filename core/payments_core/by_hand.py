"""The audit log: what was done by hand, by whom, when, why and to what.

Rule 1: each act is saved in the same transaction as its effect: `Changes.by_hand`.
Rule 2: what was saved is never changed and never deleted.
"""

from collections.abc import Sequence
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
    LINK_SUBSCRIPTION = "link_subscription"
    UNLINK_SUBSCRIPTION = "unlink_subscription"
    CLOSE_EVENT = "close_event"
    # A stored event is applied again; an event that never came is fetched.
    REPLAY_EVENT = "replay_event"
    RECOVER_EVENT = "recover_event"
    RETRY_JOB = "retry_job"
    ERASE_ACCOUNT = "erase_account"


@attrs.frozen(kw_only=True)
class ByHand:
    """Who decides, and why: `by` is the caller's user id.

    An empty `reason`: none was given.
    """

    by: str
    reason: str

    @classmethod
    def of(cls, by: str, reason: str) -> Self:
        """Read a reason: 1 to 500 printable characters.

        Raises:
            InvalidValue: the reason is something else.
        """
        reason = reason.strip()
        if not (0 < len(reason) <= REASON_LENGTH_MAX and reason.isprintable()):
            raise InvalidValue(
                "reason", f"not 1 to {REASON_LENGTH_MAX} printable characters"
            )
        return cls(by=by, reason=reason)

    @classmethod
    def maybe(cls, by: str, reason: str | None) -> Self:
        """Read an optional reason.

        Raises:
            InvalidValue: the reason is not 1 to 500 printable characters.
        """
        return cls(by=by, reason="") if reason is None else cls.of(by, reason)


@attrs.frozen(kw_only=True)
class ChangeByHand:
    """An act by hand.

    `subject` is what was acted on: the gateway's id of a payment, subscription,
    customer or event (with its `event_type`), or the id of a job. `user_id` is its
    present or former owner, if any, `instead_of` the replaced customer. For an erased
    user `subject` and `user_id` are the pseudonym.
    """

    action: ActionByHand
    subject: str
    user_id: UserId | None = None
    event_type: str | None = None
    instead_of: str | None = None
    decided: ByHand


@attrs.frozen(kw_only=True)
class LoggedChange:
    """An act by hand, and when it was saved; `number` grows with each."""

    at: datetime
    number: int = attrs.field(eq=False)
    change: ChangeByHand


# The place of a change in the log: when it was saved, and its number.
AuditCursor = tuple[datetime, int]


@attrs.frozen
class AuditPage:
    """Some changes, and where the next page starts; None at the end."""

    changes: Sequence[LoggedChange]
    after: AuditCursor | None
