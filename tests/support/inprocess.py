"""The real SDK against a sandbox without sockets, with every possible fault between."""

from collections import Counter
from collections.abc import Mapping
from email.utils import formatdate
from enum import StrEnum
from typing import Any
from urllib.parse import urlsplit

import attrs
import stripe
from typing_extensions import override

from payments_sandbox.api import ApiRequest, ApiResponse
from payments_sandbox.engine import Engine


class Trouble(StrEnum):
    """The outcome of one call, besides an answer."""

    REPLY_LOST = "reply lost"
    ERROR_MADE = "500, made"
    ERROR_NOT_MADE = "500, not made"
    REFUSED = "refused"
    RATE_LIMITED = "429"
    TIMEOUT_BEFORE = "time-out before"
    TIMEOUT_AFTER = "time-out after"


_FAILS = {Trouble.ERROR_MADE: "after", Trouble.ERROR_NOT_MADE: "before"}
_LOST = {Trouble.REPLY_LOST, Trouble.TIMEOUT_AFTER}
_REFUSED = b'{"error": {"type": "invalid_request_error", "code": "not_today"}}'
_LIMITED = b'{"error": {"type": "invalid_request_error", "code": "rate_limit"}}'


@attrs.define
class _Plan:
    trouble: Trouble
    skip: int


class InProcess(stripe.HTTPClient):
    """Passes the SDK's requests to an engine; POSTs and DELETEs may meet faults."""

    name = "in-process"

    def __init__(self, engine: Engine) -> None:
        super().__init__()
        self.engine = engine
        self.changes: list[ApiRequest] = []
        # How often each kind was read: "subscriptions", "invoices", and so on.
        self.reads: Counter[str] = Counter()
        # No answer comes.
        self.down = False
        self._plan: _Plan | None = None

    def plan(self, trouble: Trouble, *, after: int = 0) -> None:
        """Let one change meet a fault, after `after` others."""
        self._plan = _Plan(trouble, after)

    @override
    async def request_async(
        self, method: str, url: str, headers: Mapping[str, str], post_data: Any = None
    ) -> tuple[bytes, int, Mapping[str, str]]:
        parts = urlsplit(url)
        request = ApiRequest(
            method=method.upper(),
            path=parts.path,
            query=parts.query,
            body=(post_data or "").encode(),
            headers={name.lower(): str(value) for name, value in headers.items()},
        )
        if self.down:
            raise _silence()
        trouble = self._trouble_of(request)
        date = {"Date": formatdate(self.engine.now, usegmt=True)}
        match trouble:
            case Trouble.TIMEOUT_BEFORE:
                raise _silence()
            case Trouble.REFUSED:
                return _REFUSED, 400, date
            case Trouble.RATE_LIMITED:
                return _LIMITED, 429, date
            case _:
                pass
        fails = _FAILS.get(trouble) if trouble else None
        response: ApiResponse = self.engine.answer(request, fails=fails)
        if trouble in _LOST:
            raise _silence()
        return response.body, response.status, {**date, **response.headers}

    def _trouble_of(self, request: ApiRequest) -> Trouble | None:
        if request.method == "GET" or request.path.endswith("create_preview"):
            self.reads[request.path.split("/")[2]] += 1
            return None
        self.changes.append(request)
        if self._plan is None:
            return None
        if self._plan.skip:
            self._plan.skip -= 1
            return None
        trouble, self._plan = self._plan.trouble, None
        return trouble

    @override
    async def close_async(self) -> None:
        """There is nothing to close."""


def _silence() -> stripe.APIConnectionError:
    return stripe.APIConnectionError("no answer")  # type: ignore[no-untyped-call]  # the SDK's
