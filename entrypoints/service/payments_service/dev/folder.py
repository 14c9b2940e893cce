"""The folder of a development service: generated secrets, and its data.

Nothing in it is valid outside of this machine; all of it is still private to the user
(files 0600, folder 0700).
"""

import fcntl
import json
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Final

from payments_adapters.jwt import add_pass_key, generate_jwks
from payments_service.cli.dev_folder import (
    JWKS,
    KEYS_OF_PASSES,
    LOCK,
    PUBLISHED,
    SANDBOX_CLOCK,
    STRIPE_API_KEY,
    WEBHOOK_SECRET,
    DevFolder,
)
from payments_service.cli.exit_codes import CommandError, Exit

# A command that checks whether a service runs holds the lock briefly.
LOCK_S_MAX: Final = 0.5
LOCK_POLL_S: Final = 0.05

_SECRETS: Final[Mapping[str, Callable[[], str]]] = {
    JWKS: lambda: generate_jwks("dev"),
    KEYS_OF_PASSES: lambda: add_pass_key("dev"),
    STRIPE_API_KEY: lambda: f"sk_test_{secrets.token_hex(16)}",
    WEBHOOK_SECRET: lambda: f"whsec_{secrets.token_urlsafe(32)}",
}


class OwnedFolder(DevFolder):
    """The folder, for the one process that uses it."""

    @property
    def postgres(self) -> Path:
        return self.path / "postgres"

    @property
    def sandbox_journal(self) -> Path:
        return self.path / "sandbox.jsonl"

    @contextmanager
    def owned(self, *, fresh: bool) -> Iterator[None]:
        """Lock the folder and create its secrets; `fresh` deletes its content first.

        Raises:
            CommandError: another service uses it, or it cannot be created.
        """
        with self._lock_file() as lock:
            self._lock(lock)
            self._wipe(everything=fresh)
            self._make_secrets()
            try:
                yield
            finally:
                self._wipe(everything=False)

    def _lock(self, lock: IO[str]) -> None:
        deadline = time.monotonic() + LOCK_S_MAX
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() < deadline:
                    time.sleep(LOCK_POLL_S)
                    continue
                raise CommandError(
                    Exit.REFUSED,
                    f"another `payments dev` runs on {self.path}; stop it, or set "
                    "another folder with PAYMENTS_DEV_DIR",
                ) from None
            return

    def _lock_file(self) -> IO[str]:
        try:
            self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor = os.open(self.path / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise CommandError(
                Exit.CONFIGURATION,
                f"PAYMENTS_DEV_DIR: {self.path} cannot be used: {error.strerror}",
            ) from error
        return os.fdopen(descriptor, "r+")

    def _wipe(self, *, everything: bool) -> None:
        """Remove what only a running service has, or everything but the lock."""
        for name in (PUBLISHED, SANDBOX_CLOCK):
            (self.path / name).unlink(missing_ok=True)
        # Renamed first, so that `postgres` is complete or absent. The next start
        # completes a deletion that was interrupted.
        wiped = self.path / "postgres.wiped"
        if everything and self.postgres.exists() and not wiped.exists():
            self.postgres.rename(wiped)
        if everything or wiped.exists():
            for path in (self.sandbox_journal, *map(self.path.joinpath, _SECRETS)):
                path.unlink(missing_ok=True)
            with suppress(FileNotFoundError):
                shutil.rmtree(wiped)

    def _make_secrets(self) -> None:
        for name, make in _SECRETS.items():
            path = self.path / name
            if not path.exists():
                _write_private(path, make())

    def publish(self, facts: Mapping[str, str]) -> None:
        """Write `dev.json`: where the running service is, for other commands."""
        _write_private(self.path / PUBLISHED, json.dumps(facts, indent=2) + "\n")


def _write_private(path: Path, text: str) -> None:
    """Write a file atomically; only its owner can read it."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    with suppress(FileNotFoundError):
        draft.unlink()
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    draft.replace(path)
