"""Warnings that others can cause as often as they like: limited, to keep the log small.

Rule: one a minute for each, the first at once, with the number that it stands for.
"""

import time
from collections import Counter
from collections.abc import Callable
from typing import Final

import attrs
import structlog

WARN_EVERY_S: Final = 60.0


@attrs.define
class RareWarnings:
    """Warnings of one process; their subjects are a few constants."""

    _monotonic: Callable[[], float] = time.monotonic
    _warned_at: dict[tuple[str, str], float] = attrs.field(init=False, factory=dict)
    _untold: Counter[tuple[str, str]] = attrs.field(init=False, factory=Counter)

    def warn(self, what: str, about: str, **told: str) -> None:
        """Log a warning with `told`, unless it was logged less than a minute ago."""
        series, now = (what, about), self._monotonic()
        self._untold[series] += 1
        if now - self._warned_at.get(series, -WARN_EVERY_S) < WARN_EVERY_S:
            return
        self._warned_at[series] = now
        structlog.get_logger().warning(what, count=self._untold.pop(series), **told)
