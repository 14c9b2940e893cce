"""Which part an endpoint plays, as it is noted at Stripe and nowhere else.

Rule 1: an endpoint is made for one rare type, and disabled at once: nothing is sent to
        who does not know its secret yet. Only then its secret is written down.
Rule 2: while its role is `made`, nobody may know its secret: it can be deleted. With
        any other role its secret was written down.
Rule 3: a secret is noted as a part of its digest, by which it is recognised and from
        which it cannot be found.
Rule 4: an endpoint without a role was made by hand, and is in use.
"""

import hashlib
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final, Self

import attrs

from payments_adapters.stripe.endpoint import Endpoint, EndpointMarks

# Below the address at which the service is reached from outside.
WEBHOOK_PATH: Final = "/payments-gateway/api/webhooks/stripe"
DESCRIPTION: Final = "payments-gateway: made by `payments stripe`"
# What an endpoint is made for, until its secret is written down: it is very rare.
RARE_TYPES: Final = frozenset({"charge.dispute.funds_reinstated"})
_DIGEST_LENGTH: Final = 16
_NEVER: Final = datetime.min.replace(tzinfo=UTC)


class Role(StrEnum):
    # Its secret may be known to nobody.
    MADE = "made"
    # Its secret was written down; it is enabled once every process has it.
    WAITING = "waiting"
    IN_USE = "in_use"
    # Another one took its place.
    REPLACED = "replaced"


def digest_of(secret: str) -> str:
    """Return by what a secret is recognised."""
    return hashlib.sha256(secret.encode()).hexdigest()[:_DIGEST_LENGTH]


def knows_secret(endpoint: Endpoint, secrets: Iterable[str]) -> bool | None:
    """Say whether the endpoint's secret is one of these; None if that is not noted."""
    if endpoint.marks.secret is None:
        return None
    return endpoint.marks.secret in map(digest_of, secrets)


def role_of(endpoint: Endpoint) -> Role:
    try:
        return Role(endpoint.marks.role or Role.IN_USE)
    except ValueError:
        # Of another release, or another's hand.
        return Role.IN_USE


def marked(endpoint: Endpoint, role: Role, at: datetime) -> EndpointMarks:
    """Return the marks of an endpoint that plays a part from a moment on."""
    since = at.astimezone(UTC).isoformat()
    return attrs.evolve(endpoint.marks, role=role.value, since=since)


def since_of(endpoint: Endpoint) -> datetime:
    """Return since when an endpoint plays its part; long ago, if that is not noted."""
    try:
        moment = datetime.fromisoformat(endpoint.marks.since or "")
    except ValueError:
        return _NEVER
    return moment if moment.tzinfo else _NEVER


@attrs.frozen
class EndpointsHere:
    """The endpoints that send one kind of event to one address."""

    endpoints: Sequence[Endpoint]

    @classmethod
    def of(cls, every: Iterable[Endpoint], url: str, *, is_thin: bool) -> Self:
        # Stripe lists the newest first.
        found = [it for it in every if it.url == url and it.is_thin is is_thin]
        return cls(found[::-1])

    def with_role(self, role: Role) -> Sequence[Endpoint]:
        """Return those that play a part, the one that does so longest first."""
        found = [it for it in self.endpoints if role_of(it) is role]
        return sorted(found, key=since_of)
