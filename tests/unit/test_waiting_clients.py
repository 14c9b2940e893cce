"""A client that disconnects while it waits for a change."""

import asyncio
from typing import Any

import pytest

from payments_core.feed import FeedPage
from payments_service.http.feed import _unless_gone

pytestmark = pytest.mark.anyio


class Asked:
    """A request: its body, which is empty, and then the disconnect."""

    def __init__(self) -> None:
        self.gone = asyncio.Event()
        self._messages = iter([{"type": "http.request", "more_body": False}])

    async def receive(self) -> Any:
        for message in self._messages:
            return message
        await self.gone.wait()
        return {"type": "http.disconnect"}


async def test_who_goes_away_is_waited_for_no_longer() -> None:
    """
    Its work in progress is cancelled.
    """
    request, ended = Asked(), asyncio.Event()

    async def for_ever() -> FeedPage:
        try:
            request.gone.set()
            return await asyncio.Future[FeedPage]()
        finally:
            ended.set()

    assert await _unless_gone(request, for_ever()) is None  # type: ignore[arg-type]  # as far as it is asked
    await asyncio.wait_for(ended.wait(), 10)


async def test_who_stays_is_answered() -> None:
    """
    And gets any error.
    """
    page = FeedPage([], 1, has_more=False)

    async def read() -> FeedPage:
        return page

    async def fail() -> FeedPage:
        raise KeyError("a bug")

    assert await _unless_gone(Asked(), read()) is page  # type: ignore[arg-type]  # as above
    with pytest.raises(KeyError):
        await _unless_gone(Asked(), fail())  # type: ignore[arg-type]  # as above
