"""Keys that an issuer publishes at an address, for everybody (RFC 7517, section 5).

Rule 1: what is not for us is passed over: keys to encrypt with, of other algorithms or
        curves, without a name, too short, weak, or damaged.
Rule 2: no secret is taken from there. A symmetric key is passed over, and a private one
        is refused with its public part: who has read it can sign.
Rule 3: where a key says no algorithm, its kind does: RSA is RS256, P-256 is ES256,
        Ed25519 is EdDSA.
Rule 4: without one key for us, or with two under one name, it is no set of keys.
"""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

import attrs

from payments_adapters.jwt.keys import (
    KEY_SET_BYTES_MAX,
    KEYS_MAX,
    KINDS,
    Key,
    KeySet,
    json_object,
    read_key,
)
from payments_core.errors import InvalidValue

# Others name their keys as they like: Amazon with a "+", "/" and "=".
_KID: Final = re.compile(r"[A-Za-z0-9._:~+/=-]{1,128}")
# RFC 7518, section 6, and RFC 8037, section 2: the private ones of an asymmetric key.
_PRIVATE: Final = ("d", "p", "q", "dp", "dq", "qi", "oth")


@attrs.frozen
class PublishedKeys:
    """The keys that are for us, and the names of those whose private part is out."""

    keys: KeySet
    leaked: tuple[str, ...]


def read_published(document: bytes) -> PublishedKeys:
    """Read a JWK Set of somebody else, at most 64 KiB; up to 32 keys are for us.

    Raises:
        InvalidValue: it is something else, or has no key for us.
    """
    usable: dict[str, Key] = {}
    leaked: list[str] = []
    for jwk in _listed(document):
        kid = _kid(jwk)
        if kid is None:
            continue
        if any(name in jwk for name in _PRIVATE):
            leaked.append(kid)
            continue
        alg = _algorithm(jwk)
        if alg is None:
            continue
        try:
            key = read_key(kid, alg, jwk)
        except InvalidValue:
            continue
        if kid in usable and usable[kid].fingerprint != key.fingerprint:
            raise _refused("two keys have the same kid")
        usable[kid] = key
    for kid in leaked:
        usable.pop(kid, None)
    if not 1 <= len(usable) <= KEYS_MAX:
        raise _refused(f"not 1 to {KEYS_MAX} keys that can verify our tokens")
    return PublishedKeys(KeySet(MappingProxyType(usable)), tuple(leaked))


def _listed(document: bytes) -> list[Any]:
    if len(document) > KEY_SET_BYTES_MAX:
        raise _refused(f"more than {KEY_SET_BYTES_MAX} bytes")
    try:
        listed = json_object(document.decode()).get("keys")
    except ValueError:
        listed = None
    if not isinstance(listed, list):
        raise _refused("not a JWK Set")
    return listed


def _kid(jwk: object) -> str | None:
    kid = jwk.get("kid") if isinstance(jwk, dict) else None
    is_name = isinstance(kid, str) and _KID.fullmatch(kid) is not None
    return kid if is_name else None


def _algorithm(jwk: Mapping[str, Any]) -> str | None:
    """Return the algorithm of a key; None if it is not for us."""
    kind = jwk.get("kty"), jwk.get("crv")
    found = (alg for alg, known in KINDS.items() if known == kind and kind[0] != "oct")
    alg = next(found, None)
    operations = jwk.get("key_ops", ["verify"])
    is_to_verify = isinstance(operations, list) and "verify" in operations
    if jwk.get("alg", alg) != alg or jwk.get("use", "sig") != "sig":
        return None
    return alg if is_to_verify else None


def _refused(reason: str) -> InvalidValue:
    return InvalidValue("keys", reason)
