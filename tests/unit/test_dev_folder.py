"""The time of a sandbox in another process, as it writes it to a file."""

import os
import re
import shutil
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import pytest

from payments_core.errors import Unavailable
from payments_service.cli.dev_folder import (
    JWKS,
    KEYS_OF_PASSES,
    SANDBOX_CLOCK,
    STRIPE_API_KEY,
    WEBHOOK_SECRET,
    DevFolder,
    lendable,
)
from payments_service.dev.folder import OwnedFolder

SECOND = 1_800_000_000
SETTINGS: Final = Path(__file__).parents[2] / "docs" / "settings.md"
# What one process has for itself, and no command's answer depends on.
OWN: Final = {
    *("HOST", "PORT", "OPS_PORT", "CONNECTIONS_MAX", "KEEP_ALIVE_S", "DRAIN_S"),
    *("DATABASE_POOL_SIZE", "LOG_LEVEL", "TRACES"),
    # Of callers; the commands are not callers.
    "DECLINES_PER_HOUR",
    *(f"{lane}_IN_FLIGHT_MAX" for lane in ("WEBHOOKS", "READS", "CHANGES")),
    *(
        f"{kind}_PER_MINUTE"
        for kind in ("READS", "CHANGES", "CARDS", "FEED", "REVOCATIONS", "ADMIN")
    ),
    # Of passes, which only the service issues.
    *("ACCESS_PASS_ISSUER", "ACCESS_PASS_LIFETIME_S"),
    # `payments dev` has keys of its own.
    "JWT_KEYS_URL",
    # Its secrets are next to its file.
    "WEBHOOKS_OUT",
}
SHOWN = datetime.fromtimestamp(SECOND, UTC)


@pytest.fixture
def folder(tmp_path: Path) -> DevFolder:
    (tmp_path / SANDBOX_CLOCK).write_text(f"{SECOND}\n")
    return DevFolder(tmp_path)


def written(folder: DevFolder, seconds_ago: float) -> None:
    then = time.time() - seconds_ago
    os.utime(folder.path / SANDBOX_CLOCK, (then, then))


def test_it_is_that_second_of_the_sandbox(folder: DevFolder) -> None:
    """
    Read again each time, in UTC.
    """
    clock = folder.sandbox_clock
    assert clock().replace(microsecond=0) == SHOWN
    assert clock().utcoffset() == timedelta(0)

    (folder.path / SANDBOX_CLOCK).write_text(f"{SECOND + 86_400}\n")
    assert clock().replace(microsecond=0) == SHOWN + timedelta(days=1)


def test_within_a_second_what_comes_later_is_later(folder: DevFolder) -> None:
    """
    So events of one second have their order.
    """
    written(folder, 0.3)
    first = folder.sandbox_clock()
    second = folder.sandbox_clock()

    assert SHOWN + timedelta(seconds=0.3) <= first < second


@pytest.mark.parametrize("seconds_ago", [1.0, 5.0, 86_400.0, -60.0])
def test_no_second_is_left_before_the_sandbox_leaves_it(
    folder: DevFolder, seconds_ago: float
) -> None:
    """
    It is frozen, busy, or does not run; or the system's clock was set back.
    """
    written(folder, seconds_ago)

    assert SHOWN <= folder.sandbox_clock() < SHOWN + timedelta(seconds=1)


def test_without_a_service_there_is_no_time(folder: DevFolder) -> None:
    """
    It says how to start one.
    """
    (folder.path / SANDBOX_CLOCK).unlink()

    with pytest.raises(Unavailable, match="payments dev"):
        folder.sandbox_clock()


@pytest.mark.parametrize(
    "damaged", ["", "garbage", "\0\0", "1896014690.5", "9" * 30, "9" * 5000, "-9" * 9]
)
def test_what_is_no_time_is_told_as_such(folder: DevFolder, damaged: str) -> None:
    """
    What needs the time is unavailable, which is not a bug: it works again when the file
    is complete.
    """
    (folder.path / SANDBOX_CLOCK).write_text(damaged)
    with pytest.raises(Unavailable, match="payments dev"):
        folder.sandbox_clock()

    (folder.path / SANDBOX_CLOCK).write_text(f"{SECOND}\n")
    assert folder.sandbox_clock().replace(microsecond=0) == SHOWN


def test_each_setting_that_an_answer_depends_on_is_lent(folder: DevFolder) -> None:
    """
    A new setting is lent, or named above: otherwise a command and the service disagree.
    """
    found = set(re.findall(r"PAYMENTS_[A-Z_]+", SETTINGS.read_text()))
    others = ("PAYMENTS_DEV_", "PAYMENTS_POSTGRES_", "PAYMENTS_TEST_")
    known = {it for it in found if not it.endswith(("_FILE", "_"))}
    known -= {it for it in known if it.startswith(others)}
    lent = lendable(dict.fromkeys(known, "x"))
    for name in (JWKS, STRIPE_API_KEY, WEBHOOK_SECRET, KEYS_OF_PASSES):
        (folder.path / name).write_text("x")
    made = folder.settings("postgresql://of@the/service", "http://127.0.0.1:1")

    assert known == {*lent, *made, *(f"PAYMENTS_{it}" for it in OWN)}


def test_what_a_service_was_started_with_is_lent_to_other_commands(
    folder: DevFolder,
) -> None:
    """
    As far as they need to know it: also what is in a file, and no port.
    """
    key = folder.path / "key"
    key.write_text("the key of erasures")
    env = {
        "PAYMENTS_ERASURE_KEY_FILE": str(key),
        "PAYMENTS_EVENT_BACK_FILL_S": "0",
        "PAYMENTS_PORT": "8000",
        "PATH": "/bin",
    }
    facts = {"database_url": "postgresql://of@the/service", **lendable(env)}
    assert folder.lent() == {}

    with OwnedFolder(folder.path).owned(fresh=False):
        OwnedFolder(folder.path).publish(facts)
        lent = folder.lent()

    assert lent["PAYMENTS_ERASURE_KEY"] == "the key of erasures"
    assert lent["PAYMENTS_EVENT_BACK_FILL_S"] == "0"
    assert lent["PAYMENTS_DATABASE_URL"] == facts["database_url"]
    assert not {"PAYMENTS_PORT", "PATH"} & set(lent)


@pytest.mark.parametrize("broken_at", ["rename", "removal"])
def test_a_wipe_that_was_interrupted_is_finished_by_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken_at: str
) -> None:
    """
    A data folder is complete or does not exist, and nothing older remains.
    """
    folder = OwnedFolder(tmp_path)
    with folder.owned(fresh=False):
        data = folder.postgres / "data"
        data.mkdir(parents=True)
        (data / "PG_VERSION").write_text("16\n")
        folder.sandbox_journal.write_text("{}\n")
        secret = folder.webhook_secret()

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as cut:
        where = {"rename": (Path, "rename"), "removal": (shutil, "rmtree")}
        cut.setattr(*where[broken_at], interrupted)
        with pytest.raises(KeyboardInterrupt), folder.owned(fresh=True):
            raise AssertionError
    was_moved = not folder.postgres.exists()
    assert was_moved is (broken_at == "removal")
    with folder.owned(fresh=False):
        assert [it.name for it in tmp_path.iterdir() if "wiped" in it.name] == []
        assert folder.sandbox_journal.exists() is not was_moved
        assert (folder.webhook_secret() == secret) is not was_moved
        assert folder.postgres.exists() is not was_moved
