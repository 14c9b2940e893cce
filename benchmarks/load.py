"""Load from a separate process: requests made beforehand, one per connection at once.

Reads a JSON plan on stdin, prints a JSON result on stdout.
"""

import asyncio
import hashlib
import hmac
import itertools
import json
import sys
import time
from collections import Counter, deque
from collections.abc import Sequence
from functools import partial
from typing import Any, cast

import attrs
import uvloop
from typing_extensions import override

HEADER_END = b"\r\n\r\n"


@attrs.frozen(kw_only=True)
class Plan:
    """`ports` are taken in turns by the connections; `path` starts with a slash.

    With a `body`, each request is a webhook of its own: `@ID@` in it becomes unique,
    `@CUSTOMER@` one of `customers_count` from `first_customer` on, each
    `customers_step` after the other, `@CREATED@` one second after the other from
    `created_from` on, and it is signed with `secret`. Without a body, the path may have
    `@CUSTOMER@`.

    An answer with another status than `status` counts as refused.

    With a `rate`, the load is open: that many requests begin each second, whatever
    becomes of earlier ones, on a free connection or a new one, up to `connections`.
    Beyond that, requests wait for a connection, and the wait counts.

    With `their_each`, every so many requests one more is `their_customer`'s, on a
    connection of its own: a wait for that customer delays no other.
    """

    ports: Sequence[int]
    path: str
    connections: int
    seconds: float
    headers: str = ""
    status: int = 200
    body: str = ""
    secret: str = ""
    customers_count: int = 1
    first_customer: int = 0
    customers_step: int = 1
    created_from: int = 0
    run: str = ""
    requests_max: int = 40_000
    rate: float = 0
    their_customer: int = 0
    their_each: int = 0


def requests(plan: Plan) -> tuple[list[bytes], list[bytes]]:
    """Return all requests, and those of the one customer."""
    if not plan.body:
        head = f"GET {plan.path} HTTP/1.1\r\nHost: bench\r\n{plan.headers}\r\n"
        if "@CUSTOMER@" not in head:
            return [head.encode()], []
        return [
            head.replace("@CUSTOMER@", str(_customer(plan, number))).encode()
            for number in range(plan.requests_max)
        ], []
    signed_at = int(time.time())
    count = plan.requests_max
    theirs = range(count // plan.their_each) if plan.their_each else ()
    return (
        [
            _webhook(
                plan,
                number,
                _customer(plan, number),
                signed_at,
            )
            for number in range(count)
        ],
        [
            _webhook(plan, count + number, plan.their_customer, signed_at)
            for number in theirs
        ],
    )


def _customer(plan: Plan, number: int) -> int:
    return plan.first_customer + number * plan.customers_step % plan.customers_count


def _webhook(plan: Plan, number: int, customer: int, signed_at: int) -> bytes:
    body = (
        plan.body.replace("@ID@", f"{plan.run}_{number}")
        .replace("@CUSTOMER@", str(customer))
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
class Lane:
    """The requests of some connections, and their results."""

    waiting: Sequence[bytes]
    repeat: bool = False
    sent: int = 0
    latencies_s: list[float] = attrs.field(factory=list)
    refusals: Counter[str] = attrs.field(factory=Counter)

    def next(self) -> bytes | None:
        if self.repeat:
            self.sent += 1
            return self.waiting[self.sent % len(self.waiting)]
        if self.sent == len(self.waiting):
            return None
        self.sent += 1
        return self.waiting[self.sent - 1]


@attrs.define
class Run:
    """The state that the connections share."""

    plan: Plan
    others: Lane
    theirs: Lane
    until: float
    # The tasks of the connections of the one customer.
    their_ends: list["asyncio.Task[None]"] = attrs.field(factory=list)

    def next(self) -> bytes | None:
        """Return the next request of the others; None at the end."""
        if time.perf_counter() >= self.until:
            return None
        each = self.plan.their_each
        if each and self.others.sent % each == 0:
            ask = connected(self, self.theirs, len(self.their_ends))
            self.their_ends.append(asyncio.create_task(ask))
        return self.others.next()


class Connection(asyncio.Protocol):
    def __init__(self, run: Run, lane: Lane, done: "asyncio.Future[None]") -> None:
        self._run = run
        self._lane = lane
        self._done = done
        self._buffer = b""
        self._started = 0.0

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transport is no asyncio.Transport, though it behaves as one.
        self._transport = cast(asyncio.Transport, transport)
        if self._lane is self._run.others:
            self._send(self._run.next())
        else:
            self._send(self._lane.next())

    def _send(self, request: bytes | None) -> None:
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
        told = head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0]
        # A 304 has no length and no body.
        length = int(told or b"0")
        if len(rest) < length:
            return
        self._buffer = b""
        self._lane.latencies_s.append(time.perf_counter() - self._started)
        if not head.startswith(b"HTTP/1.1 %d" % self._run.plan.status):
            self._lane.refusals[rest.decode() or head.decode()] += 1
        self._send(self._run.next() if self._lane is self._run.others else None)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        if exc is not None:
            self._lane.refusals[str(exc)] += 1
        if not self._done.done():
            self._done.set_result(None)


async def connected(run: Run, lane: Lane, number: int) -> None:
    """Connect, and return when the connection has ended."""
    loop = asyncio.get_running_loop()
    end = loop.create_future()
    port = run.plan.ports[number % len(run.plan.ports)]
    await loop.create_connection(partial(Connection, run, lane, end), "127.0.0.1", port)
    await end


class Pooled(asyncio.Protocol):
    """One of the connections of an open load."""

    def __init__(self, run: "OpenRun") -> None:
        self._run = run
        self._buffer = b""
        # The due time of the request whose answer is awaited; None: there is none.
        self._due: float | None = None

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._run.free(self)

    @property
    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def send(self, request: bytes, due: float) -> None:
        self._due = due
        self._transport.write(request)

    def close(self) -> None:
        self._transport.close()

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
        due, self._due = self._due, None
        if due is None:
            # Refused as a connection, before any request.
            self._run.refuse("connection")
        elif head.startswith(b"HTTP/1.1 200"):
            self._run.latencies_s.append(time.perf_counter() - due)
        else:
            self._run.refuse(head[9:12].decode())
        if b"connection: close" not in head.lower():
            self._run.free(self)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        if self._due is not None:
            self._run.refuse("lost")
        self._run.open_count -= 1


@attrs.define
class OpenRun:
    """An open load: due requests, the connections, and the results."""

    plan: Plan
    waiting: deque[tuple[bytes, float]] = attrs.field(factory=deque)
    latencies_s: list[float] = attrs.field(factory=list)
    refusals: Counter[str] = attrs.field(factory=Counter)
    open_count: int = 0
    _idle: list[Pooled] = attrs.field(factory=list)
    _connecting: set["asyncio.Task[None]"] = attrs.field(factory=set)
    _ports: "itertools.cycle[int]" = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._ports = itertools.cycle(self.plan.ports)

    def refuse(self, what: str) -> None:
        self.refusals[what] += 1

    def free(self, connection: Pooled) -> None:
        """Let a connection send the next waiting request, or wait itself."""
        if self.waiting:
            connection.send(*self.waiting.popleft())
        else:
            self._idle.append(connection)

    def begin(self, request: bytes, due: float) -> None:
        while self._idle:
            # The one that was busy last, as pools do.
            connection = self._idle.pop()
            if not connection.is_closing:
                connection.send(request, due)
                return
        self.waiting.append((request, due))
        if self.open_count < self.plan.connections:
            self.open_count += 1
            task = asyncio.create_task(self._connect())
            self._connecting.add(task)
            task.add_done_callback(self._connecting.discard)

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            await loop.create_connection(
                partial(Pooled, self), "127.0.0.1", next(self._ports)
            )
        except OSError:
            self.open_count -= 1
            self.refuse("no connection")

    def close(self) -> None:
        for connection in self._idle:
            connection.close()


async def measure_open(plan: Plan) -> dict[str, Any]:
    count = int(plan.rate * plan.seconds)
    made, _ = requests(attrs.evolve(plan, requests_max=count))
    run = OpenRun(plan)
    started = time.perf_counter()
    number = 0
    while number < count:
        now = time.perf_counter() - started
        while number < min(count, int(now * plan.rate)):
            # Not the due time: a late load generator is not the service's fault.
            run.begin(made[number % len(made)], time.perf_counter())
            number += 1
        await asyncio.sleep(0.001)
    # A later answer comes after the client has given up.
    for _ in range(100):
        if len(run.latencies_s) + run.refusals.total() >= count:
            break
        await asyncio.sleep(0.05)
    took_s = time.perf_counter() - started
    run.close()
    ordered = sorted(run.latencies_s) or [float("inf")]
    return {
        "count": len(run.latencies_s),
        "per_second": len(run.latencies_s) / took_s,
        "offered": count,
        "p50_ms": ordered[len(ordered) // 2] * 1e3,
        "p99_ms": ordered[len(ordered) * 99 // 100] * 1e3,
        "refused": count - len(run.latencies_s),
        "refusals": run.refusals.most_common(5),
    }


async def measure(plan: Plan) -> dict[str, Any]:
    if plan.rate:
        return await measure_open(plan)
    others, theirs = (Lane(it, repeat=not plan.body) for it in requests(plan))
    started = time.perf_counter()
    run = Run(plan, others, theirs, until=started + plan.seconds)
    await asyncio.gather(
        *(connected(run, others, number) for number in range(plan.connections))
    )
    took_s = time.perf_counter() - started
    await asyncio.gather(*run.their_ends)
    ordered = sorted(others.latencies_s)
    return {
        "count": len(ordered),
        "per_second": len(ordered) / took_s,
        "p50_ms": ordered[len(ordered) // 2] * 1e3,
        "p99_ms": ordered[len(ordered) * 99 // 100] * 1e3,
        "refused": others.refusals.total(),
        "their_count": len(theirs.latencies_s),
        "their_refused": theirs.refusals.total(),
        "refusals": others.refusals.most_common(3),
    }


if __name__ == "__main__":
    print(json.dumps(uvloop.run(measure(Plan(**json.load(sys.stdin))))))
