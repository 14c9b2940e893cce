"""One run of an operation: each call is saved before it is sent, its answer afterwards.

Rule 1: an operation is a plain function that makes its calls one after the other. A
        call that was answered is not sent again: after a crash the operation is run
        from the start, and continues where it was.
Rule 2: the answer to a call is saved with the next save: the next call, the outcome or
        a reschedule. Until then the same key and bytes return the same answer.
Rule 3: a run that cannot continue now stops with a reason.
"""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime

import attrs

from payments_core.account import PaymentAccount
from payments_core.card import Card
from payments_core.errors import (
    GatewayMisconfigured,
    GatewayOutcomeUnknown,
    GatewayRefused,
)
from payments_core.facts import (
    CardObserved,
    CustomerBound,
    Fact,
    PeriodPaid,
    SubscriptionObserved,
)
from payments_core.gateway import Answer, GatewayRequest
from payments_core.identity import CustomerId
from payments_core.intent import (
    REISSUE_AFTER,
    Call,
    Intent,
    IntentOutcome,
    IntentState,
    Refusal,
)
from payments_core.ports import Clock, PaymentGateway, SystemClock
from payments_core.subscription import PaidPeriod


@attrs.frozen
class RetryLater:
    """The run continues at a time by the system clock; None: after the back-off."""

    until: datetime | None = None


@attrs.frozen
class Expired:
    """The run took too long: no caller waits for it."""


@attrs.frozen
class LeaseLost:
    """Another process has the intent now."""


StopReason = RetryLater | Expired | LeaseLost


class StopRun(Exception):  # noqa: N818  # it carries the reason out of an operation
    """Ends a run; never leaves `payments_core.use_cases.execute_operation`."""

    def __init__(self, reason: StopReason) -> None:
        super().__init__(reason)
        self.reason = reason


@attrs.frozen(kw_only=True)
class OperationResult:
    """The result of an operation, and the facts that follow from it.

    `touched` are subscriptions that may have changed: they are synced.
    """

    state: IntentState = IntentState.SUCCEEDED
    outcome: IntentOutcome
    facts: Sequence[Fact] = ()
    touched: Sequence[str] = ()


def refusal_of(error: GatewayRefused) -> Refusal:
    return Refusal(
        code="card_declined" if error.declined else error.refusal_code,
        reason=error.reason,
        field=error.field,
        decline_code=error.decline_code,
    )


def key_refusal(error: GatewayMisconfigured) -> Refusal:
    return Refusal(code=error.code, reason=error.reason)


def refused(refusal: Refusal) -> GatewayRefused:
    return GatewayRefused(
        refusal.code,
        refusal.reason,
        field=refusal.field,
        decline_code=refusal.decline_code,
        declined=refusal.code == "card_declined",
    )


def observation_of(answer: Answer, call: Call) -> SubscriptionObserved:
    """Return the observation of the subscription in an answer."""
    if answer.subscription is None:
        raise GatewayOutcomeUnknown("an answer without its subscription")
    return SubscriptionObserved(
        report=answer.subscription, at=answer.at, sequence=call.sequence
    )


def paid_by(answer: Answer) -> list[PeriodPaid]:
    period: PaidPeriod | None = answer.paid_period
    return [] if period is None else [PeriodPaid(period)]


@attrs.define
class OperationRun:
    """One attempt at an intent that is leased to us.

    `sequence` was drawn when the account was loaded: the calls of this run have it.
    """

    intent: Intent
    account: PaymentAccount
    sequence: int
    gateway: PaymentGateway
    _clock: Clock
    _system_clock: SystemClock
    _save: Callable[[Intent], Awaitable[Intent]]
    # Subscriptions that differ from what we know.
    touched: list[str] = attrs.field(init=False, factory=list)
    # A decline by the bank during the run, whatever the operation's outcome.
    declined: Refusal | None = attrs.field(init=False, default=None)

    @property
    def now(self) -> datetime:
        return self._clock()

    def counted(self, result: OperationResult) -> OperationResult:
        """Return the result with the decline of the run, if there was one."""
        if self.declined is None or result.outcome.is_declined:
            return result
        outcome = attrs.evolve(result.outcome, decline=self.declined)
        return attrs.evolve(result, outcome=outcome)

    @property
    def awaits_answer(self) -> bool:
        """Whether a call was sent and its outcome is unknown."""
        return any(
            call.state in {IntentState.SENT, IntentState.UNKNOWN}
            for call in self.intent.calls
        )

    @property
    def customer_id(self) -> CustomerId:
        """Return the user's customer at the gateway, which must exist by now."""
        if self.account.customer_id is None:
            raise RuntimeError("an operation that began before its customer")
        return self.account.customer_id

    async def call(self, step: str, request: GatewayRequest) -> tuple[Answer, Call]:
        """Send a request, unless it was answered before; return its answer and call.

        Raises:
            GatewayRefused: a definite no.
            GatewayOutcomeUnknown: it is unknown whether it was done.
            GatewayNotAttempted: it was not done.
            StopRun: the run cannot continue now.
        """
        call, sent_before = self.intent.call(step), True
        if call is None:
            call, sent_before = await self._begun(step, request), False
        elif call.answer is not None:
            return call.answer, call
        elif call.refusal is not None:
            raise refused(call.refusal)
        else:
            call = await self._revived(call, request)
            if call.answer is not None:
                return call.answer, call
        return await self._sent(call, request, sent_before=sent_before)

    async def _begun(self, step: str, request: GatewayRequest) -> Call:
        now = self.now
        return await self._kept(
            Call(
                step=step,
                frozen=self.gateway.freeze(request),
                sequence=self.sequence,
                first_sent_at=now,
                last_sent_at=now,
            )
        )

    async def _revived(self, call: Call, request: GatewayRequest) -> Call:
        """Prepare an unanswered call to be sent again, or find its effect."""
        now = self.now
        if call.may_be_sent_again(now):
            return await self._kept(call.sent(now))
        found = await self.gateway.find(request)
        if found is not None:
            return self._noted(call.answered(found))
        if request.twin_costs and not call.may_be_reissued(now):
            wait = call.last_sent_at + REISSUE_AFTER - now
            raise StopRun(RetryLater(self._system_clock() + wait))
        if self.intent.may_be_abandoned(now):
            raise StopRun(Expired())
        frozen = self.gateway.freeze(request)
        return await self._kept(call.regenerated(frozen, self.sequence, now))

    async def _sent(
        self, call: Call, request: GatewayRequest, *, sent_before: bool
    ) -> tuple[Answer, Call]:
        key = self.intent.key_of(call)
        try:
            answer = await self.gateway.send(request, call.frozen, idempotency_key=key)
        except GatewayMisconfigured as error:
            # It says nothing about the first attempt.
            if not sent_before:
                self._noted(call.refused(key_refusal(error)))
            raise
        except GatewayRefused as error:
            # A refused repetition says nothing about the first attempt.
            found = await self.gateway.find(request) if sent_before else None
            if found is None:
                self._noted(call.refused(refusal_of(error)))
                raise
            answer = found
        except GatewayOutcomeUnknown as error:
            self._noted(
                call.outcome_unknown(server_error_cached=error.server_error_cached)
            )
            raise
        return answer, self._noted(call.answered(answer))

    def _noted(self, call: Call) -> Call:
        """Add a call to the intent, to be saved with the next save (rule 2)."""
        self.intent = self.intent.with_call(call)
        return call

    async def _kept(self, call: Call) -> Call:
        """Save a call before it is sent."""
        intent = self.intent.with_call(call).extended(self._system_clock())
        self.intent = await self._save(intent)
        return call


def card_observed(run: OperationRun, card: Card, call: Call) -> CardObserved:
    return CardObserved(customer_id=run.customer_id, card=card, sequence=call.sequence)


def customer_bound(
    run: OperationRun, customer: CustomerId, *, existed: bool
) -> CustomerBound:
    return CustomerBound(
        user_id=run.account.user_id, customer_id=customer, existed=existed
    )
