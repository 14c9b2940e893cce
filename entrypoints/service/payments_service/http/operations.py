"""Answers to operations at the gateway, and their replay.

Every answer is made from the intent's outcome alone, which never changes: a request
that is repeated with the same key gets the same bytes.
"""

import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final, TypeVar

from litestar import Response
from litestar.enums import MediaType
from litestar.openapi import ResponseSpec

from payments_core.subscription import Subscription
from payments_core.use_cases import ExecutedOperation
from payments_service.http.parameters import IdempotencyKeyHeader
from payments_service.http.problems import HttpProblem, of_error
from payments_service.http.requests import HttpRequest, refuse_card_data
from payments_service.presentation import PREFIX
from payments_service.presentation.operations import intent_out, result_of
from payments_service.presentation.problems import problem_of
from payments_service.presentation.schemas import IntentOut, SubscribedOut

_T = TypeVar("_T")
# In quotes it is a structured string, as in the draft standard.
_KEY: Final = re.compile(r'(?P<quote>"?)(?P<key>[A-Za-z0-9_.:-]{1,128})(?P=quote)')


# A request that takes too long is answered with its operation.
ACCEPTED: Final[Mapping[int, ResponseSpec]] = {
    HTTPStatus.ACCEPTED: ResponseSpec(
        IntentOut,
        generate_examples=False,
        description="Stripe has not answered yet: read the result at `Location`.",
    )
}


def idempotency_key(
    request: HttpRequest, idempotency_key: IdempotencyKeyHeader = None
) -> str | None:
    """Return the idempotency key, prefixed with caller and route; None without one.

    Raises:
        HttpProblem: 400, it is malformed, or there are several; 422, it is a card
            number.
    """
    if idempotency_key is None:
        return None
    # Litestar passes only one of several.
    given = request.headers.getall("idempotency-key")
    match = _KEY.fullmatch(given[0])
    if len(given) > 1 or match is None:
        raise HttpProblem(
            HTTPStatus.BAD_REQUEST,
            "invalid_idempotency_key",
            "Idempotency-Key must be 1 to 128 characters of A-Z a-z 0-9 _ . : -",
        )
    key = match["key"]
    # The only header that is stored.
    refuse_card_data(key, "/headers/idempotency-key")
    token = request.user.token
    route = request.scope["path_template"]
    return f"{token.issuer} {token.user_id} {request.method} {route} {key}"


def answer_of(
    request: HttpRequest, executed: ExecutedOperation, *, done: int
) -> Response[Any]:
    """Return the answer to the request that started an operation.

    `done` is the status of a success.
    """
    intent = executed.intent
    if intent.outcome is None:
        answer: Response[Any] = _json(intent_out(intent), HTTPStatus.ACCEPTED)
        answer.headers["Location"] = f"{PREFIX}/intents/{intent.id}"
    elif intent.outcome.refusal is not None:
        answer = of_error(request, problem_of(intent.outcome.refusal))
    else:
        answer = _json(result_of(intent.kind, intent.outcome), done)
    if executed.replayed:
        answer.headers["Idempotent-Replayed"] = "true"
    return answer


def as_it_is(subscription: Subscription) -> Response[SubscribedOut]:
    """Answer with the subscription as it is: nothing had to be done."""
    body = SubscribedOut.of(subscription.report)
    return _json(body, HTTPStatus.OK)


def _json(body: _T, status: int) -> Response[_T]:
    return Response(
        body,
        status_code=status,
        headers={"Cache-Control": "no-store"},
        media_type=MediaType.JSON,
    )
