"""Prometheus itself scrapes real processes, and its alerts report their faults.

`make prove` runs it. How long each condition must hold is tested by the unit tests
(`test_alerts.py`): here an alert counts as soon as Prometheus says that it is pending.
"""

import json
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import attrs
import httpx
import pytest

from support import databases
from support.alerts import groups, queries
from support.events import SUCCEEDED, event
from support.ops_scrapes import worker_running
from support.plain_http import TLS
from support.profiles import only_in_prove
from support.service import ServiceProcess, World, free_port, start

pytestmark = only_in_prove

WITHIN_S: Final = 60.0
POLL_S: Final = 0.5
# A new database: neither was due yet.
AT_FIRST: Final = {"PaymentsUpkeepNeverDone"}
_CUT: Final = """
select pg_terminate_backend(pid) from pg_stat_activity where datname = $1
"""


@attrs.frozen
class Prometheus:
    url: str

    def _get(self, path: str, **params: str) -> Any:
        url = f"{self.url}/api/v1/{path}"
        answer = httpx.get(url, params=params, timeout=10, verify=TLS)
        return answer.raise_for_status().json()["data"]

    def alerts(self) -> set[str]:
        return {it["labels"]["alertname"] for it in self._get("alerts")["alerts"]}

    def troubles(self) -> list[str]:
        """Return the rules that cannot be evaluated on the existing series."""
        found = self._get("rules")["groups"]
        all_ = [rule for group in found for rule in group["rules"]]
        assert len(all_) == sum(len(it) for it in groups().values())
        return [f"{it['name']}: {it['lastError']}" for it in all_ if "lastError" in it]

    def value(self, query: str) -> list[Any]:
        found: list[Any] = self._get("query", query=query)["result"]
        return found


def until(condition: Callable[[], bool], what: Callable[[], object]) -> None:
    deadline = time.monotonic() + WITHIN_S
    while not condition():
        assert time.monotonic() < deadline, what()
        threading.Event().wait(POLL_S)


@contextmanager
def prometheus(folder: Path, ports: dict[str, int]) -> Iterator[Prometheus]:
    """Run Prometheus with the rules, scraping the ops ports every second."""
    program = shutil.which("prometheus")
    if program is None:
        pytest.skip("NOT TESTED: prometheus (Debian's package) is not here")
    document = [{"name": name, "rules": it} for name, it in groups().items()]
    (folder / "rules.json").write_text(json.dumps({"groups": document}))
    targets = [
        {
            "targets": [f"127.0.0.1:{port}"],
            "labels": {
                "namespace": "production",
                "component": component,
                "pod": f"{component}-1",
            },
        }
        for component, port in ports.items()
    ]
    config = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": ["rules.json"],
        "scrape_configs": [{"job_name": "payments-gateway", "static_configs": targets}],
    }
    (folder / "prometheus.json").write_text(json.dumps(config))
    address = f"127.0.0.1:{free_port()}"
    process = subprocess.Popen(
        [
            program,
            f"--config.file={folder / 'prometheus.json'}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address={address}",
            "--log.level=error",
        ]
    )
    try:
        yield Prometheus(f"http://{address}")
    finally:
        process.terminate()
        process.wait(WITHIN_S)


def _answers(watching: Prometheus) -> bool:
    try:
        return len(watching.value("up == 1")) == 2
    except httpx.HTTPError:
        return False


def test_prometheus_tells_what_becomes_of_real_processes(
    postgres: str, database_url: str, tmp_path: Path
) -> None:
    """
    Nothing at first; then a database that refuses logins, a worker and a service that
    are killed. All rules and queries can be evaluated on the exported series.
    """
    world = World(database_url)
    name = urlsplit(database_url).path.removeprefix("/")
    service = start(world)
    with worker_running(world) as worker:
        try:
            ports = {"http": service.ops_port, "worker": worker.port}
            with prometheus(tmp_path, ports) as watching:
                until(lambda: _answers(watching), lambda: "Prometheus does not answer")
                _is_well(watching, service)

                _let_in(postgres, name, allowed=False)
                _tells(watching, {"PaymentsBacklogUnknown", "PaymentsTokensRefused"})
                _let_in(postgres, name, allowed=True)
                until(lambda: watching.alerts() <= AT_FIRST, watching.alerts)

                worker.process.kill()
                _tells(watching, {"PaymentsNoWorker"})
                service.kill()
                _tells(watching, {"PaymentsNoWorker", "PaymentsDown"})
        finally:
            service.kill()


def _is_well(watching: Prometheus, service: ServiceProcess) -> None:
    for number in range(10):
        assert service.post_event(event(SUCCEEDED, str(number))).is_success
    seen = 'sum(payments_webhooks_verified_total{secret="1"}) == 10'
    until(lambda: bool(watching.value(seen)), lambda: watching.value(seen))
    assert watching.troubles() == []
    for it in queries():
        watching.value(it.expression)
    assert watching.alerts() <= AT_FIRST


def _let_in(server: str, name: str, *, allowed: bool) -> None:
    word = str(allowed).lower()
    statement = f'alter database "{name}" allow_connections {word}'
    databases.run(databases.execute(server, statement))
    if not allowed:
        databases.run(databases.fetch(server, _CUT, name))


def _tells(watching: Prometheus, alerts: set[str]) -> None:
    until(lambda: alerts <= watching.alerts(), watching.alerts)
