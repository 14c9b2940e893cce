"""How many requests are in flight at once, and which of them count.

A request that waits for the rest of its body costs nothing but its connection, and
anybody may send one slowly: it takes no place meanwhile, or a few slow senders would
keep everybody else out.
"""

import sys
from collections.abc import Callable
from contextvars import ContextVar
from enum import StrEnum
from typing import Final

import attrs

# Methods that change nothing: they take a place as reads, and are counted as such.
READING: Final = frozenset({"GET", "HEAD", "OPTIONS"})


class LaneName(StrEnum):
    """The lanes of the public port."""

    WEBHOOKS = "webhooks"
    FEED = "feed"
    READS = "reads"
    CHANGES = "changes"


@attrs.frozen(kw_only=True)
class InFlightLimits:
    """How many requests a process has in flight at most: webhooks, and callers'.

    A change waits for Stripe, for seconds if Stripe is slow, and costs nothing then.
    """

    webhooks: int = 256
    reads: int = 128
    changes: int = 256


@attrs.define
class Lane:
    """Requests whose paths begin with `path`: at most `limit` are in flight.

    Of all `methods`, if none are named. What comes besides is refused at once, before
    anything of it is looked at: it would wait for longer than its caller does, and have
    the others wait. `on_shed` hears of each.
    """

    name: str
    path: str
    limit: int
    methods: frozenset[str] | None = None
    on_shed: Callable[[str], None] = lambda _: None
    in_flight_count: int = 0


def unlimited() -> Lane:
    return Lane("any", "", sys.maxsize)


# Of the request that this task answers; of any other one `ANY`.
LANE: Final = ContextVar[Lane]("LANE")
ANY: Final = unlimited()
