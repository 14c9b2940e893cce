"""A user's subscriptions, and the operations on them."""

from http import HTTPStatus
from typing import Final

from litestar import Response, delete, get, patch, post
from litestar.di import NamedDependency
from litestar.params import JSONBody

from payments_core import errors
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
from payments_service.http.bodies import ChangeIn, OrderIn, PreviewIn
from payments_service.http.limits import counted_as
from payments_service.http.operations import ACCEPTED, answer_of, as_it_is
from payments_service.http.parameters import (
    DespiteDeclines,
    IntentInPath,
    SubscriptionInPath,
    UserInPath,
    When,
)
from payments_service.http.refusals import DECLINES, GATEWAY, OPERATION, USER, refuses
from payments_service.http.request_context import user_in_path
from payments_service.http.requests import HttpRequest, no_body, truth
from payments_service.http.wired import Wired
from payments_service.presentation.arguments import subscription_named
from payments_service.presentation.operations import intent_out
from payments_service.presentation.schemas import (
    IntentOut,
    KnownSubscriptionOut,
    PreviewOut,
    SubscribedOut,
    SubscriptionsOut,
)
from payments_service.rate_limits import RequestKind

_ALL: Final = "/users/{user:str}/subscriptions"
_ONE: Final = f"{_ALL}/{{subscription:str}}"
_WHEN: Final = {"now": False, "period_end": True}
# The refusals of a change and of its preview.
_CHANGE: Final = (
    *USER,
    errors.AlreadySubscribed,
    errors.PeriodNotPaid,
    errors.PreviewExpired,
    errors.PriceNotAllowed,
    errors.SubscriptionEnded,
    errors.SubscriptionNotFound,
    errors.TrialNotAllowed,
    errors.UnknownReference,
)


@post(
    _ALL,
    responses=ACCEPTED,
    opt=refuses(
        *USER,
        *OPERATION,
        *DECLINES,
        errors.AlreadySubscribed,
        errors.CardDeclined,
        errors.PriceNotAllowed,
        errors.TrialNotAllowed,
        errors.UnknownReference,
    )
    | counted_as(RequestKind.CARD),
)
async def start_subscription(  # noqa: PLR0913  # each of its request or by name
    request: HttpRequest,
    user: UserInPath,
    data: JSONBody[OrderIn],
    *,
    start: Wired[StartSubscription],
    key: NamedDependency[str | None],
    despite_declines: DespiteDeclines = None,
) -> Response[SubscribedOut]:
    """Subscribe a user to a product.

    If the payer must act in the browser, the answer has a `client_secret`. A user can
    have one subscription to a product that has not ended.
    """
    executed = await start(
        user_in_path(user),
        data.order(),
        caller=request.user,
        key=key,
        despite_declines=truth("despite_declines", despite_declines),
    )
    return answer_of(request, executed, done=HTTPStatus.CREATED)


@get(_ALL, before_request=no_body, opt=refuses(*USER))
async def get_subscriptions(
    request: HttpRequest, user: UserInPath, read: Wired[ReadSubscriptions]
) -> SubscriptionsOut:
    """List a user's subscriptions as stored here, with the end of each paid period."""
    return SubscriptionsOut.of(await read(user_in_path(user), caller=request.user))


@get(
    _ONE,
    before_request=no_body,
    opt=refuses(*USER, errors.SubscriptionNotFound),
)
async def get_subscription(
    request: HttpRequest,
    user: UserInPath,
    subscription: SubscriptionInPath,
    read: Wired[ReadSubscriptions],
) -> KnownSubscriptionOut:
    """Show a subscription as stored here, with the end of its paid period."""
    found = await read.one(
        user_in_path(user), subscription_named(subscription), caller=request.user
    )
    return KnownSubscriptionOut.known(found)


@patch(
    _ONE,
    responses=ACCEPTED,
    opt=refuses(*_CHANGE, *OPERATION, errors.CardDeclined, *DECLINES)
    | counted_as(RequestKind.CARD),
)
async def change_subscription(  # noqa: PLR0913  # each of its request or by name
    request: HttpRequest,
    user: UserInPath,
    subscription: SubscriptionInPath,
    data: JSONBody[ChangeIn],
    *,
    change: Wired[ChangeSubscription],
    key: NamedDependency[str | None],
    despite_declines: DespiteDeclines = None,
) -> Response[SubscribedOut]:
    """Change a subscription: its product, its quantity, whether it ends.

    A change that costs more is a `pending_update` until it is paid.
    """
    executed = await change(
        user_in_path(user),
        subscription_named(subscription),
        data.change(),
        caller=request.user,
        key=key,
        despite_declines=truth("despite_declines", despite_declines),
    )
    return answer_of(request, executed, done=HTTPStatus.OK)


@post(
    f"{_ONE}/preview",
    status_code=HTTPStatus.OK,
    opt=refuses(*_CHANGE, *GATEWAY),
)
async def preview_change(
    request: HttpRequest,
    user: UserInPath,
    subscription: SubscriptionInPath,
    data: JSONBody[PreviewIn],
    preview: Wired[PreviewChange],
) -> PreviewOut:
    """Return the exact cost of a change.

    The cost holds if the change is made with the answer's `proration_date` within
    600 s.
    """
    found = await preview(
        user_in_path(user),
        subscription_named(subscription),
        data.change(),
        caller=request.user,
    )
    return PreviewOut.of(found)


@delete(
    _ONE,
    status_code=HTTPStatus.OK,
    before_request=no_body,
    responses=ACCEPTED,
    opt=refuses(*USER, *OPERATION, errors.SubscriptionNotFound),
)
async def end_subscription(  # noqa: PLR0913  # each of its request or by name
    request: HttpRequest,
    user: UserInPath,
    subscription: SubscriptionInPath,
    *,
    end: Wired[EndSubscription],
    key: NamedDependency[str | None],
    when: When = None,
) -> Response[SubscribedOut]:
    """End a subscription, now or at the end of its period.

    A repeated request gets the same answer.
    """
    when = "now" if when is None else when
    if when not in _WHEN:
        raise InvalidValue("when", f"not one of {', '.join(_WHEN)}")
    ended = await end(
        user_in_path(user),
        subscription_named(subscription),
        at_period_end=_WHEN[when],
        caller=request.user,
        key=key,
    )
    if ended.executed is None:
        return as_it_is(ended.subscription)
    return answer_of(request, ended.executed, done=HTTPStatus.OK)


@delete(
    "/intents/{intent:str}",
    status_code=HTTPStatus.OK,
    before_request=no_body,
    opt=refuses(
        errors.IntentNotFound,
        errors.IntentEnded,
        errors.NotToBeCalledOff,
        errors.OperationInProgress,
    ),
)
async def call_off_intent(
    request: HttpRequest,
    intent: IntentInPath,
    call_off: Wired[CallOffIntent],
) -> IntentOut:
    """Call off an operation that is not known to be complete.

    If it creates a subscription later, that subscription is ended.
    """
    return intent_out(await call_off(intent_id(intent), caller=request.user))


@get(
    "/intents/{intent:str}",
    before_request=no_body,
    opt=refuses(errors.IntentNotFound),
)
async def get_intent(
    request: HttpRequest,
    intent: IntentInPath,
    read_intent: Wired[ReadIntent],
) -> IntentOut:
    """Show an operation that was answered 202, with its result."""
    return intent_out(await read_intent(intent_id(intent), caller=request.user))
