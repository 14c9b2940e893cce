"""A claim is held as long as needed, and no longer than another process allows."""

from datetime import timedelta
from typing import Final

import attrs
import pytest

from contracts.examples import NOON
from payments_adapters.memory import FixedClock, MemoryCheckpoints, MemoryDatabase
from payments_core.checkpoints import LoopCheckpoint
from payments_core.jobs.loop_claim import ClaimLost, LoopClaim

pytestmark = pytest.mark.anyio

NAME: Final = "a loop"
LENGTH: Final = timedelta(seconds=60)
MOMENT: Final = timedelta(microseconds=1)


@attrs.define
class Story:
    clock: FixedClock = attrs.field(factory=lambda: FixedClock(NOON))
    database: MemoryDatabase = attrs.field(factory=MemoryDatabase)

    async def claimed(self) -> LoopClaim:
        checkpoints = MemoryCheckpoints(self.database)
        kept = await checkpoints.claim(NAME, now=self.clock.now, lease=LENGTH)
        assert kept is not None
        return LoopClaim(checkpoints, self.clock, kept, LENGTH)

    @property
    def row(self) -> LoopCheckpoint:
        return self.database.loops[NAME]


async def test_a_claim_is_extended_when_it_is_half_over() -> None:
    """
    Not before that, and then for its whole length; the same holds for the next one.
    """
    story = Story()
    claim = await story.claimed()
    for _ in range(3):
        before = story.row
        story.clock.advance(LENGTH / 2)
        await claim.keep()
        assert story.row == before

        story.clock.advance(MOMENT)
        await claim.keep()
        assert story.row.lease.until == story.clock.now + LENGTH


async def test_another_position_is_saved_at_once() -> None:
    """
    The same position is not, and None does not remove a saved one.
    """
    story = Story()
    claim = await story.claimed()
    story.clock.advance(MOMENT)
    await claim.keep("there")
    assert story.row.position == "there"
    assert story.row.lease.until == story.clock.now + LENGTH

    saved = story.row
    story.clock.advance(MOMENT)
    for position in ("there", None):
        await claim.keep(position)
        assert story.row == saved
    story.clock.advance(LENGTH)
    await claim.keep()
    assert story.row.position == "there"


async def test_a_claim_without_an_end_gets_one() -> None:
    """
    What was given back is claimed again, by its fence.
    """
    story = Story()
    claim = await story.claimed()
    await claim.save(lease=claim.lease.released(NOON))
    await claim.keep()
    assert story.row.lease.until == NOON + LENGTH


async def test_p33_who_lost_the_claim_saves_nothing() -> None:
    """
    Neither its position, nor that it continues.
    """
    story = Story()
    late = await story.claimed()
    story.clock.advance(LENGTH)
    await (await story.claimed()).save(position="there")
    before = story.row

    with pytest.raises(ClaimLost):
        await late.keep()
    with pytest.raises(ClaimLost):
        await late.save(position="here")

    assert story.row == before
