"""A webhook's body goes the way that docs/architecture.md shows."""

import json
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, Final

import pytest

import payments_adapters
import payments_core
import payments_service
from payments_core import Email, user_id
from payments_core.use_cases import RegisterUser
from payments_service.container import build_container, opened
from payments_service.http.app import create_app
from payments_service.ingest_queue import IngestQueue
from payments_service.settings import Settings
from support.events import SUCCEEDED, event
from support.service import PREFIX, World

ROOT: Final = Path(__file__).parents[2]
PAGE: Final = (ROOT / "docs" / "architecture.md").read_text()
PACKAGES: Final = tuple(
    f"{Path(package.__file__).parent}/"
    for package in (payments_adapters, payments_core, payments_service)
    if package.__file__
)
WALK: Final = re.findall(
    r"(?m)^\| `(\S+\.py)` \| `([\w.]+)` \| \S.* \|$",
    PAGE.partition("### A webhook's body\n")[2].partition("\n### ")[0],
)
NO_CALLS: Final = {"<listcomp>", "<genexpr>", "<setcomp>", "<dictcomp>"}
# How many there were when it was last brought down: each one more needs a reason.
CALLS_MAX: Final = 140
EMAIL: Final = "ada@example.com"


def named(code: CodeType) -> tuple[str, str]:
    """Return the file and the function, as the walks have them."""
    path = Path(code.co_filename).relative_to(ROOT).as_posix()
    return path, code.co_qualname.replace("<locals>.", "")


@contextmanager
def watching() -> Iterator[list[CodeType]]:
    """Lend a list of our functions, in the order in which they are entered.

    A call is a frame of Python that is entered for the first time: a coroutine that
    goes on is none. Code that attrs made, and comprehensions, are no functions of ours.
    """
    frames = list[FrameType]()
    seen = set[int]()

    def watch(frame: FrameType, what: str, _: object) -> None:
        code = frame.f_code
        ours = code.co_filename.startswith(PACKAGES) and code.co_name not in NO_CALLS
        if what == "call" and ours and id(frame) not in seen:
            # Kept, so that no later frame gets its identity.
            frames.append(frame)
            seen.add(id(frame))

    entered = list[CodeType]()
    sys.setprofile(watch)
    try:
        yield entered
    finally:
        sys.setprofile(None)
        entered += [frame.f_code for frame in frames]


async def post(app: Any, body: bytes, headers: dict[str, str]) -> int:
    """Send one webhook as a server would; return the status of the answer."""
    statuses = list[int]()
    path = f"{PREFIX}/webhooks/stripe"

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": [
            (name.lower().encode(), value.encode())
            for name, value in {"Host": "localhost", **headers}.items()
        ],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
    }
    await app(scope, receive, send)
    [status] = statuses
    return status


@pytest.mark.anyio
async def test_a_webhooks_body_goes_the_way_that_is_shown(
    database_url: str, record_property: Callable[[str, object], None]
) -> None:
    """
    A payment of a user who is known, alone: each hop of the walk, in its order.
    """
    world = World(database_url)
    container = build_container(Settings.from_env(world.env(8000, 8001)))
    app = create_app(container)

    # The end of a month counts two calls more: its next one may be shorter.
    at = datetime.now(UTC).replace(day=1)

    def body(number: int) -> bytes:
        charge = event(SUCCEEDED, number, at=at, receipt_email=EMAIL)
        return json.dumps(charge).encode()

    async with opened(container):
        await container[RegisterUser](user_id("ada"), Email.of(EMAIL))
        # What is made once, at the first webhook, is no part of the way.
        assert await post(app, body(1), world.signed(body(1))) == 200
        await container[IngestQueue].drain()
        second = body(2)
        headers = world.signed(second)
        with watching() as entered:
            assert await post(app, second, headers) == 200
        await container[IngestQueue].drain()

    figure = f"a webhook enters {len(entered)} of our functions"
    record_property("figure", figure)
    assert len(entered) <= CALLS_MAX
    assert f"holds them to at most {CALLS_MAX}." in PAGE
    calls = iter([named(code) for code in entered])
    assert [hop for hop in WALK if hop not in calls] == []
