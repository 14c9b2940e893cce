"""Conflicts between settings that are each valid alone."""

from collections.abc import Mapping


def problems_between(values: Mapping[str, object]) -> dict[str, str]:
    """Return the conflicts between settings that are each valid alone."""
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
            "also PAYMENTS_JWT_ISSUER: each must have a name of its own"
        )
    return problems


def _is_key_also_stripes(values: Mapping[str, object]) -> bool:
    # Imported here: `--help` reads no settings.
    from payments_adapters.jwt.keys import KeySet  # noqa: PLC0415

    match values:
        case {"jwt_keys": str(jwks), "stripe_webhook_secrets": tuple(secrets)}:
            stripes = {str(it).encode() for it in (*secrets, values["stripe_api_key"])}
            keys = KeySet.from_jwks(jwks).keys.values()
            # Only keys of these kinds: keys of curves have no hash.
            shared = (it.verifying for it in keys if isinstance(it.verifying, bytes))
            return not stripes.isdisjoint(shared)
        case _:
            # One of them could not be read.
            return False


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
