"""`payments jobs …` and `payments webhook replay`: what fails is seen and retried."""

from typing import Final

import pytest

from support import databases
from support.commands import Dev

# Far from due: the worker of the service leaves them alone.
_FAILING: Final = """
insert into jobs (kind, subject, reason, due_at, asked, attempts, lease_no, dead)
select 'subscription', 'sub_failing_' || n, 'it failed',
    '2999-01-01'::timestamptz + n * interval '1 s', 1, 12, 0, false
from generate_series(1, 3) as n on conflict (kind, subject) do nothing
"""


@pytest.fixture
def failing(dev: Dev) -> Dev:
    databases.run(databases.execute(dev.facts["database_url"], _FAILING))
    return dev


def test_failing_jobs_are_listed_a_page_at_a_time(failing: Dev) -> None:
    """
    The first due first; a cursor of somebody else's making is a usage error.
    """
    names, cursor = list[str](), list[str]()
    while True:
        words = ("jobs", "list", "--failing", "--limit", "2", "--json", *cursor)
        page = failing.run(*words).json
        names += [it["id"] for it in page["items"]]
        assert {it["state"] for it in page["items"]} == {"failing"}
        if page["next_cursor"] is None:
            break
        cursor = ["--cursor", page["next_cursor"]]

    wanted = [f"subscription:sub_failing_{n}" for n in (1, 2, 3)]
    assert [it for it in names if it in wanted] == wanted
    shown = failing.run("jobs", "list", "--failing")
    assert "subscription:sub_failing_1" in shown.out
    assert failing.run("jobs", "list", "--cursor", "abc").code == 2


def test_a_failing_job_is_shown_and_retried(failing: Dev) -> None:
    """
    A dry run changes nothing. What Stripe does not know is done then: it is settled.
    """
    id_ = "subscription:sub_failing_2"
    before = failing.run("jobs", "show", id_, "--json").json
    assert (before["state"], before["attempts"]) == ("failing", 12)
    assert failing.run("jobs", "retry", id_, "--dry-run").code == 0
    assert failing.run("jobs", "show", id_, "--json").json == before

    retried = failing.run("jobs", "retry", id_, "--json").json

    # The worker may have done it already.
    assert retried["state"] in {"open", "done"}
    assert (retried["attempts"], retried["requests"]) == (0, before["requests"] + 1)


@pytest.mark.parametrize("command", ["show", "retry"])
def test_a_job_that_is_not_there_is_not_found(dev: Dev, command: str) -> None:
    """
    Exit code 3; what is no id is a usage error that lists the kinds.
    """
    assert dev.run("jobs", command, "subscription:sub_nothing").code == 3
    typo = dev.run("jobs", command, "sub_nothing")
    assert (typo.code, typo.out) == (2, "")
    assert "subscription, customer" in typo.err


def test_an_event_that_was_kept_apart_is_replayed(dev: Dev) -> None:
    """
    It is still what it was; one that was applied, or never kept, is refused.
    """
    assert dev.send("apart", "--set", "context=acct_other").code == 0
    dry = dev.run("webhook", "replay", "evt_apart", "--dry-run")
    assert dry.out == "event:evt_apart:charge.succeeded would be due at once\n"
    assert dev.run("jobs", "show", "event:evt_apart:charge.succeeded").code == 3

    asked = dev.run("webhook", "replay", "evt_apart", "--json").json

    assert asked == {"jobs": ["event:evt_apart:charge.succeeded"], "asked_for": True}
    assert dev.run("jobs", "show", asked["jobs"][0]).code == 0
    (kept,) = dev.run("webhook", "show", "evt_apart", "--json").json
    assert kept["state"] == "quarantined"
    assert kept["reason"] == "the event is of an account of an organisation"
    assert dev.send("replayed").code == 0
    assert dev.run("webhook", "replay", "evt_replayed").code == 6
    assert dev.run("webhook", "replay", "evt_nothing").code == 3
