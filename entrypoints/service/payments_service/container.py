"""The composition root: everything in a process is wired here.

`wiring` decides which adapter a port gets. punq accepts any object for any key, so a
provider declares the port as its return type, and mypy checks the adapter there.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar

import attrs
import punq

from payments_adapters.postgres.personal_data import AccountExport
from payments_adapters.postgres.revocation_log import PostgresRevocationLog
from payments_adapters.postgres.store import PostgresStore
from payments_adapters.rate_limited_gateway import (
    CircuitBreaker,
    KeyWatch,
    SpareGateway,
)
from payments_adapters.stripe.gateway import StripeGateway
from payments_adapters.stripe.object_lists import StripeLists
from payments_adapters.webhooks_out import WebhookSender
from payments_core.errors import InvalidValue
from payments_core.jobs import DeliverChanges
from payments_core.ports import (
    Checkpoints,
    Clock,
    EventLog,
    EventReader,
    GatewayLists,
    JobDirectory,
    Ledger,
    PassSigner,
    PaymentGateway,
    SystemClock,
)
from payments_service.back_fill_reports import BackFillReports
from payments_service.clocks import utc_now
from payments_service.delivery_reports import DeliveryReports
from payments_service.event_loop_lag import EventLoopLag
from payments_service.gateway_reports import GatewayReports
from payments_service.lanes import InFlightLimits
from payments_service.limit_reports import LimitReports
from payments_service.metrics.use_cases import MeasuredUseCases
from payments_service.purge_reports import PurgeReports
from payments_service.rate_limits import RateLimiter
from payments_service.refreshing import Refreshing
from payments_service.settings import Settings, SettingsError
from payments_service.spans import NO_SPANS, Spans
from payments_service.sweep_reports import SweepReports
from payments_service.tallies import RequestTallies
from payments_service.webhook_reports import WebhookReports
from payments_service.wiring import Providers
from payments_service.wiring.edges import edges
from payments_service.wiring.failure_log import log_key
from payments_service.wiring.gateway import Gateways
from payments_service.wiring.stores import stores
from payments_service.wiring.use_cases import USE_CASES, UseCases
from payments_service.wiring.worker import Deliveries, WorkerUseCases
from payments_service.work_reports import WorkReports

_CHECKED: Final[Mapping[Any, str]] = {
    PassSigner: "PAYMENTS_ACCESS_PASS_KEYS",
}

_T = TypeVar("_T")


@attrs.frozen(kw_only=True)
class Overrides:
    """Adapters that replace the usual ones; None is the usual one.

    They are not opened here: the caller opens and closes them.
    """

    clock: Clock | None = None
    system_clock: SystemClock | None = None
    ledger: Ledger | None = None
    gateway: PaymentGateway | None = None
    lists: GatewayLists | None = None

    @property
    def providers(self) -> Providers:
        wired: Mapping[Any, object] = {
            Clock: self.clock,
            SystemClock: self.system_clock,
            Ledger: self.ledger,
            PaymentGateway: self.gateway,
            SpareGateway: self.gateway,
            GatewayLists: self.lists,
        }
        return {port: _giving(it) for port, it in wired.items() if it is not None}


def _giving(adapter: object) -> Callable[[], object]:
    return lambda: adapter


_NO_OVERRIDES: Final = Overrides()


class Container:
    """Resolves the use cases, and the few adapters that must be opened."""

    def __init__(self, container: punq.Container, spans: Spans = NO_SPANS) -> None:
        self._container = container
        self.spans = spans

    def __getitem__(self, wanted: type[_T]) -> _T:
        resolved: _T = self._container.resolve(wanted)
        return resolved

    @property
    def jobs(self) -> JobDirectory:
        found: JobDirectory = self._container.resolve(JobDirectory)
        return found

    @property
    def events(self) -> EventLog:
        found: EventLog = self._container.resolve(EventLog)
        return found

    @property
    def deliveries(self) -> Sequence[DeliverChanges]:
        """Return the use case that delivers to each endpoint."""
        found: Sequence[DeliverChanges] = self._container.resolve(Deliveries).each
        return found

    @property
    def checkpoints(self) -> Checkpoints:
        found: Checkpoints = self._container.resolve(Checkpoints)
        return found

    @property
    def clock(self) -> Clock:
        found: Clock = self._container.resolve(Clock)
        return found

    @property
    def reader(self) -> EventReader:
        # A port, so not resolved by class: mypy does not accept a protocol as a value.
        found: EventReader = self._container.resolve(EventReader)
        return found


@asynccontextmanager
async def opened(container: Container) -> AsyncIterator[None]:
    """Open the connections of the adapters: to the database, the gateway, others."""
    async with (
        container[PostgresStore].opened(),
        container[StripeGateway].opened(),
        container[StripeLists].opened(),
        container[WebhookSender].opened(),
        container[PostgresRevocationLog].opened(),
        container[Refreshing].opened(),
    ):
        yield


def build_container(
    settings: Settings,
    overrides: Overrides = _NO_OVERRIDES,
    spans: Spans = NO_SPANS,
) -> Container:
    """Wire everything; nothing is opened, connected or started yet.

    `spans` wrap ports and use cases.

    Raises:
        SettingsError: the JWT keys or the webhook secrets cannot be used.
    """
    store = PostgresStore(settings.database_url, settings.database_pool_size)
    stripe = StripeGateway(
        settings.stripe_api_key,
        base=settings.stripe_api_base,
        livemode=settings.livemode,
    )
    lists = StripeLists(
        settings.stripe_api_key,
        base=settings.stripe_api_base,
        livemode=settings.livemode,
    )
    system_clock = overrides.system_clock or utc_now
    breaker = CircuitBreaker(system_clock, KeyWatch(system_clock, log_key))
    container = punq.Container()
    container.register(PostgresStore, instance=store)
    container.register(AccountExport, instance=AccountExport(store))
    container.register(StripeGateway, instance=stripe)
    container.register(StripeLists, instance=lists)
    container.register(CircuitBreaker, instance=breaker)
    container.register(WebhookReports, instance=WebhookReports())
    limit_reports = LimitReports()
    container.register(LimitReports, instance=limit_reports)
    limiter = RateLimiter(settings.rate_limits, limit_reports.limit)
    container.register(RateLimiter, instance=limiter)
    container.register(InFlightLimits, instance=settings.in_flight)
    container.register(BackFillReports, instance=BackFillReports())
    container.register(SweepReports, instance=SweepReports())
    container.register(PurgeReports, instance=PurgeReports())
    container.register(DeliveryReports, instance=DeliveryReports())
    container.register(RequestTallies, instance=RequestTallies())
    container.register(WorkReports, instance=WorkReports())
    container.register(EventLoopLag, instance=EventLoopLag())
    calls = GatewayReports()
    container.register(GatewayReports, instance=calls)
    measuring = MeasuredUseCases(spans.call)
    container.register(MeasuredUseCases, instance=measuring)
    revocation_log = PostgresRevocationLog(
        store, PostgresStore(settings.database_url, 1, writability=store.writability)
    )
    container.register(PostgresRevocationLog, instance=revocation_log)
    refreshing = Refreshing.of(settings, system_clock)
    container.register(Refreshing, instance=refreshing)
    sender = WebhookSender(settings.webhooks_out, system_clock)
    container.register(WebhookSender, instance=sender)
    gateways = Gateways(store, stripe, lists, breaker, system_clock, calls)
    providers = {
        **edges(settings, system_clock, refreshing),
        **stores(store, revocation_log, settings.tombstones),
        **gateways.providers,
    }
    for port, provider in {**providers, **overrides.providers}.items():
        traced = _traced(spans, port, provider)
        container.register(port, traced, scope=punq.Scope.singleton)
    for use_case in USE_CASES:
        measured = measuring.of(use_case)
        container.register(use_case, measured, scope=punq.Scope.singleton)

    use_cases = {
        **UseCases(settings, spans, container.resolve).providers,
        **WorkerUseCases(settings, store, spans, container.resolve).providers,
    }
    for it, provider in use_cases.items():
        made = measuring.made_by(it, provider)
        container.register(it, made, scope=punq.Scope.singleton)
    # A wrong key fails now, not at the first request.
    for eager, variable in _CHECKED.items():
        try:
            container.resolve(eager)
        except InvalidValue as error:
            raise SettingsError({variable: error.reason}) from error
    return Container(container, spans)


def _traced(
    spans: Spans, port: Any, provider: Callable[[], object]
) -> Callable[[], object]:
    return lambda: spans.port(port, provider())
