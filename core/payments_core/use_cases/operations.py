"""Go on with an intent, as far as it goes."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

import attrs

from payments_core.errors import (
    Abandoned,
    GatewayBusy,
    GatewayRefused,
    GatewaySilent,
    OperationInProgress,
    Rejected,
)
from payments_core.identity import CustomerId
from payments_core.intent import (
    Intent,
    IntentKind,
    IntentOutcome,
    IntentState,
    Refusal,
)
from payments_core.ports import Clock, OpenUnitOfWork, PaymentGateway
from payments_core.use_cases import card_operations as cards
from payments_core.use_cases import subscription_operations as subscriptions
from payments_core.use_cases.begin_intent import Asking, BeginIntent
from payments_core.use_cases.run_intent import (
    Ending,
    GivenUp,
    Lost,
    NotYet,
    Run,
    refusal_of,
    refused,
)

_ABANDONED: Final = IntentOutcome(
    refusal=Refusal(code=Abandoned.code, reason=str(Abandoned()))
)


@attrs.frozen
class RunIntent:
    """Go on with an intent that is leased to us, as far as it goes."""

    open_unit_of_work: OpenUnitOfWork
    gateway: PaymentGateway
    clock: Clock
    begin: BeginIntent

    async def __call__(self, intent: Intent) -> Intent:
        """Return the intent as it is then: ended, or open and put off.

        Raises:
            StoreUnavailable: it is open, and will be taken up again.
        """
        run = Run(
            intent,
            self.gateway,
            self.open_unit_of_work,
            self.clock,
            self._customer_of,
        )
        try:
            return await self._run(run)
        except Lost:
            async with self.open_unit_of_work() as work:
                current = await work.intent(intent.id)
            return current or run.intent

    async def _run(self, run: Run) -> Intent:
        try:
            ending = await _OPERATIONS[run.intent.kind](run)
        except GatewayRefused as error:
            ending = _declined(run, refusal_of(error))
        except Rejected as error:
            # Removed, here or there, since it was asked: no repetition brings it again.
            ending = _declined(run, Refusal(code=error.code, reason=str(error)))
        except GivenUp:
            ending = _abandoned(run)
        except NotYet as wait:
            return await run.put_off(wait.until)
        except (GatewayBusy, GatewaySilent):
            if run.intent.state is IntentState.NEW and run.intent.may_be_abandoned(
                run.now
            ):
                ending = _abandoned(run)
            else:
                return await run.put_off()
        return await run.end(ending)

    async def _customer_of(self, run: Run) -> CustomerId:
        """Return the user's customer at the gateway; make it, by an intent of its own.

        Raises:
            GatewayRefused, GivenUp: there will be none.
            NotYet: it is not known yet.
        """
        account = await run.account()
        if account.customer_id is not None:
            return account.customer_id
        asking = Asking(user_id=account.user_id, kind=IntentKind.CREATE_CUSTOMER)
        try:
            begun = await self.begin(asking)
        except OperationInProgress as error:
            raise NotYet from error
        made = await self(begun.intent)
        if made.outcome and made.outcome.customer_id:
            return CustomerId(made.outcome.customer_id)
        if made.state is IntentState.ABANDONED:
            raise GivenUp
        if made.outcome and made.outcome.refusal:
            raise refused(made.outcome.refusal)
        raise NotYet(made.due_at)


def _declined(run: Run, refusal: Refusal) -> Ending:
    outcome = IntentOutcome(refusal=refusal)
    return Ending(state=IntentState.DECLINED, outcome=outcome, looks=_touched(run))


def _abandoned(run: Run) -> Ending:
    return Ending(state=IntentState.ABANDONED, outcome=_ABANDONED, looks=_touched(run))


def _touched(run: Run) -> Sequence[str]:
    """Return the subscriptions that an intent met before it failed."""
    answers = [call.answer for call in run.intent.calls if call.answer]
    made = [it.subscription.gateway_id for it in answers if it.subscription]
    return [*made, *run.touched]


_Operation = Callable[[Run], Awaitable[Ending]]
_OPERATIONS: Final[Mapping[IntentKind, _Operation]] = MappingProxyType(
    {
        IntentKind.CREATE_CUSTOMER: cards.create_customer,
        IntentKind.SET_UP_CARD: cards.set_up_card,
        IntentKind.UPDATE_CARD: cards.update_card,
        IntentKind.START_SUBSCRIPTION: subscriptions.start_subscription,
        IntentKind.CHANGE_SUBSCRIPTION: subscriptions.change_subscription,
        IntentKind.END_SUBSCRIPTION: subscriptions.end_subscription,
    }
)
