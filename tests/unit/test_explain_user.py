"""Who may read why a user has paid, and for which times."""

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime, timedelta

import attrs
import pytest

from payments_adapters.memory import MemoryAccountHistory
from payments_core.account import PaymentAccount
from payments_core.account_facts import AccountFacts
from payments_core.account_log import LoggedVerdict
from payments_core.errors import AccountNotFound, InvalidValue, NotRecorded
from payments_core.explanation import CauseCode, FactKind
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
    At present or in the past: as if the user did not exist.
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


@attrs.define
class Overtaken:
    """A history of an account that changes while it is first read."""

    history: MemoryAccountHistory
    change: Callable[[], Awaitable[None]]
    reads: int = 0

    async def facts(
        self, account: PaymentAccount, *, whole: bool = True
    ) -> AccountFacts:
        self.reads += 1
        if self.reads == 1:
            await self.change()
        return await self.history.facts(account, whole=whole)

    async def verdict_at(self, user_id: UserId, at: datetime) -> LoggedVerdict | None:
        return await self.history.verdict_at(user_id, at)


async def test_facts_and_verdict_are_of_one_moment(story: Story) -> None:
    """
    A refund arrives while the facts of a payment are read: both are read again.
    """
    await story.card()
    await story.buy()
    history = MemoryAccountHistory(story.deployment.database)
    overtaken = Overtaken(history, story.refund)
    explain = attrs.evolve(story.explain, history=overtaken)

    found = await explain(ADA, caller=admin())

    assert found.cause.code is CauseCode.REFUNDED
    assert [it.kind for it in found.chain] == [FactKind.PAYMENT_REFUNDED]
    assert overtaken.reads == 2
