"""A clock that stands still until it is advanced."""

from datetime import datetime, timedelta

import attrs


def _utc(_: object, __: object, value: datetime) -> None:
    if value.utcoffset() != timedelta(0):
        raise ValueError("a clock shows UTC")


@attrs.define
class FixedClock:
    """Shows `now`; set it, or advance it.

    Raises:
        ValueError: the time is naive, or not in UTC.
    """

    now: datetime = attrs.field(validator=_utc)

    def __call__(self) -> datetime:
        return self.now

    def advance(self, by: timedelta) -> None:
        self.now += by
