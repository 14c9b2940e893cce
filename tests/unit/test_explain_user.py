"""Who is told why a user has paid, and of which moments."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from payments_core.errors import AccountNotFound, InvalidValue, NotRecorded
from payments_core.identity import UserId
from support.deployment import ADA, Deployment, admin, caller_of
from support.support_story import Story

pytestmark = pytest.mark.anyio
A_SECOND = timedelta(seconds=1)


@pytest.fixture
async def story() -> AsyncIterator[Story]:
    async with Deployment.opened() as deployment:
        await deployment.register()
        yield Story(deployment)


async def test_another_users_explanation_is_not_found(story: Story) -> None:
    """
    Now or then: as if there were no such user.
    """
    eve, now = caller_of(UserId("eve")), story.deployment.clock.now

    with pytest.raises(AccountNotFound):
        await story.explain(ADA, caller=eve)
    with pytest.raises(AccountNotFound):
        await story.explain.at(ADA, now, caller=eve)


async def test_a_moment_has_to_be_recorded(story: Story) -> None:
    """
    From the first row on until now: neither before nor later.
    """
    now = story.deployment.clock.now

    with pytest.raises(NotRecorded):
        await story.explain.at(ADA, now - A_SECOND, caller=admin())
    with pytest.raises(InvalidValue, match="yet to come"):
        await story.explain.at(ADA, now + A_SECOND, caller=admin())
    past = await story.explain.at(ADA, now, caller=admin())
    assert (past.user_id, past.at, past.logged.version) == (ADA, now, 1)
