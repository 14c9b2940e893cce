"""The rules of alerts, and the series of their unit tests.

A scenario is what the pods of an environment show, minute by minute, in the notation of
`promtool test rules`: `0+5x60` grows by 5 a minute, `0x10 1x50` jumps after ten. The
usual values are in `HEALTHY`; a scenario says what differs.
"""

import json
import re
import shutil
import subprocess
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cache
from itertools import takewhile
from pathlib import Path
from typing import Any, Final

import attrs
import pytest
import yaml

ROOT: Final = Path(__file__).parents[2]
COMPONENT: Final = ROOT / "deploy" / "components" / "prometheus"
RULES: Final = COMPONENT / "rules.yaml"
RUNBOOK: Final = ROOT / "docs" / "runbook.md"
DASHBOARD: Final = COMPONENT / "dashboard.json"
# Labels that Prometheus adds to a pod's: by the PodMonitor, or the operator.
OF_TARGETS: Final = frozenset(
    {"namespace", "pod", "container", "job", "instance", "component"}
)
PODS: Final[Mapping[str, Sequence[str]]] = {
    "http": ("web-1", "web-2"),
    "worker": ("worker-1", "worker-2"),
}
ABSENT: Final = ""
# As usual for ten minutes, and then absent: Prometheus marks it at the next scrape.
GONE: Final = "gone"
_WEBHOOK: Final = 'method="POST",route="/payments-gateway/api/webhooks/stripe"'
_READ: Final = (
    'method="GET",route="/payments-gateway/api/users/{user:str}/payment-status"'
)


@attrs.frozen
class Usual:
    """The constant series of a workload's pods, in a healthy environment."""

    component: str
    series: str
    values: str = "0+0x{n}"


def _histogram(component: str, name: str, labels: str, rates: str) -> Iterator[Usual]:
    """Yield buckets with so many observations a minute: `le:rate`, separated."""
    for it in rates.split():
        le, _, rate = it.partition(":")
        inside = ",".join(filter(None, (labels, f'le="{le}"')))
        yield Usual(component, f"{name}_bucket{{{inside}}}", f"0+{rate}x{{n}}")


def _histograms() -> Iterator[Usual]:
    name = "payments_http_request_duration_seconds"
    for labels in (_WEBHOOK, _READ):
        rates = "0.25:10 0.5:10 1.0:10 2.5:10 10.0:10 +Inf:10"
        yield from _histogram("http", name, labels, rates)
    name = "payments_event_loop_lag_seconds"
    for component in PODS:
        rates = "0.05:60 0.1:60 0.25:60 0.5:60 1.0:60 +Inf:60"
        yield from _histogram(component, name, "", rates)


HEALTHY: Final[Sequence[Usual]] = (
    *(Usual(it, "up", "1x{n}") for it in PODS),
    *(Usual(it, "process_start_time_seconds", "1790000000x{n}") for it in PODS),
    Usual(
        "http", f'payments_http_requests_total{{{_WEBHOOK},status="200"}}', "0+9x{n}"
    ),
    Usual("http", f'payments_http_requests_total{{{_WEBHOOK},status="503"}}'),
    Usual("http", f'payments_http_requests_total{{{_READ},status="200"}}', "0+50x{n}"),
    Usual("http", f'payments_http_requests_total{{{_READ},status="404"}}', "0+5x{n}"),
    Usual("http", f'payments_http_requests_total{{{_READ},status="500"}}'),
    Usual("http", f'payments_http_requests_total{{{_READ},status="503"}}'),
    *_histograms(),
    *(
        Usual("http", f'payments_webhooks_refused_total{{reason="{it}"}}', values)
        for it, values in (
            # Anybody may send one.
            ("signature_mismatch", "0+1x{n}"),
            ("signature_missing", "0+0x{n}"),
            ("signature_malformed", "0+0x{n}"),
            ("signature_stale", "0+0.1x{n}"),
        )
    ),
    Usual("http", 'payments_webhooks_verified_total{secret="1"}', "0+10x{n}"),
    Usual("http", 'payments_requests_shed_total{lane="webhooks"}'),
    Usual("http", "payments_revocations_lease_age_seconds", "0.2x{n}"),
    Usual("http", 'payments_keys_age_seconds{setting="PAYMENTS_JWT_KEYS"}', "60x{n}"),
    Usual("http", 'payments_setting_file_refused{setting="PAYMENTS_JWT_KEYS"}'),
    Usual("http", "payments_cards_declined_total", "0+0.1x{n}"),
    Usual(
        "worker",
        'payments_event_back_fill_events_total{outcome="duplicate"}',
        "0+90x{n}",
    ),
    # The list may be faster than a webhook.
    Usual(
        "worker",
        'payments_event_back_fill_events_total{outcome="applied"}',
        "0+0.05x{n}",
    ),
    Usual("worker", "payments_events_oldest_pending_age_seconds", "2x{n}"),
    Usual("worker", 'payments_events_open{state="quarantined"}'),
    Usual("worker", "payments_jobs_due", "3x{n}"),
    Usual("worker", "payments_jobs_oldest_due_age_seconds", "1x{n}"),
    Usual("worker", "payments_jobs_failing"),
    Usual("worker", 'payments_intents_oldest_age_seconds{state="sent"}', "5x{n}"),
    Usual("worker", 'payments_intents_oldest_age_seconds{state="unknown"}'),
    Usual("worker", "payments_event_back_fill_lag_seconds", "60x{n}"),
    Usual("worker", "payments_sweep_age_seconds", "80000x{n}"),
    Usual("worker", "payments_purge_age_seconds", "3000x{n}"),
    Usual("worker", 'payments_drifts_total{kind="payment_unknown"}'),
    Usual("worker", "payments_feed_lag_seconds", "0.1x{n}"),
    Usual("worker", 'payments_delivery_lag_seconds{endpoint="crm"}', "1x{n}"),
    Usual("worker", 'payments_deliveries_dead{endpoint="crm"}'),
    *(
        usual
        for it in PODS
        for usual in (
            Usual(it, 'payments_gateway_breaker{state="closed"}', "1x{n}"),
            Usual(it, 'payments_gateway_key_refused{what="key"}'),
            Usual(it, 'payments_gateway_key_refused{what="events"}'),
            Usual(it, "payments_database_writable", "1x{n}"),
            Usual(it, 'payments_database_connections{state="used"}', "3x{n}"),
            Usual(it, "payments_database_connections_max", "8x{n}"),
        )
    ),
)


@attrs.frozen
class Scenario:
    """A time, and the differences from `HEALTHY` in an environment.

    A key of `differs` is a series as it stands there, or its beginning, after the name
    of a pod (`web-1 up`) for that pod alone (`web-1 `: all of it).
    """

    minutes: int
    differs: Mapping[str, str] = attrs.field(factory=dict)

    def series(self, environment: str = "production") -> list[dict[str, str]]:
        """Return the input of promtool.

        Raises:
            LookupError: a key of `differs` matches no series.
        """
        used, shown = set[str](), list[dict[str, str]]()
        for usual in HEALTHY:
            for pod in PODS[usual.component]:
                values = usual.values
                for key in self._keys(usual, pod):
                    used.add(key)
                    values = self.differs[key]
                if values == GONE:
                    values = usual.values.replace("{n}", "9") + " stale"
                if values != ABSENT:
                    name = _labelled(usual, environment, pod)
                    values = values.replace("{n}", str(self.minutes))
                    shown.append({"series": name, "values": values})
        if unused := self.differs.keys() - used:
            raise LookupError(unused)
        return shown

    def _keys(self, usual: Usual, pod: str) -> Iterator[str]:
        for key in self.differs:
            if usual.series.startswith(key.removeprefix(f"{pod} ")):
                yield key


def _labelled(usual: Usual, environment: str, pod: str) -> str:
    target = f'namespace="{environment}",pod="{pod}",job="payments-gateway"'
    target += f',component="{usual.component}"'
    name, _, labels = usual.series.rstrip("}").partition("{")
    return f"{name}{{{','.join(filter(None, (target, labels)))}}}"


@attrs.frozen
class Firing:
    """An alert that fires: with these labels and this sentence."""

    alert: str
    summary: str
    labels: Mapping[str, str] = attrs.field(factory=dict)
    namespace: str = "production"


@attrs.frozen
class Case:
    """The alerts at the end of a scenario, none of which fires before.

    Next to production, where they fire, a healthy environment has no alerts.
    """

    scenario: Scenario
    fires: Sequence[Firing]
    # How often the rules are evaluated, in scenarios of many hours.
    every: int = 1

    @property
    def alert(self) -> str:
        return self.fires[0].alert


@cache
def groups() -> Mapping[str, Sequence[Mapping[str, Any]]]:
    """Return the rules by the names of their groups."""
    found = yaml.safe_load(RULES.read_text())["spec"]["groups"]
    return {group["name"]: group["rules"] for group in found}


def rules() -> Sequence[Mapping[str, Any]]:
    """Return the rules of all groups."""
    return [rule for group in groups().values() for rule in group]


@cache
def rule_of(alert: str) -> Mapping[str, Any]:
    [found] = [it for it in rules() if it["alert"] == alert]
    return found


def promtool() -> str:
    """Return the program, or skip the test, and say so."""
    found = shutil.which("promtool")
    if found is None:
        pytest.skip("NOT TESTED: promtool (Debian: prometheus) is not here")
    return found


@attrs.frozen
class UnitTests:
    """Unit tests of these rules, which are evaluated every so many minutes."""

    rules: Sequence[Mapping[str, Any]]
    every: int = 1

    def of(self, case: Case) -> dict[str, Any]:
        """Return a case: the alerts at its end, and no others; none before."""
        end = case.scenario.minutes
        expected = [
            {
                "eval_time": f"{end}m",
                "alertname": rule["alert"],
                "exp_alerts": [
                    _expected(it) for it in case.fires if it.alert == rule["alert"]
                ],
            }
            for rule in self.rules
        ]
        beside = Scenario(case.scenario.minutes).series("development")
        shown = [*case.scenario.series(), *beside]
        before = self._quiet([case.alert], [end - self.every])
        return self._test(case.alert, shown, [*expected, *before])

    def quiet(
        self, series: Sequence[Mapping[str, str]], minutes: Collection[int]
    ) -> dict[str, Any]:
        """Return a test that no alert fires in any of these minutes."""
        names = [it["alert"] for it in self.rules]
        return self._test("silent", series, self._quiet(names, minutes))

    def _quiet(self, alerts: Collection[str], minutes: Collection[int]) -> list[Any]:
        return [
            {"eval_time": f"{minute}m", "alertname": it, "exp_alerts": []}
            for it in alerts
            for minute in minutes
        ]

    def _test(
        self, name: str, series: Sequence[Mapping[str, str]], expected: Sequence[Any]
    ) -> dict[str, Any]:
        return {
            "name": name,
            "interval": "1m",
            "input_series": list(series),
            "alert_rule_test": list(expected),
        }

    def run(self, folder: Path, tests: Sequence[Mapping[str, Any]]) -> str:
        """Run such tests; return the failures that promtool reports."""
        file, rules_file = folder / "tests.json", folder / "rules.json"
        group = {"name": "all", "rules": list(self.rules)}
        # JSON is YAML, and written faster.
        rules_file.write_text(json.dumps({"groups": [group]}))
        document = {
            "rule_files": [str(rules_file)],
            "evaluation_interval": f"{self.every}m",
            "tests": list(tests),
        }
        file.write_text(json.dumps(document))
        done = subprocess.run(
            [promtool(), "test", "rules", file],
            capture_output=True,
            text=True,
            check=False,
        )
        return "" if done.returncode == 0 else done.stdout + done.stderr


def _expected(it: Firing) -> dict[str, Any]:
    rule = rule_of(it.alert)
    namespace = {"namespace": it.namespace} if it.namespace else {}
    return {
        "exp_labels": {**rule["labels"], **namespace, **it.labels},
        "exp_annotations": {**rule["annotations"], "summary": it.summary},
    }


# The names in an expression. It is read by its tokens, which is enough here: promtool
# has parsed it before.
_STRING: Final = r'"(?:[^"\\]|\\.)*"'
_GROUPING: Final = re.compile(
    r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)"
)
_METRIC: Final = re.compile(r"\b(?:(?:payments|process|python)_\w+|up)\b")
_SELECTED: Final = re.compile(rf"\b([a-z]\w*)\{{((?:[^\"}}]|{_STRING})*)\}}")
_MATCHER: Final = re.compile(rf"(\w+)\s*(=~|!~|!=|=)\s*({_STRING})")


@attrs.frozen
class Matcher:
    """A selector of a metric's series: a label, its operator, and its value."""

    metric: str
    label: str
    how: str
    value: str


@attrs.frozen
class Named:
    """The names in an expression."""

    metrics: frozenset[str]
    matchers: frozenset[Matcher]
    # Labels by which it is grouped or joined.
    grouped: frozenset[str]


def named(expression: str) -> Named:
    """Return the metrics and labels that an expression of PromQL names."""
    bare = re.sub(_STRING, '""', expression)
    groups = (word for it in _GROUPING.findall(bare) for word in it.split(","))
    return Named(
        frozenset(_METRIC.findall(_GROUPING.sub("", bare))),
        frozenset(
            Matcher(metric, label, how, json.loads(value))
            for metric, inside in _SELECTED.findall(expression)
            for label, how, value in _MATCHER.findall(inside)
        ),
        frozenset(it.strip() for it in groups if it.strip()),
    )


@attrs.frozen
class Query:
    """A query of the dashboard, as Prometheus receives it."""

    panel: str
    expression: str
    legend: str


def queries() -> Sequence[Query]:
    """Return the queries of all panels, Grafana's variables filled in."""
    return [
        Query(
            panel["title"],
            target["expr"]
            .replace("$namespace", "production")
            .replace("$__rate_interval", "5m"),
            target["legendFormat"],
        )
        for panel in json.loads(DASHBOARD.read_text())["panels"]
        for target in panel.get("targets", ())
    ]


def anchors(page: str) -> list[str]:
    """Return the anchors of a page's headings, as GitHub and GitLab create them."""
    headings = re.findall(r"(?m)^#+ (.+)$", page)
    return [
        re.sub(r"[^\w\- ]", "", it).strip().lower().replace(" ", "-") for it in headings
    ]


def section_of(page: str, heading: str) -> str:
    """Return the text below a heading of the second level."""
    lines = page.split(f"\n## {heading}\n", 1)[1].splitlines()
    return "\n".join(takewhile(lambda it: not it.startswith("## "), lines))
