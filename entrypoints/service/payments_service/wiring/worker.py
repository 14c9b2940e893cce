"""The use cases of a worker, and its progress: not from annotations alone."""

import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Any

import attrs

from payments_adapters.postgres.call_budget import PostgresCallBudget
from payments_adapters.postgres.store import PostgresStore
from payments_adapters.rate_limited_gateway import CALLS_PER_S, SpareGateway
from payments_adapters.webhooks_out import WebhookSender
from payments_core.jobs import (
    DeliverChanges,
    Purge,
    Reconcile,
    RunSweep,
    RunWork,
    SweepNightly,
)
from payments_core.policy import Policy
from payments_core.ports import (
    AccountDirectory,
    AccountHistory,
    BacklogReader,
    ChangeSender,
    Checkpoints,
    Clock,
    DeliveryQueue,
    Erasures,
    EventLog,
    EventReader,
    FeedReader,
    GatewayLists,
    IntentDirectory,
    JobDirectory,
    KeptObjects,
    PaymentGateway,
    PurgeStore,
    SystemClock,
    WorkQueue,
)
from payments_core.use_cases import BackFillEvents, ExecuteOperation, RecordFacts
from payments_service.back_fill_reports import BackFillReports
from payments_service.delivery_reports import DeliveryReports
from payments_service.metrics.backlog import BacklogReaders
from payments_service.metrics.use_cases import MeasuredUseCases
from payments_service.presentation.deliveries import change_body
from payments_service.purge_reports import PurgeReports
from payments_service.settings import REPAIRS, Settings
from payments_service.spans import Spans
from payments_service.sweep_reports import SweepReports
from payments_service.wiring.failure_log import log_work


@attrs.frozen
class Deliveries:
    """The use cases that deliver changes, one for each endpoint."""

    each: Sequence[DeliverChanges]


@attrs.frozen
class WorkerUseCases:
    """Makes use cases; `resolve` returns the object for a port or a class."""

    _settings: Settings
    _store: PostgresStore
    _spans: Spans
    _resolve: Callable[[Any], Any]

    @property
    def providers(self) -> Mapping[type, Callable[[], object]]:
        return {
            RunWork: self.run_work,
            Deliveries: self.deliver_changes,
            BacklogReaders: self.backlog_readers,
            BackFillEvents: self.back_fill_events,
            Purge: self.purge,
            Reconcile: self.reconcile,
            SweepNightly: self.sweep_nightly,
        }

    def run_work(self) -> RunWork:
        measured = self._resolve(MeasuredUseCases).of(RunWork)
        work = measured(
            self._resolve(WorkQueue),
            self._resolve(RecordFacts),
            self._resolve(ExecuteOperation),
            self._resolve(PaymentGateway),
            self._resolve(Clock),
            self._resolve(SystemClock),
            self._resolve(AccountDirectory),
            self._resolve(IntentDirectory),
            self._resolve(EventLog),
            self._resolve(EventReader),
            self._resolve(AccountHistory),
            log_work,
        )
        return self._spans.work(work)

    def deliver_changes(self) -> Deliveries:
        sender = self._spans.port(ChangeSender, self._resolve(WebhookSender))
        reports = self._resolve(DeliveryReports)
        measured = self._resolve(MeasuredUseCases).of(DeliverChanges)
        for it in self._settings.webhooks_out:
            reports.begin(it.name)
        return Deliveries(
            [
                measured(
                    it.name,
                    self._resolve(DeliveryQueue),
                    self._resolve(FeedReader),
                    sender,
                    partial(change_body, self._resolve(Policy)),
                    self._resolve(SystemClock),
                    random.random,
                    reports,
                    it.from_start,
                )
                for it in self._settings.webhooks_out
            ]
        )

    def backlog_readers(self) -> BacklogReaders:
        return BacklogReaders(
            self._resolve(JobDirectory),
            self._resolve(EventLog),
            self._resolve(Checkpoints),
            self._resolve(BacklogReader),
            self._resolve(Clock),
            self._resolve(SystemClock),
            [it.name for it in self._settings.webhooks_out],
            self._calls_left,
        )

    def _calls_left(self) -> Awaitable[Mapping[str, float]]:
        now = self._resolve(SystemClock)()
        return PostgresCallBudget(self._store).left(per_s=CALLS_PER_S, now=now)

    def back_fill_events(self) -> BackFillEvents:
        return BackFillEvents(
            self._resolve(PaymentGateway),
            self._resolve(Checkpoints),
            self._resolve(EventLog),
            self._resolve(RecordFacts),
            self._resolve(Clock),
            self._resolve(SystemClock),
            timedelta(seconds=self._settings.event_back_fill_s),
            self._resolve(BackFillReports),
        )

    def purge(self) -> Purge:
        return Purge(
            self._resolve(PurgeStore),
            self._resolve(Erasures),
            self._resolve(Checkpoints),
            self._resolve(Clock),
            self._resolve(SystemClock),
            self._settings.retention,
            self._resolve(PurgeReports),
        )

    def reconcile(self) -> Reconcile:
        return Reconcile(
            self._resolve(GatewayLists),
            self._resolve(SpareGateway),
            self._resolve(RecordFacts),
            self._resolve(AccountDirectory),
            self._resolve(JobDirectory),
            self._resolve(EventLog),
            self._resolve(KeptObjects),
            self._resolve(Checkpoints),
        )

    def sweep_nightly(self) -> SweepNightly:
        return SweepNightly(
            self._resolve(RunSweep),
            self._resolve(Checkpoints),
            self._resolve(SystemClock),
            self._settings.sweep == REPAIRS,
            self._resolve(SweepReports),
        )
