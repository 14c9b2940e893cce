"""The contract of the gateway's lists, in memory."""

import pytest

from contracts import every_contract_of
from contracts.gateway_lists import ids, listed
from payments_core.object_lists import ObjectList
from support.listed import MemoryListsWorld

pytestmark = pytest.mark.anyio


@pytest.fixture
def lists_world() -> MemoryListsWorld:
    return MemoryListsWorld()


@every_contract_of("lists_world")
class TestMemoryLists:
    """Every contract of the lists."""


async def test_what_is_put_in_late_is_where_its_time_is(
    lists_world: MemoryListsWorld,
) -> None:
    """
    A test adds objects in any order; each requested page is noted.
    """
    made = list[str]()
    for _ in range(3):
        made[:0] = lists_world.make(ObjectList.REFUNDS)
        await lists_world.pass_second()
    lists_world.memory.objects[ObjectList.REFUNDS].reverse()
    assert ids(await listed(lists_world, ObjectList.REFUNDS)) == made
    assert lists_world.memory.asked == [ObjectList.REFUNDS]
