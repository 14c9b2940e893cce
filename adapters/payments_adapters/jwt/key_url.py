"""Fetches an issuer's keys from the address that the settings name.

Rule 1: the address is https; in development a loopback address may be http. No redirect
        is followed and no proxy used, so no other host is contacted.
Rule 2: one deadline from the DNS look-up to the last byte, and at most 64 KiB.
Rule 3: files (the CA, the pod's own token) are read each time: others replace them. The
        token goes to this address alone, and no error shows it.
"""

import asyncio
import re
import ssl
from functools import cache
from http import HTTPStatus
from pathlib import Path
from typing import Final

import attrs
import httpx

from payments_adapters.jwt.keys import KEY_SET_BYTES_MAX
from payments_core.errors import InvalidValue

FETCH_S: Final = 5.0
_PORT_MAX: Final = 65_535
# Matched in full rather than parsed: parsers disagree about "@", "\\", "#" and tabs.
_REST: Final = r"(?::(?P<port>[0-9]{1,5}))?(?:/[A-Za-z0-9._~!$&'()*+,;=:@%/?-]*)?"
_HTTPS: Final = re.compile(
    rf"https://(?:[A-Za-z0-9.-]{{1,253}}|\[[0-9a-f:.]+\]){_REST}"
)
_LOOPBACK: Final = re.compile(rf"http://(?:127\.0\.0\.1|localhost|\[::1\]){_REST}")
_VISIBLE: Final = re.compile(r"[!-~]{1,16384}")
_HEADERS: Final = {
    # A cluster answers 406 to a request that accepts plain JSON alone.
    "Accept": "application/jwk-set+json, application/json",
    # A small compressed answer could expand to a large one.
    "Accept-Encoding": "identity",
    "User-Agent": "payments-gateway",
}


class FetchError(Exception):
    """The keys could not be fetched; the text says why, and shows no secret."""


def check_key_url(text: str, *, loopback: bool) -> str:
    """Return the address if keys may be fetched from it; over http only from loopback.

    Raises:
        InvalidValue: they may not be fetched from it.
    """
    match = _HTTPS.fullmatch(text) or (loopback and _LOOPBACK.fullmatch(text)) or None
    if match is None or int(match["port"] or 0) > _PORT_MAX:
        besides = ", or an http:// one on this machine" if loopback else ""
        raise InvalidValue("keys_url", f"not an https:// address{besides}")
    return text


@cache
def _trusted() -> ssl.SSLContext:
    """Read the trusted CAs once per process: that takes 20 ms."""
    return httpx.create_ssl_context()


@attrs.frozen
class KeyUrl:
    """An address of keys; a cluster's needs its own CA, and the pod's token."""

    url: str
    ca_file: Path | None = None
    token_file: Path | None = None

    async def fetch(self) -> bytes:
        """Return the document, unparsed.

        Raises:
            FetchError: there was no answer within 5 s, or the status is not 200.
        """
        try:
            async with asyncio.timeout(FETCH_S):
                return await self._fetch()
        except TimeoutError:
            raise FetchError(f"no answer within {FETCH_S:.0f} s") from None
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            text = " ".join(str(error).split())
            raise FetchError(f"no answer: {text or type(error).__name__}") from error

    async def _fetch(self) -> bytes:
        async with (
            httpx.AsyncClient(
                verify=self._trust(),
                trust_env=False,
                follow_redirects=False,
                headers={**_HEADERS, **self._authorization()},
                timeout=FETCH_S,
            ) as client,
            client.stream("GET", self.url) as response,
        ):
            return await _document(response)

    def _trust(self) -> ssl.SSLContext:
        if self.ca_file is None:
            return _trusted()
        try:
            return ssl.create_default_context(cafile=self.ca_file)
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise FetchError(f"its CA file cannot be read: {reason}") from error

    def _authorization(self) -> dict[str, str]:
        if self.token_file is None:
            return {}
        try:
            token = self.token_file.read_text("ascii").strip()
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or type(error).__name__
            raise FetchError(f"its token file cannot be read: {reason}") from None
        if _VISIBLE.fullmatch(token) is None:
            # An HTTP library would quote it in its error.
            raise FetchError("its token file does not hold a token")
        return {"Authorization": f"Bearer {token}"}


async def _document(response: httpx.Response) -> bytes:
    if response.status_code != HTTPStatus.OK:
        besides = (
            ", and redirects are not followed" if response.has_redirect_location else ""
        )
        raise FetchError(f"it answered {response.status_code}{besides}")
    document = bytearray()
    async for chunk in response.aiter_raw():
        document += chunk
        if len(document) > KEY_SET_BYTES_MAX:
            raise FetchError(f"it answered more than {KEY_SET_BYTES_MAX} bytes")
    return bytes(document)
