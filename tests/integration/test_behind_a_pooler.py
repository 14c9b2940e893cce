"""Service and worker as processes, behind a pooler as `test_pooler.py` describes it."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import pytest

from support import databases
from support.dev_service import wait_for
from support.pooler import pooled
from support.service import ServiceProcess, World, free_port, running

PAYLOAD: Final = Path(__file__).parents[1] / "payloads" / "charge_succeeded.json"
USERS_COUNT: Final = 24
_JOBS: Final = """
insert into jobs (kind, subject, reason, due_at, asked, attempts, lease_no, dead)
select 'subscription', 'sub_' || n, 'a test', now(), 1, 0, 0, false
from generate_series(1, 20) as n
"""


@pytest.fixture
def services(database_url: str) -> Iterator[list[ServiceProcess]]:
    with pooled(database_url) as through, running(World(through), 2) as services:
        yield services


def test_two_services_and_a_worker_share_the_sessions(
    services: list[ServiceProcess],
) -> None:
    """
    Many at once: users, webhooks, reads, lists and work, and no answer is a 500.
    """
    world = services[0].world

    def use(number: int) -> set[int]:
        service, user = services[number % 2], f"user-{number}"
        event = json.loads(PAYLOAD.read_text())
        event["id"] = f"evt_{number}"
        event["data"]["object"]["id"] = f"ch_{number}"
        event["data"]["object"]["metadata"] = {"user_id": user}
        token, body = world.admin(), {"email": f"{user}@example.com"}
        paid, status = f"/users/{user}", f"/users/{user}/payment-status"
        return {
            service.call("PUT", paid, token, body).status_code,
            service.post_event(event).status_code,
            *(service.call("GET", status, token).status_code for _ in range(3)),
            service.call("GET", "/tokens/invalidated", token).status_code,
            service.call(
                "POST",
                "/tokens/invalidate",
                token,
                {"token": world.token(user)},
            ).status_code,
        }

    with ThreadPoolExecutor(8) as pool:
        found = set[int]().union(*pool.map(use, range(USERS_COUNT)))
    assert found == {200}
    answers = [services[0].status(f"user-{it}") for it in range(USERS_COUNT)]
    assert {it["payment_status"] for it in answers} == {"paid"}

    command = [sys.executable, "-m", "payments_service", "worker", "--once"]
    env = world.env(free_port(), free_port())
    for _ in range(3):
        assert subprocess.run(command, env=env, check=False, timeout=60).returncode == 0


def test_a_worker_behind_a_pooler_works_until_it_is_told_to_end(
    database_url: str, tmp_path: Path
) -> None:
    """
    It claims, links and prepares days again and again, and nothing fails.
    """
    log = tmp_path / "worker.log"
    databases.run(databases.execute(database_url, _JOBS))
    with (
        pooled(database_url) as through,
        log.open("wb") as written,
        subprocess.Popen(
            [sys.executable, "-m", "payments_service", "worker"],
            env=World(through).env(free_port(), free_port()),
            stderr=written,
        ) as process,
    ):
        try:
            wait_for(lambda: process.poll() is not None or _all_claimed(database_url))
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0
        finally:
            process.kill()
    said = log.read_text()
    assert "working" in said
    assert "failed" not in said


def _all_claimed(dsn: str) -> bool:
    query = "select count(*) from jobs where lease_no = 0"
    ((count,),) = databases.run(databases.fetch(dsn, query))
    return bool(count == 0)
