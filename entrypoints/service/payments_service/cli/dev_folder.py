"""The folder of a running development service, as other commands read it.

`payments dev` owns it (`payments_service.dev.folder`) and publishes where it runs.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Self

import attrs

from payments_service.cli.exit_codes import CommandError, Exit

DEFAULT: Final = ".payments"
JWT_ISSUER: Final = "payments-dev"
JWT_AUDIENCE: Final = "payments-gateway"
# What its owner makes once; it outlives a run, but not `--fresh`.
JWKS: Final = "jwks.json"
STRIPE_API_KEY: Final = "stripe-api-key"
WEBHOOK_SECRET: Final = "webhook-secret"  # noqa: S105  # the name of a file
# There only while the service runs.
PUBLISHED: Final = "dev.json"


@attrs.frozen
class DevFolder:
    path: Path

    @classmethod
    def of(cls, env: Mapping[str, str]) -> Self:
        return cls(Path(env.get("PAYMENTS_DEV_DIR") or DEFAULT).absolute())

    def webhook_secret(self) -> str:
        return (self.path / WEBHOOK_SECRET).read_text()

    def stripe_api_key(self) -> str:
        return (self.path / STRIPE_API_KEY).read_text()

    def jwks(self) -> str:
        return (self.path / JWKS).read_text()

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

    def published(self) -> dict[str, str] | None:
        """Return what the running service published; None if none runs."""
        try:
            facts: dict[str, str] = json.loads((self.path / PUBLISHED).read_text())
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
