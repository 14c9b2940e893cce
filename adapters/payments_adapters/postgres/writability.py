"""Whether the server behind our connections accepts writes."""

import time
from collections.abc import Callable

import attrs


@attrs.define
class Writability:
    """Whether one database accepts writes, as its connections learned last.

    A failover leaves a read-only server, and sessions to it in our pools. Any refused
    write or check sets this; a new session clears it.
    """

    _clock: Callable[[], float] = time.monotonic
    _lost_at: float | None = attrs.field(init=False, default=None)

    def lose(self) -> None:
        """Note that a write was refused, or would be."""
        if self._lost_at is None:
            self._lost_at = self._clock()

    def regain(self) -> None:
        """Note that a new session accepts writes."""
        self._lost_at = None

    @property
    def is_lost(self) -> bool:
        return self._lost_at is not None

    @property
    def lost_for_s(self) -> float:
        """Return for how many seconds no write has been possible; 0 if writes are."""
        return 0.0 if self._lost_at is None else self._clock() - self._lost_at
