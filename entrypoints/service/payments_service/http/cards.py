"""A user's card. Its number never comes here: a payment method's id does."""

from http import HTTPStatus

from litestar import Response, post, put
from litestar.di import NamedDependency
from litestar.params import JSONBody

from payments_core import errors
from payments_core.use_cases import SetUpCard, UpdateCard
from payments_service.http.bodies import CardIn
from payments_service.http.limits import counted_as
from payments_service.http.operations import ACCEPTED, answer_of
from payments_service.http.parameters import DespiteDeclines, UserInPath
from payments_service.http.refusals import DECLINES, OPERATION, USER, refuses
from payments_service.http.request_context import user_in_path
from payments_service.http.requests import HttpRequest, no_body, truth
from payments_service.http.wired import Wired
from payments_service.presentation.schemas import CardSetUpOut, CardUpdatedOut
from payments_service.rate_limits import RequestKind


@post(
    "/users/{user:str}/card-setup",
    before_request=no_body,
    responses=ACCEPTED,
    opt=refuses(*USER, *OPERATION, *DECLINES) | counted_as(RequestKind.CARD),
)
async def set_up_card(
    request: HttpRequest,
    user: UserInPath,
    *,
    set_up: Wired[SetUpCard],
    key: NamedDependency[str | None],
    despite_declines: DespiteDeclines = None,
) -> Response[CardSetUpOut]:
    """Prepare what a browser needs to take a card in.

    With the `client_secret` Stripe's own form takes the card in. It is put in place by
    itself: its number never comes here.
    """
    executed = await set_up(
        user_in_path(user),
        caller=request.user,
        key=key,
        despite_declines=truth("despite_declines", despite_declines),
    )
    return answer_of(request, executed, done=HTTPStatus.CREATED)


@put(
    "/users/{user:str}/card",
    responses=ACCEPTED,
    opt=refuses(
        *USER,
        *OPERATION,
        *DECLINES,
        errors.CardDeclined,
        errors.UnknownReference,
    )
    | counted_as(RequestKind.CARD),
)
async def update_card(  # noqa: PLR0913  # each of its request or by name
    request: HttpRequest,
    user: UserInPath,
    data: JSONBody[CardIn],
    *,
    update: Wired[UpdateCard],
    key: NamedDependency[str | None],
    despite_declines: DespiteDeclines = None,
) -> Response[CardUpdatedOut]:
    """Put a card in the old one's place.

    What is past due is paid with it first. A card that is declined leaves the old one
    where it is.
    """
    executed = await update(
        user_in_path(user),
        data.payment_method,
        caller=request.user,
        key=key,
        despite_declines=truth("despite_declines", despite_declines),
    )
    return answer_of(request, executed, done=HTTPStatus.OK)
