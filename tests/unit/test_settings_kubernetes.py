"""A cluster whose services may call: its settings are given all or not at all."""

from datetime import timedelta
from pathlib import Path

import pytest

from payments_service.settings import Settings
from support.environments import JWKS, development, key_set_for, problems


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
    Its issuer, its keys, and which service may do what; everything else has a default.
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
    So are a symmetric key, an unknown scope, and the issuer of users' tokens.
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
