"""Plain counts of one process, which `metrics` shows.

A process has one thread: adding to a number needs no lock. The hot path adds to a tally
directly, without a call.
"""

import asyncio
from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

import attrs

from payments_core.errors import PaymentsError

# Seconds: from an answer out of memory to the timeout of callers.
DURATIONS_S: Final = (
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1,
    2.5,
    10,
)

OK: Final = "ok"
CANCELLED: Final = "cancelled"
BUG: Final = "bug"

UNMATCHED: Final = "unmatched"
SHED: Final = "shed"
NO_STATUS: Final = 0
# RFC 9110, and PATCH: a request may have any other method.
METHODS: Final = frozenset(
    {"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"}
)
OTHER: Final = "other"


def outcome_of(error: BaseException | None) -> str:
    """Return the outcome of a call: one of few words, with nothing of the input."""
    match error:
        case None:
            return OK
        case PaymentsError():
            return error.code
        case asyncio.CancelledError() | GeneratorExit():
            return CANCELLED
        case _:
            return BUG


@attrs.define(eq=False)
class Tally:
    """How many values were at most each bound, and above the one below it.

    The last of `counts` is for values above all bounds; `total` is the sum.
    """

    bounds: Sequence[float] = DURATIONS_S
    counts: list[int] = attrs.field(init=False)
    total: float = attrs.field(init=False, default=0.0)

    @counts.default
    def _none_yet(self) -> list[int]:
        return [0] * (len(self.bounds) + 1)

    def add(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    @property
    def count(self) -> int:
        return sum(self.counts)

    @property
    def buckets(self) -> list[tuple[str, float]]:
        """Return how many values were at most each bound, and all."""
        shown, so_far = list[tuple[str, float]](), 0
        names = [*(str(float(bound)) for bound in self.bounds), "+Inf"]
        for name, count in zip(names, self.counts, strict=True):
            so_far += count
            shown.append((name, so_far))
        return shown


# The keys: method, template and status.
AnswerKey = tuple[str, str, int]


@attrs.define(eq=False)
class RequestTallies:
    """Requests by method, route and status, with how long they took.

    The sender of a request chooses none of the keys: a route is one of our templates,
    and an unusual method is `other`.
    """

    answers: dict[AnswerKey, Tally] = attrs.field(init=False, factory=dict)
    in_flight_count: int = attrs.field(init=False, default=0)

    def of(self, method: str, route: str, status: int) -> Tally:
        """Return the tally for such answers."""
        key = method if method in METHODS else OTHER, route, status
        return self.answers.setdefault(key, Tally())

    @property
    def durations(self) -> Mapping[tuple[str, str], Tally]:
        """Return how long requests took, whatever their status."""
        joined = dict[tuple[str, str], Tally]()
        for (method, route, _), tally in self.answers.items():
            whole = joined.setdefault((method, route), Tally())
            whole.total += tally.total
            for number, count in enumerate(tally.counts):
                whole.counts[number] += count
        return joined


@attrs.define(eq=False)
class CallTally:
    """Calls of one name, by outcome, and how long they took in seconds."""

    durations: Tally = attrs.field(init=False, factory=Tally)
    outcomes: Counter[str] = attrs.field(init=False)

    @outcomes.default
    def _none_failed_yet(self) -> Counter[str]:
        # An alert on growth misses the first value of a new series.
        return Counter({OK: 0})


@attrs.define(eq=False)
class CallTallies:
    """Calls by their names, of which there are few: they are names in our code."""

    calls: dict[str, CallTally] = attrs.field(init=False, factory=dict)

    def of(self, name: str) -> CallTally:
        return self.calls.setdefault(name, CallTally())

    def add(
        self, name: str, error: BaseException | None, seconds: float | None
    ) -> None:
        """Count a call; without seconds it was not made, and took no time."""
        tally = self.of(name)
        tally.outcomes[outcome_of(error)] += 1
        if seconds is not None:
            tally.durations.add(seconds)
