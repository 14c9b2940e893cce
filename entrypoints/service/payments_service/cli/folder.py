"""The folder of a development service: secrets made on the spot, and its data.

Nothing in it is worth anything outside of this machine; all of it is private to the
user anyway (files 0600, folder 0700).
"""

import fcntl
import json
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Final

import attrs

from payments_adapters.jwt import generate_jwks
from payments_service.cli.exits import CommandError, Exit

DEFAULT: Final = ".payments"
JWT_ISSUER: Final = "payments-dev"
JWT_AUDIENCE: Final = "payments-gateway"
# What outlives a run, but not `--fresh`.
_MADE_ONCE: Final = ("jwks.json", "sandbox.jsonl", "stripe-api-key", "webhook-secret")


@attrs.frozen
class DevFolder:
    path: Path

    @classmethod
    def of(cls, env: Mapping[str, str]) -> "DevFolder":
        return cls(Path(env.get("PAYMENTS_DEV_DIR") or DEFAULT).absolute())

    @property
    def postgres(self) -> Path:
        return self.path / "postgres"

    @contextmanager
    def owned(self, *, fresh: bool) -> Iterator[None]:
        """Hold the folder; `fresh` wipes what is in it.

        Raises:
            CommandError: another service runs on it, or it cannot be made.
        """
        with self._lock_file() as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise CommandError(
                    Exit.REFUSED,
                    f"another `payments dev` runs on {self.path}; stop it, or give "
                    "this one a folder of its own with PAYMENTS_DEV_DIR",
                ) from None
            self._wipe(everything=fresh)
            try:
                yield
            finally:
                self._wipe(everything=False)

    def _lock_file(self) -> IO[str]:
        try:
            self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise CommandError(
                Exit.CONFIGURATION,
                f"PAYMENTS_DEV_DIR: {self.path} cannot be used: {error.strerror}",
            ) from error
        return os.fdopen(descriptor, "r+")

    def _wipe(self, *, everything: bool) -> None:
        """Remove what only a running service has, or all but the lock."""
        (self.path / "dev.json").unlink(missing_ok=True)
        if everything:
            for name in _MADE_ONCE:
                (self.path / name).unlink(missing_ok=True)
            with suppress(FileNotFoundError):
                shutil.rmtree(self.postgres)

    def webhook_secret(self) -> str:
        return self._made_once("webhook-secret", f"whsec_{secrets.token_urlsafe(32)}")

    def stripe_api_key(self) -> str:
        return self._made_once("stripe-api-key", f"sk_test_{secrets.token_hex(16)}")

    @property
    def sandbox_journal(self) -> Path:
        return self.path / "sandbox.jsonl"

    def jwks(self) -> str:
        return self._made_once("jwks.json", generate_jwks("dev"))

    def _made_once(self, name: str, text: str) -> str:
        path = self.path / name
        if not path.exists():
            _write_private(path, text)
        return path.read_text()

    def settings(self, database_url: str, sandbox_url: str | None) -> dict[str, str]:
        """Return a development service's settings, as an environment would.

        With a sandbox they name it in Stripe's place.
        """
        sandbox = {
            "PAYMENTS_STRIPE_API_BASE": sandbox_url or "",
            "PAYMENTS_STRIPE_API_KEY": self.stripe_api_key(),
        }
        return {
            **(sandbox if sandbox_url else {}),
            "PAYMENTS_ENV": "development",
            "PAYMENTS_DATABASE_URL": database_url,
            "PAYMENTS_STRIPE_WEBHOOK_SECRETS": self.webhook_secret(),
            "PAYMENTS_JWT_ISSUER": JWT_ISSUER,
            "PAYMENTS_JWT_AUDIENCE": JWT_AUDIENCE,
            "PAYMENTS_JWT_KEYS": self.jwks(),
        }

    def publish(self, facts: Mapping[str, str]) -> None:
        """Tell other commands where the running service is: `dev.json`."""
        _write_private(self.path / "dev.json", json.dumps(facts, indent=2) + "\n")

    def published(self) -> dict[str, str] | None:
        """Return what the running service published; None if none runs."""
        try:
            facts: dict[str, str] = json.loads((self.path / "dev.json").read_text())
        except FileNotFoundError:
            return None
        return facts

    def running(self) -> dict[str, str]:
        """Return what the running service published.

        Raises:
            CommandError: none runs.
        """
        facts = self.published()
        if facts is None:
            raise CommandError(
                Exit.DEPENDENCY_DOWN,
                f"no development service runs on {self.path}: start one with "
                "`payments dev`, or name its folder with PAYMENTS_DEV_DIR",
            )
        return facts


def _write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, whole or not at all."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    with suppress(FileNotFoundError):
        draft.unlink()
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    draft.replace(path)
