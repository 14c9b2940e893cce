"""Webhooks that never came are read from Stripe's list: with processes, on Postgres."""

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any, Final

import httpx
import pytest

from payments_adapters.stripe import translate
from payments_sandbox.resources.endpoints import shown
from support import databases
from support.profiles import PROVES
from support.service import free_port
from support.service_with_sandbox import OTHER, Payer, ServiceWithSandbox, selling

COUNT: Final = 12 if PROVES else 4


@pytest.fixture(scope="module")
def stack(postgres: str, template: str) -> Iterator[ServiceWithSandbox]:
    """
    A sandbox that began twenty days ago: the list goes back thirty days.
    """
    with selling(postgres, template, ago=timedelta(days=20)) as stack:
        yield stack


def charged(payer: Payer, amount: int) -> Any:
    """Take a payment from a payer without an invoice; return the charge's id."""
    [customer] = payer.customers
    intent = payer.stack.wire.post(
        "payment_intents",
        amount=amount,
        currency="eur",
        customer=customer["id"],
        payment_method=payer.card,
        confirm=True,
        off_session=True,
    )
    return intent["latest_charge"]


def act(payer: Payer) -> None:
    """Cause changes outside of this service that only an event reports."""
    wire = payer.stack.wire
    [customer], [subscription] = payer.customers, payer.subscriptions
    wire.post("refunds", charge=charged(payer, 500))
    charged(payer, 700)
    card = wire.post(f"payment_methods/{OTHER}/attach", customer=customer["id"])
    settings = {"default_payment_method": card["id"]}
    wire.post(f"customers/{customer['id']}", invoice_settings=settings)
    wire.post(f"subscriptions/{subscription['id']}", cancel_at_period_end=True)
    item = {"price": payer.stack.other}
    wire.post("subscriptions", customer=customer["id"], items=[item])


def view(payer: Payer) -> Any:
    """Return the service's answers about a payer, without their identity."""
    status = payer.status
    for name in ("email", "subscriptions"):
        del status[name]
    subscriptions = payer.get("subscriptions")["items"]
    return (
        _without_ids(status),
        sorted((_without_ids(it) for it in subscriptions), key=json.dumps),
        sorted(
            payer.stored(
                "state, amount_minor, refunded_minor from payments", by="1, 2, 3"
            )
        ),
    )


def _without_ids(thing: Any) -> Any:
    if isinstance(thing, dict):
        return {
            name: _without_ids(it)
            for name, it in thing.items()
            if name != "id" and not name.endswith("_id")
        }
    return [_without_ids(it) for it in thing] if isinstance(thing, list) else thing


def listed(stack: ServiceWithSandbox) -> list[str]:
    """Return the ids of the events that the service reads."""
    world = stack.sandbox.engine.world
    bodies = [json.dumps(shown(world, it)).encode() for it in world.events.values()]
    events = [translate(body) for body in bodies]
    return sorted(it.id for it in events if it.report is not None)


def rows(stack: ServiceWithSandbox, query: str) -> list[Any]:
    url = stack.world.database_url
    return [row[0] for row in databases.run(databases.fetch(url, query))]


def due_now(stack: ServiceWithSandbox) -> None:
    """Make the next turn due, and reset the budgets of calls."""
    for statement in (
        "update checkpoints set due_at = due_at - interval '1 hour'",
        "delete from gateway_budgets",
    ):
        databases.run(databases.execute(stack.world.database_url, statement))


def test_f40_p27_what_was_lost_for_days_is_known_after_one_run(
    stack: ServiceWithSandbox,
) -> None:
    """
    One of two has no webhook for days; after `payments worker --once` both are alike.
    """
    heard, lost = stack.user(), stack.user()
    for payer in (heard, lost):
        payer.subscribed()
    act(heard)
    stack.settle(timedelta(minutes=1))
    stack.sandbox.chaos(drop=1)
    act(lost)
    stack.settle(timedelta(minutes=1))
    stack.sandbox.advance("4 days")
    assert view(lost) != view(heard)
    stack.sandbox.calm()

    due_now(stack)
    assert stack.work_as_process() == 0
    stack.settle(timedelta(minutes=1))

    assert view(lost) == view(heard)
    kept = rows(stack, "select id from webhook_events order by id")
    assert set(listed(stack)) <= set(kept)
    [lag] = rows(stack, "select reached_at from checkpoints where name = 'events'")
    assert lag == stack.sandbox.now


def test_f42_back_fill_and_webhooks_at_once_come_to_the_same(
    stack: ServiceWithSandbox,
) -> None:
    """
    Each event is stored once, and nothing is pending in the end.
    """
    payers = [stack.user() for _ in range(COUNT)]
    for payer in payers:
        payer.give_card().raise_for_status()
        assert payer.subscribe().status_code == 201
        act(payer)
    due_now(stack)
    delivering = threading.Thread(target=stack.sandbox.deliver)
    delivering.start()
    assert stack.work_as_process() == 0
    delivering.join()
    stack.settle(timedelta(minutes=1))

    kept = rows(stack, "select id from webhook_events order by id")
    assert len(set(kept)) == len(kept)
    assert set(listed(stack)) <= set(kept)
    first, *others = map(view, payers)
    assert others == [first] * (COUNT - 1)
    assert not rows(stack, "select id from webhook_events where state = 'pending'")


def test_a_worker_reads_the_list_at_its_start_and_says_how_far_it_is(
    stack: ServiceWithSandbox,
) -> None:
    """
    Without a request; its ops port shows the lag and what was found, and it ends well.
    """
    payer = stack.user()
    payer.subscribed()
    stack.sandbox.chaos(drop=1)
    [customer] = payer.customers
    stack.wire.post(f"customers/{customer['id']}", metadata={"note": "unheard of"})
    charged(payer, 300)
    stack.sandbox.calm()
    due_now(stack)
    ops_port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "payments_service", "worker"],
        env=stack.world.env(0, ops_port),
    )
    try:
        found = metrics(ops_port, process)
        assert found["payments_event_back_fill_lag_seconds"] >= 0
        assert found['payments_event_back_fill_events_total{outcome="applied"}'] >= 1
        assert found["payments_event_back_fill_failures_total"] == 0
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait()
    amounts = payer.stored("amount_minor from payments", by="1")
    assert amounts == [(300,), (900,)]


def metrics(port: int, process: "subprocess.Popen[bytes]") -> dict[str, float]:
    """Return the metrics of a worker once it has found something."""
    while process.poll() is None:
        try:
            text = httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=5).text
        except httpx.TransportError:
            text = ""
        lines = [it.rpartition(" ") for it in text.splitlines() if it[:1] != "#"]
        shown = {name: float(value) for name, _, value in lines}
        applied = 'payments_event_back_fill_events_total{outcome="applied"}'
        if shown.get(applied):
            return shown
        try:
            process.wait(0.05)
        except subprocess.TimeoutExpired:
            continue
    raise AssertionError("it has ended")
