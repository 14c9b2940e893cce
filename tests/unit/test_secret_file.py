"""The file that a secret is written to: complete or absent, with no other file left."""

import errno
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest

from payments_service.cli.exit_codes import CommandError
from payments_service.cli.secret_file import SecretFile

SECRET: Final = "whsec_of_this_file"
# Whether or not a system allows a file without a name.
SYSTEMS: Final = ("linux", "NFS", "another system", "no /proc")
_KILLED: Final = """
import os, signal, sys
from pathlib import Path
from payments_service.cli.secret_file import SecretFile
if sys.argv[2] == "named":
    del os.O_TMPFILE
with SecretFile(Path(sys.argv[1])).reserved() as reserved:
    if sys.argv[3] == "written":
        reserved.write("whsec_of_this_file")
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(params=SYSTEMS)
def system(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Simulate a system that can make a file without a name, or one that cannot."""
    name = str(request.param)
    if name == "NFS":
        opened = os.open

        def refusing(path: Any, flags: int, *more: Any) -> int:
            if flags & os.O_TMPFILE == os.O_TMPFILE:
                raise OSError(errno.EOPNOTSUPP, "Operation not supported")
            return opened(path, flags, *more)

        monkeypatch.setattr(os, "open", refusing)
    elif name == "another system":
        monkeypatch.delattr(os, "O_TMPFILE")
    elif name == "no /proc":
        monkeypatch.setattr(Path, "exists", lambda _: False)
    return name


@pytest.fixture
def file(tmp_path: Path) -> SecretFile:
    return SecretFile(tmp_path / "secret")


def beside(file: SecretFile) -> list[Path]:
    return [it for it in file.path.parent.iterdir() if it != file.path]


def test_it_is_whole_for_its_owner_alone(system: str, file: SecretFile) -> None:
    """
    From the moment at which it exists, and no other file remains. Until then nobody
    else could read its contents.
    """
    with file.reserved() as reserved:
        assert file.secrets() == ()
        while_reserved = beside(file)
        assert all(stat.S_IMODE(it.stat().st_mode) == 0o600 for it in while_reserved)
        reserved.write(SECRET)
        assert file.path.read_text() == f"{SECRET}\n"
    assert (len(while_reserved), beside(file)) == (system != "linux", [])
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
    assert file.secrets() == [SECRET]


def test_a_run_that_fails_leaves_nothing(system: str, file: SecretFile) -> None:
    """
    Whatever ends it, Ctrl-C as well, in whatever folder.
    """
    with pytest.raises(KeyboardInterrupt), file.reserved():
        raise KeyboardInterrupt
    assert (file.secrets(), beside(file)) == ((), []), system


def test_what_came_meanwhile_is_not_written_over(system: str, file: SecretFile) -> None:
    """
    It is not deleted either.
    """

    def work() -> None:
        with file.reserved() as reserved:
            file.path.write_text("another one's")
            reserved.write(SECRET)

    with pytest.raises(CommandError):
        work()
    assert (file.path.read_text(), beside(file)) == ("another one's", []), system


def test_where_a_file_cannot_have_two_names_that_is_found_first(
    file: SecretFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Before there is a secret to write; nothing remains.
    """

    def refusing(*_: object, **__: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.delattr(os, "O_TMPFILE")
    monkeypatch.setattr(os, "link", refusing)
    with (
        pytest.raises(CommandError, match="secret: Operation not permitted"),
        file.reserved(),
    ):
        pytest.fail("a secret was asked for")
    assert beside(file) == []


@pytest.mark.parametrize("kind", ["unnamed", "named"])
@pytest.mark.parametrize("at", ["reserved", "written"])
def test_a_process_that_is_killed_leaves_no_half_of_it(
    file: SecretFile, kind: str, at: str
) -> None:
    """
    Nothing at all, or the whole file. If a file needs a name, one is left next to it,
    for its owner alone; its name says what it was.
    """
    words = [sys.executable, "-c", _KILLED, str(file.path), kind, at]
    assert subprocess.run(words, check=False).returncode == -signal.SIGKILL

    assert file.secrets() == ([SECRET] if at == "written" else ())
    left = beside(file)
    assert len(left) == (kind == "named")
    assert all(it.name.startswith(".secret.") for it in left)
    assert all(stat.S_IMODE(it.stat().st_mode) == 0o600 for it in left)


def test_a_folder_that_cannot_be_written_to_the_disk_keeps_no_secret(
    system: str, file: SecretFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    The file exists by then, and is deleted: its endpoint is deleted, so that the secret
    is of no use, and the next run finds the name free.
    """
    synced = os.fsync

    def failing(handle: int) -> None:
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            raise OSError(errno.EIO, "Input/output error")
        synced(handle)

    monkeypatch.setattr(os, "fsync", failing)

    def write() -> None:
        with file.reserved() as reserved:
            reserved.write(SECRET)

    with pytest.raises(CommandError, match="Input/output error"):
        write()
    assert (file.secrets(), beside(file)) == ((), []), system
