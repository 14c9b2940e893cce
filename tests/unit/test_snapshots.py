"""Copies of a deployment: in the same state, and independent."""

from collections.abc import Callable

import pytest

from payments_core.use_cases import Order
from support.deployment import ADA, Deployment, caller_of
from support.snapshots import snapshot_of

pytestmark = pytest.mark.anyio


async def _subscribe(deployment: Deployment) -> None:
    order = Order(product=deployment.product, payment_method="pm_card_visa")
    await deployment.start(ADA, order, caller=caller_of(ADA), key="a-key")


def _all_of(deployment: Deployment) -> tuple[object, ...]:
    world = deployment.engine.world
    return (
        world.objects,
        list(world.events),
        deployment.engine.now,
        deployment.database.tables,
        deployment.clock.now,
        deployment.line.changes,
    )


async def test_a_copy_is_as_the_deployment_was_and_nobody_elses() -> None:
    """
    What happens in one, or in the original, is not seen in another copy.
    """
    async with Deployment.opened() as original:
        await original.register()
        await _subscribe(original)
        before, copy = _all_of(original), original.saved()
        async with copy() as first:
            assert _all_of(first) == before
            await first.end(
                ADA,
                (await first.account()).subscriptions[0].id,
                at_period_end=False,
                caller=caller_of(ADA),
                key=None,
            )
            assert _all_of(first) != before
        async with copy() as second:
            assert _all_of(second) == before
        assert _all_of(original) == before


async def test_a_copy_goes_on_as_the_original_would_have() -> None:
    """
    With the same ids, the gateway's and ours.
    """
    async with Deployment.opened() as original:
        await original.register()
        async with original.saved()() as copy:
            await _subscribe(copy)
            await _subscribe(original)
            assert _all_of(copy) == _all_of(original)


def _told(notes: list[str]) -> Callable[[str], None]:
    def tell(note: str) -> None:
        notes.append(note)

    return tell


def test_what_copies_would_share_is_refused() -> None:
    """
    A function that holds a list would write into every copy.
    """
    with pytest.raises(TypeError):
        snapshot_of(_told([]))
