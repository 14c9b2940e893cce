"""What every gateway promises of its list of events."""

from datetime import datetime, timedelta
from typing import Any, Final

import pytest

from contracts.gateway_world import HOUR, GatewayWorld
from payments_core.errors import GatewayObjectMissing
from payments_core.event_list import PAGE_EVENTS_MAX, EventQuery, ListedEvents

SECOND: Final = timedelta(seconds=1)


async def listed(world: GatewayWorld, **wanted: Any) -> ListedEvents:
    return await world.gateway.events(EventQuery(**wanted))


def ids_of(page: ListedEvents) -> list[str]:
    return [it.id for it in page.events]


async def now(world: GatewayWorld) -> datetime:
    return (await listed(world, limit=1)).at


class EventsContract:
    async def test_a_page_has_the_newest_events_the_oldest_of_them_first(
        self, world: GatewayWorld
    ) -> None:
        """
        And says whether there are older events.
        """
        ids = list(world.happen(3))

        page = await listed(world, limit=2)

        assert (ids_of(page), page.has_more) == (ids[1:], True)
        assert all(it.created_at <= page.at for it in page.events)
        assert all(it.body and not it.livemode for it in page.events)

    async def test_a_page_is_next_to_an_event_and_nearest_to_it(
        self, world: GatewayWorld
    ) -> None:
        """
        On either side of it, however many events a second has. The event itself is not
        on the page.
        """
        ids = list(world.happen(6))

        newer = await listed(world, after=ids[1], limit=3)
        older = await listed(world, before=ids[4], since=await now(world), limit=3)
        end = await listed(world, after=ids[-1])

        assert (ids_of(newer), newer.has_more) == (ids[2:5], True)
        assert (ids_of(older), older.has_more) == (ids[1:4], True)
        assert (ids_of(end), end.has_more) == ([], False)

    async def test_what_happens_meanwhile_moves_no_page(
        self, world: GatewayWorld
    ) -> None:
        """
        Paging towards the newer end finds each event once, those that arrive meanwhile
        included.
        """
        ids = list(world.happen(5))
        found, after = list[str](), ids[0]
        for _ in range(4):
            page = await listed(world, after=after, limit=2)
            found += ids_of(page)
            after = found[-1]
            if not page.has_more:
                break
            ids += world.happen(1)

        assert found == ids[1 : len(found) + 1]
        assert len(found) >= 6

    async def test_a_page_is_of_a_time_up_to_its_last_second(
        self, world: GatewayWorld
    ) -> None:
        """
        From the first second on, excluding the second that ends it.
        """
        ids, seconds = list[str](), list[datetime]()
        for _ in range(3):
            ids += world.happen(2)
            seconds.append(await now(world))
            world.pass_time(HOUR)
        second = seconds[1]

        page = await listed(world, since=second, until=second + SECOND)
        before = await listed(world, since=second - HOUR + SECOND, until=second)
        rest = await listed(world, since=second + SECOND)

        assert (ids_of(page), page.has_more) == (ids[2:4], False)
        assert (ids_of(before), before.has_more) == ([], False)
        assert ids_of(rest) == ids[4:]

    async def test_a_page_has_a_hundred_events(self, world: GatewayWorld) -> None:
        """
        That is Stripe's maximum; the next page has the rest.
        """
        first, *ids = world.happen(PAGE_EVENTS_MAX + 5)

        page = await listed(world, after=first)
        rest = await listed(world, after=ids_of(page)[-1])

        assert (ids_of(page), page.has_more) == (ids[:PAGE_EVENTS_MAX], True)
        assert (ids_of(rest), rest.has_more) == (ids[PAGE_EVENTS_MAX:], False)

    @pytest.mark.parametrize("side", ["after", "before"])
    async def test_next_to_an_event_that_is_not_listed_is_no_page(
        self, world: GatewayWorld, side: str
    ) -> None:
        """
        It has left the list, or was never on it: that is reported, not an empty page.
        """
        world.happen(1)
        with pytest.raises(GatewayObjectMissing):
            await listed(world, **{side: "evt_none"})

    async def test_what_was_not_delivered_is_listed_by_itself(
        self, world: GatewayWorld
    ) -> None:
        """
        In pages, also next to an event that was delivered; without the filter all are
        listed.
        """
        ids = list(world.happen(5))
        for lost in (ids[0], ids[2], ids[4]):
            world.lose(lost)

        page = await listed(world, undelivered=True, limit=2)
        assert (ids_of(page), page.has_more) == ([ids[2], ids[4]], True)
        page = await listed(world, undelivered=True, after=ids[1], limit=1)
        assert (ids_of(page), page.has_more) == ([ids[2]], True)
        assert ids_of(await listed(world, limit=5)) == ids
