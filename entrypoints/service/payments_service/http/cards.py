"""A user's card. Requests have the id of a payment method, never a card number."""

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
    """Prepare a card form in the browser.

    Stripe's form collects the card with the `client_secret`. The card then becomes the
    user's card without another request; its number is never sent to this service.
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
    """Replace the user's card.

    Overdue invoices are paid with the new card first. If it is declined, the old card
    stays.
    """
    executed = await update(
        user_in_path(user),
        data.payment_method,
        caller=request.user,
        key=key,
        despite_declines=truth("despite_declines", despite_declines),
    )
    return answer_of(request, executed, done=HTTPStatus.OK)
