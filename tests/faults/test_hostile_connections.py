"""Thousands of hostile connections: no webhook is lost.

`make prove` runs it; `make bench` measures the effect on latency.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import anyio
import pytest

from faults.deliveries import Stripe
from faults.payers import assert_each_counted_once, payers, register
from payments_service.lanes import InFlightLimits
from support import databases
from support.profiles import only_in_prove
from support.service import PREFIX, ServiceProcess, World, running

pytestmark = [pytest.mark.anyio, only_in_prove]

ROOT: Final = Path(__file__).parents[2]
SECONDS: Final = 20
SLOW_BODIES: Final = InFlightLimits().webhooks + 50
USERS: Final = 20
MONTHS: Final = 30
# Of 20,000 a minute: a loaded machine is slower, and so is the attacker.
FORGED_MIN: Final = 20_000 / 60 * SECONDS / 4


@pytest.fixture
def service(postgres: str, template: str) -> Iterator[ServiceProcess]:
    """A service with default settings and a database of its own."""
    with (
        databases.copy_of(postgres, template) as dsn,
        running(World(dsn)) as [service],
    ):
        yield service


@contextmanager
def attacked(service: ServiceProcess) -> Iterator["subprocess.Popen[str]"]:
    """Attack a service; lend what reports the attack's counts each second."""
    plan = {
        "ports": [service.port],
        "path": f"{PREFIX}/webhooks/stripe",
        "seconds": SECONDS,
        # More than the webhooks that may be in flight.
        "slow_bodies": SLOW_BODIES,
    }
    with subprocess.Popen(
        [sys.executable, "-m", "benchmarks.hostile"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as attack:
        assert attack.stdin is not None
        attack.stdin.write(json.dumps(plan))
        attack.stdin.close()
        try:
            yield attack
        finally:
            attack.kill()


async def told(attack: "subprocess.Popen[str]") -> dict[str, int] | None:
    """Return the attack's counts so far, a second later; None at its end."""
    assert attack.stdout is not None
    line = await anyio.to_thread.run_sync(attack.stdout.readline)
    return json.loads(line) if line else None


async def test_t65_p35_hostile_connections_lose_no_webhook(
    service: ServiceProcess, record_property: Any
) -> None:
    """
    Slow headers and bodies, 2,000 idle connections and forged webhooks, all at once:
    Stripe's events of the meantime are stored, each once.
    """
    everybody = payers(USERS, MONTHS)
    register(service, everybody)
    waiting = [event for payer in everybody for event in payer.events()]
    each = len(waiting) // SECONDS + 1
    again, last = 0, dict[str, int]()
    with attacked(service) as attack:
        while (counts := await told(attack)) is not None:
            last = counts
            if batch := waiting[:each]:
                del waiting[:each]
                stripe = Stripe(batch)
                await stripe.deliver(service)
                again += len(stripe.answers) + stripe.unanswered - len(batch)
    await Stripe(waiting).deliver(service)

    record_property("figure", f"{again} of {USERS * MONTHS} were sent again; {last}")
    assert last["slow_headers"] >= 200
    assert last["slow_bodies"] >= SLOW_BODIES
    assert last["idle"] >= 2_000
    # A forgery was answered only 400, or a 503 because there was no room.
    assert last["forged_400"] >= FORGED_MIN
    assert not {name for name in last if name.startswith("forged_2")}
    await assert_each_counted_once(service.world.database_url, everybody)
