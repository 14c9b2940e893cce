"""What limits refused, and declines of cards: counted, and told in the log.

Rule 1: each refusal is counted by its limit, of which there are few. Declines are
        counted where their operation ended: in this process.
Rule 2: of each limit one warning a minute, the first at once, with how many it stands
        for. Who is refused may come as often as they like.
"""

import time
from collections import Counter
from collections.abc import Callable
from typing import Final

import attrs
import structlog

from payments_core.identity import UserId
from payments_core.intent import Intent
from payments_service.rate_limits import RequestKind

WARN_EVERY_S: Final = 60.0
DECLINES: Final = "declines"


def _zeros() -> Counter[str]:
    # An alert on growth misses the first of a series that was not there.
    return Counter({kind.value: 0 for kind in RequestKind})


@attrs.define
class LimitReports:
    """Counts and warnings of one process."""

    _monotonic: Callable[[], float] = time.monotonic
    limited: Counter[str] = attrs.field(init=False, factory=_zeros)
    shed: Counter[str] = attrs.field(init=False, factory=Counter)
    declined_count: int = attrs.field(init=False, default=0)
    declines_refused_count: int = attrs.field(init=False, default=0)
    _warned_at: dict[str, float] = attrs.field(init=False, factory=dict)
    _untold: Counter[str] = attrs.field(init=False, factory=Counter)

    def limit(self, kind: RequestKind) -> None:
        """Hear that a caller had too many requests of a kind."""
        self.limited[kind.value] += 1
        self._warn("requests limited", kind.value)

    def shed_one(self, lane: str) -> None:
        """Hear that a request was refused because too many were in flight."""
        self.shed[lane] += 1
        self._warn("requests shed", lane)

    def decline(self, _: Intent) -> None:
        """Hear that the bank said no during an operation that ended."""
        self.declined_count += 1

    def refuse_declined(self, user_id: UserId) -> None:
        """Hear that a user's cards were declined too often for one more operation."""
        self.declines_refused_count += 1
        self._warn("operations refused after declines", DECLINES, user_id=user_id)

    def _warn(self, what: str, limit: str, **more: str) -> None:
        series, now = f"{what}: {limit}", self._monotonic()
        self._untold[series] += 1
        if now - self._warned_at.get(series, -WARN_EVERY_S) < WARN_EVERY_S:
            return
        self._warned_at[series] = now
        structlog.get_logger().warning(
            what, limit=limit, count=self._untold.pop(series), **more
        )
