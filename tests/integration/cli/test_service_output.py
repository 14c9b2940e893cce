"""The output of a running service: JSON lines without secrets; and how it ends."""

import json
import signal
import socket
from pathlib import Path

import httpx

from support import databases
from support.commands import CANARY, START_S_MAX
from support.events import SUCCEEDED, event
from support.plain_http import TLS
from support.receiver import receiving
from support.service import ServiceProcess, World, start
from support.spans import TracedWorld, flush
from support.written import writing


def exercise(service: ServiceProcess) -> list[int]:
    """Send canaries wherever a caller can put them; return the answers' statuses."""
    own = service.world.token(CANARY, email=f"{CANARY}@example.com")
    admin = service.world.admin()
    charge = event(
        SUCCEEDED, CANARY, receipt_email=f"{CANARY}@example.com", description=CANARY
    )
    signed = json.dumps(charge).encode()
    forged = {"Stripe-Signature": f"t=1,v1={CANARY}"}
    odd = {"X-Request-Id": f"{CANARY} {{", "Cookie": CANARY, "User-Agent": CANARY}
    answers = [
        service.post_event(charge),
        service.post_event(charge),
        service.post_event(charge, "charge/failed"),
        service.post_event(signed, **forged),
        service.post_event(f'{{"id": "{CANARY}"'.encode()),
        service.post_event({"id": CANARY, "type": CANARY}),
        service.call("PUT", f"/users/{CANARY}", own, {"email": CANARY}),
        service.call("PUT", f"/users/{CANARY}", admin, {"email": CANARY}),
        service.call("PUT", f"/users/{CANARY}", admin, {CANARY: CANARY}),
        service.call("GET", f"/users/{CANARY}/payment-status", own),
        service.call("GET", f"/users/{CANARY}@x.org/payment-status?q={CANARY}", admin),
        service.call("GET", f"/{CANARY}?token={CANARY}", own),
        service.call("GET", "/tokens/invalidated", f"eyJ{CANARY}.{CANARY}.{CANARY}"),
        service.call("GET", f"/tokens/invalidated?cursor={CANARY}", admin),
        service.call("POST", "/tokens/invalidate", own, {"token": CANARY}),
        service.call("DELETE", f"/users/{CANARY}", own),
        httpx.get(f"{service.url}/tokens/invalidated", headers=odd, verify=TLS),
    ]
    return [answer.status_code for answer in answers]


def speak_nonsense(port: int) -> None:
    """Send what is not HTTP, and read until the service closes the connection."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as line:
        line.sendall(f"{CANARY} \0\r\n{CANARY}: \x1b[31m\r\n\r\n".encode())
        line.shutdown(socket.SHUT_WR)
        while line.recv(4096):
            pass


def test_t61_t79_a_traced_service_sends_no_secrets_and_waits_for_no_collector(
    database_url: str, tmp_path: Path
) -> None:
    """
    Applied, refused, failed by a bug: no span has any part of a body, a header, a path
    or a setting. If the collector accepts connections and never answers, requests are
    answered as before, the process ends on SIGTERM, and the log is not flooded.
    """
    with receiving() as collector:
        world = TracedWorld(database_url=database_url, collector_url=collector.url)
        with writing(world, tmp_path / "log") as written:
            service = written.service
            usual = exercise(service)
            break_ = "alter table payment_accounts rename email_key to gone"
            databases.run(databases.execute(database_url, break_))
            broken = exercise(service)
            spans = flush(service.url, collector)
            sent = b"".join(it.body for it in collector.received)
            collector.hold()
            answered = exercise(service)
            collector.wait_for_one()
            service.process.send_signal(signal.SIGTERM)
            # Less than the SDK waits for a collector: 10 s, and 30 s at the end.
            ended = service.process.wait(8)
    hidden = [CANARY, json.loads(world.jwks)["keys"][0]["k"], database_url, "eyJ"]
    lines = written.lines()

    assert ended == 0
    assert {200, 400, 401, 403, 404} <= set(usual)
    assert 500 in broken
    assert answered == broken
    assert "error.type" in {name for it in spans for name in it.attributes}
    assert [it for it in (*hidden, *world.secrets) if it.encode() in sent] == []
    bugs = [it for it in lines if it["event"] == "bug"]
    assert bugs[0]["trace_id"] in {it.trace_id for it in spans}
    assert sum("traces" in it["event"] for it in lines) <= 1


def test_t61_t62_a_service_writes_lines_of_json_and_no_secrets(
    database_url: str, tmp_path: Path
) -> None:
    """
    Applied, refused, failed by a bug, without a database: no part of a body, a header,
    a path or a setting is logged, and each line is one JSON object.
    """
    world = World(database_url)
    name = database_url.rsplit("/", 1)[1]
    other = databases.named(database_url, "postgres")
    with writing(world, tmp_path / "log") as written:
        service = written.service
        usual = exercise(service)
        speak_nonsense(service.port)
        break_ = "alter table payment_accounts rename email_key to gone"
        databases.run(databases.execute(database_url, break_))
        broken = exercise(service)
        # The service polls: it would reconnect before the database is renamed.
        closed = f"alter database {name} allow_connections false"
        away = f"alter database {name} rename to away_{name}"
        databases.run(databases.execute(other, closed, end(name), away))
        without = exercise(service)
        back = f"alter database away_{name} rename to {name}"
        opened = f"alter database {name} allow_connections true"
        databases.run(databases.execute(other, back, opened))
    text = written.path.read_text()
    hidden = [
        CANARY,
        world.jwks,
        json.loads(world.jwks)["keys"][0]["k"],
        database_url,
        *world.secrets,
        "eyJ",
        "Bearer",
        "Traceback",
    ]

    assert {200, 400, 401, 403, 404} <= set(usual)
    assert max(usual) < 500
    assert 500 in broken
    assert 503 in without
    assert [secret for secret in hidden if secret in text] == []
    assert text[:-1].replace("\n", "").isprintable()
    lines = written.lines()
    assert all({"event", "level", "timestamp"} <= set(line) for line in lines)
    requests = [line for line in lines if line["event"] == "request"]
    assert len([line for line in requests if line["path"] != "/readyz"]) == len(
        usual + broken + without
    )
    assert {line["event"] for line in lines} >= {"request", "bug", "unavailable"}


def test_t09_a_wrong_secret_is_told_at_warning_with_what_to_do(
    database_url: str, tmp_path: Path
) -> None:
    """
    So is an event of the other mode: the level that production logs shows both, once
    each.
    """
    world, other = World(database_url), World(database_url)
    live = event(SUCCEEDED, "live") | {"livemode": True}
    live["data"]["object"]["livemode"] = True
    body = json.dumps(live).encode()
    with writing(world, tmp_path / "log") as written:
        for _ in range(3):
            refused = written.service.post_event(body, **other.signed(body))
            assert refused.status_code == 400
        assert written.service.post_event(body).json() == {"outcome": "quarantined"}

    warnings = [it for it in written.lines() if it["level"] == "warning"]
    told = {it["event"]: it for it in warnings}
    assert set(told) == {"webhook refused", "event quarantined"}
    assert len(warnings) == 2
    assert told["webhook refused"]["reason"] == "signature_mismatch"
    assert "PAYMENTS_STRIPE_WEBHOOK_SECRETS" in told["webhook refused"]["to_do"]
    assert told["event quarantined"]["reason"] == "livemode is not ours"
    assert "payments webhook list" in told["event quarantined"]["to_do"]


def end(name: str) -> str:
    return (
        "select pg_terminate_backend(pid, 5000) from pg_stat_activity "  # noqa: S608  # our own name
        f"where datname = '{name}'"
    )


def test_ctrl_c_ends_the_service_as_sigterm_does(database_url: str) -> None:
    """
    It drains, and the exit code is 0.
    """
    service = start(World(database_url))

    service.process.send_signal(signal.SIGINT)

    assert service.process.wait(START_S_MAX) == 0
