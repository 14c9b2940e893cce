"""The composition root: the one place where a port meets an adapter.

punq takes any object for any key, so a provider states the port as its return type
and mypy checks the adapter there. punq passes nothing to a plain function, so a
provider closes over what it needs.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

import punq
import structlog

from payments_adapters.group_commit import GroupCommit
from payments_adapters.jwt import JwtVerifier, KeySet
from payments_adapters.postgres.queries import (
    PostgresDirectory,
    PostgresEventLog,
    PostgresTokens,
)
from payments_adapters.postgres.store import PostgresStore
from payments_adapters.postgres.unit_of_work import PostgresUnitsOfWork
from payments_adapters.stripe import StripeEvents, StripeSignatures
from payments_core.account import Policy
from payments_core.errors import InvalidValue
from payments_core.events import GatewayEvent
from payments_core.ports import (
    AccountDirectory,
    Clock,
    EventIntake,
    EventLog,
    EventReader,
    OpenUnitOfWork,
    TokenStore,
    TokenVerifier,
)
from payments_core.use_cases import (
    ApplyEvents,
    AuthenticateCaller,
    GetPaymentStatus,
    InvalidateToken,
    InvalidateUserTokens,
    ListInvalidatedTokens,
    ReceiveEvent,
    RegisterUser,
)
from payments_service.settings import Settings, SettingsError

USE_CASES: Final = (
    ApplyEvents,
    AuthenticateCaller,
    GetPaymentStatus,
    InvalidateToken,
    InvalidateUserTokens,
    ListInvalidatedTokens,
    ReceiveEvent,
    RegisterUser,
)

_CHECKED: Final[Mapping[Any, str]] = {
    TokenVerifier: "PAYMENTS_JWT_KEYS",
    EventReader: "PAYMENTS_STRIPE_WEBHOOK_SECRETS",
}

_T = TypeVar("_T")
_Providers = Mapping[Any, Callable[[], object]]


class Container:
    """Resolves the use cases, and the few adapters that have to be opened."""

    def __init__(self, container: punq.Container) -> None:
        self._container = container

    def __getitem__(self, wanted: type[_T]) -> _T:
        resolved: _T = self._container.resolve(wanted)
        return resolved


def utc_now() -> datetime:
    return datetime.now(UTC)


def build_container(settings: Settings) -> Container:
    """Wire everything; nothing is opened, connected or started yet.

    Raises:
        SettingsError: the JWT keys or the webhook secrets cannot be used.
    """
    store = PostgresStore(settings.database_url, settings.database_pool_size)
    container = punq.Container()
    container.register(PostgresStore, instance=store)
    for port, provider in {**_gateways(settings), **_stores(store)}.items():
        container.register(port, provider, scope=punq.Scope.singleton)
    for use_case in USE_CASES:
        container.register(use_case, scope=punq.Scope.singleton)

    def group_commit() -> GroupCommit:
        return GroupCommit(container.resolve(ApplyEvents), on_failure=_log_failure)

    def intake() -> EventIntake:
        return container.resolve(GroupCommit)

    container.register(GroupCommit, group_commit, scope=punq.Scope.singleton)
    container.register(EventIntake, intake, scope=punq.Scope.singleton)
    # A wrong key is found now, not at the first request.
    for eager, variable in _CHECKED.items():
        try:
            container.resolve(eager)
        except InvalidValue as error:
            raise SettingsError({variable: error.reason}) from error
    return Container(container)


def _gateways(settings: Settings) -> _Providers:
    def clock() -> Clock:
        return utc_now

    def policy() -> Policy:
        return Policy(grace=settings.grace, livemode=settings.livemode)

    def verifier() -> TokenVerifier:
        return JwtVerifier(
            KeySet.from_jwks(settings.jwt_keys),
            issuer=settings.jwt_issuer,
            audience=settings.jwt_audience,
            clock=utc_now,
            max_age=settings.jwt_max_age,
        )

    def event_reader() -> EventReader:
        return StripeEvents(StripeSignatures(settings.stripe_webhook_secrets, utc_now))

    return {
        Clock: clock,
        Policy: policy,
        TokenVerifier: verifier,
        EventReader: event_reader,
    }


def _stores(store: PostgresStore) -> _Providers:
    def unit_of_work() -> OpenUnitOfWork:
        return PostgresUnitsOfWork(store)

    def directory() -> AccountDirectory:
        return PostgresDirectory(store)

    def event_log() -> EventLog:
        return PostgresEventLog(store)

    def token_store() -> TokenStore:
        return PostgresTokens(store)

    return {
        OpenUnitOfWork: unit_of_work,
        AccountDirectory: directory,
        EventLog: event_log,
        TokenStore: token_store,
    }


def _log_failure(event: GatewayEvent, error: Exception) -> None:
    structlog.get_logger().error(
        "event set aside", event_id=event.id, event_type=event.type, exc_info=error
    )
