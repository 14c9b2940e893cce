"""What every adapter promises of the gateway's lists: pages, windows, their objects."""

import itertools
from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta
from typing import Final, Protocol

import pytest

from payments_core.errors import GatewayObjectMissing
from payments_core.object_lists import (
    CreatedBetween,
    ListedCustomer,
    ListedDispute,
    ListedInvoice,
    ListedObject,
    ListedPayment,
    ListedSubscription,
    ListedUnreadable,
    ObjectList,
    ObjectPage,
)
from payments_core.ports import GatewayLists

PAGE: Final = 100
SECOND: Final = timedelta(seconds=1)
WHAT_IS_LISTED: Final = {
    ObjectList.CUSTOMERS: ListedCustomer,
    ObjectList.SUBSCRIPTIONS: ListedSubscription,
    ObjectList.INVOICES: ListedInvoice,
    ObjectList.PAYMENTS: ListedPayment,
    ObjectList.REFUNDS: ListedPayment,
    ObjectList.DISPUTES: ListedDispute,
}
each_list: Final = pytest.mark.parametrize("list_", ObjectList)


class ListsWorld(Protocol):
    """The gateway's lists, and what adds to them."""

    @property
    def lists(self) -> GatewayLists: ...

    @property
    def now(self) -> datetime:
        """The gateway's time, which does not move: a whole second."""

    def make(self, list_: ObjectList, count: int = 1) -> Sequence[str]:
        """Make objects that are in a list; return their ids, the newest first."""

    def spoil(self, list_: ObjectList, id_: str) -> None:
        """Make an object unreadable."""

    def delete_customer(self, id_: str) -> None: ...

    async def pass_second(self) -> None: ...


def until(end: datetime, *, start: datetime | None = None) -> CreatedBetween:
    return CreatedBetween(start=start, end=end)


async def pages(
    world: ListsWorld, list_: ObjectList, created: CreatedBetween | None = None
) -> AsyncIterator[ObjectPage]:
    """Read a list to its end; all of it, unless a window is given."""
    created, after = created or until(world.now + SECOND), None
    for number in itertools.count(1):
        page = await world.lists.page(list_, created, after=after)
        yield page
        after = page.after
        if after is None:
            return
        assert number < PAGE, "a list without an end"


def ids(objects: Sequence[ListedObject]) -> Sequence[str]:
    return [it.id for it in objects]


async def listed(
    world: ListsWorld, list_: ObjectList, created: CreatedBetween | None = None
) -> Sequence[ListedObject]:
    return [it async for page in pages(world, list_, created) for it in page.objects]


class GatewayListsContract:
    @each_list
    async def test_a_list_comes_in_pages_the_newest_first(
        self, lists_world: ListsWorld, list_: ObjectList
    ) -> None:
        """
        A hundred a page; objects of one second come once each, across two pages.
        """
        made = lists_world.make(list_, 2 * PAGE + 5)

        found = [page async for page in pages(lists_world, list_)]

        assert [len(page.objects) for page in found] == [PAGE, PAGE, 5]
        assert [it for page in found for it in ids(page.objects)] == made
        assert found[0].after == made[PAGE - 1]
        assert {page.at for page in found} == {lists_world.now}
        every = [it for page in found for it in page.objects]
        assert {it.created_at for it in every} == {lists_world.now}
        assert {type(it.it) for it in every} == {WHAT_IS_LISTED[list_]}

    @each_list
    async def test_a_page_that_is_full_may_be_the_last(
        self, lists_world: ListsWorld, list_: ObjectList
    ) -> None:
        """
        No request is made for an empty page.
        """
        lists_world.make(list_, PAGE)
        [page] = [page async for page in pages(lists_world, list_)]
        assert (len(page.objects), page.after) == (PAGE, None)

    @each_list
    async def test_a_list_of_nothing_is_one_page(
        self, lists_world: ListsWorld, list_: ObjectList
    ) -> None:
        """
        It has its second, too.
        """
        [page] = [page async for page in pages(lists_world, list_)]
        assert page == ObjectPage(objects=page.objects, at=lists_world.now, after=None)
        assert not page.objects

    @each_list
    async def test_a_window_has_its_first_second_and_not_its_end(
        self, lists_world: ListsWorld, list_: ObjectList
    ) -> None:
        """
        So adjacent windows have each object once, even if many were made in one second.
        """
        begin, made = lists_world.now, list[Sequence[str]]()
        for _ in range(3):
            made.append(lists_world.make(list_, 2))
            await lists_world.pass_second()
        first, second, third = made

        async def within(start: int | None, end: int) -> Sequence[str]:
            since = None if start is None else begin + start * SECOND
            window = until(begin + end * SECOND, start=since)
            return ids(await listed(lists_world, list_, window))

        assert await within(1, 2) == second
        assert await within(None, 1) == first
        assert await within(None, 2) == [*second, *first]
        assert await within(0, 3) == [*third, *second, *first]
        assert await within(3, 9) == []

    async def test_a_window_may_begin_within_a_second(
        self, lists_world: ListsWorld
    ) -> None:
        """
        What was made in the second of its beginning was made before it; at its end it
        is the reverse.
        """
        [made] = lists_world.make(ObjectList.CUSTOMERS)
        moment = lists_world.now + SECOND / 2
        late, early = until(moment + SECOND, start=moment), until(moment)
        assert await listed(lists_world, ObjectList.CUSTOMERS, late) == []
        assert ids(await listed(lists_world, ObjectList.CUSTOMERS, early)) == [made]

    @each_list
    async def test_what_is_made_while_a_list_is_read_moves_nothing(
        self, lists_world: ListsWorld, list_: ObjectList
    ) -> None:
        """
        No object comes twice, and no object that existed before is missing.
        """
        made, found = lists_world.make(list_, PAGE + 2), list[str]()
        async for page in pages(lists_world, list_):
            found += ids(page.objects)
            lists_world.make(list_, 3)
        assert found == made

    @each_list
    async def test_what_cannot_be_read_says_so_among_the_others(
        self, lists_world: ListsWorld, list_: ObjectList
    ) -> None:
        """
        The rest of its page is read.
        """
        made = lists_world.make(list_, 3)
        before = await listed(lists_world, list_)
        lists_world.spoil(list_, made[1])

        good, bad, other = await listed(lists_world, list_)

        assert [good, other] == [before[0], before[2]]
        assert isinstance(bad.it, ListedUnreadable)
        assert bad.it.reason
        assert (bad.id, bad.created_at) == (made[1], before[1].created_at)

    async def test_a_deleted_customer_is_not_listed(
        self, lists_world: ListsWorld
    ) -> None:
        """
        Other customers are.
        """
        newest, gone, oldest = lists_world.make(ObjectList.CUSTOMERS, 3)
        lists_world.delete_customer(gone)
        found = ids(await listed(lists_world, ObjectList.CUSTOMERS))
        assert found == [newest, oldest]

    async def test_a_place_that_is_gone_says_so(self, lists_world: ListsWorld) -> None:
        """
        The reader restarts the list at an earlier object.
        """
        created = until(lists_world.now + SECOND)
        lists_world.make(ObjectList.CUSTOMERS, PAGE + 1)
        page = await lists_world.lists.page(ObjectList.CUSTOMERS, created)
        assert page.after is not None
        lists_world.delete_customer(page.after)
        with pytest.raises(GatewayObjectMissing):
            await lists_world.lists.page(
                ObjectList.CUSTOMERS, created, after=page.after
            )
