"""Time and new ids: the core creates neither."""

from datetime import datetime
from typing import Protocol


class Clock(Protocol):
    """The time for decisions and records: entitlement, periods, ages, retention.

    With a sandbox it is the sandbox's time, otherwise the real time.
    """

    def __call__(self) -> datetime:
        """Return the current time, in UTC."""


class SystemClock(Protocol):
    """The real time: signatures, tokens, leases and due times, back-off, limits."""

    def __call__(self) -> datetime:
        """Return the current time, in UTC."""


class NewId(Protocol):
    def __call__(self) -> str:
        """Return a new id: a UUID, as text."""


class LeaseClock(Protocol):
    """A monotonic clock, in seconds, that also counts the time of a suspension."""

    def __call__(self) -> float:
        """Return the seconds since an arbitrary start."""
