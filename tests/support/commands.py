"""Commands as processes, and the development service that they call."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import attrs
import httpx

from payments_adapters.jwt import add_pass_key
from payments_service.cli import main
from support import databases
from support.command_line import Answer, answer_of
from support.events import SAMPLES
from support.plain_http import TLS
from support.service import PREFIX

START_S_MAX = 60.0
POLL_S = 0.05
COMMAND = (sys.executable, "-m", "payments_service")
# The same in each process; a secret of ours must not look non-random.
CANARY = f"canary{hashlib.sha256(b'canary').hexdigest()[:24]}"
NOBODY = "postgresql://nobody@127.0.0.1:1/nothing"


def payments(*words: str | Path, env: Mapping[str, str]) -> Answer:
    """Run a command with this environment and no other."""
    done = subprocess.run(
        [*COMMAND, *words],
        env={"PATH": os.environ["PATH"], **env},
        capture_output=True,
        text=True,
        timeout=START_S_MAX,
        check=False,
    )
    # Whatever went wrong, the message was a sentence.
    assert "Traceback" not in done.stderr
    return Answer(done.returncode, done.stdout, done.stderr)


@attrs.frozen
class Dev:
    """A development service, and what a command needs to find it."""

    env: Mapping[str, str]
    folder: Path

    @property
    def facts(self) -> dict[str, str]:
        facts: dict[str, str] = json.loads((self.folder / "dev.json").read_text())
        return facts

    def run(self, *words: str | Path, **env: str) -> Answer:
        return answer_of(main, *words, env={**self.env, **env})

    def send(self, number: str, *words: str, **charge: object) -> Answer:
        """Send a charge with ids of its own."""
        values = {"id": f"evt_{number}", "data.object.id": f"ch_{number}"}
        for name, value in charge.items():
            values[f"data.object.{name}"] = json.dumps(value)
        assigned = [
            word for item in values.items() for word in ("--set", "=".join(item))
        ]
        return self.run(
            "webhook", "send", SAMPLES / "charge_succeeded.json", *assigned, *words
        )

    def digest(self) -> dict[str, str]:
        url = self.facts["database_url"]
        # The worker gives positions to earlier changes, which updates rows.
        unplaced = "select from account_log where position is null limit 1"
        while databases.run(databases.fetch(url, unplaced)):
            databases.run(databases.execute(url, "select give_positions_v1(1000)"))
        return databases.digest(url)

    def asks(self, token: str, user: str) -> int:
        return httpx.get(
            f"{self.facts['base_url']}{PREFIX}/users/{user}/payment-status",
            headers={"Authorization": f"Bearer {token}"},
            verify=TLS,
        ).status_code

    def token(self, user: str) -> str:
        answer = self.run(
            "token", "issue", "--user", user, "--email", f"{user}@x.org", "--json"
        )
        assert set(answer.json) == {"token"}
        return str(answer.json["token"])


def secretive(**others: str) -> dict[str, str]:
    """Return usable settings, each secret of which is a canary."""
    keys = {"kty": "oct", "alg": "HS256", "kid": "k", "k": f"{CANARY}{CANARY[::-1]}"}
    return {
        "PAYMENTS_ENV": "development",
        "PAYMENTS_DATABASE_URL": NOBODY.replace("nobody", f"nobody:{CANARY}"),
        "PAYMENTS_STRIPE_API_KEY": f"sk_test_{CANARY}",
        "PAYMENTS_STRIPE_WEBHOOK_SECRETS": f"whsec_{CANARY}",
        "PAYMENTS_ERASURE_KEY": f"erasure-{CANARY}",
        "PAYMENTS_ACCESS_PASS_KEYS": add_pass_key(CANARY),
        "PAYMENTS_JWT_ISSUER": "users",
        "PAYMENTS_JWT_AUDIENCE": "payments",
        "PAYMENTS_JWT_KEYS": json.dumps({"keys": [keys]}),
        "PAYMENTS_PORT": "0",
        "PAYMENTS_OPS_PORT": "0",
        **others,
    }
