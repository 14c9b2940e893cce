"""Traces of a running service, as a collector receives them over HTTP."""

import secrets
from collections.abc import Iterator
from typing import Final

import httpx
import pytest

from payments_sandbox.api import ApiRequest, ApiResponse
from payments_service.presentation import PREFIX
from support.events import SUCCEEDED, event
from support.openapi_calls import Operation, operations
from support.plain_http import TLS
from support.receiver import Receiver, receiving
from support.service_with_sandbox import ServiceWithSandbox, problem_of, selling
from support.spans import Sent, flush, sent_to, traced_to

CANARY: Final = secrets.token_hex(8)
EMAIL: Final = f"{CANARY}@example.com"
# Formats that a path segment may have: others are not found.
PLACES: Final = {"user": EMAIL, "subscription": f"sub_{CANARY}"}


@pytest.fixture(scope="module")
def collector() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture(scope="module")
def stack(
    postgres: str, template: str, collector: Receiver
) -> Iterator[ServiceWithSandbox]:
    """
    A service that traces every request.
    """
    more = traced_to(collector.url)
    with selling(postgres, template, more=more) as stack:
        yield stack


def of_trace(spans: list[Sent], root: str) -> list[Sent]:
    """Return the last trace whose root has this name, its root first."""
    found = [it for it in spans if it.name == root][-1]
    others = [it for it in spans if it.trace_id == found.trace_id and it is not found]
    return [found, *others]


def test_a_subscription_is_one_trace_from_the_request_to_the_outbox(
    stack: ServiceWithSandbox, collector: Receiver
) -> None:
    """
    The request, its use case, loads and saves, and each call of the gateway; a save of
    changes for the feed says how many it logged.
    """
    payer = stack.user()
    payer.subscribed()

    spans = flush(stack.service.url, collector)
    request, *inner = of_trace(
        spans, "POST /payments-gateway/api/users/{user}/subscriptions"
    )
    names = {it.name for it in inner}
    [use_case] = [it for it in inner if it.name == "StartSubscription"]
    sends = [it for it in inner if it.name == "gateway send"]
    saves = [it for it in inner if it.name == "ledger save"]

    assert request.attributes["http.response.status_code"] == 201
    assert request.resource["service.name"] == "payments-service"
    assert use_case.parent == request.id
    assert {"AuthenticateCaller", "ledger load"} <= names
    assert [it.attributes["payments.gateway.operation"] for it in sends] == [
        "create_subscription"
    ]
    assert any(it.attributes["payments.changes_logged"] for it in saves)
    assert {it.parent for it in inner} <= {it.id for it in (request, *inner)}


def test_a_webhooks_batch_is_linked_to_its_request(
    stack: ServiceWithSandbox, collector: Receiver
) -> None:
    """
    Several events may be recorded together: that is a trace of its own.
    """
    answer = stack.service.post_event(event(SUCCEEDED, secrets.token_hex(8)))
    assert answer.status_code == 200

    spans = flush(stack.service.url, collector)
    batch, *inner = of_trace(spans, "webhook batch")
    [request] = of_trace(spans, f"POST {PREFIX}/webhooks/stripe")

    assert request.links == [batch.trace_id]
    assert batch.links == [request.trace_id]
    assert {it.name for it in inner} == {"RecordFacts", "ledger load", "ledger save"}


def test_a_workers_jobs_are_traces_of_its_own(
    stack: ServiceWithSandbox, collector: Receiver
) -> None:
    """
    Sent before the process ends; it includes the job's Stripe calls, loads and saves.
    """
    payer = stack.user()
    payer.give_card().raise_for_status()
    payer.subscribe().raise_for_status()
    assert stack.work_as_process() == 0

    spans = sent_to(collector)
    job, *inner = of_trace(spans, "job subscription")
    assert job.resource["service.name"] == "payments-worker"
    assert {"gateway subscription", "ledger load", "ledger save"} <= {
        it.name for it in inner
    }


def test_stripe_is_told_of_no_trace(
    stack: ServiceWithSandbox, collector: Receiver
) -> None:
    """
    Stripe would learn how our requests belong together, and does not use it.
    """
    headers = set[str]()
    watch = stack.sandbox.engine.watch

    def note(request: ApiRequest, response: ApiResponse) -> None:
        headers.update(request.headers)
        watch(request, response)

    stack.sandbox.engine.watch = note
    stack.user().give_card().raise_for_status()
    stack.sandbox.engine.watch = watch

    assert "authorization" in headers
    assert not headers & {"traceparent", "tracestate", "baggage"}
    spans = flush(stack.service.url, collector)
    assert any(it.name == "gateway send" for it in spans)


def call(stack: ServiceWithSandbox, operation: Operation, token: str) -> httpx.Response:
    """Call an operation with a canary in every text that a caller supplies."""
    ids = {it: PLACES.get(it, CANARY) for it in operation.parameters}
    known = {"email": EMAIL, "product": CANARY, "price": CANARY, "token": CANARY}
    body = operation.bodies({**known, "payment_method": f"pm_{CANARY}"})[0]
    return httpx.request(
        operation.method,
        stack.service.url + operation.at(ids),
        json=body,
        headers={
            "Authorization": f"Bearer {token}",
            "Idempotency-Key": secrets.token_hex(8) + CANARY,
            "User-Agent": CANARY,
            "X-Request-Id": CANARY,
            "Cookie": CANARY,
            "Stripe-Signature": f"t=1,v1={CANARY}",
        },
        timeout=30,
        verify=TLS,
    )


def test_t61_t79_no_span_holds_what_anybody_wrote(
    stack: ServiceWithSandbox, collector: Receiver
) -> None:
    """
    Every operation, by the user, by an administrator and with an invalid token, a
    canary in its path, its query, its headers and its body; a webhook that contains it,
    a gateway that quotes it in a refusal. No id, e-mail or secret is in any span.
    """
    world = stack.world
    own = world.token(CANARY, email=EMAIL)
    admin = world.admin()
    tokens = (own, admin, f"eyJ{CANARY}.{CANARY}.{CANARY}")
    payer = stack.user()
    payer.subscribed()
    found = set[int]()
    stack.service.call("PUT", f"/users/{CANARY}", admin, {"email": EMAIL})
    for token in tokens:
        for operation in operations():
            if "/feed" not in operation.path:
                found.add(call(stack, operation, token).status_code)
    charge = event(SUCCEEDED, CANARY, receipt_email=EMAIL, description=CANARY)
    found.add(stack.service.post_event(charge).status_code)
    found.add(payer.give_card(f"pm_{CANARY}").status_code)

    spans = flush(stack.service.url, collector)
    sent = b"".join(it.body for it in collector.received).lower()
    secret = [*world.secrets, *tokens, world.database_url, payer.token, payer.id, EMAIL]
    hidden = [CANARY, "@", "sub_", "cus_", "pm_", "evt_", "bearer", "eyj", *secret]
    shown = [str(v) for it in spans for v in (it.name, *it.attributes.values())]

    assert {200, 201, 400, 401, 404} <= found
    assert len({it.attributes.get("http.route") for it in spans}) > 20
    assert [it for it in secret if it.lower().encode() in sent] == []
    assert CANARY.encode() not in sent
    assert [it for it in shown for word in hidden if word.lower() in it.lower()] == []


def test_a_problem_names_its_trace(
    stack: ServiceWithSandbox, collector: Receiver
) -> None:
    """
    It finds the spans of the failed request.
    """
    answer = stack.service.call(
        "GET", "/users/nobody/payment-status", stack.world.admin()
    )

    spans = flush(stack.service.url, collector)
    trace_id = problem_of(answer)["trace_id"]
    [use_case] = [
        it for it in spans if it.trace_id == trace_id and it.name == "GetPaymentStatus"
    ]
    assert use_case.attributes["error.type"] == "AccountNotFound"
