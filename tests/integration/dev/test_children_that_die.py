"""A child process of `payments dev` that dies is started again."""

import json
import os
import signal
from pathlib import Path
from typing import Any

from support.dev_service import (
    payments,
    pid_of,
    processes_of,
    readiness,
    running,
    wait_for,
)


def test_a_sandbox_that_dies_is_said_and_started_again(
    database_url: str, tmp_path: Path
) -> None:
    """
    Killed, and its restart delayed: the service reports it, and is not ready; after the
    restart it has the same address and the same data, and the service is ready.
    """
    folder = tmp_path / ".payments"
    journal, aside = folder / "sandbox.jsonl", folder / "aside.jsonl"
    name = "customer.subscription.created"

    def state() -> Any:
        done = payments("sandbox", "state", "--json", folder=folder)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    with running(folder, PAYMENTS_DATABASE_URL=database_url) as dev:
        payments("sandbox", "trigger", name, "--user", "kim", folder=folder)
        payments("sandbox", "advance", "2 months", folder=folder)
        before, facts = state(), dev.facts
        wait_for(lambda: readiness(dev) == (200, ""))
        # The running process keeps its file open; the next one cannot read this.
        journal.rename(aside)
        journal.write_text("nonsense\n")
        os.kill(pid_of(folder, "sandbox serve"), signal.SIGKILL)

        wait_for(
            lambda: readiness(dev) == (503, "the sandbox died and is being restarted")
        )
        wait_for(lambda: "the sandbox did not start" in dev.messages)
        assert readiness(dev) == (503, "the sandbox died and is being restarted")
        aside.rename(journal)
        wait_for(lambda: readiness(dev) == (200, ""))
        after = state()
        advanced = payments("sandbox", "advance", "1 day", folder=folder)
        assert dev.facts == facts
        assert dev.interrupt() == 0

    # A job that calls the sandbox meanwhile may report it, too.
    said = [it for it in dev.messages.splitlines() if it.startswith("payments: ")]
    died = "payments: the sandbox died (killed by SIGKILL); restarting now"
    assert said[0] == died
    assert said[-1] == "payments: the sandbox is up again"
    assert before["now"] <= after["now"]
    for it in (before, after):
        # What arrived before does not matter here.
        del it["now"], it["waiting_deliveries"]
    assert after == before
    assert advanced.returncode == 0
    assert processes_of(folder) == []


def test_a_postgres_that_dies_is_said_and_started_again(tmp_path: Path) -> None:
    """
    At the same address, with its data; the service continues.
    """
    folder = tmp_path / ".payments"
    died = "payments: the embedded Postgres died (exit code 1); restarting now"
    again = "payments: the embedded Postgres is up again"

    with running(folder) as dev:
        dev.register("stays")
        server = folder / "postgres" / "data" / "postmaster.pid"
        os.kill(int(server.read_text().split()[0]), signal.SIGKILL)
        wait_for(lambda: again in dev.messages)
        wait_for(lambda: readiness(dev) == (200, ""))

        assert dev.status("stays").status_code == 200
        assert dev.interrupt() == 0
    # The service may notice it first.
    assert f"{died}\n" in dev.messages.partition(again)[0]
    assert processes_of(folder) == []
