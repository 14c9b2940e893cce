"""The file that a secret goes into: whole, for its owner alone, over no other one.

Rule 1: that it can be written is known before there is a secret to write.
Rule 2: it is there with all of the secret, or it is not there.
Rule 3: nothing else is left of it, however the process ends: until it is whole it has
        no name. Where a file system cannot do that (NFS), it has one beside it.
"""

import contextlib
import os
import stat
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import attrs

from payments_service.cli.exit_codes import CommandError, Exit

# More is no file of secrets.
BYTES_MAX: Final = 64 * 1024
# As long as any secret: a full disk is found before there is one.
_PLACEHOLDER: Final = b" " * 512


@attrs.frozen
class SecretFile:
    path: Path

    def secrets(self) -> Sequence[str]:
        """Return the words in it; none if it is not there.

        Raises:
            CommandError: it cannot be read.
        """
        try:
            # Opening a pipe would wait for a process that writes into it.
            handle = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK)
            with os.fdopen(handle, "rb") as file:
                _require_regular(handle)
                return file.read(BYTES_MAX).decode().replace(",", " ").split()
        except FileNotFoundError:
            return ()
        except (OSError, ValueError) as error:
            raise self._refused(error) from error

    @contextlib.contextmanager
    def reserved(self) -> Iterator["ReservedFile"]:
        """Lend a file beside it, which becomes it.

        Raises:
            CommandError: it is there already, or cannot be written.
        """
        parent = self.path.absolute().parent
        with contextlib.ExitStack() as stack:
            try:
                self._require_absent()
                folder = os.open(parent, os.O_RDONLY | os.O_DIRECTORY)
                stack.callback(os.close, folder)
                handle, source = _unnamed(parent, stack) or self._named(parent, stack)
                reserved = ReservedFile(handle, source, self.path, folder)
                reserved.fill(_PLACEHOLDER)
                yield reserved
            except OSError as error:
                raise self._refused(error) from error

    def _named(self, parent: Path, stack: contextlib.ExitStack) -> tuple[int, str]:
        """Make a file beside it that can get its name, too."""
        # Only its owner may read what `mkstemp` makes.
        handle, name = tempfile.mkstemp(prefix=f".{self.path.name[:99]}.", dir=parent)
        stack.callback(Path(name).unlink, missing_ok=True)
        stack.callback(os.close, handle)
        # Not every file system lets a file have two names.
        second = f"{name}.2"
        os.link(name, second)
        Path(second).unlink()
        return handle, name

    def _require_absent(self) -> None:
        try:
            self.path.lstat()
        except FileNotFoundError:
            return
        raise CommandError(
            Exit.REFUSED,
            f"--secret-file: {self.path} is there already, and is not written "
            "over: name another one, or move it away",
        )

    def _refused(self, error: Exception) -> CommandError:
        reason = getattr(error, "strerror", None) or type(error).__name__
        return CommandError(Exit.CONFIGURATION, f"--secret-file: {self.path}: {reason}")


def _require_regular(handle: int) -> None:
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        raise OSError(0, "not a regular file")


def _unnamed(folder: Path, stack: contextlib.ExitStack) -> tuple[int, str] | None:
    """Make a file without a name that its owner alone may read, where that is possible.

    Return it, and by what it can be linked.
    """
    try:
        # Not on every system.
        handle = os.open(folder, os.O_TMPFILE | os.O_RDWR, 0o600)
    except (AttributeError, OSError):
        return None
    stack.callback(os.close, handle)
    source = f"/proc/self/fd/{handle}"
    return (handle, source) if Path(source).exists() else None


@attrs.frozen
class ReservedFile:
    _handle: int
    _source: str
    _path: Path
    _folder: int

    def fill(self, content: bytes) -> None:
        """Write all that the file shall have, to the disk.

        Raises:
            OSError: the disk failed, or is full.
        """
        with os.fdopen(self._handle, "r+b", closefd=False) as file:
            file.write(content)
            file.truncate()
            file.flush()
            os.fsync(self._handle)

    def write(self, secret: str) -> None:
        """Let the file be there, with the secret in it.

        Raises:
            OSError: it is not there: somebody else made one, or the disk failed.
        """
        os.lseek(self._handle, 0, os.SEEK_SET)
        self.fill(f"{secret}\n".encode())
        # Not `rename`: it would write over a file that came meanwhile. Without a folder
        # Python would not follow the link to what has no name.
        os.link(
            self._source,
            self._path.name,
            dst_dir_fd=self._folder,
            follow_symlinks=True,
        )
        try:
            os.fsync(self._folder)
        except BaseException:
            # The caller deletes the endpoint that it made: the secret is of no use.
            self._path.unlink(missing_ok=True)
            raise
