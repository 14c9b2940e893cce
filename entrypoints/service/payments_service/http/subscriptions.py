"""A user's subscriptions, and the operations that are still under way."""

from http import HTTPStatus
from typing import Final

from litestar import Response, delete, get, patch, post
from litestar.di import NamedDependency

from payments_core.errors import InvalidValue
from payments_core.intent import intent_id
from payments_core.use_cases import (
    CallOffIntent,
    ChangeSubscription,
    EndSubscription,
    PreviewChange,
    ReadIntent,
    ReadSubscriptions,
    StartSubscription,
)
from payments_service.http.operations import (
    answer_of,
    as_it_is,
    idempotency_key,
)
from payments_service.http.request_context import user_in_path
from payments_service.http.requests import HttpRequest, json_body, no_body, query_value
from payments_service.http.schemas import ChangeIn, OrderIn
from payments_service.presentation.arguments import subscription_named
from payments_service.presentation.operations import intent_out
from payments_service.presentation.schemas import (
    IntentOut,
    KnownSubscriptionOut,
    PreviewOut,
    SubscriptionsOut,
)

_ALL: Final = "/users/{user:str}/subscriptions"
_ONE: Final = f"{_ALL}/{{subscription:str}}"
_WHEN: Final = {"now": False, "period_end": True}


@post(_ALL)
async def start_subscription(
    request: HttpRequest,
    user: str,
    start: NamedDependency[StartSubscription],
) -> Response[bytes]:
    given = await json_body(request, OrderIn)
    executed = await start(
        user_in_path(user),
        given.order(),
        caller=request.user,
        key=idempotency_key(request),
    )
    return answer_of(request, executed, done=HTTPStatus.CREATED)


@get(_ALL, before_request=no_body)
async def get_subscriptions(
    request: HttpRequest, user: str, read: NamedDependency[ReadSubscriptions]
) -> SubscriptionsOut:
    return SubscriptionsOut.of(await read(user_in_path(user), caller=request.user))


@get(_ONE, before_request=no_body)
async def get_subscription(
    request: HttpRequest,
    user: str,
    subscription: str,
    read: NamedDependency[ReadSubscriptions],
) -> KnownSubscriptionOut:
    found = await read.one(
        user_in_path(user), subscription_named(subscription), caller=request.user
    )
    return KnownSubscriptionOut.known(found)


@patch(_ONE)
async def change_subscription(
    request: HttpRequest,
    user: str,
    subscription: str,
    change: NamedDependency[ChangeSubscription],
) -> Response[bytes]:
    given = await json_body(request, ChangeIn)
    executed = await change(
        user_in_path(user),
        subscription_named(subscription),
        given.change(),
        caller=request.user,
        key=idempotency_key(request),
    )
    return answer_of(request, executed, done=HTTPStatus.OK)


@post(f"{_ONE}/preview", status_code=HTTPStatus.OK)
async def preview_change(
    request: HttpRequest,
    user: str,
    subscription: str,
    preview: NamedDependency[PreviewChange],
) -> PreviewOut:
    given = await json_body(request, ChangeIn)
    found = await preview(
        user_in_path(user),
        subscription_named(subscription),
        given.change(),
        caller=request.user,
    )
    return PreviewOut.of(found)


@delete(_ONE, status_code=HTTPStatus.OK, before_request=no_body)
async def end_subscription(
    request: HttpRequest,
    user: str,
    subscription: str,
    end: NamedDependency[EndSubscription],
) -> Response[bytes]:
    when = query_value(request, "when")
    when = "now" if when is None else when
    if when not in _WHEN:
        raise InvalidValue("when", f"not one of {', '.join(_WHEN)}")
    ended = await end(
        user_in_path(user),
        subscription_named(subscription),
        at_period_end=_WHEN[when],
        caller=request.user,
        key=idempotency_key(request),
    )
    if ended.executed is None:
        return as_it_is(ended.subscription)
    return answer_of(request, ended.executed, done=HTTPStatus.OK)


@delete("/intents/{intent:str}", status_code=HTTPStatus.OK, before_request=no_body)
async def call_off_intent(
    request: HttpRequest, intent: str, call_off: NamedDependency[CallOffIntent]
) -> IntentOut:
    return intent_out(await call_off(intent_id(intent), caller=request.user))


@get("/intents/{intent:str}", before_request=no_body)
async def get_intent(
    request: HttpRequest, intent: str, read_intent: NamedDependency[ReadIntent]
) -> IntentOut:
    return intent_out(await read_intent(intent_id(intent), caller=request.user))
