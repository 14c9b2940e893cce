"""Environments of a service with known secrets, and their problems."""

import functools
import hashlib
import json

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from payments_service.settings import Settings, SettingsError
from support.stripe_bodies import a_secret

# Part of every secret: output that contains it shows a secret.
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
    """Return the problems; no problem ever shows a secret."""
    with pytest.raises(SettingsError) as refused:
        Settings.from_env(env)
    assert CANARY not in str(refused.value)
    return refused.value.problems


SECRETS = tuple(map(a_secret, "abc"))
