"""The cost of PgBouncer: the same service through it and without it, in turns.

Behind it no prepared statement is reused, so each statement takes a second round trip.
Run with `tests` on the path, as `make bench` does: its settings are there.
"""

import argparse
import asyncio
import sys
from collections.abc import Iterator
from typing import Final

import attrs

from benchmarks.cases import Case, Cases
from benchmarks.deployment import Bench, Meter, processes
from payments_service.dev.postgres import embedded_postgres
from support.pgbouncer import find_pgbouncer, through_pgbouncer

FIRST_PORT: Final = 18_640
PROCESSES_COUNT: Final = 2
# As many as both processes have to the server without it.
SESSIONS_COUNT: Final = 24
CONNECTIONS: Final = (1, 64)


def cases(through: Cases, without: Cases) -> Iterator[Case]:
    for connections in CONNECTIONS:
        for made in (Cases.ingest, Cases.reads):
            here, there = made(through, connections), made(without, connections)
            yield attrs.evolve(
                here,
                name=f"{here.key} through PgBouncer | without",
                limit=there.ours,
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4.0)
    options = parser.parse_args()
    path = find_pgbouncer()
    if path is None:
        print("pooler: not measured: no pgbouncer (Debian has it)", file=sys.stderr)
        return
    with (
        embedded_postgres(durable=True) as postgres,
        through_pgbouncer(path, postgres.dsn, SESSIONS_COUNT) as dsn,
    ):
        bench = Bench(postgres.dsn)
        asyncio.run(bench.prepare())
        behind = attrs.evolve(bench, database_url=dsn)
        ours = [FIRST_PORT + number for number in range(PROCESSES_COUNT)]
        theirs = [FIRST_PORT + 10 + number for number in range(PROCESSES_COUNT)]
        serve = ["-m", "payments_service", "serve"]
        commands = [
            *((serve, behind.service_env(port)) for port in ours),
            *((serve, bench.service_env(port)) for port in theirs),
        ]
        with processes(commands, [*ours, *theirs]) as pids:
            meter = Meter(pids[:PROCESSES_COUNT], [postgres.pid])
            without = Cases(bench, theirs, [], options.seconds)
            for case in cases(Cases(bench, ours, [], options.seconds), without):
                told = case.measured(options.rounds, meter)
                print(
                    f"{told['name']:<48} {told['connections']:>3} conn"
                    f"  {told['ours']['per_second']:>7,.0f}"
                    f" of {told['limit']['per_second']:>7,.0f}/s"
                    f"  p50 {told['ours']['p50_ms']:.1f}"
                    f" of {told['limit']['p50_ms']:.1f} ms  x {told['ratio']:.2f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
