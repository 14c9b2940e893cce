"""Every setting of a process of the service, with its default."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self, TypeVar

import attrs

from payments_core.catalogue import Catalogue
from payments_core.retention import Retention
from payments_core.tombstones import Tombstones
from payments_service.lanes import InFlightLimits
from payments_service.rate_limits import RateLimits
from payments_service.settings.conflicts import problems_between
from payments_service.settings.database import database_address
from payments_service.settings.documents import catalogue, delivery_endpoints
from payments_service.settings.keys import (
    TOKEN_AGE_MAX_S,
    access_pass_keys,
    jwt_keys,
    keys_url,
)
from payments_service.settings.kubernetes import cluster_keys, kubernetes
from payments_service.settings.reader import Reader, SettingsError, file_text
from payments_service.settings.retention import erasure_key, retention
from payments_service.settings.stripe import (
    STRIPE_API_BASE,
    api_base,
    api_key,
    webhook_secrets,
)
from payments_service.settings.values import (
    ENVIRONMENTS,
    PORT_MAX,
    days,
    one_of,
    plain_text,
    seconds,
    whole,
)

if TYPE_CHECKING:
    from payments_adapters.jwt.service_accounts import ServiceAccounts
    from payments_adapters.webhooks_out import DeliveryEndpoint

REPAIRS: Final = "repair"
_SWEEPS: Final = (REPAIRS, "report", "off")
_TRACES: Final = ("on", "off")
_LEVELS: Final = ("debug", "info", "warning", "error")
# Half of the 1,024 files that a process may usually open.
CONNECTIONS_MAX: Final = 512
# The default of uvicorn.
KEEP_ALIVE_S: Final = 5
# For each user. A card is mistyped once or twice; a stolen card is one of hundreds.
DECLINES_PER_HOUR: Final = 5
EVENT_BACK_FILL_S: Final = 60
ISSUER_OF_PASSES: Final = "payments-gateway"
# What is revoked or ends before its time goes on for as long.
LIFETIME_OF_PASSES: Final = timedelta(minutes=5)

_Limits = TypeVar("_Limits", InFlightLimits, RateLimits)

REQUIRED: Final = (
    "PAYMENTS_ENV",
    "PAYMENTS_DATABASE_URL",
    "PAYMENTS_STRIPE_WEBHOOK_SECRETS",
    "PAYMENTS_JWT_ISSUER",
    "PAYMENTS_JWT_AUDIENCE",
    "PAYMENTS_JWT_KEYS",
)
# Values that may replace one of them.
_INSTEAD: Final = {"PAYMENTS_JWT_KEYS": "PAYMENTS_JWT_KEYS_URL"}

# Variables that are read again while a process runs, and how: see `Settings.reread`.
_REREAD: Final[Mapping[str, tuple[str, Callable[[str], object]]]] = {
    "PAYMENTS_JWT_KEYS": ("jwt_keys", jwt_keys),
    "PAYMENTS_KUBERNETES_KEYS": ("kubernetes_keys", cluster_keys),
    "PAYMENTS_STRIPE_WEBHOOK_SECRETS": ("stripe_webhook_secrets", webhook_secrets),
}


@attrs.frozen(kw_only=True)
class Settings:
    """One value for each `PAYMENTS_…` variable; secrets do not print."""

    env: str
    database_url: str = attrs.field(repr=False)
    database_pool_size: int = 8
    stripe_api_base: str = STRIPE_API_BASE
    stripe_api_key: str | None = attrs.field(default=None, repr=False)
    stripe_webhook_secrets: tuple[str, ...] = attrs.field(repr=False)
    stripe_webhook_secrets_file: Path | None = attrs.field(default=None, eq=False)
    jwt_issuer: str
    jwt_audience: str
    jwt_keys: str | None = attrs.field(repr=False)
    jwt_keys_file: Path | None = attrs.field(default=None, eq=False)
    jwt_keys_url: str | None = None
    jwt_max_age: timedelta = timedelta(days=1)
    kubernetes_issuer: str | None = None
    kubernetes_audience: str | None = None
    kubernetes_keys: str | None = attrs.field(default=None, repr=False)
    kubernetes_keys_file: Path | None = attrs.field(default=None, eq=False)
    kubernetes_keys_url: str | None = None
    kubernetes_ca_file: Path | None = None
    kubernetes_token_file: Path | None = None
    kubernetes_scopes: "ServiceAccounts | None" = None
    kubernetes_max_age: timedelta = timedelta(days=1)
    host: str = "127.0.0.1"
    port: int = 8000
    ops_port: int = 8001
    connections_max: int = CONNECTIONS_MAX
    keep_alive_s: int = KEEP_ALIVE_S
    in_flight: InFlightLimits = attrs.Factory(InFlightLimits)
    rate_limits: RateLimits = attrs.Factory(RateLimits)
    declines_per_hour: int = DECLINES_PER_HOUR
    grace: timedelta = timedelta(days=3)
    catalogue: Catalogue | None = None
    drain_s: int = 0
    event_back_fill_s: int = EVENT_BACK_FILL_S
    sweep: str = REPAIRS
    retention: Retention = attrs.Factory(Retention)
    erasure_key: bytes | None = attrs.field(default=None, repr=False)
    access_pass_keys: str | None = attrs.field(default=None, repr=False)
    access_pass_issuer: str = ISSUER_OF_PASSES
    access_pass_lifetime: timedelta = LIFETIME_OF_PASSES
    webhooks_out: "tuple[DeliveryEndpoint, ...]" = attrs.field(default=(), repr=False)
    log_level: str = "info"
    traces: str = "off"

    @property
    def livemode(self) -> bool:
        return self.env == "production"

    @property
    def tombstones(self) -> Tombstones | None:
        return Tombstones(self.erasure_key) if self.erasure_key is not None else None

    @property
    def reads_event_list(self) -> bool:
        """Say whether a worker back-fills events: without a key it cannot fetch any."""
        return self.event_back_fill_s > 0 and self.stripe_api_key is not None

    @property
    def sweeps(self) -> bool:
        """Say whether a worker compares all with Stripe at night: that needs a key."""
        return self.sweep != "off" and self.stripe_api_key is not None

    @classmethod
    def from_env(
        cls,
        env: Mapping[str, str],
        is_option: Callable[[str], bool] = lambda _: False,
        *,
        serves: bool = True,
    ) -> Self:
        """Read every variable, or report all that are wrong.

        `is_option` says whether a variable is an option of a command. In a process that
        does not serve, a worker, the settings that verify callers and webhooks may be
        missing: they are "", () or None.

        Raises:
            SettingsError: variables are missing, unreadable, hold a secret that
                protects nothing, or have our prefix without being a setting.
        """
        given = Reader(env, serves=serves)
        name = given.required("PAYMENTS_ENV", one_of(ENVIRONMENTS))
        live = name == "production"
        values = {
            "env": name,
            "database_url": given.required("PAYMENTS_DATABASE_URL", database_address),
            "database_pool_size": given.get(
                "PAYMENTS_DATABASE_POOL_SIZE", whole(1, 100), 8
            ),
            "stripe_api_base": given.get(
                "PAYMENTS_STRIPE_API_BASE", api_base(live=live), STRIPE_API_BASE
            ),
            "stripe_api_key": given.get(
                "PAYMENTS_STRIPE_API_KEY", api_key(live=live), None
            ),
            "stripe_webhook_secrets": given.to_serve(
                "PAYMENTS_STRIPE_WEBHOOK_SECRETS", webhook_secrets, tuple[str, ...]()
            ),
            "jwt_issuer": given.to_serve("PAYMENTS_JWT_ISSUER", plain_text, ""),
            "jwt_audience": given.to_serve("PAYMENTS_JWT_AUDIENCE", plain_text, ""),
            "jwt_keys": given.get("PAYMENTS_JWT_KEYS", jwt_keys, None),
            "jwt_keys_url": given.get(
                "PAYMENTS_JWT_KEYS_URL", keys_url(live=live), None
            ),
            "jwt_max_age": given.get(
                "PAYMENTS_JWT_MAX_AGE_S",
                seconds(60, TOKEN_AGE_MAX_S),
                timedelta(days=1),
            ),
            **kubernetes(given, live=live),
            "host": given.get("PAYMENTS_HOST", plain_text, "127.0.0.1"),
            "port": given.get("PAYMENTS_PORT", whole(0, PORT_MAX), 8000),
            "ops_port": given.get("PAYMENTS_OPS_PORT", whole(0, PORT_MAX), 8001),
            "connections_max": given.get(
                "PAYMENTS_CONNECTIONS_MAX", whole(8, 100_000), CONNECTIONS_MAX
            ),
            "keep_alive_s": given.get(
                "PAYMENTS_KEEP_ALIVE_S", whole(1, 3_600), KEEP_ALIVE_S
            ),
            "in_flight": _limits(
                given, InFlightLimits(), "IN_FLIGHT_MAX", whole(1, 100_000)
            ),
            "rate_limits": _limits(
                given, RateLimits(), "PER_MINUTE", whole(0, 1_000_000)
            ),
            "declines_per_hour": given.get(
                "PAYMENTS_DECLINES_PER_HOUR", whole(0, 1_000), DECLINES_PER_HOUR
            ),
            "grace": given.get("PAYMENTS_GRACE_DAYS", days, timedelta(days=3)),
            "catalogue": given.get("PAYMENTS_CATALOGUE", catalogue, None),
            "drain_s": given.get("PAYMENTS_DRAIN_S", whole(0, 300), 5 if live else 0),
            "event_back_fill_s": given.get(
                "PAYMENTS_EVENT_BACK_FILL_S", whole(0, 3_600), EVENT_BACK_FILL_S
            ),
            "sweep": given.get("PAYMENTS_SWEEP", one_of(_SWEEPS), REPAIRS),
            "retention": retention(given),
            "erasure_key": given.get("PAYMENTS_ERASURE_KEY", erasure_key, None),
            "access_pass_keys": given.get(
                "PAYMENTS_ACCESS_PASS_KEYS", access_pass_keys, None
            ),
            "access_pass_issuer": given.get(
                "PAYMENTS_ACCESS_PASS_ISSUER", plain_text, ISSUER_OF_PASSES
            ),
            "access_pass_lifetime": given.get(
                "PAYMENTS_ACCESS_PASS_LIFETIME_S",
                seconds(30, 3_600),
                LIFETIME_OF_PASSES,
            ),
            "webhooks_out": given.get(
                "PAYMENTS_WEBHOOKS_OUT",
                partial(delivery_endpoints, env),
                tuple["DeliveryEndpoint", ...](),
            ),
            "log_level": given.get("PAYMENTS_LOG_LEVEL", one_of(_LEVELS), "info"),
            "traces": given.get("PAYMENTS_TRACES", one_of(_TRACES), "off"),
        }
        for name, (field, _) in _REREAD.items():
            path = env.get(f"{name}_FILE")
            values[f"{field}_file"] = Path(path) if path else None
        if live and values["stripe_api_key"] is None:
            given.problems.setdefault("PAYMENTS_STRIPE_API_KEY", "missing")
        given.one_of(
            *("PAYMENTS_JWT_KEYS", "PAYMENTS_JWT_KEYS_URL"),
            (values["jwt_keys"], values["jwt_keys_url"]),
        )
        given.refuse_others(is_option)
        given.problems.update(problems_between(values))
        if given.problems:
            raise SettingsError(given.problems)
        return cls(**values)  # type: ignore[arg-type]  # each was read by its own type

    @property
    def rereadable(self) -> tuple[str, ...]:
        """Return the variables whose files may change while a process runs."""
        files = {name: f"{field}_file" for name, (field, _) in _REREAD.items()}
        return tuple(name for name, file in files.items() if getattr(self, file))

    def file_text(self, name: str) -> str:
        """Return the current content of a variable's file.

        Raises:
            SettingsError: the file cannot be read.
        """
        field, _ = _REREAD[name]
        path = getattr(self, f"{field}_file")
        try:
            return file_text(path, f"the file of {name}_FILE")
        except ValueError as error:
            raise SettingsError({name: str(error)}) from error

    def reread(self, name: str, text: str) -> Self:
        """Return the settings with the current content of a variable's file.

        Raises:
            SettingsError: a process would not start with this content.
        """
        field, read = _REREAD[name]
        given = Reader({name: text})
        value = given.required(name, read)
        if given.problems:
            raise SettingsError(given.problems)
        changed = attrs.evolve(self, **{field: value})  # type: ignore[arg-type]  # as above
        problems = problems_between(attrs.asdict(changed, recurse=False))
        if problems:
            raise SettingsError(problems)
        return changed


def is_any_required_given(env: Mapping[str, str]) -> bool:
    """Say whether the environment sets any variable that every service needs."""
    names = (*REQUIRED, *_INSTEAD.values())
    return any(env.get(f"{name}{twin}") for name in names for twin in ("", "_FILE"))


def _limits(
    given: Reader, usual: _Limits, unit: str, read: Callable[[str], int]
) -> _Limits:
    """Read limits of several things, each from a variable with its name as prefix."""
    return type(usual)(
        **{
            name: given.get(f"PAYMENTS_{name.upper()}_{unit}", read, default)
            for name, default in attrs.asdict(usual).items()
        }
    )
