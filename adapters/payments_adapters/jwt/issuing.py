"""Tokens as the users micro-service issues them, for development and tests."""

import json
from collections.abc import Iterable
from datetime import datetime, timedelta

from payments_adapters.jwt.keys import SIGNATURES, Key, KeySet
from payments_adapters.jwt.verification import JTI
from payments_adapters.jwt.weak_keys import SigningKey
from payments_core.errors import InvalidValue
from payments_core.identity import Email, UserId


def issue(  # noqa: PLR0913  # a token's claims, one by one and by name
    keys: KeySet,
    *,
    issuer: str,
    audience: str,
    user_id: UserId,
    email: Email | None,
    scopes: Iterable[str],
    at: datetime,
    lifetime: timedelta,
    jti: str,
) -> str:
    """Sign a token with the first key that can, as in RFC 9068.

    `at` has a time zone; only whole seconds of it and of `lifetime` count.

    Raises:
        InvalidValue: no key can sign, or a verifier would not accept the token as
            intended.
    """
    issued_s = int(at.timestamp())
    claims: dict[str, str | int] = {
        "iss": issuer,
        "aud": audience,
        "sub": user_id,
        "iat": issued_s,
        "exp": issued_s + _lifetime_s(lifetime),
        "jti": _jti(jti),
        "scope": _scope(scopes),
    }
    if email is not None:
        claims["email"] = email.text
    return _signed(claims, *_signer(keys))


def _signed(claims: dict[str, str | int], key: Key, signing: SigningKey) -> str:
    header = {"typ": "at+jwt", "kid": key.kid}
    payload = json.dumps(claims, separators=(",", ":")).encode()
    return SIGNATURES.encode(payload, signing, algorithm=key.alg, headers=header)


def _signer(keys: KeySet) -> tuple[Key, SigningKey]:
    for key in keys.keys.values():
        if key.signing is not None:
            return key, key.signing
    raise InvalidValue("jwt_keys", "no key can sign: all are public")


def _lifetime_s(lifetime: timedelta) -> int:
    seconds = int(lifetime.total_seconds())
    if seconds < 1:
        raise InvalidValue("lifetime", "less than a second")
    return seconds


def _jti(jti: str) -> str:
    if JTI.fullmatch(jti) is None:
        raise InvalidValue("jti", "not 1 to 128 of A-Z a-z 0-9 . _ : ~ -")
    return jti


def _scope(scopes: Iterable[str]) -> str:
    # A scope with a space in it would be read as two.
    names = sorted(set(scopes))
    if any(not name or " " in name for name in names):
        raise InvalidValue("scopes", "a scope is empty or has a space in it")
    return " ".join(names)
