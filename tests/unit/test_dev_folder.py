"""The time of a sandbox beside us, as it keeps it in a file."""

import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from payments_service.cli.dev_folder import SANDBOX_CLOCK, DevFolder
from payments_service.cli.exit_codes import CommandError, Exit

SECOND = 1_800_000_000
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
    Read anew each time, in UTC.
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

    with pytest.raises(CommandError, match="payments dev") as caught:
        folder.sandbox_clock()
    assert caught.value.code is Exit.DEPENDENCY_DOWN
