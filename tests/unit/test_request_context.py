"""Around an application: every answer is complete, also that of one that fails."""

import asyncio
import json
from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any

import pytest

from payments_service.http.request_context import RequestContext

pytestmark = pytest.mark.anyio


async def nothing() -> Any:
    return {"type": "http.disconnect"}


async def asked(
    app: Any, method: str = "GET", raised: type[BaseException] | None = None
) -> tuple[int, Mapping[str, str], bytes]:
    """Ask an application; return its answer, and check that its exception goes on."""
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
    The server would say so in plain text; the exception goes on to its log.
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
    Whatever it answers comes without its body.
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
