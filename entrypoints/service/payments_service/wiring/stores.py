"""The stores: each port of the core in Postgres."""

from payments_adapters.postgres.account_directory import PostgresDirectory
from payments_adapters.postgres.account_history import PostgresAccountHistory
from payments_adapters.postgres.audit_log import PostgresAuditLog
from payments_adapters.postgres.backlog import PostgresBacklog
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
from payments_adapters.postgres.purge_store import PostgresPurgeStore
from payments_adapters.postgres.revocation_log import PostgresRevocationLog
from payments_adapters.postgres.store import PostgresStore
from payments_adapters.postgres.timelines import PostgresTimelines
from payments_adapters.postgres.token_store import PostgresTokens
from payments_adapters.postgres.user_list import PostgresUserList
from payments_adapters.postgres.work_queue import PostgresWorkQueue
from payments_core.ports import (
    AccountDirectory,
    AccountHistory,
    AuditLog,
    BacklogReader,
    Checkpoints,
    DeliveryDirectory,
    DeliveryQueue,
    Erasures,
    EventLog,
    FeedReader,
    FeedSequencer,
    IntentDirectory,
    JobDirectory,
    KeptObjects,
    LeaseClock,
    Ledger,
    LogGaps,
    PaymentDirectory,
    PurgeStore,
    RevocationLog,
    Timelines,
    TokenStore,
    UserList,
    WorkQueue,
)
from payments_core.tombstones import Tombstones
from payments_service.clocks import lease_seconds
from payments_service.wiring import Providers


def stores(
    store: PostgresStore,
    log: PostgresRevocationLog,
    tombstones: Tombstones | None,
) -> Providers:
    return {
        **_written(store, tombstones),
        **_revocations(log),
        **_directories(store),
        **_lists(store),
        **_deliveries(store),
        **_loop_stores(store, tombstones),
    }


def _written(store: PostgresStore, tombstones: Tombstones | None) -> Providers:
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


def _revocations(postgres_log: PostgresRevocationLog) -> Providers:
    def log() -> RevocationLog:
        return postgres_log

    def lease_clock() -> LeaseClock:
        return lease_seconds

    return {RevocationLog: log, LeaseClock: lease_clock}


def _directories(store: PostgresStore) -> Providers:
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


def _lists(store: PostgresStore) -> Providers:
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


def _deliveries(store: PostgresStore) -> Providers:
    def queue() -> DeliveryQueue:
        return PostgresDeliveries(store)

    def directory() -> DeliveryDirectory:
        return PostgresDeliveries(store)

    return {DeliveryQueue: queue, DeliveryDirectory: directory}


def _loop_stores(store: PostgresStore, tombstones: Tombstones | None) -> Providers:
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
