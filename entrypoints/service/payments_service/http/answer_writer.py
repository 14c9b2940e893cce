"""Write an answer's head together with the first part of its body.

uvicorn writes them one after the other, and each write is a system call and a packet.
"""

import asyncio
from typing import Final

from typing_extensions import override

# "100 Continue", which the client waits for: no answer has such a status.
_INFORMATIONAL: Final = b"HTTP/1.1 1"


class AnswerWriter(asyncio.Transport):
    """The transport of one request: it holds back only an answer's head.

    It does not refer to the request, which refers to it: reference counting frees both.
    """

    __slots__ = ("_head", "_is_head_out", "_transport")

    def __init__(self, transport: asyncio.Transport, method: str) -> None:
        super().__init__()
        self._transport = transport
        self._head = b""
        # Nothing follows the head of an answer to HEAD.
        self._is_head_out = method == "HEAD"

    @override
    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self._is_head_out:
            self._transport.write(data)
        elif self._head:
            self._is_head_out = True
            self._transport.write(self._head + data)
        elif bytes(data).startswith(_INFORMATIONAL):
            self._transport.write(data)
        else:
            self._head = bytes(data)

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
