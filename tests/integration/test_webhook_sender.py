"""Webhooks to receivers that behave correctly, and to those that do not."""

import asyncio
import secrets
import socket
import ssl
import struct
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import attrs
import pytest

from payments_adapters.webhooks_out import DeliveryEndpoint, WebhookSender
from payments_adapters.webhooks_out.addresses import THREADS
from payments_adapters.webhooks_out.endpoints import Target
from payments_adapters.webhooks_out.signing import headers_of
from payments_core.deliveries import AT_ONCE, DeliveryKey, SendResult
from support.plain_http import TLS
from support.receiver import Receiver, receiving
from support.tls import server_and_client

pytestmark = pytest.mark.anyio

NOW: Final = datetime(2026, 1, 10, 12, tzinfo=UTC)
KEY: Final = DeliveryKey("crm", 12)
BODY: Final = b'{"type":"access.changed"}'
# Half of the usual: a slower attempt has missed the deadline.
WITHIN_S: Final = 7.0
DELIVERED: Final = SendResult(is_delivered=True)
Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.fixture(autouse=True)
def _no_way_but_straight(monkeypatch: pytest.MonkeyPatch) -> None:
    """Point the environment's proxy to nothing."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
        monkeypatch.setenv(name.lower(), "http://127.0.0.1:1")


@attrs.define
class Names:
    """Results of name look-ups: the addresses that each returns, in turn."""

    answers: list[Sequence[str]]
    asked: list[tuple[str, int]] = attrs.field(factory=list)

    def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append((host, port))
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@attrs.define
class HangingNames:
    """A resolver that answers, except for one host until it is released."""

    host: str
    let_go: threading.Event = attrs.field(factory=threading.Event)
    asked: list[str] = attrs.field(factory=list)

    def __call__(self, host: str, _: int) -> Sequence[str]:
        self.asked.append(host)
        if host == self.host:
            self.let_go.wait()
        return ["127.0.0.1"]


@contextmanager
def hanging(host: str) -> Iterator[HangingNames]:
    names = HangingNames(host)
    try:
        yield names
    finally:
        names.let_go.set()


def endpoint(port: int, **given: Any) -> DeliveryEndpoint:
    scheme, host = given.pop("scheme", "http"), given.pop("host", "crm.example")
    fields = {"allow_private": True, "secrets": (secrets.token_bytes(32),), **given}
    target = Target(scheme, host, port, "/hooks?a=b")
    return DeliveryEndpoint(name="crm", target=target, **fields)


async def send(
    it: DeliveryEndpoint,
    names: Callable[[str, int], Sequence[str]] | None = None,
    trust: ssl.SSLContext = TLS,
) -> SendResult:
    lookup = names or Names([["127.0.0.1"]])
    async with (
        asyncio.timeout(WITHIN_S),
        WebhookSender([it], lambda: NOW, lookup, trust).opened() as sender,
    ):
        return await sender.send(KEY, BODY)


def port_of(receiver: Receiver) -> int:
    return int(receiver.url.rpartition(":")[2])


@asynccontextmanager
async def answering(
    answer: Answer, tls: ssl.SSLContext | None = None
) -> AsyncIterator[tuple[int, list[bytes]]]:
    """Serve requests with this handler; lend its port, and the requests."""
    heads = list[bytes]()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        try:
            await answer(reader, writer)
            await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    async with server:
        yield server.sockets[0].getsockname()[1], heads


def saying(text: bytes) -> Answer:
    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(text)

    return answer


async def test_a_change_arrives_signed_by_every_secret() -> None:
    """
    With the path, the query, the host name and the body unchanged.
    """
    keys = (secrets.token_bytes(32), secrets.token_bytes(32))
    with receiving() as receiver:
        it = endpoint(port_of(receiver), secrets=keys)
        assert await send(it) == DELIVERED

    [came] = receiver.received
    assert came.path == "/hooks?a=b"
    assert came.body == BODY
    assert came.headers["host"] == f"crm.example:{port_of(receiver)}"
    assert came.headers["content-type"] == "application/json"
    signed = headers_of(keys, "chg_12", NOW, BODY)
    assert {name: came.headers[name] for name in signed} == signed


@pytest.mark.parametrize(
    ("status", "is_delivered", "reason"),
    [
        (200, True, ""),
        (204, True, ""),
        (299, True, ""),
        (302, False, "it answered 302, and redirects are not followed"),
        (400, False, "it answered 400"),
        (410, False, "it answered 410"),
        (500, False, "it answered 500"),
    ],
)
async def test_any_2xx_is_delivered_and_nothing_else(
    status: int,
    is_delivered: bool,  # noqa: FBT001  # a row of the table
    reason: str,
) -> None:
    """
    A redirect is not followed.
    """
    with receiving() as receiver:
        receiver.status = status
        found = await send(endpoint(port_of(receiver)))

    assert found == SendResult(is_delivered, reason)
    assert len(receiver.received) == 1


@pytest.mark.parametrize(
    ("text", "wait"),
    [
        ("120", timedelta(seconds=120)),
        ("0", timedelta(0)),
        ("9" * 40, timedelta(seconds=999_999_999)),
        ("Sat, 10 Jan 2026 12:05:00 GMT", timedelta(minutes=5)),
        ("Sat, 10 Jan 2026 11:00:00 GMT", timedelta(0)),
        ("Sat, 10 Jan 2026 12:05:00", timedelta(minutes=5)),
        ("soon", None),
        ("-5", None),
        ("", None),
        ("Sat, 99 Jan 2026 12:05:00 GMT", None),
    ],
)
async def test_an_endpoint_says_for_how_long_to_wait(
    text: str, wait: timedelta | None
) -> None:
    """
    In seconds, or as a date; any other value is ignored.
    """
    answer = f"HTTP/1.1 503 no\r\nRetry-After: {text}\r\n\r\n".encode()
    async with answering(saying(answer)) as (port, _):
        found = await send(endpoint(port))

    assert found == SendResult(
        is_delivered=False, reason="it answered 503", retry_after=wait
    )


async def test_t67_an_address_that_was_checked_is_connected_to() -> None:
    """
    A name whose address may change is resolved once for each attempt.
    """
    names = Names([["127.0.0.1"], ["169.254.169.254"]])
    with receiving() as receiver:
        it = endpoint(port_of(receiver))
        assert await send(it, names) == DELIVERED
        assert names.asked == [("crm.example", port_of(receiver))]

        found = await send(it, names)

    assert found.reason == "its address is link-local, multicast or reserved"
    assert len(receiver.received) == 1


@pytest.mark.parametrize("address", ["127.0.0.1", "::ffff:127.0.0.1"])
async def test_t67_a_private_address_is_not_connected_to(address: str) -> None:
    """
    Unless it is allowed: nothing arrives.
    """
    with receiving() as receiver:
        it = endpoint(port_of(receiver), allow_private=False)
        found = await send(it, Names([[address]]))

    assert not found.is_delivered
    assert "not globally routable" in found.reason
    assert receiver.received == []


async def test_t67_of_several_addresses_those_are_tried_that_are_allowed() -> None:
    """
    The next address, if the first cannot be connected to.
    """
    with receiving() as receiver:
        addresses = ["169.254.169.254", "127.0.0.2", "127.0.0.1", "127.0.0.1"]
        found = await send(endpoint(port_of(receiver)), Names([addresses]))

    assert found == DELIVERED
    assert len(receiver.received) == 1


async def test_t67_a_redirect_to_a_private_address_leads_nowhere() -> None:
    """
    It is a failure, and the host that it names is not called.
    """
    with receiving() as private:
        text = f"HTTP/1.1 307 there\r\nLocation: {private.url}/\r\n\r\n".encode()
        async with answering(saying(text)) as (port, _):
            found = await send(endpoint(port))

    assert found.reason == "it answered 307, and redirects are not followed"
    assert private.received == []


async def test_who_hangs_is_waited_for_until_the_deadline() -> None:
    """
    Also if an answer has begun.
    """

    async def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\na: b\r\n")
        while await reader.read(1):
            continue

    async with answering(begin) as (port, heads):
        found = await send(endpoint(port, timeout=timedelta(seconds=0.2)))

    assert found == SendResult(is_delivered=False, reason="no answer within 0 s")
    assert len(heads) == 1


async def test_f54_a_name_server_that_hangs_is_waited_for_until_the_deadline() -> None:
    """
    The look-up counts as part of the attempt.
    """

    with hanging("crm.example") as names:
        found = await send(endpoint(1, timeout=timedelta(seconds=0.05)), names)

    assert found == SendResult(
        is_delivered=False, reason="its name was not resolved within 0 s"
    )


async def test_f51_name_servers_that_hang_hold_up_no_other_endpoint() -> None:
    """
    Nor anything else that needs a thread: each endpoint has a few of its own. An
    attempt that gets none fails, and when all is closed the threads end.
    """
    with receiving() as receiver, hanging("crm.example") as names:
        hung = endpoint(1, timeout=timedelta(seconds=0.2))
        port = port_of(receiver)
        other = attrs.evolve(endpoint(port, host="shop.example"), name="shop")
        sender = WebhookSender([hung, other], lambda: NOW, names, TLS)
        async with asyncio.timeout(WITHIN_S), sender.opened():
            # At most as many as the loop's own threads.
            tries = [asyncio.create_task(sender.send(KEY, BODY)) for _ in range(32)]
            failed = await asyncio.gather(*tries)

            assert await sender.send(DeliveryKey("shop", 12), BODY) == DELIVERED
            await asyncio.to_thread(str)

    reason = "its name was not resolved within 0 s"
    assert {it.reason for it in failed} == {reason}
    assert names.asked.count("crm.example") == AT_ONCE
    left = [it for it in threading.enumerate() if it.name.startswith(THREADS)]
    for it in left:
        it.join(WITHIN_S)
    assert not any(it.is_alive() for it in left)


async def test_of_a_gigabyte_the_head_is_read() -> None:
    """
    It is delivered, and the connection is closed.
    """
    sent = 0
    hung_up = asyncio.Event()

    async def pour(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n")
        try:
            while sent < 1024**3:
                writer.write(bytes(65_536))
                await writer.drain()
                sent += 65_536
        except ConnectionError:
            hung_up.set()
            raise

    async with answering(pour) as (port, _):
        assert await send(endpoint(port)) == DELIVERED
        await asyncio.wait_for(hung_up.wait(), 10)

    assert sent < 64 * 1024**2


async def test_a_head_without_an_end_is_no_answer() -> None:
    """
    Nor is it held in memory.
    """

    async def pour(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n")
        for _number in range(1_000):
            writer.write(b"a: " + b"b" * 65_536 + b"\r\n")
            await writer.drain()

    async with answering(pour) as (port, _):
        found = await send(endpoint(port))

    assert not found.is_delivered
    assert found.reason.startswith("no answer: ")


async def test_who_resets_has_not_answered() -> None:
    """
    The same for a receiver that does not speak HTTP, hangs up, or does not exist.
    """

    async def reset(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        linger = struct.pack("ii", 1, 0)
        raw = writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)

    for answer in (reset, saying(b"SSH-2.0\r\n"), saying(b"")):
        async with answering(answer) as (port, _):
            found = await send(endpoint(port))
        assert not found.is_delivered
        assert found.reason.startswith("no answer: ")
    gone = await send(endpoint(1))
    assert gone.reason.startswith("no answer: ")


@pytest.mark.parametrize("error", [socket.gaierror(-2, "x"), UnicodeError("x")])
async def test_f54_a_name_that_is_not_known_is_said_to_be_so(error: Exception) -> None:
    """
    So is a host without an address.
    """

    def fail(_: str, __: int) -> Sequence[str]:
        raise error

    assert (await send(endpoint(1), fail)).reason == "its name cannot be resolved"
    found = await send(endpoint(1), Names([[]]))
    assert found.reason == "its name has no address"


async def test_an_endpoint_that_is_not_configured_gets_nothing() -> None:
    """
    Whatever listens there.
    """
    async with WebhookSender([], lambda: NOW).opened() as sender:
        found = await sender.send(KEY, BODY)
    assert found == SendResult(
        is_delivered=False, reason="the endpoint is not configured"
    )


async def test_the_certificate_has_to_be_the_hosts(tmp_path: Path) -> None:
    """
    By its name, although an address is connected to; and by a trusted authority.
    """
    server, client = server_and_client("crm.example", tmp_path)
    async with answering(saying(b"HTTP/1.1 204 no\r\n\r\n"), server) as (port, heads):
        own = endpoint(port, scheme="https")
        other = endpoint(port, scheme="https", host="other.example")
        assert await send(own, trust=client) == DELIVERED
        found = [await send(other, trust=client), await send(own)]

    assert len(heads) == 1
    assert [it.is_delivered for it in found] == [False, False]
    assert all("CERTIFICATE_VERIFY_FAILED" in it.reason for it in found)


async def test_a_host_is_looked_up_by_the_system() -> None:
    """
    This machine's own name, and spellings of its address, are private.
    """
    for host in ("localhost", "127.1", "2130706433"):
        it = endpoint(1, host=host, allow_private=False)
        async with WebhookSender([it], lambda: NOW).opened() as sender:
            found = await sender.send(KEY, BODY)
        assert "not globally routable" in found.reason
