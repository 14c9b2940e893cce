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
import shlex
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final, Self
from urllib.parse import urlsplit, urlunsplit

import attrs

from payments_adapters.stripe.endpoint import Endpoint, EndpointMarks

# Below the address at which the service is reached from outside.
WEBHOOK_PATH: Final = "/payments-gateway/api/webhooks/stripe"
# All routes of webhooks begin so.
_ROUTES: Final = WEBHOOK_PATH.removesuffix("stripe")
DESCRIPTION: Final = "payments-gateway: made by `payments stripe`"
# What an endpoint is made for, until its secret is written down: it is very rare.
RARE_TYPES: Final = frozenset({"charge.dispute.funds_reinstated"})
_DIGEST_LENGTH: Final = 16
# Servers of Stripe's need not agree to the second.
_AHEAD_MAX: Final = timedelta(minutes=5)
_PORTS: Final = {"http": 80, "https": 443}
_NEVER: Final = datetime.min.replace(tzinfo=UTC)


class Role(StrEnum):
    # Its secret may be known to nobody.
    MADE = "made"
    # Its secret was written down; it is enabled once every process has it.
    WAITING = "waiting"
    IN_USE = "in_use"
    # Another one took its place.
    REPLACED = "replaced"


def is_ours(endpoint: Endpoint) -> bool:
    """Say whether an endpoint sends to a service like this one."""
    return endpoint.marks.role is not None or _ROUTES in shown_url(endpoint.url)


def shown_url(url: str) -> str:
    """Return an address without what may be secret in it, or harm a terminal."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "an address that cannot be read"
    host = parts.netloc.rpartition("@")[2]
    shown = urlunsplit((parts.scheme, host, parts.path, "", ""))
    return "".join(it if it.isprintable() else "?" for it in shown)


def address_of(url: str) -> str:
    """Return by what two spellings of one address are the same."""
    try:
        parts = urlsplit(url)
        is_usual = parts.port == _PORTS.get(parts.scheme)
    except ValueError:
        return url
    user, at, host = parts.netloc.rpartition("@")
    host = host.lower()
    if is_usual:
        host = host.removesuffix(f":{parts.port}")
    return urlunsplit(parts._replace(netloc=user + at + host.removesuffix(":")))


def stripe_command(url: str, name: str, *words: str, is_thin: bool = False) -> str:
    """Return a command of `payments stripe` for the endpoint of an address.

    It can be pasted; what may be secret in the address is left out.
    """
    base = shown_url(url).partition(_ROUTES)[0]
    kind = ("--thin",) if is_thin else ()
    line = ("payments", "stripe", name, "--url", base, *kind, *words)
    return f"`{shlex.join(line)}`"


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


def since_of(endpoint: Endpoint, now: datetime) -> datetime:
    """Return since when an endpoint plays its part, by Stripe's time `now`.

    Long ago, if that is not noted; what is to come was noted by nobody of ours.
    """
    try:
        moment = datetime.fromisoformat(endpoint.marks.since or "")
    except ValueError:
        return _NEVER
    is_moment = moment.tzinfo is not None and moment <= now + _AHEAD_MAX
    return moment if is_moment else _NEVER


@attrs.frozen
class EndpointsHere:
    """The endpoints that send one kind of event to one address."""

    # The one that was made first is the first one.
    endpoints: Sequence[Endpoint]
    at: datetime

    @classmethod
    def of(
        cls, every: Iterable[Endpoint], url: str, at: datetime, *, is_thin: bool
    ) -> Self:
        """Return those of an address, by Stripe's time `at`."""
        address = address_of(url)
        found = [
            it
            for it in every
            if address_of(it.url) == address and it.is_thin is is_thin
        ]
        # Stripe lists the newest first.
        return cls(found[::-1], at)

    def with_role(self, role: Role) -> Sequence[Endpoint]:
        """Return those that play a part, the one that does so longest first."""
        found = [it for it in self.endpoints if role_of(it) is role]
        return sorted(found, key=lambda it: since_of(it, self.at))
