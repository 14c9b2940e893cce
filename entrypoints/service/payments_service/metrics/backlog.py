"""What waits in the database, and for how long: read at the time of the scrape.

Rule 1: a value that cannot be read is NaN: an alert on it must say what it does then.
        If the database does not answer, a scrape takes no longer than `READ_WITHIN_S`,
        and everything else is shown, also if it refuses: a bug is logged.
Rule 2: counts stop at `COUNTED_MAX`. An age is 0 while nothing waits.
"""

import asyncio
import math
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Iterator,
    Mapping,
    Sequence,
)
from datetime import datetime
from typing import Final

import attrs
import structlog
from prometheus_client.core import Metric
from typing_extensions import override

from payments_core.backlog import OPEN_INTENT_STATES, Backlog
from payments_core.errors import Unavailable
from payments_core.events import OPEN_STATES
from payments_core.jobs.purge import PURGE
from payments_core.jobs.sweep_nightly import SWEEP
from payments_core.ports import (
    BacklogReader,
    Checkpoints,
    Clock,
    EventLog,
    JobDirectory,
    SystemClock,
)
from payments_core.use_cases.back_fill_events import EVENT_BACK_FILL
from payments_service.metrics import families

# More makes no difference.
COUNTED_MAX: Final = 10_000
# A scrape has ten seconds by default.
READ_WITHIN_S: Final = 5.0

_LAG: Final = "payments_event_back_fill_lag_seconds"
_LOOPS: Final[Mapping[str, tuple[str, str]]] = {
    _LAG: (
        EVENT_BACK_FILL,
        "Age of the time up to which all listed events were read.",
    ),
    "payments_sweep_age_seconds": (
        SWEEP,
        "Age of the time up to which a sweep has compared everything.",
    ),
    "payments_purge_age_seconds": (
        PURGE,
        "How long ago a purge last deleted everything past its retention.",
    ),
}
_ENDPOINT: Final = "endpoint"
_STATE: Final = "state"


@attrs.frozen
class BacklogReaders:
    """Where a worker reads what waits; `endpoints` are the delivery endpoints."""

    jobs: JobDirectory
    events: EventLog
    checkpoints: Checkpoints
    backlog: BacklogReader
    clock: Clock
    system_clock: SystemClock
    endpoints: Sequence[str] = ()
    # How many calls to Stripe are left, by endpoint.
    calls_left: Callable[[], Awaitable[Mapping[str, float]]] | None = None


_Values = Mapping[str, float]


@attrs.frozen
class _Read:
    """The values that one measurement read; unread ones are NaN."""

    failing: float = math.nan
    open: _Values = attrs.field(factory=dict)
    ages: _Values = attrs.field(factory=dict)
    backlog: Backlog | None = None
    calls_left: _Values = attrs.field(factory=dict)


@attrs.define(eq=False)
class BacklogMetrics(families.Measured):
    """The backlog as last measured; before that, every value is NaN.

    Concurrent scrapes share one measurement: it takes one connection, and none of them
    is shown half of it.
    """

    _readers: BacklogReaders
    _within_s: float = READ_WITHIN_S
    _read: _Read = attrs.field(init=False, factory=_Read)
    _look: "asyncio.Task[None] | None" = attrs.field(init=False, default=None)

    @override
    async def measure(self) -> None:
        """Read all values, as far as the database answers."""
        if self._look is None or self._look.done():
            self._look = asyncio.create_task(self._measure())
        # A cancelled scrape does not cancel it for the others.
        await asyncio.wait([self._look])

    async def _measure(self) -> None:
        read = _Read()
        try:
            async with asyncio.timeout(self._within_s):
                async for it in self._reads():
                    read = it
        except (Unavailable, TimeoutError):
            # The remaining reads would time out as well.
            pass
        except Exception as error:  # noqa: BLE001  # the rest is shown
            structlog.get_logger().error("backlog cannot be read", exc_info=error)
        self._read = read

    async def _reads(self) -> AsyncIterator[_Read]:
        """Yield the values read so far, after each read."""
        it, now = self._readers, self._readers.system_clock()
        yield (read := _Read(failing=await it.jobs.count_failing(limit=COUNTED_MAX)))
        counts = {
            state.value: await it.events.count(state, limit=COUNTED_MAX)
            for state in OPEN_STATES
        }
        yield (read := attrs.evolve(read, open=counts))
        ages = {
            family: await self._age_of(loop) for family, (loop, _) in _LOOPS.items()
        }
        yield (read := attrs.evolve(read, ages=ages))
        backlog = await it.backlog.read(
            due_by=now, endpoints=it.endpoints, limit=COUNTED_MAX
        )
        yield (read := attrs.evolve(read, backlog=backlog))
        if it.calls_left is not None:
            yield attrs.evolve(read, calls_left=await it.calls_left())

    async def _age_of(self, loop: str) -> float:
        kept = await self._readers.checkpoints.find(loop)
        if kept is None or kept.reached_at is None:
            # It has never completed.
            return math.nan
        return (self._readers.clock() - kept.reached_at).total_seconds()

    @override
    def collect(self) -> Iterator[Metric]:
        yield families.gauge(
            "payments_jobs_failing",
            "Jobs that used up their quick attempts: they are tried once a day.",
            self._read.failing,
        )
        yield families.gauges(
            "payments_events_open",
            "Events that were kept and not applied; closed by hand, one is open no "
            "longer.",
            _STATE,
            {it.value: self._read.open.get(it.value, math.nan) for it in OPEN_STATES},
        )
        for family, (_, text) in _LOOPS.items():
            yield families.gauge(family, text, self._read.ages.get(family, math.nan))
        yield from self._waiting()
        yield from self._intents()
        yield from self._told()
        yield families.gauges(
            "payments_gateway_budget",
            "Calls to Stripe that all processes together may make now.",
            _ENDPOINT,
            self._read.calls_left,
        )

    def _waiting(self) -> Iterator[Metric]:
        it, clocks = self._read.backlog, self._readers
        due = it.due_jobs if it else None
        yield families.gauge(
            "payments_events_oldest_pending_age_seconds",
            "How long ago the oldest pending event was received.",
            _age(it.pending_since, clocks.clock()) if it else math.nan,
        )
        yield families.gauge(
            "payments_jobs_due",
            "Jobs that are due and not leased.",
            due.count if due else math.nan,
        )
        yield families.gauge(
            "payments_jobs_oldest_due_age_seconds",
            "For how long the oldest due job has been due.",
            _age(due.since, clocks.system_clock()) if due else math.nan,
        )
        yield families.gauge(
            "payments_unlinked_payments",
            "Payments without a user, except those that a person unlinked.",
            it.unlinked_payments if it else math.nan,
        )

    def _intents(self) -> Iterator[Metric]:
        now = self._readers.clock()
        found = self._read.backlog.intents if self._read.backlog else {}
        counts, ages = dict[str, float](), dict[str, float]()
        for state in OPEN_INTENT_STATES:
            waiting = found.get(state)
            counts[state.value] = waiting.count if waiting else math.nan
            ages[state.value] = _age(waiting.since, now) if waiting else math.nan
        yield families.gauges(
            "payments_intents", "Operations that are not finished.", _STATE, counts
        )
        yield families.gauges(
            "payments_intents_oldest_age_seconds",
            "How long ago the oldest unfinished operation began.",
            _STATE,
            ages,
        )

    def _told(self) -> Iterator[Metric]:
        it, now = self._read.backlog, self._readers.clock()
        yield families.gauge(
            "payments_feed_lag_seconds",
            "How long ago the oldest change that is not yet in the feed was recorded.",
            _age(it.unnumbered_since, now) if it else math.nan,
        )
        lags, dead = dict[str, float](), dict[str, float]()
        # An endpoint that is no longer configured keeps its cursor.
        for name in self._readers.endpoints:
            found = it.endpoints.get(name) if it else None
            lags[name] = _age(found.since, now) if found else math.nan
            dead[name] = found.dead if found else math.nan
        yield families.gauges(
            "payments_delivery_lag_seconds",
            "How long ago the oldest change of the feed was recorded that is neither "
            "delivered nor dead.",
            _ENDPOINT,
            lags,
        )
        yield families.gauges(
            "payments_deliveries_dead",
            "Deliveries that were given up.",
            _ENDPOINT,
            dead,
        )


def _age(since: datetime | None, now: datetime) -> float:
    # The clock of another process may be ahead.
    return 0.0 if since is None else max((now - since).total_seconds(), 0.0)
