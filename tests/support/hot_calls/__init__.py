"""Every call of the Postgres adapters: `calls` lists them, the other files call."""

from support.hot_calls.adapters import World
from support.hot_calls.calls import CALLS, Call

__all__ = ["CALLS", "Call", "World"]
