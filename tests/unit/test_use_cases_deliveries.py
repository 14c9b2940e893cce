"""Deliveries as operators list, show and replay them."""

from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from typing import Any

import pytest

from contracts.deliveries import ALL, begun, claim, dead, kept, key
from contracts.examples import ADA, BOB, NOON
from contracts.stores import Stores
from payments_core.deliveries import ALL_DELIVERIES, DeliveryKey, DeliveryQuery
from payments_core.errors import DeliveryNotFound, ScopeRequired, TooManyOpen
from payments_core.use_cases import ListDeliveries, ReadDelivery, ReplayDeliveries
from payments_core.use_cases.deliveries import change_at
from support.deployment import admin, caller_of
from support.memory_stores import memory_stores

pytestmark = pytest.mark.anyio


@pytest.fixture
def stores() -> Stores:
    return memory_stores()


def replaying(stores: Stores) -> ReplayDeliveries:
    return ReplayDeliveries(stores.deliveries, stores.delivery_list, lambda: NOON)


async def all_of(
    batches: AsyncIterator[Sequence[DeliveryKey]],
    done: list[DeliveryKey] | None = None,
) -> list[DeliveryKey]:
    """Return what they yield, which `done` also has if they end with an error."""
    done = [] if done is None else done
    async for batch in batches:
        done += batch
    return done


async def killed(stores: Stores) -> None:
    """Make everything that is due dead."""
    for it in await claim(stores):
        assert await stores.deliveries.release(it, dead(it))


async def test_deliveries_are_listed_for_administrators(stores: Stores) -> None:
    """
    As the directory has them.
    """
    await begun(stores, ADA, BOB)
    listing: dict[str, Any] = {"after": None, "limit": 1}
    every = ListDeliveries(stores.delivery_list)

    page = await every(ALL_DELIVERIES, **listing, caller=admin())

    assert [it.key for it in page.deliveries] == [key(1)]
    assert page.after == key(1)
    with pytest.raises(ScopeRequired):
        await every(ALL_DELIVERIES, **listing, caller=caller_of(ADA))


async def test_one_is_shown_with_its_change(stores: Stores) -> None:
    """
    A delivered one, or one that never existed, is not found.
    """
    await begun(stores, ADA)
    read = ReadDelivery(stores.delivery_list, stores.feed)

    found, change = await read(key(1), caller=admin())

    assert found.key == key(1)
    assert change is not None
    assert (change.position, change.user_id, change.version) == (1, ADA, 1)
    with pytest.raises(DeliveryNotFound, match="crm:2"):
        await read(key(2), caller=admin())
    with pytest.raises(ScopeRequired):
        await read(key(1), caller=caller_of(ADA))


async def test_a_change_is_found_by_its_very_position(stores: Stores) -> None:
    """
    Not the next one, if it does not exist or is left out.
    """
    await begun(stores, ADA, BOB)
    found = [await change_at(stores.feed, it) for it in (0, 1, 2, 3)]
    assert [it and it.position for it in found] == [None, 1, 2, None]


async def test_one_is_replayed_dead_or_delivered(stores: Stores) -> None:
    """
    A dry run changes nothing, and says what would be done.
    """
    await begun(stores, ADA, BOB)
    ada, bob = await claim(stores)
    assert await stores.deliveries.release(ada, dead(ada))
    assert await stores.deliveries.finish(bob)
    again = replaying(stores)

    for it in (key(1), key(2)):
        await again.one(it, dry_run=True, caller=admin())
    assert await kept(stores) == await kept(stores, dead=True) == [1]

    for it in (key(1), key(2)):
        await again.one(it, dry_run=False, caller=admin())
    assert await kept(stores) == [1, 2]
    assert await kept(stores, dead=True) == []


@pytest.mark.parametrize("dry_run", [True, False])
async def test_what_cannot_be_replayed_is_not_found(
    stores: Stores,
    *,
    dry_run: bool,
) -> None:
    """
    A change that does not exist, and one that is in flight at this moment.
    """
    await begun(stores, ADA)
    await claim(stores)
    for it in (key(1), key(2), key(1, "shop")):
        with pytest.raises(DeliveryNotFound):
            await replaying(stores).one(it, dry_run=dry_run, caller=admin())


async def test_all_dead_ones_of_an_endpoint_are_replayed(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    In batches, none of which leaves any out; another endpoint's stay dead.
    """
    monkeypatch.setattr("payments_core.use_cases.deliveries.BATCH", 2)
    await begun(stores, *"abcde")
    await stores.deliveries.begin("shop", from_start=True)
    await stores.deliveries.take_over("shop", now=NOON, limit=ALL)
    await killed(stores)
    for it in await claim(stores, endpoint="shop"):
        assert await stores.deliveries.release(it, dead(it))
    again = replaying(stores)
    everything = [key(it) for it in range(1, 6)]

    told = await all_of(again.dead("crm", dry_run=True, caller=admin()))
    assert told == everything
    assert len(await kept(stores, dead=True)) == 10

    done = await all_of(again.dead("crm", dry_run=False, caller=admin()))
    assert done == everything
    page = await stores.delivery_list.page(DeliveryQuery(dead=True))
    assert {it.key.endpoint for it in page.deliveries} == {"shop"}


async def test_the_changes_of_a_time_are_replayed(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Delivered or not, from the first time on and before the last, page by page.
    """
    monkeypatch.setattr("payments_core.use_cases.deliveries.BATCH", 2)
    monkeypatch.setattr("payments_core.use_cases.deliveries.LOOKED_AT", 3)
    await begun(stores, *"abcdefg")
    for it in await claim(stores):
        assert await stores.deliveries.finish(it)
    time = NOON + timedelta(seconds=1), NOON + timedelta(seconds=6)
    again = replaying(stores)
    wanted = [key(it) for it in range(2, 7)]

    told = await all_of(again.between("crm", *time, dry_run=True, caller=admin()))
    assert told == wanted
    assert await kept(stores) == []

    done = await all_of(again.between("crm", *time, dry_run=False, caller=admin()))
    assert done == wanted
    assert await kept(stores) == [2, 3, 4, 5, 6]


async def test_f51_a_replay_ends_where_there_is_no_room(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    It reports how many are left and after which position, and continues there later.
    """
    monkeypatch.setattr("payments_core.use_cases.deliveries.BATCH", 2)
    await begun(stores, *"abcdefg")
    for it in await claim(stores):
        assert await stores.deliveries.finish(it)
    queue, time = stores.deliveries_of(3), (NOON, NOON + timedelta(days=1))
    again = ReplayDeliveries(queue, stores.delivery_list, lambda: NOON)
    options: dict[str, Any] = {"dry_run": False, "caller": admin()}

    done = list[DeliveryKey]()
    with pytest.raises(TooManyOpen) as raised:
        await all_of(again.between("crm", *time, **options), done)
    full = raised.value
    assert (full.endpoint, full.left, full.position) == ("crm", 4, 3)
    assert done == [key(1), key(2), key(3)]
    assert await kept(stores) == [1, 2, 3]
    with pytest.raises(TooManyOpen, match="those after position 4"):
        await again.one(key(5), **options)

    for it in await claim(stores):
        assert await stores.deliveries.finish(it)
    with pytest.raises(TooManyOpen) as raised:
        await all_of(again.between("crm", *time, after=full.position, **options))
    assert (raised.value.left, raised.value.position) == (1, 6)
    assert await kept(stores) == [4, 5, 6]


async def test_f51_dead_ones_are_replayed_as_many_as_there_is_room_for(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    The others stay dead; the same request again continues with them.
    """
    monkeypatch.setattr("payments_core.use_cases.deliveries.BATCH", 2)
    await begun(stores, *"abcde")
    await killed(stores)
    queue = stores.deliveries_of(1)
    again = ReplayDeliveries(queue, stores.delivery_list, lambda: NOON)

    with pytest.raises(TooManyOpen) as raised:
        await all_of(again.dead("crm", dry_run=False, caller=admin()))

    assert (raised.value.left, raised.value.position) == (4, 1)
    assert await kept(stores, dead=True) == [2, 3, 4, 5]


async def test_only_administrators_replay(stores: Stores) -> None:
    """
    One, or many.
    """
    again, user = replaying(stores), caller_of(ADA)
    with pytest.raises(ScopeRequired):
        await again.one(key(1), dry_run=True, caller=user)
    with pytest.raises(ScopeRequired):
        await all_of(again.dead("crm", dry_run=True, caller=user))
    with pytest.raises(ScopeRequired):
        await all_of(again.between("crm", NOON, NOON, dry_run=True, caller=user))
