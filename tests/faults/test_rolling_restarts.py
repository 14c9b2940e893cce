"""A release, or a crash, behind a balancer: callers notice nothing.

Three serving processes and two workers, on one database and one sandbox; webhooks,
sales, reads and readers of the feed go through haproxy all the time.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import cycle, islice
from pathlib import Path
from typing import Final

import anyio
import attrs
import pytest
from typing_extensions import override

from faults.load import SENDERS, Failure, Load
from faults.payers import assert_theirs_counted_once
from support import balancer, fleet
from support.fleet import Fleet
from support.profiles import PROVES, only_in_prove
from support.sandbox import conforming
from support.service import ServiceProcess
from support.service_with_sandbox import (
    BASIC,
    Payer,
    SalesWorld,
    ServiceWithSandbox,
    stocked,
)
from support.wire import wired

pytestmark = pytest.mark.anyio

# `make test` runs a part of it, with fewer processes, because each takes seconds to
# start.
RESTARTS: Final = int(os.environ.get("RESTARTS", "100" if PROVES else "10"))
SERVING, WORKERS = (3, 2) if PROVES else (2, 1)
KILLS: Final = 20
DRAIN_S: Final = 1
# Each sender, buyer and reader of the feed has one request in flight.
IN_FLIGHT_MAX: Final = SENDERS + 2


@attrs.frozen
class RollingWorld(SalesWorld):
    """With a balancer that needs a while to take a process out."""

    @override
    def env(self, port: int = 0, ops_port: int = 0) -> dict[str, str]:
        env = SalesWorld.env(self, port, ops_port)
        return {**env, "PAYMENTS_DRAIN_S": str(DRAIN_S)}


@attrs.frozen
class Rolled:
    """The running processes; `stack` is the same behind the balancer."""

    fleet: Fleet
    stack: ServiceWithSandbox
    load: Load


@contextmanager
def rolled(
    database_url: str, folder: Path, *, tries_others: bool = False
) -> Iterator[Rolled]:
    now = datetime.now(UTC).replace(microsecond=0)
    with conforming(seed=7, start=now) as sandbox, wired(sandbox) as wire:
        world = RollingWorld(
            database_url, stripe_base=sandbox.url, stripe_key=sandbox.api_key
        )
        with (
            fleet.running(world, serving=SERVING, workers=WORKERS) as running,
            balancer.balanced(running.ports, folder, tries_others=tries_others) as port,
        ):
            first = running.serving[0]
            front = ServiceProcess(world, port, first.ops_port, first.process)
            stack = stocked(sandbox, wire, front)
            sandbox.deliver_to(f"{front.url}/webhooks/stripe", world.secrets[0])
            yield Rolled(running, stack, Load(world, port, stack.product))


async def under_load(load: Load, do: Callable[[], None]) -> None:
    """Do something in a thread under load."""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(load.run)
        try:
            await anyio.to_thread.run_sync(do)
        finally:
            load.stopped = True


def assert_each_sold_once(stack: ServiceWithSandbox, users: list[str]) -> None:
    """Assert that each buyer has one subscription, and paid once for it."""
    stack.settle()
    for user in users:
        buyer = Payer(stack, user, stack.world.token(user, email=f"{user}@example.com"))
        assert len(buyer.customers) == 1
        assert [it["status"] for it in buyer.subscriptions] == ["active"]
        assert buyer.taken == [BASIC]
        assert buyer.standing == ("paid", True)


async def assert_nothing_lost_or_doubled(it: Rolled) -> None:
    load = it.load
    await assert_theirs_counted_once(load.world.database_url, load.everybody)
    await anyio.to_thread.run_sync(assert_each_sold_once, it.stack, load.sold_to)
    assert load.everybody
    assert load.sold_to


async def test_f07_restarts_in_turn_fail_no_request(
    database_url: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """
    SIGTERM to one process after the other, serving ones and workers: each request gets
    the expected answer, nothing is lost, and nothing is done twice.
    """
    with rolled(database_url, tmp_path) as it:
        # A worker after each serving process.
        order = [
            one
            for pair in zip(it.fleet.serving, cycle(it.fleet.workers))
            for one in pair
        ]

        def restart_in_turn() -> None:
            for one in islice(cycle(order), RESTARTS):
                it.fleet.restart(one)

        await under_load(it.load, restart_in_turn)
        _record(record_property, it.load, f"{RESTARTS} restarts")
        assert it.load.failures == []
        await assert_nothing_lost_or_doubled(it)


@only_in_prove
async def test_f01_f07_kills_in_turn_fail_what_is_in_flight(
    database_url: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """
    SIGKILL instead: no request fails that began after the process had ended, and what
    is sent again is done once.
    """
    kills: list[tuple[float, float]] = []
    with rolled(database_url, tmp_path, tries_others=True) as it:

        def kill_in_turn() -> None:
            for one in islice(cycle(it.fleet.all), KILLS):
                before_s = time.monotonic()
                one.process.kill()
                one.process.wait()
                kills.append((before_s, time.monotonic()))
                one.start()

        await under_load(it.load, kill_in_turn)
        _record(record_property, it.load, f"{KILLS} kills")
        assert [it for it in it.load.failures if not _was_in_flight(it, kills)] == []
        assert len(it.load.failures) <= KILLS * IN_FLIGHT_MAX
        await assert_nothing_lost_or_doubled(it)


def _was_in_flight(failure: Failure, kills: list[tuple[float, float]]) -> bool:
    """Say whether a failed request had begun when a process was killed."""
    return any(
        failure.began_s <= dead_s and failure.ended_s >= before_s
        for before_s, dead_s in kills
    )


def _record(
    record_property: Callable[[str, object], None], load: Load, what: str
) -> None:
    requests = ", ".join(f"{n} {name}" for name, n in sorted(load.answers.items()))
    record_property(
        "figure",
        f"{what}: {load.answers.total()} requests answered ({requests}), "
        f"{len(load.failures)} failed; {len(load.everybody)} payers, "
        f"{len(load.sold_to)} sales",
    )
