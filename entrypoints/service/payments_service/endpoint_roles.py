"""The role of an endpoint, which is stored at Stripe and nowhere else.

Rule 1: an endpoint is created for one rare type, and disabled at once: a process that
        does not have its secret yet receives nothing. Only then its secret is stored.
Rule 2: while its role is `made`, the secret is possibly not stored anywhere: the
        endpoint can be deleted. With any other role the secret was stored.
Rule 3: the mark of a secret is a part of its digest: it identifies the secret, which
        cannot be computed from it.
Rule 4: an endpoint without a role was created by hand, and is in use.
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

# Appended to the public address of the service.
WEBHOOK_PATH: Final = "/payments-gateway/api/webhooks/stripe"
# The prefix of all webhook routes.
_ROUTES: Final = WEBHOOK_PATH.removesuffix("stripe")
DESCRIPTION: Final = "payments-gateway: made by `payments stripe`"
# The type that an endpoint is created for, until its secret is stored: it is very rare.
RARE_TYPES: Final = frozenset({"charge.dispute.funds_reinstated"})
_DIGEST_LENGTH: Final = 16
# Stripe's servers may not agree to the second.
_AHEAD_MAX: Final = timedelta(minutes=5)
_PORTS: Final = {"http": 80, "https": 443}
_NEVER: Final = datetime.min.replace(tzinfo=UTC)


class Role(StrEnum):
    # Its secret is possibly not stored anywhere.
    MADE = "made"
    # Its secret was stored; it is enabled once every process has it.
    WAITING = "waiting"
    IN_USE = "in_use"
    # It was replaced.
    REPLACED = "replaced"


def is_ours(endpoint: Endpoint) -> bool:
    """Return whether an endpoint sends to a service like this one."""
    return endpoint.marks.role is not None or _ROUTES in shown_url(endpoint.url)


def shown_url(url: str) -> str:
    """Return an address without secrets, and safe for a terminal."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "an address that cannot be read"
    host = parts.netloc.rpartition("@")[2]
    shown = urlunsplit((parts.scheme, host, parts.path, "", ""))
    return "".join(it if it.isprintable() else "?" for it in shown)


def address_of(url: str) -> str:
    """Return a form that is equal for two spellings of one address."""
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
    """Return a command of `payments stripe` for the endpoint at an address.

    It can be pasted; parts of the address that may be secret are left out.
    """
    base = shown_url(url).partition(_ROUTES)[0]
    kind = ("--thin",) if is_thin else ()
    line = ("payments", "stripe", name, "--url", base, *kind, *words)
    return f"`{shlex.join(line)}`"


def digest_of(secret: str) -> str:
    """Return the mark of a secret."""
    return hashlib.sha256(secret.encode()).hexdigest()[:_DIGEST_LENGTH]


def knows_secret(endpoint: Endpoint, secrets: Iterable[str]) -> bool | None:
    """Return whether the endpoint's secret is one of these; None if it has no mark."""
    if endpoint.marks.secret is None:
        return None
    return endpoint.marks.secret in map(digest_of, secrets)


def role_of(endpoint: Endpoint) -> Role:
    try:
        return Role(endpoint.marks.role or Role.IN_USE)
    except ValueError:
        # Written by another release, or by hand.
        return Role.IN_USE


def marked(endpoint: Endpoint, role: Role, at: datetime) -> EndpointMarks:
    """Return the marks of an endpoint that has a role from a time on."""
    since = at.astimezone(UTC).isoformat()
    return attrs.evolve(endpoint.marks, role=role.value, since=since)


def since_of(endpoint: Endpoint, now: datetime) -> datetime:
    """Return since when an endpoint has its role, by Stripe's time `now`.

    Long ago, if it has no mark; a time in the future was not written by us.
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

    # Oldest first.
    endpoints: Sequence[Endpoint]
    at: datetime

    @classmethod
    def of(
        cls, every: Iterable[Endpoint], url: str, at: datetime, *, is_thin: bool
    ) -> Self:
        """Return the endpoints at an address, by Stripe's time `at`."""
        address = address_of(url)
        found = [
            it
            for it in every
            if address_of(it.url) == address and it.is_thin is is_thin
        ]
        # Stripe lists the newest first.
        return cls(found[::-1], at)

    def with_role(self, role: Role) -> Sequence[Endpoint]:
        """Return the endpoints with a role, the longest in it first."""
        found = [it for it in self.endpoints if role_of(it) is role]
        return sorted(found, key=lambda it: since_of(it, self.at))
