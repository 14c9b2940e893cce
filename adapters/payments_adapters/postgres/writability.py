"""Whether the server behind our connections takes writes."""

import time
from collections.abc import Callable

import attrs


@attrs.define
class Writability:
    """What connections to one database learned last: it takes writes, or only reads.

    A failover leaves a server that only reads, and sessions of it in our pools. It is
    said by whatever is asked or refused there, and taken back by a new session.
    """

    _clock: Callable[[], float] = time.monotonic
    _lost_at: float | None = attrs.field(init=False, default=None)

    def lose(self) -> None:
        """Note that a write was refused, or would be."""
        if self._lost_at is None:
            self._lost_at = self._clock()

    def regain(self) -> None:
        """Note that a new session takes writes."""
        self._lost_at = None

    @property
    def is_lost(self) -> bool:
        return self._lost_at is not None

    @property
    def lost_for_s(self) -> float:
        """Return for how many seconds no write was possible; 0 if one is."""
        return 0.0 if self._lost_at is None else self._clock() - self._lost_at
