"""The doctor, while another session holds a lock."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import asyncpg
import pytest

from faults.doctor.deployment import Deployed
from faults.doctor.remedies import pasted
from support.databases import direct

_WAITING: Final = """
select count(*) from pg_stat_activity
where wait_event_type = 'Lock' and datname = current_database()
"""
_READ: Final = (
    *("alembic_version", "checkpoints", "deployment", "erased_keys", "erasures"),
    *("jobs", "webhook_events"),
)


@contextmanager
def locked(url: str, *tables: str, until: int | None = None) -> Iterator[None]:
    """Lock tables until the end, or until so many sessions wait for them at once."""
    held, over = threading.Event(), threading.Event()

    async def hold() -> None:
        async with (
            asyncpg.create_pool(direct(url), min_size=2, max_size=2) as pool,
            pool.acquire() as watcher,
            pool.acquire() as holder,
            holder.transaction(),
        ):
            await holder.execute(f"lock table {', '.join(tables)}")
            held.set()
            if until is None:
                await asyncio.to_thread(over.wait)
            while not over.is_set() and await watcher.fetchval(_WAITING) < until:
                pass

    holding = threading.Thread(target=asyncio.run, args=[hold()])
    holding.start()
    held.wait()
    try:
        yield
    finally:
        over.set()
        holding.join()


def test_checks_wait_for_locks_side_by_side(
    deployed: Deployed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Each on a connection of its own: a waiting check delays no other.
    """
    for module in ("store", "schema"):
        name = f"payments_adapters.postgres.{module}.COMMAND_TIMEOUT_S"
        monkeypatch.setattr(name, 60.0)
    # Schema, mode, erasure key, events, jobs, back-fill, sweep, drift, erasures.
    with locked(deployed.url, *_READ, until=9):
        answer = deployed.doctor()
    assert answer.code == 0, answer.out


@pytest.mark.parametrize(
    ("table", "check"), [("jobs", "jobs"), ("alembic_version", "schema")]
)
def test_a_check_that_cannot_look_because_of_a_lock_is_named(
    deployed: Deployed, table: str, check: str
) -> None:
    """With the query that finds the session that holds it; all other checks pass."""
    name = deployed.url.rpartition("/")[2]
    # Every wait is reported at once: as otherwise after five seconds.
    deployed.sql(f"alter database {name} set lock_timeout = 1")
    try:
        with locked(deployed.url, table):
            answer = deployed.doctor("--json")
    finally:
        deployed.sql(f"alter database {name} reset lock_timeout")

    [found] = [it for it in answer.json["items"] if it["status"] != "ok"]
    assert (answer.code, found["check"], found["status"]) == (7, check, "unknown")
    assert "locked" in found["text"]
    assert pasted(found["remedy"])
