"""The environment: what it may say, and what is said about what it may not."""

import base64
import functools
import hashlib
import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import attrs
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hypothesis import example, given
from hypothesis import strategies as st
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from payments_adapters.jwt import add_pass_key
from payments_core.catalogue import Catalogue, CatalogueProduct
from payments_core.retention import Retention
from payments_service.lanes import InFlightLimits
from payments_service.rate_limits import RateLimits
from payments_service.settings import (
    SECRET_FILE_BYTES_MAX,
    STRIPE_API_BASE,
    Settings,
    SettingsError,
    database_url,
)
from support.stripe_bodies import a_secret

# Every secret holds it: whatever shows it shows a secret.
CANARY = f"canary{hashlib.sha256(b'canary').hexdigest()[:24]}"
DATABASE_URL = f"postgresql://payments:{CANARY}@db:5432/payments"
REQUIRED = (
    "PAYMENTS_ENV",
    "PAYMENTS_DATABASE_URL",
    "PAYMENTS_STRIPE_WEBHOOK_SECRETS",
    "PAYMENTS_JWT_ISSUER",
    "PAYMENTS_JWT_AUDIENCE",
    "PAYMENTS_JWT_KEYS",
)


def key(mode: str, prefix: str = "sk") -> str:
    return f"{prefix}_{mode}_{CANARY}"


def b64(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).decode().rstrip("=")


def jwks(*secrets: str) -> str:
    """Return a key set with an HMAC key for each of these."""
    key = {"kty": "oct", "alg": "HS256"}
    keys = [{**key, "kid": f"k{at}", "k": it} for at, it in enumerate(secrets)]
    return json.dumps({"keys": keys})


JWKS = jwks(CANARY + CANARY[::-1])


@functools.cache
def key_set_for(alg: str) -> str:
    """Return a key set with one key of this kind."""
    match alg:
        case "RS256":
            jwk = RSAAlgorithm.to_jwk(
                rsa.generate_private_key(65537, 2048).public_key(), as_dict=True
            )
        case "ES256":
            jwk = ECAlgorithm.to_jwk(
                ec.generate_private_key(ec.SECP256R1()).public_key(), as_dict=True
            )
        case "EdDSA":
            public = ed25519.Ed25519PrivateKey.generate().public_key()
            jwk = OKPAlgorithm.to_jwk(public, as_dict=True)
        case _:
            return JWKS
    return json.dumps({"keys": [{**jwk, "alg": alg, "kid": "k1"}]})


def webhook_secret() -> str:
    return f"whsec_{CANARY}"


def development(**others: str) -> dict[str, str]:
    return {
        "PAYMENTS_ENV": "development",
        "PAYMENTS_DATABASE_URL": DATABASE_URL,
        "PAYMENTS_STRIPE_WEBHOOK_SECRETS": webhook_secret(),
        "PAYMENTS_JWT_ISSUER": "users",
        "PAYMENTS_JWT_AUDIENCE": "payments-gateway",
        "PAYMENTS_JWT_KEYS": JWKS,
        **others,
    }


def production(**others: str) -> dict[str, str]:
    return {
        **development(),
        "PAYMENTS_ENV": "production",
        "PAYMENTS_STRIPE_API_KEY": key("live"),
        **others,
    }


def problems(env: dict[str, str]) -> dict[str, str]:
    """Return what is wrong; no problem ever shows a secret."""
    with pytest.raises(SettingsError) as refused:
        Settings.from_env(env)
    assert CANARY not in str(refused.value)
    return refused.value.problems


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
    Without one it would be told of a refused key every minute.
    """
    assert Settings.from_env(development(**given)).reads_event_list is reads


@pytest.mark.parametrize("how", ["repair", "report", "off"])
@pytest.mark.parametrize("has_key", [True, False])
def test_a_worker_sweeps_unless_it_shall_not(*, how: str, has_key: bool) -> None:
    """
    Nor without a key.
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
    Not there, empty or blank are the same; the problem names the file's twin too.
    """
    env = {k: v for k, v in development().items() if k != name}
    if value is not None:
        env[name] = value

    instead = ", or PAYMENTS_JWT_KEYS_URL" if name == "PAYMENTS_JWT_KEYS" else ""
    assert problems(env) == {name: f"missing (or {name}_FILE, a path{instead})"}


VERIFYING = tuple(it for it in REQUIRED if it not in REQUIRED[:2])


def test_t77_a_worker_needs_nothing_that_verifies_callers_or_webhooks() -> None:
    """
    It gets only the secrets that it uses; a process that serves does not start so.
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
    A setting that may be missing may not be wrong, nor given twice.
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
    Nobody wants to start a service six times to learn six names.
    """
    assert tuple(problems({})) == REQUIRED
    wrong = problems({"PAYMENTS_PORT": "x", "PAYMENTS_LOG_LEVEL": "loud"})
    assert set(wrong) == {*REQUIRED, "PAYMENTS_PORT", "PAYMENTS_LOG_LEVEL"}


SECRETS = tuple(map(a_secret, "abc"))
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
            # A primary and its standby, as libpq takes them.
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
    # The standard parser quotes both in its complaint.
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
    # What Kubernetes makes of a service that is called `payments`.
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
    The problem names the variable and nothing of the value.
    """
    assert list(problems(development(**{variable: text}))) == [variable]


@given(text=st.text(), name=st.sampled_from(["DATABASE_URL", "STRIPE_API_BASE"]))
@example(text="//", name="STRIPE_API_BASE")
@example(text="http://[", name="STRIPE_API_BASE")
def test_t67_any_text_is_read_or_refused_by_name(text: str, name: str) -> None:
    """
    Whatever is in an address: it is taken, or refused by name; never another error.
    """
    named: set[str] = set()
    try:
        Settings.from_env(development(**{f"PAYMENTS_{name}": text}))
    except SettingsError as refused:
        named.update(refused.problems)

    assert named <= {f"PAYMENTS_{name}"}


WEAK: list[tuple[str, str]] = [
    ("PAYMENTS_STRIPE_WEBHOOK_SECRETS", "whsec_" + "a" * 32),
    ("PAYMENTS_STRIPE_WEBHOOK_SECRETS", f"{SECRETS[0]},{SECRETS[1]},{SECRETS[0]}"),
    ("PAYMENTS_STRIPE_WEBHOOK_SECRETS", f"{SECRETS[0]} not-a-secret"),
    ("PAYMENTS_JWT_KEYS", jwks(b64(bytes(32)))),
    ("PAYMENTS_JWT_KEYS", jwks(b64(webhook_secret().encode()))),
    ("PAYMENTS_JWT_KEYS", jwks(CANARY + CANARY[::-1], CANARY + CANARY[::-1])),
    ("PAYMENTS_JWT_KEYS", f"{CANARY}"),
    # A key of callers' must sign no pass.
    ("PAYMENTS_ACCESS_PASS_KEYS", JWKS),
    ("PAYMENTS_ACCESS_PASS_KEYS", f"{CANARY}"),
]


@pytest.mark.parametrize(("variable", "text"), WEAK)
def test_t09_t48_a_secret_that_protects_nothing_stops_the_start(
    variable: str, text: str
) -> None:
    """
    By name, and at once with all else that is wrong.
    """
    assert list(problems(development(**{variable: text}))) == [variable]
    wrong = {variable: text, "PAYMENTS_PORT": "x", "PAYMENTS_DRAIN_SECONDS": "1"}
    assert set(problems(development(**wrong))) == set(wrong)


@pytest.mark.parametrize("alg", ["HS256", "RS256", "ES256", "EdDSA"])
def test_callers_may_be_known_by_keys_of_each_kind(alg: str) -> None:
    """
    Also beside a secret of Stripe's, with which they are compared.
    """
    settings = Settings.from_env(production(PAYMENTS_JWT_KEYS=key_set_for(alg)))

    assert settings.jwt_keys == key_set_for(alg)


def test_a_key_of_callers_signs_no_access_pass() -> None:
    """
    Who could sign passes with it could sign bearer tokens.
    """
    keys = add_pass_key("k1")
    both = {"PAYMENTS_JWT_KEYS": keys, "PAYMENTS_ACCESS_PASS_KEYS": keys}

    assert list(problems(development(**both))) == ["PAYMENTS_ACCESS_PASS_KEYS"]
    settings = Settings.from_env(
        development(
            PAYMENTS_ACCESS_PASS_KEYS=keys, PAYMENTS_ACCESS_PASS_LIFETIME_S="30"
        )
    )
    assert settings.access_pass_keys == keys
    assert settings.access_pass_lifetime == timedelta(seconds=30)
    assert keys not in repr(settings)


def test_an_unknown_setting_stops_the_start() -> None:
    """
    A typo would have no effect and nobody would know. What was meant is named too.
    """
    refused = problems(
        development(
            PAYMENTS_DRAIN_SECONDS=CANARY,
            PAYMENTS_LOGLEVEL="debug",
            PAYMENTS_JWT_KEYS_FILES="/keys",
            PAYMENTS_="",
        )
    )

    assert refused == {
        "PAYMENTS_": "not a setting of this release",
        "PAYMENTS_DRAIN_SECONDS": "not a setting of this release; "
        "PAYMENTS_DRAIN_S is one",
        "PAYMENTS_JWT_KEYS_FILES": "not a setting of this release; "
        "PAYMENTS_JWT_KEYS_FILE is one",
        "PAYMENTS_LOGLEVEL": "not a setting of this release; PAYMENTS_LOG_LEVEL is one",
    }


def test_what_others_read_is_no_unknown_setting() -> None:
    """
    `payments dev`, the sandbox's own program, the tests, the options of commands.
    """
    others = {
        "PAYMENTS_DEV_DIR": "/dev-folder",
        "PAYMENTS_POSTGRES_BIN": "/postgres",
        "PAYMENTS_SANDBOX_SERVE_PORT": "0",
        "PAYMENTS_TEST_DATABASE_URL": DATABASE_URL,
        "PATH": "/bin",
        "MY_PAYMENTS_PORT": "x",
    }
    assert Settings.from_env(development(**others)) == Settings.from_env(development())
    limit = development(PAYMENTS_TOKEN_LIST_LIMIT="9")
    known = Settings.from_env(limit, "PAYMENTS_TOKEN_LIST_LIMIT".__eq__)
    assert known == Settings.from_env(development())
    assert list(problems(limit)) == ["PAYMENTS_TOKEN_LIST_LIMIT"]


LINKS = {
    # Of a service that is called `payments`, and of one called `payments-gateway`.
    "PAYMENTS_PORT": "tcp://10.0.0.1:80",
    "PAYMENTS_HOST": "udp://10.0.0.1:53",
    "PAYMENTS_PORT_80_TCP": "tcp://10.0.0.1:80",
    "PAYMENTS_PORT_80_TCP_ADDR": "10.0.0.1",
    "PAYMENTS_PORT_80_TCP_PORT": "80",
    "PAYMENTS_PORT_80_TCP_PROTO": "tcp",
    "PAYMENTS_SERVICE_HOST": "10.0.0.1",
    "PAYMENTS_SERVICE_PORT": "80",
    "PAYMENTS_SERVICE_PORT_HTTP": "80",
    "PAYMENTS_GATEWAY_PORT": "tcp://[fd00::1]:80",
    "PAYMENTS_GATEWAY_PORT_80_TCP_PROTO": "tcp",
    "PAYMENTS_GATEWAY_SERVICE_HOST": "10.0.0.1",
    "PAYMENTS_SANDBOX_SERVICE_HOST": "10.0.0.1",
}


def test_what_kubernetes_tells_of_services_is_named_with_its_remedy() -> None:
    """
    Each of them, also where it takes the name of a setting.
    """
    refused = problems(development(**LINKS))

    assert set(refused) == set(LINKS)
    assert all("enableServiceLinks: false" in it for it in refused.values())


EVIL_BASES = [
    "https://api.stripe.com@evil.example",
    "https://api.stripe.com:x@evil.example",
    "https://api.stripe.com.evil.example",
    "https://evil.example/https://api.stripe.com",
    "https://evil.example#https://api.stripe.com",
    "https://evil.example\\@api.stripe.com",
    "https://api.stripe.com\\@evil.example",
    "https://api.stripe.com/v1",
    "https://api.stripe.com?x=y",
    "https://api.stripe.com#x",
    "https://api.stripe.com:444",
    "http://api.stripe.com",
    "HTTPS://API.STRIPE.COM",
    "//api.stripe.com",
    "//",
    "api.stripe.com",
    "file:///etc/passwd",
    "http://169.254.169.254",
    "http://[::ffff:169.254.169.254]",
    "http://0.0.0.0:1",
    "http://localhost.evil.example",
    "http://127.0.0.1.evil.example",
    "http://127.0.0.1@evil.example",
    "http://127.0.0.1:80@evil.example",
    "http://user@127.0.0.1",
    "http://:secret@127.0.0.1",
    "http://@127.0.0.1",
    "http://127.0.0.1/path",
    "http://127.0.0.1?query",
    "http://127.0.0.1#fragment",
    "http://127.0.0.1:99999",
    "http://127.0.0.1:port",
    "http://127.0.\n0.1",
    "http://127.0.0.1\\.evil.example",
    "http://0x7f.1",
    "ftp://127.0.0.1",
]


@pytest.mark.parametrize("env", [development, production])
@pytest.mark.parametrize("base", EVIL_BASES)
def test_t67_a_stripe_address_that_is_not_stripes_is_refused(
    env: Callable[..., dict[str, str]], base: str
) -> None:
    """
    The secret key goes wherever it points: to Stripe, or nowhere.
    """
    refused = problems(env(PAYMENTS_STRIPE_API_BASE=base))

    assert list(refused) == ["PAYMENTS_STRIPE_API_BASE"]


@pytest.mark.parametrize(
    "base",
    [
        "http://127.0.0.1:12111",
        "http://localhost:12111",
        "https://localhost",
        "http://[::1]:12111",
    ],
)
def test_t67_a_loopback_stripe_is_for_development_only(base: str) -> None:
    """
    A fake Stripe on this machine is fine where money is not real.
    """
    settings = Settings.from_env(development(PAYMENTS_STRIPE_API_BASE=f"{base}/"))

    assert settings.stripe_api_base == base
    refused = problems(production(PAYMENTS_STRIPE_API_BASE=base))
    assert list(refused) == ["PAYMENTS_STRIPE_API_BASE"]


@pytest.mark.parametrize("env", [development, production])
def test_stripes_own_address_is_taken_everywhere(
    env: Callable[..., dict[str, str]],
) -> None:
    """
    With or without a slash at the end.
    """
    settings = Settings.from_env(env(PAYMENTS_STRIPE_API_BASE=f"{STRIPE_API_BASE}/"))

    assert settings.stripe_api_base == STRIPE_API_BASE


@pytest.mark.parametrize("prefix", ["sk", "rk"])
def test_an_environment_refuses_the_keys_of_the_other(prefix: str) -> None:
    """
    Real and test money never meet.
    """
    name = "PAYMENTS_STRIPE_API_KEY"

    in_production = problems(production(**{name: key("test", prefix)}))
    in_development = problems(development(**{name: key("live", prefix)}))

    assert in_production == {
        name: "a test key; this environment takes live keys only",
    }
    assert in_development == {
        name: "a live key; this environment takes test keys only",
    }


def test_production_needs_a_key() -> None:
    """
    Development may do without Stripe, production may not.
    """
    env = production()
    del env["PAYMENTS_STRIPE_API_KEY"]

    assert list(problems(env)) == ["PAYMENTS_STRIPE_API_KEY"]


@pytest.mark.parametrize("end", ["", "\n", "\r\n", " \n\n"])
@pytest.mark.parametrize("name", REQUIRED)
def test_a_file_is_as_good_as_a_variable(tmp_path: Path, name: str, end: str) -> None:
    """
    Mounted secrets often end in a line break, which is not part of them.
    """
    env = development()
    (tmp_path / "secret").write_text(env.pop(name) + end)

    settings = Settings.from_env({**env, f"{name}_FILE": str(tmp_path / "secret")})

    assert settings == Settings.from_env(development())


def test_a_variable_given_twice_is_refused(tmp_path: Path) -> None:
    """
    Of a variable and its file one would be a guess; an empty one is not given.
    """
    name = "PAYMENTS_JWT_KEYS"
    (tmp_path / "keys").write_text(JWKS)
    file = {f"{name}_FILE": str(tmp_path / "keys")}

    assert "given twice" in problems(development(**file))[name]
    alone = Settings.from_env(development(**file, **{name: ""}))
    assert alone.jwt_keys == JWKS
    without = Settings.from_env(development(**{f"{name}_FILE": ""}))
    assert without == Settings.from_env(development())


def _folder(path: Path) -> None:
    path.mkdir()


def _not_text(path: Path) -> None:
    path.write_bytes(b"\xff" + CANARY.encode())


def _too_long(path: Path) -> None:
    path.write_text(CANARY * SECRET_FILE_BYTES_MAX)


def _empty(path: Path) -> None:
    path.write_text("\n")


def _none(_: Path) -> None:
    """Leave nothing there."""


@pytest.mark.parametrize("make", [_folder, _not_text, _too_long, _empty, _none])
def test_a_file_that_cannot_be_read_is_refused_by_name(
    tmp_path: Path, make: Callable[[Path], None]
) -> None:
    """
    Not there, a folder, no text, too long, empty: the variable is named.
    """
    name = "PAYMENTS_STRIPE_WEBHOOK_SECRETS"
    make(tmp_path / "secret")
    env = development()
    del env[name]

    assert list(problems({**env, f"{name}_FILE": str(tmp_path / "secret")})) == [name]


def test_a_path_with_a_null_is_refused_by_name() -> None:
    """
    Even what the operating system does not take as a path.
    """
    refused = problems(development(PAYMENTS_GRACE_DAYS_FILE="a\0b"))

    assert list(refused) == ["PAYMENTS_GRACE_DAYS"]


def test_t61_settings_print_no_secret() -> None:
    """
    The repr may end up in a log or a traceback.
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


KEYS_URL = "https://users.example.com/.well-known/jwks.json"


def with_keys_url(url: str = KEYS_URL, **others: str) -> dict[str, str]:
    return {
        **development(**others),
        "PAYMENTS_JWT_KEYS": "",
        "PAYMENTS_JWT_KEYS_URL": url,
    }


@pytest.mark.parametrize(
    "url",
    [
        KEYS_URL,
        "https://users.example.com",
        "https://10.0.0.1:8443/keys?set=1",
        "https://[fd00::1]:443/keys",
        "http://127.0.0.1:8080/keys",
        "http://localhost/keys",
        "http://[::1]:80/keys",
    ],
)
def test_keys_may_be_at_an_address(url: str) -> None:
    """
    Over http only on this machine, and not in production.
    """
    settings = Settings.from_env(with_keys_url(url))
    assert (settings.jwt_keys, settings.jwt_keys_url) == (None, url)

    live = {**production(), **with_keys_url(url), "PAYMENTS_ENV": "production"}
    if url.startswith("http:"):
        assert list(problems(live)) == ["PAYMENTS_JWT_KEYS_URL"]
    else:
        assert Settings.from_env(live).jwt_keys_url == url


@pytest.mark.parametrize(
    "url",
    [
        "http://users.example.com/keys",
        f"https://user:{CANARY}@users.example.com/keys",
        f"https://{CANARY}@127.0.0.1/keys",
        "http://127.0.0.1@evil.example/keys",
        "http://127.0.0.1.evil.example/keys",
        "http://localhost#@evil.example/",
        "https://users.example.com/keys#x",
        "https://users.example.com\\@evil.example/",
        "https://users.example.com:65536/",
        "https://users.example.com:/",
        "https:///keys",
        "ftp://users.example.com/keys",
        "file:///etc/passwd",
        "HTTPS://users.example.com/ keys",
        "users.example.com",
    ],
)
def test_t31_what_keys_are_not_read_from(url: str) -> None:
    """
    Other schemes, users, fragments, and whatever parsers disagree about.
    """
    assert list(problems(with_keys_url(url))) == ["PAYMENTS_JWT_KEYS_URL"]


def test_keys_are_in_one_place() -> None:
    """
    In a variable, a file, or at an address: of two of them one would be a guess.
    """
    both = {**with_keys_url(), "PAYMENTS_JWT_KEYS": JWKS}
    assert problems(both) == {
        "PAYMENTS_JWT_KEYS_URL": "given besides PAYMENTS_JWT_KEYS: "
        "one of them has to go"
    }


def cluster(**others: str | None) -> dict[str, str]:
    """Return an environment with a cluster whose services may call."""
    given = {
        "ISSUER": "https://kubernetes.default.svc",
        "KEYS_URL": "https://kubernetes.default.svc/openid/v1/jwks",
        "SCOPES": "shop/shop=payments:feed payments:read",
        **others,
    }
    named = {f"PAYMENTS_KUBERNETES_{name}": it for name, it in given.items() if it}
    return development(**named)


def test_a_clusters_services_may_call() -> None:
    """
    Its issuer, its keys, and who may do what; all else has a default.
    """
    files = {"CA_FILE": "/cluster/ca.crt", "TOKEN_FILE": "/cluster/token"}
    settings = Settings.from_env(cluster(**files, MAX_AGE_S="7200", AUDIENCE="pay"))

    assert settings.kubernetes_issuer == "https://kubernetes.default.svc"
    assert settings.kubernetes_audience == "pay"
    assert settings.kubernetes_ca_file == Path("/cluster/ca.crt")
    assert settings.kubernetes_token_file == Path("/cluster/token")
    assert settings.kubernetes_max_age == timedelta(hours=2)
    assert settings.kubernetes_scopes is not None
    assert settings.kubernetes_scopes.text == "shop/shop=payments:feed payments:read"
    keys = Settings.from_env(cluster(KEYS_URL=None, KEYS=key_set_for("RS256")))
    assert keys.kubernetes_keys == key_set_for("RS256")


@pytest.mark.parametrize(
    ("given", "wrong"),
    [
        ({"ISSUER": None}, "ISSUER"),
        ({"SCOPES": None}, "SCOPES"),
        ({"KEYS_URL": None}, "KEYS"),
        ({"KEYS": key_set_for("ES256")}, "KEYS_URL"),
        ({"KEYS_URL": None, "KEYS": JWKS}, "KEYS"),
        ({"KEYS_URL": "http://kubernetes.default.svc/keys"}, "KEYS_URL"),
        ({"ISSUER": "users"}, "ISSUER"),
        ({"SCOPES": "shop/shop=payments:everything"}, "SCOPES"),
        ({"MAX_AGE_S": "59"}, "MAX_AGE_S"),
        (
            {"KEYS_URL": None, "KEYS": key_set_for("ES256"), "TOKEN_FILE": "/t"},
            "TOKEN_FILE",
        ),
        ({"KEYS_URL": None, "KEYS": key_set_for("ES256"), "CA_FILE": "/c"}, "CA_FILE"),
    ],
)
def test_half_a_cluster_is_refused(given: dict[str, str | None], wrong: str) -> None:
    """
    As are a symmetric key, a scope that there is not, and the issuer of users' tokens.
    """
    assert list(problems(cluster(**given))) == [f"PAYMENTS_KUBERNETES_{wrong}"]


@pytest.mark.parametrize("name", ["AUDIENCE", "CA_FILE", "SCOPES"])
def test_what_is_said_of_no_cluster_is_refused(name: str) -> None:
    """
    It would have no effect.
    """
    said = {"AUDIENCE": "pay", "CA_FILE": "/ca", "SCOPES": "a/b=payments:feed"}
    refused = problems(development(**{f"PAYMENTS_KUBERNETES_{name}": said[name]}))
    assert "PAYMENTS_KUBERNETES_ISSUER" in refused
