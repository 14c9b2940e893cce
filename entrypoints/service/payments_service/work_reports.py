"""The outcomes of jobs and intents that this process claimed: counted.

Rule: failures and reschedules are logged by `RunWork` itself: it does not raise them.
"""

from collections.abc import Awaitable, Callable
from time import perf_counter

import attrs

from payments_core.changes import Claimed
from payments_core.intent import Intent, IntentKind
from payments_core.job import Job
from payments_core.job_key import JobKind
from payments_service.tallies import CallTallies


def _zeros() -> CallTallies:
    # An alert on growth misses the first value of a new series.
    tallies = CallTallies()
    for kind in (
        *(f"job {it}" for it in JobKind),
        *(f"intent {it}" for it in IntentKind),
    ):
        tallies.of(kind)
    return tallies


@attrs.define(eq=False)
class WorkReports:
    """Counts and times of one process, by the kind of work, as traces name it."""

    calls: CallTallies = attrs.field(init=False, factory=_zeros)

    async def run(
        self, work: Callable[[Claimed], Awaitable[Exception | None]], claimed: Claimed
    ) -> None:
        """Run a piece of work, and count its outcome; its errors are raised."""
        began = perf_counter()
        error: BaseException | None = None
        try:
            error = await work(claimed)
        except BaseException as raised:
            error = raised
            raise
        finally:
            self.calls.add(_kind_of(claimed.work), error, perf_counter() - began)


def _kind_of(work: Job | Intent) -> str:
    if isinstance(work, Intent):
        return f"intent {work.kind}"
    return f"job {work.key.kind}"
