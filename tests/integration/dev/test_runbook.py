"""The runbook's commands, run against a service, or checked if they need a cluster."""

import itertools
import json
import re
import shlex
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from payments_service.cli.exit_codes import Exit
from support import databases
from support.alerts import ROOT, RUNBOOK
from support.commands import Dev
from support.dev_service import DevProcess

PAGE: Final = RUNBOOK.read_text()
_LINES: Final = re.findall(r"(?m)^    (\S.*)$", PAGE)
COMMANDS: Final = sorted({it for it in _LINES if it.startswith("payments ")})
QUERIES: Final = sorted({it for it in _LINES if it.startswith("select ")})
CLUSTER: Final = sorted({it for it in _LINES if it.startswith("kubectl ")})
# The placeholders in a line, and their values at the service of this test.
STANDS_FOR: Final = {
    "EVENT": "evt_runbook",
    "USER": "runbook",
    "JOB": "subscription:sub_runbook",
}
_FAILING: Final = """
insert into jobs (kind, subject, reason, due_at, asked, attempts, lease_no, dead)
values ('subscription', 'sub_runbook', 'it failed', '2999-01-01', 1, 12, 0, false)
on conflict (kind, subject) do nothing
"""
# A command that looks for problems may find one.
FINE: Final = (Exit.DONE, Exit.FOUND)


@pytest.fixture(scope="module")
def there(dev: DevProcess) -> Dev:
    """A user, a failing job, and an event that is quarantined."""
    dev.register("runbook")
    service = Dev({"PAYMENTS_DEV_DIR": str(dev.folder)}, dev.folder)
    databases.run(databases.execute(service.facts["database_url"], _FAILING))
    answer = service.send("runbook", amount="a lot")
    assert "quarantined" in answer.out, answer.err
    return service


def _as_there(line: str, now: datetime) -> str:
    # Other tests of this service have advanced its clock.
    days = {"YYYY-MM-DD": f"{now - timedelta(days=7):%Y-%m-%d}"}
    for word, value in {**STANDS_FOR, **days}.items():
        line = re.sub(rf"\b{word}\b", value, line)
    return line


def test_every_line_is_run_or_read_here() -> None:
    """
    A line of the runbook is a command of ours, a query, or for a cluster.
    """
    assert len(COMMANDS) > 25
    assert sorted({*COMMANDS, *QUERIES, *CLUSTER}) == sorted(set(_LINES))


def test_the_commands_of_the_runbook_work(there: Dev, tmp_path: Path) -> None:
    """
    Each line verbatim except for ids; a command that looks for problems may find one.
    """
    state = json.loads(there.run("sandbox", "state", "--json").out)
    now = datetime.fromtimestamp(state["now"], UTC)
    for line in COMMANDS:
        words = shlex.split(_as_there(line, now))[1:]
        words = [it.replace("new-secret", f"{tmp_path}/secret") for it in words]
        if "roll-secret" in words:
            # At least one must exist: that of the sandbox.
            url = there.facts["base_url"]
            words = [it.replace("https://pay.example.com", url) for it in words]
        answer = there.run(*words)
        assert answer.code in FINE, (line, answer.out, answer.err)


def test_the_queries_of_the_runbook_work(there: Dev) -> None:
    """
    Against the current schema.
    """
    for query in QUERIES:
        databases.run(databases.fetch(there.facts["database_url"], query))


def _deployed() -> Iterator[dict[str, Any]]:
    for path in sorted((ROOT / "deploy" / "base").glob("*.yaml")):
        yield from yaml.safe_load_all(path.read_text())


def test_what_the_runbook_tells_a_cluster_is_of_ours() -> None:
    """
    Workloads, labels and the namespace of each line are those of `deploy/`, and a
    command that is run in a pod is one that was run here.
    """
    names = {it["metadata"]["name"] for it in _deployed() if it["kind"] == "Deployment"}
    labels = {
        f"{name}={value}"
        for it in _deployed()
        if it["kind"] == "Deployment"
        for name, value in it["spec"]["template"]["metadata"]["labels"].items()
    }

    assert len(CLUSTER) > 10
    for line in CLUSTER:
        words = shlex.split(line)
        assert words[1:3] == ["--namespace", "payments-gateway-production"], line
        named = re.findall(r"\bdeployments?[/ ](\S+)", line)
        assert set(named) <= names, line
        selected = [
            after for it, after in itertools.pairwise(words) if it == "--selector"
        ]
        assert set(selected) <= labels, line
        if "payments" in words:
            inside = shlex.join(words[words.index("payments") :])
            assert inside in COMMANDS, line


def test_more_pods_are_as_many_as_the_autoscalers_allow() -> None:
    """
    An autoscaler undoes what `kubectl scale` set, and has its own maximum.
    """
    scalers = {
        it["metadata"]["name"]: it["spec"]
        for it in _deployed()
        if it["kind"] == "HorizontalPodAutoscaler"
    }
    patches = [
        re.findall(r"patch horizontalpodautoscaler (\S+) --patch '(.+)'", line)[0]
        for line in CLUSTER
        if " patch " in line
    ]

    assert not [line for line in CLUSTER if " scale " in line]
    assert {name for name, _ in patches} == scalers.keys()
    for name, patch in patches:
        most = scalers[name]["maxReplicas"]
        assert json.loads(patch) == {"spec": {"minReplicas": most}}, name
        assert scalers[name]["minReplicas"] < most


def test_what_writes_a_file_is_said_to_be_run_elsewhere() -> None:
    """
    A pod has a read-only root: the section of such a command says so.
    """
    sections = re.split(r"(?m)^## ", PAGE)[1:]
    writing = [it for it in sections if re.search(r"(?m)^    .*--secret-file", it)]

    assert len(writing) > 1
    for section in writing:
        assert "on your own machine" in " ".join(section.split()), section[:40]
    for line in CLUSTER:
        assert "--secret-file" not in line
