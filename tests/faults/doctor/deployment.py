"""A healthy deployment, which tests change."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import attrs

from payments_adapters.jwt import generate_jwks
from payments_adapters.stripe.api_shapes import API_VERSION
from payments_sandbox import Sandbox
from payments_service.endpoint_roles import WEBHOOK_PATH, digest_of
from support import databases
from support.command_line import Answer, Inside
from support.sandbox import Api
from support.service import new_secret

URL: Final = "https://pay.example.com" + WEBHOOK_PATH
SECRET: Final = new_secret()
OTHER: Final = new_secret()
JWKS: Final = generate_jwks("test")
_SWEPT: Final = """
insert into checkpoints (name, due_at, attempts, lease_no)
values ('{name}', now(), 0, 1) on conflict do nothing;
update checkpoints set reached_at = now() - interval '{ago}', result = '{result}'
where name = '{name}'
"""


@attrs.frozen
class Deployed:
    """A healthy deployment, which tests change."""

    sandbox: Sandbox
    url: str
    empty_url: str
    run: Inside
    env: dict[str, str]
    # The URL of a key set without keys.
    keyless_url: str

    @property
    def api(self) -> Api:
        return Api(self.sandbox.engine)

    def set(self, **values: str | None) -> None:
        """Set variables, by name without `PAYMENTS_`; None removes one."""
        for name, value in values.items():
            self.env.pop(f"PAYMENTS_{name}", None)
            if value is not None:
                self.env[f"PAYMENTS_{name}"] = value

    def sql(self, statement: str) -> None:
        databases.run(databases.execute(self.url, statement))

    def endpoint(self, **fields: Any) -> None:
        """Change the endpoint."""
        world = self.sandbox.engine.world
        [it] = world.all("webhook_endpoint")
        world.change(it, None, **fields)

    def another(self, **fields: Any) -> None:
        """Create another endpoint like it."""
        world = self.sandbox.engine.world
        first, *others = world.all("webhook_endpoint")
        id_ = f"we_other{len(others)}"
        world.create({**first, "id": id_, **fields}, None)

    def marks(self, role: str, *, days: int = 0, secret: str = SECRET) -> Any:
        since = datetime.now(UTC) - timedelta(days=days)
        return {
            "payments_gateway": role,
            "payments_gateway_secret": digest_of(secret),
            "payments_gateway_since": since.isoformat(),
        }

    def swept(  # noqa: PLR0913  # each a member of the row
        self,
        found: dict[str, int],
        *,
        repaired: dict[str, int] | None = None,
        lost: int = 0,
        by: str = "sweep",
        ago: str = "2 hours",
        since: str | None = None,
    ) -> None:
        """Record a sweep that found so much, of each kind."""
        counts = {"found": found, "repaired": repaired or {}, "lost": lost}
        result = json.dumps({**counts, "since": since})
        self.sql(_SWEPT.format(name=by, ago=ago, result=result))

    def doctor(self, *words: str) -> Answer:
        return self.run("doctor", *words, env=self.env)


def endpoint_made_at(it: Deployed, moment: datetime) -> None:
    """Reset Stripe: only an endpoint exists, which is created then."""
    it.sandbox.reset()
    it.sandbox.advance(moment)
    it.api.post(
        "webhook_endpoints",
        url=URL,
        enabled_events=["*"],
        api_version=API_VERSION,
        metadata=it.marks("in_use"),
    )
