"""All ports in memory: for tests, demos and services that embed the core.

The stores are as strict as Postgres: each group of a save is all or nothing, stale
writes are refused, and a returned value never changes. The payment
gateway is a small fake.
"""

from payments_adapters.memory.account_history import MemoryAccountHistory
from payments_adapters.memory.backlog import MemoryBacklog
from payments_adapters.memory.checkpoints import MemoryCheckpoints
from payments_adapters.memory.clock import FixedClock
from payments_adapters.memory.deliveries import MemoryDeliveries
from payments_adapters.memory.erasures import MemoryErasures
from payments_adapters.memory.feed import MemoryFeedReader, MemoryFeedSequencer
from payments_adapters.memory.gateway import NOT_PAYING, MemoryGateway
from payments_adapters.memory.gateway_objects import GatewayObjects
from payments_adapters.memory.ledger import MemoryDatabase, MemoryLedger
from payments_adapters.memory.log_gaps import MemoryLogGaps
from payments_adapters.memory.object_lists import MemoryLists
from payments_adapters.memory.purge_store import MemoryPurgeStore
from payments_adapters.memory.readers import (
    MemoryAccountDirectory,
    MemoryAuditLog,
    MemoryEventLog,
    MemoryIntentDirectory,
    MemoryJobDirectory,
    MemoryKeptObjects,
    MemoryPaymentDirectory,
)
from payments_adapters.memory.tokens import MemoryTokenStore
from payments_adapters.memory.user_lists import MemoryTimelines, MemoryUserList
from payments_adapters.memory.work_queue import MemoryWorkQueue

__all__ = [
    "NOT_PAYING",
    "FixedClock",
    "GatewayObjects",
    "MemoryAccountDirectory",
    "MemoryAccountHistory",
    "MemoryAuditLog",
    "MemoryBacklog",
    "MemoryCheckpoints",
    "MemoryDatabase",
    "MemoryDeliveries",
    "MemoryErasures",
    "MemoryEventLog",
    "MemoryFeedReader",
    "MemoryFeedSequencer",
    "MemoryGateway",
    "MemoryIntentDirectory",
    "MemoryJobDirectory",
    "MemoryKeptObjects",
    "MemoryLedger",
    "MemoryLists",
    "MemoryLogGaps",
    "MemoryPaymentDirectory",
    "MemoryPurgeStore",
    "MemoryTimelines",
    "MemoryTokenStore",
    "MemoryUserList",
    "MemoryWorkQueue",
]
