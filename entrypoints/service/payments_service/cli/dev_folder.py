"""The folder of a running development service, as other commands read it.

`payments dev` owns it (`payments_service.dev.folder`) and publishes where it runs.
"""

import fcntl
import json
import os
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, Self

import attrs

from payments_core.errors import Unavailable
from payments_service.cli.exit_codes import CommandError, Exit

DEFAULT: Final = ".payments"
JWT_ISSUER: Final = "payments-dev"
JWT_AUDIENCE: Final = "payments-gateway"
# Files that the service creates once; a later run uses them, `--fresh` deletes them.
JWKS: Final = "jwks.json"
KEYS_OF_PASSES: Final = "access-pass-keys.json"
STRIPE_API_KEY: Final = "stripe-api-key"
WEBHOOK_SECRET: Final = "webhook-secret"  # noqa: S105  # the name of a file
# Exists only while the service runs.
PUBLISHED: Final = "dev.json"
# Held by the service while it runs.
LOCK: Final = "lock"
SANDBOX_CLOCK: Final = "sandbox-clock"
# Settings of the running service that other commands need too.
_LENT: Final = (
    "PAYMENTS_CATALOGUE",
    "PAYMENTS_GRACE_DAYS",
    "PAYMENTS_JWT_MAX_AGE_S",
    "PAYMENTS_KUBERNETES_ISSUER",
    "PAYMENTS_KUBERNETES_AUDIENCE",
    "PAYMENTS_KUBERNETES_KEYS",
    "PAYMENTS_KUBERNETES_KEYS_URL",
    "PAYMENTS_KUBERNETES_CA_FILE",
    "PAYMENTS_KUBERNETES_TOKEN_FILE",
    "PAYMENTS_KUBERNETES_SCOPES",
    "PAYMENTS_KUBERNETES_MAX_AGE_S",
    "PAYMENTS_SWEEP",
    "PAYMENTS_EVENT_BACK_FILL_S",
    "PAYMENTS_KEEP_BODIES_DAYS",
    "PAYMENTS_KEEP_EVENTS_DAYS",
    "PAYMENTS_KEEP_INTENTS_DAYS",
    "PAYMENTS_KEEP_JOBS_DAYS",
    "PAYMENTS_KEEP_REVOCATIONS_DAYS",
    "PAYMENTS_ERASURE_KEY",
)
# The clock never reaches the next second before the sandbox does.
_SECOND_S: Final = 0.999_999
_NOT_RUNNING: Final = (
    "no development service runs on {}: start one with `make run` or `payments dev`, "
    "or name its folder with PAYMENTS_DEV_DIR"
)


@attrs.frozen
class SandboxClock:
    """The sandbox's time, which the sandbox writes to a file in whole seconds.

    Within a second real time passes, but not beyond it, so that the order of what
    happens is preserved. The clock of a sandbox that does not run stands still.

    Raises:
        Unavailable: the file does not exist, or has no time in it.
    """

    path: Path

    def __call__(self) -> datetime:
        try:
            with self.path.open("rb") as file:
                since_s = time.time() - os.fstat(file.fileno()).st_mtime
                moment = datetime.fromtimestamp(int(file.read()), UTC)
            fraction_s = min(max(since_s, 0.0), _SECOND_S)
            return moment + timedelta(seconds=fraction_s)
        except FileNotFoundError as error:
            raise Unavailable(_NOT_RUNNING.format(self.path.parent)) from error
        except (OSError, ValueError, OverflowError) as error:
            raise Unavailable(
                f"{self.path} does not hold the sandbox's time: start `payments dev` "
                "again"
            ) from error


def lendable(env: Mapping[str, str]) -> dict[str, str]:
    """Return the settings that a service shares; of a file, its text."""
    found = {name: env[name] for name in _LENT if env.get(name)}
    files = {name: path for name in _LENT if (path := env.get(f"{name}_FILE"))}
    return found | {name: Path(path).read_text() for name, path in files.items()}


def not_running(path: Path) -> CommandError:
    return CommandError(Exit.DEPENDENCY_DOWN, _NOT_RUNNING.format(path))


@attrs.frozen
class DevFolder:
    path: Path

    @property
    def sandbox_clock(self) -> SandboxClock:
        return SandboxClock(self.path / SANDBOX_CLOCK)

    @classmethod
    def of(cls, env: Mapping[str, str]) -> Self:
        return cls(Path(env.get("PAYMENTS_DEV_DIR") or DEFAULT).absolute())

    def webhook_secret(self) -> str:
        return (self.path / WEBHOOK_SECRET).read_text()

    def stripe_api_key(self) -> str:
        return (self.path / STRIPE_API_KEY).read_text()

    def jwks(self) -> str:
        return (self.path / JWKS).read_text()

    def access_pass_keys(self) -> str:
        return (self.path / KEYS_OF_PASSES).read_text()

    def settings(self, database_url: str, sandbox_url: str | None) -> dict[str, str]:
        """Return a development service's settings, as environment variables.

        With a sandbox they have its address as Stripe's.
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
            "PAYMENTS_ACCESS_PASS_KEYS": self.access_pass_keys(),
        }

    def lent(self) -> dict[str, str]:
        """Return the settings that the running service shares; empty if none runs."""
        facts = self.published()
        if facts is None:
            return {}
        own = {name: value for name, value in facts.items() if name in _LENT}
        return own | self.settings(facts["database_url"], facts.get("sandbox_url"))

    def published(self) -> dict[str, str] | None:
        """Return what the running service published; None if none runs."""
        try:
            facts: dict[str, str] = json.loads((self.path / PUBLISHED).read_text())
        except FileNotFoundError:
            return None
        return facts if self._is_owned() else None

    def _is_owned(self) -> bool:
        """Say whether a service runs here: a killed one leaves its file behind."""
        try:
            with (self.path / LOCK).open("rb") as lock:
                # Released with the file; a service that starts just now retries.
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except FileNotFoundError:
            return False
        return False

    def running(self) -> dict[str, str]:
        """Return what the running service published.

        Raises:
            CommandError: no service runs.
        """
        facts = self.published()
        if facts is None:
            raise not_running(self.path)
        return facts
