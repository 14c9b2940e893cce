"""The end of access is recorded, wherever the process that records it stops."""

from contextlib import suppress
from datetime import timedelta
from typing import Any, Final

import attrs
import pytest

from contracts.feed import ALL
from contracts.stores import moved
from payments_adapters.memory import (
    MemoryAccountHistory,
    MemoryFeedReader,
    MemoryFeedSequencer,
    MemoryLedger,
)
from payments_core.changes import Lookup, SaveResult
from payments_core.entitlement import PaymentSummary, PrepaidMonths
from payments_core.errors import StoreUnavailable
from payments_core.feed import BEGINNING
from payments_core.job import JobState
from payments_core.linking import LinkKeys
from payments_core.months import months_after
from support.deployment import ADA, Break, Crash, Deployment
from support.deployment import BEGINNING as NOW

pytestmark = pytest.mark.anyio

ENDED: Final = "access ended"
# More than the number of calls in any of these breaks.
MANY: Final = 60


async def pay(deployment: Deployment, months: int, *, give: bool = True) -> None:
    """Give Ada this many months from the beginning on."""
    ledger = MemoryLedger(deployment.database)
    lookup = Lookup(keys=LinkKeys(frozenset({ADA})))
    [before] = (await ledger.load(lookup)).accounts
    summary = PaymentSummary(prepaid=PrepaidMonths(NOW, months))
    after = attrs.evolve(before, summary=summary)
    [saved] = await ledger.save([moved(before, after)], at=deployment.clock.now)
    assert saved is SaveResult.SAVED
    if give:
        await sequence(deployment)


async def sequence(deployment: Deployment) -> None:
    sequencer: Any = deployment.fuse.around(MemoryFeedSequencer(deployment.database))
    await sequencer.give(ALL)


async def process(deployment: Deployment) -> None:
    """Give positions, and do what is due, as a worker does."""
    for step in (sequence, Deployment.work, sequence):
        with suppress(StoreUnavailable):
            await step(deployment)


def pass_months(deployment: Deployment, months: int) -> None:
    grace = deployment.policy.grace
    deployment.clock.now = months_after(NOW, months) + grace


async def causes(deployment: Deployment) -> list[str]:
    page = await MemoryFeedReader(deployment.database).page(BEGINNING, ALL)
    return [it.cause for it in page.changes]


@pytest.mark.parametrize("how", Break)
async def test_f01_an_end_is_told_once_wherever_the_process_ends(how: Break) -> None:
    """
    Before each call of a port and after it: killed, frozen, or without an answer. The
    next process records it, or finds that it was recorded.
    """
    for at in range(1, MANY):
        async with Deployment.opened() as deployment:
            await deployment.register()
            await pay(deployment, 1, give=False)
            pass_months(deployment, 1)
            deployment.restart(at, how)
            with suppress(Crash):
                await process(deployment)
            was_reached = deployment.fuse.reached
            deployment.restart()
            deployment.clock.advance(timedelta(minutes=2))
            await process(deployment)
            await process(deployment)

            assert (await causes(deployment)).count(ENDED) == 1, at
            tables = deployment.database.tables
            assert tables.access_ends == {}
            assert {it.state for it in tables.jobs.values()} == {JobState.DONE}
        if not was_reached:
            break
    else:
        pytest.fail("it is still broken")
    assert at > 10


async def test_a_renewal_before_the_job_is_no_end() -> None:
    """
    No end is recorded, and the later end is known.
    """
    async with Deployment.opened() as deployment:
        await deployment.register()
        await pay(deployment, 1)
        pass_months(deployment, 1)
        await pay(deployment, 2, give=False)
        await deployment.work()
        await sequence(deployment)
        await deployment.work()
        assert ENDED not in await causes(deployment)

        pass_months(deployment, 2)
        await deployment.work()
        await sequence(deployment)
        await deployment.work()
        assert (await causes(deployment)).count(ENDED) == 1


async def test_what_is_known_of_a_past_moment_stays_so() -> None:
    """
    Entitled until the end and no longer, by the rows before and after it.
    """
    async with Deployment.opened() as deployment:
        await deployment.register()
        await pay(deployment, 1)
        pass_months(deployment, 1)
        end = deployment.clock.now
        deployment.clock.advance(timedelta(hours=1))
        await deployment.work()
        history = MemoryAccountHistory(deployment.database)
        now = deployment.clock.now
        for moment, entitled, cause in [
            (end - timedelta(microseconds=1), True, "changed"),
            (end, False, "changed"),
            (now, False, ENDED),
            (now + timedelta(days=9), False, ENDED),
        ]:
            row = await history.verdict_at(ADA, moment)
            assert row is not None
            assert row.cause == cause
            assert row.standing(moment).entitled is entitled
