"""Every call of the adapters of Postgres: `calls` lists them, the rest makes them."""

from support.hot_calls.adapters import World
from support.hot_calls.calls import CALLS, Call

__all__ = ["CALLS", "Call", "World"]
