"""Around an application: every answer is complete, also of one that fails."""

import asyncio
import json
from collections.abc import Mapping
from contextlib import nullcontext, suppress
from http import HTTPStatus
from types import SimpleNamespace
from typing import Any

import attrs
import pytest
from litestar import Litestar

from payments_core import errors
from payments_service.http.problems import HANDLERS, HttpProblem, send_problem
from payments_service.http.request_context import RequestContext
from payments_service.http.requests import read_body
from payments_service.http.webhooks import webhooks
from payments_service.lanes import READING, Lane
from payments_service.webhook_reports import WebhookReports

pytestmark = pytest.mark.anyio


async def nothing() -> Any:
    return {"type": "http.disconnect"}


async def asked(
    app: Any, method: str = "GET", raised: type[BaseException] | None = None
) -> tuple[int, Mapping[str, str], bytes]:
    """Send a request; return the answer, and check that the exception is re-raised."""
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    scope: Any = {
        "type": "http",
        "http_version": "1.1",
        "method": method,
        "path": "/",
        "raw_path": b"/",
        "query_string": b"",
        "headers": [(b"host", b"a")],
    }
    with pytest.raises(raised) if raised else nullcontext():
        await RequestContext(app)(scope, nothing, send)
    start, *bodies = sent
    headers = {name.decode(): value.decode() for name, value in start["headers"]}
    return start["status"], headers, b"".join(it["body"] for it in bodies)


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (OSError("a secret"), 500, "internal_error"),
        (asyncio.CancelledError(), 503, "shutting_down"),
    ],
)
async def test_t63_an_application_that_fails_is_answered_as_a_problem(
    error: BaseException, status: int, code: str
) -> None:
    """
    The server would answer in plain text; the exception is re-raised for its log.
    """

    async def failing(*_: Any) -> None:
        raise error

    told, headers, body = await asked(failing, raised=type(error))

    assert (told, json.loads(body)["code"]) == (status, code)
    assert headers["content-type"] == "application/problem+json"
    assert headers["cache-control"] == "no-store"
    assert headers.get("retry-after") == ("1" if status == 503 else None)
    assert json.loads(body)["request_id"] == headers["x-request-id"]


@pytest.mark.parametrize(
    ("given", "kept"),
    [(None, "no-store"), (b"private, no-cache", "private, no-cache")],
)
async def test_an_answer_is_cached_only_if_it_says_so(
    given: bytes | None, kept: str
) -> None:
    """
    Other answers may hold a secret.
    """

    async def answering(_: Any, __: Any, send: Any) -> None:
        headers = [] if given is None else [(b"cache-control", given)]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"ok"})

    _, headers, body = await asked(answering)

    assert headers["cache-control"] == kept
    assert headers["x-content-type-options"] == "nosniff"
    assert body == b"ok"


async def test_head_reaches_the_application_as_get() -> None:
    """
    Its answer is sent without its body.
    """
    seen = []

    async def answering(scope: Any, _: Any, send: Any) -> None:
        seen.append(scope["method"])
        headers = [(b"content-length", b"2"), (b"allow", b"GET, OPTIONS")]
        await send({"type": "http.response.start", "status": 405, "headers": headers})
        await send({"type": "http.response.body", "body": b"ok"})

    status, headers, body = await asked(answering, "HEAD")

    assert (seen, status, body) == (["GET"], 405, b"")
    assert headers["content-length"] == "2"
    assert headers["allow"] == "GET, HEAD, OPTIONS"


@attrs.define
class Held:
    """An application whose requests wait until they are released."""

    waiting: list[asyncio.Event] = attrs.field(factory=list)
    taken: list[str] = attrs.field(factory=list)

    async def __call__(self, scope: Any, _: Any, send: Any) -> None:
        gate = asyncio.Event()
        self.waiting.append(gate)
        self.taken.append(scope["path"])
        await gate.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    def let_go(self) -> None:
        while self.waiting:
            self.waiting.pop().set()


@attrs.define
class Overloaded:
    """A few lanes around requests that are held."""

    held: Held = attrs.field(factory=Held)
    shed: list[str] = attrs.field(factory=list)
    asked: "list[asyncio.Task[int]]" = attrs.field(factory=list)
    receive: Any = nothing
    context: RequestContext = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        lanes = [
            Lane("webhooks", "/hooks/", 3, on_shed=self.shed.append),
            Lane("reads", "", 1, READING, self.shed.append),
            Lane("changes", "", 2, on_shed=self.shed.append),
        ]
        self.context = RequestContext(self.held, {}, lanes)

    async def ask(self, path: str, times: int, method: str = "POST") -> list[int]:
        """Send so many requests at once; return the statuses answered at once."""
        asked = [asyncio.create_task(self._ask(path, method)) for _ in range(times)]
        for _ in range(3):
            await asyncio.sleep(0)
        self.asked += asked
        return [it.result() for it in asked if it.done()]

    async def _ask(self, path: str, method: str) -> int:
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        scope: Any = {
            "type": "http",
            "http_version": "1.1",
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "headers": [(b"host", b"a"), (b"content-type", b"application/json")],
        }
        await self.context(scope, self.receive, send)
        start, body = sent
        if start["status"] != 200:
            headers = dict(start["headers"])
            assert headers[b"retry-after"] == b"1"
            assert headers[b"content-type"] == b"application/problem+json"
            assert method == "HEAD" or json.loads(body["body"])["code"] == "overloaded"
        return int(start["status"])


async def test_p36_so_many_are_in_flight_and_the_rest_is_refused_at_once() -> None:
    """
    Before the application is called; when those are answered there is room again, for
    as many.
    """
    it = Overloaded()
    for _ in range(3):
        assert await it.ask("/users/a", 10) == [503] * 8
        assert len(it.held.taken) == 2
        it.held.taken.clear()
        it.held.let_go()
        statuses = await asyncio.gather(*it.asked)
        assert statuses.count(200) == 2
        it.asked.clear()
    assert it.shed == ["changes"] * 24


async def test_p35_callers_take_no_place_of_webhooks_nor_changes_of_reads() -> None:
    """
    Each lane is full separately.
    """
    it = Overloaded()
    assert await it.ask("/users/a", 5) == [503] * 3
    assert await it.ask("/hooks/stripe", 5) == [503] * 2
    assert await it.ask("/users/b", 3, "GET") == [503] * 2
    assert it.held.taken == [
        *("/users/a", "/users/a", *["/hooks/stripe"] * 3, "/users/b")
    ]
    it.held.let_go()
    await asyncio.gather(*it.asked)


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
async def test_what_changes_nothing_takes_a_place_of_reads(method: str) -> None:
    """
    And is counted as a read, by the same list of methods.
    """
    it = Overloaded()
    assert await it.ask("/users/a", 3, method) == [503] * 2
    assert it.shed == ["reads"] * 2
    it.held.let_go()
    await asyncio.gather(*it.asked)


async def test_t65_who_sends_a_body_slowly_takes_no_place() -> None:
    """
    However many do. With its complete body each counts again, and is refused beyond the
    limit: holding back the last byte gains no places.
    """
    it, bodies, taken = Overloaded(), list[asyncio.Event](), list[bytes]()

    async def receive() -> Any:
        arrived = asyncio.Event()
        bodies.append(arrived)
        await arrived.wait()
        return {"type": "http.request", "body": b"{}", "more_body": False}

    async def reading(scope: Any, receive: Any, send: Any) -> None:
        try:
            taken.append(await read_body({}, receive))
        except errors.Overloaded:
            problem = HttpProblem(HTTPStatus.SERVICE_UNAVAILABLE, "overloaded", "")
            await send_problem(problem, "", send)
            return
        await it.held(scope, receive, send)

    it.context = attrs.evolve(it.context, app=reading)
    it.receive = receive
    assert await it.ask("/users/slow", 2) == []
    assert await it.ask("/users/slow", 2) == []
    assert (len(bodies), taken) == (4, [])

    for arrived in bodies:
        arrived.set()
    for _ in range(3):
        await asyncio.sleep(0)
    assert taken == [b"{}"] * 2
    assert it.shed == ["changes"] * 2
    assert await it.ask("/users/late", 2) == [503] * 2
    it.held.let_go()
    statuses = await asyncio.gather(*it.asked)
    assert sorted(statuses) == [200, 200, *[503] * 4]
    it.asked.clear()
    for _ in range(2):
        assert await it.ask("/users/slow", 2) == []


async def test_a_webhook_whose_place_is_gone_is_shed_and_not_called_wrong() -> None:
    """
    Refusals of webhooks raise an alert: something is wrong with what Stripe sends.
    """
    it, reports, bodies = Overloaded(), WebhookReports(), list[asyncio.Event]()

    async def receive() -> Any:
        arrived = asyncio.Event()
        bodies.append(arrived)
        await arrived.wait()
        return {"type": "http.request", "body": b"{}", "more_body": False}

    async def ingest(_: Any) -> Any:
        await asyncio.Event().wait()

    reader: Any = SimpleNamespace(read=lambda *_: None)
    waiting: Any = ingest
    it.context = attrs.evolve(
        it.context,
        app=Litestar(
            [webhooks(reader, waiting, reports)],
            exception_handlers=HANDLERS,
            openapi_config=None,
            logging_config=None,
        ),
    )
    it.receive = receive
    assert await it.ask("/webhooks/stripe", 2) == []
    assert await it.ask("/webhooks/stripe", 2) == []
    for arrived in bodies:
        arrived.set()
    for _ in range(9):
        await asyncio.sleep(0)

    assert [each.result() for each in it.asked if each.done()] == [503] * 2
    assert it.shed == ["changes"] * 2
    assert not +reports.refused
    for each in it.asked:
        each.cancel()
    await asyncio.gather(*it.asked, return_exceptions=True)


async def test_who_fails_or_goes_away_gives_its_place_back() -> None:
    """
    Nothing leaks: a cancelled request, and an application that fails.
    """
    it = Overloaded()
    await it.ask("/users/a", 2)
    for each in it.asked:
        each.cancel()
    await asyncio.gather(*it.asked, return_exceptions=True)
    assert await it.ask("/users/a", 3) == [503]


# What is counted


async def answering_as_asked(scope: Any, _: Any, send: Any) -> None:
    """Answer with the status that the path names, with one route for all of them."""
    scope["path_template"] = "/users/{user}"
    status = int(scope["path"].removeprefix("/"))
    await send({"type": "http.response.start", "status": status, "headers": []})
    await send({"type": "http.response.body", "body": b""})


async def counted(
    app: Any, *requests: tuple[str, str], lanes: Any = None
) -> dict[tuple[str, str, int], int]:
    """Send a request; return how many answers of each kind were counted."""
    context = RequestContext(app, {}, lanes or [Lane("any", "", 9)])

    async def send(_: Any) -> None:
        pass

    for method, path in requests:
        scope: Any = {
            "type": "http",
            "http_version": "1.1",
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "headers": [(b"host", b"a")],
        }
        with suppress(OSError):
            await context(scope, nothing, send)
    assert context._tallies.in_flight_count == 0
    assert all(it.total > 0 for it in context._tallies.answers.values())
    return {key: it.count for key, it in context._tallies.answers.items()}


async def test_t79_requests_are_counted_by_route_and_status() -> None:
    """
    Not by their paths; HEAD separately.
    """
    asked = [("GET", "/200"), ("GET", "/404"), ("GET", "/200"), ("HEAD", "/200")]

    assert await counted(answering_as_asked, *asked) == {
        ("GET", "/users/{user}", 200): 2,
        ("GET", "/users/{user}", 404): 1,
        ("HEAD", "/users/{user}", 200): 1,
    }


async def test_t79_what_has_no_route_is_one_series_however_it_is_called() -> None:
    """
    An invented method makes none either.
    """

    async def unknown(_: Any, __: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 404, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    asked = [(f"BREW{number}", f"/made-up/{number}") for number in range(50)]
    assert await counted(unknown, *asked) == {("other", "unmatched", 404): 50}


async def test_what_is_refused_as_too_many_is_counted_apart() -> None:
    """
    Its route was not looked up; it is an answer all the same.
    """
    lanes = [Lane("any", "", 0)]
    found = await counted(answering_as_asked, ("GET", "/200"), lanes=lanes)
    assert found == {("GET", "shed", 503): 1}


async def test_an_application_that_fails_is_counted_with_its_answer() -> None:
    """
    With the status of the answer that is sent for it.
    """

    async def failing(*_: Any) -> None:
        raise OSError("a bug")

    found = await counted(failing, ("GET", "/"))
    assert found == {("GET", "unmatched", 500): 1}


async def test_requests_are_in_flight_until_they_are_answered() -> None:
    """
    However many there are.
    """
    it = Overloaded()
    await it.ask("/hooks/stripe", 3)
    await it.ask("/users/a", 9, "GET")
    assert it.context._tallies.in_flight_count == 4
    it.held.let_go()
    await asyncio.gather(*it.asked)
    assert it.context._tallies.in_flight_count == 0
