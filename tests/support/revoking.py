"""Processes that hear of revocations, by a clock that a test moves."""

import attrs

from contracts.examples import NOON
from payments_adapters.memory import FixedClock, MemoryTokenStore
from payments_core.ports import RevocationLog
from payments_core.revocations import LeasedRevocations
from payments_core.use_cases import AwaitRevocation, FollowRevocations


@attrs.define
class LeaseTime:
    """Seconds that pass where somebody sleeps, or a test says so."""

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
    """Return what a process knows that polls when it is asked."""
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
