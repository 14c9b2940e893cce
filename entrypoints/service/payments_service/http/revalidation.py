"""Answers about an account that a caller has already: told so without being made.

Rule 1: the tag of such an answer holds the account's version, the moments between
        which it shows the same, and a digest of all else that it depends on: the
        route and its query, whose account it is, the policy, this release.
Rule 2: of a caller who names one such tag only the account's version is read. Where it
        holds, 304 is sent before the handler is reached; anything else is left to it.
Rule 3: a tag that was made up fools who sends it, and nobody else: whether the caller
        reaches the account is asked all the same.
"""

import hashlib
import re
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from importlib.metadata import version
from types import MappingProxyType
from typing import Final

import attrs
from litestar.types import ASGIApp, Receive, Scope, Send

from payments_core.account_version import AnswerVersion
from payments_core.catalogue import NO_CATALOGUE
from payments_core.identity import UserId
from payments_core.policy import Policy
from payments_core.use_cases import CheckAnswer
from payments_service.http.request_context import user_in_path
from payments_service.http.requests import ANNOUNCING

# The `opt` of a handler that makes such tags.
_OPT: Final = "revalidated"
REVALIDATED: Final = MappingProxyType({_OPT: True})
OF_ACCOUNTS: Final = "private, no-cache"

_DIGEST_BYTES: Final = 8
_TAG: Final = re.compile(
    rb'(?:W/)?("([0-9a-f]{1,16})\.([0-9a-f]{0,16})\.([0-9a-f]{0,16})\.[0-9a-f]{16}")'
)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_GIVEN: Final = b"if-none-match"


def _written(moment: datetime | None) -> str:
    return "" if moment is None else f"{(moment - _EPOCH) // _MICROSECOND:x}"


def _moment(text: bytes) -> datetime | None:
    return _EPOCH + int(text, 16) * _MICROSECOND if text else None


def _read(tag: "re.Match[bytes]") -> AnswerVersion | None:
    """Read a tag of our form; None if it names a moment that there is not."""
    try:
        return AnswerVersion(int(tag[2], 16), _moment(tag[3]), _moment(tag[4]))
    except OverflowError:
        return None


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


@attrs.frozen
class Revalidation:
    """Behind authentication, before the handler."""

    app: ASGIApp
    _check: CheckAnswer
    _tags: AccountTags

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if _OPT in scope["route_handler"].opt:
            tag = await self._known(scope)
            if tag is not None:
                await _not_modified(tag, send)
                return
        await self.app(scope, receive, send)

    async def _known(self, scope: Scope) -> bytes | None:
        """Return the tag that the caller names, if the answer would have it again."""
        headers = [*scope["headers"]]
        values = [value for name, value in headers if name == _GIVEN]
        # A body, which these routes refuse, is looked at by the handler.
        if len(values) != 1 or any(name in ANNOUNCING for name, _ in headers):
            return None
        given = _TAG.fullmatch(values[0])
        shown = _read(given) if given else None
        if given is None or shown is None:
            return None
        user = user_in_path(scope["path_params"]["user"])
        user_id = await self._check(user, shown, caller=scope["user"])
        if user_id is None:
            return None
        tag = given[1]
        return tag if self._tags.of(scope, user_id, shown).encode() == tag else None


async def _not_modified(tag: bytes, send: Send) -> None:
    await send(
        {
            "type": "http.response.start",
            "status": HTTPStatus.NOT_MODIFIED,
            "headers": [(b"etag", tag), (b"cache-control", OF_ACCOUNTS.encode())],
        }
    )
    await send({"type": "http.response.body", "body": b"", "more_body": False})
