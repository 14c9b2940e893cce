"""What `payments dev` prints when it is up: the addresses, and commands to paste."""

import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from payments_service.dev.folder import OwnedFolder
from payments_service.presentation import PREFIX

SAMPLES: Final = Path(__file__).with_name("samples")


def _this_program() -> str:
    """Return a command that starts this program from any folder."""
    program = Path(sys.argv[0]).absolute()
    if program.name == "__main__.py":
        return f"{shlex.quote(sys.executable)} -m {program.parent.name}"
    return shlex.quote(str(program))


def welcome(folder: OwnedFolder, facts: Mapping[str, str]) -> str:
    """Return the addresses, and commands that work when they are pasted."""
    api = facts["base_url"] + PREFIX
    bearer = f"-H 'Authorization: Bearer {facts['admin_token']}'"
    # It names the folder, because it may be pasted in another folder.
    payments = f"PAYMENTS_DEV_DIR={shlex.quote(str(folder.path))} {_this_program()}"
    sample = shlex.quote(str(SAMPLES / "charge_succeeded.json"))
    json_type = "-H 'Content-Type: application/json'"
    user = """-d '{"email": "alice@example.com"}'"""
    # Ids that the README's payment does not use: the same id would be a duplicate.
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

Register a user, read their payment status, check that the service is ready:

  curl -X PUT {api}/users/alice {bearer} {json_type} {user}

  curl {api}/users/alice/payment-status {bearer}

  curl {facts["ops_url"]}/readyz

Send a signed webhook, as Stripe would; then read the status again:

  {payments} webhook send {sample} {changes}
{lines}"""


def _now(folder: OwnedFolder) -> str:
    """Return a shell expression for the sandbox's time, which the user can advance."""
    return f'"$(cat {shlex.quote(str(folder.sandbox_clock.path))})"'


def _sandbox_lines(payments: str, user: str, headers: str) -> str:
    return f"""
Add a card and a subscription, and show the account:

  curl -X PUT {user}/card {headers} -d '{{"payment_method": "pm_card_visa"}}'

  curl -X POST {user}/subscriptions {headers} -d '{{"product": "prod_basic"}}'

  {payments} account show alice

Simulate Stripe: renew the subscription twice, an hour after each month, and make a
charge fail:

  {payments} sandbox advance "2 months"

  {payments} sandbox advance "1 hour"

  {payments} sandbox trigger charge.failed --user alice@example.com --set currency=eur
"""
