"""Access passes: short tokens that say what a user may use, for offline checks.

Rule 1: a pass is signed with Ed25519 by the first key of the set. All keys of the set
        are published: a key before it signs, and after it no longer does.
Rule 2: only public parts are published.
"""

import base64
import json
from collections.abc import Sequence
from typing import Final, Self

import attrs
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from payments_adapters.jwt.keys import KID, SIGNATURES, Key, KeySet, json_object
from payments_adapters.jwt.weak_keys import SigningKey
from payments_core.access_pass import AccessPass, PublishedKey
from payments_core.errors import InvalidValue, PassesNotOffered

ALGORITHM: Final = "EdDSA"
# The `typ` of the header: it is never that of a bearer token.
TYPE: Final = "access-pass+jwt"
AUDIENCE: Final = "access-pass"


@attrs.frozen(eq=False)
class PassKeys:
    """The keys of a deployment that sign passes; `signing` is the first key."""

    keys: KeySet
    first: Key
    signing: SigningKey = attrs.field(repr=False)

    @classmethod
    def from_jwks(cls, text: str) -> Self:
        """Read a JWK Set of Ed25519 keys; the first must have its private part.

        Raises:
            InvalidValue: the text is something else (see `KeySet.from_jwks`).
        """
        try:
            keys = KeySet.from_jwks(text)
        except InvalidValue as error:
            raise InvalidValue("keys", error.reason) from None
        listed = list(keys.keys.values())
        for key in listed:
            if key.alg != ALGORITHM:
                raise InvalidValue("keys", f"key {key.kid} is not for {ALGORITHM}")
        first = listed[0]
        if first.signing is None:
            raise InvalidValue("keys", f"key {first.kid} is first, and is public")
        return cls(keys, first, first.signing)

    @property
    def published(self) -> Sequence[PublishedKey]:
        """Return the public parts of all keys, in order."""
        return [_published(it) for it in self.keys.keys.values()]


@attrs.frozen(eq=False)
class PassSigning:
    """Signs passes, if there are keys; `issuer` is what a verifier finds in `iss`."""

    keys: PassKeys | None
    issuer: str

    @property
    def published(self) -> Sequence[PublishedKey]:
        return self.keys.published if self.keys is not None else ()

    def sign(self, access_pass: AccessPass) -> str:
        if self.keys is None:
            raise PassesNotOffered
        until = access_pass.entitled_until
        claims = {
            "iss": self.issuer,
            "aud": AUDIENCE,
            "sub": access_pass.user_id,
            "iat": int(access_pass.issued_at.timestamp()),
            "exp": int(access_pass.expires_at.timestamp()),
            "entitled_until": until and int(until.timestamp()),
            "features": {
                name: int(moment.timestamp())
                for name, moment in access_pass.features.items()
            },
        }
        key = self.keys.first
        header = {"typ": TYPE, "kid": key.kid}
        payload = json.dumps(claims, separators=(",", ":")).encode()
        return SIGNATURES.encode(
            payload, self.keys.signing, algorithm=ALGORITHM, headers=header
        )


def add_pass_key(kid: str, text: str | None = None) -> str:
    """Return a key set with one more fresh private key, which is last.

    The other keys are those of `text`, unchanged; without it there are none.

    Raises:
        InvalidValue: the id is not 1 to 64 of `A-Z a-z 0-9 _ -`, or is already in use,
            or the text is not a key set of passes.
    """
    if KID.fullmatch(kid) is None:
        raise InvalidValue("kid", "not 1 to 64 of A-Z a-z 0-9 _ -")
    before: list[object] = []
    if text is not None:
        PassKeys.from_jwks(text)
        before = json_object(text)["keys"]
    private = Ed25519PrivateKey.generate()
    raw = private.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
    public = attrs.asdict(_okp(kid, private.public_key()))
    made = json.dumps({"keys": [*before, {**public, "d": _base64url(raw)}]}, indent=2)
    PassKeys.from_jwks(made)
    return made


def _published(key: Key) -> PublishedKey:
    if not isinstance(key.verifying, Ed25519PublicKey):
        raise TypeError("a key of another kind among the keys of passes")
    return _okp(key.kid, key.verifying)


def _okp(kid: str, public: Ed25519PublicKey) -> PublishedKey:
    x = _base64url(public.public_bytes(Encoding.Raw, PublicFormat.Raw))
    return PublishedKey(kid=kid, x=x)


def _base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")
