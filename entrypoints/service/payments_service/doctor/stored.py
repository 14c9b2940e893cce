"""Checks of the work in the database: what waits, failed or is behind."""

import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

import attrs

from payments_adapters.postgres.backlog import (
    COUNTED_MAX,
    read_clock,
    read_events,
    read_jobs,
)
from payments_adapters.postgres.checkpoints import PostgresCheckpoints
from payments_adapters.postgres.deliveries import PostgresDeliveries
from payments_adapters.postgres.erasures import PostgresErasures
from payments_adapters.postgres.store import PostgresStore
from payments_core.deliveries import EndpointBacklog
from payments_core.jobs import DriftCounts
from payments_core.jobs.drift_counts import RECONCILIATION
from payments_core.jobs.sweep_nightly import SWEEP
from payments_core.ports import Clock, SystemClock
from payments_core.use_cases.back_fill_events import EVENT_BACK_FILL
from payments_service.doctor.checks import Check, CheckResult, CheckResults, ok, wrong

# Work that is done within seconds if a worker runs.
LATE: Final = timedelta(minutes=15)
# A night, and a day of grace.
SWEEP_LATE: Final = timedelta(hours=50)
# A worker finishes them within two hours.
ERASURE_LATE: Final = timedelta(days=1)
# A restarted receiver is back by then.
DELIVERY_LATE: Final = timedelta(hours=1)
# A token's leeway is 30 s, a signature's 300 s.
SKEW_MAX: Final = timedelta(seconds=10)
_RUN_WORKER: Final = "run `payments worker`; if it is running, its log says why"


def told(count: int) -> str:
    return f"{count}" if count < COUNTED_MAX else f"{COUNTED_MAX} or more"


def age(now: datetime, moment: datetime) -> str:
    """Return roughly how long ago something was."""
    seconds = max(0, int((now - moment).total_seconds()))
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"


def check_skew(check: str, whose: str, theirs: datetime, ours: datetime) -> CheckResult:
    """Return whether two clocks agree."""
    skew = theirs - ours
    text = f"the clock of {whose} is {abs(skew).total_seconds():.0f} s "
    text += "ahead of ours" if skew > timedelta(0) else "behind ours"
    if abs(skew) > SKEW_MAX:
        return wrong(check, text, "set the clocks of both machines by NTP")
    return ok(check, text)


def results_of_drift(counts: DriftCounts, ago: str) -> CheckResults:
    """Return the findings of a sweep that compared all objects created before `ago`.

    Differences that it repaired are fine, except those from lost events.
    """
    found, left = list[CheckResult](), counts.left
    if left:
        kinds = ", ".join(f"{it} {left[it]}" for it in sorted(left))
        for_a_person = counts.left_for_a_person_count
        remedies = []
        command = "payments reconcile"
        if counts.since is not None:
            command += f" --since {counts.since:%Y-%m-%d}"
        if left.total() > for_a_person:
            remedies.append(f"`{command} --apply` repairs what it can")
        if for_a_person:
            remedies.append(
                f"`{command}` lists what a person must decide (docs/reconciliation.md)"
            )
        text = (
            f"{left.total()} of {counts.found.total()} differences remain that the "
            f"last sweep, up to {ago} ago, found"
        )
        found.append(wrong("drift", f"{text}: {kinds}", "; ".join(remedies)))
    if counts.lost_count:
        found.append(
            wrong(
                "drift",
                f"the last sweep, up to {ago} ago, repaired {counts.lost_count} "
                "differences from lost events: neither the endpoint nor back-fill "
                "delivered them",
                "correct what is wrong with endpoints, deliveries and back-fill; then "
                "`payments reconcile` must find nothing",
            )
        )
    repaired = counts.repaired.total()
    text = f"the last sweep, up to {ago} ago, found no differences"
    if repaired:
        text = f"the last sweep, up to {ago} ago, repaired all differences: {repaired}"
    return found or [ok("drift", text)]


def results_of_deliveries(
    endpoint: str, it: EndpointBacklog, now: datetime
) -> CheckResults:
    """Return the state of a delivery endpoint."""
    found, command = (
        list[CheckResult](),
        f"payments deliveries list --endpoint {endpoint}",
    )
    if it.dead:
        text = f"{endpoint}: {told(it.dead)} dead, after three days of attempts"
        remedy = (
            f"`{command} --dead` says why; once that is fixed: `payments deliveries "
            f"replay --endpoint {endpoint} --dead`"
        )
        found.append(wrong("webhooks out", text, remedy))
    since = it.failing_since
    if since is not None and now - since > DELIVERY_LATE:
        text = f"{endpoint}: {told(it.open)} open, one of which has failed for "
        text += age(now, since)
        found.append(wrong("webhooks out", text, f"`{command}` says why"))
    return found or [ok("webhooks out", f"{endpoint}: {told(it.open)} open")]


@attrs.frozen(kw_only=True)
class Stored:
    """`clock` is the gateway's time: in development the sandbox's."""

    store: PostgresStore
    clock: Clock
    system_clock: SystemClock
    back_fills: bool
    sweeps: bool
    # The names of the delivery endpoints that are configured.
    endpoints: Sequence[str] = ()

    def checks(self) -> Sequence[Check]:
        return [
            Check("database clock", self._clock),
            Check("events", self._events),
            Check("jobs", self._jobs),
            Check("back-fill", self._back_fill),
            Check("sweep", self._sweep),
            Check("drift", self._drift),
            Check("erasures", self._erasures),
            Check("webhooks out", self._webhooks_out),
        ]

    async def _clock(self) -> CheckResults:
        began = self.system_clock()
        theirs = await read_clock(self.store)
        middle = began + (self.system_clock() - began) / 2
        return [check_skew("database clock", "the database", theirs, middle)]

    async def _events(self) -> CheckResults:
        now, found = self.clock(), list[CheckResult]()
        it = await read_events(self.store)
        if it.pending_since is not None and now - it.pending_since > LATE:
            found.append(
                wrong(
                    "events",
                    f"{told(it.pending)} pending, the oldest for "
                    f"{age(now, it.pending_since)}",
                    _RUN_WORKER,
                )
            )
        if it.quarantined:
            found.append(
                wrong(
                    "events",
                    f"{told(it.quarantined)} quarantined: stored, but not applied",
                    "docs/quarantine.md says what to do in each case: `payments "
                    "webhook list --state quarantined`",
                )
            )
        last = (
            f"the last one arrived {age(now, it.received_at)} ago"
            if it.received_at
            else "none has arrived yet"
        )
        return found or [ok("events", f"{last}; {told(it.pending)} pending")]

    async def _jobs(self) -> CheckResults:
        now, found = self.system_clock(), list[CheckResult]()
        it = await read_jobs(self.store, due_before=now - LATE)
        if it.overdue_since is not None:
            found.append(
                wrong(
                    "jobs",
                    f"{told(it.overdue)} overdue, the oldest for "
                    f"{age(now, it.overdue_since)}",
                    _RUN_WORKER,
                )
            )
        if it.failing:
            found.append(
                wrong(
                    "jobs",
                    f"{told(it.failing)} failing: they are retried once a day",
                    "`payments jobs list --failing` says why; once that is fixed: "
                    "`payments jobs retry --failing`",
                )
            )
        return found or [ok("jobs", "none is overdue, none is failing")]

    async def _back_fill(self) -> CheckResults:
        return await self._loop(
            "back-fill",
            EVENT_BACK_FILL,
            LATE,
            runs=self.back_fills,
            what="Stripe's list of events has been read",
        )

    async def _sweep(self) -> CheckResults:
        return await self._loop(
            "sweep", SWEEP, SWEEP_LATE, runs=self.sweeps, what="all has been compared"
        )

    async def _drift(self) -> CheckResults:
        """Return what the last sweep found, or a later reconciliation by hand.

        Also what the earlier of the two left, if the later one covers less time.
        """
        checkpoints = PostgresCheckpoints(self.store)
        found = [
            (it.reached_at, DriftCounts.of_facts(json.loads(it.result)))
            for name in (SWEEP, RECONCILIATION)
            if (it := await checkpoints.find(name)) and it.reached_at and it.result
        ]
        if not found:
            return [ok("drift", "no sweep has completed yet")]
        found.sort(key=lambda it: it[0])
        last = found[-1][1]
        earlier = [
            (until, attrs.evolve(counts, lost_count=0))
            for until, counts in found[:-1]
            if counts.outlives(last)
        ]
        return [
            result
            for until, counts in (*earlier, found[-1])
            for result in results_of_drift(counts, age(self.clock(), until))
        ]

    async def _erasures(self) -> CheckResults:
        # It needs no key.
        erasures = PostgresErasures(self.store, None)
        left = await erasures.left(self.clock() - ERASURE_LATE)
        if left:
            text = f"{len(left)} began more than a day ago and are not finished"
            return [wrong("erasures", text, _RUN_WORKER)]
        return [ok("erasures", "none has been unfinished for a day")]

    async def _webhooks_out(self) -> CheckResults:
        if not self.endpoints:
            return [ok("webhooks out", "no delivery endpoint is configured")]
        now, found = self.system_clock(), list[CheckResult]()
        backlogs = await PostgresDeliveries(self.store).backlogs()
        for name in self.endpoints:
            if name in backlogs:
                found += results_of_deliveries(name, backlogs[name], now)
            else:
                text = f"{name}: no worker has begun to deliver to it"
                found.append(wrong("webhooks out", text, _RUN_WORKER))
        return found

    async def _loop(
        self, check: str, name: str, late: timedelta, *, runs: bool, what: str
    ) -> CheckResults:
        if not runs:
            return [ok(check, "disabled by the settings")]
        kept, now = await PostgresCheckpoints(self.store).find(name), self.clock()
        if kept is None:
            return [wrong(check, "it has never run", _RUN_WORKER)]
        if kept.reached_at is not None:
            text = f"{what} up to {age(now, kept.reached_at)} ago"
            is_late = now - kept.reached_at > late
            return [wrong(check, text, _RUN_WORKER) if is_late else ok(check, text)]
        if kept.lease.attempts:
            text = f"it failed {kept.lease.attempts} times, and has never completed"
            return [wrong(check, text, _RUN_WORKER)]
        due_at = kept.lease.due_at
        text = f"its first run is due at {due_at:%F %H:%M} UTC"
        is_late = now - due_at > late
        return [wrong(check, text, _RUN_WORKER) if is_late else ok(check, text)]
