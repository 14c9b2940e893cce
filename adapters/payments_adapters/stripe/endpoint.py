"""A Stripe endpoint: the wanted state and the actual one.

Rule: an endpoint is registered for what the event reader reads: `EVENT_TYPES`.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import attrs

from payments_adapters.stripe.followed_types import ENDPOINT_TYPES
from payments_core.errors import GatewayMisconfigured, GatewayRefused

EVENT_TYPES: Final = frozenset(ENDPOINT_TYPES)
ALL_TYPES: Final = "*"
# Stripe's limit, for both kinds together.
ENDPOINTS_MAX: Final = 16
# What we note on an endpoint, in its metadata: role, secret, since.
MARKS: Final = (
    "payments_gateway",
    "payments_gateway_secret",
    "payments_gateway_since",
)


@attrs.frozen(kw_only=True)
class EndpointMarks:
    """Our notes on an endpoint: see `payments_service.endpoint_roles`.

    An endpoint that was created by hand has none.
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
    """An endpoint; its secret is not known here.

    `types` are the names of snapshot types, also for thin events, or `*` alone.
    `api_version` is None for thin events, and if the account's own version is used.
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
    """All endpoints at Stripe's time `at`, or why those of thin events are unknown."""

    it: Sequence[Endpoint]
    at: datetime
    thin_refused: GatewayMisconfigured | GatewayRefused | None = None


@attrs.frozen(kw_only=True)
class EndpointDraft:
    """An endpoint to be created."""

    url: str
    is_thin: bool
    types: frozenset[str]
    description: str
    marks: EndpointMarks


@attrs.frozen(kw_only=True)
class EndpointChange:
    """What to change; None leaves it as it is."""

    types: frozenset[str] | None = None
    is_enabled: bool | None = None
    description: str | None = None
    marks: EndpointMarks | None = None


@attrs.frozen
class MadeEndpoint:
    """A new endpoint, with its secret, which Stripe never shows again."""

    endpoint: Endpoint
    secret: str = attrs.field(repr=False)
