"""The brief's story of one user, played through real signed HTTP."""

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import attrs
import click
import httpx

from payments_core.months import months_after
from payments_service.cli.webhook import deliver, with_values
from payments_service.container import utc_now
from payments_service.http import PREFIX

SAMPLES: Final = Path(__file__).parents[1] / "samples"
USER: Final = "alice"
EMAIL: Final = "alice@example.com"


@attrs.define
class _Teller:
    """Sends one report after the other and prints what the status said."""

    facts: Mapping[str, str]
    client: httpx.Client
    told: int = 0

    def register(self) -> None:
        self.client.put(f"/users/{USER}", json={"email": EMAIL}).raise_for_status()
        self._say("registered", utc_now())

    def charge(self, sample: str, words: str, at: datetime) -> None:
        self.told += 1
        event = with_values(
            json.loads((SAMPLES / sample).read_bytes()),
            {
                "id": f"evt_demo_{self.told}",
                "created": int(at.timestamp()),
                "data.object.id": f"ch_demo_{self.told}",
                "data.object.created": int(at.timestamp()),
                "data.object.receipt_email": EMAIL,
            },
        )
        deliver(
            self.facts["base_url"], self.facts["webhook_secret"], event
        ).raise_for_status()
        self._say(words, at)

    def _say(self, words: str, at: datetime) -> None:
        answer = self.client.get(f"/users/{USER}/payment-status")
        status: dict[str, Any] = answer.raise_for_status().json()
        expires = (status["payment_expire_date"] or "-")[:10]
        click.echo(
            f"{at:%Y-%m-%d}  {words:<28} {status['payment_status']:<8} {expires:<12}"
            f" {'yes' if status['entitled'] else 'no'}"
        )


def play(facts: Mapping[str, str]) -> None:
    """Register a user; a charge succeeds, the next fails, and a third recovers."""
    click.echo(
        f"{'day':<10}  {'what happened':<28} {'status':<8} {'paid until':<12} in?"
    )
    start = utc_now().replace(microsecond=0)
    with httpx.Client(
        base_url=facts["base_url"] + PREFIX,
        trust_env=False,
        headers={"Authorization": f"Bearer {facts['admin_token']}"},
    ) as client:
        teller = _Teller(facts, client)
        teller.register()
        teller.charge("charge_succeeded.json", "charge succeeded", start)
        next_month = months_after(start, 1)
        teller.charge("charge_failed.json", "the next charge failed", next_month)
        recovered = next_month + timedelta(days=2)
        teller.charge("charge_succeeded.json", "paid after all: recovered", recovered)
