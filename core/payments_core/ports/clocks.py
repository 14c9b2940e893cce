"""Time, and new ids: the core makes neither."""

from datetime import datetime
from typing import Protocol


class Clock(Protocol):
    """The time by which is decided and recorded: entitlement, periods, ages, retention.

    Beside a sandbox it is the sandbox's, else the real one.
    """

    def __call__(self) -> datetime:
        """Return the present moment, in UTC."""


class SystemClock(Protocol):
    """The real time: signatures, tokens, leases and due times, back-off, limits."""

    def __call__(self) -> datetime:
        """Return the present moment, in UTC."""


class NewId(Protocol):
    def __call__(self) -> str:
        """Return a new id: a UUID, as text."""


class LeaseClock(Protocol):
    """Seconds of a clock that never goes back, and that counts the time asleep."""

    def __call__(self) -> float:
        """Return the seconds since some moment."""
