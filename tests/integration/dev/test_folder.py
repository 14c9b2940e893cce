"""The folder of a development service: its owner, its content, and what stays."""

import stat
from pathlib import Path

from support import databases
from support.dev_service import (
    DevProcess,
    payments,
    processes_left,
    processes_of,
    readiness,
    running,
    wait_for,
)


def test_it_tells_other_commands_where_everything_is(dev: DevProcess) -> None:
    """
    dev.json has working addresses, a secret and a token; only its owner can read it.
    """
    facts = dev.facts

    assert set(facts) == {
        "base_url",
        "ops_url",
        "database_url",
        "webhook_secret",
        "admin_token",
        "sandbox_url",
        "stripe_api_key",
    }
    # A machine that is busy for a second delays the poll for revocations.
    wait_for(lambda: readiness(dev) == (200, ""))
    assert dev.status("nobody").status_code == 404
    assert databases.digest(facts["database_url"])
    ours = [path for path in dev.folder.iterdir() if path.is_file()]
    assert {stat.S_IMODE(path.stat().st_mode) for path in ours} == {0o600}
    assert stat.S_IMODE(dev.folder.stat().st_mode) == 0o700


def test_a_folder_has_one_service(dev: DevProcess) -> None:
    """
    The second one is told what to do, and does not disturb the first.
    """
    for words in ([], ["--fresh"]):
        second = payments("dev", *words, folder=dev.folder)

        assert second.returncode == 6
        assert "another `payments dev` runs on" in second.stderr
        assert "PAYMENTS_DEV_DIR" in second.stderr
    assert dev.status("nobody").status_code == 404


def test_data_outlives_the_service_and_no_process_does(tmp_path: Path) -> None:
    """
    Killed, interrupted, terminated: no process is left, the data stays, `--fresh`
    deletes it. The same holds for the sandbox's data.
    """
    folder = tmp_path / ".payments"
    made = ("sandbox", "trigger", "customer.created", "--user", "kim")

    with running(folder) as first:
        before = first.facts
        first.register("stays")
        assert first.status("stays").status_code == 200
        assert payments(*made, folder=folder).returncode == 0
        first.kill()
    # The facts that it left are not mistaken for those of a running service.
    assert (folder / "dev.json").exists()
    gone = payments("token", "issue", "--user", "u", folder=folder)
    assert (gone.returncode, gone.stdout) == (5, "")
    assert "start one with `make run` or `payments dev`" in gone.stderr
    assert processes_left(folder) == []

    with running(folder) as second:
        after = second.facts
        assert after["webhook_secret"] == before["webhook_secret"]
        assert second.status("stays", before["admin_token"]).status_code == 200
        assert len(second.customers()) == 1
        assert second.interrupt() == 0
    # When the command has ended, so have all its processes.
    assert processes_of(folder) == []
    assert not (folder / "dev.json").exists()
    assert not (folder / "sandbox-clock").exists()

    with running(folder, "--fresh") as third:
        assert third.facts["webhook_secret"] != before["webhook_secret"]
        assert third.status("stays").status_code == 404
        assert third.status("stays", before["admin_token"]).status_code == 401
        assert len(third.customers()) == 0
        assert third.terminate() == 0
    assert processes_of(folder) == []
    assert not (folder / "dev.json").exists()
    for dev in (first, second, third):
        assert dev.messages == ""


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    """
    A file already exists there: exit code 4, and the variable's name.
    """
    (tmp_path / "file").touch()

    for place in (tmp_path / "file", tmp_path / "file" / "below"):
        answer = payments("dev", folder=place)

        assert answer.returncode == 4
        *_, last = answer.stderr.splitlines()
        assert last.startswith("payments: PAYMENTS_DEV_DIR: ")
