"""How many requests are in flight at once, and which of them count.

A request whose body is still arriving costs only its connection, and anybody can send
one slowly: it does not count meanwhile, or a few slow senders would block everybody
else.
"""

import sys
from collections.abc import Callable
from contextvars import ContextVar
from enum import StrEnum
from typing import Final

import attrs

# Methods that change nothing: they count as reads.
READING: Final = frozenset({"GET", "HEAD", "OPTIONS"})


class LaneName(StrEnum):
    """The lanes of the public port."""

    WEBHOOKS = "webhooks"
    FEED = "feed"
    READS = "reads"
    CHANGES = "changes"


@attrs.frozen(kw_only=True)
class InFlightLimits:
    """How many requests a process has in flight at most: webhooks, and other callers'.

    A change waits for Stripe, for seconds if Stripe is slow; waiting costs nothing.
    """

    webhooks: int = 256
    reads: int = 128
    changes: int = 256


@attrs.define
class Lane:
    """Requests whose paths begin with `path`: at most `limit` are in flight.

    With all `methods`, if none are given. A request over the limit is refused at once,
    unread: it would wait for longer than its caller does, and delay the others.
    `on_shed` is called for each.
    """

    name: str
    path: str
    limit: int
    methods: frozenset[str] | None = None
    on_shed: Callable[[str], None] = lambda _: None
    in_flight_count: int = 0


def unlimited() -> Lane:
    return Lane("any", "", sys.maxsize)


# The lane of the request that this task answers; otherwise `ANY`.
LANE: Final = ContextVar[Lane]("LANE")
ANY: Final = unlimited()
