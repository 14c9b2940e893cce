"""The order in which the ingest queue records what it had to put back."""

import asyncio
import itertools
from collections.abc import Sequence
from typing import Any

import attrs
import pytest

from contracts.examples import an_event
from payments_core.facts import APPLIED, SourcedFacts
from payments_core.use_cases import Recorded, RecordedState
from payments_service.ingest_queue import IngestQueue

pytestmark = pytest.mark.anyio

EVENTS_COUNT = 20
BUSY = Recorded(state=RecordedState.BUSY)
SAVED = Recorded(state=RecordedState.SAVED, outcome=APPLIED)


@attrs.define
class Locked:
    """Finds everything locked once; the back-off of each ends when the test says so."""

    batches: list[list[str]] = attrs.field(factory=list)
    back_offs: list[asyncio.Future[None]] = attrs.field(factory=list)
    all_wait: asyncio.Event = attrs.field(factory=asyncio.Event)

    async def __call__(
        self, sources: Sequence[SourcedFacts], **_: object
    ) -> list[Recorded]:
        self.batches.append([it.event.id for it in sources if it.event])
        return [BUSY if len(self.batches) == 1 else SAVED] * len(sources)

    async def sleep(self, _: float) -> None:
        back_off: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.back_offs.append(back_off)
        if len(self.back_offs) == EVENTS_COUNT:
            self.all_wait.set()
        await back_off


async def test_what_was_locked_is_recorded_in_the_order_of_arrival() -> None:
    """
    However the back-off shuffled it: a payment older than its account's latest would
    make the account be replayed from the start, each time.
    """
    locked, moments = Locked(), itertools.count()
    record: Any = locked
    queue = IngestQueue(
        record, monotonic=lambda: next(moments) * 1e-6, sleep=locked.sleep
    )
    names = [f"evt_{number:02}" for number in range(EVENTS_COUNT)]
    waiting = [
        asyncio.create_task(queue(attrs.evolve(an_event(), id=name))) for name in names
    ]
    await locked.all_wait.wait()
    for back_off in reversed(locked.back_offs):
        back_off.set_result(None)
    await asyncio.gather(*waiting)

    assert locked.batches == [names, names]
