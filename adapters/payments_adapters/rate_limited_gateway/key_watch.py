"""Whether the gateway accepts our key: until it refuses, and again once it accepts.

Rule 1: a refused key is refused for everything, a missing permission for one endpoint.
Rule 2: it is reported at once, and again every minute while it lasts.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

import attrs

from payments_core.errors import GatewayMisconfigured
from payments_core.ports import SystemClock

TOLD_EVERY: Final = timedelta(minutes=1)
KEY: Final = "key"


def _ignore(_: str, __: str) -> None:
    """Do nothing: no listener was given."""


@attrs.define
class KeyWatch:
    """`on_refused` is called with what is refused (`KEY`, or an endpoint) and why."""

    _clock: SystemClock
    on_refused: Callable[[str, str], None] = _ignore
    refused_total: int = attrs.field(init=False, default=0)
    _refused: dict[str, str] = attrs.field(init=False, factory=dict)
    _told_at: dict[str, datetime] = attrs.field(init=False, factory=dict)

    @property
    def refused(self) -> frozenset[str]:
        """Return what is refused at present."""
        return frozenset(self._refused)

    @property
    def trouble(self) -> str | None:
        """Return what is refused, in a few words; None if nothing is."""
        if not self._refused:
            return None
        what = next(iter(self._refused))
        return self._refused[what] + ("" if what == KEY else f" ({what})")

    def took(self, endpoint: str) -> None:
        """Note that the gateway answered a call to an endpoint."""
        if self._refused:
            self._forget(KEY)
            # The time of the report is kept: a key that may read and not write is
            # accepted and refused in turn.
            self._refused.pop(endpoint, None)

    def _forget(self, what: str) -> None:
        self._refused.pop(what, None)
        self._told_at.pop(what, None)

    def refuses(self, endpoint: str, error: GatewayMisconfigured) -> None:
        """Note that the gateway refused the key."""
        self.refused_total += 1
        what = endpoint if error.permission else KEY
        if error.permission:
            self._forget(KEY)
        self._refused[what] = f"Stripe: {error.reason}"
        now = self._clock()
        told_at = self._told_at.get(what)
        if told_at is None or now - told_at >= TOLD_EVERY:
            self._told_at[what] = now
            self.on_refused(what, error.reason)
