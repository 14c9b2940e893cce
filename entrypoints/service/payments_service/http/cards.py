"""A user's card. Its number never comes here: a payment method's id does."""

from http import HTTPStatus

from litestar import Response, post, put
from litestar.di import NamedDependency

from payments_core.use_cases import SetUpCard, UpdateCard
from payments_service.http.operations import answer_of, idempotency_key
from payments_service.http.request_context import user_in_path
from payments_service.http.requests import HttpRequest, json_body, no_body
from payments_service.http.schemas import CardIn


@post("/users/{user:str}/card-setup", before_request=no_body)
async def set_up_card(
    request: HttpRequest,
    user: str,
    set_up: NamedDependency[SetUpCard],
) -> Response[bytes]:
    executed = await set_up(
        user_in_path(user), caller=request.user, key=idempotency_key(request)
    )
    return answer_of(request, executed, done=HTTPStatus.CREATED)


@put("/users/{user:str}/card")
async def update_card(
    request: HttpRequest,
    user: str,
    update: NamedDependency[UpdateCard],
) -> Response[bytes]:
    given = await json_body(request, CardIn)
    executed = await update(
        user_in_path(user),
        given.payment_method,
        caller=request.user,
        key=idempotency_key(request),
    )
    return answer_of(request, executed, done=HTTPStatus.OK)
