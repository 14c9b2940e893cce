"""`payments jobs …` and `payments webhook replay`: failures are listed and retried."""

from typing import Final

import pytest

from support import databases
from support.commands import Dev

# Far from due: the worker of the service does not claim them.
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
    The first due job comes first; a cursor that the list did not issue is a usage
    error.
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


def test_jobs_are_due_in_real_time(failing: Dev) -> None:
    """
    Times are shown and filtered by the same clock, and the help names it.
    """
    due_at = "2999-01-01T00:00:02Z"
    since = failing.run("jobs", "list", "--since", due_at, "--json").json["items"]

    assert since[0]["due_at"] == due_at
    assert "real time" in failing.run("jobs", "list", "--help").out


def test_a_failing_job_is_shown_and_retried(failing: Dev) -> None:
    """
    A dry run changes nothing. A job about an object that Stripe does not know is done:
    nothing is left to do.
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
    Exit code 3; a text that is no id is a usage error that lists the kinds.
    """
    assert dev.run("jobs", command, "subscription:sub_nothing").code == 3
    typo = dev.run("jobs", command, "sub_nothing")
    assert (typo.code, typo.out) == (2, "")
    assert "subscription, customer" in typo.err


def test_an_event_that_was_kept_apart_is_replayed(dev: Dev) -> None:
    """
    Its state is unchanged; an event that was applied, or never stored, is refused.
    """
    assert dev.send("apart", "--set", "context=acct_other").code == 0
    dry = dev.run("webhook", "replay", "evt_apart", "--dry-run")
    assert dry.out == "event:evt_apart:charge.succeeded would be due at once\n"
    assert dev.run("jobs", "show", "event:evt_apart:charge.succeeded").code == 3

    asked = dev.run("webhook", "replay", "evt_apart", "--json").json

    assert asked == {
        "complete": True,
        "asked_for": True,
        "count": 1,
        "jobs": ["event:evt_apart:charge.succeeded"],
        "refused_count": 0,
        "refused": [],
    }
    assert dev.run("jobs", "show", asked["jobs"][0]).code == 0
    (kept,) = dev.run("webhook", "show", "evt_apart", "--json").json
    assert kept["state"] == "quarantined"
    assert kept["reason"] == "the event is of an account of an organisation"
    assert dev.send("replayed").code == 0
    assert dev.run("webhook", "replay", "evt_replayed").code == 6
    assert dev.run("webhook", "replay", "evt_nothing").code == 3


def test_all_that_is_kept_apart_is_replayed_and_in_the_audit_log(dev: Dev) -> None:
    """
    All events of a type since a time. Each act is a row with operator, reason and
    action.
    """
    for number in range(3):
        assert dev.send(f"many_{number}", "--set", "context=acct_other").code == 0
    wanted = ("--state", "quarantined", "--type", "charge.succeeded", "--limit", "3")

    every = ("webhook", "replay", "--state", "open", "--dry-run", "--json")
    opened = dev.run(*every).json["jobs"]
    opened_list = dev.run("webhook", "list", "--state", "open", "--json").json
    cut = dev.run("webhook", "list", "--state", "open", "--limit", "1", "--json")
    dry = dev.run("webhook", "replay", *wanted, "--dry-run", "--json").json
    done = dev.run("webhook", "replay", *wanted, "--reason", "mended", "--json").json

    latest = [f"event:evt_many_{number}:charge.succeeded" for number in (2, 1, 0)]
    assert set(latest) <= set(opened)
    assert cut.json == opened_list[:1]
    assert cut.err == "more: --state pending, --state quarantined\n"
    assert {it["state"] for it in opened_list} <= {"pending", "quarantined"}
    assert {f"evt_many_{number}" for number in range(3)} <= {
        it["id"] for it in opened_list
    }
    assert (dry["jobs"], dry["asked_for"]) == (latest, False)
    assert (done["jobs"], done["count"], done["asked_for"]) == (latest, 3, True)
    listed = dev.run("audit", "list", "--subject", "evt_many_1", "--json").json
    (row,) = listed["items"]
    assert row.pop("at").endswith("Z")
    assert row == {
        "by": "operator",
        "action": "replay_event",
        "subject": "evt_many_1",
        "event_type": "charge.succeeded",
        "user_id": None,
        "instead_of": None,
        "reason": "mended",
    }
    in_words = dev.run("webhook", "replay", *wanted)
    assert in_words.out.splitlines() == [f"{it} is due at once" for it in latest]
    assert in_words.err == "3 requested\n"


def test_the_audit_log_is_listed_a_page_at_a_time(failing: Dev) -> None:
    """
    Latest first; filtered by action, too.
    """
    for _ in range(3):
        id_ = "subscription:sub_failing_3"
        assert failing.run("jobs", "retry", id_, "--reason", "why not").code == 0
    found, cursor = list[str](), list[str]()
    words = ("audit", "list", "--action", "retry_job", "--limit", "2", "--json")
    while True:
        page = failing.run(*words, *cursor).json
        found += [it["at"] for it in page["items"]]
        assert {it["action"] for it in page["items"]} == {"retry_job"}
        if page["next_cursor"] is None:
            break
        cursor = ["--cursor", page["next_cursor"]]

    assert len(found) >= 3
    assert found == sorted(found, reverse=True)
    of_user = failing.run(*words, "--user", "nobody-of-these@x.org")
    assert (of_user.code, of_user.err) == (3, "payments: no such user\n")
    in_words = failing.run("audit", "list", "--subject", "subscription:sub_failing_3")
    assert in_words.out.startswith("AT ")
    assert "why not" in in_words.out


def test_failing_jobs_are_retried_all_at_once(failing: Dev) -> None:
    """
    Only jobs of one kind; others are left alone.
    """
    words = ("jobs", "retry", "--failing", "--kind", "payment", "--json")
    assert failing.run(*words).json["jobs"] == []
    words = ("jobs", "retry", "--failing", "--kind", "subscription", "--json")
    dry = failing.run(*words, "--dry-run").json["jobs"]
    assert "subscription:sub_failing_1" in dry

    asked = failing.run(*words, "--reason", "Stripe is back").json

    assert (asked["complete"], asked["jobs"]) == (True, dry)
    assert failing.run("jobs", "list", "--failing", "--json").json["items"] == []


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("webhook replay", "give an id, or a filter"),
        ("webhook replay evt_1 --state pending", "not both"),
        ("webhook replay --limit 5", "neither is given"),
        ("webhook replay --state applied", "--state"),
        ("webhook replay --state ignored", "since"),
        ("webhook list --state open --cursor abc", "--cursor"),
        ("webhook replay --state pending --limit 0", "--limit"),
        ("webhook replay --type=", "not an event type"),
        ("webhook replay --since yesterday", "not a day or a time"),
        ("webhook replay --since 2026-02-30", "not a day or a time"),
        ("webhook replay --since 0001-01-01T00:00:00+14:00", "not a day or a time"),
        ("webhook replay --since 2999-01-01", "in the future"),
        ("webhook list --since 2999-01-01", "in the future"),
        ("audit list --since 2999-01-01", "in the future"),
        ("audit list --action lost", "--action"),
        ("audit list --cursor abc", "cursor"),
        ("jobs retry", "give an id, or a filter"),
        ("jobs retry payment:ch_1 --failing", "not both"),
        ("jobs retry --kind lost", "--kind"),
        ("jobs retry --failing --limit 0", "--limit"),
        ("jobs list --since never", "not a day or a time"),
        ("webhook replay --state pending --reason=", "reason"),
        (f"jobs retry --failing --reason {'x' * 501}", "reason"),
    ],
)
def test_what_cannot_be_meant_is_a_usage_error(
    dev: Dev, words: str, sentence: str
) -> None:
    """
    Exit code 2; nothing is requested, and stdout is empty.
    """
    refused = dev.run(*words.split())

    assert (refused.code, refused.out) == (2, "")
    assert sentence in " ".join(refused.err.split())


def test_what_is_of_no_such_type_or_day_is_not_there(dev: Dev) -> None:
    """
    An unknown type is no error: a later release may have stored it.
    """
    unknown = ("--type", "never.heard", "--json")
    note = "--type never.heard: not a type that this release knows\n"
    listed = dev.run("webhook", "list", *unknown)
    assert (listed.json, listed.err) == ([], note)
    known = ("--type", "charge.captured", "--json")
    assert dev.run("webhook", "list", *known).err == ""
    assert dev.run("webhook", "replay", *unknown).json["jobs"] == []
    assert (
        dev.run("jobs", "list", "--since", "3999-01-01", "--json").json["items"] == []
    )
    assert dev.run("webhook", "list", "--since", "2020-01-01", "--json").code == 0
