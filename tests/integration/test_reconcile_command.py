"""`payments reconcile`: missed changes are reported, and repaired on request."""

import json
import re
from datetime import datetime, timedelta
from typing import Any, Final

import pytest

from payments_core.jobs.drift_cause import SETTLES_WITHIN
from payments_core.jobs.run_sweep import COMPARED_FOR
from payments_service.cli import main
from support import databases
from support.command_line import Answer, answer_of
from support.commands import NOBODY, payments
from support.service_with_sandbox import GOOD, Payer, ServiceWithSandbox

# A time that every sweep of this module compares.
_INVENTED: Final = """
insert into payments (id, state, dispute, refunded_minor, version, created_at,
    recorded_at, updated_at)
values ('ch_invented', 'succeeded', 'none', 0, 1, now() - interval '1 day',
    now(), now())
on conflict do nothing
"""


# Everything under way has arrived.
_RECONCILE: Final = ("reconcile", "--settle", "0")


def reconcile(stack: ServiceWithSandbox, *words: str, **env: str) -> Answer:
    # In this process: starting one takes longer than the command.
    all_env = {**stack.world.env(0, 0), **env}
    return answer_of(main, *_RECONCILE, *words, env=all_env)


@pytest.fixture
def drifted(stack: ServiceWithSandbox, ada: Payer) -> Payer:
    """Lend a subscriber with a planned end that the service missed."""
    ada.subscribed(GOOD)
    stack.settle()
    [made] = ada.subscriptions
    stack.sandbox.chaos(drop=1)
    stack.wire.post(f"subscriptions/{made['id']}", cancel_at_period_end=True)
    stack.settle()
    stack.sandbox.calm()
    return ada


def test_one_user_is_reported_and_repaired(
    stack: ServiceWithSandbox, drifted: Payer
) -> None:
    """
    A report changes nothing; the exit code is 7 until nothing differs.
    """
    user = ("--user", drifted.id)
    # Once as a process of its own.
    told = payments(*_RECONCILE, *user, env=stack.world.env(0, 0))
    report = reconcile(stack, *user, "--json")
    repaired = reconcile(stack, *user, "--apply", "--json")
    after = reconcile(stack, *user)

    assert (told.code, report.code, repaired.code, after.code) == (7, 7, 0, 0)
    assert "subscription_end" in told.out
    assert "comparing again in 0 s: 1 may differ" in told.err
    again = f"payments reconcile --user {drifted.id} --apply"
    assert f"to repair: {again}" in told.err
    [item] = json.loads(report.out)["items"]
    [subscription] = drifted.subscriptions
    told_of = {name: item[name] for name in ("kind", "subject", "user_id", "cause")}
    assert told_of == {
        "kind": "subscription_end",
        "subject": subscription["id"],
        "user_id": drifted.id,
        "cause": "event_lost",
    }
    assert "cancel_at_period_end: False" in item["ours"]
    assert "cancel_at_period_end: True" in item["stripe"]
    assert json.loads(repaired.out)["repaired"] == 1
    assert "nothing differs" in after.err
    shown = drifted.get(f"/users/{drifted.id}/subscriptions")["items"]
    assert [it["cancel_at_period_end"] for it in shown] == [True]


def test_a_customer_that_names_a_user_is_bound(
    stack: ServiceWithSandbox, ada: Payer
) -> None:
    """
    By the command; a report changes nothing.
    """
    ada.admin  # noqa: B018  # her first call registers her
    email = f"{ada.id}@example.com"
    made = stack.wire.post("customers", email=email, metadata={"user_id": ada.id})
    user = ("--user", ada.id)

    report = reconcile(stack, *user, "--json")
    repaired = reconcile(stack, *user, "--apply")
    after = reconcile(stack, *user)

    assert (report.code, repaired.code, after.code) == (7, 0, 0)
    [item] = json.loads(report.out)["items"]
    told_of = {name: item[name] for name in ("kind", "subject", "user_id", "ours")}
    assert told_of == {
        "kind": "customer_unbound",
        "subject": made["id"],
        "user_id": ada.id,
        "ours": None,
    }


def test_all_are_compared_in_both_directions(stack: ServiceWithSandbox) -> None:
    """
    Objects that Stripe does not have need a person, and stay; progress is on stderr.
    """
    url = stack.world.env(0, 0)["PAYMENTS_DATABASE_URL"]
    databases.run(databases.execute(url, _INVENTED))

    for words in ((), ("--apply",)):
        told = reconcile(stack, "--json", *words)
        report = json.loads(told.out)
        assert told.code == 7
        assert [(it["kind"], it["subject"]) for it in report["items"]] == [
            ("payment_missing", "ch_invented")
        ]
        assert set(report["read"]) == {
            "customers",
            "subscriptions",
            "invoices",
            "payments",
            "refunds",
            "disputes",
        }
        assert "subscriptions: " in told.err
        since, until = (datetime.fromisoformat(report[it]) for it in ("since", "until"))
        assert until - since == COMPARED_FOR - SETTLES_WITHIN
    shown = reconcile(stack, "--since", "2026-01-01T08:30:00+01:00")
    assert "created from 2026-01-01T07:30:00Z to 20" in shown.err
    assert "differ so far" in shown.err


def test_what_was_found_is_told_by_the_doctor(stack: ServiceWithSandbox) -> None:
    """
    Until everything is compared again: a partial run says nothing of the rest. With or
    without a repair.
    """

    def run(*words: str) -> Any:
        # In this process: starting one takes longer than the command.
        return answer_of(main, *words, env=stack.world.env(0, 0))

    def drift() -> str:
        found = {it["check"]: it for it in run("doctor", "--json").json["items"]}
        return f"{found['drift']['status']} {found['drift']['text']}"

    url = stack.world.database_url
    databases.run(databases.execute(url, _INVENTED))
    assert run(*_RECONCILE).code == 7
    found = drift()
    gone = "delete from payments where id = 'ch_invented'"
    databases.run(databases.execute(url, gone))
    lately = f"{stack.sandbox.now - timedelta(days=20):%Y-%m-%d}"
    assert run(*_RECONCILE, "--since", lately).code == 0
    still = drift()
    assert run(*_RECONCILE, "--since", "2015-01-01", "--apply").code == 0
    after = drift()

    assert re.match(
        "wrong 1 of 1 differences remain that .* ago, found: payment_missing 1", found
    )
    assert still.startswith("wrong 1 of 1 differences")
    assert re.match("ok the last sweep, .* ago, found no differences", after)


@pytest.mark.parametrize(
    ("words", "env", "code"),
    [
        (("--user", "nobody-at-all"), {}, 3),
        (("--since", "yesterday"), {}, 2),
        (("--since", "2999-01-01"), {}, 2),
        (("--since", "1969-01-01"), {}, 2),
        (("--since", "2026-01-01", "--user", "ada"), {}, 2),
        ((), {"PAYMENTS_DATABASE_URL": NOBODY}, 5),
    ],
)
def test_what_cannot_be_compared_is_said(
    stack: ServiceWithSandbox, words: tuple[str, ...], env: dict[str, str], code: int
) -> None:
    """
    With the exit code of its kind.
    """
    told = reconcile(stack, *words, **env)
    assert (told.code, told.out) == (code, "")
    assert "yesterday" not in words or "2026-11-27T08:30:00Z" in told.err
    assert told.err


def test_what_was_not_delivered_is_recovered(
    stack: ServiceWithSandbox, drifted: Payer
) -> None:
    """
    First reported, then recorded. A repetition records nothing; for a time that Stripe
    no longer lists it says so.
    """

    def recover(*words: str) -> Any:
        # In this process: starting one takes longer than the command.
        command = ("webhook", "recover", *words)
        return answer_of(main, *command, env=stack.world.env(0, 0))

    since = ("--since", f"{stack.sandbox.now - timedelta(days=20):%Y-%m-%d}")
    planned = recover(*since, "--dry-run", "--json").json
    done = recover(*since, "--reason", "a proxy was down", "--json")
    stack.settle()
    again = recover(*since, "--json").json

    assert (planned["complete"], planned["done"]) == (True, False)
    assert planned["recorded"] > 0
    assert done.json["recorded"] == planned["recorded"]
    assert (again["complete"], again["recorded"]) == (True, 0)
    shown = drifted.get(f"/users/{drifted.id}/subscriptions")["items"]
    assert [it["cancel_at_period_end"] for it in shown] == [True]
    [kept] = databases.run(
        databases.fetch(
            stack.world.database_url,
            "select count(distinct reason) from changes_by_hand"
            " where action = 'recover_event'",
        )
    )
    assert kept[0] >= 1
    refused = recover("--since", "2015-01-01")
    assert (refused.code, refused.out) == (2, "")
    assert "30 days" in refused.err
