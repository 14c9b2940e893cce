"""Requests are spans, named by their routes; problems and logs name their traces."""

import secrets
from collections.abc import AsyncIterator
from typing import Final

import httpx
import pytest
import structlog
from litestar import Litestar, get
from opentelemetry.trace import SpanKind, StatusCode

from payments_core.errors import AccountNotFound
from payments_service import logs
from payments_service.http import problems
from payments_service.http.request_context import RequestContext
from payments_service.lanes import Lane
from payments_service.presentation import PREFIX
from payments_service.tallies import OTHER, UNMATCHED, RequestTallies
from support.spans import ALL, Kept, assert_plain, attributes_of, context_of, hex_id

pytestmark = pytest.mark.anyio

CANARY: Final = secrets.token_hex(8)
TRACE: Final = hex_id(32)
CARD: Final = "4242" * 4


@get("/users/{user:str}/payment-status", sync_to_thread=False)
def read_status() -> dict[str, str]:
    return {"status": "paid"}


@get("/users/{user:str}/none", sync_to_thread=False)
def read_nothing() -> None:
    structlog.get_logger().info("looking", of="users")
    raise AccountNotFound


@get("/broken", sync_to_thread=False)
def broken() -> None:
    raise RuntimeError(CANARY)


@get(f"{PREFIX}/webhooks/stripe", sync_to_thread=False)
def webhook() -> None:
    """Answer."""


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> Kept:
    for name, value in ALL.items():
        monkeypatch.setenv(name, value)
    return Kept.of()


@pytest.fixture
async def client(kept: Kept) -> AsyncIterator[httpx.AsyncClient]:
    app = Litestar(
        [read_status, read_nothing, broken, webhook],
        exception_handlers=problems.HANDLERS,
        logging_config=None,
        openapi_config=None,
    )
    traced = kept.spans.requests(RequestContext.of(app))
    transport = httpx.ASGITransport(traced, raise_app_exceptions=False)  # type: ignore[arg-type]  # Litestar types it otherwise
    async with httpx.AsyncClient(transport=transport, base_url="http://a") as client:
        yield client


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_request_is_a_span_named_by_its_route(
    kept: Kept, client: httpx.AsyncClient, method: str
) -> None:
    """
    Nothing of its path, its query and its headers is in it.
    """
    await client.request(
        method,
        f"/users/{CANARY}/payment-status?q={CANARY}",
        headers={
            "X-Request-Id": CANARY,
            "User-Agent": CANARY,
            "baggage": f"a={CANARY}",
        },
    )

    [span] = kept.ended
    route = "/users/{user}/payment-status"
    assert span.name == f"{method} {route}"
    assert span.kind is SpanKind.SERVER
    assert attributes_of(span) == {
        "http.request.method": method,
        "http.route": route,
        "http.response.status_code": 200,
        "url.scheme": "http",
    }
    assert_plain(kept.ended, CANARY)


@pytest.mark.parametrize("method", ["CONNECT", "PATCH", "TRACE", "BREW"])
async def test_a_span_knows_a_method_if_metrics_do(
    kept: Kept, client: httpx.AsyncClient, method: str
) -> None:
    """
    Otherwise a span could not be found by its metric.
    """
    tallies = RequestTallies()
    tallies.of(method, UNMATCHED, 405)

    await client.request(method, "/broken")

    [(told, _, _)] = tallies.answers
    [span] = kept.ended
    known = {OTHER: "_OTHER"}.get(told, told)
    assert attributes_of(span)["http.request.method"] == known
    assert (known == method) is (method != "BREW")


@pytest.mark.parametrize(
    ("asked", "name", "status"),
    [
        (("GET", f"/{CANARY}"), "GET", 404),
        (("GET", f"//{CANARY}"), "GET", 404),
        ((CANARY, "/broken"), "HTTP", 405),
        (("GET", "/broken"), "GET /broken", 500),
    ],
)
async def test_t61_t79_what_is_no_route_of_ours_names_no_span(
    kept: Kept,
    client: httpx.AsyncClient,
    asked: tuple[str, str],
    name: str,
    status: int,
) -> None:
    """
    An unknown method names none either. A bug's message is in no span.
    """
    await client.request(*asked)

    [span] = kept.ended
    is_fault = status == 500
    assert span.name == name
    assert attributes_of(span)["http.response.status_code"] == status
    assert (attributes_of(span).get("error.type") == "500") is is_fault
    assert (span.status.status_code is StatusCode.ERROR) is is_fault
    assert_plain(kept.ended, CANARY)


async def test_a_trace_goes_on_from_the_callers(
    kept: Kept, client: httpx.AsyncClient
) -> None:
    """
    Its other entry, `tracestate`, is not passed on.
    """
    parent = f"00-{TRACE}-{hex_id(16)}-01"
    headers = {"traceparent": parent, "tracestate": f"a={CANARY}"}
    await client.get("/users/ada/payment-status", headers=headers)

    [span] = kept.ended
    assert f"{context_of(span).trace_id:032x}" == TRACE
    assert span.parent is not None
    assert f"{span.parent.span_id:016x}" in parent
    assert_plain(kept.ended, CANARY)


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        # From an unknown sender.
        (f"{PREFIX}/webhooks/stripe", [("traceparent", f"00-{TRACE}-{'1' * 16}-01")]),
        ("/broken", [("traceparent", f"00-{TRACE}-{CARD}-01")]),
        ("/broken", [("traceparent", f"00-{CARD}{'0' * 16}-{'b' * 16}-01")]),
        ("/broken", [("traceparent", f"00-{'9' * 5}{CARD}{'1' * 11}-{'b' * 16}-01")]),
        ("/broken", [("traceparent", f"00-{'a' * 16}{CARD}-{'b' * 16}-01")]),
        ("/broken", [("traceparent", f"00-{TRACE}-4{'2' * 12}abc-01")]),
        ("/broken", [("traceparent", f"00-{TRACE}-{'1' * 16}-01")] * 2),
        ("/broken", [("traceparent", TRACE)]),
        ("/broken", [("traceparent", "\u00ff")]),
        ("/broken", []),
    ],
)
async def test_another_trace_begins_where_the_callers_is_not_to_be_taken(
    kept: Kept, client: httpx.AsyncClient, path: str, headers: list[tuple[str, str]]
) -> None:
    """
    A webhook may come from anybody; a card's number is not an id; of two ids neither is
    taken.
    """
    given = [(name.encode(), value.encode("latin-1")) for name, value in headers]
    await client.get(path, headers=given)

    [span] = kept.ended
    assert span.parent is None
    assert f"{context_of(span).trace_id:032x}" != TRACE


async def test_a_problem_and_the_log_name_the_trace(
    kept: Kept, client: httpx.AsyncClient
) -> None:
    """
    So that a reader of either finds it.
    """
    with structlog.testing.capture_logs(processors=[logs.name_request]) as lines:
        answer = await client.get("/users/ada/none")

    [span] = kept.ended
    trace_id = f"{context_of(span).trace_id:032x}"
    assert answer.json()["trace_id"] == trace_id
    [line] = [it for it in lines if it["event"] == "looking"]
    assert line["trace_id"] == trace_id
    assert logs.TRACE_ID.get() == ""


async def test_what_is_not_sampled_has_no_trace_to_be_found(
    kept: Kept, client: httpx.AsyncClient
) -> None:
    """
    Its id would lead to nothing.
    """
    unsampled = f"00-{TRACE}-{hex_id(16)}-00"
    answer = await client.get("/users/ada/none", headers={"traceparent": unsampled})

    assert answer.status_code == 404
    assert "trace_id" not in answer.json()
    assert not kept.ended


async def test_a_request_that_is_refused_before_its_route_is_found_names_none(
    kept: Kept,
) -> None:
    """
    There are too many: it is answered at once.
    """
    app = Litestar([read_status], logging_config=None, openapi_config=None)
    context = RequestContext.of(app, [Lane("any", "", 0)])
    transport = httpx.ASGITransport(kept.spans.requests(context))  # type: ignore[arg-type]  # Litestar types it otherwise
    async with httpx.AsyncClient(transport=transport, base_url="http://a") as client:
        answer = await client.get("/users/ada/payment-status")

    [span] = kept.ended
    assert answer.status_code == 503
    assert span.name == "GET"
    assert "http.route" not in attributes_of(span)
