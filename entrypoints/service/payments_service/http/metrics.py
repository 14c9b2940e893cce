"""What a process measures of itself, for the ops port to show."""

import math
from collections.abc import Iterator, Sequence
from typing import Final

import attrs
from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from typing_extensions import override

from payments_adapters.rate_limited_gateway import KEY, BreakerState, CircuitBreaker
from payments_core.errors import Unavailable
from payments_core.events import OPEN_STATES
from payments_core.jobs.purge import PURGE
from payments_core.jobs.sweep_nightly import SWEEP
from payments_core.ports import Checkpoints, Clock, EventLog, JobDirectory
from payments_core.use_cases import FollowRevocations
from payments_core.use_cases.back_fill_events import EVENT_BACK_FILL
from payments_service.back_fill_reports import BackFillReports
from payments_service.delivery_reports import DeliveryReports
from payments_service.limit_reports import LimitReports
from payments_service.purge_reports import PurgeReports
from payments_service.refreshing import Refreshing
from payments_service.sweep_reports import SweepReports
from payments_service.webhook_reports import WebhookReports

# More than that is as bad.
COUNTED_MAX: Final = 10_000


class GatewayMetrics(Collector):
    """How the payment gateway answers, as this process sees it."""

    def __init__(self, breaker: CircuitBreaker) -> None:
        self._breaker = breaker

    @override
    def collect(self) -> Iterator[Metric]:
        state = GaugeMetricFamily(
            "payments_gateway_breaker",
            "1 for the state that the circuit breaker of Stripe is in.",
            labels=["state"],
        )
        for known in BreakerState:
            state.add_metric([known.value], float(known is self._breaker.state))
        yield state
        yield CounterMetricFamily(
            "payments_gateway_breaker_opened",
            "How often the circuit breaker opened.",
            value=self._breaker.opened,
        )
        yield CounterMetricFamily(
            "payments_gateway_silent_calls",
            "Calls to Stripe that got no definite answer.",
            value=self._breaker.unknown_total,
        )
        refused = GaugeMetricFamily(
            "payments_gateway_key_refused",
            "1 for what Stripe refuses our key: `key` is all of it.",
            labels=["what"],
        )
        for what in {KEY, *self._breaker.key.refused}:
            refused.add_metric([what], float(what in self._breaker.key.refused))
        yield refused
        yield CounterMetricFamily(
            "payments_gateway_key_refusals",
            "Calls that Stripe refused because of our key.",
            value=self._breaker.key.refused_total,
        )


class RevocationMetrics(Collector):
    """What this process knows of revoked tokens."""

    def __init__(self, known: FollowRevocations) -> None:
        self._known = known

    @override
    def collect(self) -> Iterator[Metric]:
        yield GaugeMetricFamily(
            "payments_revocations_entries",
            "Revocations in memory: of tokens, and of all tokens of a user.",
            value=self._known.entries_count,
        )
        # Not a number before the first full load.
        yield GaugeMetricFamily(
            "payments_revocations_lease_age_seconds",
            "How long ago the poll began by which tokens are accepted; below 1.",
            value=self._known.lease_age_s,
        )
        yield CounterMetricFamily(
            "payments_revocations_polls_failed",
            "Polls for revocations without an answer.",
            value=self._known.failures_count,
        )
        yield GaugeMetricFamily(
            "payments_revocations_over_cap",
            "1 while there are too many to keep: the database is asked every time.",
            value=float(self._known.is_over_cap),
        )


@attrs.define
class FailingJobs:
    """How many jobs are tried once a day only; counted when it is asked for."""

    _jobs: JobDirectory
    _gauge: Gauge

    async def count(self) -> None:
        try:
            self._gauge.set(await self._jobs.count_failing(limit=COUNTED_MAX))
        except Unavailable:
            # Not a number: an alarm on it has to say what it does without one.
            self._gauge.set(math.nan)


@attrs.define
class OpenEvents:
    """How many events were kept and not applied; counted when it is asked for."""

    _events: EventLog
    _gauge: Gauge

    async def count(self) -> None:
        for state in OPEN_STATES:
            gauge = self._gauge.labels(state.value)
            try:
                gauge.set(await self._events.count(state, limit=COUNTED_MAX))
            except Unavailable:
                gauge.set(math.nan)


@attrs.define
class LoopLag:
    """How far a loop is behind the gateway's time; asked for when it is shown."""

    _name: str
    _checkpoints: Checkpoints
    _clock: Clock
    _gauge: Gauge

    async def measure(self) -> None:
        try:
            kept = await self._checkpoints.find(self._name)
        except Unavailable:
            kept = None
        if kept is None or kept.reached_at is None:
            # Not a number, as above: not known, or it never came to an end.
            self._gauge.set(math.nan)
            return
        self._gauge.set((self._clock() - kept.reached_at).total_seconds())


class BackFillMetrics(Collector):
    """What back-fill found, as this process sees it."""

    def __init__(self, reports: BackFillReports) -> None:
        self._reports = reports

    @override
    def collect(self) -> Iterator[Metric]:
        found = CounterMetricFamily(
            "payments_event_back_fill_events",
            "Events that back-fill found, by what became of them.",
            labels=["outcome"],
        )
        for outcome, count in self._reports.counts.items():
            found.add_metric([outcome], count)
        yield found
        yield CounterMetricFamily(
            "payments_event_back_fill_failures",
            "Turns of back-fill that stopped before their end.",
            value=self._reports.failures_count,
        )


class SweepMetrics(Collector):
    """What nightly sweeps found, as this process sees it."""

    def __init__(self, reports: SweepReports) -> None:
        self._reports = reports

    @override
    def collect(self) -> Iterator[Metric]:
        drifts = CounterMetricFamily(
            "payments_drifts",
            "What a nightly sweep found to differ from Stripe, by its kind.",
            labels=["kind"],
        )
        for kind, count in self._reports.drifts.items():
            drifts.add_metric([kind], count)
        yield drifts
        objects = CounterMetricFamily(
            "payments_sweep_objects",
            "Stripe's objects that sweeps compared, by their list.",
            labels=["list"],
        )
        for list_, count in self._reports.objects.items():
            objects.add_metric([list_], count)
        yield objects
        yield CounterMetricFamily(
            "payments_sweep_failures",
            "How often a sweep stopped, to go on later.",
            value=self._reports.failures_count,
        )


class PurgeMetrics(Collector):
    """What was deleted as kept long enough, as this process sees it."""

    def __init__(self, reports: PurgeReports) -> None:
        self._reports = reports

    @override
    def collect(self) -> Iterator[Metric]:
        purged = CounterMetricFamily(
            "payments_purged",
            "What was kept long enough and deleted: rows, or days of bodies.",
            labels=["kind"],
        )
        for kind, count in self._reports.counts.items():
            purged.add_metric([kind], count)
        yield purged


class DeliveryMetrics(Collector):
    """What became of attempts to deliver changes, as this process sees it."""

    def __init__(self, reports: DeliveryReports) -> None:
        self._reports = reports

    @override
    def collect(self) -> Iterator[Metric]:
        attempts = CounterMetricFamily(
            "payments_delivery_attempts",
            "Attempts to deliver a change: delivered, failed, or the last one (dead).",
            labels=["endpoint", "outcome"],
        )
        for labels, count in self._reports.counts.items():
            attempts.add_metric(labels, count)
        yield attempts


class WebhookMetrics(Collector):
    """What became of webhooks that changed nothing, as this process sees it."""

    def __init__(self, reports: WebhookReports) -> None:
        self._reports = reports

    @override
    def collect(self) -> Iterator[Metric]:
        for name, text, counts in (
            ("refused", "Webhooks that were refused.", self._reports.refused),
            (
                "quarantined",
                "Events that were kept apart.",
                self._reports.quarantined,
            ),
            (
                "ignored",
                "Events of which nothing follows.",
                self._reports.ignored,
            ),
        ):
            metric = CounterMetricFamily(
                f"payments_webhooks_{name}", text, labels=["reason"]
            )
            for reason, count in counts.items():
                metric.add_metric([reason], count)
            yield metric


class LimitMetrics(Collector):
    """What limits refused, and declines of cards, as this process sees it."""

    def __init__(self, reports: LimitReports) -> None:
        self._reports = reports

    @override
    def collect(self) -> Iterator[Metric]:
        for name, label, text, counts in (
            (
                "payments_requests_limited",
                "limit",
                "Requests of callers that had too many of their kind.",
                self._reports.limited,
            ),
            (
                "payments_requests_shed",
                "lane",
                "Requests that were refused because too many were in flight.",
                self._reports.shed,
            ),
        ):
            metric = CounterMetricFamily(name, text, labels=[label])
            for value, count in counts.items():
                metric.add_metric([value], count)
            yield metric
        yield CounterMetricFamily(
            "payments_cards_declined",
            "Operations during which the bank declined a card.",
            value=self._reports.declined_count,
        )
        yield CounterMetricFamily(
            "payments_declines_refused",
            "Operations that were refused because of declines before them.",
            value=self._reports.declines_refused_count,
        )


class KeyMetrics(Collector):
    """Keys and secrets that change while this process serves."""

    def __init__(self, refreshing: Refreshing) -> None:
        self._refreshing = refreshing

    @override
    def collect(self) -> Iterator[Metric]:
        files = self._refreshing.files
        refused = GaugeMetricFamily(
            "payments_setting_file_refused",
            "1 if the file of a setting changed and cannot be used: the old one is.",
            labels=["setting"],
        )
        refusals = CounterMetricFamily(
            "payments_setting_file_refusals",
            "How often the file of a setting became one that cannot be used.",
            labels=["setting"],
        )
        for name in files.settings.rereadable:
            refused.add_metric([name], float(name in files.refused))
            refusals.add_metric([name], files.refusals[name])
        yield refused
        yield refusals
        age = GaugeMetricFamily(
            "payments_keys_age_seconds",
            "How long ago the keys at an address were read; NaN: never.",
            labels=["setting"],
        )
        failures = CounterMetricFamily(
            "payments_keys_failures",
            "How often the keys at an address could not be read.",
            labels=["setting"],
        )
        for keys in self._refreshing.fetched:
            age_s = keys.age_s
            age.add_metric([keys.name], math.nan if age_s is None else age_s)
            failures.add_metric([keys.name], keys.failures_total)
        yield age
        yield failures


@attrs.frozen
class WorkerMetrics:
    """What a worker shows besides, and where it is read."""

    jobs: JobDirectory
    events: EventLog
    checkpoints: Checkpoints
    clock: Clock
    reports: BackFillReports
    sweeps: SweepReports
    purges: PurgeReports
    deliveries: DeliveryReports


@attrs.frozen
class Measured:
    """What is measured each time that it is shown."""

    failing_jobs: FailingJobs
    open_events: OpenEvents
    lags: Sequence[LoopLag]


def measured(worker: WorkerMetrics, registry: CollectorRegistry) -> Measured:
    registry.register(BackFillMetrics(worker.reports))
    registry.register(SweepMetrics(worker.sweeps))
    registry.register(DeliveryMetrics(worker.deliveries))
    registry.register(PurgeMetrics(worker.purges))
    failing = Gauge(
        "payments_jobs_failing",
        "Jobs whose quick attempts are used up: they are tried once a day.",
        registry=registry,
    )
    open_ = Gauge(
        "payments_events_open",
        "Events that were kept and not applied; closed by hand, one is open no longer.",
        labelnames=["state"],
        registry=registry,
    )
    lag = Gauge(
        "payments_event_back_fill_lag_seconds",
        "How old the time is up to which all listed events were read.",
        registry=registry,
    )
    age = Gauge(
        "payments_sweep_age_seconds",
        "How old the time is up to which a sweep has compared all.",
        registry=registry,
    )
    purge_age = Gauge(
        "payments_purge_age_seconds",
        "How long ago all that was kept long enough was deleted.",
        registry=registry,
    )
    loops = ((EVENT_BACK_FILL, lag), (SWEEP, age), (PURGE, purge_age))
    lags = [
        LoopLag(name, worker.checkpoints, worker.clock, gauge) for name, gauge in loops
    ]
    return Measured(
        FailingJobs(worker.jobs, failing), OpenEvents(worker.events, open_), lags
    )
