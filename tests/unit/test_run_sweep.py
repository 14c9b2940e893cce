"""A sweep's steps, taken again where the gateway is busy, and not for ever."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import attrs
import pytest

from payments_adapters.stripe.object_lists import StripeLists
from payments_core.errors import (
    GatewayMisconfigured,
    GatewayNotAttempted,
    PaymentsError,
    StoreUnavailable,
)
from payments_core.jobs import RunSweep
from payments_core.jobs.run_sweep import COMPARED_FOR, SETTLES_WITHIN, TRIES_MAX
from payments_core.object_lists import CreatedBetween, ObjectList, ObjectPage
from payments_core.sweep import SweepPlace, SweepRange
from support.deployment import BEGINNING
from support.reconciling import A_MOMENT, Story, no_wait, told

pytestmark = pytest.mark.anyio


@pytest.fixture
async def story() -> AsyncIterator[Story]:
    async with told() as it:
        yield it


async def test_a_gateway_that_is_busy_is_asked_again(story: Story) -> None:
    """
    The same step, later and later; and not for ever.
    """
    story.api.delete(story.subscription)
    await story.deployment.hear([], apply_only=True)
    waits = list[float]()

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    lists = _Busy(story.lists, TRIES_MAX - 1)
    told_of = list[float]()
    run = RunSweep(
        attrs.evolve(story.reconcile, lists=lists),
        sleep=sleep,
        on_wait=lambda _, wait_s: told_of.append(wait_s),
    )
    story.deployment.clock.advance(A_MOMENT)
    found = [step async for step in run(run.range_now(), SweepPlace(), repairs=False)]
    assert sum(len(it.findings) for it in found) == 2
    assert waits == sorted(waits) == told_of
    assert len(waits) == TRIES_MAX - 1

    lists.times = TRIES_MAX
    with pytest.raises(GatewayNotAttempted):
        await anext(run(run.range_now(), SweepPlace(), repairs=False))


@attrs.define
class _Busy:
    """Refuses the first pages."""

    lists: StripeLists
    times: int
    error: PaymentsError = attrs.field(factory=lambda: GatewayNotAttempted("busy"))

    async def page(self, *args: Any, **kwargs: Any) -> ObjectPage:
        if self.times:
            self.times -= 1
            raise self.error
        page: ObjectPage = await self.lists.page(*args, **kwargs)
        return page


@pytest.mark.parametrize("error", [GatewayMisconfigured(), StoreUnavailable()])
async def test_what_no_repetition_mends_ends_it_at_once(
    story: Story, error: PaymentsError
) -> None:
    """
    A refused key, and a database that does not answer: nobody waits for them here.
    """
    lists = _Busy(story.lists, 1, error)
    run = RunSweep(attrs.evolve(story.reconcile, lists=lists), sleep=no_wait)
    with pytest.raises(type(error)):
        await anext(run(run.range_now(), SweepPlace(), repairs=False))
    assert lists.times == 0


async def test_what_was_just_made_is_left_out(story: Story) -> None:
    """
    Of customers and subscriptions all are compared, of the rest what is not too old.
    """
    run, now = RunSweep(story.reconcile), story.deployment.clock.now
    until = now - SETTLES_WITHIN

    assert run.range_now() == SweepRange(since=now - COMPARED_FOR, until=until)
    range_ = run.range_now(BEGINNING - timedelta(days=400))
    for list_ in ObjectList:
        is_whole = list_ in {ObjectList.CUSTOMERS, ObjectList.SUBSCRIPTIONS}
        since = None if is_whole else BEGINNING - timedelta(days=400)
        assert range_.of(list_) == CreatedBetween(start=since, end=until)
