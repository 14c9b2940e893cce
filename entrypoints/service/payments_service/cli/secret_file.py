"""The file that a secret is written to: complete, private, and never overwritten.

Rule 1: the file is known to be writable before there is a secret to write.
Rule 2: the file exists with the whole secret, or it does not exist.
Rule 3: no other file is left behind, however the process ends: the file has no name
        until it is complete. On a file system without that (NFS), it has a temporary
        name in the same folder.
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

# A larger file is not a file of secrets.
BYTES_MAX: Final = 64 * 1024
# As long as any secret, so that a full disk is found before there is a secret.
_PLACEHOLDER: Final = b" " * 512


@attrs.frozen
class SecretFile:
    path: Path

    def secrets(self) -> Sequence[str]:
        """Return the words in the file; empty if the file does not exist.

        Raises:
            CommandError: the file cannot be read.
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
        """Provide a temporary file in the same folder, which becomes this file.

        Raises:
            CommandError: the file exists already, or cannot be written.
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
        """Create a temporary file in the same folder that can be hard-linked."""
        # `mkstemp` creates files that only the owner can read.
        handle, name = tempfile.mkstemp(prefix=f".{self.path.name[:99]}.", dir=parent)
        stack.callback(Path(name).unlink, missing_ok=True)
        stack.callback(os.close, handle)
        # Not every file system supports hard links.
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
            f"--secret-file: {self.path} exists already, and is not overwritten: "
            "name another file, or move it away",
        )

    def _refused(self, error: Exception) -> CommandError:
        reason = getattr(error, "strerror", None) or type(error).__name__
        return CommandError(Exit.CONFIGURATION, f"--secret-file: {self.path}: {reason}")


def _require_regular(handle: int) -> None:
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        raise OSError(0, "not a regular file")


def _unnamed(folder: Path, stack: contextlib.ExitStack) -> tuple[int, str] | None:
    """Create a file without a name that only its owner can read, if possible.

    Return its handle, and the path by which it can be linked.
    """
    try:
        # Not every system has this.
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
        """Write the whole content of the file to the disk.

        Raises:
            OSError: the disk failed, or is full.
        """
        with os.fdopen(self._handle, "r+b", closefd=False) as file:
            file.write(content)
            file.truncate()
            file.flush()
            os.fsync(self._handle)

    def write(self, secret: str) -> None:
        """Create the file with the secret in it.

        Raises:
            OSError: the file exists meanwhile, or the disk failed.
        """
        os.lseek(self._handle, 0, os.SEEK_SET)
        self.fill(f"{secret}\n".encode())
        # Not `rename`, which would overwrite a file that was created meanwhile. Without
        # `dst_dir_fd` Python would not follow the link to the file without a name.
        os.link(
            self._source,
            self._path.name,
            dst_dir_fd=self._folder,
            follow_symlinks=True,
        )
        try:
            os.fsync(self._folder)
        except BaseException:
            # The caller deletes its new endpoint, so the secret is useless.
            self._path.unlink(missing_ok=True)
            raise
