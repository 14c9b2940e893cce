"""A signing secret is rolled under a running service: no delivery is refused."""

import stat
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import attrs
import pytest

from payments_adapters.stripe.endpoint import EVENT_TYPES
from payments_sandbox import Sandbox
from support import databases, service
from support.command_line import Inside
from support.profiles import PROVES
from support.sandbox import conforming
from support.service import ServiceProcess, free_port
from support.service_with_sandbox import SalesWorld
from support.wire import Wire, wired

KEPT: Final = "select id, type from webhook_events order by received_at, id"


@attrs.define
class Shop:
    """An account with continuous payments, and the answers to its deliveries."""

    sandbox: Sandbox
    wire: Wire
    made: int = 0

    def pay(self) -> None:
        """Let a user pay, and wait until everything is delivered."""
        self.made += 1
        self.sandbox.trigger("charge.succeeded", f"user-{self.made}")
        self.sandbox.deliver()

    @property
    def answers(self) -> Counter[str]:
        tried = self.wire.client.get("/_sandbox/deliveries").raise_for_status().json()
        return Counter(it["answer"] for it in tried)

    @property
    def followed(self) -> list[str]:
        """Return the events that the service should know."""
        every = self.sandbox.events()
        return [it["id"] for it in every if it["type"] in EVENT_TYPES]


def restarted(running: ServiceProcess, *secrets: str, port: int) -> ServiceProcess:
    """Start the next process on the port of the last one, which drains first."""
    service._end(running)
    return service.start(attrs.evolve(running.world, secrets=secrets), port)


@pytest.mark.parametrize("kind", [(), ("--thin",)] if PROVES else [()])
def test_f45_t10_no_delivery_is_refused_while_a_secret_is_rolled(
    postgres: str,
    template: str,
    tmp_path: Path,
    inside: Inside,
    kind: tuple[str, ...],
) -> None:
    """
    Set up, rolled, and finished after the overlap, with payments before and after each
    step: every delivery is answered 200, and each event is stored once. A process with
    only the new secret accepts the later ones.
    """
    port = free_port()
    began = datetime.now(UTC).replace(microsecond=0)
    with (
        conforming(start=began) as sandbox,
        wired(sandbox) as wire,
        databases.copy_of(postgres, template) as dsn,
    ):
        world = SalesWorld(dsn, stripe_base=sandbox.url, stripe_key=sandbox.api_key)
        shop = Shop(sandbox, wire)
        old_file, new_file = tmp_path / "old", tmp_path / "new"

        def stripe(command: str, *words: Any, secrets: tuple[str, ...] = ()) -> None:
            env = dict(attrs.evolve(world, secrets=secrets).env(0, 0))
            if not secrets:
                del env["PAYMENTS_STRIPE_WEBHOOK_SECRETS"]
            url = f"http://127.0.0.1:{port}"
            answer = inside("stripe", command, "--url", url, *kind, *words, env=env)
            assert answer.code == 0, answer.err
            shop.pay()

        # Nothing happens before a service with the secret exists.
        sandbox.chaos(never_made=1)
        stripe("setup", "--secret-file", old_file)
        sandbox.calm()
        old = old_file.read_text().strip()
        running = service.start(attrs.evolve(world, secrets=(old,)), port)
        try:
            shop.pay()
            stripe("roll-secret", "--secret-file", new_file)
            new = new_file.read_text().strip()
            running = restarted(running, old, new, port=port)
            shop.pay()
            stripe("roll-secret", "--enable", secrets=(old, new))
            sandbox.advance("12 hours")
            shop.pay()
            sandbox.advance("12 hours")
            stripe("roll-secret", "--finish", secrets=(old, new))
            if PROVES:
                running = restarted(running, new, port=port)
            shop.pay()
        finally:
            service._end(running)

        kept = [id_ for id_, _ in databases.run(databases.fetch(dsn, KEPT))]
        assert set(shop.answers) == {"200"}
        # While both sent, each event came twice.
        assert shop.answers["200"] > len(kept)
        assert sorted(kept) == sorted(shop.followed)
        assert stat.S_IMODE(new_file.stat().st_mode) == 0o600
