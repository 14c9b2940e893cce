"""Sends changes to delivery endpoints; trusts neither names nor answers.

Rule 1: the host is resolved for each attempt, its addresses are checked (see
        `webhooks_out.addresses`), and the connection goes to a checked address. TLS
        verifies the host's name.
Rule 2: no redirect is followed, no proxy is used, no connection is reused.
Rule 3: an attempt has one deadline, from the DNS look-up to the answer. Each endpoint's
        names are resolved in threads of its own: if they hang, no other endpoint waits
        for them.
Rule 4: any 2xx means delivered. Only the head of an answer is read, with what came in
        the same packets.
"""

import asyncio
import email.utils
import socket
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import cache
from ssl import SSLContext
from typing import Final

import attrs
import httpx

from payments_adapters.webhooks_out.addresses import (
    LookUp,
    Resolver,
    look_up,
    refusal_of,
)
from payments_adapters.webhooks_out.endpoints import DeliveryEndpoint, Target
from payments_adapters.webhooks_out.signing import headers_of
from payments_core.deliveries import REASON_LENGTH_MAX, DeliveryKey, SendResult
from payments_core.ports import SystemClock

CONNECT_TIMEOUT_S: Final = 5.0
_OF_ALL: Final[Mapping[str, str]] = {
    "Content-Type": "application/json",
    "User-Agent": "payments-gateway",
    "Accept": "*/*",
    # A small compressed answer could expand to a large one.
    "Accept-Encoding": "identity",
}
_NOT_CONFIGURED: Final = "the endpoint is not configured"


class _NameUnknownError(Exception):
    pass


@cache
def _trusted() -> SSLContext:
    """Read the trusted CAs once per process: that takes 20 ms."""
    return httpx.create_ssl_context()


def _by_name(endpoints: Iterable[DeliveryEndpoint]) -> Mapping[str, DeliveryEndpoint]:
    return {it.name: it for it in endpoints}


@attrs.define
class WebhookSender:
    """One per event loop; it can send while it is `opened`."""

    _endpoints: Mapping[str, DeliveryEndpoint] = attrs.field(converter=_by_name)
    _clock: SystemClock
    _look_up: LookUp = look_up
    _trust: SSLContext | None = None
    _client: httpx.AsyncClient | None = attrs.field(
        init=False, default=None, repr=False
    )
    _resolvers: dict[str, Resolver] = attrs.field(init=False, factory=dict, repr=False)

    @asynccontextmanager
    async def opened(self) -> AsyncIterator["WebhookSender"]:
        try:
            yield self
        finally:
            for resolver in self._resolvers.values():
                resolver.close()
            self._resolvers.clear()
            if self._client is not None:
                await self._client.aclose()
                self._client = None

    def _opened(self) -> httpx.AsyncClient:
        """Return the client; it is made only when something is sent."""
        if self._client is None:
            self._client = httpx.AsyncClient(
                verify=self._trust or _trusted(),
                trust_env=False,
                follow_redirects=False,
                headers=_OF_ALL,
                limits=httpx.Limits(max_connections=None, max_keepalive_connections=0),
                timeout=httpx.Timeout(None, connect=CONNECT_TIMEOUT_S),
            )
        return self._client

    async def send(self, key: DeliveryKey, body: bytes) -> SendResult:
        endpoint = self._endpoints.get(key.endpoint)
        if endpoint is None:
            return _failed(_NOT_CONFIGURED)
        seconds = endpoint.timeout.total_seconds()
        missing = "its name was not resolved"
        try:
            async with asyncio.timeout(seconds):
                addresses = await self._addresses(endpoint)
                missing = "no answer"
                return await self._send(endpoint, addresses, key, body)
        except TimeoutError:
            return _failed(f"{missing} within {int(seconds)} s")
        except _NameUnknownError:
            return _failed("its name cannot be resolved")
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            text = " ".join(str(error).split())
            return _failed(f"no answer: {text or type(error).__name__}")

    async def _addresses(self, endpoint: DeliveryEndpoint) -> Sequence[str]:
        """Resolve its name, concurrently with other endpoints."""
        name, target = endpoint.name, endpoint.target
        if name not in self._resolvers:
            self._resolvers[name] = Resolver.of(name, self._look_up)
        try:
            return await self._resolvers[name](target.host, target.port)
        except (socket.gaierror, UnicodeError) as error:
            raise _NameUnknownError from error

    async def _send(
        self,
        endpoint: DeliveryEndpoint,
        addresses: Sequence[str],
        key: DeliveryKey,
        body: bytes,
    ) -> SendResult:
        refused = "its name has no address"
        last: httpx.TransportError | None = None
        for address in dict.fromkeys(addresses):
            why = refusal_of(address, allow_private=endpoint.allow_private)
            if why is not None:
                refused = f"its address is {why}"
                continue
            try:
                return await self._post(endpoint, address, key, body)
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                last = error
        if last is not None:
            raise last
        return _failed(refused)

    async def _post(
        self, endpoint: DeliveryEndpoint, address: str, key: DeliveryKey, body: bytes
    ) -> SendResult:
        """Send to a checked address, under the host's name."""
        target = endpoint.target
        now = self._clock()
        signed = headers_of(endpoint.secrets, key.webhook_id, now, body)
        async with self._opened().stream(
            "POST",
            _url(target, address),
            content=body,
            headers={"Host": target.authority, **signed},
            extensions={"sni_hostname": target.host},
        ) as response:
            return _result(response, now)


def _url(target: Target, address: str) -> str:
    host = f"[{address}]" if ":" in address else address
    return f"{target.scheme}://{host}:{target.port}{target.path}"


def _failed(reason: str, retry_after: timedelta | None = None) -> SendResult:
    return SendResult(
        is_delivered=False, reason=reason[:REASON_LENGTH_MAX], retry_after=retry_after
    )


def _result(response: httpx.Response, now: datetime) -> SendResult:
    if response.is_success:
        return SendResult(is_delivered=True)
    text = f"it answered {response.status_code}"
    if response.is_redirect:
        text += ", and redirects are not followed"
    return _failed(text, _retry_after(response.headers.get("retry-after", ""), now))


def _retry_after(text: str, now: datetime) -> timedelta | None:
    """Read seconds or a date (RFC 9110); None if it is neither."""
    text = text.strip()
    if text.isascii() and text.isdecimal():
        # Nine digits: more would be longer than anybody waits.
        return timedelta(seconds=int(text[:9]))
    try:
        moment = email.utils.parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(moment - now, timedelta(0))
