"""The composition root: the one place where a port meets an adapter.

punq takes any object for any key, so a provider states the port as its return type
and mypy checks the adapter there. punq passes nothing to a plain function, so a
provider closes over what it needs.
"""

import logging
import random
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Final, TypeVar

import attrs
import punq
import structlog

from payments_adapters.jwt import PassKeys, PassSigning
from payments_adapters.postgres.account_directory import PostgresDirectory
from payments_adapters.postgres.account_history import PostgresAccountHistory
from payments_adapters.postgres.audit_log import PostgresAuditLog
from payments_adapters.postgres.backlog import PostgresBacklog
from payments_adapters.postgres.call_budget import PostgresCallBudget
from payments_adapters.postgres.checkpoints import PostgresCheckpoints
from payments_adapters.postgres.deliveries import PostgresDeliveries
from payments_adapters.postgres.erasures import PostgresErasures
from payments_adapters.postgres.event_log import PostgresEventLog
from payments_adapters.postgres.feed import PostgresFeedReader, PostgresFeedSequencer
from payments_adapters.postgres.intent_directory import PostgresIntentDirectory
from payments_adapters.postgres.job_directory import PostgresJobDirectory
from payments_adapters.postgres.kept_objects import PostgresKeptObjects
from payments_adapters.postgres.ledger import PostgresLedger
from payments_adapters.postgres.log_gaps import PostgresLogGaps
from payments_adapters.postgres.payment_directory import PostgresPaymentDirectory
from payments_adapters.postgres.personal_data import AccountExport
from payments_adapters.postgres.purge_store import PostgresPurgeStore
from payments_adapters.postgres.revocation_log import PostgresRevocationLog
from payments_adapters.postgres.store import PostgresStore
from payments_adapters.postgres.timelines import PostgresTimelines
from payments_adapters.postgres.token_store import PostgresTokens
from payments_adapters.postgres.user_list import PostgresUserList
from payments_adapters.postgres.work_queue import PostgresWorkQueue
from payments_adapters.rate_limited_gateway import (
    CALLS_PER_S,
    CallBudget,
    CircuitBreaker,
    GatewayListener,
    KeyWatch,
    RateLimitedGateway,
    RateLimitedLists,
    SpareCallBudget,
    SpareGateway,
)
from payments_adapters.stripe import StripeEvents
from payments_adapters.stripe.gateway import StripeGateway
from payments_adapters.stripe.object_lists import StripeLists
from payments_adapters.webhooks_out import WebhookSender
from payments_core.errors import InvalidValue, StoreUnavailable
from payments_core.events import GatewayEvent
from payments_core.facts import LinkRequested
from payments_core.intent import Intent
from payments_core.jobs import (
    DeliverChanges,
    FailedWork,
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
    AuditLog,
    BacklogReader,
    ChangeSender,
    Checkpoints,
    Clock,
    DeliveryDirectory,
    DeliveryQueue,
    Erasures,
    EventLog,
    EventReader,
    FeedReader,
    FeedSequencer,
    GatewayLists,
    IntentDirectory,
    JobDirectory,
    KeptObjects,
    LeaseClock,
    Ledger,
    LogGaps,
    NewId,
    PassSigner,
    PaymentDirectory,
    PaymentGateway,
    PurgeStore,
    RevocationLog,
    SystemClock,
    Timelines,
    TokenStore,
    TokenVerifier,
    UserList,
    WorkQueue,
)
from payments_core.tombstones import Tombstones
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
from payments_service.lanes import InFlightLimits
from payments_service.limit_reports import LimitReports
from payments_service.metrics.backlog import BacklogReaders
from payments_service.metrics.gateway import GatewayReports
from payments_service.metrics.process import EventLoopLag
from payments_service.metrics.use_cases import MeasuredUseCases
from payments_service.presentation.deliveries import change_body
from payments_service.purge_reports import PurgeReports
from payments_service.rate_limits import RateLimiter
from payments_service.refreshing import Refreshing
from payments_service.settings import REPAIRS, Settings, SettingsError
from payments_service.spans import NO_SPANS, Spans
from payments_service.sweep_reports import SweepReports
from payments_service.tallies import RequestTallies
from payments_service.webhook_reports import WebhookReports

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

_CHECKED: Final[Mapping[Any, str]] = {
    PassSigner: "PAYMENTS_ACCESS_PASS_KEYS",
}

_T = TypeVar("_T")
_Providers = Mapping[Any, Callable[[], object]]


@attrs.frozen(kw_only=True)
class Overrides:
    """Adapters that are wired in place of the usual ones; None is the usual one.

    They are not opened here: whoever gives them opens and closes them.
    """

    clock: Clock | None = None
    system_clock: SystemClock | None = None
    ledger: Ledger | None = None
    gateway: PaymentGateway | None = None
    lists: GatewayLists | None = None

    @property
    def providers(self) -> _Providers:
        wired: Mapping[Any, object] = {
            Clock: self.clock,
            SystemClock: self.system_clock,
            Ledger: self.ledger,
            PaymentGateway: self.gateway,
            SpareGateway: self.gateway,
            GatewayLists: self.lists,
        }
        return {port: _giving(it) for port, it in wired.items() if it is not None}


def _giving(adapter: object) -> Callable[[], object]:
    return lambda: adapter


_NO_OVERRIDES: Final = Overrides()


class Container:
    """Resolves the use cases, and the few adapters that have to be opened."""

    def __init__(self, container: punq.Container, spans: Spans = NO_SPANS) -> None:
        self._container = container
        self.spans = spans

    def __getitem__(self, wanted: type[_T]) -> _T:
        resolved: _T = self._container.resolve(wanted)
        return self.spans.use_case(resolved)

    @property
    def jobs(self) -> JobDirectory:
        found: JobDirectory = self._container.resolve(JobDirectory)
        return found

    @property
    def events(self) -> EventLog:
        found: EventLog = self._container.resolve(EventLog)
        return found

    @property
    def deliveries(self) -> Sequence[DeliverChanges]:
        """Return what delivers to each endpoint."""
        found: Sequence[DeliverChanges] = self._container.resolve(_Deliveries).each
        return found

    @property
    def checkpoints(self) -> Checkpoints:
        found: Checkpoints = self._container.resolve(Checkpoints)
        return found

    @property
    def clock(self) -> Clock:
        found: Clock = self._container.resolve(Clock)
        return found

    @property
    def reader(self) -> EventReader:
        # A port, so not by its class: mypy takes protocols for no values.
        found: EventReader = self._container.resolve(EventReader)
        return found


@asynccontextmanager
async def opened(container: Container) -> AsyncIterator[None]:
    """Open what the container's adapters talk to: the database, the gateway, others."""
    async with (
        container[PostgresStore].opened(),
        container[StripeGateway].opened(),
        container[StripeLists].opened(),
        container[WebhookSender].opened(),
        container[PostgresRevocationLog].opened(),
        container[Refreshing].opened(),
    ):
        yield


def utc_now() -> datetime:
    return datetime.now(UTC)


# A process that was suspended with its machine must not take that time for none.
lease_seconds: Final[LeaseClock] = (
    partial(time.clock_gettime, time.CLOCK_BOOTTIME)
    if hasattr(time, "CLOCK_BOOTTIME")
    else time.monotonic
)


def build_container(
    settings: Settings,
    overrides: Overrides = _NO_OVERRIDES,
    spans: Spans = NO_SPANS,
) -> Container:
    """Wire everything; nothing is opened, connected or started yet.

    `spans` are put around ports, and around what the container is asked for.

    Raises:
        SettingsError: the JWT keys or the webhook secrets cannot be used.
    """
    store = PostgresStore(settings.database_url, settings.database_pool_size)
    stripe = StripeGateway(
        settings.stripe_api_key,
        base=settings.stripe_api_base,
        livemode=settings.livemode,
    )
    lists = StripeLists(
        settings.stripe_api_key,
        base=settings.stripe_api_base,
        livemode=settings.livemode,
    )
    system_clock = overrides.system_clock or utc_now
    breaker = CircuitBreaker(system_clock, KeyWatch(system_clock, _log_key))
    container = punq.Container()
    container.register(PostgresStore, instance=store)
    container.register(AccountExport, instance=AccountExport(store))
    container.register(StripeGateway, instance=stripe)
    container.register(StripeLists, instance=lists)
    container.register(CircuitBreaker, instance=breaker)
    container.register(WebhookReports, instance=WebhookReports())
    limit_reports = LimitReports()
    container.register(LimitReports, instance=limit_reports)
    limiter = RateLimiter(settings.rate_limits, limit_reports.limit)
    container.register(RateLimiter, instance=limiter)
    container.register(InFlightLimits, instance=settings.in_flight)
    container.register(BackFillReports, instance=BackFillReports())
    container.register(SweepReports, instance=SweepReports())
    container.register(PurgeReports, instance=PurgeReports())
    container.register(DeliveryReports, instance=DeliveryReports())
    container.register(RequestTallies, instance=RequestTallies())
    container.register(EventLoopLag, instance=EventLoopLag())
    calls = GatewayReports()
    container.register(GatewayReports, instance=calls)
    measuring = MeasuredUseCases()
    container.register(MeasuredUseCases, instance=measuring)
    revocation_log = PostgresRevocationLog(
        store, PostgresStore(settings.database_url, 1, writability=store.writability)
    )
    container.register(PostgresRevocationLog, instance=revocation_log)
    refreshing = Refreshing.of(settings, system_clock)
    container.register(Refreshing, instance=refreshing)
    sender = WebhookSender(settings.webhooks_out, system_clock)
    container.register(WebhookSender, instance=sender)
    providers = {
        **_edges(settings, system_clock, refreshing),
        **_stores(store, settings.tombstones),
        **_revocations(revocation_log),
        **_directories(store),
        **_lists(store),
        **_deliveries(store),
        **_loop_stores(store, settings.tombstones),
        **_money(store, stripe, breaker, system_clock, calls),
        **_gateway_lists(store, lists, breaker, system_clock, calls),
    }
    for port, provider in {**providers, **overrides.providers}.items():
        traced = _traced(spans, port, provider)
        container.register(port, traced, scope=punq.Scope.singleton)
    for use_case in USE_CASES:
        measured = measuring.of(use_case)
        container.register(use_case, measured, scope=punq.Scope.singleton)

    def record() -> RecordFacts:
        return RecordFacts(
            container.resolve(Ledger),
            container.resolve(Clock),
            container.resolve(SystemClock),
            container.resolve(Policy),
            on_not_applied=container.resolve(WebhookReports).keep,
            on_bug=_log_bug,
        )

    def execute() -> ExecuteOperation:
        return ExecuteOperation(
            container.resolve(Ledger),
            container.resolve(RecordFacts),
            container.resolve(PaymentGateway),
            container.resolve(Clock),
            container.resolve(SystemClock),
            container.resolve(NewId),
            on_declined=limit_reports.decline,
        )

    def ingest_queue() -> IngestQueue:
        return spans.ingest_queue(
            container.resolve(RecordFacts),
            lambda record: IngestQueue(record, _log_failure),
        )

    def run_work() -> RunWork:
        return RunWork(
            container.resolve(WorkQueue),
            container.resolve(RecordFacts),
            container.resolve(ExecuteOperation),
            container.resolve(PaymentGateway),
            container.resolve(Clock),
            container.resolve(SystemClock),
            container.resolve(AccountDirectory),
            container.resolve(IntentDirectory),
            container.resolve(EventLog),
            container.resolve(EventReader),
            container.resolve(AccountHistory),
            _log_work,
        )

    for it, provider in (
        *_event_lists(settings, container).items(),
        (Purge, _purge(settings, container)),
        (_Deliveries, _delivering(settings, container, spans)),
        (BacklogReaders, _backlog_readers(settings, store, container)),
        *_sweeping(settings, container).items(),
        (RecordFacts, record),
        (ExecuteOperation, execute),
        (EraseAccount, _erase(container)),
        (IngestQueue, ingest_queue),
        (IssueAccessPass, _issue_access_pass(settings, container)),
        (LimitDeclines, _limit_declines(settings, container)),
        (LogAccounts, _log_accounts(container)),
        (ReadFeed, _read_feed(container)),
        (FollowRevocations, _follow_revocations(settings, container)),
        (AwaitRevocation, _await_revocation(container)),
        (InvalidateToken, _invalidate_token(settings, container)),
        (RunWork, run_work),
        (SyncUser, _sync_user(container)),
    ):
        made = measuring.made_by(it, provider)
        container.register(it, made, scope=punq.Scope.singleton)
    # A wrong key is found now, not at the first request.
    for eager, variable in _CHECKED.items():
        try:
            container.resolve(eager)
        except InvalidValue as error:
            raise SettingsError({variable: error.reason}) from error
    return Container(container, spans)


def _traced(
    spans: Spans, port: Any, provider: Callable[[], object]
) -> Callable[[], object]:
    return lambda: spans.port(port, provider())


@attrs.frozen
class _Deliveries:
    each: Sequence[DeliverChanges]


def _delivering(
    settings: Settings, container: punq.Container, spans: Spans
) -> Callable[[], _Deliveries]:
    def deliver() -> _Deliveries:
        sender = spans.port(ChangeSender, container.resolve(WebhookSender))
        reports = container.resolve(DeliveryReports)
        deliver_changes = container.resolve(MeasuredUseCases).of(DeliverChanges)
        for it in settings.webhooks_out:
            reports.begin(it.name)
        return _Deliveries(
            [
                deliver_changes(
                    it.name,
                    container.resolve(DeliveryQueue),
                    container.resolve(FeedReader),
                    sender,
                    partial(change_body, container.resolve(Policy)),
                    container.resolve(SystemClock),
                    random.random,
                    reports,
                    it.from_start,
                )
                for it in settings.webhooks_out
            ]
        )

    return deliver


def _backlog_readers(
    settings: Settings, store: PostgresStore, container: punq.Container
) -> Callable[[], BacklogReaders]:
    def calls_left() -> Awaitable[Mapping[str, float]]:
        now = container.resolve(SystemClock)()
        return PostgresCallBudget(store).left(per_s=CALLS_PER_S, now=now)

    def readers() -> BacklogReaders:
        return BacklogReaders(
            container.resolve(JobDirectory),
            container.resolve(EventLog),
            container.resolve(Checkpoints),
            container.resolve(BacklogReader),
            container.resolve(Clock),
            container.resolve(SystemClock),
            [it.name for it in settings.webhooks_out],
            calls_left,
        )

    return readers


def _event_lists(
    settings: Settings, container: punq.Container
) -> Mapping[type, Callable[[], object]]:
    def back_fill() -> BackFillEvents:
        return BackFillEvents(
            container.resolve(PaymentGateway),
            container.resolve(Checkpoints),
            container.resolve(EventLog),
            container.resolve(RecordFacts),
            container.resolve(Clock),
            container.resolve(SystemClock),
            timedelta(seconds=settings.event_back_fill_s),
            container.resolve(BackFillReports),
        )

    def recover() -> RecoverEvents:
        return RecoverEvents(
            container.resolve(PaymentGateway),
            container.resolve(EventLog),
            container.resolve(RecordFacts),
        )

    return {BackFillEvents: back_fill, RecoverEvents: recover}


def _limit_declines(
    settings: Settings, container: punq.Container
) -> Callable[[], LimitDeclines]:
    def limit_declines() -> LimitDeclines:
        return LimitDeclines(
            container.resolve(IntentDirectory),
            container.resolve(Clock),
            settings.declines_per_hour,
            container.resolve(LimitReports).refuse_declined,
        )

    return limit_declines


def _read_feed(container: punq.Container) -> Callable[[], ReadFeed]:
    def read_feed() -> ReadFeed:
        return ReadFeed(container.resolve(FeedReader), container.resolve(Policy))

    return read_feed


def _follow_revocations(
    settings: Settings, container: punq.Container
) -> Callable[[], FollowRevocations]:
    def follow() -> FollowRevocations:
        return FollowRevocations(
            container.resolve(RevocationLog),
            container.resolve(TokenStore),
            container.resolve(LeaseClock),
            container.resolve(SystemClock),
            _uuid(),
            # Of whichever issuer: a revocation has to be known while a token lives.
            max(settings.jwt_max_age, settings.kubernetes_max_age),
            _log_unheard,
        )

    return follow


def _await_revocation(container: punq.Container) -> Callable[[], AwaitRevocation]:
    def wait() -> AwaitRevocation:
        return AwaitRevocation(
            container.resolve(RevocationLog),
            container.resolve(LeaseClock),
            container.resolve(FollowRevocations).poll_now,
        )

    return wait


def _invalidate_token(
    settings: Settings, container: punq.Container
) -> Callable[[], InvalidateToken]:
    def invalidate() -> InvalidateToken:
        return InvalidateToken(
            container.resolve(TokenVerifier),
            container.resolve(TokenStore),
            container.resolve(SystemClock),
            container.resolve(AwaitRevocation),
            max(settings.jwt_max_age, settings.kubernetes_max_age),
        )

    return invalidate


def _erase(container: punq.Container) -> Callable[[], EraseAccount]:
    def erase() -> EraseAccount:
        return EraseAccount(
            container.resolve(RecordFacts),
            container.resolve(AccountDirectory),
            container.resolve(Erasures),
            container.resolve(Clock),
            container.resolve(NewId),
        )

    return erase


def _issue_access_pass(
    settings: Settings, container: punq.Container
) -> Callable[[], IssueAccessPass]:
    def issue() -> IssueAccessPass:
        return IssueAccessPass(
            container.resolve(ReadAccess),
            container.resolve(PassSigner),
            container.resolve(SystemClock),
            settings.access_pass_lifetime,
        )

    return issue


def _log_accounts(container: punq.Container) -> Callable[[], LogAccounts]:
    def log_accounts() -> LogAccounts:
        return LogAccounts(
            container.resolve(LogGaps),
            container.resolve(RecordFacts),
            container.resolve(Checkpoints),
        )

    return log_accounts


def _purge(settings: Settings, container: punq.Container) -> Callable[[], Purge]:
    def purge() -> Purge:
        return Purge(
            container.resolve(PurgeStore),
            container.resolve(Erasures),
            container.resolve(Checkpoints),
            container.resolve(Clock),
            container.resolve(SystemClock),
            settings.retention,
            container.resolve(PurgeReports),
        )

    return purge


def _sweeping(
    settings: Settings, container: punq.Container
) -> Mapping[type, Callable[[], object]]:
    def reconcile() -> Reconcile:
        return Reconcile(
            container.resolve(GatewayLists),
            container.resolve(SpareGateway),
            container.resolve(RecordFacts),
            container.resolve(AccountDirectory),
            container.resolve(JobDirectory),
            container.resolve(EventLog),
            container.resolve(KeptObjects),
            container.resolve(Checkpoints),
        )

    def run_sweep() -> RunSweep:
        return RunSweep(container.resolve(Reconcile))

    def sweep_nightly() -> SweepNightly:
        return SweepNightly(
            container.resolve(RunSweep),
            container.resolve(Checkpoints),
            container.resolve(SystemClock),
            settings.sweep == REPAIRS,
            container.resolve(SweepReports),
        )

    return {Reconcile: reconcile, RunSweep: run_sweep, SweepNightly: sweep_nightly}


def _sync_user(container: punq.Container) -> Callable[[], SyncUser]:
    def sync_user() -> SyncUser:
        # The user waits: what is fetched is asked as their operations are.
        gateway = container.resolve(PaymentGateway)
        return SyncUser(
            container.resolve(GetAuthorizedAccount),
            attrs.evolve(container.resolve(Reconcile), gateway=gateway),
            container.resolve(ExecuteOperation),
            container.resolve(GetPaymentStatus),
        )

    return sync_user


def _edges(
    settings: Settings, system_clock: SystemClock, refreshing: Refreshing
) -> _Providers:
    def clock() -> Clock:
        return utc_now

    def real_clock() -> SystemClock:
        return system_clock

    def policy() -> Policy:
        return Policy(
            grace=settings.grace,
            livemode=settings.livemode,
            catalogue=settings.catalogue,
        )

    def verifier() -> TokenVerifier:
        return refreshing.verifier

    def pass_signer() -> PassSigner:
        keys = settings.access_pass_keys
        return PassSigning(
            PassKeys.from_jwks(keys) if keys else None, settings.access_pass_issuer
        )

    def new_id() -> NewId:
        return _uuid

    def event_reader() -> EventReader:
        return StripeEvents(refreshing.signatures, livemode=settings.livemode)

    return {
        Clock: clock,
        SystemClock: real_clock,
        PassSigner: pass_signer,
        NewId: new_id,
        Policy: policy,
        TokenVerifier: verifier,
        EventReader: event_reader,
    }


def _stores(store: PostgresStore, tombstones: Tombstones | None) -> _Providers:
    def ledger() -> Ledger:
        return PostgresLedger(store, tombstones=tombstones)

    def work_queue() -> WorkQueue:
        return PostgresWorkQueue(store)

    def token_store() -> TokenStore:
        return PostgresTokens(store)

    return {
        Ledger: ledger,
        WorkQueue: work_queue,
        TokenStore: token_store,
    }


def _revocations(postgres_log: PostgresRevocationLog) -> _Providers:
    def log() -> RevocationLog:
        return postgres_log

    def lease_clock() -> LeaseClock:
        return lease_seconds

    return {RevocationLog: log, LeaseClock: lease_clock}


def _directories(store: PostgresStore) -> _Providers:
    def directory() -> AccountDirectory:
        return PostgresDirectory(store)

    def history() -> AccountHistory:
        return PostgresAccountHistory(store)

    def payments() -> PaymentDirectory:
        return PostgresPaymentDirectory(store)

    def audit_log() -> AuditLog:
        return PostgresAuditLog(store)

    def event_log() -> EventLog:
        return PostgresEventLog(store)

    def intents() -> IntentDirectory:
        return PostgresIntentDirectory(store)

    def jobs() -> JobDirectory:
        return PostgresJobDirectory(store)

    return {
        AccountDirectory: directory,
        AccountHistory: history,
        PaymentDirectory: payments,
        AuditLog: audit_log,
        EventLog: event_log,
        IntentDirectory: intents,
        JobDirectory: jobs,
    }


def _lists(store: PostgresStore) -> _Providers:
    def user_list() -> UserList:
        return PostgresUserList(store)

    def timelines() -> Timelines:
        return PostgresTimelines(store)

    def log_gaps() -> LogGaps:
        return PostgresLogGaps(store)

    def feed_reader() -> FeedReader:
        return PostgresFeedReader(store)

    def feed_sequencer() -> FeedSequencer:
        return PostgresFeedSequencer(store)

    return {
        UserList: user_list,
        Timelines: timelines,
        FeedReader: feed_reader,
        LogGaps: log_gaps,
        FeedSequencer: feed_sequencer,
    }


def _deliveries(store: PostgresStore) -> _Providers:
    def queue() -> DeliveryQueue:
        return PostgresDeliveries(store)

    def directory() -> DeliveryDirectory:
        return PostgresDeliveries(store)

    return {DeliveryQueue: queue, DeliveryDirectory: directory}


def _loop_stores(store: PostgresStore, tombstones: Tombstones | None) -> _Providers:
    def erasures() -> Erasures:
        return PostgresErasures(store, tombstones)

    def checkpoints() -> Checkpoints:
        return PostgresCheckpoints(store)

    def backlog() -> BacklogReader:
        return PostgresBacklog(store)

    def kept_objects() -> KeptObjects:
        return PostgresKeptObjects(store)

    def purge_store() -> PurgeStore:
        return PostgresPurgeStore(store)

    return {
        BacklogReader: backlog,
        Checkpoints: checkpoints,
        KeptObjects: kept_objects,
        Erasures: erasures,
        PurgeStore: purge_store,
    }


def _money(
    store: PostgresStore,
    stripe: StripeGateway,
    breaker: CircuitBreaker,
    system_clock: SystemClock,
    listener: GatewayListener,
) -> _Providers:
    def budget() -> CallBudget:
        return PostgresCallBudget(store)

    def gateway() -> PaymentGateway:
        return RateLimitedGateway(
            stripe, budget(), breaker, system_clock, listener=listener
        )

    def spare_gateway() -> SpareGateway:
        spare = SpareCallBudget(PostgresCallBudget(store))
        return SpareGateway(stripe, spare, breaker, system_clock, listener=listener)

    return {
        CallBudget: budget,
        PaymentGateway: gateway,
        SpareGateway: spare_gateway,
    }


def _gateway_lists(
    store: PostgresStore,
    lists: StripeLists,
    breaker: CircuitBreaker,
    system_clock: SystemClock,
    listener: GatewayListener,
) -> _Providers:
    def gateway_lists() -> GatewayLists:
        # The same budget and key, behind users' own operations. The breaker is its own:
        # a page that cannot be read stops nobody else.
        own = CircuitBreaker(system_clock, breaker.key)
        return RateLimitedLists(
            lists, PostgresCallBudget(store), own, system_clock, listener=listener
        )

    return {GatewayLists: gateway_lists}


def _uuid() -> str:
    return str(uuid.uuid4())


def _log_work(work: FailedWork, error: Exception) -> None:
    log = structlog.get_logger()
    if isinstance(work, LinkRequested):
        log.error("linking failed", user_id=work.user_id, exc_info=error)
        return
    if isinstance(work, Intent):
        log.error("intent failed", intent_id=work.id, kind=work.kind, exc_info=error)
        return
    again = work.failed(utc_now(), "")
    log.log(
        logging.ERROR if again.is_failing else logging.WARNING,
        "job is failing" if again.is_failing else "job failed",
        kind=work.key.kind,
        subject=work.key.subject,
        attempts=again.lease.attempts,
        exc_info=error,
    )


def _log_key(what: str, reason: str) -> None:
    structlog.get_logger().error(
        "stripe refuses the API key",
        what=what,
        reason=reason,
        advice="set PAYMENTS_STRIPE_API_KEY to a key that is valid and may do this",
    )


def _log_unheard(error: Exception) -> None:
    structlog.get_logger().warning(
        "revocations cannot be read: callers are answered 503 in a second",
        error=str(error),
        exc_info=None if isinstance(error, StoreUnavailable) else error,
    )


def _log_bug(subject: str, error: Exception) -> None:
    structlog.get_logger().error("bug", subject=subject, exc_info=error)


def _log_failure(event: GatewayEvent, error: Exception) -> None:
    structlog.get_logger().error(
        "event set aside", event_id=event.id, event_type=event.type, exc_info=error
    )
