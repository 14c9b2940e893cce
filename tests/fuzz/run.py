"""`make fuzz`: schemathesis against a service that runs, with all of its checks.

The service has a Postgres and a sandbox in the place of Stripe, a user who pays, one
who does not, and an administrator who calls.
"""

import argparse
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from payments_service.presentation.arguments import encode_cursor
from support import databases
from support.openapi_calls import operations
from support.service_with_sandbox import ServiceWithSandbox, selling

HERE: Final = Path(__file__).parent
# The budget of calls at Stripe fills up slower than this asks.
REFILL_S: Final = 0.2


def _known(stack: ServiceWithSandbox) -> dict[str, list[str]]:
    payer, other = stack.user(), stack.user()
    subscription = payer.subscribed()["id"]
    other.give_card().raise_for_status()
    intents = [str(it[0]) for it in payer.stored("id from intents", by="created_at")]
    return {
        "user": [payer.id, other.id],
        "user_id": [payer.id, other.id],
        "subscription": [subscription],
        "intent": intents,
        "payment": [it["id"] for it in payer.charges],
        "product": [stack.product, stack.other_product],
        "price": [stack.basic, stack.pro, stack.dollars],
        "payment_method": ["pm_card_visa", "pm_card_mastercard"],
        "cursor": [str(encode_cursor(("users.test", "a")))],
        "customer_id": [it["id"] for it in payer.customers],
    }


@contextmanager
def _refilled(dsn: str) -> Iterator[None]:
    """Keep the budget of calls at Stripe full: what is tested is not the limit."""
    ended = threading.Event()

    def refill() -> None:
        while not ended.wait(REFILL_S):
            databases.run(databases.execute(dsn, "delete from gateway_budgets"))

    thread = threading.Thread(target=refill)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=500, help="how many, at least")
    parser.add_argument("--seed", type=int, default=1)
    given, more = parser.parse_known_args()
    each = -(-given.cases // len([*operations()]))
    with (
        databases.server() as postgres,
        databases.template(postgres) as template,
        selling(postgres, template) as stack,
    ):
        world = stack.world
        command = [
            *(sys.executable, "-m", "schemathesis.cli"),
            *("--config-file", str(HERE / "schemathesis.toml")),
            *("run", f"{stack.service.url}/openapi.json"),
            *("--max-examples", str(each), "--seed", str(given.seed)),
            *("--header", f"Authorization: Bearer {world.admin()}"),
            *("--continue-on-failure", "--no-color"),
            *more,
        ]
        env = {
            **os.environ,
            "SCHEMATHESIS_HOOKS": "fuzz.hooks",
            "PYTHONPATH": str(HERE.parent),
            "FUZZ_KNOWN": json.dumps(_known(stack)),
            "FUZZ_WEBHOOK_SECRET": world.secrets[0],
        }
        with _refilled(world.database_url):
            return subprocess.run(command, env=env, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
