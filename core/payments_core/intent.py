"""Intents: operations at the gateway, saved before they are sent.

Rule 1: an intent is one operation of one user; its calls are its requests, each
        committed as frozen bytes before it is sent.
Rule 2: a call's idempotency key is `<intent>.<step>.<generation>`. The same key is
        always sent with the same bytes.
Rule 3: a definite refusal ends a call. Without an answer it is `unknown`.
Rule 4: an unknown call younger than 23 hours that never got a 500 is sent again with
        the same key and bytes: gateways store keys for a day, with 500s too.
Rule 5: otherwise its effect is searched for. If it is not found, the call gets its next
        generation: after two hours if it creates something, at once if it only sets a
        state.
Rule 6: an operation that could not be done within a day is abandoned: no caller waits
        for it.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Final, NewType, Self

import attrs

from payments_core.card import Card
from payments_core.errors import (
    CardDeclined,
    GatewayMisconfigured,
    IllegalTransition,
    IntentNotFound,
)
from payments_core.gateway import Answer, FrozenRequest
from payments_core.identity import UserId
from payments_core.lease import BackOff, Lease
from payments_core.subscription import SubscriptionReport

IntentId = NewType("IntentId", str)

_ID: Final = re.compile(r"[A-Za-z0-9-]{1,64}")


def intent_id(text: str) -> IntentId:
    """Read an intent's id.

    Raises:
        IntentNotFound: no intent can have such an id.
    """
    if _ID.fullmatch(text) is None:
        raise IntentNotFound
    return IntentId(text)


def intent_of_key(key: str | None) -> IntentId | None:
    """Return the intent of an idempotency key; None: the key is not ours."""
    id_, dot, _ = (key or "").partition(".")
    return IntentId(id_) if dot and _ID.fullmatch(id_) else None


IDEMPOTENCY_KEY_TTL: Final = timedelta(hours=23)
REISSUE_AFTER: Final = timedelta(hours=2)
GIVE_UP_AFTER: Final = timedelta(hours=24)
# Longer than any call may take: a process without a result by then is dead.
LEASE: Final = timedelta(seconds=30)
BACK_OFF: Final = BackOff(timedelta(seconds=5), timedelta(minutes=5))


class Step(StrEnum):
    """A step of an operation at the gateway, by the name of its stored calls.

    The names are part of idempotency keys and of stored intents: a name is never
    changed or given another meaning. An operation with new steps gets a new
    `STEPS_VERSION`, and the steps of the stored versions stay.
    """

    CREATE_CUSTOMER = "create"
    SET_UP_CARD = "set-up"
    ATTACH_CARD = "attach"
    MAKE_DEFAULT = "default"
    PIN_CARD = "pin"
    PAY_INVOICE = "pay"
    START = "start"
    UNDO_START = "undo"
    CHANGE = "change"
    PLAN_END = "plan-end"
    END = "end"

    def of(self, subject: str) -> str:
        """Return the name of a step that is made once for each of several things."""
        return f"{self.value}-{subject}"


STEPS_VERSION: Final = 1


class IntentKind(StrEnum):
    CREATE_CUSTOMER = "create_customer"
    SET_UP_CARD = "set_up_card"
    UPDATE_CARD = "update_card"
    START_SUBSCRIPTION = "start_subscription"
    CHANGE_SUBSCRIPTION = "change_subscription"
    END_SUBSCRIPTION = "end_subscription"


# Operations of these kinds report the card that pays when they end.
TELLS_CARD: Final = frozenset({IntentKind.UPDATE_CARD, IntentKind.START_SUBSCRIPTION})


# A late effect of these costs nothing, or a sync cancels it.
UNDONE_LATER: Final = frozenset(
    {
        IntentKind.CREATE_CUSTOMER,
        IntentKind.SET_UP_CARD,
        IntentKind.START_SUBSCRIPTION,
    }
)


class IntentState(StrEnum):
    NEW = "new"
    SENT = "sent"
    UNKNOWN = "unknown"
    SUCCEEDED = "succeeded"
    # The value in the store and in the API is older than the name.
    REFUSED = "declined"
    ABANDONED = "abandoned"


_S = IntentState
INTENT_STEPS: Final[Mapping[_S, frozenset[_S]]] = MappingProxyType(
    {
        # An operation may find nothing to do, or its object missing.
        _S.NEW: frozenset({_S.SENT, _S.SUCCEEDED, _S.REFUSED, _S.ABANDONED}),
        _S.SENT: frozenset({_S.UNKNOWN, _S.SUCCEEDED, _S.REFUSED, _S.ABANDONED}),
        _S.UNKNOWN: frozenset({_S.SENT, _S.SUCCEEDED, _S.REFUSED, _S.ABANDONED}),
        _S.SUCCEEDED: frozenset(),
        _S.REFUSED: frozenset(),
        _S.ABANDONED: frozenset(),
    }
)


@attrs.frozen(kw_only=True)
class OperationParams:
    """The validated parameters of a request; None: the kind does not have it."""

    payment_method: str | None = None
    product: str | None = None
    price: str | None = None
    quantity: int | None = None
    trial_days: int | None = None
    cancel_at_period_end: bool | None = None
    proration_date: datetime | None = None

    def fingerprint(self, kind: IntentKind, subject: str) -> str:
        """Return a digest that is the same only for equal requests."""
        fields = attrs.asdict(self, value_serializer=_plain)
        text = json.dumps([kind.value, subject, fields], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


def _plain(_: object, __: object, value: object) -> object:
    return value.isoformat() if isinstance(value, datetime) else value


NO_PARAMS: Final = OperationParams()


@attrs.frozen(kw_only=True)
class Refusal:
    """Why the gateway refused; `field` is our name, `decline_code` the bank's code."""

    code: str
    reason: str
    field: str | None = None
    decline_code: str | None = None


@attrs.frozen(kw_only=True)
class Call:
    """One request of an intent: its bytes, its generation and its outcome."""

    step: str
    generation: int = 1
    frozen: FrozenRequest
    state: IntentState = IntentState.SENT
    sequence: int
    first_sent_at: datetime
    last_sent_at: datetime
    # The answer was a 500: gateways store it under the key, which is useless then.
    server_error_cached: bool = False
    answer: Answer | None = None
    refusal: Refusal | None = None

    def may_be_sent_again(self, now: datetime) -> bool:
        """Say whether the same key and bytes still have the same effect (rule 4)."""
        return (
            not self.server_error_cached
            and now - self.first_sent_at < IDEMPOTENCY_KEY_TTL
        )

    def may_be_reissued(self, now: datetime) -> bool:
        """Say whether it was sent so long ago that it no longer has an effect."""
        return now - self.last_sent_at >= REISSUE_AFTER

    def sent(self, now: datetime) -> Self:
        """Return the call as sent again, with the same key."""
        return attrs.evolve(self.moved(IntentState.SENT), last_sent_at=now)

    def regenerated(self, frozen: FrozenRequest, sequence: int, now: datetime) -> Self:
        """Return the call as sent for the first time with a new key."""
        return attrs.evolve(
            self.moved(IntentState.SENT),
            generation=self.generation + 1,
            frozen=frozen,
            sequence=sequence,
            first_sent_at=now,
            last_sent_at=now,
            server_error_cached=False,
        )

    def answered(self, answer: Answer) -> Self:
        return attrs.evolve(self.moved(IntentState.SUCCEEDED), answer=answer)

    def refused(self, refusal: Refusal) -> Self:
        return attrs.evolve(self.moved(IntentState.REFUSED), refusal=refusal)

    def outcome_unknown(self, *, server_error_cached: bool) -> Self:
        return attrs.evolve(
            self.moved(IntentState.UNKNOWN),
            server_error_cached=self.server_error_cached or server_error_cached,
        )

    def moved(self, state: IntentState) -> Self:
        """Return it in another state of the table; the same state is always allowed.

        Raises:
            IllegalTransition: the table has no such step.
        """
        if state is not self.state and state not in INTENT_STEPS[self.state]:
            raise IllegalTransition("call", self.state, state)
        return attrs.evolve(self, state=state)


@attrs.frozen(kw_only=True)
class IntentOutcome:
    """The stored outcome of an operation: every repetition gets this answer.

    `requires_action`: the payer must authenticate in the browser, with the
    `client_secret`. `subscription` is as it was then. `decline` is a declined payment
    of an operation that was not refused, such as a change that waits for its payment.
    """

    customer_id: str | None = None
    subscription: SubscriptionReport | None = None
    card: Card | None = None
    client_secret: str | None = None
    requires_action: bool = False
    refusal: Refusal | None = None
    decline: Refusal | None = None

    @property
    def is_declined(self) -> bool:
        """Whether the bank declined a card, whatever the operation's outcome."""
        return any(
            it is not None and it.code == CardDeclined.code
            for it in (self.refusal, self.decline)
        )


@attrs.frozen(kw_only=True)
class Intent:
    """One operation at the gateway, from before its start until after its end.

    `subject` is its object: one operation of a kind may be open on it. `key` and
    `fingerprint` are from its request. `writer` identifies the last save: a save whose
    reply was lost is recognised by it.
    """

    id: IntentId
    user_id: UserId
    kind: IntentKind
    subject: str = ""
    wanted: OperationParams = NO_PARAMS
    state: IntentState = IntentState.NEW
    calls: tuple[Call, ...] = ()
    outcome: IntentOutcome | None = None
    key: str | None = None
    fingerprint: str
    lease: Lease
    created_at: datetime
    steps_version: int = STEPS_VERSION
    writer: str = ""
    version: int = 0

    @property
    def open(self) -> bool:
        return bool(INTENT_STEPS[self.state])

    @property
    def is_key_refused(self) -> bool:
        """Whether the gateway refused our API key, without deciding on the request."""
        refusal = self.outcome.refusal if self.outcome else None
        return refusal is not None and refusal.code == GatewayMisconfigured.code

    @property
    def is_declined(self) -> bool:
        """Whether the bank declined a card during it; False while it is open."""
        return self.outcome is not None and self.outcome.is_declined

    @property
    def may_be_called_off(self) -> bool:
        """Whether everything it may have done costs nothing or is undone by a sync."""
        return self.open and (not self.calls or self.kind in UNDONE_LATER)

    def call(self, step: str) -> Call | None:
        return next((call for call in self.calls if call.step == step), None)

    def key_of(self, call: Call) -> str:
        """Return the idempotency key of a call (rule 2)."""
        return f"{self.id}.{call.step}.{call.generation}"

    def moved(self, state: IntentState) -> Self:
        """Return it in another state of the table; the same state is always allowed.

        Raises:
            IllegalTransition: the table has no such step.
        """
        if state is not self.state and state not in INTENT_STEPS[self.state]:
            raise IllegalTransition("intent", self.state, state)
        return attrs.evolve(self, state=state)

    def with_call(self, call: Call) -> Self:
        """Add or replace a call, and take over its state."""
        others = [known for known in self.calls if known.step != call.step]
        after = attrs.evolve(self, calls=(*others, call))
        still = call.state in (IntentState.SENT, IntentState.UNKNOWN)
        return after.moved(call.state if still else IntentState.SENT)

    def claimed(self, now: datetime) -> Self:
        """Lease it: no other process continues it until the lease expires."""
        return attrs.evolve(self, lease=self.lease.claimed(now, LEASE))

    def extended(self, now: datetime) -> Self:
        return attrs.evolve(self, lease=self.lease.extended(now, LEASE))

    def rescheduled(self, now: datetime, until: datetime | None = None) -> Self:
        """Release it: it continues at `until`, or after the back-off."""
        if until is None:
            return attrs.evolve(self, lease=self.lease.failed(now, BACK_OFF))
        return attrs.evolve(self, lease=self.lease.released(until))

    def ended(self, state: IntentState, outcome: IntentOutcome) -> Self:
        return attrs.evolve(self.moved(state), outcome=outcome)

    def may_be_abandoned(self, now: datetime) -> bool:
        return now - self.created_at >= GIVE_UP_AFTER
