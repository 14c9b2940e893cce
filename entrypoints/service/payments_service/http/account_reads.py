"""Reads of an account, answered after authentication and before Litestar's handler.

Applications read often, and Litestar's handler would double the cost of a read. The
handler still describes the route for the OpenAPI document, and serves requests that are
not plain: those that announce a body.

Rule 1: the tag of an answer contains the account's version, the times between which the
        answer is the same, and a digest of everything else that it depends on: the
        route and its query, the account's user, the policy, this release.
Rule 2: if a caller sends one such tag, only the account's version is read. If the tag
        still holds, the answer is 304, and no body is made.
Rule 3: a forged tag misleads only its sender: the caller's right to read the account is
        checked in any case.
"""

import hashlib
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from importlib.metadata import version
from typing import Any, Final
from urllib.parse import parse_qsl

import attrs
import msgspec
from litestar import Response
from litestar.types import ASGIApp, Receive, Scope, Send

from payments_core.account_version import AnswerVersion
from payments_core.caller import Caller
from payments_core.catalogue import NO_CATALOGUE
from payments_core.identity import Email, UserId
from payments_core.policy import Policy
from payments_core.use_cases import CheckAnswer, GetPaymentStatus, ReadAccess
from payments_service.http.etags import is_given, tagged
from payments_service.http.request_context import user_in_path
from payments_service.http.requests import ANNOUNCING

# The `opt` of a handler whose plain requests are answered here.
_OPT: Final = "account_read"
OF_ACCOUNTS: Final = "private, no-cache"

_DIGEST_BYTES: Final = 8
_TAG: Final = re.compile(
    rb'(?:W/)?("([0-9a-f]{1,16})\.([0-9a-f]{0,16})\.([0-9a-f]{0,16})\.[0-9a-f]{16}")'
)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_GIVEN: Final = b"if-none-match"
_CACHE: Final = (b"cache-control", OF_ACCOUNTS.encode())
_JSON: Final = (b"content-type", b"application/json")


@attrs.frozen
class Shown:
    """What an answer shows about an account, and for how long it is the same."""

    out: msgspec.Struct
    user_id: UserId
    version: AnswerVersion


class AccountTags:
    """Makes the tags of answers about accounts."""

    def __init__(self, policy: Policy) -> None:
        catalogue = (policy.catalogue or NO_CATALOGUE).version
        same_for_all = version("payments-service"), policy.grace, catalogue
        self._same_for_all = "|".join(map(str, same_for_all)).encode()

    def of(self, scope: Scope, user_id: UserId, shown: AnswerVersion) -> str:
        """Return the tag of the answer to a request, with its quotes."""
        digest = hashlib.blake2b(self._same_for_all, digest_size=_DIGEST_BYTES)
        asked = scope["path_template"], scope["query_string"].decode("latin-1")
        digest.update("\0".join(("", *asked, user_id)).encode())
        since, until = _written(shown.since), _written(shown.until)
        return f'"{shown.version:x}.{since}.{until}.{digest.hexdigest()}"'


class AccountReads:
    """What answers about accounts need, as one dependency of their handlers.

    Litestar provides several dependencies in separate tasks, which would double the
    cost of a request.
    """

    def __init__(
        self,
        payment_status: GetPaymentStatus,
        access: ReadAccess,
        check: CheckAnswer,
    ) -> None:
        self.payment_status = payment_status
        self.access = access
        self.check = check
        self.tags = AccountTags(payment_status.policy)


# Reads what a route shows about a user, for a caller and a query.
Read = Callable[
    [AccountReads, UserId | Email, Caller, Mapping[str, str]], Awaitable[Shown]
]


def read_by(read: Read) -> dict[str, Any]:
    """State what a route shows, as the `opt` of its handler."""
    return {_OPT: read}


def tagged_read(
    scope: Scope, reads: AccountReads, shown: Shown, *, given: str | None
) -> Response[Any]:
    """Answer, from a handler, a request that `AccountAnswers` passed on."""
    return tagged(
        shown.out,
        msgspec.json.encode(shown.out),
        given=given,
        cache=OF_ACCOUNTS,
        tag=reads.tags.of(scope, shown.user_id, shown.version),
    )


@attrs.frozen
class AccountAnswers:
    """Answers reads of accounts, after authentication and before the handler."""

    app: ASGIApp
    _reads: AccountReads

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        read: Read | None = scope["route_handler"].opt.get(_OPT)
        headers = [*scope["headers"]]
        if read is None or any(name in ANNOUNCING for name, _ in headers):
            await self.app(scope, receive, send)
            return
        user = user_in_path(scope["path_params"]["user"])
        given = [value for name, value in headers if name == _GIVEN]
        if len(given) == 1 and await self._is_known(scope, user, given[0]):
            # The tag as it was sent, but strong.
            await _send(HTTPStatus.NOT_MODIFIED, given[0].removeprefix(b"W/"), send)
            return
        text = scope["query_string"].decode("latin-1")
        query = dict(parse_qsl(text, keep_blank_values=True))
        shown = await read(self._reads, user, scope["user"], query)
        tag = self._reads.tags.of(scope, shown.user_id, shown.version)
        if is_given(tag, b",".join(given).decode("latin-1")):
            await _send(HTTPStatus.NOT_MODIFIED, tag.encode(), send)
            return
        body = msgspec.json.encode(shown.out)
        length = (b"content-length", str(len(body)).encode())
        await _send(HTTPStatus.OK, tag.encode(), send, body, (_JSON, length))

    async def _is_known(self, scope: Scope, user: UserId | Email, given: bytes) -> bool:
        """Say whether a tag is ours, and the answer would have the same tag now."""
        tag = _TAG.fullmatch(given)
        shown = _read(tag) if tag else None
        if tag is None or shown is None:
            return False
        user_id = await self._reads.check(user, shown, caller=scope["user"])
        if user_id is None:
            return False
        return self._reads.tags.of(scope, user_id, shown).encode() == tag[1]


async def _send(
    status: HTTPStatus,
    tag: bytes,
    send: Send,
    body: bytes = b"",
    headers: Iterable[tuple[bytes, bytes]] = (),
) -> None:
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [(b"etag", tag), _CACHE, *headers],
        }
    )
    await send({"type": "http.response.body", "body": body, "more_body": False})


def _written(moment: datetime | None) -> str:
    return "" if moment is None else f"{(moment - _EPOCH) // _MICROSECOND:x}"


def _moment(text: bytes) -> datetime | None:
    return _EPOCH + int(text, 16) * _MICROSECOND if text else None


def _read(tag: "re.Match[bytes]") -> AnswerVersion | None:
    """Read a tag of our form; None if a time in it is out of range."""
    try:
        return AnswerVersion(int(tag[2], 16), _moment(tag[3]), _moment(tag[4]))
    except OverflowError:
        return None
