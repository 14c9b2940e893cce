"""`payments …` as processes: what they print, and what their exit codes mean."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import attrs
import click
import httpx
import pytest
from click.testing import CliRunner

from payments_adapters.postgres import schema
from payments_service.cli.root import payments as root
from support import databases
from support.command_line import Answer, Inside
from support.events import SAMPLES, SUCCEEDED, event
from support.service import PREFIX, ServiceProcess, World, free_port, start

START_S_MAX = 60.0
POLL_S = 0.05
COMMAND = (sys.executable, "-m", "payments_service")
CANARY = "canary" + "7" * 24
NOBODY = "postgresql://nobody@127.0.0.1:1/nothing"


def payments(*words: str | Path, env: Mapping[str, str]) -> Answer:
    """Run a command with this environment and no other."""
    done = subprocess.run(
        [*COMMAND, *words],
        env={"PATH": os.environ["PATH"], **env},
        capture_output=True,
        text=True,
        timeout=START_S_MAX,
        check=False,
    )
    # Whatever went wrong, it was said in a sentence.
    assert "Traceback" not in done.stderr
    return Answer(done.returncode, done.stdout, done.stderr)


@attrs.frozen
class Dev:
    """A development service, and what a command needs to find it."""

    env: Mapping[str, str]
    folder: Path

    @property
    def facts(self) -> dict[str, str]:
        facts: dict[str, str] = json.loads((self.folder / "dev.json").read_text())
        return facts

    def run(self, *words: str | Path, **env: str) -> Answer:
        return payments(*words, env={**self.env, **env})

    def send(self, number: str, *words: str, **charge: object) -> Answer:
        """Send a charge with ids of its own."""
        values = {"id": f"evt_{number}", "data.object.id": f"ch_{number}"}
        for name, value in charge.items():
            values[f"data.object.{name}"] = json.dumps(value)
        assigned = [
            word for item in values.items() for word in ("--set", "=".join(item))
        ]
        return self.run(
            "webhook", "send", SAMPLES / "charge_succeeded.json", *assigned, *words
        )

    def digest(self) -> dict[str, str]:
        return databases.digest(self.facts["database_url"])

    def asks(self, token: str, user: str) -> int:
        return httpx.get(
            f"{self.facts['base_url']}{PREFIX}/users/{user}/payment-status",
            headers={"Authorization": f"Bearer {token}"},
        ).status_code

    def token(self, user: str) -> str:
        answer = self.run(
            "token", "issue", "--user", user, "--email", f"{user}@x.org", "--json"
        )
        assert set(answer.json) == {"token"}
        return str(answer.json["token"])


@pytest.fixture(scope="module")
def dev(
    postgres: str, template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Dev]:
    """One development service for the module; each test has ids of its own."""
    folder = tmp_path_factory.mktemp("dev") / ".payments"
    env = {"PAYMENTS_DEV_DIR": str(folder)}
    with databases.copy_of(postgres, template) as url:
        process = subprocess.Popen(
            [*COMMAND, "dev"],
            env={
                "PATH": os.environ["PATH"],
                "PAYMENTS_DATABASE_URL": url,
                "PAYMENTS_PORT": "0",
                "PAYMENTS_OPS_PORT": "0",
                **env,
            },
            stdout=subprocess.DEVNULL,
        )
        try:
            await_file(folder / "dev.json", process)
            yield Dev(env, folder)
        finally:
            process.terminate()
            process.wait(START_S_MAX)


def await_file(path: Path, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + START_S_MAX
    while not path.exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        threading.Event().wait(POLL_S)


@pytest.fixture
def nowhere(tmp_path: Path) -> dict[str, str]:
    """Return an environment in which no development service runs."""
    return {"PAYMENTS_DEV_DIR": str(tmp_path / "no-service")}


@pytest.fixture
def empty_database(postgres: str) -> Iterator[str]:
    name = f"empty_{uuid.uuid4().hex}"
    databases.run(databases.execute(postgres, f"create database {name}"))
    yield databases.named(postgres, name)
    databases.run(databases.execute(postgres, f"drop database {name} with (force)"))


# Webhooks.


def test_the_briefs_two_events_are_sent_listed_and_shown(dev: Dev) -> None:
    """
    Each to the route of its type; nobody's charges are listed as unlinked, and shown
    with the very body that came. Both are of one charge, which cannot have succeeded
    and failed: the second one waits until the gateway was asked, which does not know
    the charge.
    """
    files = [SAMPLES / "charge_succeeded.json", SAMPLES / "charge_failed.json"]
    events = [json.loads(file.read_bytes()) for file in files]

    sent = [dev.run("webhook", "send", file, "--json").json for file in files]
    listed = dev.run("webhook", "list", "--unlinked", "--json").json
    in_words = dev.run("webhook", "list", "--unlinked").out
    shown = dev.run("webhook", "show", events[0]["id"]).json

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
        assert f"{one['id']}  {one['type']}" in in_words
    bodies = {entry["type"]: entry["body"] for entry in shown}
    assert bodies == {
        one["type"]: one for one in events if one["id"] == events[0]["id"]
    }


def test_events_are_listed_by_state_and_link(dev: Dev, inside: Inside) -> None:
    """
    `--unlinked` leaves out what has an owner; `--state` what is in another one.
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
    assert ids("--state", "ignored") == {"evt_plan"}
    assert inside("webhook", "list", "--state", "lost", env=dev.env).code == 2


def test_an_unknown_event_is_not_found(dev: Dev) -> None:
    """
    Exit code 3, and nothing on stdout.
    """
    answer = dev.run("webhook", "show", "evt_unknown")

    assert (answer.code, answer.out) == (3, "")
    assert answer.err == "payments: no event evt_unknown was kept\n"


def test_values_are_set_as_json_or_else_as_text(dev: Dev, tmp_path: Path) -> None:
    """
    `--dry-run` prints what would be sent, sends nothing and needs nobody.
    """
    before = dev.digest()
    values = {
        "id=evt_1": ("id", "evt_1"),
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

    answer = payments(*command, env={"PAYMENTS_DEV_DIR": str(tmp_path)})

    expected = json.loads(file.read_bytes())
    expected["id"] = "evt_1"
    del values["id=evt_1"]
    expected["data"]["object"].update(values.values())
    assert answer.json == expected
    assert dev.digest() == before


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--set", "data.nowhere.id=1"], "data.nowhere.id: there is no such place"),
        (["--set", "id.of=1"], "id.of: there is no such place"),
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


def test_sending_needs_somebody_who_takes_it(nowhere: dict[str, str]) -> None:
    """
    No development service, or nobody at the address: exit code 5.
    """
    file = SAMPLES / "charge_failed.json"
    address = f"http://127.0.0.1:{free_port()}"

    nobody = payments("webhook", "send", file, env=nowhere)
    no_answer = payments(
        "webhook", "send", file, "--to", address, "--secret", "x", env=nowhere
    )

    assert (nobody.code, no_answer.code) == (5, 5)
    assert "no development service runs on" in nobody.err
    assert "nobody answers there" in no_answer.err


def test_a_refused_event_is_exit_code_6(dev: Dev) -> None:
    """
    Wrongly signed, or a body that is no event: the answer is shown, nothing is kept.
    """
    before = dev.digest()

    forged = dev.send("forged", "--secret", "whsec_" + "k" * 32, "--json")
    no_event = dev.send("none", "--set", "data=5")

    assert (forged.code, forged.json["status"]) == (6, 400)
    assert forged.json["answer"]["code"] == "bad_signature"
    assert no_event.code == 6
    assert no_event.out.startswith("400 {")
    assert dev.digest() == before


def test_every_flag_has_a_twin_in_the_environment(dev: Dev, inside: Inside) -> None:
    """
    PAYMENTS_<COMMAND>_<FLAG> acts as the flag, with its rules; a flag wins.
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
        assert len(one.out.splitlines()) == 1
        assert len(two.out.splitlines()) == 2
        assert (none.code, none.out) == (2, "")


def test_a_version_in_the_environment_is_not_ours(nowhere: dict[str, str]) -> None:
    """
    Deployments often have a PAYMENTS_VERSION; it must not stop a command.
    """
    answer = payments("config", "show", env={**nowhere, "PAYMENTS_VERSION": "1.2.3"})

    assert answer.code == 4
    assert "version" not in answer.err.lower()


# Tokens.


def test_an_issued_token_works_until_it_is_invalidated(dev: Dev) -> None:
    """
    By its text, at once; a dry run changes nothing; the list has it.
    """
    token, other = dev.token("text"), dev.token("text")
    before = dev.digest()

    dry = dev.run("token", "invalidate", token, "--dry-run", "--json").json
    unchanged = dev.digest() == before
    assert dev.asks(token, "text") == 200
    done = dev.run("token", "invalidate", token, "--json").json
    listed = dev.run("token", "list", "--json", "--limit", "1000").json

    assert (dry, unchanged) == ({"would_invalidate": True}, True)
    assert done == {"invalidated": True}
    assert (dev.asks(token, "text"), dev.asks(other, "text")) == (401, 200)
    (item,) = (item for item in listed["items"] if item["user_id"] == "text")
    assert set(item) == {
        "issuer",
        "jti",
        "user_id",
        "expires_at",
        "invalidated_at",
    }
    assert listed["next_cursor"] is None


def test_all_of_a_users_tokens_are_invalidated(dev: Dev) -> None:
    """
    By id or by e-mail; nobody's e-mail is exit code 3.
    """
    token = dev.token("all")
    assert dev.asks(token, "all") == 200
    before = dev.digest()

    dry = dev.run("token", "invalidate", "--user", "all", "--dry-run", "--json").json
    unchanged = dev.digest() == before
    done = dev.run("token", "invalidate", "--user", "all@x.org", "--json").json
    unknown = dev.run("token", "invalidate", "--user", "nobody@x.org")

    assert (set(dry), unchanged) == ({"would_invalidate_until"}, True)
    assert done["user_id"] == "all"
    assert datetime.fromisoformat(done["invalidated_until"]) <= datetime.now(UTC)
    assert dev.asks(token, "all") == 401
    assert (unknown.code, unknown.out) == (3, "")


def test_a_token_is_invalidated_by_its_name(dev: Dev) -> None:
    """
    Issuer, jti and expiry are enough where nobody has the text.
    """
    expires = (datetime.now(UTC) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    name = ["--issuer", "users", "--jti", "by-name", "--expires-at", expires]
    before = dev.digest()

    dev.run("token", "invalidate", *name, "--dry-run")
    unchanged = dev.digest() == before
    done = dev.run("token", "invalidate", *name)
    items = dev.run("token", "list", "--json", "--limit", "1000").json["items"]

    assert unchanged
    assert (done.code, done.out) == (0, "invalidated: True\n")
    assert ("users", "by-name") in [(item["issuer"], item["jti"]) for item in items]


EXPIRES = ["--expires-at", "2030-01-01T00:00:00Z"]


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["text", "--user", "u"],
        ["text", "--jti", "j"],
        ["--user", "u", "--issuer", "i"],
        ["--issuer", "i", "--jti", "j"],
        ["--issuer", "i", *EXPIRES],
        ["--issuer", "i", "--jti", "j", "--expires-at", "tomorrow"],
        ["--issuer", "i", "--jti", "j", "--expires-at", "2030-01-01T00:00:00"],
        ["--user", "a b"],
    ],
)
def test_it_has_to_be_clear_which_token_dies(
    inside: Inside, nowhere: dict[str, str], words: list[str]
) -> None:
    """
    None, two, or half a name: exit code 2.
    """
    env = {**nowhere, **secretive()}

    answer = inside("token", "invalidate", *words, env=env)

    assert (answer.code, answer.out) == (2, "")


def test_tokens_are_issued_for_development_only(
    dev: Dev, nowhere: dict[str, str]
) -> None:
    """
    Production is refused, whatever else is set; without a service there is no key.
    """
    words = ("token", "issue", "--user", "u")

    production = dev.run(*words, PAYMENTS_ENV="production")
    nobody = payments(*words, env=nowhere)
    no_user = dev.run("token", "issue", "--user", "a b")

    assert (production.code, production.out) == (6, "")
    assert (nobody.code, nobody.out) == (5, "")
    assert (no_user.code, no_user.out) == (2, "")
    bare = dev.run(*words, "--admin").out
    assert dev.asks(bare.strip(), "nobody") == 404


# The database.


def test_an_empty_database_is_upgraded_once(
    empty_database: str, nowhere: dict[str, str]
) -> None:
    """
    Before: exit code 6 and what to run. Four at once, and one later, all succeed.
    """
    env = {**nowhere, "PAYMENTS_DATABASE_URL": empty_database}
    before = payments("db", "current", env=env)
    waited = payments("db", "wait", "--timeout", "1", env=env)
    dry = payments("db", "upgrade", "--dry-run", env=env)
    still = payments("db", "current", env=env)
    four = [
        subprocess.Popen([*COMMAND, "db", "upgrade"], env={**os.environ, **env})
        for _ in range(4)
    ]
    codes = [process.wait(START_S_MAX) for process in four]
    again = payments("db", "upgrade", env=env)
    after = payments("db", "current", env=env)
    there = payments("db", "wait", "--timeout", "1", env=env)

    head = schema.head()
    for answer in (before, waited, still):
        assert (answer.code, answer.out) == (6, "")
        assert "run `payments db upgrade`" in answer.err
    assert (dry.code, dry.out) == (0, f"empty -> {head}\n")
    assert codes == [0, 0, 0, 0]
    assert (again.code, again.out) == (0, f"{head} -> {head}\n")
    assert (after.code, after.out) == (0, f"{head}\n")
    assert (there.code, there.out) == (0, f"{head}\n")


@pytest.mark.parametrize(
    "words", [["current"], ["upgrade"], ["wait", "--timeout", "1"]]
)
def test_a_database_that_does_not_answer_is_exit_code_5(
    nowhere: dict[str, str], words: list[str]
) -> None:
    """
    Try again later.
    """
    env = {**nowhere, "PAYMENTS_DATABASE_URL": NOBODY}

    answer = payments("db", *words, env=env)

    assert (answer.code, answer.out) == (5, "")
    assert "the database did not answer" in answer.err


def test_waiting_ends_in_time_where_packets_vanish(nowhere: dict[str, str]) -> None:
    """
    A server that takes the connection and says nothing does not hold us.
    """
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgresql://nobody@127.0.0.1:{silent.getsockname()[1]}/nothing"
        env = {**nowhere, "PAYMENTS_DATABASE_URL": url}
        # Asking it without a limit would take asyncpg's whole minute.
        answer = payments("db", "wait", "--timeout", "1", env=env)

    assert (answer.code, answer.out) == (5, "")


@pytest.mark.parametrize(
    "env",
    [
        {},
        {"PAYMENTS_DATABASE_URL": " "},
        {"PAYMENTS_DATABASE_URL": f"mysql://u:{CANARY}@h/d"},
        {"PAYMENTS_DATABASE_URL": f"postgresql://u:{CANARY}@h:port/d"},
        {"PAYMENTS_DATABASE_URL_FILE": "/does/not/exist"},
    ],
)
def test_a_migration_job_names_its_missing_variable(
    inside: Inside, nowhere: dict[str, str], env: dict[str, str]
) -> None:
    """
    Exit code 4.
    """
    answer = inside("db", "current", env={**nowhere, **env})

    assert (answer.code, answer.out) == (4, "")
    assert answer.err.startswith("payments: PAYMENTS_DATABASE_URL: ")
    assert CANARY not in answer.err


def test_a_development_service_lends_its_database(dev: Dev) -> None:
    """
    What the environment does not say, the folder does.
    """
    assert dev.run("db", "current").out == f"{schema.head()}\n"


# Starting the service.


def secretive(**others: str) -> dict[str, str]:
    """Return settings that can be used, each secret of them a canary."""
    keys = {"kty": "oct", "alg": "HS256", "kid": "k", "k": f"{CANARY}{CANARY}"}
    return {
        "PAYMENTS_ENV": "development",
        "PAYMENTS_DATABASE_URL": NOBODY.replace("nobody", f"nobody:{CANARY}"),
        "PAYMENTS_STRIPE_API_KEY": f"sk_test_{CANARY}",
        "PAYMENTS_STRIPE_WEBHOOK_SECRETS": f"whsec_{CANARY}",
        "PAYMENTS_JWT_ISSUER": "users",
        "PAYMENTS_JWT_AUDIENCE": "payments",
        "PAYMENTS_JWT_KEYS": json.dumps({"keys": [keys]}),
        "PAYMENTS_PORT": "0",
        "PAYMENTS_OPS_PORT": "0",
        **others,
    }


REQUIRED = (
    "PAYMENTS_ENV",
    "PAYMENTS_DATABASE_URL",
    "PAYMENTS_STRIPE_WEBHOOK_SECRETS",
    "PAYMENTS_JWT_ISSUER",
    "PAYMENTS_JWT_AUDIENCE",
    "PAYMENTS_JWT_KEYS",
)
WRONG = {
    "PAYMENTS_ENV": CANARY,
    "PAYMENTS_DATABASE_URL": f"postgresql://u:{CANARY}/@h/d",
    "PAYMENTS_DATABASE_POOL_SIZE": "0",
    "PAYMENTS_STRIPE_API_BASE": f"https://api.stripe.com@{CANARY}",
    "PAYMENTS_STRIPE_API_KEY": f"sk_live_{CANARY}",
    "PAYMENTS_STRIPE_WEBHOOK_SECRETS": ",",
    "PAYMENTS_JWT_MAX_AGE_S": "1",
    "PAYMENTS_PORT": "http",
    "PAYMENTS_OPS_PORT": "65536",
    "PAYMENTS_GRACE_DAYS": "-1",
    "PAYMENTS_DRAIN_S": "soon",
    "PAYMENTS_LOG_LEVEL": "loud",
}
HINT = "`payments dev` needs none of them"


def named(answer: Answer) -> tuple[str, ...]:
    """Return the variables that a refusal names, one a line."""
    assert (answer.code, answer.out) == (4, "")
    assert CANARY not in answer.err
    lines = [line for line in answer.err.splitlines() if HINT not in line]
    assert all(line.startswith("payments: PAYMENTS_") for line in lines)
    return tuple(line.split(": ")[1] for line in lines)


@pytest.mark.parametrize("words", [["serve"], ["worker"], ["account", "show", "ada"]])
def test_whoever_has_set_nothing_is_told_of_dev(
    inside: Inside, nowhere: dict[str, str], words: list[str]
) -> None:
    """
    In one line, after what is missing; whoever says which environment it is, is not.
    """
    bare = inside(*words, env=nowhere)
    named_one = inside(*words, env={**nowhere, "PAYMENTS_ENV": "production"})

    assert named(bare) == REQUIRED
    assert bare.err.splitlines()[-1].startswith(f"payments: {HINT}")
    assert named_one.code == 4
    assert HINT not in named_one.err


@pytest.mark.parametrize("words", [["serve"], ["config", "check"]])
def test_t61_every_variable_that_is_missing_or_wrong_is_named(
    nowhere: dict[str, str], words: list[str]
) -> None:
    """
    All at once, exit code 4, and no secret in it.
    """
    assert named(payments(*words, env=nowhere)) == REQUIRED
    wrong = {**nowhere, **secretive(**WRONG)}
    assert set(named(payments(*words, env=wrong))) == set(WRONG)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("PAYMENTS_JWT_KEYS", CANARY),
        ("PAYMENTS_JWT_KEYS", json.dumps({"keys": [{"kty": "oct", "k": CANARY}]})),
        ("PAYMENTS_STRIPE_WEBHOOK_SECRETS", CANARY),
    ],
)
def test_t61_a_secret_that_cannot_be_used_is_named(
    inside: Inside, nowhere: dict[str, str], variable: str, value: str
) -> None:
    """
    Its own adapter refuses it, before the service starts.
    """
    env = {**nowhere, **secretive(**{variable: value})}

    assert named(inside("serve", env=env)) == (variable,)


@pytest.mark.parametrize("variable", ["PAYMENTS_PORT", "PAYMENTS_OPS_PORT"])
def test_a_taken_port_stops_the_start(
    database_url: str, nowhere: dict[str, str], variable: str
) -> None:
    """
    Exit code 4 and the variable's name.
    """
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = {variable: str(taken.getsockname()[1])}
        env = secretive(PAYMENTS_DATABASE_URL=database_url, **port)

        assert named(payments("serve", env={**nowhere, **env})) == (variable,)


def test_the_other_modes_database_stops_the_start(
    database_url: str, nowhere: dict[str, str]
) -> None:
    """
    The first service stamps the database; real and test money never meet in it.
    """
    stamp = "insert into deployment (singleton, livemode) values (true, true)"
    databases.run(databases.execute(database_url, stamp))
    env = {**nowhere, **secretive(PAYMENTS_DATABASE_URL=database_url)}

    answer = payments("serve", env=env)

    assert named(answer) == ("PAYMENTS_DATABASE_URL",)
    assert "belongs to production" in answer.err


def test_a_database_that_is_not_ready_stops_the_start(
    empty_database: str, nowhere: dict[str, str]
) -> None:
    """
    Behind: exit code 6 and what to run. No answer: exit code 5. No secret in either.
    """
    behind = payments(
        "serve", env={**nowhere, **secretive(PAYMENTS_DATABASE_URL=empty_database)}
    )
    silent = payments("serve", env={**nowhere, **secretive()})

    assert (behind.code, behind.out) == (6, "")
    assert "run `payments db upgrade`" in behind.err
    assert (silent.code, silent.out) == (5, "")
    assert CANARY not in behind.err + silent.err


def test_t61_the_configuration_is_shown_without_secrets(
    nowhere: dict[str, str],
) -> None:
    """
    Names and values as the environment has them: what is shown can be set.
    """
    given = {
        "PAYMENTS_JWT_MAX_AGE_S": "90",
        "PAYMENTS_GRACE_DAYS": "7",
        "PAYMENTS_DRAIN_S": "1",
    }
    env = {**nowhere, **secretive(**given)}

    shown = payments("config", "show", "--json", env=env)
    in_words = payments("config", "show", env=env)
    checked = payments("config", "check", env=env)
    again = payments("config", "show", "--json", env={**env, **plain(shown.json)})

    assert CANARY not in shown.out + shown.err + in_words.out + in_words.err
    assert given.items() <= shown.json.items()
    hidden = {name for name, value in shown.json.items() if value == "set"}
    assert hidden == {name for name, value in env.items() if CANARY in value}
    assert again.json == shown.json
    lines = dict(line.split(" = ") for line in in_words.out.splitlines())
    assert lines == shown.json
    assert (checked.code, checked.out) == (0, "ok\n")


def plain(shown: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in shown.items() if value != "set"}


# Help.


def commands(command: click.Command, *path: str) -> Iterator[tuple[str, ...]]:
    yield path
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            yield from commands(below, *path, name)


def test_every_command_explains_itself(nowhere: dict[str, str]) -> None:
    """
    `--help` and `-h` need no settings and exit with 0; each option says something.
    """
    found = list(commands(root))
    assert ("webhook", "send") in found
    assert ("serve",) in found

    for path in found:
        for flag in ("--help", "-h"):
            answer = CliRunner().invoke(root, [*path, flag])
            assert (answer.exit_code, answer.exception) == (0, None)
            assert "Usage: " in answer.output
    first = payments("--help", env=nowhere)
    assert first.code == 0
    assert all(path[0] in first.out for path in found if path)
    assert payments("fly", env=nowhere).code == 2


# What a service that runs writes.


@attrs.frozen
class Written:
    service: ServiceProcess
    path: Path

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.path.read_text().split("\n")[:-1]]


@contextmanager
def writing(world: World, path: Path) -> Iterator[Written]:
    """Lend a service that tells all it would ever tell, into a file."""
    port, ops_port = free_port(), free_port()
    with path.open("wb") as file:
        process = subprocess.Popen(
            [*COMMAND, "serve"],
            env={**world.env(port, ops_port), "PAYMENTS_LOG_LEVEL": "debug"},
            stdout=file,
            stderr=file,
        )
    service = ServiceProcess(world, port, ops_port, process)
    try:
        deadline = time.monotonic() + START_S_MAX
        while not is_ready(service):
            assert process.poll() is None
            assert time.monotonic() < deadline
            threading.Event().wait(POLL_S)
        yield Written(service, path)
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(START_S_MAX) == 0


def is_ready(service: ServiceProcess) -> bool:
    try:
        return httpx.get(f"{service.ops_url}/readyz", timeout=5).is_success
    except httpx.HTTPError:
        return False


def exercise(service: ServiceProcess) -> list[int]:
    """Send canaries wherever a caller can put them; return the answers' statuses."""
    own = service.world.token(CANARY, email=f"{CANARY}@example.com")
    admin = service.world.admin()
    charge = event(
        SUCCEEDED, CANARY, receipt_email=f"{CANARY}@example.com", description=CANARY
    )
    signed = json.dumps(charge).encode()
    forged = {"Stripe-Signature": f"t=1,v1={CANARY}"}
    odd = {"X-Request-Id": f"{CANARY} {{", "Cookie": CANARY, "User-Agent": CANARY}
    answers = [
        service.post_event(charge),
        service.post_event(charge),
        service.post_event(charge, "charge/failed"),
        service.post_event(signed, **forged),
        service.post_event(f'{{"id": "{CANARY}"'.encode()),
        service.post_event({"id": CANARY, "type": CANARY}),
        service.call("PUT", f"/users/{CANARY}", own, {"email": CANARY}),
        service.call("PUT", f"/users/{CANARY}", admin, {"email": CANARY}),
        service.call("PUT", f"/users/{CANARY}", admin, {CANARY: CANARY}),
        service.call("GET", f"/users/{CANARY}/payment-status", own),
        service.call("GET", f"/users/{CANARY}@x.org/payment-status?q={CANARY}", admin),
        service.call("GET", f"/{CANARY}?token={CANARY}", own),
        service.call("GET", "/tokens/invalidated", f"eyJ{CANARY}.{CANARY}.{CANARY}"),
        service.call("GET", f"/tokens/invalidated?cursor={CANARY}", admin),
        service.call("POST", "/tokens/invalidate", own, {"token": CANARY}),
        service.call("DELETE", f"/users/{CANARY}", own),
        httpx.get(f"{service.url}/tokens/invalidated", headers=odd),
    ]
    return [answer.status_code for answer in answers]


def speak_nonsense(port: int) -> None:
    """Send what is not HTTP, and read until the service hangs up."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as line:
        line.sendall(f"{CANARY} \0\r\n{CANARY}: \x1b[31m\r\n\r\n".encode())
        line.shutdown(socket.SHUT_WR)
        while line.recv(4096):
            pass


def test_t61_t62_a_service_writes_lines_of_json_and_no_secrets(
    database_url: str, tmp_path: Path
) -> None:
    """
    Applied, refused, failed by a bug, without a database: nothing of a body, a header,
    a path or a setting is written, and each line is one JSON object.
    """
    world = World(database_url)
    name = database_url.rsplit("/", 1)[1]
    other = databases.named(database_url, "postgres")
    with writing(world, tmp_path / "log") as written:
        service = written.service
        usual = exercise(service)
        speak_nonsense(service.port)
        break_ = "alter table payment_accounts rename email_key to gone"
        databases.run(databases.execute(database_url, break_))
        broken = exercise(service)
        away = f"alter database {name} rename to away_{name}"
        databases.run(databases.execute(other, end(name), away))
        without = exercise(service)
        back = f"alter database away_{name} rename to {name}"
        databases.run(databases.execute(other, back))
    text = written.path.read_text()
    hidden = [
        CANARY,
        world.jwks,
        json.loads(world.jwks)["keys"][0]["k"],
        database_url,
        *world.secrets,
        "eyJ",
        "Bearer",
        "Traceback",
    ]

    assert {200, 400, 401, 403, 404} <= set(usual)
    assert max(usual) < 500
    assert 500 in broken
    assert 503 in without
    assert [secret for secret in hidden if secret in text] == []
    assert text[:-1].replace("\n", "").isprintable()
    lines = written.lines()
    assert all({"event", "level", "timestamp"} <= set(line) for line in lines)
    requests = [line for line in lines if line["event"] == "request"]
    assert len([line for line in requests if line["path"] != "/readyz"]) == len(
        usual + broken + without
    )
    assert {line["event"] for line in lines} >= {"request", "bug", "unavailable"}


def end(name: str) -> str:
    return (
        "select pg_terminate_backend(pid, 5000) from pg_stat_activity "  # noqa: S608  # our own name
        f"where datname = '{name}'"
    )


def test_ctrl_c_ends_the_service_as_sigterm_does(database_url: str) -> None:
    """
    It drains, and the exit code is 0.
    """
    service = start(World(database_url))

    service.process.send_signal(signal.SIGINT)

    assert service.process.wait(START_S_MAX) == 0


# Runs `payments`, as if one package were not there.
WITHOUT = """
import sys

class Missing:
    def find_spec(self, name, *_):
        if name == missing:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

missing = sys.argv.pop(1)
sys.meta_path.insert(0, Missing())
from payments_service.cli import main
main()
"""


@pytest.mark.parametrize("missing", ["payments_sandbox", "payments_service.dev"])
@pytest.mark.parametrize("words", [["dev"], ["sandbox", "serve", "--port", "0"]])
def test_what_is_not_installed_says_how_to_install_it(
    nowhere: dict[str, str], missing: str, words: list[str]
) -> None:
    """
    Production installs no extra, and its image has no `dev`: one sentence, no more.
    """
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, missing, *words],
        env={"PATH": os.environ["PATH"], **nowhere},
        capture_output=True,
        text=True,
        timeout=START_S_MAX,
        check=False,
    )

    assert (done.returncode, done.stdout) == (4, "")
    assert done.stderr == (
        f"payments: `payments {words[0]}` needs the extra `dev`: install "
        "`payments-service[dev]`\n"
    )
