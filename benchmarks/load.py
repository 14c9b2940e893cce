"""Load from a process of its own: requests made beforehand, one per connection at once.

Reads a JSON plan on stdin, prints a JSON result on stdout.
"""

import asyncio
import hashlib
import hmac
import json
import sys
import time
from collections.abc import Sequence
from functools import partial
from typing import cast

import attrs
import uvloop
from typing_extensions import override

HEADER_END = b"\r\n\r\n"


@attrs.frozen(kw_only=True)
class Plan:
    """`ports` are taken in turns by the connections; `path` starts with a slash.

    With a `body`, each request is a webhook of its own: `@ID@` in it becomes unique,
    `@CUSTOMER@` one of `customers_count`, `@CREATED@` one second after the other from
    `created_from` on, and it is signed with `secret`.
    """

    ports: Sequence[int]
    path: str
    connections: int
    seconds: float
    headers: str = ""
    body: str = ""
    secret: str = ""
    customers_count: int = 1
    created_from: int = 0
    run: str = ""
    requests_max: int = 40_000


def requests(plan: Plan) -> list[bytes]:
    if not plan.body:
        head = f"GET {plan.path} HTTP/1.1\r\nHost: bench\r\n{plan.headers}\r\n"
        return [head.encode()]
    signed_at = int(time.time())
    return [_webhook(plan, number, signed_at) for number in range(plan.requests_max)]


def _webhook(plan: Plan, number: int, signed_at: int) -> bytes:
    body = (
        plan.body.replace("@ID@", f"{plan.run}_{number}")
        .replace("@CUSTOMER@", str(number % plan.customers_count))
        .replace("@CREATED@", str(plan.created_from + number))
        .encode()
    )
    signature = hmac.new(
        plan.secret.encode(), b"%d." % signed_at + body, hashlib.sha256
    ).hexdigest()
    return (
        f"POST {plan.path} HTTP/1.1\r\nHost: bench\r\n"
        "Content-Type: application/json\r\n"
        f"Stripe-Signature: t={signed_at},v1={signature}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    ).encode() + body


@attrs.define
class Run:
    """What the connections share."""

    waiting: Sequence[bytes]
    repeat: bool
    until: float
    sent: int = 0
    latencies_s: list[float] = attrs.field(factory=list)
    refused: int = 0

    def next(self) -> bytes | None:
        if time.perf_counter() >= self.until:
            return None
        if self.repeat:
            return self.waiting[0]
        if self.sent == len(self.waiting):
            return None
        self.sent += 1
        return self.waiting[self.sent - 1]


class Connection(asyncio.Protocol):
    def __init__(self, run: Run, done: "asyncio.Future[None]") -> None:
        self._run = run
        self._done = done
        self._buffer = b""
        self._started = 0.0

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transport is no asyncio.Transport, though it does what one does.
        self._transport = cast(asyncio.Transport, transport)
        self._send()

    def _send(self) -> None:
        request = self._run.next()
        if request is None:
            self._transport.close()
            return
        self._started = time.perf_counter()
        self._transport.write(request)

    @override
    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, rest = self._buffer.partition(HEADER_END)
        if not found:
            return
        length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
        if len(rest) < length:
            return
        self._buffer = b""
        self._run.latencies_s.append(time.perf_counter() - self._started)
        self._run.refused += not head.startswith(b"HTTP/1.1 200")
        self._send()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        if exc is not None:
            self._run.refused += 1
        if not self._done.done():
            self._done.set_result(None)


async def measure(plan: Plan) -> dict[str, float]:
    waiting = requests(plan)
    loop = asyncio.get_running_loop()
    started = time.perf_counter()
    run = Run(waiting, repeat=not plan.body, until=started + plan.seconds)
    ends = []
    for number in range(plan.connections):
        end = loop.create_future()
        ends.append(end)
        port = plan.ports[number % len(plan.ports)]
        made = partial(Connection, run, end)
        await loop.create_connection(made, "127.0.0.1", port)
    await asyncio.gather(*ends)
    took_s = time.perf_counter() - started
    ordered = sorted(run.latencies_s)
    return {
        "count": len(ordered),
        "per_second": len(ordered) / took_s,
        "p50_ms": ordered[len(ordered) // 2] * 1e3,
        "p99_ms": ordered[len(ordered) * 99 // 100] * 1e3,
        "refused": run.refused,
    }


if __name__ == "__main__":
    print(json.dumps(uvloop.run(measure(Plan(**json.load(sys.stdin))))))
