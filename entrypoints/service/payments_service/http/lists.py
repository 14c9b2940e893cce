"""Lists: users, a user's payments, and what happened to a user."""

from typing import Final

from litestar import get
from litestar.di import NamedDependency

from payments_core.use_cases import ListPayments, ListUsers, ReadTimeline
from payments_service.http.request_context import user_in_path
from payments_service.http.requests import (
    HttpRequest,
    no_body,
    page_limit,
    query_value,
    require_known_query,
)
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

_PAGE: Final = ("limit", "cursor")
_FILTERS: Final = ("status", "product", "customer", "email", "text")


@get("/users", before_request=no_body)
async def get_users(
    request: HttpRequest, list_users: NamedDependency[ListUsers]
) -> UsersOut:
    request.user.require_admin()
    require_known_query(request, *_FILTERS, *_PAGE)
    page = await list_users(
        users_wanted(**{name: query_value(request, name) for name in _FILTERS}),
        limit=page_limit(query_value(request, "limit")),
        after=decode_user_cursor(query_value(request, "cursor")),
        caller=request.user,
    )
    return UsersOut.of(page)


@get("/users/{user:str}/payments", before_request=no_body)
async def get_payments(
    request: HttpRequest, user: str, list_payments: NamedDependency[ListPayments]
) -> PaymentsOut:
    require_known_query(request, *_PAGE)
    page = await list_payments(
        user_in_path(user),
        limit=page_limit(query_value(request, "limit")),
        after=decode_payment_cursor(query_value(request, "cursor")),
        caller=request.user,
    )
    return PaymentsOut.of(page)


@get("/users/{user:str}/timeline", before_request=no_body)
async def get_timeline(
    request: HttpRequest, user: str, read_timeline: NamedDependency[ReadTimeline]
) -> TimelineOut:
    require_known_query(request, *_PAGE)
    page = await read_timeline(
        user_in_path(user),
        limit=page_limit(query_value(request, "limit")),
        after=decode_timeline_cursor(query_value(request, "cursor")),
        caller=request.user,
    )
    return TimelineOut.of(page, is_admin=request.user.is_admin)
