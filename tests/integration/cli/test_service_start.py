"""`payments serve` as a process: what prevents its start, and the message."""

import json
import re
import socket
import subprocess
import sys
from collections.abc import Mapping

import pytest

from support import databases
from support.command_line import Answer, Inside
from support.commands import CANARY, payments, secretive
from support.events import SAMPLES

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
    "PAYMENTS_CONNECTIONS_MAX": "many",
    "PAYMENTS_KEEP_ALIVE_S": "0",
    "PAYMENTS_GRACE_DAYS": "-1",
    "PAYMENTS_DRAIN_S": "soon",
    "PAYMENTS_LOG_LEVEL": "loud",
}
HINT = "`payments dev` needs none of them"


def named(answer: Answer) -> tuple[str, ...]:
    """Return the variables that a refusal names, one on each line."""
    assert (answer.code, answer.out) == (4, "")
    assert CANARY not in answer.err
    lines = [line for line in answer.err.splitlines() if HINT not in line]
    assert all(line.startswith("payments: PAYMENTS_") for line in lines)
    return tuple(line.split(": ")[1] for line in lines)


@pytest.mark.parametrize(
    ("words", "required"),
    [
        (["serve"], REQUIRED),
        # A process that answers no caller and takes no webhook.
        (["worker"], REQUIRED[:2]),
        (["config", "show"], REQUIRED),
    ],
)
def test_whoever_has_set_nothing_is_told_of_dev(
    inside: Inside,
    nowhere: dict[str, str],
    words: list[str],
    required: tuple[str, ...],
) -> None:
    """
    In one line, after the missing settings; not if `PAYMENTS_ENV` is set.
    """
    bare = inside(*words, env=nowhere)
    named_one = inside(*words, env={**nowhere, "PAYMENTS_ENV": "production"})

    assert named(bare) == required
    assert bare.err.splitlines()[-1].startswith(f"payments: {HINT}")
    assert named_one.code == 4
    assert HINT not in named_one.err


@pytest.mark.parametrize(
    "words",
    [
        ["account", "show", "ada"],
        ["subscription", "list", "ada"],
        ["token", "issue", "--user", "ada"],
        ["token", "list"],
        ["webhook", "list"],
        ["webhook", "send", SAMPLES / "charge_failed.json"],
        ["sandbox", "state"],
    ],
)
def test_who_asks_while_nothing_runs_is_told_how_to_start_it(
    inside: Inside, nowhere: dict[str, str], words: list[str]
) -> None:
    """
    In one line, exit code 5, for every command; a reader who has begun to configure a
    service is told which settings are missing.
    """
    bare = inside(*words, env=nowhere)

    assert (bare.code, bare.out) == (5, "")
    [line] = bare.err.splitlines()
    assert line.startswith("payments: no development service runs on ")
    assert "start one with `make run` or `payments dev`" in line


@pytest.mark.parametrize("words", [["account", "show", "ada"], ["token", "list"]])
def test_who_has_set_a_part_is_told_what_is_missing(
    inside: Inside, nowhere: dict[str, str], words: list[str]
) -> None:
    """
    Exit code 4 and the other required settings: those that verify callers are not
    needed, unless a token must be verified.
    """
    given = {**nowhere, "PAYMENTS_JWT_ISSUER": "users"}

    assert named(inside(*words, env=given)) == REQUIRED[:2]
    verifies = inside("token", "invalidate", "a.b.c", "--yes", env=given)
    assert named(verifies) == tuple(it for it in REQUIRED if "ISSUER" not in it)


@pytest.mark.parametrize("words", [["serve"], ["config", "check"]])
def test_t61_every_variable_that_is_missing_or_wrong_is_named(
    inside: Inside, nowhere: dict[str, str], words: list[str]
) -> None:
    """
    All at once, exit code 4, and the message has no secret.
    """
    assert named(inside(*words, env=nowhere)) == REQUIRED
    wrong = {**nowhere, **secretive(**WRONG)}
    assert set(named(payments(*words, env=wrong))) == set(WRONG)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("PAYMENTS_JWT_KEYS", CANARY),
        ("PAYMENTS_JWT_KEYS", json.dumps({"keys": [{"kty": "oct", "k": CANARY}]})),
        ("PAYMENTS_STRIPE_WEBHOOK_SECRETS", CANARY),
        ("PAYMENTS_STRIPE_WEBHOOK_SECRETS", "whsec_" + "a" * 32),
        ("PAYMENTS_STRIPE_WEBHOOK_SECRETS", f"whsec_{CANARY}\nwhsec_{CANARY}"),
    ],
)
def test_t61_a_secret_that_cannot_be_used_is_named(
    inside: Inside, nowhere: dict[str, str], variable: str, value: str
) -> None:
    """
    The setting's own adapter refuses it, before the service starts.
    """
    env = {**nowhere, **secretive(**{variable: value})}

    assert named(inside("serve", env=env)) == (variable,)


@pytest.mark.parametrize("words", [["serve"], ["worker"], ["config", "check"]])
def test_an_unknown_setting_stops_the_start(
    inside: Inside, nowhere: dict[str, str], words: list[str]
) -> None:
    """
    Exit code 4, along with the other errors; an option of a command is not refused.
    """
    others = {
        "PAYMENTS_LOG_LEVELS": CANARY,
        "PAYMENTS_GATEWAY_PORT": "tcp://10.0.0.1:80",
        "PAYMENTS_DRAIN_S": "soon",
        "PAYMENTS_TOKEN_LIST_LIMITS": "1",
        "PAYMENTS_TOKENS": "1",
    }
    options = {
        "PAYMENTS_TOKEN_LIST_LIMIT": "9",
        "PAYMENTS_WEBHOOK_LIST_LIMIT": "9",
        "PAYMENTS_WORKER_ONCE": "0",
        "PAYMENTS_DEV_FRESH": "0",
    }
    answer = inside(*words, env={**nowhere, **secretive(**others, **options)})

    assert set(named(answer)) == set(others)
    assert "enableServiceLinks: false" in answer.err


def test_what_serves_keeps_no_tool_of_migrations_in_memory() -> None:
    """
    The command asks the database for its revision, and knows its own without a
    database.
    """
    program = (
        "import sys, payments_service.processes.serve, payments_service.cli.db;"
        " print([it for it in sys.modules if it.partition('.')[0] == 'alembic'])"
    )
    printed = subprocess.check_output([sys.executable, "-c", program], text=True)

    assert printed == "[]\n"


@pytest.mark.parametrize("variable", ["PAYMENTS_PORT", "PAYMENTS_OPS_PORT"])
def test_a_taken_port_stops_the_start(
    database_url: str, nowhere: dict[str, str], variable: str
) -> None:
    """
    Exit code 4 and the name of the variable.
    """
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = {variable: str(taken.getsockname()[1])}
        env = secretive(PAYMENTS_DATABASE_URL=database_url, **port)

        assert named(payments("serve", env={**nowhere, **env})) == (variable,)


def test_the_other_modes_database_stops_the_start(
    inside: Inside, database_url: str, nowhere: dict[str, str]
) -> None:
    """
    The first service stamps the database; test data and real payments are never mixed
    in one database.
    """
    stamp = "insert into deployment (singleton, livemode) values (true, true)"
    databases.run(databases.execute(database_url, stamp))
    env = {**nowhere, **secretive(PAYMENTS_DATABASE_URL=database_url)}

    answer = inside("serve", env=env)

    assert named(answer) == ("PAYMENTS_DATABASE_URL",)
    assert "belongs to production" in answer.err


def test_a_database_that_is_not_ready_stops_the_start(
    empty_database: str, nowhere: dict[str, str]
) -> None:
    """
    Schema behind: exit code 6 and the command to run. No answer: exit code 5. Neither
    message has a secret.
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
    inside: Inside, nowhere: dict[str, str]
) -> None:
    """
    Names and values are those of the environment: what is shown can be set.
    """
    given = {
        "PAYMENTS_JWT_MAX_AGE_S": "90",
        "PAYMENTS_GRACE_DAYS": "7",
        "PAYMENTS_DRAIN_S": "1",
        "PAYMENTS_KEEP_BODIES_DAYS": "31",
        "PAYMENTS_KEEP_JOBS_DAYS": "0",
    }
    env = {**nowhere, **secretive(**given)}

    shown = payments("config", "show", "--json", env=env)
    in_words = inside("config", "show", env=env)
    checked = inside("config", "check", env=env)
    again = inside("config", "show", "--json", env={**env, **plain(shown.json)})

    assert CANARY not in shown.out + shown.err + in_words.out + in_words.err
    assert given.items() <= shown.json.items()
    hidden = {name for name, value in shown.json.items() if value == "set"}
    assert hidden == {name for name, value in env.items() if CANARY in value}
    assert again.json == shown.json
    lines = dict(line.split(" = ") for line in in_words.out.splitlines())
    assert lines == shown.json
    assert (checked.code, checked.out) == (0, "ok\n")


def test_of_a_catalogue_the_version_is_shown(
    inside: Inside, nowhere: dict[str, str]
) -> None:
    """
    The same as the routes say, so that it is clear which catalogue was read; an invalid
    one is named.
    """
    env = {**nowhere, **secretive()}
    sold = {**env, "PAYMENTS_CATALOGUE": "[products.prod_a]"}
    wrong = {**env, "PAYMENTS_CATALOGUE": "[products.prod_a]\nfeature = []"}

    shown = inside("config", "show", "--json", env=sold).json
    checked = inside("config", "check", env=wrong)

    assert re.fullmatch("version [0-9a-f]{12}", shown["PAYMENTS_CATALOGUE"])
    assert checked.code == 4
    assert "PAYMENTS_CATALOGUE: products.prod_a.feature: not one of" in checked.err


def plain(shown: Mapping[str, str]) -> dict[str, str]:
    secrets = {"set", "not set"}
    return {name: value for name, value in shown.items() if value not in secrets}
