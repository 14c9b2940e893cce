"""The result of an operation, made from the outcome of its intent alone."""

from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from payments_core.intent import Intent, IntentKind, IntentOutcome, IntentState
from payments_service.presentation.schemas import (
    CardOut,
    CardOutcome,
    CardSetUpOut,
    CardUpdatedOut,
    IntentOut,
    RefusalOut,
    SubscribedOut,
)


def intent_out(intent: Intent) -> IntentOut:
    outcome = intent.outcome
    refusal = outcome.refusal if outcome else None
    ended_well = outcome is not None and intent.state is IntentState.SUCCEEDED
    return IntentOut(
        id=intent.id,
        kind=intent.kind,
        state=intent.state,
        created_at=intent.created_at,
        result=result_of(intent.kind, outcome) if ended_well and outcome else None,
        refusal=RefusalOut.of(refusal) if refusal else None,
    )


def _customer(_: IntentOutcome) -> msgspec.Struct | None:
    return None


def _set_up(outcome: IntentOutcome) -> msgspec.Struct | None:
    return CardSetUpOut(outcome.client_secret)


def _card(outcome: IntentOutcome) -> msgspec.Struct | None:
    return CardUpdatedOut(
        CardOutcome.REQUIRES_ACTION if outcome.requires_action else CardOutcome.UPDATED,
        CardOut.of(outcome.card) if outcome.card else None,
        outcome.client_secret,
    )


def _subscription(outcome: IntentOutcome) -> msgspec.Struct | None:
    if outcome.subscription is None:
        return None
    secret = outcome.client_secret
    more = {} if secret is None else {"client_secret": secret}
    return SubscribedOut.of(outcome.subscription, **more)


_Result = Callable[[IntentOutcome], msgspec.Struct | None]
_RESULTS: Final[Mapping[IntentKind, _Result]] = {
    IntentKind.CREATE_CUSTOMER: _customer,
    IntentKind.SET_UP_CARD: _set_up,
    IntentKind.UPDATE_CARD: _card,
    IntentKind.START_SUBSCRIPTION: _subscription,
    IntentKind.CHANGE_SUBSCRIPTION: _subscription,
    IntentKind.END_SUBSCRIPTION: _subscription,
}


def result_of(kind: IntentKind, outcome: IntentOutcome) -> msgspec.Struct | None:
    """Return the body that answers an operation that succeeded."""
    return _RESULTS[kind](outcome)
