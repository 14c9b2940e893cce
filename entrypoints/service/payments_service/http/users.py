"""Users: register them, and read whether they have paid."""

from collections.abc import Mapping
from http import HTTPStatus

from litestar import Response, get, post, put
from litestar.params import JSONBody

from payments_adapters.emails import read_email
from payments_core import errors
from payments_core.by_hand import ByHand
from payments_core.caller import Caller
from payments_core.errors import InvalidValue
from payments_core.identity import Email, UserId, customer_id, user_id
from payments_core.jobs import SyncUser
from payments_core.use_cases import GetPaymentStatus, RegisterCustomer, RegisterUser
from payments_service.http.account_reads import (
    AccountReads,
    Shown,
    read_by,
    tagged_read,
)
from payments_service.http.authentication import admin_only
from payments_service.http.bodies import UserIn
from payments_service.http.etags import ETAG, NOT_MODIFIED
from payments_service.http.parameters import IfNoneMatch, UserIdInPath, UserInPath
from payments_service.http.refusals import GATEWAY, USER, refuses
from payments_service.http.request_context import user_in_path
from payments_service.http.requests import HttpRequest, no_body
from payments_service.http.wired import Wired
from payments_service.presentation.schemas import PaymentStatusOut


@put(
    "/users/{user:str}",
    guards=[admin_only],
    opt=refuses(
        *GATEWAY,
        errors.EmailTaken,
        errors.AccountErased,
        errors.CustomerTaken,
        errors.OperationInProgress,
        errors.UnknownReference,
    ),
)
async def put_user(  # noqa: PLR0913  # each of its request or by name
    request: HttpRequest,
    user: UserIdInPath,
    data: JSONBody[UserIn],
    *,
    register: Wired[RegisterUser],
    register_customer: Wired[RegisterCustomer],
    payment_status: Wired[GetPaymentStatus],
) -> PaymentStatusOut:
    """Register a user, or change their e-mail.

    A `customer_id` binds a customer that exists at Stripe; with a `reason` it replaces
    the customer that is bound now.
    """
    id_ = user_id(user)
    by_hand = (
        ByHand.of(request.user.user_id, data.reason)
        if data.reason is not None
        else None
    )
    email = read_email(data.email)
    if data.customer_id is None:
        if by_hand is not None:
            raise InvalidValue("reason", "only with customer_id: why it is bound")
        account = await register(id_, email)
    else:
        customer = customer_id(data.customer_id)
        account = await register_customer(id_, email, customer, by_hand)
    return PaymentStatusOut.of(payment_status.view(account))


async def _read_status(
    reads: AccountReads, user: UserId | Email, caller: Caller, _: Mapping[str, str]
) -> Shown:
    view = await reads.payment_status(user, caller=caller)
    return Shown(PaymentStatusOut.of(view), view.account.user_id, view.version)


@get(
    "/users/{user:str}/payment-status",
    before_request=no_body,
    response_headers=[ETAG],
    responses=NOT_MODIFIED,
    opt=refuses(*USER) | read_by(_read_status),
)
async def get_payment_status(
    request: HttpRequest,
    user: UserInPath,
    reads: Wired[AccountReads],
    if_none_match: IfNoneMatch = None,
) -> Response[PaymentStatusOut]:
    """Show whether a user has paid, and until when.

    A user's first request registers them if their token has an e-mail.
    """
    shown = await _read_status(reads, user_in_path(user), request.user, {})
    return tagged_read(request.scope, reads, shown, given=if_none_match)


@post(
    "/users/{user:str}/sync",
    status_code=HTTPStatus.OK,
    before_request=no_body,
    opt=refuses(*USER, *GATEWAY, errors.SyncedRecently),
)
async def sync_user(
    request: HttpRequest, user: UserInPath, sync: Wired[SyncUser]
) -> PaymentStatusOut:
    """Fetch everything about a user from Stripe now, and show whether they have paid.

    For example after a checkout whose webhook may still be on the way. It is allowed
    once every 5 seconds per user and process: sooner, the answer is 429 with
    `Retry-After`. If Stripe does not answer within 8 seconds, the answer is 503, and
    what is stored does not change.
    """
    view = await sync(user_in_path(user), caller=request.user)
    return PaymentStatusOut.of(view)
