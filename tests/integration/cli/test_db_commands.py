"""`payments db …`: upgrades, databases that do not answer, and checks of a database."""

import os
import socket
import subprocess

import pytest

from payments_adapters.postgres import schema
from support import databases
from support.command_line import Inside
from support.commands import CANARY, COMMAND, NOBODY, START_S_MAX, Dev, payments


def test_an_empty_database_is_upgraded_once(
    inside: Inside, empty_database: str, nowhere: dict[str, str]
) -> None:
    """
    Before the upgrade: exit code 6 and the command to run. Four upgrades at once, and a
    later one, all succeed.
    """
    env = {**nowhere, "PAYMENTS_DATABASE_URL": empty_database}
    before = inside("db", "current", env=env)
    waited = inside("db", "wait", "--timeout", "1", env=env)
    dry = inside("db", "upgrade", "--dry-run", env=env)
    still = inside("db", "current", env=env)
    four = [
        subprocess.Popen([*COMMAND, "db", "upgrade"], env={**os.environ, **env})
        for _ in range(4)
    ]
    codes = [process.wait(START_S_MAX) for process in four]
    again = inside("db", "upgrade", env=env)
    after = inside("db", "current", env=env)
    there = inside("db", "wait", "--timeout", "1", env=env)

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
    inside: Inside, nowhere: dict[str, str], words: list[str]
) -> None:
    """
    The exit code asks for another try later.
    """
    env = {**nowhere, "PAYMENTS_DATABASE_URL": NOBODY}

    answer = inside("db", *words, env=env)

    assert (answer.code, answer.out) == (5, "")
    assert "the database did not answer" in answer.err


@pytest.mark.parametrize(
    "words", [["current"], ["upgrade"], ["wait", "--timeout", "1"]]
)
def test_a_database_at_a_revision_that_no_release_has_is_refused(
    inside: Inside, database_url: str, nowhere: dict[str, str], words: list[str]
) -> None:
    """
    The database is not changed, and no process starts on it: exit code 6, and a message
    that says which release knows more.
    """
    update = "update alembic_version set version_num = 'garbage'"
    databases.run(databases.execute(database_url, update))
    env = {**nowhere, "PAYMENTS_DATABASE_URL": database_url}

    answer = inside("db", *words, env=env)

    assert (answer.code, answer.out) == (6, "")
    assert "'garbage'" in answer.err
    assert "`payments doctor --start`" in answer.err


def test_waiting_ends_in_time_where_packets_vanish(nowhere: dict[str, str]) -> None:
    """
    A server that accepts the connection and never answers does not block the command.
    """
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgresql://nobody@127.0.0.1:{silent.getsockname()[1]}/nothing"
        env = {**nowhere, "PAYMENTS_DATABASE_URL": url}
        # Without a limit the query would take asyncpg's whole minute.
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
    The exit code is 4.
    """
    answer = inside("db", "current", env={**nowhere, **env})

    assert (answer.code, answer.out) == (4, "")
    assert answer.err.startswith("payments: PAYMENTS_DATABASE_URL: ")
    assert CANARY not in answer.err


def test_a_development_service_lends_its_database(dev: Dev) -> None:
    """
    Variables that the environment does not set come from the folder.
    """
    assert dev.run("db", "current").out == f"{schema.head()}\n"


def test_a_development_service_is_seen_by_the_doctor(dev: Dev) -> None:
    """
    With the service's own settings, its sandbox's time and the endpoint there.
    """
    answer = dev.run("doctor", "--json")

    statuses = {it["check"]: it["status"] for it in answer.json["items"]}
    looked = ("settings", "database", "schema", "mode", "key", "clock", "endpoints")
    assert {statuses[check] for check in looked} == {"ok"}, answer.out


def test_the_doctor_says_how_to_do_without_settings(
    inside: Inside, nowhere: dict[str, str]
) -> None:
    """
    The reader has set nothing, and no development service runs.
    """
    answer = inside("doctor", env=nowhere)
    assert answer.code == 7
    assert "PAYMENTS_DATABASE_URL: missing" in answer.out
    assert "`payments dev`" in answer.err
