"""Lists: users, a user's payments, and what happened to a user."""

from litestar import get

from payments_core.use_cases import ListPayments, ListUsers, ReadTimeline
from payments_service.http.authentication import admin_only
from payments_service.http.parameters import (
    Cursor,
    CustomerFilter,
    EmailFilter,
    Limit,
    ProductFilter,
    StatusFilter,
    TextFilter,
    UserInPath,
)
from payments_service.http.refusals import USER, refuses
from payments_service.http.request_context import user_in_path
from payments_service.http.requests import HttpRequest, no_body, page_limit
from payments_service.http.wired import Wired
from payments_service.presentation.arguments import (
    decode_payment_cursor,
    decode_timeline_cursor,
    decode_user_cursor,
)
from payments_service.presentation.lists import (
    PaymentsOut,
    TimelineOut,
    UsersOut,
    users_wanted,
)


@get("/users", before_request=no_body, guards=[admin_only])
async def get_users(  # noqa: PLR0913  # each a filter, by name
    request: HttpRequest,
    list_users: Wired[ListUsers],
    *,
    status: StatusFilter = None,
    product: ProductFilter = None,
    customer: CustomerFilter = None,
    email: EmailFilter = None,
    text: TextFilter = None,
    cursor: Cursor = None,
    limit: Limit = None,
) -> UsersOut:
    """List users that match all given filters.

    A page before the last can have fewer items than `limit`, or none.
    """
    page = await list_users(
        users_wanted(
            status=status, product=product, customer=customer, email=email, text=text
        ),
        limit=page_limit(limit),
        after=decode_user_cursor(cursor),
        caller=request.user,
    )
    return UsersOut.of(page)


@get("/users/{user:str}/payments", before_request=no_body, opt=refuses(*USER))
async def get_payments(
    request: HttpRequest,
    user: UserInPath,
    list_payments: Wired[ListPayments],
    cursor: Cursor = None,
    limit: Limit = None,
) -> PaymentsOut:
    """List a user's payments, the newest first."""
    page = await list_payments(
        user_in_path(user),
        limit=page_limit(limit),
        after=decode_payment_cursor(cursor),
        caller=request.user,
    )
    return PaymentsOut.of(page)


@get("/users/{user:str}/timeline", before_request=no_body, opt=refuses(*USER))
async def get_timeline(
    request: HttpRequest,
    user: UserInPath,
    read_timeline: Wired[ReadTimeline],
    cursor: Cursor = None,
    limit: Limit = None,
) -> TimelineOut:
    """List what happened to a user, the newest first.

    It lists events, payments, changes of the status, changes by hand, and the begin and
    end of subscriptions. Only callers that read all users see `by` and `reason`.
    """
    page = await read_timeline(
        user_in_path(user),
        limit=page_limit(limit),
        after=decode_timeline_cursor(cursor),
        caller=request.user,
    )
    return TimelineOut.of(page, reads_all=request.user.reads_all)
