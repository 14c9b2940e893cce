"""The alerts of `deploy/components/prometheus`, by Prometheus' own unit tests."""

import re
from pathlib import Path

import pytest

from support.alert_cases import CASES, FEW_WEBHOOKS, QUIET
from support.alerts import (
    RUNBOOK,
    Scenario,
    UnitTests,
    anchors,
    groups,
    named,
    rule_of,
    rules,
    section_of,
)

ALERTS = [rule["alert"] for rule in rules()]
SEVERITIES = ("page", "ticket")
MINUTES = 70


@pytest.mark.parametrize("group", groups())
def test_f43_f56_t40_t71_each_alert_fires_when_it_should_and_not_before(
    group: str, tmp_path: Path
) -> None:
    """
    With the message that a person reads, in production only, and without any other
    alert of its group.
    """
    of_group = groups()[group]
    names = {rule["alert"] for rule in of_group}
    for every in {case.every for case in CASES if case.alert in names}:
        tests = UnitTests(of_group, every)
        cases = [it for it in CASES if it.alert in names and it.every == every]
        assert tests.run(tmp_path, [tests.of(it) for it in cases]) == ""


def test_no_alert_fires_where_nothing_is_wrong(tmp_path: Path) -> None:
    """
    Not without traffic, after a first deployment, during a rollout, with one of two
    workers cut off, at each limit, or because of requests that anybody may send.
    """
    shown = [
        series
        for name, differs in QUIET.items()
        for series in Scenario(MINUTES, differs).series(name)
    ]
    tests = UnitTests(rules())

    assert tests.run(tmp_path, [tests.quiet(shown, range(5, MINUTES, 5))]) == ""


def test_where_webhooks_are_few_their_silence_wakes_nobody(tmp_path: Path) -> None:
    """
    Two hours without a webhook are usual there.
    """
    shown = [
        series
        for name, differs in FEW_WEBHOOKS.items()
        for series in Scenario(1700, differs).series(name)
        if "payments_webhooks_verified" in series["series"]
    ]
    tests = UnitTests([rule_of("PaymentsWebhooksSilent")], every=20)

    assert tests.run(tmp_path, [tests.quiet(shown, range(1500, 1700, 20))]) == ""


def test_no_alert_is_without_a_test() -> None:
    """
    Each alert has a case in which it fires, and each case names an existing alert.
    """
    assert len(ALERTS) == len(set(ALERTS))
    assert {case.alert for case in CASES} == set(ALERTS)
    for case in CASES:
        assert {it.alert for it in case.fires} <= set(ALERTS)


@pytest.mark.parametrize("alert", ALERTS)
def test_each_alert_says_who_is_woken_and_what_to_do(alert: str) -> None:
    """
    A severity, a message, and a complete section of the runbook.
    """
    rule = rule_of(alert)
    page = RUNBOOK.read_text()
    url, _, anchor = rule["annotations"]["runbook_url"].partition("#")

    assert rule["labels"]["severity"] in SEVERITIES
    assert (
        rule["annotations"]["summary"][:1].isupper()
        or "{{" in rule["annotations"]["summary"]
    )
    assert url.endswith("/docs/runbook.md")
    assert anchors(page).count(anchor) == 1
    section = section_of(page, alert)
    assert section.strip().startswith(rule["labels"]["severity"].capitalize())
    parts = ("**Means:**", "**Users notice:**", "**Look:**", "**Do:**", "**Over:**")
    found = [section.index(it) for it in parts]
    assert found == sorted(found)


def test_the_runbook_has_no_section_of_an_alert_that_is_gone() -> None:
    """
    Each heading of the second level is an alert, in the order of the rules.
    """
    assert re.findall(r"(?m)^## (.+)$", RUNBOOK.read_text()) == ALERTS


def test_an_alert_names_its_environment() -> None:
    """
    Each alert is by namespace: no environment hides another, and the alert names it.
    """
    for rule in rules():
        assert "namespace" in named(rule["expr"]).grouped, rule["alert"]
