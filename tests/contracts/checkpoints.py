"""What every store of checkpoints promises: one holder at a time, and fenced saves."""

import asyncio
from datetime import timedelta
from typing import Final

import attrs

from contracts.examples import NOON, moments_in
from contracts.ledger_races import WORKERS_COUNT
from contracts.stores import Stores
from payments_core.checkpoints import LEASE, LoopCheckpoint
from payments_core.lease import Lease

MINUTE: Final = timedelta(minutes=1)
MOMENT: Final = timedelta(microseconds=1)


async def claimed(
    stores: Stores, name: str = "events", *, later: timedelta = timedelta(0)
) -> LoopCheckpoint:
    found = await stores.loops.claim(name, now=NOON + later, lease=LEASE)
    assert found is not None
    return found


def released(held: LoopCheckpoint, due: timedelta) -> LoopCheckpoint:
    return attrs.evolve(held, lease=held.lease.released(NOON + due))


class CheckpointsContract:
    async def test_a_loop_is_new_until_it_is_claimed(self, stores: Stores) -> None:
        """
        It is then due at once, without a place, with the first fence.
        """
        assert await stores.loops.find("events") is None

        held = await claimed(stores)

        lease = Lease(due_at=NOON, fence=1, until=NOON + LEASE)
        assert held == LoopCheckpoint(name="events", lease=lease)
        assert await stores.loops.find("events") == held

    async def test_what_is_saved_comes_back_as_it_was(self, stores: Stores) -> None:
        """
        Any text, and every time in UTC; another loop has a row of its own.
        """
        other = await claimed(stores, "sweep")
        held = attrs.evolve(
            await claimed(stores),
            position='{"after": "evt_ü"}',
            reached_at=NOON - MOMENT,
            result='{"found": "ü"}',
            lease=Lease(due_at=NOON + MOMENT, attempts=3, fence=1, until=None),
        )

        assert await stores.loops.save(held)

        found = await stores.loops.find("events")
        assert found == held
        assert {it.utcoffset() for it in moments_in(found)} == {timedelta(0)}
        assert await stores.loops.find("sweep") == other

    async def test_p33_a_claim_hides_a_loop_until_it_runs_out(
        self, stores: Stores
    ) -> None:
        """
        From the end of the lease on, another process can claim it, with the next fence.
        The process before can no longer save.
        """
        first = await claimed(stores)
        for later in (timedelta(0), LEASE - MOMENT):
            assert (
                await stores.loops.claim("events", now=NOON + later, lease=LEASE)
                is None
            )

        second = await claimed(stores, later=LEASE)

        assert second.lease.fence == first.lease.fence + 1
        assert second.lease.until == NOON + 2 * LEASE
        late = attrs.evolve(first, position="late")
        assert not await stores.loops.save(late)
        assert await stores.loops.find("events") == second

    async def test_a_lease_that_ran_out_is_the_holders_until_it_is_claimed(
        self, stores: Stores
    ) -> None:
        """
        No other process has continued, so what was read is not read again.
        """
        held = attrs.evolve(await claimed(stores), position="far")

        assert await stores.loops.save(released(held, LEASE + MINUTE))
        assert (await claimed(stores, later=LEASE + MINUTE)).position == "far"

    async def test_a_loop_is_due_from_its_very_moment_on(self, stores: Stores) -> None:
        """
        After it is given back before its lease ends: not a moment earlier.
        """
        held = released(await claimed(stores), MINUTE / 2)
        assert await stores.loops.save(held)

        early = NOON + MINUTE / 2 - MOMENT
        assert await stores.loops.claim("events", now=early, lease=LEASE) is None
        again = await claimed(stores, later=MINUTE / 2)

        assert (again.lease.due_at, again.lease.fence) == (NOON + MINUTE / 2, 2)

    async def test_f48_of_many_at_once_one_gets_it(self, stores: Stores) -> None:
        """
        Both for a new loop and for a known one.
        """
        for later in (timedelta(0), LEASE):
            found = await asyncio.gather(
                *(
                    stores.loops.claim("events", now=NOON + later, lease=LEASE)
                    for _ in range(WORKERS_COUNT)
                )
            )
            assert sum(it is not None for it in found) == 1
