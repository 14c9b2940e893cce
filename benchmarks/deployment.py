"""The deployment under test: a database with users, our processes, and their load."""

import itertools
import json
import os
import secrets
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import attrs
import httpx

from payments_adapters.jwt import KeySet, generate_jwks, issue
from payments_adapters.postgres import schema
from payments_adapters.postgres.ledger import PostgresLedger
from payments_adapters.postgres.store import PostgresStore
from payments_core import Email, customer_id, user_id
from payments_core.caller import ADMIN_SCOPE
from payments_core.policy import Policy
from payments_core.use_cases import RecordFacts, RegisterUser
from payments_service.clocks import utc_now
from payments_service.dev.welcome import SAMPLES

USERS_COUNT: Final = 2_000
REQUESTS_MAX: Final = 100_000
# The account that is locked or slow, in the cases that have one.
THEIR_USER: Final = USERS_COUNT


@attrs.frozen
class Bench:
    """A database, its users, and who may call."""

    database_url: str
    # Charges come in the order of their own time, across runs.
    runs: Iterator[int] = attrs.field(factory=itertools.count)
    secret: str = attrs.field(factory=lambda: f"whsec_{secrets.token_hex(24)}")
    jwks: str = attrs.field(factory=lambda: generate_jwks("bench"))

    @property
    def bare_env(self) -> dict[str, str]:
        return {"BENCH_SECRET": self.secret, "BENCH_DATABASE_URL": self.database_url}

    def service_env(self, port: int) -> dict[str, str]:
        return {
            "PAYMENTS_ENV": "development",
            "PAYMENTS_DATABASE_URL": self.database_url,
            "PAYMENTS_STRIPE_WEBHOOK_SECRETS": self.secret,
            "PAYMENTS_JWT_ISSUER": "bench",
            "PAYMENTS_JWT_AUDIENCE": "bench",
            "PAYMENTS_JWT_KEYS": self.jwks,
            "PAYMENTS_PORT": str(port),
            "PAYMENTS_OPS_PORT": str(port + 50),
            "PAYMENTS_LOG_LEVEL": "error",
        }

    def token(self) -> str:
        return issue(
            KeySet.from_jwks(self.jwks),
            issuer="bench",
            audience="bench",
            user_id=user_id("admin"),
            email=None,
            scopes=[ADMIN_SCOPE],
            at=datetime.now(UTC),
            lifetime=timedelta(hours=1),
            jti=uuid.uuid4().hex,
        )

    def next_run(self) -> dict[str, Any]:
        number = next(self.runs)
        return {
            "run": f"run{number}",
            "created_from": int(time.time()) + number * REQUESTS_MAX,
        }

    async def prepare(self, users: Iterable[int] = range(USERS_COUNT + 1)) -> None:
        await schema.upgrade(self.database_url)
        async with PostgresStore(self.database_url).opened() as store:
            register = RegisterUser(
                RecordFacts(PostgresLedger(store), utc_now, utc_now, Policy())
            )
            for number in users:
                await register(
                    user_id(f"user{number}"),
                    Email.of(f"user{number}@example.com"),
                    customer_id(f"cus_{number}"),
                )


@contextmanager
def processes(
    commands: Sequence[tuple[list[str], Mapping[str, str]]], ports: Sequence[int]
) -> Iterator[list[int]]:
    """Run commands until the end of the block, once their ports answer."""
    pids = []
    with ExitStack() as stack:
        for arguments, env in commands:
            process = subprocess.Popen(  # noqa: S603  # our own commands
                [sys.executable, *arguments], env={**os.environ, **env}
            )
            pids.append(process.pid)
            stack.callback(process.wait)
            stack.callback(process.terminate)
        for port in ports:
            _until_answering(port)
        yield pids


def _until_answering(port: int) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            httpx.get(f"http://127.0.0.1:{port}/")
        except httpx.TransportError:
            time.sleep(0.05)
        else:
            return
    raise TimeoutError(port)


def load(**plan: Any) -> dict[str, float]:
    """Put a load on the service; no request may be refused."""
    result = open_load(**plan)
    refusals = result.pop("refusals")
    # Except those of the account that is locked or slow.
    if refusals:
        raise RuntimeError(f"{result['refused']:.0f} requests were refused: {refusals}")
    return result


def open_load(**plan: Any) -> dict[str, Any]:
    """Put a load on the service that may refuse requests."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.load"],
        input=json.dumps(plan).encode(),
        capture_output=True,
        check=True,
    )
    result: dict[str, Any] = json.loads(done.stdout)
    return result


@contextmanager
def attack(**plan: Any) -> Iterator[None]:
    """Attack the service until the end of the block, once all attackers are there."""
    with subprocess.Popen(
        [sys.executable, "-m", "benchmarks.hostile"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        try:
            # Both pipes exist: they were requested.
            stdin, stdout = process.stdin, process.stdout
            if stdin is not None and stdout is not None:
                stdin.write(json.dumps(plan).encode())
                stdin.close()
                stdout.readline()
            yield
        finally:
            process.kill()


def rss_mb(pids: Sequence[int]) -> float:
    """Return the memory of processes, in megabytes."""
    pages = sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in pids)
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def webhook_body() -> str:
    event = json.loads((SAMPLES / "charge_succeeded.json").read_bytes())
    event["id"] = "evt_@ID@"
    event["data"]["object"] |= {"id": "ch_@ID@", "customer": "cus_@CUSTOMER@"}
    text = json.dumps(event)
    return text.replace(str(event["data"]["object"]["created"]), "@CREATED@")


def cpu_s(parents: Sequence[int]) -> float:
    """Return the processor time of processes and their children, in seconds."""
    ticks = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(stat.parent.name) in parents or int(fields[1]) in parents:
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


@attrs.frozen
class Meter:
    """The processes whose processor time counts: our two, and Postgres."""

    service: Sequence[int]
    postgres: Sequence[int]

    def around(self, run: Callable[[], dict[str, float]]) -> dict[str, float]:
        """Run, and add the cost of one request, in microseconds of processor time."""
        before = cpu_s(self.service), cpu_s(self.postgres)
        rss_before = rss_mb(self.service)
        result = run()
        after = cpu_s(self.service), cpu_s(self.postgres)
        return result | {
            "grown_mb": rss_mb(self.service) - rss_before,
            "service_us": (after[0] - before[0]) / result["count"] * 1e6,
            "postgres_us": (after[1] - before[1]) / result["count"] * 1e6,
        }
