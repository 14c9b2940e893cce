"""Durable ingest and reads, each compared with its limit, measured in one run."""

import argparse
import asyncio
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from benchmarks import growth, start
from benchmarks.cases import Case, Cases
from benchmarks.deployment import Bench, Meter, processes
from payments_service.dev.postgres import embedded_postgres

LATEST: Final = Path(__file__).with_name("latest.json")
FIRST_PORT: Final = 18_400
PROCESSES_COUNT: Final = 2
KEYS: Final = (
    *("ingest", "steady", "commit", "duplicates", "hot"),
    *("reads", "explain", "feed", "locked", "slow", "overload", "hostile"),
)
# Each starts its own processes; `growth` takes minutes, most of them to fill tables.
APART: Final = ("start", "growth")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--json", action="store_true", help=f"write {LATEST.name}")
    parser.add_argument("--only", nargs="+", choices=(*KEYS, *APART), default=KEYS)
    options = parser.parse_args()
    if "growth" in options.only:
        _say("growth: filling two databases, for minutes")
        growth.main(FIRST_PORT + 20, options.rounds, options.seconds)
    with embedded_postgres(durable=True) as postgres:
        bench = Bench(postgres.dsn)
        if set(options.only) - {"growth"}:
            _say("registering users")
            asyncio.run(bench.prepare())
        if "start" in options.only:
            _say("start: starting processes, one after the other")
            start.main(bench, FIRST_PORT + 30, options.rounds)
        if not set(options.only) & set(KEYS):
            return
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
                _measured(case, options.rounds, meter)
                for case in Cases(bench, ours, bare, options.seconds).all()
                if case.key in options.only
            ]
    if options.json:
        LATEST.write_text(json.dumps(results, indent=2) + "\n")


def _say(what: str) -> None:
    print(f"{what} …", file=sys.stderr, flush=True)


def _measured(case: Case, rounds: int, meter: Meter) -> dict[str, Any]:
    _say(f"{case.key}: {case.name}")
    return _told(case.measured(rounds, meter))


def _told(result: dict[str, Any]) -> dict[str, Any]:
    ours, limit = result["ours"], result["limit"]
    print(
        f"{result['name']:<48} {result['connections']:>3} conn"
        f"  {ours['per_second']:>7,.0f} of {limit['per_second']:>7,.0f}/s"
        f"  p50 {ours['p50_ms']:.1f} of {limit['p50_ms']:.1f}"
        f"  p99 {ours['p99_ms']:.1f} of {limit['p99_ms']:.1f} ms"
        f"  {result['measure']} x {result['ratio']:.2f}"
        f"  service {ours['service_us']:.0f} Postgres {ours['postgres_us']:.0f} us",
        flush=True,
    )
    if ours.get("their_count"):
        print(
            f"{'':<48} refused: {ours['refused']:.0f} of the others,"
            f" {ours['their_refused']:.0f} of its {ours['their_count']:.0f}"
        )
    if "after_p99_ms" in ours:
        print(
            f"{'':<48} refused: {ours['refused']:,.0f} of {ours['offered']:,.0f},"
            f" memory {ours['grown_mb']:+.0f} MB; at half of it at once afterwards:"
            f" p99 {ours['after_p99_ms']:.1f} ms, {ours['after_refused']:.0f} refused"
        )
    return result


if __name__ == "__main__":
    main()
