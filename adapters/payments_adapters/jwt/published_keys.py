"""Keys that an issuer publishes at a public address (RFC 7517, section 5).

Rule 1: keys that we cannot use are skipped: for encryption, of other algorithms or
        curves, without a name, too short, weak, or damaged.
Rule 2: no secret is accepted from there. A symmetric key is skipped. A private key is
        refused together with its public part: anybody who has read it can sign.
Rule 3: if a key names no algorithm, its kind does: RSA is RS256, P-256 is ES256,
        Ed25519 is EdDSA.
Rule 4: a document without a usable key, or with two under one name, is refused.
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

# Other issuers name their keys freely: Amazon with a "+", "/" and "=".
_KID: Final = re.compile(r"[A-Za-z0-9._:~+/=-]{1,128}")
# RFC 7518, section 6, and RFC 8037, section 2: the private parameters of an asymmetric
# key.
_PRIVATE: Final = ("d", "p", "q", "dp", "dq", "qi", "oth")


@attrs.frozen
class PublishedKeys:
    """The usable keys, and the names of keys whose private part is published."""

    keys: KeySet
    leaked: tuple[str, ...]


def read_published(document: bytes) -> PublishedKeys:
    """Read another issuer's JWK Set, at most 64 KiB, with up to 32 usable keys.

    Raises:
        InvalidValue: the document is something else, or has no usable key.
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
    """Return the algorithm of a key; None if we cannot use it."""
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
