"""Operations at the gateway: their answer, and the same answer again.

Every answer is made of the intent's outcome alone, which never changes: a request sent
once more with the same key gets the same bytes.
"""

import re
from collections.abc import Callable, Mapping
from http import HTTPStatus
from types import MappingProxyType
from typing import Final

import msgspec
from litestar import Response
from litestar.enums import MediaType

from payments_core import errors
from payments_core.intent import Intent, IntentKind, IntentOutcome, IntentState, Refusal
from payments_core.subscription import Subscription
from payments_core.use_cases import ExecutedOperation
from payments_service.http import PREFIX
from payments_service.http.problems import HttpProblem, Replayed
from payments_service.http.requests import HttpRequest
from payments_service.http.schemas import (
    CardOut,
    CardSetUpOut,
    CardUpdatedOut,
    IntentOut,
    RefusalOut,
    SubscribedOut,
)

# Stripe's word for what it does not have.
MISSING: Final = "resource_missing"
# Errors that are all said with their code.
_BARE: Final[Mapping[str, Callable[[], errors.Rejected]]] = MappingProxyType(
    {
        it.code: it
        for it in (
            errors.Abandoned,
            errors.AccountNotFound,
            errors.SubscriptionNotFound,
        )
    }
)
_KEY: Final = re.compile(r"[A-Za-z0-9_.:-]{1,128}")


def idempotency_key(request: HttpRequest) -> str | None:
    """Return the idempotency key, with its caller; None without one.

    Raises:
        BadRequest: 400, it is none, or there are several.
    """
    given = request.headers.getall("idempotency-key", [])
    if not given:
        return None
    # Quoted, it is what the draft of the standard has: a structured string.
    key = given[0].removeprefix('"').removesuffix('"')
    if len(given) > 1 or _KEY.fullmatch(key) is None:
        raise HttpProblem(
            HTTPStatus.BAD_REQUEST,
            "invalid_idempotency_key",
            "Idempotency-Key has to be 1 to 128 of A-Z a-z 0-9 _ . : -",
        )
    token = request.user.token
    route = request.scope["path_template"]
    return f"{token.issuer} {token.user_id} {request.method} {route} {key}"


def answer_of(executed: ExecutedOperation, *, done: int) -> Response[bytes]:
    """Render an operation as the answer to the request that asked for it.

    `done` is the status of a success.

    Raises:
        PaymentsError, Replayed: it was refused.
    """
    intent, replayed = executed.intent, executed.replayed
    headers = {"Cache-Control": "no-store"}
    if replayed:
        headers["Idempotent-Replayed"] = "true"
    if intent.outcome is None:
        headers["Location"] = f"{PREFIX}/intents/{intent.id}"
        return _json(intent_out(intent), HTTPStatus.ACCEPTED, headers)
    if intent.outcome.refusal is not None:
        problem = problem_of(intent.outcome.refusal)
        raise Replayed(problem) if replayed else problem
    return _json(result_of(intent.kind, intent.outcome), done, headers)


def as_it_is(subscription: Subscription) -> Response[bytes]:
    """Answer that nothing had to be done."""
    body = SubscribedOut.of(subscription.report)
    return _json(body, HTTPStatus.OK, {"Cache-Control": "no-store"})


def _json(
    body: msgspec.Struct | None, status: int, headers: Mapping[str, str]
) -> Response[bytes]:
    return Response(
        msgspec.json.encode(body),
        status_code=status,
        headers=dict(headers),
        media_type=MediaType.JSON,
    )


def problem_of(refusal: Refusal) -> errors.Rejected:
    """Return the error that a refusal is."""
    if refusal.code == errors.CardDeclined.code:
        return errors.CardDeclined(refusal.reason, refusal.decline_code)
    if refusal.code == errors.AlreadySubscribed.code:
        return errors.AlreadySubscribed(refusal.reason)
    if known := _BARE.get(refusal.code):
        return known()
    if refusal.field is not None and refusal.code == MISSING:
        return errors.UnknownReference(refusal.field, "the payment gateway has none")
    return errors.GatewayRefused(refusal.code, refusal.reason, field=refusal.field)


def intent_out(intent: Intent) -> IntentOut:
    outcome = intent.outcome
    refusal = outcome.refusal if outcome else None
    ended_well = outcome is not None and intent.state is IntentState.SUCCEEDED
    return IntentOut(
        id=intent.id,
        kind=intent.kind.value,
        state=intent.state.value,
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
        "requires_action" if outcome.requires_action else "updated",
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
    """Return what an operation that succeeded answers with."""
    return _RESULTS[kind](outcome)
