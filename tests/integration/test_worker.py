"""`payments worker` as a process: its liveness, its metrics, and its end on SIGTERM."""

import asyncio
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from payments_adapters.postgres.call_budget import CALLS_AT_ONCE, PostgresCallBudget
from payments_adapters.postgres.store import PostgresStore
from support.metrics_document import WORKER, families
from support.plain_http import TLS
from support.service import World, free_port

NOON = datetime(2026, 1, 10, 12, tzinfo=UTC)


def _lives(url: str, process: "subprocess.Popen[bytes]") -> bool:
    """Return once it is live, or has ended."""
    while process.poll() is None:
        try:
            return httpx.get(f"{url}/livez", timeout=5, verify=TLS).is_success
        except httpx.TransportError:
            try:
                process.wait(0.05)
            except subprocess.TimeoutExpired:
                continue
    return False


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_f07_a_worker_ends_when_it_is_told_to(
    database_url: str, number: signal.Signals
) -> None:
    """
    Without half-finished work, and without an error; it needs no settings that verify
    callers.
    """
    ops_port = free_port()
    env = World(database_url).env(free_port(), ops_port)
    process = subprocess.Popen(
        [sys.executable, "-m", "payments_service", "worker"],
        env={
            name: text
            for name, text in env.items()
            if "_JWT_" not in name and name != "PAYMENTS_STRIPE_WEBHOOK_SECRETS"
        },
    )
    url = f"http://127.0.0.1:{ops_port}"
    try:
        assert _lives(url, process)
        assert httpx.get(f"{url}/readyz", timeout=5, verify=TLS).is_success
        text = httpx.get(f"{url}/metrics", timeout=5, verify=TLS).text
        # A counter has its suffix in the format of Prometheus.
        wanted = [it.name for it in families() if WORKER in it.shown_by]
        assert [it for it in wanted if f"# TYPE {it}" not in text] == []
        assert "payments_jobs_due 0.0" in text
        assert "payments_feed_lag_seconds 0.0" in text
        process.send_signal(number)
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait()


@pytest.mark.anyio
async def test_f26_all_pods_share_one_budget(database_url: str) -> None:
    """
    Used up by one process it is used up for all, each endpoint separately, and it
    refills; a pod with a slow clock takes no more than exists.
    """
    async with PostgresStore(database_url).opened() as store:
        one, other = PostgresCallBudget(store), PostgresCallBudget(store)

        async def takes(pod: PostgresCallBudget, endpoint: str, at: datetime) -> bool:
            taken = await pod.take(endpoint, per_s=2.0, now=at)
            assert taken in ({endpoint: 1}, {})
            return bool(taken)

        two_of_three = [True, True, False]
        assert [await takes(one, "prices", NOON) for _ in range(3)] == two_of_three
        assert not await takes(other, "prices", NOON)
        assert not await takes(other, "prices", NOON - timedelta(minutes=5))
        assert await takes(other, "customers", NOON)
        assert await takes(other, "prices", NOON + timedelta(seconds=0.5))
        assert not await takes(one, "prices", NOON + timedelta(seconds=0.5))
        later = NOON + timedelta(hours=1)
        assert [await takes(one, "prices", later) for _ in range(3)] == two_of_three


@pytest.mark.anyio
async def test_f26_a_pod_takes_several_calls_only_of_what_is_plentiful(
    database_url: str,
) -> None:
    """
    However they are taken, no more of an endpoint than its budget: a few at once while
    half of it is left, then one by one, and only for the requested endpoint.
    """
    async with PostgresStore(database_url).opened() as store:
        one, other = PostgresCallBudget(store), PostgresCallBudget(store)
        names = ("customers", "invoices", "prices")

        async def take(pod: PostgresCallBudget, endpoint: str) -> dict[str, int]:
            beside = [name for name in names if name != endpoint]
            taken = await pod.take(endpoint, beside=beside, per_s=15.0, now=NOON)
            return dict(taken)

        few = dict.fromkeys(names, CALLS_AT_ONCE)
        assert [await take(it, "prices") for it in (one, other, one)] == [few] * 3
        # Six of each are left.
        for endpoint in names:
            rest = [await take(it, endpoint) for it in (one, other) * 4]
            assert rest == [{endpoint: 1}] * 6 + [{}] * 2


@pytest.mark.anyio
async def test_f26_what_is_left_of_the_budget_is_told_by_endpoint(
    database_url: str,
) -> None:
    """
    As far as it has refilled by then, and never above its capacity.
    """
    async with PostgresStore(database_url).opened() as store:
        pod = PostgresCallBudget(store)
        assert not await pod.left(per_s=15.0, now=NOON)
        await pod.take("prices", per_s=15.0, now=NOON)
        await pod.take_spare("customers", per_s=15.0, now=NOON)

        left = 15.0 - CALLS_AT_ONCE
        found = await pod.left(per_s=15.0, now=NOON)
        assert found == {"customers": 14.0, "prices": left}
        later = NOON + timedelta(seconds=0.1)
        found = await pod.left(per_s=15.0, now=later)
        assert found == {"customers": 15.0, "prices": left + 1.5}


@pytest.mark.anyio
async def test_f26_what_is_read_in_the_background_leaves_half_of_the_budget(
    database_url: str,
) -> None:
    """
    Also of a budget that does not exist yet; the other half is available to others, and
    until it has refilled nothing is to spare.
    """
    async with PostgresStore(database_url).opened() as store:
        one, other = PostgresCallBudget(store), PostgresCallBudget(store)

        async def spare(at: datetime, endpoint: str = "customers") -> list[bool]:
            pods = (one, other) * 8
            return [await pod.take_spare(endpoint, per_s=15.0, now=at) for pod in pods]

        assert await spare(NOON) == [True] * 8 + [False] * 8
        assert sum(await spare(NOON, "charges")) == 8
        taken = [await it.take("customers", per_s=15.0, now=NOON) for it in [one] * 8]
        assert taken == [{"customers": 1}] * 7 + [{}]
        assert sum(await spare(NOON + timedelta(seconds=0.4))) == 0
        assert sum(await spare(NOON + timedelta(seconds=0.6))) == 2
        assert sum(await spare(NOON + timedelta(hours=1))) == 8


@pytest.mark.anyio
async def test_f26_pods_that_ask_at_once_get_no_more_than_there_is(
    database_url: str,
) -> None:
    """
    Not even of budgets that do not exist yet.
    """
    async with PostgresStore(database_url, 16).opened() as store:
        pods = [PostgresCallBudget(store) for _ in range(16)]
        names = ("customers", "invoices")
        taken = await asyncio.gather(
            *(
                pod.take(names[number % 2], beside=names[::-1], per_s=15.0, now=NOON)
                for number, pod in enumerate(pods * 4)
            )
        )
        for name in names:
            assert 1 <= sum(it.get(name, 0) for it in taken) <= 15
            last = await pods[0].take(name, per_s=15.0, now=NOON)
            assert sum(it.get(name, 0) for it in (*taken, last)) <= 15
