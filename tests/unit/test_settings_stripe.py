"""Stripe's address and key: which are accepted."""

from collections.abc import Callable

import pytest

from payments_service.settings import STRIPE_API_BASE, Settings
from support.environments import development, key, problems, production

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
    The secret key is sent to that address: to Stripe, or nowhere.
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
    A fake Stripe on this machine is allowed in test mode only.
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
    Live and test money never mix.
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
