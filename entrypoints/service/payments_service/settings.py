"""Everything that the environment may decide, read once."""

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self, TypeVar
from urllib.parse import urlsplit

import attrs

from payments_adapters.guessable import weakness_of
from payments_core.catalogue import Catalogue
from payments_core.errors import InvalidValue
from payments_core.retention import Retention
from payments_core.tokens import TOKEN_AGE_MAX
from payments_core.tombstones import Tombstones
from payments_service.lanes import InFlightLimits
from payments_service.rate_limits import RateLimits

if TYPE_CHECKING:
    from payments_adapters.jwt.service_accounts import ServiceAccounts
    from payments_adapters.webhooks_out import DeliveryEndpoint

STRIPE_API_BASE: Final = "https://api.stripe.com"
SECRET_FILE_BYTES_MAX: Final = 64 * 1024
_ENVIRONMENTS: Final = ("development", "production")
REPAIRS: Final = "repair"
_SWEEPS: Final = (REPAIRS, "report", "off")
_TRACES: Final = ("on", "off")
_LEVELS: Final = ("debug", "info", "warning", "error")
_API_KEY: Final = re.compile(r"(?:sk|rk)_(test|live)_[A-Za-z0-9_]+")
# Said in full rather than parsed: parsers disagree about `@`, `\\`, `#` and tabs.
_LOOPBACK_BASE: Final = re.compile(
    r"https?://(?:127\.0\.0\.1|localhost|\[::1\])(?::([0-9]{1,5}))?"
)
_PORT_MAX: Final = 65_535
# Half of the 1,024 files that a process may usually open.
CONNECTIONS_MAX: Final = 512
# uvicorn's own.
KEEP_ALIVE_S: Final = 5
# Of a user. A card is mistyped once or twice; a stolen one is one of hundreds.
DECLINES_PER_HOUR: Final = 5
EVENT_BACK_FILL_S: Final = 60
ERASURE_KEY_BYTES_MIN: Final = 32
ISSUER_OF_PASSES: Final = "payments-gateway"
# What is revoked or ends before its time goes on for as long.
LIFETIME_OF_PASSES: Final = timedelta(minutes=5)
_TOKEN_AGE_MAX_S: Final = int(TOKEN_AGE_MAX.total_seconds())
# The least and the most days for which something is kept that is not kept for good.
# Stripe delivers and lists an event for 30 days; a key is repeated for a day.
_KEPT_MIN: Final = Retention(
    bodies=timedelta(days=31),
    events=timedelta(days=31),
    intents=timedelta(days=7),
    jobs=timedelta(days=7),
    revocations=timedelta(days=1),
)
_KEPT_DAYS_MAX: Final = 36_600
# One of those that an address of a database may list, separated by commas.
_HOST: Final = re.compile(r"(?:\[[^\[\]@]+\]|[^\[\]:@]*)(?::([0-9]{0,5}))?")

_PREFIX: Final = "PAYMENTS_"
# Read by others than `Settings`: by `payments dev`, by a program of its own, by tests.
_READ_ELSEWHERE: Final = frozenset({"PAYMENTS_DEV_DIR", "PAYMENTS_POSTGRES_BIN"})
_PREFIXES_ELSEWHERE: Final = ("PAYMENTS_SANDBOX_", "PAYMENTS_TEST_")
# What Kubernetes tells each pod of each service of its namespace.
_LINK_NAME: Final = re.compile(
    r"PAYMENTS\w*_(?:SERVICE_(?:HOST|PORT(?:_\w+)?)"
    r"|PORT_[0-9]+_(?:TCP|UDP|SCTP)(?:_(?:PROTO|PORT|ADDR))?)"
)
_LINK_VALUE: Final = re.compile(r"(?:tcp|udp|sctp)://[0-9A-Fa-f.:\[\]]+:[0-9]+")

_T = TypeVar("_T")
_Limits = TypeVar("_Limits", InFlightLimits, RateLimits)


REQUIRED: Final = (
    "PAYMENTS_ENV",
    "PAYMENTS_DATABASE_URL",
    "PAYMENTS_STRIPE_WEBHOOK_SECRETS",
    "PAYMENTS_JWT_ISSUER",
    "PAYMENTS_JWT_AUDIENCE",
    "PAYMENTS_JWT_KEYS",
)
# What may be in place of one of them.
_INSTEAD: Final = {"PAYMENTS_JWT_KEYS": "PAYMENTS_JWT_KEYS_URL"}


class SettingsError(Exception):
    """The environment cannot be used; `problems` names each variable and why.

    `hint` is a line for a reader who has set nothing yet.
    """

    def __init__(self, problems: Mapping[str, str], hint: str | None = None) -> None:
        lines = [f"{name}: {reason}" for name, reason in problems.items()]
        super().__init__("\n".join([*lines, hint] if hint else lines))
        self.problems = dict(problems)


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
        """Whether a worker back-fills events: without a key it has nothing to ask."""
        return self.event_back_fill_s > 0 and self.stripe_api_key is not None

    @property
    def sweeps(self) -> bool:
        """Whether a worker compares all with Stripe at night: that needs a key."""
        return self.sweep != "off" and self.stripe_api_key is not None

    @classmethod
    def from_env(
        cls,
        env: Mapping[str, str],
        is_option: Callable[[str], bool] = lambda _: False,
        *,
        serves: bool = True,
    ) -> Self:
        """Read every variable, or say what is wrong with all that are wrong.

        `is_option` says whether a variable is an option of a command. Of a process
        that does not serve, a worker, what tells callers and webhooks from forged ones
        may be missing: it is "", () or None.

        Raises:
            SettingsError: variables are missing, cannot be read, hold a secret that
                protects nothing, or are none of ours although called so.
        """
        given = _Reader(env, serves=serves)
        name = given.required("PAYMENTS_ENV", _one_of(_ENVIRONMENTS))
        live = name == "production"
        values = {
            "env": name,
            "database_url": given.required("PAYMENTS_DATABASE_URL", _database_url),
            "database_pool_size": given.get(
                "PAYMENTS_DATABASE_POOL_SIZE", _whole(1, 100), 8
            ),
            "stripe_api_base": given.get(
                "PAYMENTS_STRIPE_API_BASE", _api_base(live=live), STRIPE_API_BASE
            ),
            "stripe_api_key": given.get(
                "PAYMENTS_STRIPE_API_KEY", _api_key(live=live), None
            ),
            "stripe_webhook_secrets": given.to_serve(
                "PAYMENTS_STRIPE_WEBHOOK_SECRETS", _webhook_secrets, tuple[str, ...]()
            ),
            "jwt_issuer": given.to_serve("PAYMENTS_JWT_ISSUER", _text, ""),
            "jwt_audience": given.to_serve("PAYMENTS_JWT_AUDIENCE", _text, ""),
            "jwt_keys": given.get("PAYMENTS_JWT_KEYS", _jwt_keys, None),
            "jwt_keys_url": given.get(
                "PAYMENTS_JWT_KEYS_URL", _keys_url(live=live), None
            ),
            "jwt_max_age": given.get(
                "PAYMENTS_JWT_MAX_AGE_S",
                _seconds(60, _TOKEN_AGE_MAX_S),
                timedelta(days=1),
            ),
            **_kubernetes(given, live=live),
            "host": given.get("PAYMENTS_HOST", _text, "127.0.0.1"),
            "port": given.get("PAYMENTS_PORT", _whole(0, _PORT_MAX), 8000),
            "ops_port": given.get("PAYMENTS_OPS_PORT", _whole(0, _PORT_MAX), 8001),
            "connections_max": given.get(
                "PAYMENTS_CONNECTIONS_MAX", _whole(8, 100_000), CONNECTIONS_MAX
            ),
            "keep_alive_s": given.get(
                "PAYMENTS_KEEP_ALIVE_S", _whole(1, 3_600), KEEP_ALIVE_S
            ),
            "in_flight": _limits(
                given, InFlightLimits(), "IN_FLIGHT_MAX", _whole(1, 100_000)
            ),
            "rate_limits": _limits(
                given, RateLimits(), "PER_MINUTE", _whole(0, 1_000_000)
            ),
            "declines_per_hour": given.get(
                "PAYMENTS_DECLINES_PER_HOUR", _whole(0, 1_000), DECLINES_PER_HOUR
            ),
            "grace": given.get("PAYMENTS_GRACE_DAYS", _days, timedelta(days=3)),
            "catalogue": given.get("PAYMENTS_CATALOGUE", _catalogue, None),
            "drain_s": given.get("PAYMENTS_DRAIN_S", _whole(0, 300), 5 if live else 0),
            "event_back_fill_s": given.get(
                "PAYMENTS_EVENT_BACK_FILL_S", _whole(0, 3_600), EVENT_BACK_FILL_S
            ),
            "sweep": given.get("PAYMENTS_SWEEP", _one_of(_SWEEPS), REPAIRS),
            "retention": _retention(given),
            "erasure_key": given.get("PAYMENTS_ERASURE_KEY", _erasure_key, None),
            "access_pass_keys": given.get(
                "PAYMENTS_ACCESS_PASS_KEYS", _access_pass_keys, None
            ),
            "access_pass_issuer": given.get(
                "PAYMENTS_ACCESS_PASS_ISSUER", _text, ISSUER_OF_PASSES
            ),
            "access_pass_lifetime": given.get(
                "PAYMENTS_ACCESS_PASS_LIFETIME_S",
                _seconds(30, 3_600),
                LIFETIME_OF_PASSES,
            ),
            "webhooks_out": given.get(
                "PAYMENTS_WEBHOOKS_OUT",
                partial(_webhooks_out, env),
                tuple["DeliveryEndpoint", ...](),
            ),
            "log_level": given.get("PAYMENTS_LOG_LEVEL", _one_of(_LEVELS), "info"),
            "traces": given.get("PAYMENTS_TRACES", _one_of(_TRACES), "off"),
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
        given.problems.update(_problems_between(values))
        if given.problems:
            raise SettingsError(given.problems)
        return cls(**values)  # type: ignore[arg-type]  # each was read by its own type

    @property
    def rereadable(self) -> tuple[str, ...]:
        """The variables whose files may change while a process runs."""
        files = {name: f"{field}_file" for name, (field, _) in _REREAD.items()}
        return tuple(name for name, file in files.items() if getattr(self, file))

    def file_text(self, name: str) -> str:
        """Return what the file of a variable says now.

        Raises:
            SettingsError: it cannot be read.
        """
        field, _ = _REREAD[name]
        path = getattr(self, f"{field}_file")
        try:
            return _file_text(path, f"the file of {name}_FILE")
        except ValueError as error:
            raise SettingsError({name: str(error)}) from error

    def reread(self, name: str, text: str) -> Self:
        """Return the settings with what the file of a variable says now.

        Raises:
            SettingsError: with that no process would start.
        """
        field, read = _REREAD[name]
        given = _Reader({name: text})
        value = given.required(name, read)
        if given.problems:
            raise SettingsError(given.problems)
        changed = attrs.evolve(self, **{field: value})  # type: ignore[arg-type]  # as above
        problems = _problems_between(attrs.asdict(changed, recurse=False))
        if problems:
            raise SettingsError(problems)
        return changed


def is_any_required_given(env: Mapping[str, str]) -> bool:
    """Say whether the environment names any of what every service has to be told."""
    names = (*REQUIRED, *_INSTEAD.values())
    return any(env.get(f"{name}{twin}") for name in names for twin in ("", "_FILE"))


def database_url(env: Mapping[str, str]) -> str | None:
    """Read the one setting that a migration job has; None if it is not given.

    Raises:
        SettingsError: it cannot be read.
    """
    given = _Reader(env)
    url = given.get("PAYMENTS_DATABASE_URL", _database_url, "")
    if given.problems:
        raise SettingsError(given.problems)
    return url or None


@attrs.frozen(kw_only=True)
class StripeAccess:
    """What is needed to talk to Stripe about endpoints, which have no secret yet."""

    livemode: bool
    api_base: str
    api_key: str = attrs.field(repr=False)
    webhook_secrets: tuple[str, ...] = attrs.field(default=(), repr=False)

    @property
    def mode(self) -> str:
        return "live" if self.livemode else "test"


def stripe_access(env: Mapping[str, str]) -> StripeAccess:
    """Read what talking to Stripe needs, and nothing else.

    Raises:
        SettingsError: the mode or the key is missing, or something cannot be read.
    """
    given = _Reader(env)
    live = given.required("PAYMENTS_ENV", _one_of(_ENVIRONMENTS)) == "production"
    base = given.get("PAYMENTS_STRIPE_API_BASE", _api_base(live=live), STRIPE_API_BASE)
    key = given.required("PAYMENTS_STRIPE_API_KEY", _api_key(live=live))
    none = tuple[str, ...]()
    secrets = given.get("PAYMENTS_STRIPE_WEBHOOK_SECRETS", _webhook_secrets, none)
    if given.problems or key is None:
        raise SettingsError(given.problems)
    return StripeAccess(
        livemode=live, api_base=base, api_key=key, webhook_secrets=secrets
    )


@attrs.frozen
class _Reader:
    env: Mapping[str, str]
    problems: dict[str, str] = attrs.field(factory=dict)
    serves: bool = attrs.field(default=True, kw_only=True)
    _names: set[str] = attrs.field(init=False, factory=set)

    def refuse_others(self, is_option: Callable[[str], bool]) -> None:
        """Note what is called as a setting is, and is none: a typo has no effect."""
        known = _READ_ELSEWHERE.union(*((it, f"{it}_FILE") for it in self._names))
        for name in sorted(it for it in self.env if it.startswith(_PREFIX)):
            if _LINK_NAME.fullmatch(name) or _LINK_VALUE.fullmatch(self.env[name]):
                self.problems[name] = (
                    "what Kubernetes tells of a service, not a setting: say "
                    "enableServiceLinks: false in the pod's spec"
                )
            elif not (
                name in known or name.startswith(_PREFIXES_ELSEWHERE) or is_option(name)
            ):
                # Without what all of them have in common.
                words = [it.removeprefix(_PREFIX) for it in known]
                alike = get_close_matches(name.removeprefix(_PREFIX), words, 1)
                meant = f"; {_PREFIX}{alike[0]} is one" if alike else ""
                self.problems[name] = f"not a setting of this release{meant}"

    def required(self, name: str, read: Callable[[str], _T]) -> _T | None:
        value = self.get(name, read, None)
        if value is None:
            self.problems.setdefault(name, f"missing (or {name}_FILE, a path)")
        return value

    def to_serve(self, name: str, read: Callable[[str], _T], without: _T) -> _T | None:
        """Read what is required of a process that serves."""
        if self.serves:
            return self.required(name, read)
        return self.get(name, read, without)

    def one_of(self, name: str, other: str, values: Iterable[object]) -> None:
        """Note that two variables are both given, or say nothing to one that serves."""
        if {name, other} <= self.problems.keys():
            return
        if self.is_given(name) and self.is_given(other):
            self.problems[other] = f"given besides {name}: one of them has to go"
        elif (
            self.serves and not self.problems.keys() & {name, other} and not any(values)
        ):
            self.problems[name] = f"missing (or {name}_FILE, a path, or {other})"

    def is_given(self, name: str) -> bool:
        return any(self.env.get(it, "").strip() for it in (name, f"{name}_FILE"))

    def get(self, name: str, read: Callable[[str], _T], default: _T) -> _T:
        """Read a variable or its `_FILE` variant; note what is wrong with it."""
        self._names.add(name)
        try:
            text = self._text(name)
            return default if text is None else read(text)
        except InvalidValue as error:
            self.problems[name] = error.reason
            return default
        except ValueError as error:
            self.problems[name] = str(error)
            return default

    def _text(self, name: str) -> str | None:
        path = self.env.get(f"{name}_FILE")
        text = self.env.get(name, "").strip()
        if not path:
            return text or None
        if text:
            raise ValueError(f"given twice: as {name} and as {name}_FILE")
        return _file_text(Path(path), f"the file of {name}_FILE") or None


def _file_text(path: Path, what: str) -> str:
    """Return what a small file says.

    Raises:
        ValueError: it cannot be read, or is too long.
    """
    try:
        with path.open("rb") as file:
            content = file.read(SECRET_FILE_BYTES_MAX + 1)
        text = content.decode().strip()
    except (OSError, ValueError) as error:
        # Without its name: a secret may have been put there by mistake.
        why = getattr(error, "strerror", None) or type(error).__name__
        raise ValueError(f"{what} cannot be read: {why}") from error
    if len(content) > SECRET_FILE_BYTES_MAX:
        raise ValueError(f"its file has more than {SECRET_FILE_BYTES_MAX} bytes")
    return text


def _text(text: str) -> str:
    return text


def _one_of(words: tuple[str, ...]) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text not in words:
            raise ValueError(f"not one of {', '.join(words)}")
        return text

    return read


def _whole(least: int, most: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        # Nine digits reach further than any setting here.
        is_number = re.fullmatch(r"[0-9]{1,9}", text) is not None
        if not (is_number and least <= int(text) <= most):
            raise ValueError(f"not a whole number in {least}..{most}")
        return int(text)

    return read


def _seconds(least: int, most: int) -> Callable[[str], timedelta]:
    return lambda text: timedelta(seconds=_whole(least, most)(text))


def _days(text: str) -> timedelta:
    return timedelta(days=_whole(0, 366)(text))


def _catalogue(text: str) -> Catalogue:
    # Imported here: `--help` reads no settings.
    from payments_service.catalogue_file import read_catalogue  # noqa: PLC0415

    return read_catalogue(text)


def _retention(given: _Reader) -> Retention:
    usual, read = Retention(), dict[str, timedelta | None]()
    for name, least in attrs.asdict(_KEPT_MIN).items():
        variable = f"PAYMENTS_KEEP_{name.upper()}_DAYS"
        days = _kept_days(least.days)
        read[name] = given.get(variable, days, getattr(usual, name))
    return Retention(**read)


def _limits(
    given: _Reader, usual: _Limits, unit: str, read: Callable[[str], int]
) -> _Limits:
    """Read limits of several things, each in a variable that begins with its name."""
    return type(usual)(
        **{
            name: given.get(f"PAYMENTS_{name.upper()}_{unit}", read, default)
            for name, default in attrs.asdict(usual).items()
        }
    )


def _erasure_key(text: str) -> bytes:
    # Hashes of e-mails are guessed by whoever can guess the key.
    key = text.encode()
    if len(key) < ERASURE_KEY_BYTES_MIN:
        raise ValueError(f"less than {ERASURE_KEY_BYTES_MIN} bytes")
    if weakness := weakness_of(key):
        raise ValueError(weakness)
    return key


def _kept_days(least: int) -> Callable[[str], timedelta | None]:
    def read(text: str) -> timedelta | None:
        if re.fullmatch(r"0{1,9}", text):
            return None
        try:
            return timedelta(days=_whole(least, _KEPT_DAYS_MAX)(text))
        except ValueError as error:
            raise ValueError(f"{error}, nor 0, which is for good") from None

    return read


def _database_url(text: str) -> str:
    if not re.match(r"postgres(?:ql(?:\+asyncpg)?)?://", text):
        raise ValueError("not a postgresql:// address")
    try:
        netloc = urlsplit(text).netloc
    except ValueError:
        netloc = "]"
    # The driver ends the password at the first "@", and so do we.
    hosts = (netloc.partition("@")[2] if "@" in netloc else netloc).split(",")
    if not all(map(_is_host, hosts)) or ("" in hosts and len(hosts) > 1):
        # What the parser says quotes the address, and with it the password.
        raise ValueError("an address whose host or port cannot be read")
    return re.sub(r"^postgres://", "postgresql://", text)


def _is_host(text: str) -> bool:
    match = _HOST.fullmatch(text)
    return match is not None and int(match[1] or 0) <= _PORT_MAX


def _webhook_secrets(text: str) -> tuple[str, ...]:
    # The adapter knows the form. Imported here: `--help` reads no settings.
    from payments_adapters.stripe.signature import check_secrets  # noqa: PLC0415

    secrets = tuple(filter(None, re.split(r"[\s,]+", text)))
    check_secrets(secrets)
    return secrets


def _webhooks_out(env: Mapping[str, str], text: str) -> "tuple[DeliveryEndpoint, ...]":
    from payments_adapters.webhooks_out import read_endpoints  # noqa: PLC0415  # see above

    # What it names is beside it.
    folder = Path(env.get("PAYMENTS_WEBHOOKS_OUT_FILE") or ".").parent

    def read_file(path: str) -> str:
        return _file_text(folder / path, "it")

    return read_endpoints(text, read_file)


def _is_endpoints_also_stripes(values: Mapping[str, object]) -> bool:
    match values:
        case {
            "webhooks_out": tuple(endpoints),
            "stripe_webhook_secrets": tuple(secrets),
        } if endpoints:
            from payments_adapters.webhooks_out.endpoints import (  # noqa: PLC0415  # see above
                has_secret,
            )

            return any(has_secret(it, secrets) for it in endpoints)
        case _:
            return False


def _jwt_keys(text: str) -> str:
    from payments_adapters.jwt.keys import KeySet  # noqa: PLC0415  # see above

    KeySet.from_jwks(text)
    return text


def _access_pass_keys(text: str) -> str:
    from payments_adapters.jwt.access_pass import PassKeys  # noqa: PLC0415  # see above

    PassKeys.from_jwks(text)
    return text


def _cluster_keys(text: str) -> str:
    from payments_adapters.jwt.keys import KeySet  # noqa: PLC0415  # see above

    keys = KeySet.from_jwks(text).keys.values()
    if any(isinstance(it.verifying, bytes) for it in keys):
        raise ValueError("a cluster has no symmetric key")
    return text


def _keys_url(*, live: bool) -> Callable[[str], str]:
    def read(text: str) -> str:
        from payments_adapters.jwt.key_url import (  # noqa: PLC0415  # see above
            check_key_url,
        )

        return check_key_url(text, loopback=not live)

    return read


def _service_accounts(text: str) -> "ServiceAccounts":
    from payments_adapters.jwt.service_accounts import (  # noqa: PLC0415  # see above
        ServiceAccounts,
    )

    return ServiceAccounts.from_text(text)


def _kubernetes(given: _Reader, *, live: bool) -> dict[str, object]:
    """Read what is said of a cluster whose services may call: all of it, or nothing."""
    values: dict[str, object] = {
        "kubernetes_issuer": given.get("PAYMENTS_KUBERNETES_ISSUER", _text, None),
        "kubernetes_audience": given.get("PAYMENTS_KUBERNETES_AUDIENCE", _text, None),
        "kubernetes_keys": given.get("PAYMENTS_KUBERNETES_KEYS", _cluster_keys, None),
        "kubernetes_keys_url": given.get(
            "PAYMENTS_KUBERNETES_KEYS_URL", _keys_url(live=live), None
        ),
        "kubernetes_ca_file": given.get("PAYMENTS_KUBERNETES_CA_FILE", Path, None),
        "kubernetes_token_file": given.get(
            "PAYMENTS_KUBERNETES_TOKEN_FILE", Path, None
        ),
        "kubernetes_scopes": given.get(
            "PAYMENTS_KUBERNETES_SCOPES", _service_accounts, None
        ),
        "kubernetes_max_age": given.get(
            "PAYMENTS_KUBERNETES_MAX_AGE_S",
            _seconds(60, _TOKEN_AGE_MAX_S),
            timedelta(days=1),
        ),
    }
    if not any(given.is_given(f"PAYMENTS_{it.upper()}") for it in values):
        return values
    for field in ("kubernetes_issuer", "kubernetes_scopes"):
        if values[field] is None:
            name = f"PAYMENTS_{field.upper()}"
            given.problems.setdefault(name, f"missing (or {name}_FILE, a path)")
    given.one_of(
        *("PAYMENTS_KUBERNETES_KEYS", "PAYMENTS_KUBERNETES_KEYS_URL"),
        (values["kubernetes_keys"], values["kubernetes_keys_url"]),
    )
    for name in ("PAYMENTS_KUBERNETES_CA_FILE", "PAYMENTS_KUBERNETES_TOKEN_FILE"):
        if given.is_given(name) and not given.is_given("PAYMENTS_KUBERNETES_KEYS_URL"):
            given.problems[name] = "only of use with PAYMENTS_KUBERNETES_KEYS_URL"
    return values


def _problems_between(values: Mapping[str, object]) -> dict[str, str]:
    """Return what is wrong with settings that are right each by itself."""
    problems = {}
    if _is_key_also_stripes(values):
        problems["PAYMENTS_JWT_KEYS"] = (
            "a key is also a secret of Stripe's: each needs one of its own"
        )
    if _is_key_also_of_callers(values):
        problems["PAYMENTS_ACCESS_PASS_KEYS"] = (
            "a key is also one of PAYMENTS_JWT_KEYS: each needs one of its own"  # noqa: S105  # a reason
        )
    if _is_endpoints_also_stripes(values):
        problems["PAYMENTS_WEBHOOKS_OUT"] = (
            "a secret is also one of Stripe's: each needs one of its own"
        )
    if values["jwt_issuer"] == values["kubernetes_issuer"] is not None:
        problems["PAYMENTS_KUBERNETES_ISSUER"] = (
            "also PAYMENTS_JWT_ISSUER: each has to have a name of its own"
        )
    return problems


def _is_key_also_of_callers(values: Mapping[str, object]) -> bool:
    from payments_adapters.jwt.keys import KeySet  # noqa: PLC0415  # see above

    match values:
        case {"jwt_keys": str(of_callers), "access_pass_keys": str(of_passes)}:
            one, other = (
                {it.fingerprint for it in KeySet.from_jwks(text).keys.values()}
                for text in (of_callers, of_passes)
            )
            return not one.isdisjoint(other)
        case _:
            return False


def _is_key_also_stripes(values: Mapping[str, object]) -> bool:
    from payments_adapters.jwt.keys import KeySet  # noqa: PLC0415  # see above

    match values:
        case {"jwt_keys": str(jwks), "stripe_webhook_secrets": tuple(secrets)}:
            stripes = {str(it).encode() for it in (*secrets, values["stripe_api_key"])}
            keys = KeySet.from_jwks(jwks).keys.values()
            # Only those: keys of curves have no hash.
            shared = (it.verifying for it in keys if isinstance(it.verifying, bytes))
            return not stripes.isdisjoint(shared)
        case _:
            # One of them could not be read.
            return False


def _api_base(*, live: bool) -> Callable[[str], str]:
    def read(text: str) -> str:
        text = text.rstrip("/")
        if text == STRIPE_API_BASE:
            return text
        # A secret key goes wherever this points: nowhere but to Stripe, or here.
        if live:
            raise ValueError(f"production talks to {STRIPE_API_BASE} only")
        match = _LOOPBACK_BASE.fullmatch(text)
        if match is None or int(match[1] or 0) > _PORT_MAX:
            raise ValueError(f"neither {STRIPE_API_BASE} nor a loopback address")
        return text

    return read


def _api_key(*, live: bool) -> Callable[[str], str]:
    wanted = "live" if live else "test"

    def read(text: str) -> str:
        match = _API_KEY.fullmatch(text)
        if match is None:
            raise ValueError("not a Stripe key (sk_… or rk_…)")
        if match[1] != wanted:
            raise ValueError(
                f"a {match[1]} key; this environment takes {wanted} keys only"
            )
        return text

    return read


# What is read again while a process runs, and how: see `Settings.reread`.
_REREAD: Final[Mapping[str, tuple[str, Callable[[str], object]]]] = {
    "PAYMENTS_JWT_KEYS": ("jwt_keys", _jwt_keys),
    "PAYMENTS_KUBERNETES_KEYS": ("kubernetes_keys", _cluster_keys),
    "PAYMENTS_STRIPE_WEBHOOK_SECRETS": ("stripe_webhook_secrets", _webhook_secrets),
}
