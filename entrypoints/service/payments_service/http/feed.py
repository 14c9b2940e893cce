"""The feed: the changes of users, for other services."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from litestar import get

from payments_core import errors
from payments_core.feed import BEGINNING, POSITION_MAX, FeedPage
from payments_core.use_cases import ReadFeed
from payments_core.use_cases.read_feed import PAGE_LENGTH_MAX, WAIT_MAX_S
from payments_service.http.authentication import feed_only
from payments_service.http.limits import counted_as
from payments_service.http.parameters import After, FeedLimit, Latest, WaitS
from payments_service.http.refusals import refuses
from payments_service.http.requests import HttpRequest, no_body, truth, whole_number
from payments_service.http.wired import Wired
from payments_service.presentation.feed import FeedOut
from payments_service.rate_limits import RequestKind


@get(
    "/feed",
    before_request=no_body,
    guards=[feed_only],
    opt=refuses(errors.PositionNotGiven) | counted_as(RequestKind.FEED),
)
async def get_feed(  # noqa: PLR0913  # each a parameter, by name
    request: HttpRequest,
    read_feed: Wired[ReadFeed],
    *,
    after: After = None,
    limit: FeedLimit = None,
    wait_s: WaitS = None,
    latest: Latest = None,
) -> FeedOut:
    """List the changes of users, in the order in which they became known.

    The changes of one user are in the order of versions; no change is skipped, however
    late it is saved. Store `next`: it is the `after` of the next request. With `wait_s`
    the request waits for the next change, and after that time answers without one.
    `latest` is to fill a copy: it lists only the last change of each user.
    """
    begin = whole_number("after", after, BEGINNING, POSITION_MAX, BEGINNING)
    reading = read_feed(
        after=begin,
        limit=whole_number("limit", limit, 1, PAGE_LENGTH_MAX, PAGE_LENGTH_MAX),
        wait_s=whole_number("wait_s", wait_s, 0, WAIT_MAX_S, 0),
        latest=truth("latest", latest),
        caller=request.user,
    )
    page = await _unless_gone(request, reading)
    # A client that disconnected does not read this answer.
    return FeedOut.of(page or FeedPage([], begin, has_more=False), read_feed.policy)


async def _unless_gone(
    request: HttpRequest, reading: Coroutine[Any, Any, FeedPage]
) -> FeedPage | None:
    """Wait for the page; None if the client disconnects first."""
    doing = asyncio.create_task(reading)
    gone = asyncio.create_task(_gone(request))
    try:
        await asyncio.wait({doing, gone}, return_when=asyncio.FIRST_COMPLETED)
        return await doing if doing.done() else None
    finally:
        doing.cancel()
        gone.cancel()


async def _gone(request: HttpRequest) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        continue
