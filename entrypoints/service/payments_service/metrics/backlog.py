"""What waits in the database, and for how long: read when it is shown.

Rule 1: what cannot be read is not a number: an alarm on it has to say what it does
        without one. A database that does not answer costs a look no more than
        `READ_WITHIN_S`, and everything else is shown, also where it refuses: a bug
        is logged.
Rule 2: counts go up to `COUNTED_MAX`. An age is 0 while nothing waits.
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

# More than that is as bad.
COUNTED_MAX: Final = 10_000
# A scrape is given ten seconds, if nothing else is said.
READ_WITHIN_S: Final = 5.0

_LAG: Final = "payments_event_back_fill_lag_seconds"
_LOOPS: Final[Mapping[str, tuple[str, str]]] = {
    _LAG: (
        EVENT_BACK_FILL,
        "How old the time is up to which all listed events were read.",
    ),
    "payments_sweep_age_seconds": (
        SWEEP,
        "How old the time is up to which a sweep has compared all.",
    ),
    "payments_purge_age_seconds": (
        PURGE,
        "How long ago all that was kept long enough was deleted.",
    ),
}
_ENDPOINT: Final = "endpoint"
_STATE: Final = "state"


@attrs.frozen
class BacklogReaders:
    """Where a worker reads what waits; `endpoints` are those that are delivered to."""

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
    """What one look read; of what it did not come to, nothing is a number."""

    failing: float = math.nan
    open: _Values = attrs.field(factory=dict)
    ages: _Values = attrs.field(factory=dict)
    backlog: Backlog | None = None
    calls_left: _Values = attrs.field(factory=dict)


@attrs.define(eq=False)
class BacklogMetrics(families.Measured):
    """What was there when it was last measured; before that, nothing is a number.

    Those who look at once wait for one look: it takes one connection, and none of them
    is shown half of it.
    """

    _readers: BacklogReaders
    _within_s: float = READ_WITHIN_S
    _read: _Read = attrs.field(init=False, factory=_Read)
    _look: "asyncio.Task[None] | None" = attrs.field(init=False, default=None)

    @override
    async def measure(self) -> None:
        """Read all of it, as far as the database answers."""
        if self._look is None or self._look.done():
            self._look = asyncio.create_task(self._measure())
        # Who goes away ends it for nobody.
        await asyncio.wait([self._look])

    async def _measure(self) -> None:
        read = _Read()
        try:
            async with asyncio.timeout(self._within_s):
                async for it in self._reads():
                    read = it
        except (Unavailable, TimeoutError):
            # What else would be read would be waited for as well.
            pass
        except Exception as error:  # noqa: BLE001  # all else is shown
            structlog.get_logger().error("backlog cannot be read", exc_info=error)
        self._read = read

    async def _reads(self) -> AsyncIterator[_Read]:
        """Yield what is read so far, each time that there is more."""
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
            # It never came to an end.
            return math.nan
        return (self._readers.clock() - kept.reached_at).total_seconds()

    @override
    def collect(self) -> Iterator[Metric]:
        yield families.gauge(
            "payments_jobs_failing",
            "Jobs whose quick attempts are used up: they are tried once a day.",
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
            "Calls to Stripe that all processes together may make at this moment.",
            _ENDPOINT,
            self._read.calls_left,
        )

    def _waiting(self) -> Iterator[Metric]:
        it, clocks = self._read.backlog, self._readers
        due = it.due_jobs if it else None
        yield families.gauge(
            "payments_events_oldest_pending_age_seconds",
            "How long ago the event was received that is pending for longest.",
            _age(it.pending_since, clocks.clock()) if it else math.nan,
        )
        yield families.gauge(
            "payments_jobs_due",
            "Jobs that are due and that nobody works on.",
            due.count if due else math.nan,
        )
        yield families.gauge(
            "payments_jobs_oldest_due_age_seconds",
            "For how long the job is due that is due for longest.",
            _age(due.since, clocks.system_clock()) if due else math.nan,
        )
        yield families.gauge(
            "payments_unlinked_payments",
            "Payments that are no user's; not those that a person unlinked.",
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
            "How long ago the oldest operation began that is not finished.",
            _STATE,
            ages,
        )

    def _told(self) -> Iterator[Metric]:
        it, now = self._read.backlog, self._readers.clock()
        yield families.gauge(
            "payments_feed_lag_seconds",
            "How long ago the earliest change was recorded that the feed has not yet.",
            _age(it.unnumbered_since, now) if it else math.nan,
        )
        lags, dead = dict[str, float](), dict[str, float]()
        # An endpoint that is configured no more has a cursor for ever.
        for name in self._readers.endpoints:
            found = it.endpoints.get(name) if it else None
            lags[name] = _age(found.since, now) if found else math.nan
            dead[name] = found.dead if found else math.nan
        yield families.gauges(
            "payments_delivery_lag_seconds",
            "How long ago the earliest change of the feed was recorded that is neither "
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
    # Another process's clock may be ahead.
    return 0.0 if since is None else max((now - since).total_seconds(), 0.0)
