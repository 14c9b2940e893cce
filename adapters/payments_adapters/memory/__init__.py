"""Every port, in memory: for tests, demos and services that embed the core.

The stores are as strict as Postgres: each group of a save is all or nothing, stale
writes are refused, and nothing that was handed out changes afterwards. The payment
gateway is a small fake.
"""

from payments_adapters.memory.clock import FixedClock
from payments_adapters.memory.gateway import (
    NOT_PAYING,
    GatewayObjects,
    MemoryGateway,
)
from payments_adapters.memory.ledger import MemoryDatabase, MemoryLedger
from payments_adapters.memory.object_lists import MemoryLists
from payments_adapters.memory.readers import (
    MemoryAccountDirectory,
    MemoryEventLog,
    MemoryIntentDirectory,
    MemoryJobDirectory,
    MemoryPaymentDirectory,
)
from payments_adapters.memory.tokens import MemoryTokenStore
from payments_adapters.memory.work_queue import MemoryWorkQueue

__all__ = [
    "NOT_PAYING",
    "FixedClock",
    "GatewayObjects",
    "MemoryAccountDirectory",
    "MemoryDatabase",
    "MemoryEventLog",
    "MemoryGateway",
    "MemoryIntentDirectory",
    "MemoryJobDirectory",
    "MemoryLedger",
    "MemoryLists",
    "MemoryPaymentDirectory",
    "MemoryTokenStore",
    "MemoryWorkQueue",
]
