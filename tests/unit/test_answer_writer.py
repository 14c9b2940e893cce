"""An answer is one write, and a complete answer is never held back."""

import gc
import weakref
from collections.abc import Sequence
from typing import Any

import pytest
from typing_extensions import override

from support.connection import Listener, Transport, rounds

pytestmark = pytest.mark.anyio

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
HEAD = b"HEAD" + GET[3:]
EXPECTING = (
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n"
)
LENGTH_2 = [(b"content-length", b"2")]


class Answering(Listener):
    """Its app sends these messages, and then fails if told to."""

    def __init__(self, *messages: dict[str, Any], fails: bool = False) -> None:
        super().__init__()
        self._messages = messages
        self._fails = fails

    @override
    async def app(self, scope: Any, receive: Any, send: Any) -> None:
        if self.reads_body:
            await receive()
        for message in self._messages:
            await send(message)
        if self._fails:
            raise LookupError


def start(status: int, headers: Sequence[tuple[bytes, bytes]] = ()) -> dict[str, Any]:
    return {"type": "http.response.start", "status": status, "headers": [*headers]}


def part(body: bytes, *, more: bool = False) -> dict[str, Any]:
    return {"type": "http.response.body", "body": body, "more_body": more}


async def sent(listener: Listener, request: bytes) -> Transport:
    connection, transport = listener.connect()
    connection.data_received(request)
    await rounds()
    return transport


async def test_an_answer_is_one_write() -> None:
    transport = await sent(Answering(start(200, LENGTH_2), part(b"ok")), GET)

    [answer] = transport.writes
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert answer.endswith(b"\r\n\r\nok")


async def test_each_request_of_a_connection_has_one() -> None:
    transport = await sent(Answering(start(200, LENGTH_2), part(b"ok")), GET * 3)

    assert [it[:15] + it[-2:] for it in transport.writes] == [b"HTTP/1.1 200 OKok"] * 3


@pytest.mark.parametrize("status", [204, 304])
async def test_one_without_a_body_is_one_write_too(status: int) -> None:
    transport = await sent(Answering(start(status), part(b"")), GET)

    [answer] = transport.writes
    assert answer.startswith(b"HTTP/1.1 %d" % status)
    assert answer.endswith(b"\r\n\r\n")


async def test_one_to_head_is_its_head() -> None:
    transport = await sent(Answering(start(200, LENGTH_2), part(b"ok")), HEAD)

    [answer] = transport.writes
    assert answer.endswith(b"\r\n\r\n")


async def test_more_of_a_body_is_not_held_back() -> None:
    listener = Answering(start(200), part(b"a", more=True), part(b"b", more=True))
    transport = await sent(listener, GET)

    assert [it[-6:] for it in transport.writes] == [b"1\r\na\r\n", b"1\r\nb\r\n"]


async def test_who_asks_whether_to_send_a_body_is_told_at_once() -> None:
    """
    The other side waits for the reply, and sends nothing before it.
    """
    listener = Answering(start(200, LENGTH_2), part(b"ok"))
    listener.reads_body = True
    connection, transport = listener.connect()
    connection.data_received(EXPECTING)
    await rounds()
    assert transport.writes == [b"HTTP/1.1 100 Continue\r\n\r\n"]

    connection.data_received(b"{}")
    await rounds()

    [_, answer] = transport.writes
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")


@pytest.mark.parametrize("fails", [False, True])
async def test_a_head_whose_body_never_comes_is_sent_and_it_is_closed(
    *, fails: bool
) -> None:
    """
    So the other side sees that the answer was cut off, and not that it was empty.
    """
    transport = await sent(Answering(start(200, LENGTH_2), fails=fails), GET)

    [head] = transport.writes
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert transport.is_closing()


async def test_the_last_answer_of_a_connection_comes_before_its_end() -> None:
    request = GET.replace(b"Host: a", b"Host: a\r\nConnection: close")
    transport = await sent(Answering(start(200, LENGTH_2), part(b"ok")), request)

    [answer] = transport.writes
    assert answer.endswith(b"ok")
    assert transport.is_closing()


async def test_a_request_that_was_answered_is_freed_at_once() -> None:
    """
    Not by the garbage collector, which would have to find one cycle per request.
    """
    connection, _ = Answering(start(200, LENGTH_2), part(b"ok")).connect()
    gc.disable()
    try:
        connection.data_received(GET)
        await rounds()
        answered = weakref.ref(connection.cycle)
        connection.data_received(GET)
        await rounds()
        assert answered() is None
    finally:
        gc.enable()
