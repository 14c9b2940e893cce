"""Calls to Stripe: counted."""

from collections import Counter

import attrs
from typing_extensions import override

from payments_adapters.rate_limited_gateway import GatewayListener
from payments_service.tallies import CallTallies


@attrs.define(eq=False)
class GatewayReports(GatewayListener):
    """Counts calls to Stripe, and waits for the shared budget."""

    calls: CallTallies = attrs.field(init=False, factory=CallTallies)
    waits: Counter[str] = attrs.field(init=False, factory=Counter)

    @override
    def called(
        self, operation: str, error: BaseException | None, seconds: float | None
    ) -> None:
        self.calls.add(operation, error, seconds)

    @override
    def waited(self, endpoint: str) -> None:
        self.waits[endpoint] += 1
