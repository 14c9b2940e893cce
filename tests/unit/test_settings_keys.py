"""Keys and secrets that verify callers, webhooks and passes: which are accepted."""

import base64
from datetime import timedelta

import pytest

from payments_adapters.jwt import add_pass_key
from payments_service.settings import Settings
from support.environments import (
    CANARY,
    JWKS,
    SECRETS,
    development,
    jwks,
    key_set_for,
    problems,
    production,
    webhook_secret,
)


def b64(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).decode().rstrip("=")


WEAK: list[tuple[str, str]] = [
    ("PAYMENTS_STRIPE_WEBHOOK_SECRETS", "whsec_" + "a" * 32),
    ("PAYMENTS_STRIPE_WEBHOOK_SECRETS", f"{SECRETS[0]},{SECRETS[1]},{SECRETS[0]}"),
    ("PAYMENTS_STRIPE_WEBHOOK_SECRETS", f"{SECRETS[0]} not-a-secret"),
    ("PAYMENTS_JWT_KEYS", jwks(b64(bytes(32)))),
    ("PAYMENTS_JWT_KEYS", jwks(b64(webhook_secret().encode()))),
    ("PAYMENTS_JWT_KEYS", jwks(CANARY + CANARY[::-1], CANARY + CANARY[::-1])),
    ("PAYMENTS_JWT_KEYS", f"{CANARY}"),
    # A key for callers must sign no pass.
    ("PAYMENTS_ACCESS_PASS_KEYS", JWKS),
    ("PAYMENTS_ACCESS_PASS_KEYS", f"{CANARY}"),
]


@pytest.mark.parametrize(("variable", "text"), WEAK)
def test_t09_t48_a_secret_that_protects_nothing_stops_the_start(
    variable: str, text: str
) -> None:
    """
    By name, and together with all other errors.
    """
    assert list(problems(development(**{variable: text}))) == [variable]
    wrong = {variable: text, "PAYMENTS_PORT": "x", "PAYMENTS_DRAIN_SECONDS": "1"}
    assert set(problems(development(**wrong))) == set(wrong)


@pytest.mark.parametrize("alg", ["HS256", "RS256", "ES256", "EdDSA"])
def test_callers_may_be_known_by_keys_of_each_kind(alg: str) -> None:
    """
    Also next to a secret of Stripe's, with which they are compared.
    """
    settings = Settings.from_env(production(PAYMENTS_JWT_KEYS=key_set_for(alg)))

    assert settings.jwt_keys == key_set_for(alg)


def test_a_key_of_callers_signs_no_access_pass() -> None:
    """
    A holder of the key that signs passes could sign bearer tokens with it.
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
    Other schemes, users, fragments, and anything that parsers read differently.
    """
    assert list(problems(with_keys_url(url))) == ["PAYMENTS_JWT_KEYS_URL"]


def test_keys_are_in_one_place() -> None:
    """
    In a variable, a file, or at an address: of two of them one would be a guess.
    """
    both = {**with_keys_url(), "PAYMENTS_JWT_KEYS": JWKS}
    assert problems(both) == {
        "PAYMENTS_JWT_KEYS_URL": "given besides PAYMENTS_JWT_KEYS: remove one of them"
    }
