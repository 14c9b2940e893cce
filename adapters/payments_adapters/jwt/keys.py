"""Which keys may sign a token, and how (RFC 7517).

Rule 1: the algorithm belongs to the key. A token names a key, never how to check it.
Rule 2: a key that we cannot use stops the start; it is not skipped. (For keys that
        others publish see `published_keys`.)
Rule 3: no error or repr shows more of a key than its id and its algorithm.
"""

import base64
import hashlib
import json
import re
import secrets
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, Self

import attrs
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt import PyJWS

from payments_adapters.jwt.weak_keys import SigningKey, VerifyingKey, weakness_of
from payments_core.errors import InvalidValue

KEYS_MAX: Final = 32
KEY_SET_BYTES_MAX: Final = 64 * 1024
SECRET_BYTES_MIN: Final = 32
RSA_BITS_MIN: Final = 2048
# The length is enforced again, for a key that did not come through `from_jwks`.
SIGNATURES: Final = PyJWS(options={"enforce_minimum_key_length": True})

KID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_BASE64URL: Final = re.compile(r"[A-Za-z0-9_-]+")
# RFC 7518, section 6, and RFC 8037, section 2: what a key is made of.
_NUMBERS: Final = ("k", "n", "e", "d", "p", "q", "dp", "dq", "qi", "x", "y")
# The `kty` and the `crv` of each algorithm.
KINDS: Final = MappingProxyType(
    {
        "HS256": ("oct", None),
        "RS256": ("RSA", None),
        "ES256": ("EC", "P-256"),
        "EdDSA": ("OKP", "Ed25519"),
    }
)


@attrs.frozen(eq=False)
class Key:
    """One key; `signing` is None if only the public part is known."""

    kid: str
    alg: str
    verifying: VerifyingKey = attrs.field(repr=False)
    signing: SigningKey | None = attrs.field(repr=False)

    @property
    def fingerprint(self) -> bytes:
        """Equal for two keys if each verifies what the other one signs."""
        if isinstance(self.verifying, bytes):
            public = self.verifying
        else:
            public = self.verifying.public_bytes(
                Encoding.DER, PublicFormat.SubjectPublicKeyInfo
            )
        return hashlib.sha256(public).digest()


@attrs.frozen(eq=False)
class KeySet:
    """Keys by id, in the order of the document."""

    keys: Mapping[str, Key]

    @classmethod
    def from_jwks(cls, text: str) -> Self:
        """Read a JWK Set of 1 to 32 keys, at most 64 KiB.

        Each key carries a `kid` of its own and an `alg`: HS256 (32 bytes or more),
        RS256 (2048 bits or more), ES256 or EdDSA (Ed25519). The public part of a
        private key verifies. A weak key is refused (`weak_keys`), and so is a key that
        appears twice: retiring one of its names would have no effect.

        Raises:
            InvalidValue: the text is something else; the reason names the key by its
                `kid`, or by its place if the `kid` cannot be read.
        """
        keys = [_read(at, jwk) for at, jwk in enumerate(_listed(text))]
        by_kid = {key.kid: key for key in keys}
        for kid in by_kid:
            if sum(key.kid == kid for key in keys) > 1:
                raise _refused(kid, "appears more than once")
        first: dict[bytes, str] = {}
        for key in keys:
            other = first.setdefault(key.fingerprint, key.kid)
            if other != key.kid:
                raise _refused(key.kid, f"is the same as key {other}")
        return cls(MappingProxyType(by_kid))

    def find(self, kid: str) -> Key | None:
        return self.keys.get(kid)


def generate_jwks(kid: str) -> str:
    """Generate a key set with one fresh HS256 key, for development.

    Raises:
        InvalidValue: the id is not 1 to 64 of `A-Z a-z 0-9 _ -`.
    """
    if KID.fullmatch(kid) is None:
        raise InvalidValue("kid", "not 1 to 64 of A-Z a-z 0-9 _ -")
    secret = base64.urlsafe_b64encode(secrets.token_bytes(SECRET_BYTES_MIN))
    key = {"kty": "oct", "use": "sig", "alg": "HS256", "kid": kid}
    return json.dumps({"keys": [{**key, "k": secret.decode().rstrip("=")}]})


def json_object(text: str) -> dict[str, Any]:
    """Parse a JSON object strictly as in RFC 8259: no NaN, no duplicate name.

    Raises:
        ValueError: the text is something else.
    """
    try:
        value = json.loads(
            text, object_pairs_hook=_unambiguous, parse_constant=_refuse_constant
        )
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(value, dict):
        raise ValueError("not an object")  # noqa: TRY004  # wrong data, not a wrong call
    return value


def _unambiguous(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # Parsers disagree on which of two equal names counts.
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a name appears twice")
    return members


def _refuse_constant(_: str) -> None:
    raise ValueError("not a JSON number")


def _listed(text: str) -> list[Any]:
    if len(text.encode(errors="surrogatepass")) > KEY_SET_BYTES_MAX:
        raise InvalidValue("jwt_keys", f"more than {KEY_SET_BYTES_MAX} bytes")
    listed = _keys_member(text)
    if not isinstance(listed, list) or not 1 <= len(listed) <= KEYS_MAX:
        raise InvalidValue("jwt_keys", f"not a JWK Set of 1 to {KEYS_MAX} keys")
    return listed


def _keys_member(text: str) -> object:
    # A parser's error contains the document. It is dropped here, so that a later
    # error does not have it as its context.
    try:
        return json_object(text).get("keys")
    except ValueError:
        return None


def _read(at: int, jwk: object) -> Key:
    if not isinstance(jwk, dict):
        raise _refused(at, "is not an object")
    kid, alg = jwk.get("kid"), jwk.get("alg")
    if not isinstance(kid, str) or KID.fullmatch(kid) is None:
        raise _refused(at, "needs a kid: 1 to 64 of A-Z a-z 0-9 _ -")
    if not isinstance(alg, str) or alg not in KINDS:
        raise _refused(kid, f"needs an alg, one of {', '.join(KINDS)}")
    if (jwk.get("kty"), jwk.get("crv")) != KINDS[alg]:
        raise _refused(kid, f"has a kty or crv that does not fit {alg}")
    if jwk.get("use", "sig") != "sig":
        raise _refused(kid, "is not for signatures")
    return read_key(kid, alg, jwk)


def read_key(kid: str, alg: str, jwk: Mapping[str, Any]) -> Key:
    """Read the key material of a key with a known algorithm.

    Raises:
        InvalidValue: the key cannot be read, or is weak.
    """
    match material := _material(jwk, alg):
        case None:
            raise _refused(kid, "cannot be read")
        case bytes() if len(material) < SECRET_BYTES_MIN:
            raise _refused(kid, f"is shorter than {SECRET_BYTES_MIN} bytes")
        case RSAPrivateKey() | RSAPublicKey() if material.key_size < RSA_BITS_MIN:
            raise _refused(kid, f"is shorter than {RSA_BITS_MIN} bits")
        case _ if weakness := weakness_of(material):
            raise _refused(kid, weakness)
        case bytes():
            return Key(kid, alg, material, material)
        case RSAPrivateKey() | EllipticCurvePrivateKey() | Ed25519PrivateKey():
            return Key(kid, alg, material.public_key(), material)
        case _:
            return Key(kid, alg, material, None)


def _material(jwk: Mapping[str, Any], alg: str) -> VerifyingKey | SigningKey | None:
    # PyJWT skips characters that are not base64url, and would read another key.
    numbers = [jwk[name] for name in _NUMBERS if name in jwk]
    if not all(isinstance(one, str) and _BASE64URL.fullmatch(one) for one in numbers):
        return None
    algorithm = SIGNATURES.get_algorithm_by_name(alg)
    try:
        # PyJWT refuses a secret that is really a public key.
        return algorithm.prepare_key(algorithm.from_jwk(dict(jwk)))  # type: ignore[no-any-return]  # PyJWT says Any
    except Exception:  # noqa: BLE001  # many kinds, and some of them show the key
        return None


def _refused(key: str | int, reason: str) -> InvalidValue:
    name = f"key {key}" if isinstance(key, str) else f"key number {key + 1}"
    return InvalidValue("jwt_keys", f"{name} {reason}")
