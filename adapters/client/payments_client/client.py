"""The service's HTTP API, as far as an application needs it.

Rule 1: every request has a deadline. A read that got no connection, or an answer that
        says to retry soon, is retried a few times; a change is never retried.
Rule 2: an answer other than success is an error with the service's own code. An answer
        that is not the service's own (a proxy's, for example) counts as no answer.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from inspect import isawaitable
from types import MappingProxyType, TracebackType
from typing import Final, Self, TypeVar
from urllib.parse import quote

import httpx
import msgspec

from payments_client.errors import (
    CONNECTION,
    NotAllowed,
    NotAuthenticated,
    NotFound,
    Problem,
    RateLimited,
    Refused,
    Unavailable,
    why,
)
from payments_client.shapes import (
    Access,
    Catalogue,
    FeatureAccess,
    FeedPage,
    Keys,
    PaymentStatus,
)

TIMEOUT_S: Final = 5.0
# The service waits for Stripe for 8 s.
SYNC_TIMEOUT_S: Final = 15.0
# If the service says to retry in a minute, the client does not wait.
RETRY_AFTER_MAX_S: Final = 2.0
RETRIES_MAX: Final = 2
BACK_OFF_S: Final = 0.1
WAIT_MAX_S: Final = 30
PAGE_MAX: Final = 1_000
BASE_PATH: Final = "/payments-gateway/api"

Token = str | Callable[[], str | Awaitable[str]]
Sleep = Callable[[float], Awaitable[None]]

_T = TypeVar("_T")
_REFUSALS: Final[Mapping[int, type[Refused]]] = MappingProxyType(
    {
        HTTPStatus.UNAUTHORIZED: NotAuthenticated,
        HTTPStatus.FORBIDDEN: NotAllowed,
        HTTPStatus.NOT_FOUND: NotFound,
        HTTPStatus.TOO_MANY_REQUESTS: RateLimited,
    }
)
_PROBLEM: Final = "application/problem+json"
# A 404 for an unknown route, or from something other than the service.
_NO_ROUTE: Final = frozenset({"", "not_found"})


class PaymentsClient:
    """Calls the service; one per application is enough, for any number of tasks.

    `base_url` ends with `/payments-gateway/api`. `token` is a bearer token, or a
    function that returns one for each request. `timeout_s` applies to each attempt of a
    request. The client is open inside `async with`, or from the first request to
    `close`.

    Raises:
        ValueError: `base_url` is not an HTTP address, or `token` is empty.

    All methods raise:
        Refused: the service refused the request; see its subclasses.
        Unavailable: there was no answer, or no usable one.
    """

    def __init__(  # noqa: PLR0913  # each by name
        self,
        base_url: str,
        token: Token,
        *,
        timeout_s: float = TIMEOUT_S,
        retries_max: int = RETRIES_MAX,
        transport: httpx.AsyncBaseTransport | None = None,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        if isinstance(token, str) and not token.strip():
            raise ValueError("token is empty")
        base = address("base_url", base_url)
        self._origin = origin(base)
        self._http = httpx.AsyncClient(
            base_url=base,
            timeout=timeout_s,
            transport=transport,
            headers={"Accept": "application/json"},
        )
        self._token = token
        self._timeout_s = timeout_s
        self._retries_max = retries_max
        self._sleep = sleep

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        _: type[BaseException] | None,
        __: BaseException | None,
        ___: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        await self._http.aclose()

    async def payment_status(self, user: str) -> PaymentStatus:
        """Return whether a user has paid; `user` is their id or e-mail."""
        return await self._get(f"{_of(user)}/payment-status", PaymentStatus)

    async def access(self, user: str) -> Access:
        """Return all that a user has access to."""
        return await self._get(f"{_of(user)}/access", Access)

    async def feature(self, user: str, name: str) -> FeatureAccess:
        """Return whether a user has a feature.

        Raises:
            NotFound: the user does not exist (`account_not_found`), or the catalogue
                does not name the feature (`feature_not_found`).
        """
        path = f"{_of(user)}/access"
        return await self._get(path, FeatureAccess, {"feature": name})

    async def sync(self, user: str) -> PaymentStatus:
        """Make the service sync a user with Stripe; return the status after that.

        Raises:
            RateLimited: the user was just synced, or is being synced.
        """
        path = f"{_of(user)}/sync"
        answer = await self._sent("POST", path, timeout_s=SYNC_TIMEOUT_S)
        return self._read(answer, PaymentStatus)

    async def catalogue(self) -> Catalogue:
        """Return what is sold, and which features it gives."""
        return await self._get("/catalogue", Catalogue)

    async def keys(self) -> Keys:
        """Return the public keys that sign access passes."""
        return await self._get("/.well-known/jwks.json", Keys)

    async def feed(
        self,
        after: str | None = None,
        *,
        latest: bool = False,
        limit: int = PAGE_MAX,
        wait_s: int = 0,
    ) -> FeedPage:
        """Return the changes after a position; None: from the beginning.

        With `latest`, only the latest change of each user. If there are no changes, the
        call waits for one, at most `wait_s`.
        """
        params = {"limit": str(limit), "wait_s": str(wait_s)}
        if after is not None:
            params["after"] = after
        if latest:
            params["latest"] = "true"
        return await self._get(
            "/feed", FeedPage, params, timeout_s=self._timeout_s + wait_s
        )

    async def _get(
        self,
        path: str,
        shape: type[_T],
        params: Mapping[str, str] | None = None,
        *,
        timeout_s: float | None = None,
    ) -> _T:
        for number in range(self._retries_max):
            try:
                answer = await self._sent("GET", path, params, timeout_s=timeout_s)
                return self._read(answer, shape)
            except Unavailable as error:
                wait_s = _pause(error, number)
                if wait_s is None:
                    raise
                await self._sleep(wait_s)
        answer = await self._sent("GET", path, params, timeout_s=timeout_s)
        return self._read(answer, shape)

    async def _sent(
        self,
        method: str,
        path: str,
        params: Mapping[str, str] | None = None,
        *,
        timeout_s: float | None = None,
    ) -> httpx.Response:
        token = self._token() if callable(self._token) else self._token
        if isawaitable(token):
            token = await token
        try:
            # httpx's own timeouts restart with each part of an answer.
            async with asyncio.timeout(timeout_s or self._timeout_s):
                return await self._http.request(
                    method,
                    path,
                    params=params,
                    headers={"Authorization": f"Bearer {token}"},
                    timeout=timeout_s or self._timeout_s,
                )
        except (httpx.RequestError, TimeoutError) as error:
            raise Unavailable(f"{self._origin} {why(error)}") from error

    def _read(self, answer: httpx.Response, shape: type[_T]) -> _T:
        if not answer.is_success:
            raise self._problem(answer)
        try:
            return msgspec.json.decode(answer.content, type=shape)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise Unavailable(
                f"{self._origin} sent an answer of an unexpected shape: {error}",
                status=answer.status_code,
            ) from error

    def _problem(self, answer: httpx.Response) -> Refused | Unavailable:
        """Return an answer other than success as an error."""
        status, after_s = answer.status_code, _retry_after_s(answer)
        problem = _told(answer)
        is_refusal = HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR
        if is_refusal and (problem is not None or status in _REFUSALS):
            kind, found = _REFUSALS.get(status, Refused), problem or Problem()
            is_lost = kind is NotFound and found.code in _NO_ROUTE
            hint = f"base_url ends with {BASE_PATH}" if is_lost else ""
            return kind(status, found, after_s, hint=hint)
        words = f"{problem.code}: {problem.detail}" if problem else f"HTTP {status}"
        return Unavailable(
            f"{self._origin} answered {words}",
            status=status,
            problem=problem,
            retry_after_s=after_s,
        )


def address(parameter: str, text: str) -> httpx.URL:
    """Return an HTTP address, without a trailing slash.

    Raises:
        ValueError: it is not an address; `parameter` is the caller's name for it.
    """
    try:
        found = httpx.URL(text.rstrip("/"))
    except httpx.InvalidURL as error:
        raise ValueError(f"{parameter} is not an address: {error}") from error
    if found.scheme not in {"http", "https"} or not found.host:
        # The address is not repeated: it may contain a password.
        raise ValueError(
            f"{parameter} needs http or https and a host: https://HOST{BASE_PATH}"
        )
    return found


def origin(url: httpx.URL) -> str:
    """Return the scheme, the host and the port, without a password."""
    return f"{url.scheme}://{url.netloc.decode('ascii')}"


def _of(user: str) -> str:
    if not isinstance(user, str):
        raise TypeError(f"user is not a str: {type(user).__name__}")
    if user in {"", ".", ".."}:
        raise ValueError("user is empty")
    return f"/users/{quote(user, safe='')}"


def _pause(error: Unavailable, number: int) -> float | None:
    """Return how long to wait before a read is retried; None: it is not retried."""
    if isinstance(error.__cause__, CONNECTION):
        return BACK_OFF_S * float(2**number)
    after_s = error.retry_after_s
    if error.status != HTTPStatus.SERVICE_UNAVAILABLE or after_s is None:
        return None
    return after_s if after_s <= RETRY_AFTER_MAX_S else None


def _told(answer: httpx.Response) -> Problem | None:
    """Return the problem in an answer; None: the answer is not the service's own."""
    if not answer.headers.get("content-type", "").startswith(_PROBLEM):
        return None
    try:
        return msgspec.json.decode(answer.content, type=Problem)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _retry_after_s(answer: httpx.Response) -> float | None:
    # The service sends seconds. A date comes from a proxy, and is ignored.
    text = answer.headers.get("retry-after", "")
    return float(text) if text.isascii() and text.isdigit() else None
