"""An explanation as it is shown, in JSON and as text; all its sentences are here.

The codes are stable; the sentences are for people, and may change.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Final, Self

import msgspec

from payments_core.entitlement import PaymentStatus
from payments_core.explanation import (
    AccessCode,
    Action,
    ActionKind,
    Cause,
    CauseCode,
    ExplainedFact,
    Explanation,
    FactKind,
    NextStep,
    StepKind,
)
from payments_core.use_cases import PastVerdict
from payments_service.presentation.moments import moment_text
from payments_service.presentation.schemas import MoneyOut, PaymentStatusOut

_C = CauseCode
CAUSES: Final[Mapping[CauseCode, str]] = MappingProxyType(
    {
        _C.PAID_PERIOD: "a paid invoice of the subscription covers the time until the"
        " date",
        _C.PREPAID_MONTH: "payments bought months until the date",
        _C.TRIAL: "a trial is running",
        _C.PAYMENT_DECLINED: "the bank declined the last payment",
        _C.AUTHENTICATION_REQUIRED: "the bank requires the payer to confirm the"
        " payment (3-D Secure)",
        _C.PAYMENT_OVERDUE: "an invoice of the subscription is not paid",
        _C.FIRST_PAYMENT_AWAITED: "the first payment is not complete: the payer may"
        " have to confirm it (3-D Secure)",
        _C.FIRST_PAYMENT_EXPIRED: "the first payment was not made in time, and Stripe"
        " expired the subscription",
        _C.PAYMENT_PENDING: "the payment is not settled yet",
        _C.PAYMENT_CONTRADICTED: "two reports of the payment contradict each other,"
        " and it is fetched from Stripe",
        _C.INVOICE_UNKNOWN: "a payment was made, but its invoice is not known yet",
        _C.REFUNDED: "the payment was refunded in full",
        _C.DISPUTED: "the payer disputes the payment at the bank",
        _C.DISPUTE_LOST: "a dispute was lost, and the money was returned to the payer",
        _C.PERIOD_OVER: "the paid period has ended, and nothing was paid since",
        _C.SUBSCRIPTION_ENDED: "the subscription has ended",
        _C.SUBSCRIPTION_PAUSED: "the subscription is paused",
        _C.TRIAL_ENDED: "the trial has ended, and nothing was paid",
        _C.PERIOD_NOT_PAID: "no invoice of the subscription is known to be paid",
        _C.UNLINKED: "a payment or subscription with a key of this user is not linked",
        _C.QUARANTINED: "an event about this user is quarantined",
        _C.SYNC_PENDING: "a report is known that counts after a fetch from Stripe",
        _C.NOTHING_KNOWN: "no payment and no subscription of this user is known",
    }
)
_A = AccessCode
ACCESS: Final[Mapping[AccessCode, str]] = MappingProxyType(
    {
        _A.PAID: "access, because it is paid for until the date",
        _A.FREE: "access, because a trial is free until the date",
        _A.GRACE: "access, because of the grace after the date",
        _A.GRACE_OVER: "no access: the date and the grace after it have passed",
        _A.DATE_PASSED: "no access: the date has passed, and no grace follows",
        _A.NOTHING_PAID: "no access: no period is paid for or free",
    }
)
_F = FactKind
FACTS: Final[Mapping[FactKind, str]] = MappingProxyType(
    {
        _F.SUBSCRIPTION_BEGAN: "subscription began",
        _F.SUBSCRIPTION_ENDED: "subscription ended",
        _F.SUBSCRIPTION_STATUS: "subscription is",
        _F.PAYMENT_SUCCEEDED: "payment succeeded",
        _F.PAYMENT_FAILED: "payment failed",
        _F.PAYMENT_PENDING: "payment is pending",
        _F.PAYMENT_CONTRADICTED: "reports of the payment contradict each other",
        _F.PAYMENT_REFUNDED: "payment, refunded in full since",
        _F.PAYMENT_PARTIALLY_REFUNDED: "payment, refunded in part since",
        _F.DISPUTE_OPEN: "payment, disputed since",
        _F.DISPUTE_WON: "payment, whose dispute was won",
        _F.DISPUTE_LOST: "payment, whose dispute was lost",
        _F.PERIOD_PAID: "period paid",
        _F.DONE_BY_HAND: "done by hand",
        _F.PAYMENT_UNLINKED: "payment that is not linked",
        _F.SUBSCRIPTION_UNLINKED: "subscription that is not linked",
        _F.EVENT_PENDING: "event that is not applied yet",
        _F.EVENT_QUARANTINED: "event that is quarantined",
    }
)
_S = StepKind
STEPS: Final[Mapping[StepKind, str]] = MappingProxyType(
    {
        _S.RENEWAL: "Stripe collects the next period",
        _S.FIRST_PAYMENT: "the trial ends, and Stripe collects the first payment",
        _S.PAYMENT_RETRIED: "Stripe retries the payment, on its own schedule",
        _S.FIRST_PAYMENT_EXPIRES: "Stripe expires the subscription about 23 hours"
        " after it began, if it is not paid",
        _S.SUBSCRIPTION_ENDS: "the subscription ends, as planned",
        _S.CHANGE_EXPIRES: "the change of plan expires, if it is not paid",
        _S.ACCESS_ENDS: "access ends, if nothing is paid until then",
        _S.SYNC: "the object is fetched from Stripe",
        _S.OPERATION_RESUMED: "an open operation is retried",
        _S.CARDS_TRIED_AGAIN: "too many cards were declined within an hour: no card"
        " is tried before this time",
    }
)
# Who can do it, what it is, and by which route or command.
_K = ActionKind
ACTIONS: Final[Mapping[ActionKind, tuple[str, str, str]]] = MappingProxyType(
    {
        _K.UPDATE_CARD: (
            "user",
            "add another card; overdue invoices are paid with it",
            "PUT /users/{user}/card",
        ),
        _K.AUTHENTICATE: (
            "user",
            "confirm the payment in the browser, with the client_secret of the answer",
            "PUT /users/{user}/card",
        ),
        _K.SUBSCRIBE: ("user", "subscribe", "POST /users/{user}/subscriptions"),
        _K.RESUME: ("operator", "resume the subscription at Stripe", ""),
        _K.ANSWER_DISPUTE: ("operator", "answer the dispute at Stripe", ""),
        _K.LINK_PAYMENT: (
            "operator",
            "link the payment, if it is theirs",
            "payments payment link {object} --user {user} --reason …",
        ),
        _K.LINK_SUBSCRIPTION: (
            "operator",
            "link the subscription, if it is theirs",
            "payments subscription link {object} --user {user} --reason …",
        ),
        _K.DECIDE_EVENT: (
            "operator",
            "decide on the quarantined event: link it, or close it",
            "payments webhook show {object}",
        ),
        _K.RETRY_JOB: (
            "operator",
            "fetch from Stripe now",
            "payments jobs retry {object}",
        ),
        _K.CALL_OFF: (
            "operator",
            "call off the operation, if it is no longer wanted",
            "DELETE /intents/{object}",
        ),
        _K.FIND_PAYMENT: (
            "operator",
            "find the payment at Stripe, by the charge's id, and link it",
            "payments payment link CHARGE --user {user} --reason …",
        ),
        _K.TRY_DESPITE_DECLINES: (
            "operator",
            "allow another card despite the declines",
            "PUT /users/{user}/card?despite_declines=true",
        ),
    }
)


class CauseOut(msgspec.Struct, frozen=True):
    """The first cause: a stable code, and a sentence for people.

    `objects` are Stripe's ids, `failure_code` is the bank's reason.
    """

    code: CauseCode
    text: str
    at: datetime | None
    objects: Sequence[str]
    failure_code: str | None

    @classmethod
    def of(cls, cause: Cause) -> Self:
        return cls(
            cause.code,
            CAUSES[cause.code],
            cause.at,
            cause.objects,
            cause.failure_code,
        )


class AccessOut(msgspec.Struct, frozen=True):
    """Why the user has access or not."""

    code: AccessCode
    text: str

    @classmethod
    def of(cls, code: AccessCode) -> Self:
        return cls(code, ACCESS[code])


class FactOut(msgspec.Struct, frozen=True):
    """A fact that decides the status or the date, or that is not applied.

    `events` are the ids of the events that reported it, in the order of arrival.
    """

    at: datetime | None
    kind: FactKind
    text: str
    objects: Sequence[str]
    amount: MoneyOut | None
    until: datetime | None
    failure_code: str | None
    detail: str | None
    events: Sequence[str]

    @classmethod
    def of(cls, fact: ExplainedFact) -> Self:
        money = fact.amount
        return cls(
            fact.at,
            fact.kind,
            FACTS[fact.kind],
            fact.objects,
            MoneyOut(money.amount_minor, money.currency) if money else None,
            fact.until,
            fact.failure_code,
            fact.detail,
            fact.events,
        )


class StepOut(msgspec.Struct, frozen=True):
    """What happens without any action; `at` is null if Stripe's schedule decides it."""

    at: datetime | None
    kind: StepKind
    text: str
    objects: Sequence[str]

    @classmethod
    def of(cls, step: NextStep) -> Self:
        return cls(step.at, step.kind, STEPS[step.kind], step.objects)


class ActionOut(msgspec.Struct, frozen=True):
    """What a person can do: `who` is the user or an operator, `how` a route or command.

    `how` is empty if it is done at Stripe.
    """

    kind: ActionKind
    who: str
    text: str
    how: str
    objects: Sequence[str]

    @classmethod
    def of(cls, action: Action, user: str) -> Self:
        who, text, how = ACTIONS[action.kind]
        first = action.objects[0] if action.objects else ""
        command = how.replace("{user}", user).replace("{object}", first)
        return cls(action.kind, who, text, command, action.objects)


class RecordedOut(msgspec.Struct, frozen=True):
    """The row of the account log that was valid at a past time.

    `changed_by` says what changed the account, `sources` which events, jobs or
    operations reported it; `status_by` and `date_by` name what the two are based on.
    """

    at: datetime
    version: int
    changed_by: str
    sources: Sequence[str]
    status_by: str | None
    date_by: str | None
    grace_s: int


class ExplanationOut(msgspec.Struct, frozen=True):
    """Why a user has paid or not.

    Now: `cause`, `access`, the chain of facts (the oldest first), what happens without
    any action, and what a person can do. At a past time: only `recorded`.
    """

    user_id: str
    at: datetime
    payment_status: PaymentStatus
    payment_expire_date: datetime | None
    entitled: bool
    entitled_until: datetime | None
    cause: CauseOut | None
    access: AccessOut | None
    chain: Sequence[FactOut]
    next: Sequence[StepOut]
    actions: Sequence[ActionOut]
    recorded: RecordedOut | None

    @classmethod
    def of(cls, found: Explanation) -> Self:
        standing = found.standing
        return cls(
            found.user_id,
            found.at,
            standing.payment_status,
            standing.payment_expire_date,
            standing.entitled,
            found.entitled_until,
            CauseOut.of(found.cause),
            AccessOut.of(found.access),
            [FactOut.of(it) for it in found.chain],
            [StepOut.of(it) for it in found.next],
            [ActionOut.of(it, found.user_id) for it in found.actions],
            None,
        )

    @classmethod
    def past(cls, found: PastVerdict) -> Self:
        row = found.logged
        standing = row.standing(found.at)
        return cls(
            found.user_id,
            found.at,
            standing.payment_status,
            standing.payment_expire_date,
            standing.entitled,
            row.entitled_until,
            None,
            None,
            (),
            (),
            (),
            RecordedOut(
                row.at,
                row.version,
                row.cause,
                row.sources,
                row.status_by,
                row.date_by,
                int(row.grace.total_seconds()),
            ),
        )


def why_entitled(status: PaymentStatusOut, now: datetime) -> str:
    """Say how `entitled` follows from the expire date and the present time.

    `now` is the time, by the service's `Clock`, for which `status` was derived.
    """
    until = status.payment_expire_date
    if until is None:
        return "no period is paid for or free"
    at, ends = (moment_text(it.replace(microsecond=0)) for it in (now, until))
    trials = {it.trial_end for it in status.subscriptions if it.status == "trialing"}
    reason = "in a trial" if until in trials else "paid or free"
    if now < until:
        return f"{reason} until {ends}; it is {at}"
    grace = "within the grace after it" if status.entitled else "and no grace is left"
    return f"{reason} until {ends}; it is {at}, {grace}"
