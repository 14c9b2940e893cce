"""`payments webhook …`: output and exit codes."""

import json
import re
from pathlib import Path
from typing import Final

import pytest

from support import databases
from support.command_line import Inside
from support.commands import Dev, payments, secretive
from support.events import SAMPLES
from support.service import free_port

# As after its month was purged.
_DELETED: Final = "delete from event_bodies where id = 'evt_in_words'"


def test_the_briefs_two_events_are_sent_listed_and_shown(dev: Dev) -> None:
    """
    Each event is sent to the route of its type; charges without an owner are listed as
    unlinked, and shown with the exact body that came. Both events are about one charge,
    which cannot have both succeeded and failed: the second waits until the charge is
    fetched from Stripe, which does not know it.
    """
    files = [SAMPLES / "charge_succeeded.json", SAMPLES / "charge_failed.json"]
    events = [json.loads(file.read_bytes()) for file in files]

    sent = [
        payments("webhook", "send", file, "--json", env=dev.env).json for file in files
    ]
    listed = dev.run("webhook", "list", "--unlinked", "--json").json
    in_words = dev.run("webhook", "list", "--unlinked").out
    shown = dev.run("webhook", "show", events[0]["id"], "--json").json

    assert [answer["status"] for answer in sent] == [200, 200]
    outcomes = [answer["answer"]["outcome"] for answer in sent]
    assert outcomes == ["applied", "pending"]
    rows = {(row["id"], row["type"]): row for row in listed}
    settled = [{"applied"}, {"pending", "quarantined"}]
    for one, states in zip(events, settled, strict=True):
        row = rows[one["id"], one["type"]]
        assert row["state"] in states
        assert row["user_id"] is None
        assert row["object_id"] == one["data"]["object"]["id"]
        assert re.search(rf"{one['id']} +{re.escape(one['type'])} ", in_words)
    assert in_words.startswith("RECEIVED_AT ")
    bodies = {entry["type"]: entry["body"] for entry in shown}
    assert bodies == {
        one["type"]: one for one in events if one["id"] == events[0]["id"]
    }


def test_events_are_listed_by_state_and_link(dev: Dev, inside: Inside) -> None:
    """
    `--unlinked` leaves out events with an owner; `--state` those in other states.
    """
    assert dev.asks(dev.token("linked"), "linked") == 200
    assert dev.send("linked", receipt_email="linked@x.org").code == 0
    unlisted = dev.run(
        "webhook",
        "send",
        SAMPLES / "charge_succeeded.json",
        *("--set", "id=evt_plan", "--set", "type=plan.created"),
        *("--set", "data.object.id=plan_1", "--set", "data.object.object=plan"),
    )
    assert unlisted.out == '200 {"outcome": "ignored"}\n'

    def ids(*words: str) -> set[str]:
        rows = inside("webhook", "list", "--json", *words, env=dev.env).json
        return {row["id"] for row in rows}

    assert ids() >= {"evt_linked", "evt_plan"}
    assert "evt_linked" not in ids("--unlinked")
    assert "evt_linked" in ids("--state", "applied")
    assert "evt_plan" not in ids("--state", "applied")
    (ignored,) = inside(
        "webhook", "list", "--json", "--state", "ignored", env=dev.env
    ).json
    assert ignored["id"] == "evt_plan"
    assert ignored["reason"] == "its type asks for nothing"
    assert inside("webhook", "list", "--state", "lost", env=dev.env).code == 2


def test_an_unknown_event_is_not_found(dev: Dev) -> None:
    """
    Exit code 3, and stdout is empty.
    """
    answer = dev.run("webhook", "show", "evt_unknown")

    assert (answer.code, answer.out) == (3, "")
    assert answer.err == "payments: no event evt_unknown is stored\n"


def test_values_are_set_as_json_or_else_as_text(
    dev: Dev, inside: Inside, tmp_path: Path
) -> None:
    """
    `--dry-run` prints what would be sent, sends nothing and needs no service.
    """
    values = {
        "id=evt_unsent": ("id", "evt_unsent"),
        "data.object.amount=5": ("amount", 5),
        "data.object.paid=false": ("paid", False),
        "data.object.customer=null": ("customer", None),
        'data.object.metadata={"user_id": "u"}': ("metadata", {"user_id": "u"}),
        "data.object.description=a = b, [c": ("description", "a = b, [c"),
        'data.object.receipt_email="5"': ("receipt_email", "5"),
        "data.object.new=": ("new", ""),
    }
    file = SAMPLES / "charge_succeeded.json"
    words = [word for value in values for word in ("--set", value)]
    command = ["webhook", "send", str(file), "--dry-run", *words]

    answer = inside(*command, env={"PAYMENTS_DEV_DIR": str(tmp_path)})

    expected = json.loads(file.read_bytes())
    expected["id"] = "evt_unsent"
    del values["id=evt_unsent"]
    expected["data"]["object"].update(values.values())
    assert answer.json == expected
    shown = inside("webhook", "show", "evt_unsent", env=dev.env)
    assert shown.err == "payments: no event evt_unsent is stored\n"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--set", "data.nowhere.id=1"], "data.nowhere.id: there is no such path"),
        (["--set", "id.of=1"], "id.of: there is no such path"),
        (["--set", "id"], "--set id: not path=value"),
        (["--to", "mailto:x", "--secret", "s"], "--to: not an http:// address"),
        (["--to", "http://h:port", "--secret", "s"], "--to: not an http:// address"),
    ],
)
def test_what_cannot_be_sent_is_a_usage_error(
    inside: Inside, nowhere: dict[str, str], words: list[str], sentence: str
) -> None:
    """
    Exit code 2 and the reason.
    """
    file = SAMPLES / "charge_failed.json"

    answer = inside("webhook", "send", file, *words, env=nowhere)

    assert (answer.code, answer.out) == (2, "")
    assert sentence in answer.err


@pytest.mark.parametrize("content", [b"{", b"\xff", b"[" * 200_000])
def test_a_file_that_is_not_json_is_a_usage_error(
    inside: Inside, nowhere: dict[str, str], tmp_path: Path, content: bytes
) -> None:
    """
    Exit code 2 and the file's name.
    """
    (tmp_path / "file").write_bytes(content)

    answer = inside("webhook", "send", tmp_path / "file", env=nowhere)

    assert (answer.code, answer.out) == (2, "")
    assert f"{tmp_path / 'file'} is not JSON" in answer.err


def test_sending_needs_somebody_who_takes_it(
    inside: Inside, nowhere: dict[str, str]
) -> None:
    """
    No development service, or no server at the address: exit code 5.
    """
    file = SAMPLES / "charge_failed.json"
    address = f"http://127.0.0.1:{free_port()}"

    nobody = payments("webhook", "send", file, env=nowhere)
    no_answer = inside(
        "webhook", "send", file, "--to", address, "--secret", "x", env=nowhere
    )

    assert (nobody.code, no_answer.code) == (5, 5)
    assert "no development service runs on" in nobody.err
    assert "nothing answers there" in no_answer.err
    assert "`payments dev` starts a service" in no_answer.err


def test_a_refused_event_is_exit_code_6(dev: Dev) -> None:
    """
    A wrong signature: the answer is shown, nothing is stored.
    """
    before = dev.digest()

    forged = dev.send("forged", "--secret", "whsec_" + "k" * 32, "--json")

    assert (forged.code, forged.json["status"]) == (6, 400)
    assert forged.json["answer"]["code"] == "bad_signature"
    assert dev.digest() == before


def test_an_event_that_cannot_be_read_is_kept_and_shown(dev: Dev) -> None:
    """
    With the field and the reason, for a person to repair.
    """
    sent = dev.send("none", "--set", "data=5", "--json")

    assert (sent.code, sent.json["answer"]) == (0, {"outcome": "quarantined"})
    (kept,) = dev.run("webhook", "show", "evt_none", "--json").json
    assert kept["reason"].startswith("unreadable: data: ")
    assert kept["body"]["data"] == 5


def test_an_event_is_shown_in_words(dev: Dev) -> None:
    """
    As JSON only with `--json`; both say so if the body was deleted.
    """
    assert dev.send("in_words").code == 0
    show = ("webhook", "show", "evt_in_words")
    whole = dev.run(*show).out.splitlines()
    databases.run(databases.execute(dev.facts["database_url"], _DELETED))

    gone, as_json = dev.run(*show).out.splitlines(), dev.run(*show, "--json").json

    assert "id: evt_in_words" in whole
    assert "body: {" in whole
    assert gone[-1] == "body: no longer stored"
    assert [it["body"] for it in as_json] == [None]


def test_events_are_listed_a_page_at_a_time(dev: Dev, inside: Inside) -> None:
    """
    The end of a page is printed on stderr; the next page starts there.
    """
    for number in ("page_1", "page_2", "page_3"):
        dev.send(number)
    command, found = ("webhook", "list", "--unlinked", "--json"), list[str]()
    every = inside(*command, env=dev.env)
    more: tuple[str, ...] = ()
    for _ in every.json:
        page = inside(*command, "--limit", "1", *more, env=dev.env)
        found += [row["id"] for row in page.json]
        more = tuple(page.err.removeprefix("more: ").split())
    wrong = inside(*command, "--cursor", "no-cursor", env=dev.env)

    assert found == [row["id"] for row in every.json]
    assert {"evt_page_1", "evt_page_2", "evt_page_3"} <= set(found)
    assert (more, every.err) == ((), "")
    assert wrong.code == 2
    assert "not a cursor of this service" in wrong.err


def test_every_flag_has_a_twin_in_the_environment(dev: Dev, inside: Inside) -> None:
    """
    PAYMENTS_<COMMAND>_<FLAG> works as the flag, by the same rules; a flag has
    precedence.
    """
    for number in ("twin_1", "twin_2"):
        dev.run("token", "invalidate", dev.token(number))
        dev.send(number)

    for command, variable in (
        (("webhook", "list"), "PAYMENTS_WEBHOOK_LIST_LIMIT"),
        (("token", "list"), "PAYMENTS_TOKEN_LIST_LIMIT"),
    ):
        env = {**dev.env, variable: "1"}
        one = payments(*command, env=env)
        two = inside(*command, "--limit", "2", env=env)
        none = inside(*command, env={**env, variable: "0"})
        # With the headers.
        assert len(one.out.splitlines()) == 1 + 1
        assert len(two.out.splitlines()) == 1 + 2
        assert (none.code, none.out) == (2, "")


def test_a_version_in_the_environment_is_not_ours(nowhere: dict[str, str]) -> None:
    """
    No option reads it, not even `--version`: it is named, as every unknown setting is.
    """
    env = {**nowhere, **secretive(PAYMENTS_VERSION="1.2.3")}
    answer = payments("config", "show", env=env)

    assert (answer.code, answer.out) == (4, "")
    assert answer.err == "payments: PAYMENTS_VERSION: not a setting of this release\n"
