"""A ledger that fails or blocks on request, and facts that always fail."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TypeVar

import attrs

from payments_core.changes import Changes, Lookup, SaveResult, Snapshot
from payments_core.errors import SaveTimedOut
from payments_core.payment import Payment
from payments_core.ports import Ledger
from payments_core.subscription import SubscriptionReport

SAVES_MAX = 1_000
_T = TypeVar("_T", Payment, SubscriptionReport)


def no_fault(_: Sequence[Changes]) -> None:
    """Raise nothing."""


def unheard_of(report: _T) -> _T:
    """Return a report on which no decision is possible, as if by a bug of ours."""
    fields = attrs.fields_dict(type(report))
    field = "state" if "state" in fields else "status"
    return attrs.evolve(report, **{field: "lost"})  # type: ignore[arg-type]  # on purpose


@attrs.define(eq=False)
class FaultyLedger:
    """Raises what `fault` raises, given the groups of a save, and saves nothing.

    What `reply` raises is raised after the save. A save with one of the `slow` groups
    times out once `may_time_out` is set; `most_slow` is the highest number of such
    saves at once. `saves` are the keys of the groups of each save, `batches` the
    numbers of events in each load. While `may_run` is clear, loads block; `running` is
    set when a load begins.
    """

    ledger: Ledger
    fault: Callable[[Sequence[Changes]], None] = no_fault
    reply: Callable[[Sequence[Changes]], None] = no_fault
    batches: list[int] = attrs.field(init=False, factory=list)
    saves: list[list[str]] = attrs.field(init=False, factory=list)
    running: asyncio.Event = attrs.field(init=False, factory=asyncio.Event)
    may_run: asyncio.Event = attrs.field(init=False, factory=asyncio.Event)
    slow: set[str] = attrs.field(init=False, factory=set)
    slow_now: int = attrs.field(init=False, default=0)
    most_slow: int = attrs.field(init=False, default=0)
    may_time_out: asyncio.Event = attrs.field(init=False, factory=asyncio.Event)

    def __attrs_post_init__(self) -> None:
        self.may_run.set()
        self.may_time_out.set()

    async def load(self, lookup: Lookup) -> Snapshot:
        self.batches.append(len(lookup.events))
        self.running.set()
        await self.may_run.wait()
        return await self.ledger.load(lookup)

    async def save(
        self, groups: Sequence[Changes], *, at: datetime
    ) -> Sequence[SaveResult]:
        self.saves.append([group.key for group in groups])
        assert len(self.saves) <= SAVES_MAX, "the same is saved over and over"
        self.fault(groups)
        if self.slow & {group.key for group in groups}:
            await self._time_out()
        saved = await self.ledger.save(groups, at=at)
        self.reply(groups)
        return saved

    async def _time_out(self) -> None:
        self.slow_now += 1
        self.most_slow = max(self.most_slow, self.slow_now)
        await self.may_time_out.wait()
        self.slow_now -= 1
        raise SaveTimedOut
