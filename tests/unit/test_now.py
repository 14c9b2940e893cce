"""Each clock has its own use, if the gateway's time is not the real time.

This is so in `payments dev` after the sandbox's time was advanced: here by two months.
"""

from datetime import datetime, timedelta

import attrs
import pytest

from contracts.examples import NOON, NOW, a_job, a_job_key, a_report, a_subscription
from payments_adapters.memory import FixedClock
from payments_core.changes import JobFinish
from payments_core.decide import set_aside
from payments_core.entitlement import PaymentStatus
from payments_core.errors import GatewayNotAttempted, OperationInProgress
from payments_core.events import SyncNeeded
from payments_core.facts import APPLIED
from payments_core.intent import LEASE, REISSUE_AFTER, IntentKind, IntentState
from payments_core.job import BACK_OFF
from payments_core.jobs.run_work import PAUSE
from payments_core.lease import Lease
from payments_core.subscription import A_DAY
from payments_core.use_cases import OperationRequest
from support.deciding import found, reported
from support.deployment import ADA, BEGINNING, Crash, Deployment
from support.inprocess import Trouble
from support.operations import GOOD, card, start, subscribed
from support.subscribed import fetched, kept_with, only

AHEAD = timedelta(days=60)
NOW_AHEAD = attrs.evolve(NOW, at=NOON + AHEAD)
MINUTE = timedelta(minutes=1)


def test_what_is_asked_for_is_due_by_the_real_time() -> None:
    """
    At once, or a moment later; also a finished job that is requested again.
    """
    kept = attrs.evolve(kept_with(), now=NOW_AHEAD)
    claimed = a_job().claimed(NOON)
    wish = SyncNeeded(job=a_job_key("sub_2"), reason="because", after=MINUTE)
    group = only(kept.decide(attrs.evolve(found(wish), job=claimed)).groups)

    assert [it.lease.due_at for it in group.jobs] == [NOON + MINUTE]
    assert group.finished == (JobFinish(claimed, claimed.finished(), APPLIED, NOON),)


def test_what_could_not_be_applied_is_tried_again_by_the_real_time() -> None:
    """
    Its job has failed once, now.
    """
    decided = set_aside(reported(1, None), NOW_AHEAD.system, ZeroDivisionError())

    assert decided.changes is not None
    [job] = decided.changes.jobs
    assert NOON < job.lease.due_at < NOON + AHEAD


@pytest.mark.parametrize(("at", "system"), [(NOON + AHEAD, NOON), (NOON, NOON + AHEAD)])
def test_a_sync_is_overdue_by_the_gateways_time(at: datetime, system: datetime) -> None:
    """
    A sync that found nothing newer is repeated after a real day, if it is overdue
    still.
    """
    now = attrs.evolve(NOW, at=at, system=system)
    kept = attrs.evolve(kept_with(a_subscription(a_report())), now=now)
    claimed = a_job().claimed(now.system)
    source = attrs.evolve(found(fetched(a_report())), job=claimed)
    [finish] = only(kept.decide(source).groups).finished

    again = claimed.released(system + A_DAY)
    assert finish.after == (again if at > NOON else claimed.finished())


async def two_clocks(deployment: Deployment) -> None:
    """Let two months pass at the gateway, and no real time."""
    deployment.system_clock = FixedClock(BEGINNING)
    await deployment.advance(AHEAD)


@pytest.mark.anyio
async def test_an_operation_is_as_old_as_the_gateway_sees_it_and_leased_by_ours() -> (
    None
):
    """
    So are its calls: the gateway's time decides how long their keys are remembered.
    """
    async with Deployment.opened() as deployment:
        await deployment.register()
        await two_clocks(deployment)
        deployment.line.plan(Trouble.ERROR_NOT_MADE, after=2)
        open_ = await start(deployment, GOOD)

        [kept] = [it for it in deployment.intents if it.id == open_.id]
        assert kept.created_at == BEGINNING + AHEAD
        assert {it.first_sent_at for it in kept.calls} == {BEGINNING + AHEAD}
        assert BEGINNING < kept.lease.due_at < BEGINNING + A_DAY
        assert kept.open


@pytest.mark.anyio
async def test_who_runs_an_operation_has_it_for_half_a_real_minute() -> None:
    """
    From its beginning, and from each call; no other process continues it meanwhile.
    """
    async with Deployment.opened() as deployment:
        await deployment.register()
        await two_clocks(deployment)
        seen: list[Lease] = []
        deployment.engine.watch = lambda *_: seen.extend(
            it.lease for it in deployment.open_intents
        )
        await start(deployment, GOOD)

        assert {(it.due_at, it.until) for it in seen} == {
            (BEGINNING, BEGINNING + LEASE)
        }


@pytest.mark.anyio
async def test_an_operation_that_another_runs_is_in_progress_for_real_seconds() -> None:
    """
    Two months later at the gateway its lease is still valid.
    """
    async with Deployment.opened() as deployment:
        await deployment.register()
        deployment.system_clock = FixedClock(BEGINNING)
        request = OperationRequest(
            user_id=ADA, kind=IntentKind.CREATE_CUSTOMER, key="order-1"
        )
        deployment.restart(5)
        with pytest.raises(Crash):
            await deployment.execute(request)
        deployment.restart()
        assert deployment.open_intents
        await deployment.advance(AHEAD)

        with pytest.raises(OperationInProgress):
            await deployment.execute.find(request)
        deployment.system_clock.advance(LEASE)
        assert (await deployment.execute.find(request)).executed is None


@pytest.mark.anyio
async def test_an_operation_is_given_up_by_the_gateways_time() -> None:
    """
    It was never begun, and two months have passed there.
    """
    async with Deployment.opened() as deployment:
        await deployment.register()
        deployment.system_clock = FixedClock(BEGINNING)
        deployment.line.down = True
        never_begun = await card(deployment, GOOD)
        deployment.line.down = False
        await deployment.advance(AHEAD)
        deployment.system_clock.advance(LEASE)
        await deployment.work()

        ended = await deployment.intent(never_begun.id)
        assert ended is not None
        assert ended.state is IntentState.ABANDONED


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("error", "wait"),
    [(GatewayNotAttempted("busy"), PAUSE), (ZeroDivisionError(), BACK_OFF.first)],
)
async def test_a_job_that_could_not_be_done_waits_in_real_time(
    error: Exception, wait: timedelta
) -> None:
    """
    If the gateway is busy, and if it fails.
    """
    async with Deployment.opened() as deployment:
        await two_clocks(deployment)
        job = a_job(due_at=BEGINNING)
        deployment.database.tables.jobs[job.key] = job
        work = deployment.run_work

        async def fail(_: str) -> None:
            raise error

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(deployment.gateway, "subscription", fail, raising=False)
            for claimed in await work.claim(1):
                await work(claimed)
        assert deployment.database.tables.jobs[job.key].lease.due_at == BEGINNING + wait


@pytest.mark.anyio
async def test_an_operation_waits_in_real_time_for_what_the_gateway_may_still_do() -> (
    None
):
    """
    An hour of the two has passed at the gateway: a real one is left.
    """
    async with Deployment.opened() as deployment:
        await deployment.register()
        await card(deployment, GOOD)
        await two_clocks(deployment)
        deployment.line.plan(Trouble.ERROR_NOT_MADE)
        open_ = await start(deployment)
        await deployment.advance(REISSUE_AFTER / 2)
        deployment.system_clock.advance(LEASE)
        again = deployment.system_clock.now
        await deployment.work()

        waiting = await deployment.intent(open_.id)
        assert waiting is not None
        assert waiting.lease.due_at == again + REISSUE_AFTER / 2

        await deployment.advance(REISSUE_AFTER / 2)
        deployment.system_clock.advance(REISSUE_AFTER / 2)
        await deployment.work()
        done = await deployment.intent(open_.id)
        assert done is not None
        assert done.state is IntentState.SUCCEEDED


@pytest.mark.anyio
async def test_a_worker_claims_by_the_real_time_what_is_overdue_by_the_gateways() -> (
    None
):
    """
    No event reported a renewal two months ago; a busy gateway is left alone for
    seconds.
    """
    async with Deployment.opened() as deployment:
        await deployment.register()
        await subscribed(deployment)
        await deployment.work()
        await two_clocks(deployment)
        jobs = deployment.database.tables.jobs
        leases = {key: it.lease for key, it in jobs.items()}

        claimed = await deployment.run_work.claim(9)
        assert [it.work.lease.until for it in claimed] == [BEGINNING + MINUTE]
        assert jobs.keys() == leases.keys()


@pytest.mark.anyio
async def test_what_is_recorded_is_recorded_at_the_gateways_time() -> None:
    """
    A change of the status has the gateway's day, and the status is that of the day.
    """
    async with Deployment.opened() as deployment:
        await deployment.register()
        await subscribed(deployment)
        deployment.system_clock = FixedClock(BEGINNING)
        [method] = deployment.engine.world.all("payment_method")
        deployment.decline(method["id"])
        while (await deployment.account()).payment_status is PaymentStatus.PAID:
            await deployment.advance(timedelta(days=1))
            await deployment.hear()

        entries = deployment.database.tables.account_log.values()
        at = max(it.at for it in entries)
        assert at.date() == deployment.clock.now.date()
        assert at > BEGINNING + timedelta(days=27)
