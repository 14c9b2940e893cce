"""The feed over real HTTP: pages, and long polls for changes that do not exist yet."""

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from typing import Any, Final
from urllib.parse import urlencode

import httpx
import pytest

from payments_core.caller import FEED_SCOPE
from support import databases
from support.events import SUCCEEDED, event, utc
from support.plain_http import TLS
from support.service import PREFIX, ServiceProcess, World, free_port, running

JAN: Final = utc(2026, 1, 1)
GIVE: Final = "select give_positions_v1(1000)"


def give(world: World) -> int:
    """Give positions, as the worker does."""
    [(given,)] = databases.run(databases.fetch(world.database_url, GIVE))
    return int(given)


def reader(world: World) -> str:
    return world.token("app", scopes=[FEED_SCOPE])


def got(service: ServiceProcess, **query: object) -> Any:
    path = f"/feed?{urlencode(query)}"
    answer = service.call("GET", path, reader(service.world))
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.fixture(scope="module")
def known(service: ServiceProcess) -> ServiceProcess:
    """Lend a service that knows users, one of whom has paid."""
    for user in ("ada", "bob", "cyd"):
        service.register(user, f"{user}@example.com", f"cus_feed_{user}")
    charge = event(SUCCEEDED, "ada", at=JAN, customer="cus_feed_ada")
    assert service.post_event(charge).status_code == 200
    assert give(service.world) == 4
    return service


def test_the_feed_has_what_changed(known: ServiceProcess) -> None:
    """
    Each change as the status shows it, and the start of the next page.
    """
    page = got(known)

    last = page["changes"][-1]
    status = known.status("ada")
    assert [it["user_id"] for it in page["changes"]] == ["ada", "bob", "cyd", "ada"]
    assert last == {
        **{name: status[name] for name in ("user_id", "payment_status")},
        "payment_expire_date": status["payment_expire_date"],
        "entitled_until": last["entitled_until"],
        "position": 4,
        "version": last["version"],
        "at": last["at"],
        "grants": [
            {
                "product": "prepaid",
                "price": None,
                "until": last["entitled_until"],
                "because": {"kind": "prepaid", "id": None},
            }
        ],
        "cause": last["cause"],
    }
    assert last["entitled_until"] > last["payment_expire_date"]
    assert (page["next"], page["has_more"], page["catalogue"]) == ("4", False, "none")


def test_a_place_that_the_feed_does_not_have_has_a_code_of_its_own(
    known: ServiceProcess,
) -> None:
    """
    The reader refills its copy: the database was restored.
    """
    answer = known.call("GET", "/feed?after=999999", reader(known.world))
    assert (answer.status_code, answer.json()["code"]) == (410, "position_not_given")


@pytest.mark.parametrize(
    ("latest", "positions"), [("false", [1, 2, 3, 4]), ("true", [2, 3, 4])]
)
def test_pages_follow_each_other(
    known: ServiceProcess, latest: str, positions: list[int]
) -> None:
    """
    `next` is the next `after`, and stays the same at the end.
    """
    found, after, has_more = list[int](), "0", True
    while has_more:
        page = got(known, after=after, limit=2, latest=latest)
        found += [it["position"] for it in page["changes"]]
        after, has_more = page["next"], page["has_more"]
    assert found == positions
    assert got(known, after=after)["next"] == after


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("after=", "after"),
        ("after=x", "after"),
        ("after=-1", "after"),
        ("after=01", "after"),
        ("after=+1", "after"),
        ("after=1.0", "after"),
        (f"after={2**63}", "after"),
        ("after=%D9%A1", "after"),
        # No change has this position.
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("wait_s=31", "wait_s"),
        ("wait_s=0.5", "wait_s"),
        ("latest=1", "latest"),
        ("latest=True", "latest"),
        ("after=1&after=2", "after"),
        ("cursor=1", "query"),
    ],
)
def test_a_bad_parameter_is_refused_by_its_name(
    known: ServiceProcess, query: str, field: str
) -> None:
    """
    400, at once.
    """
    answer = known.call("GET", f"/feed?{query}", reader(known.world))

    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_value")
    assert [it["pointer"] for it in answer.json()["errors"]] == [f"/{field}"]


def waiting(service: ServiceProcess, query: str) -> socket.socket:
    """Request the feed, and return once the service has read the request."""
    it = socket.create_connection(("127.0.0.1", service.port), timeout=60)
    token = reader(service.world)
    it.sendall(
        f"GET {PREFIX}/feed?{query} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
        f"Authorization: Bearer {token}\r\n\r\n".encode()
    )
    # Both listeners are on one loop: a later request is answered later.
    httpx.get(f"{service.ops_url}/livez", timeout=30, verify=TLS).raise_for_status()
    return it


def answered(it: socket.socket) -> tuple[int, Any]:
    with closing(it):
        head, _, body = b"".join(iter(lambda: it.recv(65536), b"")).partition(
            b"\r\n\r\n"
        )
    return int(head.split()[1]), json.loads(body)


def test_a_change_reaches_who_waits_for_it(known: ServiceProcess) -> None:
    """
    Every waiting reader gets the changes that it has not seen; readers that
    disconnected before are not counted.
    """
    last = int(got(known)["next"])
    those = [waiting(known, f"after={last}&wait_s=30") for _ in range(5)]
    waiting(known, f"after={last}&wait_s=30").close()
    known.register("dan", "dan@example.com")
    assert give(known.world) == 1

    told = [answered(it) for it in those]
    assert {status for status, _ in told} == {200}
    for _, page in told:
        assert [it["user_id"] for it in page["changes"]] == ["dan"]
        assert page["next"] == str(last + 1)


@pytest.fixture
def alone(database_url: str) -> Iterator[ServiceProcess]:
    """Lend a service that a test may stop."""
    with running(World(database_url)) as [service]:
        yield service


@pytest.fixture
def worker(alone: ServiceProcess) -> Iterator[None]:
    """Run a worker beside it."""
    process = subprocess.Popen(
        [sys.executable, "-m", "payments_service", "worker"],
        env=alone.world.env(free_port(), free_port()),
    )
    yield
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0


@pytest.mark.usefixtures("worker")
def test_the_worker_gives_the_positions(alone: ServiceProcess) -> None:
    """
    Nothing else is needed: a change reaches the readers that wait for it.
    """
    it = waiting(alone, "after=0&wait_s=30")
    alone.register("ada", "ada@example.com", "cus_feed_worker")
    status, page = answered(it)
    assert (status, [it["user_id"] for it in page["changes"]]) == (200, ["ada"])


def test_f07_a_process_that_ends_answers_who_waits(alone: ServiceProcess) -> None:
    """
    At once and with an empty page: another process serves what comes next.
    """
    those = [waiting(alone, "after=0&wait_s=30") for _ in range(3)]
    alone.process.send_signal(signal.SIGTERM)

    nothing = {"changes": [], "next": "0", "has_more": False, "catalogue": "none"}
    assert [answered(it) for it in those] == [(200, nothing)] * 3
    assert alone.process.wait(30) == 0
