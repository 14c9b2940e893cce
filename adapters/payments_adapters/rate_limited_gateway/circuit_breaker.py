"""Whether calls are made: not while the gateway does not answer or refuses our key."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

import attrs

from payments_adapters.rate_limited_gateway.key_watch import KeyWatch
from payments_core.errors import (
    GatewayMisconfigured,
    GatewayNotAttempted,
    GatewayOutcomeUnknown,
    Rejected,
)
from payments_core.ports import SystemClock

UNKNOWN_OUTCOMES_MAX: Final = 5
PAUSE: Final = timedelta(seconds=10)


class BreakerState(StrEnum):
    CLOSED = "closed"
    OPEN = "open"
    # One trial call is allowed.
    HALF_OPEN = "half_open"


@attrs.define
class CircuitBreaker:
    """Opens when a gateway has not answered several times in a row.

    It opens at once when the gateway refuses our key, which `key` watches.
    """

    _clock: SystemClock
    key: KeyWatch = attrs.field()
    unknown_in_a_row: int = attrs.field(init=False, default=0)
    unknown_total: int = attrs.field(init=False, default=0)
    opened: int = attrs.field(init=False, default=0)
    _open_until: datetime | None = attrs.field(init=False, default=None)
    _probing: bool = attrs.field(init=False, default=False)
    _refuses_key: bool = attrs.field(init=False, default=False)

    @key.default
    def _own_watch(self) -> KeyWatch:
        return KeyWatch(self._clock)

    @property
    def state(self) -> BreakerState:
        if self._open_until is None:
            return BreakerState.CLOSED
        if self._clock() < self._open_until:
            return BreakerState.OPEN
        return BreakerState.HALF_OPEN

    def check(self) -> None:
        """Return if a call may be made.

        Raises:
            GatewayMisconfigured: the gateway refused our key recently.
            GatewayNotAttempted: the circuit is open.
        """
        state = self.state
        if state is BreakerState.OPEN or (
            state is BreakerState.HALF_OPEN and self._probing
        ):
            if self._refuses_key:
                raise GatewayMisconfigured
            raise GatewayNotAttempted("it has not answered recently")

    @asynccontextmanager
    async def call(self, endpoint: str) -> AsyncIterator[None]:
        """Allow a call to an endpoint, and record its result.

        Raises:
            GatewayNotAttempted: the circuit is open.
        """
        self.check()
        probe = self.state is BreakerState.HALF_OPEN
        self._probing = self._probing or probe
        try:
            yield
            self._answered()
            self.key.took(endpoint)
        except GatewayOutcomeUnknown:
            self._outcome_unknown(probe=probe)
            raise
        except GatewayMisconfigured as error:
            self._answered()
            self.key.refuses(endpoint, error)
            if not error.permission:
                # Each call would be refused: an occasional trial call shows whether
                # it still is.
                self._refuses_key = True
                self._open_until = self._clock() + PAUSE
            raise
        except Rejected:
            # A definite refusal: the gateway answers.
            self._answered()
            self.key.took(endpoint)
            raise
        except GatewayNotAttempted:
            # Rate-limited, which says nothing about the key.
            self._answered()
            raise
        finally:
            # A caller that is cancelled before the answer says nothing about the
            # gateway.
            if probe:
                self._probing = False

    def _outcome_unknown(self, *, probe: bool) -> None:
        self.unknown_in_a_row += 1
        self.unknown_total += 1
        if probe or self.unknown_in_a_row >= UNKNOWN_OUTCOMES_MAX:
            self._open_until = self._clock() + PAUSE
            self._refuses_key = False
            self.opened += 1

    def _answered(self) -> None:
        self.unknown_in_a_row, self._open_until = 0, None
        self._refuses_key = False
