"""The metrics of each kind of process, for its ops port."""

from collections.abc import Sequence

from prometheus_client.registry import Collector

from payments_adapters.postgres.store import PostgresStore
from payments_adapters.rate_limited_gateway import CircuitBreaker
from payments_core.use_cases import FollowRevocations
from payments_service.back_fill_reports import BackFillReports
from payments_service.container import Container
from payments_service.delivery_reports import DeliveryReports
from payments_service.event_loop_lag import EventLoopLag
from payments_service.gateway_reports import GatewayReports
from payments_service.ingest_queue import IngestQueue
from payments_service.limit_reports import LimitReports
from payments_service.metrics.backlog import BacklogMetrics, BacklogReaders
from payments_service.metrics.database import DatabaseMetrics
from payments_service.metrics.gateway import (
    GatewayCallMetrics,
    GatewayMetrics,
)
from payments_service.metrics.limits import LimitMetrics
from payments_service.metrics.loops import (
    BackFillMetrics,
    DeliveryMetrics,
    PurgeMetrics,
    SweepMetrics,
    WorkMetrics,
)
from payments_service.metrics.process import ProcessMetrics
from payments_service.metrics.requests import RequestMetrics
from payments_service.metrics.tokens import KeyMetrics, RevocationMetrics
from payments_service.metrics.use_cases import MeasuredUseCases, UseCaseMetrics
from payments_service.metrics.webhooks import (
    IngestMetrics,
    ReceivedMetrics,
    WebhookMetrics,
)
from payments_service.purge_reports import PurgeReports
from payments_service.refreshing import Refreshing
from payments_service.sweep_reports import SweepReports
from payments_service.tallies import RequestTallies
from payments_service.webhook_reports import WebhookReports
from payments_service.work_reports import WorkReports


def of_any(container: Container) -> Sequence[Collector]:
    """Return the metrics of every process."""
    return (
        DatabaseMetrics(container[PostgresStore]),
        ProcessMetrics(container[PostgresStore], container[EventLoopLag]),
        GatewayMetrics(container[CircuitBreaker]),
        GatewayCallMetrics(container[GatewayReports]),
        UseCaseMetrics(container[MeasuredUseCases].calls),
        WebhookMetrics(container[WebhookReports]),
        LimitMetrics(container[LimitReports]),
    )


def of_service(container: Container) -> Sequence[Collector]:
    """Return the metrics of a process that serves requests."""
    refreshing = container[Refreshing]
    return (
        *of_any(container),
        RequestMetrics(container[RequestTallies]),
        ReceivedMetrics(container[WebhookReports], refreshing.signatures),
        IngestMetrics(container[IngestQueue]),
        RevocationMetrics(container[FollowRevocations]),
        KeyMetrics(refreshing),
    )


def of_worker(container: Container) -> Sequence[Collector]:
    """Return the metrics of a worker."""
    return (
        *of_any(container),
        WorkMetrics(container[WorkReports]),
        BackFillMetrics(container[BackFillReports]),
        SweepMetrics(container[SweepReports]),
        DeliveryMetrics(container[DeliveryReports]),
        PurgeMetrics(container[PurgeReports]),
        BacklogMetrics(container[BacklogReaders]),
    )
