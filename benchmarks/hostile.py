"""Hostile connections, from a separate process: they keep a service busy.

Reads a JSON plan on stdin; prints its counts so far, as a line of JSON, when all have
connected once, and then each second until the end.
"""

import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import attrs
import uvloop

HOST: Final = "127.0.0.1"
# A connection that was closed is opened again after this time.
AGAIN_S: Final = 5.0
FORGERS_COUNT: Final = 16
_HEAD: Final = b"POST %s HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"


@attrs.frozen(kw_only=True)
class Plan:
    """`ports` are taken in turns; `path` is a webhook's.

    Slow connections send a byte a second. A forgery is a webhook of a usual size with a
    signature of an unknown secret.
    """

    ports: Sequence[int]
    path: str
    seconds: float
    slow_headers: int = 200
    slow_bodies: int = 200
    idle: int = 2_000
    forgeries_per_minute: int = 20_000


@attrs.define
class Attack:
    plan: Plan
    counts: Counter[str] = attrs.field(factory=Counter)
    _begun: int = 0

    async def run(self) -> None:
        plan, head = self.plan, _HEAD % self.plan.path.encode()
        each: list[tuple[str, Callable[..., Awaitable[None]], bytes, int]] = [
            ("slow_headers", self._slow, head + b"X-Slow: ", plan.slow_headers),
            (
                "slow_bodies",
                self._slow,
                head + b"Content-Length: 3000\r\n\r\n{",
                plan.slow_bodies,
            ),
            ("idle", self._idle, b"", plan.idle),
            ("forgeries", self._forge, head, FORGERS_COUNT),
        ]
        tasks = [
            asyncio.create_task(self._again(name, connect, first))
            for name, connect, first, count in each
            for _ in range(count)
        ]
        until = time.monotonic() + plan.seconds
        while time.monotonic() < until:
            if self._begun >= len(tasks):
                print(json.dumps(self.counts), flush=True)
            await asyncio.sleep(1)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _again(
        self, name: str, attack: Callable[..., Awaitable[None]], first: bytes
    ) -> None:
        """Connect and attack, again and again."""
        times = 0
        while True:
            port = self.plan.ports[self.counts["connected"] % len(self.plan.ports)]
            try:
                reader, writer = await asyncio.open_connection(HOST, port)
                self.counts["connected"] += 1
                self.counts[name] += 1
                self._begun += not times
                times += 1
                writer.write(first if name != "forgeries" else b"")
                await attack(reader, writer, first)
                writer.close()
            except (OSError, EOFError, RuntimeError):
                # uvloop raises RuntimeError for writes after the end.
                self.counts["broken"] += 1
            # A forger comes again at once, but does not spin.
            await asyncio.sleep(0.1 if name == "forgeries" else AGAIN_S)

    async def _slow(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _: bytes
    ) -> None:
        while not reader.at_eof():
            writer.write(b"a")
            await writer.drain()
            await asyncio.sleep(1)

    async def _idle(
        self, reader: asyncio.StreamReader, _: asyncio.StreamWriter, __: bytes
    ) -> None:
        await reader.read()

    async def _forge(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        head: bytes,
    ) -> None:
        body = b'{"id": "evt_forged", "object": "event", "x": "%s"}' % (b"y" * 3_000)
        every_s = 60 / self.plan.forgeries_per_minute * FORGERS_COUNT
        due = time.monotonic()
        while True:
            signed = b"Stripe-Signature: t=%d,v1=%s\r\n" % (time.time(), b"0" * 64)
            length = b"Content-Length: %d\r\n\r\n" % len(body)
            writer.write(head + signed + length + body)
            answer = await reader.readuntil(b"\r\n\r\n")
            size = int(answer.lower().partition(b"content-length: ")[2].split()[0])
            await reader.readexactly(size)
            self.counts[f"forged_{answer[9:12].decode()}"] += 1
            due = max(due + every_s, time.monotonic() - 1)
            await asyncio.sleep(max(0.0, due - time.monotonic()))


if __name__ == "__main__":
    uvloop.run(Attack(Plan(**json.load(sys.stdin))).run())
