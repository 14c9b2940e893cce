"""A cluster whose services may call."""

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from payments_service.settings.keys import TOKEN_AGE_MAX_S, keys_url
from payments_service.settings.reader import Reader
from payments_service.settings.values import plain_text, seconds

if TYPE_CHECKING:
    from payments_adapters.jwt.service_accounts import ServiceAccounts


def kubernetes(given: Reader, *, live: bool) -> dict[str, object]:
    """Read the settings of a cluster whose services may call: all of them, or none."""
    values: dict[str, object] = {
        "kubernetes_issuer": given.get("PAYMENTS_KUBERNETES_ISSUER", plain_text, None),
        "kubernetes_audience": given.get(
            "PAYMENTS_KUBERNETES_AUDIENCE", plain_text, None
        ),
        "kubernetes_keys": given.get("PAYMENTS_KUBERNETES_KEYS", cluster_keys, None),
        "kubernetes_keys_url": given.get(
            "PAYMENTS_KUBERNETES_KEYS_URL", keys_url(live=live), None
        ),
        "kubernetes_ca_file": given.get("PAYMENTS_KUBERNETES_CA_FILE", Path, None),
        "kubernetes_token_file": given.get(
            "PAYMENTS_KUBERNETES_TOKEN_FILE", Path, None
        ),
        "kubernetes_scopes": given.get(
            "PAYMENTS_KUBERNETES_SCOPES", service_accounts, None
        ),
        "kubernetes_max_age": given.get(
            "PAYMENTS_KUBERNETES_MAX_AGE_S",
            seconds(60, TOKEN_AGE_MAX_S),
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


def cluster_keys(text: str) -> str:
    # Imported here: `--help` reads no settings.
    from payments_adapters.jwt.keys import KeySet  # noqa: PLC0415

    keys = KeySet.from_jwks(text).keys.values()
    if any(isinstance(it.verifying, bytes) for it in keys):
        raise ValueError("a cluster has no symmetric key")
    return text


def service_accounts(text: str) -> "ServiceAccounts":
    from payments_adapters.jwt.service_accounts import (  # noqa: PLC0415  # see above
        ServiceAccounts,
    )

    return ServiceAccounts.from_text(text)
