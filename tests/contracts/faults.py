"""A database in memory that fails where it is told to, and can be held up."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime

import attrs
from typing_extensions import override

from payments_adapters.memory import MemoryDatabase, MemoryUnitOfWork
from payments_core.account import PaymentAccount
from payments_core.events import GatewayEvent, Outcome
from payments_core.ports import Findings, PaymentRecord
from payments_core.subscription import Subscription


def no_fault(_: Sequence[PaymentRecord]) -> None:
    """Let everything through."""


@attrs.define(eq=False)
class FaultyDatabase:
    """Raises what `fault` raises, given the payments that are to be kept.

    `batches` counts the events of each transaction. While `may_run` is clear, a
    transaction stands still at its beginning; `running` says that one got there.
    """

    database: MemoryDatabase
    fault: Callable[[Sequence[PaymentRecord]], None] = no_fault
    batches: list[int] = attrs.field(init=False, factory=list)
    running: asyncio.Event = attrs.field(init=False, factory=asyncio.Event)
    may_run: asyncio.Event = attrs.field(init=False, factory=asyncio.Event)

    def __attrs_post_init__(self) -> None:
        self.may_run.set()

    @asynccontextmanager
    async def __call__(self) -> AsyncIterator["FaultyUnitOfWork"]:
        async with self.database():
            yield FaultyUnitOfWork(self.database.tables, self.database, self)


@attrs.define
class FaultyUnitOfWork(MemoryUnitOfWork):
    _faulty: FaultyDatabase

    @override
    async def look_up(self, events: Sequence[GatewayEvent]) -> Findings:
        self._faulty.batches.append(len(events))
        self._faulty.running.set()
        await self._faulty.may_run.wait()
        return await super().look_up(events)

    @override
    async def keep(
        self,
        *,
        events: Sequence[tuple[GatewayEvent, Outcome]] = (),
        accounts: Sequence[PaymentAccount] = (),
        payments: Sequence[PaymentRecord] = (),
        subscriptions: Sequence[Subscription] = (),
        at: datetime,
    ) -> None:
        self._faulty.fault(payments)
        await super().keep(
            events=events,
            accounts=accounts,
            payments=payments,
            subscriptions=subscriptions,
            at=at,
        )
