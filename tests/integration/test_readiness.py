"""The answer of /readyz if the database answers, only reads, or is silent."""

from pathlib import Path
from typing import Final

import attrs
import pytest

from payments_adapters.postgres.store import PostgresStore
from payments_adapters.postgres.writability import Writability
from payments_core.errors import StoreUnavailable
from payments_service.http.health import READ_ONLY_S_MAX, NotReady, Readiness, Reason
from support import databases
from support.service import free_port

pytestmark = pytest.mark.anyio

_LITTLE_S: Final = 0.5


@attrs.define
class Lease:
    """Whether it is known which tokens are revoked."""

    runs: bool = True

    def __call__(self) -> bool:
        return self.runs


def reason_of(told: NotReady | None) -> str | None:
    return told.reason.value if told else None


async def test_f11_a_process_without_writes_is_not_ready_after_five_seconds(
    database_url: str,
) -> None:
    """
    A failover may be quicker. If the lease of revocations ended meanwhile it is not
    ready at once, and the answer gives that reason.
    """
    times, lease = [100.0], Lease()
    writability = Writability(lambda: times[-1])
    await databases.only_read(database_url, on=True)
    async with PostgresStore(database_url, 1, writability=writability).opened() as it:
        readiness = Readiness(it, is_leased=lease)
        told = [await readiness.reason_against()]
        times.append(times[-1] + READ_ONLY_S_MAX - _LITTLE_S)
        told.append(await readiness.reason_against())
        lease.runs = False
        told.append(await readiness.reason_against())
        lease.runs = True
        times.append(times[-1] + 2 * _LITTLE_S)
        told.append(await readiness.reason_against())

    read_only = "database_read_only"
    assert [reason_of(it) for it in told] == [None, None, read_only, read_only]


async def test_each_reason_is_a_word_and_the_first_one_is_told(
    database_url: str,
) -> None:
    """
    A draining process gives no other reason; the database's state has the lowest
    precedence.
    """
    lease, told, trouble = Lease(runs=False), list[str | None](), ["no keys yet of A"]
    store = PostgresStore(database_url, 1)
    readiness = Readiness(
        store, {Reason.KEYS_NOT_READ: lambda: trouble[-1]}, is_leased=lease
    )

    async def ask() -> None:
        told.append(reason_of(await readiness.reason_against()))

    async with store.opened():
        await ask()
        trouble.append("")
        await ask()
        readiness.draining = True
        await ask()
        readiness.draining, lease.runs = False, True
        await ask()
    assert told == ["keys_not_read", "revocations_not_read", "draining", None]


async def test_f17_a_silent_database_is_unavailable_and_not_read_only() -> None:
    """
    The state of its writes is unknown.
    """
    dsn = f"postgresql://nobody@127.0.0.1:{free_port()}/none"
    async with PostgresStore(dsn, 1).opened() as store:
        told = await Readiness(store).reason_against()
        with pytest.raises(StoreUnavailable):
            await store.ping()
    assert reason_of(told) == "database_unavailable"


def test_each_reason_is_explained() -> None:
    """
    In `docs/lifecycle.md`, with the remedy.
    """
    page = (Path(__file__).parents[2] / "docs/lifecycle.md").read_text()
    explained = [line.split("`")[1] for line in page.splitlines() if line[:3] == "| `"]
    assert sorted(explained) == sorted(it.value for it in Reason)
