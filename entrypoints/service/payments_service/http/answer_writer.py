"""An answer's head goes out together with the first of its body.

uvicorn writes them one after the other, and each write is a system call and a packet.
"""

import asyncio

from typing_extensions import override
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle


class AnswerWriter(asyncio.Transport):
    """What one request's cycle writes to; all but an answer's head goes out at once."""

    def __init__(
        self, transport: asyncio.Transport, cycle: RequestResponseCycle
    ) -> None:
        super().__init__()
        self._transport = transport
        self._cycle = cycle
        self._head = b""
        # Of an answer to HEAD nothing follows.
        self._is_head_out: bool = cycle.scope["method"] == "HEAD"

    @override
    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self._is_head_out:
            self._transport.write(data)
        elif self._head:
            self._is_head_out = True
            self._transport.write(self._head + data)
        elif self._cycle.response_started:
            self._head = bytes(data)
        else:
            # "100 Continue", which the other side waits for.
            self._transport.write(data)

    @override
    def close(self) -> None:
        if self._head and not self._is_head_out:
            # The application ended before it had a body.
            self._transport.write(self._head)
            self._is_head_out = True
        self._transport.close()

    @override
    def is_closing(self) -> bool:
        return self._transport.is_closing()
