"""Metrics of a process that served many requests: no name, no secret, few series."""

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from payments_core import user_id
from payments_core.identity import Email
from payments_core.use_cases import FollowRevocations, RegisterUser
from payments_service.container import Container, build_container, opened
from payments_service.http.app import create_app
from payments_service.http.health import create_ops_app
from payments_service.ingest_queue import IngestQueue
from payments_service.ops_metrics import of_service, of_worker
from payments_service.settings import Settings
from support.events import SUCCEEDED, event
from support.metrics_document import families
from support.service import PREFIX, World

pytestmark = pytest.mark.anyio

# Every user, path and event type contains it in its name.
MARK: Final = "zq7"
USERS_COUNT: Final = 8
# The number of series of a process that has served every request of this test. Most are
# the buckets of routes and use cases.
SERIES_MAX: Final = 600
ROUTES: Final = (
    ("GET", "/users/{}/payment-status"),
    ("GET", "/users/{}/access"),
    ("GET", "/users/{}/access?feature={}"),
    ("GET", "/users/{}/subscriptions/sub_{}"),
    ("GET", "/intents/{}"),
    ("GET", "/payments/ch_{}/link"),
    ("GET", "/{}"),
    ("POST", "/users/{}/payment-status"),
    ("BREW{}", "/users/{}"),
)


def app_at(app: Any, url: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(app=app), base_url=url, timeout=60
    )


async def ask(http: httpx.AsyncClient, world: World, name: str) -> set[int]:
    """Send all kinds of requests as a user of this name."""
    token = {"Authorization": f"Bearer {world.token(name)}"}
    statuses = set[int]()
    for method, path in ROUTES:
        answer = await http.request(
            method.format(name), path.format(name, name), headers=token
        )
        statuses.add(answer.status_code)
    return statuses


async def send_events(http: httpx.AsyncClient, world: World, name: str) -> set[str]:
    """Send a payment, an event of an unknown type, and a forged webhook."""
    charge = event(
        SUCCEEDED, name, at=datetime.now(UTC), receipt_email=f"{name}@example.com"
    )
    other = charge | {"type": f"account.{name}", "id": f"evt_other_{name}"}
    outcomes = set[str]()
    for body in (
        json.dumps(charge).encode(),
        json.dumps(other).encode(),
        name.encode(),
    ):
        signed = world.signed(body)
        for headers in (signed, {**signed, "Stripe-Signature": f"t=1,v1={name}"}):
            answer = await http.post("/webhooks/stripe", content=body, headers=headers)
            outcomes.add(answer.json().get("outcome", answer.json().get("code")))
    return outcomes


async def scraped(container: Container, *, worker: bool = False) -> str:
    nobody: Any = None
    shown = of_worker(container) if worker else of_service(container)
    app = create_ops_app(nobody, shown)
    async with app_at(app, "http://ops") as http:
        return (await http.get("/metrics")).text


def series_of(text: str) -> set[tuple[str, Any]]:
    return {
        (sample.name, tuple(sorted(sample.labels.items())))
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def secrets_of(env: Mapping[str, str]) -> set[str]:
    """Return the secrets of the settings."""
    named = re.compile("SECRET|KEY|TOKEN|PASSWORD|DATABASE_URL")
    values = [value for name, value in env.items() if named.search(name)]
    return {it for value in values for it in value.split(",") if len(it) > 8}


async def test_t79_t61_a_scrape_names_nobody_and_grows_with_nobody(
    database_url: str, record_property: Any
) -> None:
    """
    The number of users, paths, methods and event types does not increase the number of
    series. No secret of the settings is in a metric.
    """
    world = World(database_url)
    env = world.env(8000, 8001)
    container = build_container(Settings.from_env(env))
    app = create_app(container)
    async with opened(container), container[FollowRevocations].running():
        shown, text = list[set[tuple[str, Any]]](), ""
        for turn in range(2):
            for number in range(USERS_COUNT):
                name = f"{MARK}-{turn}-{number}"
                email = Email.of(f"{name}@example.com")
                await container[RegisterUser](user_id(name), email)
                async with app_at(app, f"http://localhost{PREFIX}") as http:
                    statuses = await ask(http, world, name)
                    outcomes = await send_events(http, world, name)
                assert statuses >= {200, 404, 405}
                assert outcomes == {
                    *("applied", "ignored", "quarantined", "bad_signature"),
                }
            await container[IngestQueue].drain()
            text = await scraped(container)
            shown.append(series_of(text))
        worker = await scraped(container, worker=True)

    assert shown[0] == shown[1]
    record_property("figure", f"a scrape has {len(shown[1])} series")
    assert len(shown[1]) <= SERIES_MAX
    both = text + worker
    assert MARK not in both
    assert "@" not in re.sub("payments_[a-z_]+", "", both)
    secrets = secrets_of(env)
    assert len(secrets) >= 3
    assert [it for it in secrets if it in both] == []
    names = {it.name for it in families()}
    assert {it.name for it in text_string_to_metric_families(text)} <= names


async def test_requests_and_events_are_counted_as_they_were_answered(
    database_url: str,
) -> None:
    """
    By route, status, type, outcome, and the verifying secret; use cases by outcome.
    """
    world = World(database_url)
    container = build_container(Settings.from_env(world.env(8000, 8001)))
    app = create_app(container)
    async with opened(container), container[FollowRevocations].running():
        await container[RegisterUser](user_id("ada"), Email.of("ada@example.com"))
        async with app_at(app, f"http://localhost{PREFIX}") as http:
            await ask(http, world, "ada")
            await send_events(http, world, "ada")
            await send_events(http, world, "ada")
        await container[IngestQueue].drain()
        text = await scraped(container)
        worker = await scraped(container, worker=True)

    def value(name: str, text: str = text, **labels: str) -> float:
        found = {
            (it.name, tuple(sorted(it.labels.items()))): it.value
            for family in text_string_to_metric_families(text)
            for it in family.samples
        }
        return found[name, tuple(sorted(labels.items()))]

    requests = "payments_http_requests_total"
    status = f"{PREFIX}/users/{{user}}/payment-status"
    assert value(requests, method="GET", route=status, status="200") == 1
    assert value(requests, method="POST", route="unmatched", status="405") == 1
    assert value(requests, method="GET", route="unmatched", status="404") == 1
    hooks = f"{PREFIX}/webhooks/stripe"
    assert value(requests, method="POST", route=hooks, status="200") == 6
    assert value(requests, method="POST", route=hooks, status="400") == 6
    timed = "payments_http_request_duration_seconds_count"
    assert value(timed, method="POST", route=hooks) == 12
    events = "payments_webhook_events_total"
    assert value(events, type="charge.succeeded", outcome="applied") == 1
    assert value(events, type="charge.succeeded", outcome="duplicate") == 1
    assert value(events, type="other", outcome="ignored") == 1
    assert value(events, type="unreadable", outcome="quarantined") == 1
    assert value("payments_webhooks_verified_total", secret="1") == 6
    assert value("payments_ingest_batch_events_sum") == 6
    calls = "payments_use_case_calls_total"
    assert value(calls, use_case="RegisterUser", outcome="ok") == 1
    assert value(calls, use_case="ReadIntent", outcome="intent_not_found") == 1
    assert value(calls, use_case="AuthenticateCaller", outcome="ok") >= 6
    assert value("payments_database_connections_max") > 0
    assert value("payments_feed_lag_seconds", worker) >= 0
    assert value("payments_intents", worker, state="unknown") == 0
    assert value("payments_jobs_due", worker) >= 0
