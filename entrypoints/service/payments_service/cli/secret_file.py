"""The file that a secret goes into: whole, for its owner alone, over no other one.

Rule 1: that it can be written is known before there is a secret to write.
Rule 2: it is there with all of the secret, or it is not there.
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
            # Whoever opens a pipe would wait for who writes into it.
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
                # Only its owner may read what `mkstemp` makes.
                handle, name = tempfile.mkstemp(prefix=".", dir=parent)
                beside = Path(name)
                stack.callback(beside.unlink, missing_ok=True)
                with os.fdopen(handle, "wb") as file:
                    file.write(_PLACEHOLDER)
                    file.flush()
                    os.fsync(file.fileno())
                yield ReservedFile(beside, self.path, folder)
            except OSError as error:
                raise self._refused(error) from error

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


@attrs.frozen
class ReservedFile:
    _beside: Path
    _path: Path
    _folder: int

    def write(self, secret: str) -> None:
        """Let the file be there, with the secret in it.

        Raises:
            OSError: it is not there: somebody else made one, or the disk failed.
        """
        with self._beside.open("r+b") as file:
            file.write(f"{secret}\n".encode())
            file.truncate()
            file.flush()
            os.fsync(file.fileno())
        # Not `rename`: it would write over a file that came meanwhile.
        os.link(self._beside, self._path)
        try:
            os.fsync(self._folder)
        except BaseException:
            # Whoever made its endpoint takes that back: the secret is of no use.
            self._path.unlink(missing_ok=True)
            raise
