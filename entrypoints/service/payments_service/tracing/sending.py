"""Sends spans to a collector; answers have a size limit, redirects are not followed."""

import io
import ssl
from collections.abc import Iterator
from typing import Any, Final

import requests
from typing_extensions import override

# A collector's answer is short: how many spans it refused, or what went wrong.
ANSWER_BYTES_MAX: Final = 64 * 1024
_REDIRECTS: Final = range(300, 400)
_ERRORS: Final = 400
# The first match, in an error or in its causes.
_CLASSES: Final[tuple[tuple[type[BaseException], str], ...]] = (
    (requests.exceptions.ProxyError, "the proxy refuses it"),
    (requests.exceptions.SSLError, "TLS fails: see the certificates"),
    (ssl.SSLError, "TLS fails: see the certificates"),
    (requests.exceptions.InvalidURL, "the address cannot be used"),
    (requests.exceptions.InvalidSchema, "the address cannot be used"),
    (requests.exceptions.MissingSchema, "the address cannot be used"),
    (requests.exceptions.Timeout, "no answer in time"),
    (ConnectionRefusedError, "the connection is refused"),
)


class CollectorSession(requests.Session):
    """Sends to a collector, and stores why the last request failed, if it did.

    `failure` is a kind of failure, with no text of the collector in it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.failure: str | None = None

    @override
    def request(self, *args: Any, **kwargs: Any) -> requests.Response:
        self.failure = None
        try:
            answer = super().request(*args, **{**kwargs, "stream": True})
            with answer:
                bounded = _bounded(answer)
        except Exception as error:
            self.failure = _class_of(error)
            raise
        if answer.status_code in _REDIRECTS:
            self.failure = (
                f"it answers {answer.status_code}; redirects are not followed"
            )
            # The exporter would count it as a success.
            raise requests.exceptions.TooManyRedirects
        if answer.status_code >= _ERRORS:
            self.failure = f"it answers {answer.status_code}"
        return bounded


def _bounded(answer: requests.Response) -> requests.Response:
    """Return an answer with the body as read, still compressed if it was."""
    bounded = requests.Response()
    bounded.status_code = answer.status_code
    bounded.reason = answer.reason
    bounded.headers = answer.headers
    bounded.raw = io.BytesIO(answer.raw.read(ANSWER_BYTES_MAX, decode_content=False))
    return bounded


def _class_of(error: BaseException) -> str:
    causes = list(_causes(error))
    for kind, words in _CLASSES:
        if any(isinstance(it, kind) for it in causes):
            return words
    return f"it cannot be reached: {type(error).__name__}"


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
