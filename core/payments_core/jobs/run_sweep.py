"""Compare page after page, at the pace that the gateway and the database allow.

Rule 1: a call that was not made, or not answered, is retried (`Patience`). If it is
        given up the sweep ends; an object that is not answered for is reported, and the
        rest is compared.
Rule 2: what differs is compared again after `SETTLE_S`: the event of a recent change
        may be on its way.
Rule 3: a bug affects its own object only: it is reported, with its trace once to
        `RecordFacts.on_bug`, and the rest is compared.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Final, TypeVar

import attrs

from payments_core.errors import (
    GatewayOutcomeUnknown,
    PaymentsError,
)
from payments_core.identity import UserId
from payments_core.jobs.drift_cause import SETTLES_WITHIN
from payments_core.jobs.reconcile import Finding, Reconcile
from payments_core.sweep import Suspect, SweepPlace, SweepRange
from payments_core.use_cases.patience import OnWait, Patience, Sleep, untold

# Older objects change only by refunds and disputes, which have lists of their own.
COMPARED_FOR: Final = timedelta(days=40)
# An event is usually delivered within this time.
SETTLE_S: Final = 10.0

_T = TypeVar("_T")


def _drop(_: Finding) -> None:
    """Ignore it: no listener was given."""


def _unheard(_: int, __: float) -> None:
    """Ignore it: no listener was given."""


async def _go_on() -> None:
    """Continue: no listener was given."""


@attrs.frozen(kw_only=True)
class SweepStep:
    """The result of one page; `place` is where the next begins, None at the end."""

    place: SweepPlace | None
    objects: int
    suspects: int
    findings: Sequence[Finding]


@attrs.frozen
class RunSweep:
    reconcile: Reconcile
    sleep: Sleep = asyncio.sleep
    # What differs is compared again after this time.
    settle_s: float = SETTLE_S
    on_wait: OnWait = untold
    # Called for each finding, as it is made.
    on_finding: Callable[[Finding], None] = _drop
    # Called with how many things differ, and the seconds until they are compared again.
    on_settle: Callable[[int, float], None] = _unheard

    def range_now(self, since: datetime | None = None) -> SweepRange:
        """Return the range of a sweep that begins now."""
        now = self.reconcile.record.clock()
        return SweepRange(since=since or now - COMPARED_FOR, until=now - SETTLES_WITHIN)

    async def __call__(
        self,
        range_: SweepRange,
        place: SweepPlace,
        *,
        repairs: bool,
        before_each: Callable[[], Awaitable[None]] = _go_on,
    ) -> AsyncIterator[SweepStep]:
        """Take steps from a place to the end, as long as the caller iterates.

        `before_each` is awaited before each thing is compared.

        Raises:
            AccountBusy, GatewayUnavailable: it failed several times in a row.
            StoreUnavailable: the database does not answer.
        """
        left: SweepPlace | None = place
        while left is not None:
            read = await self._patiently(partial(self.reconcile.read, left, range_))
            left = read.place
            yield SweepStep(
                place=left,
                objects=read.objects,
                suspects=len(read.suspects),
                findings=await self._compared(read.suspects, repairs, before_each),
            )

    async def user(self, user_id: UserId, *, repairs: bool) -> Sequence[Finding]:
        """Compare all of one user.

        Raises:
            AccountNotFound: there is no such user.
            AccountBusy, GatewayUnavailable: it failed several times in a row.
            StoreUnavailable: the database does not answer.
        """
        of_user = partial(self.reconcile.suspects_of, user_id)
        return await self._compared(await self._patiently(of_user), repairs, _go_on)

    async def _compared(
        self,
        suspects: Sequence[Suspect],
        repairs: bool,  # noqa: FBT001  # named by the callers
        before_each: Callable[[], Awaitable[None]],
    ) -> Sequence[Finding]:
        differing, told = list[Suspect](), set[str]()
        for suspect in suspects:
            await before_each()
            if await self._one(suspect, told, repairs=False):
                differing.append(suspect)
        if differing:
            self.on_settle(len(differing), self.settle_s)
            await self.sleep(self.settle_s)
        findings = list[Finding]()
        for suspect in differing:
            await before_each()
            for finding in await self._one(suspect, told, repairs=repairs):
                self.on_finding(finding)
                findings.append(finding)
        return findings

    async def _one(
        self, suspect: Suspect, told: set[str], *, repairs: bool
    ) -> Sequence[Finding]:
        """Compare a thing; `told` are the things whose bug was reported."""
        compare = partial(self.reconcile.compare, suspect, repairs=repairs)
        try:
            return await self._patiently(compare)
        except GatewayOutcomeUnknown as error:
            return [await self.reconcile.unreadable(suspect, str(error))]
        except PaymentsError:
            raise
        except Exception as error:  # noqa: BLE001  # one thing's bug is not the others'
            if suspect.subject not in told:
                told.add(suspect.subject)
                self.reconcile.record.on_bug(suspect.subject, error)
            return [self.reconcile.failed(suspect, error)]

    async def _patiently(self, action: Callable[[], Awaitable[_T]]) -> _T:
        return await Patience(self.sleep, self.on_wait)(action)
