"""The metrics of the rules and of the dashboard are those that the processes export."""

import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

import attrs
import kubernetes_validate
import pytest
import yaml
from prometheus_client import Metric

from support import databases
from support.alert_cases import CASES
from support.alerts import (
    COMPONENT,
    DASHBOARD,
    HEALTHY,
    OF_TARGETS,
    PODS,
    ROOT,
    RULES,
    Matcher,
    UnitTests,
    named,
    promtool,
    queries,
    rules,
)
from support.events import SUCCEEDED, event
from support.metrics_document import families
from support.ops_scrapes import scraped as scrape
from support.ops_scrapes import worker_running
from support.service import World, running

MINUTES: Final = 60
_LEGEND: Final = re.compile(r"\{\{\s*(\w+)\s*\}\}")
_OF_LABELS: Final = re.compile(r"\$labels\.(\w+)")
_SUFFIXES: Final = {
    "counter": ("_total",),
    "histogram": ("_bucket", "_sum", "_count"),
    "gauge": ("",),
}
Yaml = dict[str, Any]


@cache
def shown() -> Mapping[str, frozenset[str]]:
    """Return each metric as Prometheus sees it, with its labels."""
    found = {"up": frozenset[str]()}
    for family in families():
        for suffix in _SUFFIXES[family.type]:
            more = {"le"} if suffix == "_bucket" else set[str]()
            found[f"{family.name}{suffix}"] = frozenset({*family.labels, *more})
    return found


def expressions() -> Iterator[tuple[str, str]]:
    """Yield each expression of rules and dashboard, with the text that shows it."""
    for rule in rules():
        told = " ".join(_OF_LABELS.findall(rule["annotations"]["summary"]))
        yield rule["expr"], told
    for query in queries():
        yield query.expression, " ".join(_LEGEND.findall(query.legend))


def test_each_metric_that_is_asked_for_is_one() -> None:
    """
    By name, in the rules and in the dashboard; so is each metric of a scenario.
    """
    asked = {name for it, _ in expressions() for name in named(it).metrics}
    played = {re.split(r"\{", it.series)[0] for it in HEALTHY}

    assert len(asked) > 30
    assert asked - shown().keys() == set()
    assert played - shown().keys() == set()
    # Each metric of a rule has its usual values in the scenarios.
    needed = {name for rule in rules() for name in named(rule["expr"]).metrics}
    assert needed - played == set()


def test_each_label_that_is_asked_for_is_one_of_its_metric() -> None:
    """
    Where series are selected, grouped, named in a legend or in a message.
    """
    for expression, told in expressions():
        found = named(expression)
        for it in found.matchers:
            assert it.label in shown()[it.metric] | OF_TARGETS, (expression, it)
        there = set[str]().union(*(shown()[name] for name in found.metrics))
        assert found.grouped <= there | OF_TARGETS, expression
        made = set(re.findall(r'label_replace\(.+, "(\w+)", "\w', expression))
        assert set(told.split()) <= found.grouped | made, expression
    for usual in HEALTHY:
        metric, _, inside = usual.series.partition("{")
        assert set(re.findall(r'(\w+)="', inside)) == shown()[metric], usual.series


def test_what_grows_is_a_counter_and_what_is_compared_is_none() -> None:
    """
    A rate of a gauge and the plain value of a counter are meaningless.
    """
    for expression, _ in expressions():
        bare = re.sub(r"\{[^}]*\}", "", expression)
        grows = set(re.findall(r"\b(?:rate|increase)\(\s*(\w+)", bare))
        assert all(it.endswith(("_total", "_bucket")) for it in grows), expression
        others = named(expression).metrics - grows
        # A new series is found by its value alone.
        new = {"payments_http_requests_total"} if "unless" in expression else set()
        assert not {it for it in others - new if it.endswith("_total")}, expression


def test_the_queries_of_the_dashboard_can_be_read(tmp_path: Path) -> None:
    """
    By Prometheus itself.
    """
    recorded = [
        {"record": f"query_{number}", "expr": it.expression}
        for number, it in enumerate(queries())
    ]
    file = tmp_path / "queries.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "all", "rules": recorded}]}))

    done = subprocess.run(
        [promtool(), "check", "rules", file],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(recorded)} rules found" in done.stdout


@attrs.frozen
class Scraped:
    """The metrics of a service and a worker that have just started."""

    by_component: Mapping[str, list[Metric]]

    def series(self) -> Iterator[dict[str, str]]:
        for component, metrics in self.by_component.items():
            target = {
                "namespace": "fresh",
                "pod": f"{component}-1",
                "job": "payments-gateway",
                "component": component,
            }
            yield _series("up", target, 1.0)
            for metric in metrics:
                for it in metric.samples:
                    yield _series(it.name, {**target, **it.labels}, it.value)

    def values(self, metric: str, label: str) -> set[str]:
        return {
            it.labels[label]
            for metrics in self.by_component.values()
            for family in metrics
            for it in family.samples
            if it.name == metric and label in it.labels
        }


def _series(name: str, labels: Mapping[str, str], value: float) -> dict[str, str]:
    inside = ",".join(f'{label}="{text}"' for label, text in labels.items())
    shown_as = str(value).replace("nan", "NaN")
    return {"series": f"{name}{{{inside}}}", "values": f"{shown_as}+0x{MINUTES}"}


@pytest.fixture(scope="module")
def scraped(postgres: str, template: str) -> Scraped:
    """A service that has taken a webhook and answered callers, and a worker."""
    with (
        databases.copy_of(postgres, template) as dsn,
        worker_running(World(dsn)) as worker,
        running(World(dsn)) as [service],
    ):
        assert service.post_event(event(SUCCEEDED, "1")).is_success
        for path in ("/users", "/feed"):
            assert service.call("GET", path, service.world.admin()).is_success
        return Scraped(
            {"http": scrape(service.ops_url), "worker": scrape(worker.ops_url)}
        )


def test_a_service_and_a_worker_that_just_started_raise_no_alert(
    scraped: Scraped, tmp_path: Path
) -> None:
    """
    Their real metrics, for an hour: nobody has paid yet, and nothing is wrong.
    """
    tests = UnitTests(rules())

    said = tests.run(tmp_path, [tests.quiet(list(scraped.series()), range(5, 60, 5))])

    assert said == ""


def test_what_rules_select_is_spelt_as_it_is_shown(scraped: Scraped) -> None:
    """
    Label values, where the processes export them from the start.
    """
    # Answers that have not been given yet, and have no series.
    unseen = {("payments_http_requests_total", "status")}
    matchers = {it for expr, _ in expressions() for it in named(expr).matchers}
    of_ours = {it for it in matchers if it.label not in OF_TARGETS | {"le"}}
    looked_at = 0
    for it in of_ours:
        there = scraped.values(it.metric, it.label)
        if (it.metric, it.label) in unseen or not there:
            continue
        looked_at += 1
        assert _finds(it, there), (it, there)

    assert looked_at > 10


def _finds(it: Matcher, values: set[str]) -> bool:
    match it.how:
        case "=" | "!=":
            return it.value in values
        case _:
            return any(re.fullmatch(it.value, value) for value in values)


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> list[Yaml]:
    """Production with the component, as the page explains."""
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("kubectl, which renders the overlays, is not here")
    folder = tmp_path_factory.mktemp("rendered") / "deploy"
    shutil.copytree(ROOT / "deploy", folder)
    file = folder / "overlays" / "production" / "kustomization.yaml"
    text, taken = file.read_text(), "  - ../../components/prometheus\n"
    if "\ncomponents:\n" in text:
        text = text.replace("\ncomponents:\n", f"\ncomponents:\n{taken}")
    else:
        text += f"components:\n{taken}"
    file.write_text(text)
    done = subprocess.run(
        [kubectl, "kustomize", file.parent], capture_output=True, text=True, check=True
    )
    return list(yaml.safe_load_all(done.stdout))


def test_the_page_says_where_the_runbook_is(tmp_path: Path) -> None:
    """
    The page's command, run in a checkout, changes the address in each alert.
    """
    [line] = re.findall(
        r"(?m)^    (sed .+)$", (ROOT / "deploy" / "README.md").read_text()
    )
    copy = tmp_path / RULES.relative_to(ROOT)
    copy.parent.mkdir(parents=True)
    shutil.copy(RULES, copy)

    subprocess.run(["/bin/bash", "-c", line], cwd=tmp_path, check=True)

    assert "git.example.com" not in copy.read_text()
    assert copy.read_text().count("/docs/runbook.md#") == len(rules())


def _one(documents: list[Yaml], kind: str, name: str) -> Yaml:
    [found] = [
        it for it in documents if (it["kind"], it["metadata"]["name"]) == (kind, name)
    ]
    return found


def test_both_workloads_are_scraped_at_their_ops_port(rendered: list[Yaml]) -> None:
    """
    Each target by the label that the rules distinguish; a migration has no such port.
    """
    monitor = _one(rendered, "PodMonitor", "payments-gateway")["spec"]
    [endpoint] = monitor["podMetricsEndpoints"]
    [expression] = monitor["selector"]["matchExpressions"]
    component = "app.kubernetes.io/component"
    pods = [
        it["spec"]["template"] for it in rendered if it["kind"] in ("Deployment", "Job")
    ]
    selected = [
        it
        for it in pods
        if monitor["selector"]["matchLabels"].items()
        <= it["metadata"]["labels"].items()
        and it["metadata"]["labels"].get(component) in expression["values"]
    ]

    assert expression["key"] == component
    assert {it["metadata"]["labels"][component] for it in selected} == set(PODS)
    for pod in selected:
        [container] = pod["spec"]["containers"]
        assert endpoint["port"] in {it["name"] for it in container["ports"]}
        assert pod["metadata"]["labels"][monitor["jobLabel"]] == "payments-gateway"


def test_no_label_of_ours_is_hidden_by_one_of_the_target(rendered: list[Yaml]) -> None:
    """
    Otherwise Prometheus would rename ours. The operator's `endpoint` is dropped for
    that.
    """
    monitor = _one(rendered, "PodMonitor", "payments-gateway")["spec"]
    [endpoint] = monitor["podMetricsEndpoints"]
    dropped = {
        it["regex"] for it in endpoint["relabelings"] if it.get("action") == "labeldrop"
    }
    made = {it["targetLabel"] for it in endpoint["relabelings"] if "targetLabel" in it}
    of_operator = {"namespace", "pod", "container", "job", "instance", "endpoint"}
    ours = set[str]().union(*shown().values())

    assert (of_operator | made) - dropped == OF_TARGETS
    assert ours & OF_TARGETS == set()


def test_the_rules_and_the_dashboard_are_where_they_are_found(
    rendered: list[Yaml],
) -> None:
    """
    The rules are those that were tested; the dashboard has the label of Grafana's
    sidecar.
    """
    rule = _one(rendered, "PrometheusRule", "payments-gateway")
    board = _one(rendered, "ConfigMap", "payments-gateway-dashboard")

    assert rule["spec"] == yaml.safe_load(RULES.read_text())["spec"]
    assert board["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert board["data"] == {"payments-gateway.json": DASHBOARD.read_text()}
    kubernetes_validate.validate(board, kubernetes_validate.latest_version())
    assert {it["metadata"]["namespace"] for it in (rule, board)} == {
        "payments-gateway-production"
    }
    assert len(CASES) >= len(rules())
    assert COMPONENT.is_dir()
