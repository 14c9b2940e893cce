"""The SDK's HTTP client: a deadline for the whole exchange, and a limit on answers."""

import asyncio
import ssl
from collections.abc import Mapping
from functools import cache
from typing import Any, Final

import httpx
import stripe
from typing_extensions import override

CONNECT_TIMEOUT_S: Final = 2.0
DEADLINE_S: Final = 10.0
ANSWER_BYTES_MAX: Final = 1024 * 1024
# A compressed answer within the limit could expand to a thousand times its size.
_PLAIN: Final = {"Accept-Encoding": "identity"}


@cache
def _trusted() -> ssl.SSLContext:
    """Read the trusted CAs once per process: that takes 20 ms."""
    return httpx.create_ssl_context()


class _TooLong(Exception):  # noqa: N818  # a verdict, never shown
    """An answer over the limit."""


class Transport(stripe.HTTPClient):
    """An HTTP client for the SDK; one per event loop.

    It follows no redirects: every request carries the secret key.
    """

    name = "payments-gateway"

    def __init__(
        self,
        *,
        deadline_s: float = DEADLINE_S,
        answer_bytes_max: int = ANSWER_BYTES_MAX,
    ) -> None:
        super().__init__()
        self._deadline_s = deadline_s
        self._answer_bytes_max = answer_bytes_max
        self._client = httpx.AsyncClient(
            follow_redirects=False,
            headers=_PLAIN,
            verify=_trusted(),
            timeout=httpx.Timeout(
                deadline_s, connect=min(CONNECT_TIMEOUT_S, deadline_s)
            ),
        )

    @override
    async def request_async(
        self, method: str, url: str, headers: Mapping[str, str], post_data: Any = None
    ) -> tuple[bytes, int, Mapping[str, str]]:
        """Return the answer's body, status and headers.

        Raises:
            stripe.APIConnectionError: there was no answer, or it is too slow or long.
        """
        try:
            # A timeout for each read would let a slow sender go on for ever.
            async with asyncio.timeout(self._deadline_s):
                return await self._exchange(method, url, headers, post_data)
        except (httpx.HTTPError, httpx.InvalidURL, OSError, _TooLong) as error:
            reason = type(error).__name__.strip("_")
        # Raised out here because httpx's error holds the request: our key and the body.
        raise stripe.APIConnectionError(reason)  # type: ignore[no-untyped-call]  # the SDK's

    async def _exchange(
        self, method: str, url: str, headers: Mapping[str, str], post_data: Any
    ) -> tuple[bytes, int, Mapping[str, str]]:
        body = post_data.encode() if isinstance(post_data, str) else post_data
        async with self._client.stream(
            method, url, headers=dict(headers), content=body or None
        ) as response:
            answer = bytearray()
            async for chunk in response.aiter_raw():
                answer += chunk
                if len(answer) > self._answer_bytes_max:
                    raise _TooLong
            text = bytes(answer) if _is_utf8(answer) else b""
            return text, response.status_code, response.headers

    @override
    async def close_async(self) -> None:
        await self._client.aclose()


def _is_utf8(body: bytearray) -> bool:
    # The SDK fails on bytes that are not text, and then the status is lost. The result
    # is a bool because a UnicodeDecodeError would carry the whole body.
    try:
        body.decode()
    except UnicodeDecodeError:
        return False
    return True
