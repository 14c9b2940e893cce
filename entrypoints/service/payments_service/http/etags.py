"""Answers that a caller may already have: `ETag` and `If-None-Match` (RFC 9110)."""

import hashlib
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final, TypeVar

from litestar import Response
from litestar.datastructures import ResponseHeader
from litestar.enums import MediaType
from litestar.openapi import ResponseSpec
from typing_extensions import override

_T = TypeVar("_T")
ETAG: Final = ResponseHeader(
    name="ETag",
    description="Identifies this version of the answer.",
    documentation_only=True,
    value="",
)
NOT_MODIFIED: Final[Mapping[int, ResponseSpec]] = {
    HTTPStatus.NOT_MODIFIED: ResponseSpec(
        None, description="The answer still has the `ETag` of `If-None-Match`."
    )
}


class _Encoded(Response[_T]):
    """An answer that was encoded before its headers, which depend on the body."""

    encoded: bytes

    @override
    def render(self, content: Any, media_type: str, enc_hook: Any = None) -> bytes:
        return self.encoded


def tagged(
    shape: _T, body: bytes, *, given: str | None, cache: str, tag: str | None = None
) -> Response[_T]:
    """Answer with an ETag, or 304 if the caller already has this answer.

    `body` is `shape` in JSON, `given` the caller's `If-None-Match`. Without a `tag` the
    ETag is a digest of the body.
    """
    tag = tag or f'"{hashlib.blake2b(body, digest_size=12).hexdigest()}"'
    is_known = given is not None and is_given(tag, given)
    answer = _Encoded(
        shape,
        status_code=HTTPStatus.NOT_MODIFIED if is_known else None,
        headers={"ETag": tag, "Cache-Control": cache},
        media_type=MediaType.JSON,
    )
    answer.encoded = b"" if is_known else body
    return answer


def is_given(tag: str, header: str) -> bool:
    """Say whether an `If-None-Match` has the tag, weak or strong, or `*`."""
    given = {it.strip().removeprefix("W/") for it in header.split(",")}
    return not {tag, "*"}.isdisjoint(given)
