"""A gateway that is not called too often, or while it does not answer.

Rule 1: all pods share one budget of calls for each endpoint, well below the gateway's
        own limit: a call that finds it used up is not attempted. A process draws a few
        calls at a time, and uses them within a second or drops them.
Rule 2: after several calls in a row without a definite answer, no calls are made for a
        while; then one trial call decides. The same happens after the first call whose
        key was refused, which is reported at once.
Rule 3: background reads leave half of the budget to other calls.
Rule 4: prices are remembered for a minute: many concurrent operations with the same
        price fetch it once.
"""

from payments_adapters.rate_limited_gateway.call_budget import (
    CALLS_PER_S,
    TAKEN_KEEPS,
    WAITS_MAX,
    CallBudget,
)
from payments_adapters.rate_limited_gateway.circuit_breaker import (
    PAUSE,
    UNKNOWN_OUTCOMES_MAX,
    BreakerState,
    CircuitBreaker,
)
from payments_adapters.rate_limited_gateway.gateway import (
    RateLimitedGateway,
    SpareGateway,
)
from payments_adapters.rate_limited_gateway.key_watch import KEY, KeyWatch
from payments_adapters.rate_limited_gateway.listener import GatewayListener
from payments_adapters.rate_limited_gateway.object_lists import (
    RateLimitedLists,
    SpareCallBudget,
    SpareCalls,
)
from payments_adapters.rate_limited_gateway.operations import operation_of
from payments_adapters.rate_limited_gateway.remembered_prices import PRICE_KEEPS

__all__ = [
    "CALLS_PER_S",
    "KEY",
    "PAUSE",
    "PRICE_KEEPS",
    "TAKEN_KEEPS",
    "UNKNOWN_OUTCOMES_MAX",
    "WAITS_MAX",
    "BreakerState",
    "CallBudget",
    "CircuitBreaker",
    "GatewayListener",
    "KeyWatch",
    "RateLimitedGateway",
    "RateLimitedLists",
    "SpareCallBudget",
    "SpareCalls",
    "SpareGateway",
    "operation_of",
]
