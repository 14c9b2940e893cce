"""Every port, in memory: for tests, demos and services that embed the core.

As strict as Postgres: nothing is visible before `commit`, stale writes are refused,
and nothing that was handed out changes afterwards.
"""

from payments_adapters.memory.clock import FixedClock
from payments_adapters.memory.gateway import MemoryGateway
from payments_adapters.memory.gateway_books import Ledger
from payments_adapters.memory.gateway_faults import GatewayFault
from payments_adapters.memory.readers import (
    MemoryAccountDirectory,
    MemoryEventLog,
    MemoryIntentDirectory,
)
from payments_adapters.memory.tokens import MemoryTokenStore
from payments_adapters.memory.unit_of_work import MemoryDatabase, MemoryUnitOfWork

__all__ = [
    "FixedClock",
    "GatewayFault",
    "Ledger",
    "MemoryAccountDirectory",
    "MemoryDatabase",
    "MemoryEventLog",
    "MemoryGateway",
    "MemoryIntentDirectory",
    "MemoryTokenStore",
    "MemoryUnitOfWork",
]
