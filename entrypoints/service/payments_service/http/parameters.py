"""What routes take beside a body: in a path, in a query, in a header.

A parameter is a text here: the use case's own reader says what is wrong with it. Its
schema is for the document, and tests hold the two together.
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
# A text that may be left out is a union for Litestar; for the document it is this.
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
        description="A user's id, as the users micro-service has it.",
        schema_extra={"pattern": _USER_ID["pattern"], "schema_not": _USER_ID["not"]},
    ),
]
UserInPath = Annotated[
    str,
    PathParameter(
        description="A user's id, or an e-mail: it has an `@`, and a `/` in it is "
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
        description="`next_cursor` of the page before; without it, the first page.",
        schema_extra={**_TEXT, "pattern": "^[A-Za-z0-9_-]+$"},
    ),
]
Limit = Annotated[
    str | None,
    QueryParameter(
        description="How many items a page has at most.",
        schema_extra=_number(1, PAGE_LENGTH_MAX, PAGE_LENGTH_MAX),
    ),
]
At = Annotated[
    str | None,
    QueryParameter(
        description="The moment to explain, with its offset from UTC; without it, now.",
        schema_extra={**_TEXT, "format": "date-time"},
    ),
]
Feature = Annotated[
    str | None,
    QueryParameter(
        description="A feature of the catalogue: only access to this one is said.",
        schema_extra={
            **_TEXT,
            "pattern": rf"^[A-Za-z0-9_.:-]{{1,{REFERENCE_LENGTH_MAX}}}$",
        },
    ),
]
DespiteDeclines = Annotated[
    str | None,
    QueryParameter(
        description="`true`: an administrator goes on although cards of the user were "
        "declined too often within an hour.",
        schema_extra={"one_of": None, "type": "boolean", "default": False},
    ),
]
After = Annotated[
    str | None,
    QueryParameter(
        description="`next` of the page before; without it, from the beginning.",
        schema_extra={**_TEXT, "pattern": "^(0|[1-9][0-9]{0,18})$"},
    ),
]
FeedLimit = Annotated[
    str | None,
    QueryParameter(
        description="How many changes a page has at most.",
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
        description="Whether only the last change of each user is wanted.",
        schema_extra={"one_of": None, "type": "boolean", "default": False},
    ),
]
When = Annotated[
    str | None,
    QueryParameter(
        description="Whether it ends at once, or with the period that is paid for.",
        schema_extra={**_TEXT, "enum": ["now", "period_end"], "default": "now"},
    ),
]
StatusFilter = Annotated[
    str | None,
    QueryParameter(
        description="Only users whose status was this when it was saved last.",
        schema_extra={**_TEXT, "enum": [it.value for it in PaymentStatus]},
    ),
]
ProductFilter = Annotated[
    str | None,
    QueryParameter(
        description="Only users with a subscription of this product that is not over.",
        schema_extra={**_TEXT, "pattern": _REFERENCE},
    ),
]
CustomerFilter = Annotated[
    str | None,
    QueryParameter(
        description="Only the user to whom this customer of Stripe's is bound.",
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
        description="Only users whose id or e-mail begins with this.",
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
        description="An `ETag` of before: 304 if the answer would be the same.",
        schema_extra=_TEXT,
    ),
]
IdempotencyKeyHeader = Annotated[
    str | None,
    HeaderParameter(
        name="Idempotency-Key",
        description="The same key with the same request gets the same answer again, "
        "and nothing is done twice. With another request it is refused (422).",
        schema_extra={**_TEXT, "pattern": _KEY},
    ),
]
