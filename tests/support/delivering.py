"""Workers that deliver to a test's receiver, and the expected deliveries."""

import asyncio
import secrets
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import attrs
from typing_extensions import override

from payments_adapters.webhooks_out.signing import headers_of, written
from payments_service.container import build_container, opened
from payments_service.settings import Settings
from payments_service.worker import Worker
from support.receiver import Received
from support.service import World, free_port

_LOG: Final = """
insert into account_log (
    user_id, version, at, payment_status, cause, sources, grace_s
)
select 'u' || (n % {users}), {first} + n / {users}, now(), 'paid', 'a test', '{{}}', 0
from generate_series(0, {count} - 1) as n
"""


def changes(users: int, count: int, *, first: int = 1) -> str:
    """Return SQL that logs so many changes of so many users, each with its version."""
    return _LOG.format(users=users, count=count, first=first)


@attrs.frozen(kw_only=True)
class DeliveringWorld(World):
    """Settings for deliveries to an endpoint named `crm`."""

    url: str
    folder: Path
    key: bytes = attrs.field(factory=lambda: secrets.token_bytes(32))

    @override
    def env(self, port: int, ops_port: int) -> dict[str, str]:
        path = self.folder / "endpoints.toml"
        path.write_text(
            "[endpoints.crm]\n"
            f'url = "{self.url}/hooks"\n'
            'secrets_files = ["secret"]\n'
            "allow_private = true\nfrom_start = true\ntimeout_s = 5\n"
        )
        (self.folder / "secret").write_text(written(self.key))
        given = super().env(port, ops_port)
        return given | {"PAYMENTS_WEBHOOKS_OUT_FILE": str(path)}

    def worker(self, *words: str) -> "subprocess.Popen[bytes]":
        """Start a worker."""
        return subprocess.Popen(
            [sys.executable, "-m", "payments_service", "worker", *words],
            env=self.env(free_port(), free_port()) | {"PAYMENTS_LOG_LEVEL": "error"},
        )

    def once(self) -> None:
        """Let a worker in this process deliver what is due."""
        asyncio.run(self._once())

    async def _once(self) -> None:
        container = build_container(Settings.from_env(self.env(0, 0)))
        async with opened(container):
            worker = Worker.of(container)
            await worker.give_positions()
            await worker.deliver()

    def assert_signed(self, came: Received) -> None:
        """Check that the body was signed when it was sent."""
        at = datetime.fromtimestamp(int(came.headers["webhook-timestamp"]), UTC)
        id_ = f"chg_{came.event['data']['position']}"
        signed = headers_of([self.key], id_, at, came.body)
        assert {name: came.headers[name] for name in signed} == signed
