"""Providers of ports and of use cases, for the container."""

from collections.abc import Callable, Mapping
from typing import Any

Providers = Mapping[Any, Callable[[], object]]
