"""Claims of work: jobs, deliveries, loops; and the budget of calls."""

from collections.abc import Sequence

import attrs

from contracts.examples import NOON
from payments_adapters.postgres.call_budget import PostgresCallBudget
from payments_core.deliveries import Delivery, DeliveryKey, SendResult
from payments_core.job import Job
from support.hot_calls.adapters import HOUR, PAGE, World
from support.many_rows import ENDPOINT


async def claimed_job(it: World) -> Job:
    claimed = await it.on.queue.claim(now=NOON, limit=PAGE)
    return next(one.work for one in claimed if isinstance(one.work, Job))


async def released(it: World) -> None:
    job = await claimed_job(it)
    await it.on.queue.release(job, job.released(NOON))


async def _sent(it: World) -> Sequence[Delivery]:
    return await it.on.deliveries.claim(ENDPOINT, now=NOON, limit=2)


async def finish_delivery(it: World) -> None:
    for one in await _sent(it):
        assert await it.on.deliveries.finish(one)


async def release_delivery(it: World) -> None:
    failed = SendResult(is_delivered=False, reason="503")
    for one in await _sent(it):
        assert await it.on.deliveries.release(one, one.failed(NOON, failed, 0.5))


async def claim_loop(it: World) -> None:
    name = f"loop{it.mark}"
    await it.on.loops.find(name)
    if claimed := await it.on.loops.claim(name, now=NOON, lease=HOUR):
        assert await it.on.loops.save(attrs.evolve(claimed, position="1"))


async def call_budget(it: World) -> None:
    await PostgresCallBudget(it.store).take("endpoint", per_s=1, now=NOON)


async def spare_budget(it: World) -> None:
    await PostgresCallBudget(it.store).take_spare("endpoint", per_s=1, now=NOON)


async def calls_left(it: World) -> None:
    await PostgresCallBudget(it.store).left(per_s=1, now=NOON)


def delivery_key(position: int) -> DeliveryKey:
    return DeliveryKey(ENDPOINT, position)
