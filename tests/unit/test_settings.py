"""The environment: valid settings, and the messages about invalid ones."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from payments_core.catalogue import Catalogue, CatalogueProduct
from payments_core.retention import Retention
from payments_service.lanes import InFlightLimits
from payments_service.rate_limits import RateLimits
from payments_service.settings import (
    STRIPE_API_BASE,
    Settings,
    SettingsError,
    database_url,
)
from support.environments import (
    CANARY,
    DATABASE_URL,
    JWKS,
    REQUIRED,
    SECRETS,
    development,
    key,
    problems,
    production,
    webhook_secret,
)


def test_the_least_environment_gives_the_documented_defaults() -> None:
    """
    Six variables are enough for development, seven for production.
    """
    settings = Settings.from_env(development())

    assert attrs.asdict(settings) == {
        "env": "development",
        "database_url": DATABASE_URL,
        "database_pool_size": 8,
        "stripe_api_base": STRIPE_API_BASE,
        "stripe_api_key": None,
        "stripe_webhook_secrets": (webhook_secret(),),
        "stripe_webhook_secrets_file": None,
        "jwt_issuer": "users",
        "jwt_audience": "payments-gateway",
        "jwt_keys": JWKS,
        "jwt_keys_file": None,
        "jwt_keys_url": None,
        "jwt_max_age": timedelta(days=1),
        "kubernetes_issuer": None,
        "kubernetes_audience": None,
        "kubernetes_keys": None,
        "kubernetes_keys_file": None,
        "kubernetes_keys_url": None,
        "kubernetes_ca_file": None,
        "kubernetes_token_file": None,
        "kubernetes_scopes": None,
        "kubernetes_max_age": timedelta(days=1),
        "host": "127.0.0.1",
        "port": 8000,
        "ops_port": 8001,
        "connections_max": 512,
        "keep_alive_s": 5,
        "in_flight": {"webhooks": 256, "reads": 128, "changes": 256},
        "rate_limits": {
            "reads": 1_200,
            "changes": 120,
            "cards": 30,
            "feed": 6_000,
            "revocations": 120,
            "admin": 0,
        },
        "declines_per_hour": 5,
        "grace": timedelta(days=3),
        "catalogue": None,
        "drain_s": 0,
        "event_back_fill_s": 60,
        "sweep": "repair",
        "retention": {
            "bodies": timedelta(days=45),
            "events": timedelta(days=400),
            "intents": timedelta(days=90),
            "jobs": timedelta(days=90),
            "revocations": timedelta(days=30),
        },
        "erasure_key": None,
        "access_pass_keys": None,
        "access_pass_issuer": "payments-gateway",
        "access_pass_lifetime": timedelta(minutes=5),
        "webhooks_out": (),
        "log_level": "info",
        "traces": "off",
    }
    assert not settings.livemode
    live = Settings.from_env(production())
    assert (live.livemode, live.drain_s) == (True, 5)


@pytest.mark.parametrize(
    ("given", "reads"),
    [
        ({}, False),
        ({"PAYMENTS_STRIPE_API_KEY": key("test")}, True),
        (
            {
                "PAYMENTS_STRIPE_API_KEY": key("test"),
                "PAYMENTS_EVENT_BACK_FILL_S": "0",
            },
            False,
        ),
    ],
    ids=["no key", "a key", "never"],
)
def test_a_worker_reads_the_list_of_events_if_it_has_a_key(
    given: dict[str, str],
    reads: bool,  # noqa: FBT001  # a column
) -> None:
    """
    Without one it would report a refused key every minute.
    """
    assert Settings.from_env(development(**given)).reads_event_list is reads


@pytest.mark.parametrize("how", ["repair", "report", "off"])
@pytest.mark.parametrize("has_key", [True, False])
def test_a_worker_sweeps_unless_it_shall_not(*, how: str, has_key: bool) -> None:
    """
    Without a key it does not sweep either.
    """
    given = {"PAYMENTS_STRIPE_API_KEY": key("test")} if has_key else {}
    settings = Settings.from_env(development(PAYMENTS_SWEEP=how, **given))
    assert settings.sweeps is (has_key and how != "off")


@pytest.mark.parametrize("value", [None, "", "  \n"])
@pytest.mark.parametrize("name", REQUIRED)
def test_a_required_variable_that_says_nothing_is_missing(
    name: str, value: str | None
) -> None:
    """
    Absent, empty or blank are the same; the message names the file variable too.
    """
    env = {k: v for k, v in development().items() if k != name}
    if value is not None:
        env[name] = value

    instead = ", or PAYMENTS_JWT_KEYS_URL" if name == "PAYMENTS_JWT_KEYS" else ""
    assert problems(env) == {name: f"missing (or {name}_FILE, a path{instead})"}


VERIFYING = tuple(it for it in REQUIRED if it not in REQUIRED[:2])


def test_t77_a_worker_needs_nothing_that_verifies_callers_or_webhooks() -> None:
    """
    It gets only the secrets that it uses; a process that serves requests does not start
    like that.
    """
    env = {k: v for k, v in production().items() if k not in VERIFYING}

    settings = Settings.from_env(env, serves=False)

    assert (settings.database_url, settings.livemode) == (DATABASE_URL, True)
    assert settings.stripe_webhook_secrets == ()
    assert (settings.jwt_issuer, settings.jwt_audience) == ("", "")
    assert (settings.jwt_keys, settings.jwt_keys_url) == (None, None)
    assert settings.rereadable == ()
    assert tuple(problems(env)) == VERIFYING
    # Of a cluster, whose keys are a Secret, too.
    cluster = {
        "PAYMENTS_KUBERNETES_ISSUER": "https://cluster.example",
        "PAYMENTS_KUBERNETES_SCOPES": "shop/shop=payments:feed",
    }
    assert Settings.from_env(env | cluster, serves=False).kubernetes_keys is None


def test_what_a_worker_is_given_has_to_be_right() -> None:
    """
    An optional setting may not be wrong, nor given twice.
    """
    wrong = development(
        PAYMENTS_JWT_KEYS="{}",
        PAYMENTS_JWT_KEYS_URL="https://keys.example",
        PAYMENTS_STRIPE_WEBHOOK_SECRETS="x",
    )
    with pytest.raises(SettingsError) as refused:
        Settings.from_env(wrong, serves=False)
    assert set(refused.value.problems) == {
        "PAYMENTS_JWT_KEYS",
        "PAYMENTS_JWT_KEYS_URL",
        "PAYMENTS_STRIPE_WEBHOOK_SECRETS",
    }


def test_all_that_is_wrong_is_said_at_once() -> None:
    """
    Nobody wants to start a service six times to learn of six errors.
    """
    assert tuple(problems({})) == REQUIRED
    wrong = problems({"PAYMENTS_PORT": "x", "PAYMENTS_LOG_LEVEL": "loud"})
    assert set(wrong) == {*REQUIRED, "PAYMENTS_PORT", "PAYMENTS_LOG_LEVEL"}


READ: list[tuple[str, str, str, Any]] = [
    ("PAYMENTS_DATABASE_POOL_SIZE", "1", "database_pool_size", 1),
    ("PAYMENTS_DATABASE_POOL_SIZE", "100", "database_pool_size", 100),
    ("PAYMENTS_DATABASE_POOL_SIZE", "", "database_pool_size", 8),
    ("PAYMENTS_JWT_ISSUER", " users \n", "jwt_issuer", "users"),
    ("PAYMENTS_JWT_MAX_AGE_S", "60", "jwt_max_age", timedelta(minutes=1)),
    ("PAYMENTS_HOST", "0.0.0.0", "host", "0.0.0.0"),  # noqa: S104  # an example
    ("PAYMENTS_PORT", "0", "port", 0),
    ("PAYMENTS_OPS_PORT", "65535", "ops_port", 65_535),
    ("PAYMENTS_CONNECTIONS_MAX", "8", "connections_max", 8),
    ("PAYMENTS_CONNECTIONS_MAX", "100000", "connections_max", 100_000),
    ("PAYMENTS_KEEP_ALIVE_S", "3600", "keep_alive_s", 3_600),
    (
        "PAYMENTS_WEBHOOKS_IN_FLIGHT_MAX",
        "1",
        "in_flight",
        InFlightLimits(webhooks=1),
    ),
    (
        "PAYMENTS_READS_IN_FLIGHT_MAX",
        "100000",
        "in_flight",
        InFlightLimits(reads=100_000),
    ),
    (
        "PAYMENTS_CHANGES_IN_FLIGHT_MAX",
        "2",
        "in_flight",
        InFlightLimits(changes=2),
    ),
    ("PAYMENTS_READS_PER_MINUTE", "0", "rate_limits", RateLimits(reads=0)),
    ("PAYMENTS_CHANGES_PER_MINUTE", "1", "rate_limits", RateLimits(changes=1)),
    ("PAYMENTS_CARDS_PER_MINUTE", "2", "rate_limits", RateLimits(cards=2)),
    ("PAYMENTS_FEED_PER_MINUTE", "3", "rate_limits", RateLimits(feed=3)),
    (
        "PAYMENTS_REVOCATIONS_PER_MINUTE",
        "4",
        "rate_limits",
        RateLimits(revocations=4),
    ),
    (
        "PAYMENTS_ADMIN_PER_MINUTE",
        "1000000",
        "rate_limits",
        RateLimits(admin=1_000_000),
    ),
    ("PAYMENTS_DECLINES_PER_HOUR", "0", "declines_per_hour", 0),
    ("PAYMENTS_GRACE_DAYS", "0", "grace", timedelta(0)),
    ("PAYMENTS_DRAIN_S", "300", "drain_s", 300),
    ("PAYMENTS_EVENT_BACK_FILL_S", "0", "event_back_fill_s", 0),
    ("PAYMENTS_EVENT_BACK_FILL_S", "3600", "event_back_fill_s", 3600),
    ("PAYMENTS_SWEEP", "report", "sweep", "report"),
    *(
        (f"PAYMENTS_KEEP_{name.upper()}_DAYS", text, "retention", Retention(**kept))
        for name, text, kept in (
            ("bodies", "31", {"bodies": timedelta(days=31)}),
            ("events", "36600", {"events": timedelta(days=36_600)}),
            ("intents", "7", {"intents": timedelta(days=7)}),
            ("jobs", "0", {"jobs": None}),
            ("revocations", "1", {"revocations": timedelta(days=1)}),
        )
    ),
    ("PAYMENTS_LOG_LEVEL", "debug", "log_level", "debug"),
    ("PAYMENTS_TRACES", "on", "traces", "on"),
    ("PAYMENTS_TRACES", "off", "traces", "off"),
    (
        "PAYMENTS_CATALOGUE",
        "[prepaid]\nfeatures = ['a']",
        "catalogue",
        Catalogue.of([CatalogueProduct(product="prepaid", features=("a",))]),
    ),
    (
        "PAYMENTS_STRIPE_WEBHOOK_SECRETS",
        f"{SECRETS[0]}, {SECRETS[1]}\n{SECRETS[2]},,",
        "stripe_webhook_secrets",
        SECRETS,
    ),
    ("PAYMENTS_DATABASE_URL", "postgres://h/d", "database_url", "postgresql://h/d"),
    (
        "PAYMENTS_DATABASE_URL",
        "postgresql://h/d?x=postgres://",
        "database_url",
        "postgresql://h/d?x=postgres://",
    ),
    (
        "PAYMENTS_DATABASE_URL",
        "postgresql+asyncpg://h/d",
        "database_url",
        "postgresql+asyncpg://h/d",
    ),
    *(
        ("PAYMENTS_DATABASE_URL", address, "database_url", address)
        for address in (
            # A primary and its standby, in the form of libpq.
            f"postgresql://u:{CANARY}@a:5432,b:5433/d?target_session_attrs=read-write",
            "postgresql://a,b/d",
            "postgresql://[::1]:5432,[::2]:5433/d",
            "postgresql:///d?host=a,b&port=5432,5433",
            "postgresql:///d?host=/run/postgresql",
            f"postgresql://u:{CANARY}@/d",
        )
    ),
    ("PAYMENTS_STRIPE_API_KEY", key("test", "rk"), "stripe_api_key", key("test", "rk")),
]


@pytest.mark.parametrize(("variable", "text", "field", "value"), READ)
def test_a_variable_is_read(variable: str, text: str, field: str, value: Any) -> None:
    """
    Each reaches its field in the field's own type and unit.
    """
    settings = Settings.from_env(development(**{variable: text}))

    assert getattr(settings, field) == value


WRONG: list[tuple[str, str]] = [
    ("PAYMENTS_ENV", "staging"),
    ("PAYMENTS_ENV", "Production"),
    ("PAYMENTS_DATABASE_URL", f"mysql://u:{CANARY}@h/d"),
    ("PAYMENTS_DATABASE_URL", f"postgresql:{CANARY}"),
    # The standard parser quotes both in its error.
    ("PAYMENTS_DATABASE_URL", f"postgresql://u:{CANARY}/x@h/d"),
    ("PAYMENTS_DATABASE_URL", f"postgresql://u:{CANARY}\u2100@h/d"),
    ("PAYMENTS_DATABASE_URL", f"postgresql://u:{CANARY}@[::1/d"),
    ("PAYMENTS_DATABASE_URL", f"postgresql://u:{CANARY}@h:99999/d"),
    ("PAYMENTS_DATABASE_URL", f"postgresql://u:{CANARY}@a:5432,b:99999/d"),
    ("PAYMENTS_DATABASE_URL", f"postgresql://u:{CANARY}@a:5432,b:x/d"),
    ("PAYMENTS_DATABASE_URL", f"postgresql://u:{CANARY}@a:5432,,b/d"),
    ("PAYMENTS_DATABASE_URL", f"postgresql://u:{CANARY}@a,{CANARY}@b/d"),
    ("PAYMENTS_CATALOGUE", CANARY),
    ("PAYMENTS_DATABASE_POOL_SIZE", "0"),
    ("PAYMENTS_DATABASE_POOL_SIZE", "101"),
    ("PAYMENTS_DATABASE_POOL_SIZE", "-1"),
    ("PAYMENTS_STRIPE_API_BASE", f"https://{CANARY}.example"),
    ("PAYMENTS_STRIPE_API_KEY", CANARY),
    ("PAYMENTS_STRIPE_API_KEY", key("test") + " x"),
    ("PAYMENTS_STRIPE_API_KEY", key("test", "pk")),
    ("PAYMENTS_STRIPE_WEBHOOK_SECRETS", " , ,\n"),
    ("PAYMENTS_JWT_MAX_AGE_S", "59"),
    ("PAYMENTS_JWT_MAX_AGE_S", str(366 * 86_400 + 1)),
    ("PAYMENTS_PORT", "65536"),
    ("PAYMENTS_PORT", "8_000"),
    ("PAYMENTS_PORT", "\u0668"),
    ("PAYMENTS_PORT", "1" * 5000),
    # What Kubernetes sets for a service called `payments`.
    ("PAYMENTS_PORT", "tcp://10.0.0.1:80"),
    ("PAYMENTS_OPS_PORT", "+1"),
    ("PAYMENTS_CONNECTIONS_MAX", "7"),
    ("PAYMENTS_CONNECTIONS_MAX", "100001"),
    ("PAYMENTS_KEEP_ALIVE_S", "0"),
    ("PAYMENTS_KEEP_ALIVE_S", "3601"),
    ("PAYMENTS_WEBHOOKS_IN_FLIGHT_MAX", "0"),
    ("PAYMENTS_READS_IN_FLIGHT_MAX", "100001"),
    ("PAYMENTS_CHANGES_IN_FLIGHT_MAX", "0"),
    ("PAYMENTS_CARDS_PER_MINUTE", "-1"),
    ("PAYMENTS_READS_PER_MINUTE", "1000001"),
    ("PAYMENTS_DECLINES_PER_HOUR", "1001"),
    ("PAYMENTS_GRACE_DAYS", "367"),
    ("PAYMENTS_GRACE_DAYS", "1.5"),
    ("PAYMENTS_DRAIN_S", "301"),
    ("PAYMENTS_EVENT_BACK_FILL_S", "3601"),
    ("PAYMENTS_SWEEP", "yes"),
    ("PAYMENTS_ERASURE_KEY", CANARY[:31]),
    ("PAYMENTS_ERASURE_KEY", "0" * 64),
    # A body is delivered, and listed, for 30 days; a key is repeated for a day.
    ("PAYMENTS_KEEP_BODIES_DAYS", "30"),
    ("PAYMENTS_KEEP_EVENTS_DAYS", "30"),
    ("PAYMENTS_KEEP_INTENTS_DAYS", "6"),
    ("PAYMENTS_KEEP_JOBS_DAYS", "36601"),
    ("PAYMENTS_KEEP_REVOCATIONS_DAYS", "-1"),
    ("PAYMENTS_LOG_LEVEL", "INFO"),
    ("PAYMENTS_TRACES", "yes"),
]


@pytest.mark.parametrize(("variable", "text"), WRONG)
def test_a_wrong_value_is_refused_by_name(variable: str, text: str) -> None:
    """
    The message names the variable and nothing of the value.
    """
    assert list(problems(development(**{variable: text}))) == [variable]


@given(text=st.text(), name=st.sampled_from(["DATABASE_URL", "STRIPE_API_BASE"]))
@example(text="//", name="STRIPE_API_BASE")
@example(text="http://[", name="STRIPE_API_BASE")
def test_t67_any_text_is_read_or_refused_by_name(text: str, name: str) -> None:
    """
    Whatever an address contains, it is accepted, or refused by name; never another
    error.
    """
    named: set[str] = set()
    try:
        Settings.from_env(development(**{f"PAYMENTS_{name}": text}))
    except SettingsError as refused:
        named.update(refused.problems)

    assert named <= {f"PAYMENTS_{name}"}


def test_t61_settings_print_no_secret() -> None:
    """
    The repr may appear in a log or a traceback.
    """
    shown = repr(Settings.from_env(production())) + str(
        Settings.from_env(development(PAYMENTS_STRIPE_API_KEY=key("test")))
    )

    assert CANARY not in shown
    assert "payments-gateway" in shown


def test_a_migration_job_needs_the_database_only(tmp_path: Path) -> None:
    """
    Its one setting follows the same rules as the service's.
    """
    name = "PAYMENTS_DATABASE_URL"
    (tmp_path / "url").write_text(f"{DATABASE_URL}\n")

    assert database_url({}) is None
    assert database_url({name: DATABASE_URL}) == DATABASE_URL
    assert database_url({f"{name}_FILE": str(tmp_path / "url")}) == DATABASE_URL
    with pytest.raises(SettingsError) as refused:
        database_url({name: f"mysql://{CANARY}"})
    assert list(refused.value.problems) == [name]
    assert CANARY not in str(refused.value)
