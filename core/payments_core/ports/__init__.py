"""The ports: what the core needs from adapters.

A docstring here is a contract; `tests/contracts` tests every adapter against it. Any
store may raise `StoreUnavailable`: the store did not answer, the change may or may not
have happened, and the same call can safely be repeated.
"""

from payments_core.ports.accounts import (
    AccountDirectory,
    AccountHistory,
    AuditLog,
    IntentDirectory,
    Ledger,
    LogGaps,
    PaymentDirectory,
    Timelines,
    UserList,
)
from payments_core.ports.clocks import Clock, LeaseClock, NewId, SystemClock
from payments_core.ports.deletion import Erasures, PurgeStore
from payments_core.ports.deliveries import (
    ChangeBody,
    ChangeSender,
    DeliveryDirectory,
    DeliveryQueue,
    FeedReader,
    FeedSequencer,
)
from payments_core.ports.events import EventLog, EventReader
from payments_core.ports.gateway import GatewayLists, KeptObjects, PaymentGateway
from payments_core.ports.tokens import (
    PassSigner,
    RevocationLog,
    TokenStore,
    TokenVerifier,
)
from payments_core.ports.work import BacklogReader, Checkpoints, JobDirectory, WorkQueue

__all__ = [
    "AccountDirectory",
    "AccountHistory",
    "AuditLog",
    "BacklogReader",
    "ChangeBody",
    "ChangeSender",
    "Checkpoints",
    "Clock",
    "DeliveryDirectory",
    "DeliveryQueue",
    "Erasures",
    "EventLog",
    "EventReader",
    "FeedReader",
    "FeedSequencer",
    "GatewayLists",
    "IntentDirectory",
    "JobDirectory",
    "KeptObjects",
    "LeaseClock",
    "Ledger",
    "LogGaps",
    "NewId",
    "PassSigner",
    "PaymentDirectory",
    "PaymentGateway",
    "PurgeStore",
    "RevocationLog",
    "SystemClock",
    "Timelines",
    "TokenStore",
    "TokenVerifier",
    "UserList",
    "WorkQueue",
]
