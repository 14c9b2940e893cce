"""Where everything is, and lines to paste: what `payments dev` says when it is up."""

import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from payments_service.dev.folder import OwnedFolder
from payments_service.presentation import PREFIX

SAMPLES: Final = Path(__file__).with_name("samples")


def _this_program() -> str:
    """Return the words that start this program again, from wherever."""
    program = Path(sys.argv[0]).absolute()
    if program.name == "__main__.py":
        return f"{shlex.quote(sys.executable)} -m {program.parent.name}"
    return shlex.quote(str(program))


def welcome(folder: OwnedFolder, facts: Mapping[str, str]) -> str:
    """Say where everything is, and give lines that work when they are pasted."""
    api = facts["base_url"] + PREFIX
    bearer = f"-H 'Authorization: Bearer {facts['admin_token']}'"
    # It names the folder, as it may be pasted elsewhere than where we run.
    payments = f"PAYMENTS_DEV_DIR={shlex.quote(str(folder.path))} {_this_program()}"
    sample = shlex.quote(str(SAMPLES / "charge_succeeded.json"))
    json_type = "-H 'Content-Type: application/json'"
    user = """-d '{"email": "alice@example.com"}'"""
    # Ids of her own: the README pastes a payment too, and the same id is a duplicate.
    stripe = facts.get("sandbox_url")
    values = (
        "id=evt_alice_1",
        "data.object.id=ch_alice_1",
        f"data.object.created={_now(folder) if stripe else '$(date +%s)'}",
        "data.object.receipt_email=alice@example.com",
    )
    changes = " ".join(f"--set {value}" for value in values)
    sandbox = f"{stripe} (a sandbox: `payments sandbox --help`)" if stripe else "yours"
    headers = f"{bearer} {json_type}"
    lines = _sandbox_lines(payments, f"{api}/users/alice", headers) if stripe else ""
    return f"""payments-gateway is up; Ctrl-C ends it.

  service   {api}
  ops       {facts["ops_url"]}/readyz
  stripe    {sandbox}
  folder    {folder.path} (dev.json has the addresses, the token and the secret)

Register a user, ask for their payment status, ask who the service is:

  curl -X PUT {api}/users/alice {bearer} {json_type} {user}

  curl {api}/users/alice/payment-status {bearer}

  curl {facts["ops_url"]}/readyz

A signed webhook, as Stripe would send it; then ask for the status again:

  {payments} webhook send {sample} {changes}
{lines}"""


def _now(folder: OwnedFolder) -> str:
    """Return what a shell replaces by the sandbox's time: its user may advance it."""
    return f'"$(cat {shlex.quote(str(folder.sandbox_clock.path))})"'


def _sandbox_lines(payments: str, user: str, headers: str) -> str:
    return f"""
A card, a subscription, and what is known of her then:

  curl -X PUT {user}/card {headers} -d '{{"payment_method": "pm_card_visa"}}'

  curl -X POST {user}/subscriptions {headers} -d '{{"product": "prod_basic"}}'

  {payments} account show alice

What Stripe does by itself: renew that twice, an hour after each month, and let a
charge fail:

  {payments} sandbox advance "2 months"

  {payments} sandbox advance "1 hour"

  {payments} sandbox trigger charge.failed --user alice@example.com --set currency=eur
"""
