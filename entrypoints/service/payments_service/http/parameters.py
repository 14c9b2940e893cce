"""Parameters of routes besides a body: in a path, in a query, in a header.

Each parameter is a text here: the use case's own reader validates it. Its schema is for
the OpenAPI document, and tests check that both agree.
"""

from typing import Annotated, Any, Final

from litestar.params import HeaderParameter, PathParameter, QueryParameter

from payments_core.entitlement import PaymentStatus
from payments_core.identity import (
    CUSTOMER_ID_LENGTH_MAX,
    EMAIL_LENGTH_MAX,
    USER_ID_LENGTH_MAX,
)
from payments_core.use_cases.read_feed import PAGE_LENGTH_MAX as FEED_PAGE_MAX
from payments_core.use_cases.read_feed import WAIT_MAX_S
from payments_core.use_cases.references import REFERENCE_LENGTH_MAX
from payments_core.user_list import TEXT_LENGTH_MAX
from payments_service.http.bodies import EMAIL_PATTERN
from payments_service.http.requests import PAGE_LENGTH_MAX

_KEY: Final = '^([A-Za-z0-9_.:-]{1,128}|"[A-Za-z0-9_.:-]{1,128}")$'
# Litestar describes an optional text as a union; the document describes it like this.
_TEXT: Final[dict[str, Any]] = {"one_of": None, "type": "string"}
_USER_ID: Final[dict[str, Any]] = {
    "type": "string",
    "pattern": rf"^[A-Za-z0-9._:|~+=-]{{1,{USER_ID_LENGTH_MAX}}}$",
    "not": {"enum": [".", ".."]},
}
_REFERENCE: Final = rf"^[A-Za-z0-9_]{{1,{REFERENCE_LENGTH_MAX}}}$"
_EMAIL: Final[dict[str, Any]] = {
    "type": "string",
    "format": "idn-email",
    "pattern": EMAIL_PATTERN,
    "maxLength": EMAIL_LENGTH_MAX,
}


def _number(least: int, most: int, default: int) -> dict[str, Any]:
    return {
        "one_of": None,
        "type": "integer",
        "minimum": least,
        "maximum": most,
        "default": default,
    }


UserIdInPath = Annotated[
    str,
    PathParameter(
        description="A user's id in the users micro-service.",
        schema_extra={"pattern": _USER_ID["pattern"], "schema_not": _USER_ID["not"]},
    ),
]
UserInPath = Annotated[
    str,
    PathParameter(
        description="A user's id or e-mail. An e-mail has an `@`; a `/` in it is "
        "written `%2F`.",
        schema_extra={"type": None, "any_of": [_USER_ID, _EMAIL]},
    ),
]
SubscriptionInPath = Annotated[
    str,
    PathParameter(
        description="A subscription's id: ours (`sub-…`), or Stripe's (`sub_…`).",
    ),
]
IntentInPath = Annotated[
    str,
    PathParameter(description="The id of an operation, from `Location` of a 202."),
]
PaymentInPath = Annotated[
    str,
    PathParameter(
        description="Stripe's id of a charge or a payment intent.",
        schema_extra={"pattern": _REFERENCE},
    ),
]
Cursor = Annotated[
    str | None,
    QueryParameter(
        description="`next_cursor` of the previous page; without it, the first page.",
        schema_extra={**_TEXT, "pattern": "^[A-Za-z0-9_-]+$"},
    ),
]
Limit = Annotated[
    str | None,
    QueryParameter(
        description="The maximum number of items of a page.",
        schema_extra=_number(1, PAGE_LENGTH_MAX, PAGE_LENGTH_MAX),
    ),
]
At = Annotated[
    str | None,
    QueryParameter(
        description="The time to explain, with its offset from UTC; without it, now.",
        schema_extra={**_TEXT, "format": "date-time"},
    ),
]
Feature = Annotated[
    str | None,
    QueryParameter(
        description="A feature of the catalogue: show only access to this feature.",
        schema_extra={
            **_TEXT,
            "pattern": rf"^[A-Za-z0-9_.:-]{{1,{REFERENCE_LENGTH_MAX}}}$",
        },
    ),
]
DespiteDeclines = Annotated[
    str | None,
    QueryParameter(
        description="`true`: continue although the user's cards were declined too "
        "often within an hour; for administrators.",
        schema_extra={"one_of": None, "type": "boolean", "default": False},
    ),
]
After = Annotated[
    str | None,
    QueryParameter(
        description="`next` of the previous page; without it, from the beginning.",
        schema_extra={**_TEXT, "pattern": "^(0|[1-9][0-9]{0,18})$"},
    ),
]
FeedLimit = Annotated[
    str | None,
    QueryParameter(
        description="The maximum number of changes of a page.",
        schema_extra=_number(1, FEED_PAGE_MAX, FEED_PAGE_MAX),
    ),
]
WaitS = Annotated[
    str | None,
    QueryParameter(
        description="How many seconds to wait for a change, if there is none.",
        schema_extra=_number(0, WAIT_MAX_S, 0),
    ),
]
Latest = Annotated[
    str | None,
    QueryParameter(
        description="Whether to list only the last change of each user.",
        schema_extra={"one_of": None, "type": "boolean", "default": False},
    ),
]
When = Annotated[
    str | None,
    QueryParameter(
        description="Whether it ends at once, or at the end of the paid period.",
        schema_extra={**_TEXT, "enum": ["now", "period_end"], "default": "now"},
    ),
]
StatusFilter = Annotated[
    str | None,
    QueryParameter(
        description="Only users whose status was this when they were last saved.",
        schema_extra={**_TEXT, "enum": [it.value for it in PaymentStatus]},
    ),
]
ProductFilter = Annotated[
    str | None,
    QueryParameter(
        description="Only users with a subscription to this product that has not "
        "ended.",
        schema_extra={**_TEXT, "pattern": _REFERENCE},
    ),
]
CustomerFilter = Annotated[
    str | None,
    QueryParameter(
        description="Only the user to whom this Stripe customer is bound.",
        schema_extra={
            **_TEXT,
            "pattern": rf"^[A-Za-z0-9_-]{{1,{CUSTOMER_ID_LENGTH_MAX}}}$",
        },
    ),
]
EmailFilter = Annotated[
    str | None,
    QueryParameter(
        description="Only the user with this e-mail.",
        schema_extra={
            **_TEXT,
            "format": "idn-email",
            "pattern": EMAIL_PATTERN,
            "max_length": EMAIL_LENGTH_MAX,
        },
    ),
]
TextFilter = Annotated[
    str | None,
    QueryParameter(
        description="Only users whose id or e-mail starts with this text.",
        schema_extra={
            **_TEXT,
            "pattern": r"^[^\x00-\x1f\x7f-\x9f]+$",
            "max_length": TEXT_LENGTH_MAX,
        },
    ),
]
IfNoneMatch = Annotated[
    str | None,
    HeaderParameter(
        name="If-None-Match",
        description="The `ETag` of an earlier answer: 304 if the answer is the same.",
        schema_extra=_TEXT,
    ),
]
IdempotencyKeyHeader = Annotated[
    str | None,
    HeaderParameter(
        name="Idempotency-Key",
        description="A repeated request with the same key gets the same answer, and "
        "nothing is done twice. A different request with the key is refused (422).",
        schema_extra={**_TEXT, "pattern": _KEY},
    ),
]
