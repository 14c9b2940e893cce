"""What can go wrong: whose fault it is, and whether to retry.

`Refused`: the service refused; its code says why. `Unavailable`: the service did not
answer, or said that it cannot answer now. `PassRefused`: an access pass is not valid.
"""

import socket
import ssl
from collections.abc import Iterator, Sequence
from typing import Final

import httpx
import msgspec

# Nothing of the request was sent, or nothing of the answer arrived.
CONNECTION: Final = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.CloseError,
    httpx.ReadError,
    httpx.RemoteProtocolError,
    httpx.WriteError,
)


class FieldProblem(msgspec.Struct, frozen=True):
    """What is wrong with a field; `pointer` is a JSON pointer (RFC 6901)."""

    pointer: str = ""
    reason: str = ""


class Problem(msgspec.Struct, frozen=True):
    """A problem as the service reports it (RFC 9457)."""

    code: str = ""
    detail: str = ""
    request_id: str = ""
    errors: Sequence[FieldProblem] = ()


class ClientError(Exception):
    """Any error that this library raises on purpose."""


class Refused(ClientError):  # noqa: N818  # the tree reads as a sentence
    """The service refused: the same request will be refused again.

    `code` is the service's word for the reason; `request_id` finds the request in its
    log. `retry_after_s` is when a retry may succeed after all; None: the service does
    not say.
    """

    def __init__(
        self,
        status: int,
        problem: Problem,
        retry_after_s: float | None = None,
        *,
        hint: str = "",
    ) -> None:
        words = problem.detail or f"HTTP {status}"
        more = f" ({hint})" if hint else ""
        super().__init__(f"{problem.code or 'refused'}: {words}{more}")
        self.status = status
        self.code = problem.code
        self.detail = problem.detail
        self.request_id = problem.request_id
        self.errors = problem.errors
        self.retry_after_s = retry_after_s

    @property
    def field(self) -> str | None:
        """Return the JSON pointer of the first invalid field; None: there is none."""
        return self.errors[0].pointer if self.errors else None


class NotAuthenticated(Refused):
    """401: the token is missing, expired, invalidated or malformed."""


class NotAllowed(Refused):
    """403: the token lacks a scope."""


class NotFound(Refused):
    """404: it does not exist, or the caller may not see it."""


class RateLimited(Refused):
    """429: retry after `retry_after_s`."""


class Unavailable(ClientError):  # noqa: N818  # see Refused
    """The service did not answer, or cannot answer now: retry later.

    After a change it is unknown whether the change was made. `code` and `request_id`
    are empty if there was no answer.
    """

    def __init__(
        self,
        reason: str,
        *,
        status: int | None = None,
        problem: Problem | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(reason)
        self.status = status
        self.code = problem.code if problem else ""
        self.request_id = problem.request_id if problem else ""
        self.retry_after_s = retry_after_s


class PassRefused(ClientError):  # noqa: N818  # see Refused
    """An access pass is forged, expired, for another audience, or not a pass."""


def why(error: Exception) -> str:
    """Return why there is no answer, as the end of a sentence about an address."""
    if isinstance(error, httpx.ConnectTimeout):
        return "cannot be reached: no connection in time"
    if isinstance(error, httpx.TimeoutException | TimeoutError):
        return "does not answer in time"
    if isinstance(error, httpx.ConnectError):
        return f"cannot be reached: {_of_connection(error)}"
    if isinstance(error, httpx.DecodingError):
        return "sent an answer that cannot be decoded"
    if isinstance(error, CONNECTION):
        return "does not answer: the connection was cut off"
    return "cannot be called: the request cannot be sent"


def _of_connection(error: BaseException) -> str:
    for cause in _causes(error):
        if isinstance(cause, ConnectionRefusedError):
            return "connection refused"
        if isinstance(cause, socket.gaierror):
            return "the host name cannot be resolved"
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"its certificate is not trusted: {cause.verify_message}"
        if isinstance(cause, ssl.SSLError):
            return "a TLS connection cannot be made"
        if isinstance(cause, OSError) and cause.errno and cause.strerror:
            return cause.strerror.lower()
    return "no connection"


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and its causes; for several addresses, the error of each."""
    while error is not None:
        yield error
        if isinstance(error, BaseExceptionGroup):
            for one in error.exceptions:
                yield from _causes(one)
        error = error.__cause__ or error.__context__
