"""Bearer tokens, access passes, and the keys that sign them."""

import base64
import hashlib
import hmac
import json
from collections.abc import Coroutine
from datetime import timedelta
from typing import Any, Final

import attrs
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, derive_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from fuzz.reader import CANARY, Reader
from payments_adapters.jwt import JwtVerifier, KeySet, PassKeys
from payments_client import PassRefused, PassVerifier
from payments_client.passes import ISSUER as PASS_ISSUER
from payments_client.passes import TYPE as PASS_TYPE
from payments_client.shapes import Key, Keys
from payments_core.errors import InvalidToken, InvalidValue
from support.stripe_bodies import NOON, NOON_S

_ISSUER: Final = "https://users.example"
_AUDIENCE: Final = "payments"
# A text of an input is a header and claims, or a header, claims and a signature.
_BETWEEN: Final = b"\n"


def _b64(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).decode().rstrip("=")


def _number(name: str) -> bytes:
    """Return 32 bytes that look random, and the same ones for a name."""
    return hashlib.sha256(name.encode()).digest()


_SECRET: Final = _number("secret")
_JWK: Final = {"kty": "oct", "alg": "HS256", "kid": "k1", "k": _b64(_SECRET)}
JWKS: Final = json.dumps({"keys": [_JWK]})
_VERIFIER: Final = JwtVerifier(
    KeySet.from_jwks(JWKS),
    _ISSUER,
    _AUDIENCE,
    lambda: NOON,
    timedelta(minutes=15),
)
_HEADER: Final = {"alg": "HS256", "kid": "k1", "typ": "at+jwt"}
_CLAIMS: Final = {
    "iss": _ISSUER,
    "aud": [_AUDIENCE, "other"],
    "sub": CANARY,
    "jti": CANARY,
    "iat": NOON_S,
    "nbf": NOON_S,
    "exp": NOON_S + 300,
    "email": f"{CANARY}@example.org",
    "email_verified": True,
    "scope": f"payments:read {CANARY}",
    "name": {"given": CANARY},
}


def _signed(header: bytes, claims: bytes) -> str:
    text = f"{_b64(header)}.{_b64(claims)}"
    return f"{text}.{_b64(hmac.digest(_SECRET, text.encode(), 'sha256'))}"


def _parts(*values: object) -> bytes:
    return _BETWEEN.join(json.dumps(it).encode() for it in values)


_TOKEN: Final = _signed(json.dumps(_HEADER).encode(), json.dumps(_CLAIMS).encode())


def _verified(text: str) -> object:
    # With a set of its own: one that is remembered is not read.
    token = attrs.evolve(_VERIFIER).verify(text)
    return (bool(token.email), bool(token.scopes))


def _token(data: bytes) -> object:
    return _verified(data.decode("latin-1"))


def _header_and_claims(data: bytes) -> object:
    header, _, claims = data.partition(_BETWEEN)
    return _verified(_signed(header, claims))


def _claims(data: bytes) -> object:
    return _verified(_signed(json.dumps(_HEADER).encode(), data))


_PASS_KEY: Final = Ed25519PrivateKey.from_private_bytes(_number("pass"))
_PASS_HEADER: Final = {"alg": "EdDSA", "kid": "p1", "typ": PASS_TYPE}
_PASS_CLAIMS: Final = {
    "iss": PASS_ISSUER,
    "aud": "access-pass",
    "sub": CANARY,
    "iat": NOON_S,
    "nbf": NOON_S,
    "exp": NOON_S + 300,
    "entitled_until": NOON_S + 900,
    "features": {"reports": NOON_S + 900, CANARY: NOON_S + 10.5},
    "more": {"is": ["let", "be"]},
}


def _public() -> str:
    public = _PASS_KEY.public_key()
    return _b64(public.public_bytes(Encoding.Raw, PublicFormat.Raw))


class _PassKeys:
    async def keys(self) -> Keys:
        return Keys([Key(kty="OKP", crv="Ed25519", kid="p1", x=_public())])


def _driven(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Return what a coroutine returns that waits for nothing."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        return end.value
    raise AssertionError("it waits")


class _Passes:
    """A verifier that has its keys, and asks for none any more."""

    def __init__(self) -> None:
        self._made: PassVerifier | None = None

    def _verifier(self) -> PassVerifier:
        if self._made is None:
            made = PassVerifier(
                _PassKeys(), clock=lambda: NOON_S, monotonic=lambda: 0.0
            )
            _driven(made._keys._fetch())
            made._keys._tried_at = 0.0
            self._made = made
        self._made._known.clear()
        return self._made

    def text(self, data: bytes) -> object:
        return type(_driven(self._verifier().verify(data.decode("latin-1"))))

    def claims(self, data: bytes) -> object:
        return self._signed(json.dumps(_PASS_HEADER).encode(), data)

    def header_and_claims(self, data: bytes) -> object:
        header, _, claims = data.partition(_BETWEEN)
        return self._signed(header, claims)

    def _signed(self, header: bytes, claims: bytes) -> object:
        signed = f"{_b64(header)}.{_b64(claims)}"
        signature = _b64(_PASS_KEY.sign(signed.encode()))
        found = _driven(self._verifier().verify(f"{signed}.{signature}"))
        return found.allows("reports", now=NOON_S)


_PASSES: Final = _Passes()


def _jwk_sets() -> list[bytes]:
    curve = derive_private_key(int.from_bytes(_number("curve")), SECP256R1())
    public = curve.public_key().public_numbers()
    point = {"x": _b64(public.x.to_bytes(32)), "y": _b64(public.y.to_bytes(32))}
    modulus = b"".join(_number(f"modulus {it}") for it in range(8))
    rsa = _b64(b"\xff" + modulus[1:-1] + b"\xff")
    private = _PASS_KEY.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
    okp = {"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "x": _public()}
    keys: list[dict[str, str]] = [
        _JWK | {"use": "sig", "k": f"{CANARY}{_b64(_SECRET)}"},
        {"kty": "EC", "crv": "P-256", "alg": "ES256", "kid": "k2", **point},
        {"kty": "RSA", "alg": "RS256", "kid": "k3", "n": rsa, "e": "AQAB"},
        {**okp, "kid": "k4", "d": _b64(private)},
    ]
    return [
        json.dumps({"keys": keys}).encode(),
        *(json.dumps({"keys": [it]}).encode() for it in keys),
    ]


def _pass_jwk_sets() -> list[bytes]:
    private = _PASS_KEY.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
    okp = {"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "x": _public()}
    signing = {**okp, "kid": "p1", "d": _b64(private)}
    other = Ed25519PrivateKey.from_private_bytes(_number("other")).public_key()
    raw = other.public_bytes(Encoding.Raw, PublicFormat.Raw)
    published = {**okp, "kid": "p2", "x": _b64(raw)}
    sets = [[signing], [signing, published], [signing, _JWK], [published]]
    return [json.dumps({"keys": it}).encode() for it in sets]


def _jwks(data: bytes) -> object:
    text = data.decode(errors="surrogateescape")
    return tuple(it.alg for it in KeySet.from_jwks(text).keys.values())


def _pass_jwks(data: bytes) -> object:
    return len(PassKeys.from_jwks(data.decode(errors="surrogateescape")).published)


TOKENS: Final = (
    Reader("token", _token, [_TOKEN.encode()], (InvalidToken,)),
    Reader(
        "signed header and claims",
        _header_and_claims,
        [_parts(_HEADER, _CLAIMS)],
        (InvalidToken,),
    ),
    Reader(
        "signed claims",
        _claims,
        [json.dumps(_CLAIMS).encode()],
        (InvalidToken,),
        weight=2,
    ),
    Reader("JWK set", _jwks, _jwk_sets(), (InvalidValue,), 70_000, weight=0.3),
    Reader(
        "JWK set of passes", _pass_jwks, _pass_jwk_sets(), (InvalidValue,), weight=0.2
    ),
    Reader(
        "access pass",
        _PASSES.text,
        [f"{_b64(json.dumps(_PASS_HEADER).encode())}.e30.{_b64(b'0' * 64)}".encode()],
        (PassRefused,),
    ),
    Reader(
        "signed access pass",
        _PASSES.header_and_claims,
        [_parts(_PASS_HEADER, _PASS_CLAIMS)],
        (PassRefused,),
        weight=0.3,
    ),
    Reader(
        "claims of access pass",
        _PASSES.claims,
        [json.dumps(_PASS_CLAIMS).encode()],
        (PassRefused,),
        weight=0.3,
    ),
)
