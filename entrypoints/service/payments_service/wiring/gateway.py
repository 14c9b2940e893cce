"""Stripe, behind a budget of calls and a circuit breaker."""

import attrs

from payments_adapters.postgres.call_budget import PostgresCallBudget
from payments_adapters.postgres.store import PostgresStore
from payments_adapters.rate_limited_gateway import (
    CallBudget,
    CircuitBreaker,
    GatewayListener,
    RateLimitedGateway,
    RateLimitedLists,
    SpareCallBudget,
    SpareGateway,
)
from payments_adapters.stripe.gateway import StripeGateway
from payments_adapters.stripe.object_lists import StripeLists
from payments_core.ports import GatewayLists, PaymentGateway, SystemClock
from payments_service.wiring import Providers


@attrs.frozen
class Gateways:
    """Makes the clients of Stripe; all share one budget and one key."""

    _store: PostgresStore
    _stripe: StripeGateway
    _lists: StripeLists
    _breaker: CircuitBreaker
    _system_clock: SystemClock
    _listener: GatewayListener

    @property
    def providers(self) -> Providers:
        return {
            CallBudget: self.budget,
            PaymentGateway: self.gateway,
            GatewayLists: self.lists,
            SpareGateway: self.spare_gateway,
        }

    def budget(self) -> CallBudget:
        return PostgresCallBudget(self._store)

    def gateway(self) -> PaymentGateway:
        return RateLimitedGateway(
            self._stripe,
            self.budget(),
            self._breaker,
            self._system_clock,
            listener=self._listener,
        )

    def lists(self) -> GatewayLists:
        # After users' own operations. The circuit breaker is its own: a page that
        # cannot be read stops nothing else.
        own = CircuitBreaker(self._system_clock, self._breaker.key)
        return RateLimitedLists(
            self._lists,
            PostgresCallBudget(self._store),
            own,
            self._system_clock,
            listener=self._listener,
        )

    def spare_gateway(self) -> SpareGateway:
        return SpareGateway(
            self._stripe,
            SpareCallBudget(PostgresCallBudget(self._store)),
            self._breaker,
            self._system_clock,
            listener=self._listener,
        )
