"""Durable ingest and reads, each beside its limit, measured in one run.

The machine's speed drifts, so a limit and what is held against it take turns, and
ratios are medians over the pairs of rounds.
"""

import argparse
import asyncio
import itertools
import json
import os
import secrets
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any, Final

import attrs
import httpx

from payments_adapters.jwt import KeySet, generate_jwks, issue
from payments_adapters.postgres import schema
from payments_adapters.postgres.embedded import embedded_postgres
from payments_adapters.postgres.store import PostgresStore
from payments_adapters.postgres.unit_of_work import PostgresUnitsOfWork
from payments_core import Email, customer_id, user_id
from payments_core.revocation import ADMIN_SCOPE
from payments_core.use_cases import RegisterUser
from payments_service.cli.webhook import SAMPLES
from payments_service.http import PREFIX

LATEST: Final = Path(__file__).with_name("latest.json")
USERS_COUNT: Final = 2_000
FIRST_PORT: Final = 18_400
PROCESSES_COUNT: Final = 2
REQUESTS_MAX: Final = 40_000


@attrs.frozen
class Bench:
    """A database, its users, and who may call."""

    database_url: str
    # Charges come in the order of their own time, from run to run.
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
            "PAYMENTS_LOG_LEVEL": "warning",
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

    async def prepare(self) -> None:
        await schema.upgrade(self.database_url)
        async with PostgresStore(self.database_url).opened() as store:
            register = RegisterUser(
                PostgresUnitsOfWork(store), lambda: datetime.now(UTC)
            )
            for number in range(USERS_COUNT):
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
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.load"],
        input=json.dumps(plan).encode(),
        capture_output=True,
        check=True,
    )
    result: dict[str, float] = json.loads(done.stdout)
    if result["refused"]:
        raise RuntimeError(f"{result['refused']:.0f} requests were refused: {plan}")
    return result


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
    """Whose processor time counts: our two processes, and Postgres."""

    service: Sequence[int]
    postgres: Sequence[int]

    def around(self, run: Callable[[], dict[str, float]]) -> dict[str, float]:
        """Run, and add what one request cost, in microseconds of a processor."""
        before = cpu_s(self.service), cpu_s(self.postgres)
        result = run()
        after = cpu_s(self.service), cpu_s(self.postgres)
        return result | {
            "service_us": (after[0] - before[0]) / result["count"] * 1e6,
            "postgres_us": (after[1] - before[1]) / result["count"] * 1e6,
        }


@attrs.frozen
class Case:
    """Something of ours, and the limit that it is held against."""

    name: str
    connections: int
    ours: Callable[[], dict[str, float]]
    limit: Callable[[], dict[str, float]]

    def measure(self, rounds: int, meter: Meter) -> dict[str, Any]:
        pairs = [(self.limit(), meter.around(self.ours)) for _ in range(rounds)]
        return {
            "name": self.name,
            "connections": self.connections,
            "ours": _medians([ours for _, ours in pairs]),
            "limit": _medians([limit for limit, _ in pairs]),
            "ratio": median(o["per_second"] / n["per_second"] for n, o in pairs),
        }


def _medians(runs: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {name: median(run[name] for run in runs) for name in runs[0]}


def cases(
    bench: Bench, ours: Sequence[int], bare: Sequence[int], seconds: float
) -> Iterator[Case]:
    bearer = f"Authorization: Bearer {bench.token()}\r\n"
    signed = {
        "body": webhook_body(),
        "secret": bench.secret,
        "customers_count": USERS_COUNT,
        "seconds": seconds,
        "requests_max": REQUESTS_MAX,
    }
    for connections in (1, 64):
        yield Case(
            "durable ingest | bare route that verifies",
            connections,
            lambda c=connections: load(  # type: ignore[misc]  # bound now
                **signed,
                **bench.next_run(),
                ports=ours,
                connections=c,
                path=f"{PREFIX}/webhooks/stripe",
            ),
            lambda c=connections: load(  # type: ignore[misc]  # bound now
                **signed, run="bare", ports=bare, connections=c, path="/webhook"
            ),
        )
    for connections in (1, 64):
        yield Case(
            "GET payment-status | bare route, one SELECT",
            connections,
            lambda c=connections: load(  # type: ignore[misc]  # bound now
                ports=ours,
                connections=c,
                seconds=seconds,
                headers=bearer,
                path=f"{PREFIX}/users/user7/payment-status",
            ),
            lambda c=connections: load(  # type: ignore[misc]  # bound now
                ports=bare, connections=c, seconds=seconds, path="/read/user7"
            ),
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--json", action="store_true", help=f"write {LATEST.name}")
    options = parser.parse_args()
    with embedded_postgres(durable=True) as postgres:
        bench = Bench(postgres.dsn)
        asyncio.run(bench.prepare())
        ours = [FIRST_PORT + number for number in range(PROCESSES_COUNT)]
        bare = [FIRST_PORT + 10 + number for number in range(PROCESSES_COUNT)]
        commands: list[tuple[list[str], Mapping[str, str]]] = [
            *(
                (["-m", "payments_service", "serve"], bench.service_env(p))
                for p in ours
            ),
            *((["-m", "benchmarks.bare", str(p)], bench.bare_env) for p in bare),
        ]
        with processes(commands, [*ours, *bare]) as pids:
            meter = Meter(pids[:PROCESSES_COUNT], [postgres.pid])
            results = [
                _told(case.measure(options.rounds, meter))
                for case in cases(bench, ours, bare, options.seconds)
            ]
    if options.json:
        LATEST.write_text(json.dumps(results, indent=2) + "\n")


def _told(result: dict[str, Any]) -> dict[str, Any]:
    ours, limit = result["ours"], result["limit"]
    print(
        f"{result['name']:<44} {result['connections']:>3} conn"
        f"  {ours['per_second']:>7,.0f}/s of {limit['per_second']:>7,.0f}/s"
        f"  p50 {ours['p50_ms']:.1f} p99 {ours['p99_ms']:.1f} ms"
        f"  ratio {result['ratio']:.2f}"
        f"  service {ours['service_us']:.0f} Postgres {ours['postgres_us']:.0f} us",
        flush=True,
    )
    return result


if __name__ == "__main__":
    main()
