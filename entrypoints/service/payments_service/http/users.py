"""Users: registering them, and whether they have paid."""

import hashlib

import msgspec
from litestar import Response, get, put
from litestar.di import NamedDependency
from litestar.enums import MediaType

from payments_adapters.emails import read_email
from payments_core.by_hand import ByHand
from payments_core.errors import InvalidValue
from payments_core.identity import customer_id, user_id
from payments_core.use_cases import GetPaymentStatus, RegisterCustomer, RegisterUser
from payments_service.http.request_context import user_in_path
from payments_service.http.requests import HttpRequest, json_body, no_body
from payments_service.http.schemas import UserIn
from payments_service.presentation.schemas import PaymentStatusOut


@put("/users/{user:str}")
async def put_user(
    request: HttpRequest,
    user: str,
    register: NamedDependency[RegisterUser],
    register_customer: NamedDependency[RegisterCustomer],
    status: NamedDependency[GetPaymentStatus],
) -> PaymentStatusOut:
    request.user.require_admin()
    id_ = user_id(user)
    given = await json_body(request, UserIn)
    by_hand = (
        ByHand.of(request.user.user_id, given.reason)
        if given.reason is not None
        else None
    )
    email = read_email(given.email)
    if given.customer_id is None:
        if by_hand is not None:
            raise InvalidValue("reason", "says why a customer is bound: name one")
        account = await register(id_, email)
    else:
        customer = customer_id(given.customer_id)
        account = await register_customer(id_, email, customer, by_hand)
    return PaymentStatusOut.of(status.view(account))


@get("/users/{user:str}/payment-status", before_request=no_body)
async def get_payment_status(
    request: HttpRequest, user: str, status: NamedDependency[GetPaymentStatus]
) -> Response[bytes]:
    view = await status(user_in_path(user), caller=request.user)
    return _tagged(request, PaymentStatusOut.of(view))


def _tagged(request: HttpRequest, out: msgspec.Struct) -> Response[bytes]:
    """Answer with an ETag, or 304 to a caller who has this very answer."""
    body = msgspec.json.encode(out)
    tag = f'"{hashlib.blake2b(body, digest_size=12).hexdigest()}"'
    headers = {"ETag": tag, "Cache-Control": "private, no-cache"}
    if {tag, "*"} & _tags(request.headers.get("if-none-match", "")):
        return Response(b"", status_code=304, headers=headers)
    return Response(body, headers=headers, media_type=MediaType.JSON)


def _tags(header: str) -> set[str]:
    return {tag.strip().removeprefix("W/") for tag in header.split(",")}
