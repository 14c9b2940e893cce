"""What limits refused, and declines of cards: counted and logged.

Rule 1: each refusal is counted by its limit, of which there are few. Declines are
        counted in the process in which their operation ended.
Rule 2: one warning a minute for each limit, the first at once, with the number of
        refusals it stands for. A refused caller may retry as often as they like.
"""

from collections import Counter
from collections.abc import Iterable
from enum import StrEnum
from typing import Final

import attrs

from payments_core.identity import UserId
from payments_core.intent import Intent
from payments_service.lanes import LaneName
from payments_service.rare_warnings import RareWarnings
from payments_service.rate_limits import RequestKind

DECLINES: Final = "declines"


def _zeros(names: Iterable[StrEnum]) -> Counter[str]:
    # An alert on growth misses the first value of a new series.
    return Counter({it.value: 0 for it in names})


@attrs.define
class LimitReports:
    """Counts and warnings of one process."""

    _warnings: RareWarnings = attrs.field(factory=RareWarnings)
    limited: Counter[str] = attrs.field(init=False, factory=lambda: _zeros(RequestKind))
    shed: Counter[str] = attrs.field(init=False, factory=lambda: _zeros(LaneName))
    declined_count: int = attrs.field(init=False, default=0)
    declines_refused_count: int = attrs.field(init=False, default=0)

    def limit(self, kind: RequestKind) -> None:
        """Count a refusal: a caller had too many requests of a kind."""
        self.limited[kind.value] += 1
        self._warnings.warn("requests limited", kind.value, limit=kind.value)

    def shed_one(self, lane: str) -> None:
        """Count a request refused because too many were in flight."""
        self.shed[lane] += 1
        self._warnings.warn("requests shed", lane, limit=lane)

    def decline(self, _: Intent) -> None:
        """Count an operation during which the bank declined."""
        self.declined_count += 1

    def refuse_declined(self, user_id: UserId) -> None:
        """Count a refusal: a user had too many declines."""
        self.declines_refused_count += 1
        self._warnings.warn(
            "operations refused after declines",
            DECLINES,
            limit=DECLINES,
            user_id=user_id,
        )
