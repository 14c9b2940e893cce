"""Processes that poll revocations, by a clock that a test advances."""

import attrs

from contracts.examples import NOON
from payments_adapters.memory import FixedClock, MemoryTokenStore
from payments_core.ports import RevocationLog
from payments_core.revocations import LeasedRevocations
from payments_core.use_cases import AwaitRevocation, FollowRevocations


@attrs.define
class LeaseTime:
    """Seconds that pass when a task sleeps, or a test advances them."""

    now: float = 100.0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds


def following(
    store: MemoryTokenStore,
    time: LeaseTime,
    name: str = "a-process",
    *,
    log: RevocationLog | None = None,
    known: LeasedRevocations | None = None,
) -> FollowRevocations:
    """Return the state of a process that polls on request."""
    return FollowRevocations(
        log or store,
        store,
        time,
        FixedClock(NOON),
        name,
        known=known or LeasedRevocations(),
    )


def waiting(store: RevocationLog, time: LeaseTime) -> AwaitRevocation:
    return AwaitRevocation(store, time, sleep=time.sleep)
