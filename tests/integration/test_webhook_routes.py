"""The webhook routes over real HTTP: what they accept, and all that they refuse."""

import gzip
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from payments_adapters.stripe import sign
from support import databases
from support.events import FAILED, SAMPLES, SUCCEEDED, event
from support.plain_http import TLS
from support.service import ServiceProcess, World, new_secret


def post(
    service: ServiceProcess, body: bytes, headers: dict[str, str], route: str = "stripe"
) -> httpx.Response:
    return httpx.post(
        f"{service.url}/webhooks/{route}",
        content=body,
        headers=headers,
        timeout=30,
        verify=TLS,
    )


def assert_refused(answer: httpx.Response, status: int, code: str) -> None:
    """Assert a problem of RFC 9457, with the request id in the header and the body."""
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == status
    assert problem["request_id"] == answer.headers["x-request-id"]
    assert {"type", "title", "detail"} <= problem.keys()


@pytest.mark.parametrize(
    ("sample", "route"),
    [
        ("charge_succeeded.json", "charge/succeeded"),
        ("charge_failed.json", "charge/failed"),
    ],
)
def test_the_briefs_files_are_kept_on_their_routes(
    service: ServiceProcess, sample: str, route: str
) -> None:
    """
    The two payloads of the brief, byte for byte and signed, are 200 and stored
    unchanged, although they share one event id.
    """
    body = (SAMPLES / sample).read_bytes()

    answer = post(service, body, service.world.signed(body), route)

    assert answer.status_code == 200
    kind = json.loads(body)["type"]
    kept = databases.run(
        databases.fetch(
            service.world.database_url,
            "select body from event_bodies where id = $1 and type = $2",
            "evt_00000000000000",
            kind,
        )
    )
    assert [row["body"] for row in kept] == [body]


def test_an_unknown_type_is_kept_and_answered_200(service: ServiceProcess) -> None:
    """
    Stripe may add types; an unknown one is not an error, and nothing is lost.
    """
    unknown = event(SUCCEEDED, "unknown") | {"type": "radar.early_fraud_warning.made"}
    series = 'payments_webhooks_ignored_total{reason="its type is not known"}'
    before = counted(service)[series]

    answer = service.post_event(unknown)

    assert answer.status_code == 200
    assert answer.json() == {"outcome": "ignored"}
    assert service.post_event(unknown).json() == {"outcome": "duplicate"}
    assert counted(service)[series] == before + 1


def test_t21_a_live_event_is_kept_apart_in_development(service: ServiceProcess) -> None:
    """
    An event of the other mode is answered 200, stored, and never applied.
    """
    service.register("live", "live@example.com")
    live = event(SUCCEEDED, "live", receipt_email="live@example.com", livemode=True)
    live["livemode"] = True

    assert service.post_event(live).json() == {"outcome": "quarantined"}
    assert service.status("live")["payment_status"] == "none"


def counted(service: ServiceProcess) -> dict[str, float]:
    """Return the counters of webhooks, by their names and labels."""
    text = httpx.get(f"{service.ops_url}/metrics", timeout=30, verify=TLS).text
    lines = [it for it in text.splitlines() if it.startswith("payments_webhooks_")]
    return {name: float(it) for name, it in (line.rsplit(" ", 1) for line in lines)}


def test_t09_refused_and_quarantined_webhooks_are_counted_by_reason(
    service: ServiceProcess,
) -> None:
    """
    On the ops port, starting at zero, and no reason contains input.
    """
    refused = 'payments_webhooks_refused_total{reason="%s"}'
    apart = 'payments_webhooks_quarantined_total{reason="%s"}'
    charge = event(SUCCEEDED, "counted")
    live = event(SUCCEEDED, "counted-live") | {"livemode": True}
    live["data"]["object"]["livemode"] = True
    other = World(service.world.database_url)
    body = json.dumps(charge).encode()
    old = service.world.signed(body, at=datetime.now(UTC) - timedelta(hours=1))
    before = counted(service)

    for headers in (other.signed(body), other.signed(body), old):
        assert_refused(post(service, body, headers), 400, "bad_signature")
    service.post_event(charge, "charge/failed")
    post(service, body, {"Content-Type": "application/json"})
    post(service, body, {"Content-Type": "text/plain"})
    for _ in range(2):
        service.post_event(live)

    after = counted(service)
    grown = {
        name: after[name] - before.get(name, 0.0)
        for name in after
        if after[name] != before.get(name, 0.0)
    }
    assert before[refused % "signature_mismatch"] >= 0
    assert grown == {
        refused % "signature_mismatch": 2,
        refused % "signature_stale": 1,
        refused % "signature_missing": 1,
        refused % "event_type_mismatch": 1,
        refused % "unsupported_media_type": 1,
        apart % "livemode is not ours": 1,
        # Of the wrong route, and the live one twice: both are signed by Stripe.
        'payments_webhooks_verified_total{secret="1"}': 3,
    }


def test_the_other_routes_type_is_refused(service: ServiceProcess) -> None:
    """
    A signed event of another type than the route's is 400 and not stored.
    """
    before = databases.digest(service.world.database_url)

    wrong = service.post_event(event(FAILED, "other"), "charge/succeeded")
    wrong_too = service.post_event(event(SUCCEEDED, "other"), "charge/failed")

    assert_refused(wrong, 400, "event_type_mismatch")
    assert_refused(wrong_too, 400, "event_type_mismatch")
    assert databases.digest(service.world.database_url) == before


BODY = json.dumps(event(SUCCEEDED, "signature")).encode()


def _at(seconds: int) -> Callable[[World], list[tuple[str, str]]]:
    def headers(world: World) -> list[tuple[str, str]]:
        at = datetime.now(UTC) + timedelta(seconds=seconds)
        return [("Stripe-Signature", world.signed(BODY, at=at)["Stripe-Signature"])]

    return headers


def _twofold(world: World) -> list[tuple[str, str]]:
    signature = world.signed(BODY)["Stripe-Signature"]
    return [("Stripe-Signature", f"t=1,{signature}")]


def _in_two_headers(world: World) -> list[tuple[str, str]]:
    signature = world.signed(BODY)["Stripe-Signature"]
    return [("Stripe-Signature", signature), ("Stripe-Signature", signature)]


def _by_another(_: World) -> list[tuple[str, str]]:
    signature = sign(BODY, secret=new_secret(), at=datetime.now(UTC))
    return [("Stripe-Signature", signature)]


@pytest.mark.parametrize(
    ("case", "headers"),
    [
        ("missing", lambda _: []),
        ("empty", lambda _: [("Stripe-Signature", "")]),
        ("garbage", lambda _: [("Stripe-Signature", "x,=,,t=,v1=")]),
        ("forged", _by_another),
        ("stale", _at(-310)),
        ("future", _at(310)),
        ("twofold", _twofold),
        ("in two headers", _in_two_headers),
    ],
)
def test_t01_t06_a_signature_that_does_not_hold_is_refused(
    service: ServiceProcess,
    case: str,
    headers: Callable[[World], list[tuple[str, str]]],
) -> None:
    """
    Missing, forged, stale, future or duplicate: 400, and the database is unchanged.
    """
    before = databases.digest(service.world.database_url)

    answer = httpx.post(
        f"{service.url}/webhooks/stripe",
        content=BODY,
        headers=[("Content-Type", "application/json"), *headers(service.world)],
        verify=TLS,
    )

    assert_refused(answer, 400, "bad_signature")
    assert databases.digest(service.world.database_url) == before, case


def test_t12_a_signature_of_other_bytes_than_ascii_is_refused(
    service: ServiceProcess,
) -> None:
    """
    Header bytes beyond ASCII are refused, and are not our error.
    """
    signature = service.world.signed(BODY)["Stripe-Signature"].encode()

    answer = httpx.post(
        f"{service.url}/webhooks/stripe",
        content=BODY,
        headers=[
            (b"Content-Type", b"application/json"),
            (b"Stripe-Signature", signature + b",v1=\xe9\xff"),
        ],
        verify=TLS,
    )

    assert_refused(answer, 400, "bad_signature")


def changed(**fields: Any) -> bytes:
    return json.dumps(event(SUCCEEDED, "malformed", **fields)).encode()


def _raw(old: bytes, new: bytes) -> bytes:
    body = changed()
    assert old in body
    return body.replace(old, new)


@pytest.mark.parametrize(
    ("case", "body", "field"),
    [
        ("an array", b"[]", "body"),
        ("a number", b"1", "body"),
        ("nothing", b"", "body"),
        ("no JSON", b"{", "body"),
        ("no event", b"{}", "id"),
        ("invalid UTF-8", _raw(b"ch_malformed", b"ch_\xff"), "body"),
        ("brackets", b"[" * 100_000 + b"]" * 100_000, "body"),
        (
            "brackets inside",
            _raw(b'"order": null', b'"order": ' + b"[" * 100_000),
            "body",
        ),
        ("NaN", _raw(b'"amount": 100', b'"amount": NaN'), "body"),
        ("beyond 2^63", changed(amount=2**63), "data.object.amount"),
        ("beyond 2^70", changed(amount=2**70), "data.object.amount"),
        ("negative", changed(amount=-1), "data.object.amount"),
        ("a float", changed(amount=1.5), "data.object.amount"),
        ("a bool", changed(amount=True), "data.object.amount"),
        ("text", changed(amount="100"), "data.object.amount"),
        (
            "a long failure code",
            changed(failure_code="c" * 300),
            "data.object.failure_code",
        ),
        ("a far year", changed(created=10**15), "data.object.created"),
        ("a currency", changed(currency="EURO"), "data.object.currency"),
    ],
)
def test_t13_t19_a_signed_body_that_cannot_be_read_is_kept_apart(
    service: ServiceProcess, case: str, body: bytes, field: str
) -> None:
    """
    We must fix it, and Stripe need not repeat it: 200, stored byte for byte, and its
    reason names the field. It causes no payment, and its second delivery is a
    duplicate.
    """
    body = body.replace(b"evt_malformed", b"evt_" + case.encode().hex().encode())
    for outcome in ("quarantined", "duplicate"):
        answer = post(service, body, service.world.signed(body))
        assert (answer.status_code, answer.json()) == (200, {"outcome": outcome})

    kept = databases.run(databases.fetch(service.world.database_url, _KEPT_WITH, body))
    ((state, reason, named),) = kept
    unreadable, told, why = reason.split(": ", 2)
    assert (state, unreadable, told) == ("quarantined", "unreadable", field), case
    assert why
    assert not databases.run(
        databases.fetch(
            service.world.database_url, "select from payments where id = $1", named
        )
    )


_KEPT_WITH = """
select e.state, e.reason, 'ch_malformed' from webhook_events e
join event_bodies b on b.id = e.id and b.type = e.type where b.body = $1
"""


@pytest.mark.parametrize("kind", ["charge.failed", "refund.created"])
def test_a_body_that_cannot_be_read_is_kept_on_every_route(
    service: ServiceProcess, kind: str
) -> None:
    """
    The brief's routes accept only their own types, if the type can be read.
    """
    broken = json.dumps({"id": "evt_broken", "type": kind}).encode()
    unreadable = b"nothing that is JSON, on a route of the brief: " + kind.encode()

    answer = post(service, broken, service.world.signed(broken), "charge/succeeded")
    assert_refused(answer, 400, "event_type_mismatch")
    signed = service.world.signed(unreadable)
    answer = post(service, unreadable, signed, "charge/succeeded")
    assert answer.json() == {"outcome": "quarantined"}


@pytest.mark.parametrize("chunked", [True, False])
def test_t14_a_body_over_512_kib_is_refused(
    service: ServiceProcess, *, chunked: bool
) -> None:
    """
    513 KiB are 413, with or without a declared length.
    """
    body = b" " * (513 * 1024)
    content = iter([body[:100_000], body[100_000:]]) if chunked else body

    answer = httpx.post(
        f"{service.url}/webhooks/stripe",
        content=content,
        headers=service.world.signed(body),
        verify=TLS,
    )

    assert answer.status_code == 413
    assert answer.json()["code"] == "body_too_large"


def test_t15_an_encoded_body_is_refused(service: ServiceProcess) -> None:
    """
    Nothing is ever decompressed: gzip is 415.
    """
    body = gzip.compress(BODY)
    headers = service.world.signed(body) | {"Content-Encoding": "gzip"}

    assert_refused(post(service, body, headers), 415, "unsupported_encoding")


@pytest.mark.parametrize("kind", ["text/plain", "application/yaml", ""])
def test_t20_another_content_type_is_refused(
    service: ServiceProcess, kind: str
) -> None:
    """
    JSON says that it is JSON.
    """
    headers = service.world.signed(BODY) | {"Content-Type": kind}

    assert_refused(post(service, BODY, headers), 415, "unsupported_media_type")


@pytest.mark.parametrize("verb", ["GET", "HEAD", "PUT", "DELETE", "PATCH", "TRACE"])
def test_t20_another_verb_is_refused(service: ServiceProcess, verb: str) -> None:
    """
    Webhooks are posted.
    """
    answer = httpx.request(verb, f"{service.url}/webhooks/stripe", verify=TLS)

    assert answer.status_code == 405
    assert answer.headers["allow"] == "OPTIONS, POST"


def test_a_refusal_echoes_nothing(service: ServiceProcess) -> None:
    """
    No answer echoes the input.
    """
    canary = "canary4242"
    body = changed(currency=canary, amount=-1, customer=[canary])

    answer = post(service, body, service.world.signed(body), "charge/failed")

    assert answer.status_code == 400
    assert canary not in answer.text
