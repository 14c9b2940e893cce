"""The use cases that need more than what their annotations name."""

import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Any, Final

import attrs

from payments_adapters.postgres.call_budget import PostgresCallBudget
from payments_adapters.postgres.store import PostgresStore
from payments_adapters.rate_limited_gateway import CALLS_PER_S, SpareGateway
from payments_adapters.webhooks_out import WebhookSender
from payments_core.jobs import (
    DeliverChanges,
    GivePositions,
    LogAccounts,
    Purge,
    Reconcile,
    RunSweep,
    RunWork,
    SweepNightly,
    SyncUser,
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
    LeaseClock,
    Ledger,
    LogGaps,
    NewId,
    PassSigner,
    PaymentGateway,
    PurgeStore,
    RevocationLog,
    SystemClock,
    TokenStore,
    TokenVerifier,
    WorkQueue,
)
from payments_core.use_cases import (
    AuthenticateCaller,
    AwaitRevocation,
    BackFillEvents,
    CallOffIntent,
    ChangeSubscription,
    CheckAnswer,
    CheckChange,
    CloseEvent,
    ConfirmOpen,
    EndSubscription,
    EraseAccount,
    ExecuteOperation,
    ExplainUser,
    FindPrice,
    FindUnappliedEvents,
    FollowRevocations,
    GetAuthorizedAccount,
    GetPaymentStatus,
    InvalidateAllTokens,
    InvalidateToken,
    InvalidateUserTokens,
    IssueAccessPass,
    LimitDeclines,
    LinkEvent,
    LinkPayment,
    LinkSubscription,
    ListDeliveries,
    ListInvalidatedTokens,
    ListJobs,
    ListPayments,
    ListUsers,
    PreviewChange,
    ReadAccess,
    ReadAuditLog,
    ReadCatalogue,
    ReadDelivery,
    ReadFeed,
    ReadIntent,
    ReadJob,
    ReadPassKeys,
    ReadPaymentLink,
    ReadSubscriptions,
    ReadTimeline,
    RecordFacts,
    RecoverEvents,
    RegisterCustomer,
    RegisterUser,
    ReplayDeliveries,
    ReplayEvents,
    RetryJobs,
    SetUpCard,
    StartSubscription,
    UpdateCard,
)
from payments_service.back_fill_reports import BackFillReports
from payments_service.delivery_reports import DeliveryReports
from payments_service.ingest_queue import IngestQueue
from payments_service.limit_reports import LimitReports
from payments_service.metrics.backlog import BacklogReaders
from payments_service.metrics.use_cases import MeasuredUseCases
from payments_service.presentation.deliveries import change_body
from payments_service.purge_reports import PurgeReports
from payments_service.settings import REPAIRS, Settings
from payments_service.spans import Spans
from payments_service.sweep_reports import SweepReports
from payments_service.webhook_reports import WebhookReports
from payments_service.wiring.edges import uuid4_text
from payments_service.wiring.failure_log import (
    log_bug,
    log_failure,
    log_unheard,
    log_work,
)

# Made by what their annotations name.
USE_CASES: Final = (
    AuthenticateCaller,
    CallOffIntent,
    ChangeSubscription,
    CheckAnswer,
    CheckChange,
    CloseEvent,
    ConfirmOpen,
    EndSubscription,
    ExplainUser,
    ReadAccess,
    ReadCatalogue,
    FindUnappliedEvents,
    FindPrice,
    GetPaymentStatus,
    GivePositions,
    InvalidateAllTokens,
    InvalidateUserTokens,
    LinkEvent,
    LinkPayment,
    LinkSubscription,
    ListDeliveries,
    ListInvalidatedTokens,
    ListJobs,
    ListPayments,
    ListUsers,
    PreviewChange,
    GetAuthorizedAccount,
    ReadAuditLog,
    ReadDelivery,
    ReadIntent,
    ReadJob,
    ReadPaymentLink,
    ReadPassKeys,
    ReadSubscriptions,
    ReadTimeline,
    RegisterCustomer,
    RegisterUser,
    ReplayDeliveries,
    ReplayEvents,
    RetryJobs,
    SetUpCard,
    StartSubscription,
    UpdateCard,
)


@attrs.frozen
class Deliveries:
    """What delivers changes, one for each endpoint."""

    each: Sequence[DeliverChanges]


@attrs.frozen
class UseCases:
    """Makes use cases; `resolve` returns what a port or a class is wired to."""

    _settings: Settings
    _store: PostgresStore
    _spans: Spans
    _resolve: Callable[[Any], Any]

    @property
    def providers(self) -> Mapping[type, Callable[[], object]]:
        return {
            RecordFacts: self.record_facts,
            ExecuteOperation: self.execute_operation,
            IngestQueue: self.ingest_queue,
            RunWork: self.run_work,
            Deliveries: self.deliver_changes,
            BacklogReaders: self.backlog_readers,
            BackFillEvents: self.back_fill_events,
            RecoverEvents: self.recover_events,
            LimitDeclines: self.limit_declines,
            ReadFeed: self.read_feed,
            FollowRevocations: self.follow_revocations,
            AwaitRevocation: self.await_revocation,
            InvalidateToken: self.invalidate_token,
            EraseAccount: self.erase_account,
            IssueAccessPass: self.issue_access_pass,
            LogAccounts: self.log_accounts,
            Purge: self.purge,
            Reconcile: self.reconcile,
            RunSweep: self.run_sweep,
            SweepNightly: self.sweep_nightly,
            SyncUser: self.sync_user,
        }

    def record_facts(self) -> RecordFacts:
        return RecordFacts(
            self._resolve(Ledger),
            self._resolve(Clock),
            self._resolve(SystemClock),
            self._resolve(Policy),
            on_not_applied=self._resolve(WebhookReports).keep,
            on_bug=log_bug,
        )

    def execute_operation(self) -> ExecuteOperation:
        return ExecuteOperation(
            self._resolve(Ledger),
            self._resolve(RecordFacts),
            self._resolve(PaymentGateway),
            self._resolve(Clock),
            self._resolve(SystemClock),
            self._resolve(NewId),
            on_declined=self._resolve(LimitReports).decline,
        )

    def ingest_queue(self) -> IngestQueue:
        return self._spans.ingest_queue(
            self._resolve(RecordFacts),
            lambda record: IngestQueue(record, log_failure),
        )

    def run_work(self) -> RunWork:
        return RunWork(
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

    def _calls_left(self) -> Awaitable[Mapping[str, float]]:
        now = self._resolve(SystemClock)()
        return PostgresCallBudget(self._store).left(per_s=CALLS_PER_S, now=now)

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

    def recover_events(self) -> RecoverEvents:
        return RecoverEvents(
            self._resolve(PaymentGateway),
            self._resolve(EventLog),
            self._resolve(RecordFacts),
        )

    def limit_declines(self) -> LimitDeclines:
        return LimitDeclines(
            self._resolve(IntentDirectory),
            self._resolve(Clock),
            self._settings.declines_per_hour,
            self._resolve(LimitReports).refuse_declined,
        )

    def read_feed(self) -> ReadFeed:
        return ReadFeed(self._resolve(FeedReader), self._resolve(Policy))

    def follow_revocations(self) -> FollowRevocations:
        return FollowRevocations(
            self._resolve(RevocationLog),
            self._resolve(TokenStore),
            self._resolve(LeaseClock),
            self._resolve(SystemClock),
            uuid4_text(),
            # Of whichever issuer: a revocation has to be known while a token lives.
            max(self._settings.jwt_max_age, self._settings.kubernetes_max_age),
            log_unheard,
        )

    def await_revocation(self) -> AwaitRevocation:
        return AwaitRevocation(
            self._resolve(RevocationLog),
            self._resolve(LeaseClock),
            self._resolve(FollowRevocations).poll_now,
        )

    def invalidate_token(self) -> InvalidateToken:
        return InvalidateToken(
            self._resolve(TokenVerifier),
            self._resolve(TokenStore),
            self._resolve(SystemClock),
            self._resolve(AwaitRevocation),
            max(self._settings.jwt_max_age, self._settings.kubernetes_max_age),
        )

    def erase_account(self) -> EraseAccount:
        return EraseAccount(
            self._resolve(RecordFacts),
            self._resolve(AccountDirectory),
            self._resolve(Erasures),
            self._resolve(Clock),
            self._resolve(NewId),
        )

    def issue_access_pass(self) -> IssueAccessPass:
        return IssueAccessPass(
            self._resolve(ReadAccess),
            self._resolve(PassSigner),
            self._resolve(SystemClock),
            self._settings.access_pass_lifetime,
        )

    def log_accounts(self) -> LogAccounts:
        return LogAccounts(
            self._resolve(LogGaps),
            self._resolve(RecordFacts),
            self._resolve(Checkpoints),
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

    def run_sweep(self) -> RunSweep:
        return RunSweep(self._resolve(Reconcile))

    def sweep_nightly(self) -> SweepNightly:
        return SweepNightly(
            self._resolve(RunSweep),
            self._resolve(Checkpoints),
            self._resolve(SystemClock),
            self._settings.sweep == REPAIRS,
            self._resolve(SweepReports),
        )

    def sync_user(self) -> SyncUser:
        # The user waits: what is fetched is asked as their operations are.
        gateway = self._resolve(PaymentGateway)
        return SyncUser(
            self._resolve(GetAuthorizedAccount),
            attrs.evolve(self._resolve(Reconcile), gateway=gateway),
            self._resolve(ExecuteOperation),
            self._resolve(GetPaymentStatus),
        )
