"""Why a user has paid or not, as codes and ids without prose.

`payments_core.explain` makes them; the texts that people read are in one place
elsewhere.
"""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Final, Self

import attrs

from payments_core.entitlement import Standing
from payments_core.money import Money


class CauseCode(StrEnum):
    """The first cause: the shortest answer to "why"."""

    PAID_PERIOD = "paid_period"
    PREPAID_MONTH = "prepaid_month"
    TRIAL = "trial"
    PAYMENT_DECLINED = "payment_declined"
    AUTHENTICATION_REQUIRED = "authentication_required"
    PAYMENT_OVERDUE = "payment_overdue"
    FIRST_PAYMENT_AWAITED = "first_payment_awaited"
    FIRST_PAYMENT_EXPIRED = "first_payment_expired"
    PAYMENT_PENDING = "payment_pending"
    PAYMENT_CONTRADICTED = "payment_contradicted"
    INVOICE_UNKNOWN = "invoice_unknown"
    REFUNDED = "refunded"
    DISPUTED = "disputed"
    DISPUTE_LOST = "dispute_lost"
    PERIOD_OVER = "period_over"
    SUBSCRIPTION_ENDED = "subscription_ended"
    SUBSCRIPTION_PAUSED = "subscription_paused"
    TRIAL_ENDED = "trial_ended"
    PERIOD_NOT_PAID = "period_not_paid"
    UNLINKED = "unlinked"
    QUARANTINED = "quarantined"
    SYNC_PENDING = "sync_pending"
    NOTHING_KNOWN = "nothing_known"


class AccessCode(StrEnum):
    """Why the user has access, or has none."""

    PAID = "paid"
    FREE = "free"
    GRACE = "grace"
    GRACE_OVER = "grace_over"
    DATE_PASSED = "date_passed"
    NOTHING_PAID = "nothing_paid"


class FactKind(StrEnum):
    SUBSCRIPTION_BEGAN = "subscription_began"
    SUBSCRIPTION_ENDED = "subscription_ended"
    SUBSCRIPTION_STATUS = "subscription_status"
    PAYMENT_SUCCEEDED = "payment_succeeded"
    PAYMENT_FAILED = "payment_failed"
    PAYMENT_PENDING = "payment_pending"
    PAYMENT_CONTRADICTED = "payment_contradicted"
    PAYMENT_REFUNDED = "payment_refunded"
    PAYMENT_PARTIALLY_REFUNDED = "payment_partially_refunded"
    DISPUTE_OPEN = "dispute_open"
    DISPUTE_WON = "dispute_won"
    DISPUTE_LOST = "dispute_lost"
    PERIOD_PAID = "period_paid"
    DONE_BY_HAND = "done_by_hand"
    PAYMENT_UNLINKED = "payment_unlinked"
    SUBSCRIPTION_UNLINKED = "subscription_unlinked"
    EVENT_PENDING = "event_pending"
    EVENT_QUARANTINED = "event_quarantined"


class StepKind(StrEnum):
    """What happens by itself."""

    RENEWAL = "renewal"
    FIRST_PAYMENT = "first_payment"
    PAYMENT_RETRIED = "payment_retried"
    FIRST_PAYMENT_EXPIRES = "first_payment_expires"
    SUBSCRIPTION_ENDS = "subscription_ends"
    CHANGE_EXPIRES = "change_expires"
    ACCESS_ENDS = "access_ends"
    SYNC = "sync"
    OPERATION_RESUMED = "operation_resumed"
    CARDS_TRIED_AGAIN = "cards_tried_again"


class ActionKind(StrEnum):
    """What a person can do."""

    UPDATE_CARD = "update_card"
    AUTHENTICATE = "authenticate"
    SUBSCRIBE = "subscribe"
    RESUME = "resume"
    ANSWER_DISPUTE = "answer_dispute"
    LINK_PAYMENT = "link_payment"
    LINK_SUBSCRIPTION = "link_subscription"
    DECIDE_EVENT = "decide_event"
    RETRY_JOB = "retry_job"
    CALL_OFF = "call_off"
    FIND_PAYMENT = "find_payment"
    TRY_DESPITE_DECLINES = "try_despite_declines"


# A user cannot do these.
OPERATORS_ACTIONS: Final = frozenset(
    {
        ActionKind.RESUME,
        ActionKind.ANSWER_DISPUTE,
        ActionKind.LINK_PAYMENT,
        ActionKind.LINK_SUBSCRIPTION,
        ActionKind.DECIDE_EVENT,
        ActionKind.RETRY_JOB,
        ActionKind.CALL_OFF,
        ActionKind.FIND_PAYMENT,
        ActionKind.TRY_DESPITE_DECLINES,
    }
)


@attrs.frozen(kw_only=True)
class Cause:
    """The first cause, and the gateway's ids of the objects that it concerns."""

    code: CauseCode
    at: datetime | None = None
    objects: tuple[str, ...] = ()
    failure_code: str | None = None


@attrs.frozen(kw_only=True)
class ExplainedFact:
    """A fact of the chain. `at` is the gateway's own time; None: not known.

    `events` are the ids of the events received about it, the oldest first. `until` is
    the end of the paid time; `detail` is a status, or the given reason.
    """

    kind: FactKind
    at: datetime | None
    objects: tuple[str, ...]
    amount: Money | None = None
    until: datetime | None = None
    failure_code: str | None = None
    detail: str | None = None
    events: tuple[str, ...] = ()


@attrs.frozen
class NextStep:
    """What happens by itself, and when; None: the gateway schedules it."""

    kind: StepKind
    at: datetime | None
    objects: tuple[str, ...] = ()


@attrs.frozen
class Action:
    """What a person can do: the user, or an operator of the service."""

    kind: ActionKind
    objects: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class Explanation:
    """Why a user has paid or not, at a time."""

    user_id: str
    at: datetime
    standing: Standing
    entitled_until: datetime | None
    cause: Cause
    access: AccessCode
    chain: Sequence[ExplainedFact]
    next: Sequence[NextStep]
    actions: Sequence[Action]

    def for_the_user(self) -> Self:
        """Return it without the actions and details that are for operators only."""
        own = [it for it in self.actions if it.kind not in OPERATORS_ACTIONS]
        chain = [
            attrs.evolve(it, detail=None) if it.kind is FactKind.EVENT_PENDING else it
            for it in self.chain
        ]
        return attrs.evolve(self, actions=own, chain=chain)
