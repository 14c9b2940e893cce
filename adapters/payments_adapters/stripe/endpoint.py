"""An endpoint of Stripe's, as we want it and as it is.

Rule: what an endpoint is followed for is what the event reader reads: `EVENT_TYPES`.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import attrs

from payments_adapters.stripe.followed_types import ENDPOINT_TYPES
from payments_core.errors import GatewayMisconfigured, GatewayRefused

EVENT_TYPES: Final = frozenset(ENDPOINT_TYPES)
ALL_TYPES: Final = "*"
# What Stripe allows, of both kinds together.
ENDPOINTS_MAX: Final = 16
# What we note on an endpoint, in its metadata: role, secret, since.
MARKS: Final = (
    "payments_gateway",
    "payments_gateway_secret",
    "payments_gateway_since",
)


@attrs.frozen(kw_only=True)
class EndpointMarks:
    """What we noted on an endpoint: see `payments_service.endpoint_roles`.

    An endpoint that somebody made by hand has none.
    """

    role: str | None = None
    secret: str | None = None
    since: str | None = None

    @property
    def metadata(self) -> dict[str, str]:
        return {
            name: value
            for name, value in zip(MARKS, attrs.astuple(self), strict=True)
            if value is not None
        }


@attrs.frozen(kw_only=True)
class Endpoint:
    """An endpoint; of its secret nothing is known here.

    `types` are those of snapshots, also where thin events are sent, or `*` alone.
    `api_version` is None of thin events, and where the account's own is used.
    """

    id: str
    url: str
    made_at: datetime
    is_thin: bool
    types: frozenset[str]
    is_enabled: bool
    api_version: str | None
    description: str
    marks: EndpointMarks


@attrs.frozen(kw_only=True)
class FoundEndpoints:
    """All endpoints, by Stripe's time `at`; why those of thin events are not known."""

    it: Sequence[Endpoint]
    at: datetime
    thin_refused: GatewayMisconfigured | GatewayRefused | None = None


@attrs.frozen(kw_only=True)
class EndpointDraft:
    """An endpoint to be made."""

    url: str
    is_thin: bool
    types: frozenset[str]
    description: str
    marks: EndpointMarks


@attrs.frozen(kw_only=True)
class EndpointChange:
    """What is to be otherwise; None stays as it is."""

    types: frozenset[str] | None = None
    is_enabled: bool | None = None
    description: str | None = None
    marks: EndpointMarks | None = None


@attrs.frozen
class MadeEndpoint:
    """A new endpoint, with its secret: nobody is told it again."""

    endpoint: Endpoint
    secret: str = attrs.field(repr=False)
