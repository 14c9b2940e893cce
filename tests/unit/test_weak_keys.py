"""Keys that a library reads and that anybody can sign with: they stop the start."""

import base64
import json
import secrets
from collections.abc import Mapping
from typing import Any, Final

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from payments_adapters.jwt import KeySet
from payments_adapters.jwt.weak_keys import weakness_of
from payments_core.errors import InvalidValue

Jwk = Mapping[str, Any]
_P: Final = 2**255 - 19
# The y of the points whose order divides 8, and of the generator (RFC 8032).
_ORDER_8: Final = 0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD83D3D706A17C7
_SMALL_ORDERS: Final = (0, 1, _P - 1, _ORDER_8, _P - _ORDER_8)
_GENERATOR: Final = 4 * pow(5, -1, _P) % _P


def number(value: int, length: int | None = None) -> str:
    octets = value.to_bytes(length or (value.bit_length() + 7) // 8)
    return base64.urlsafe_b64encode(octets).decode().rstrip("=")


def an_oct(secret: bytes) -> Jwk:
    text = base64.urlsafe_b64encode(secret).decode().rstrip("=")
    return {"kty": "oct", "alg": "HS256", "k": text}


def an_rsa(n: int, e: int = 65_537) -> Jwk:
    return {"kty": "RSA", "alg": "RS256", "n": number(n), "e": number(e)}


def an_ed(public: bytes) -> Jwk:
    text = base64.urlsafe_b64encode(public).decode().rstrip("=")
    return {"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "x": text}


def an_ec(key: ec.EllipticCurvePublicKey) -> Jwk:
    return {**ECAlgorithm.to_jwk(key, as_dict=True), "alg": "ES256"}


def public_of(seed: bytes) -> bytes:
    key = Ed25519PrivateKey.from_private_bytes(seed).public_key()
    return key.public_bytes(Encoding.Raw, PublicFormat.Raw)


def refusal_of(*keys: Jwk) -> str:
    """Read keys that must be refused; the reason names the key, and shows nothing."""
    named = [{**key, "kid": f"key-{at}"} for at, key in enumerate(keys, 1)]
    with pytest.raises(InvalidValue) as refusal:
        KeySet.from_jwks(json.dumps({"keys": named}))
    reason = refusal.value.reason
    assert reason.startswith(f"key key-{len(keys)} ")
    for name in ("k", "n", "x", "d"):
        assert str(keys[-1].get(name, "no such member")) not in reason
    return reason


@pytest.fixture(scope="module")
def modulus() -> rsa.RSAPrivateNumbers:
    return rsa.generate_private_key(65_537, 2048).private_numbers()


@pytest.mark.parametrize(
    "secret",
    [
        bytes(32),
        b"\xff" * 64,
        bytes(range(32)),
        b"secret" * 6,
        b"0123456789abcdef0123456789abcdef",
    ],
)
def test_t48_an_hmac_key_that_nobody_drew_is_refused(secret: bytes) -> None:
    """
    All zeros, counted up, a repeated word: of the right length, and no secret.
    """
    assert "key key-1 " in refusal_of(an_oct(secret))


def _close(numbers: rsa.RSAPrivateNumbers) -> int:
    """Return a product of two close numbers, without a small factor."""
    root = numbers.p
    while any(root * (root + 2) % small == 0 for small in range(3, 2**16, 2)):
        root += 2
    return root * (root + 2)


def test_t48_an_rsa_modulus_that_can_be_factored_is_refused(
    modulus: rsa.RSAPrivateNumbers,
) -> None:
    """
    With a small factor, a prime, a square, of factors that are close, of a pattern.
    """
    n, prime = modulus.public_numbers.n, rsa.generate_private_key(65_537, 4096)
    assert "has a small factor" in refusal_of(an_rsa(n * 3))
    assert "has a small factor" in refusal_of(an_rsa(n * 65_521))
    assert "has a prime for" in refusal_of(an_rsa(prime.private_numbers().p))
    assert "close to each other" in refusal_of(an_rsa(modulus.p**2))
    assert "close to each other" in refusal_of(an_rsa(_close(modulus)))
    assert "with a pattern" in refusal_of(an_rsa(2**2203 - 1))
    assert refusal_of(an_rsa(n - 1))


@pytest.mark.parametrize("e", [1, 3, 17, 2, 65_536, 65_538, 2**256 + 1])
def test_t48_an_rsa_exponent_that_protects_nothing_is_refused(
    modulus: rsa.RSAPrivateNumbers, e: int
) -> None:
    """
    With an exponent of 1 each message is its own signature.
    """
    reason = refusal_of(an_rsa(modulus.public_numbers.n, e))

    assert "exponent" in reason or "cannot be read" in reason


@pytest.mark.parametrize("sign", [0, 1])
@pytest.mark.parametrize("y", _SMALL_ORDERS)
def test_t48_an_ed25519_point_of_small_order_is_refused(y: int, sign: int) -> None:
    """
    Under it signatures verify that nobody made. Also as numbers beyond the field's.
    """
    spellings = [y] if y + _P >= 2**255 else [y, y + _P]
    for spelling in spellings:
        public = (spelling | sign << 255).to_bytes(32, "little")
        reason = refusal_of(an_ed(public))
        assert "order" in reason or "not a point" in reason


def test_t48_an_ed25519_key_that_is_no_point_or_guessed_is_refused() -> None:
    """
    Off the curve, the curve's own generator, the key of a secret of zeros.
    """
    assert "not a point" in refusal_of(an_ed((2).to_bytes(32, "little")))
    generator = _GENERATOR.to_bytes(32, "little")
    assert "is guessed" in refusal_of(an_ed(generator))
    assert "is guessed" in refusal_of(an_ed(public_of(bytes(32))))
    assert "is guessed" in refusal_of(an_ed(public_of(b"\x07" * 32)))
    private = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    jwk = {**OKPAlgorithm.to_jwk(private, as_dict=True), "alg": "EdDSA"}
    assert "is a sequence" in refusal_of(jwk)


def test_t48_an_ed25519_point_with_a_part_of_small_order_is_refused() -> None:
    """
    A good point plus one of order two: its order is one that no generator makes.
    """
    good = int.from_bytes(public_of(secrets.token_bytes(32)), "little")
    # The other point is (0, -1): the sum is (-x, -y).
    opposite = (_P - (good & (2**255 - 1))) | ((good >> 255) ^ 1) << 255

    assert "order" in refusal_of(an_ed(opposite.to_bytes(32, "little")))


@pytest.mark.parametrize("private", [1, 2, 3, 63])
def test_t48_a_p256_key_whose_private_number_is_guessed_is_refused(
    private: int,
) -> None:
    """
    The curve's generator is the public key of 1, and so on.
    """
    key = ec.derive_private_key(private, ec.SECP256R1())

    assert "is guessed" in refusal_of(an_ec(key.public_key()))


def test_t48_one_key_under_two_names_is_refused(
    modulus: rsa.RSAPrivateNumbers,
) -> None:
    """
    Retiring one of them would have no effect; with its private part or without.
    """
    secret = secrets.token_bytes(32)
    private = ec.generate_private_key(ec.SECP256R1())
    with_private = {**ECAlgorithm.to_jwk(private, as_dict=True), "alg": "ES256"}
    good = an_rsa(modulus.public_numbers.n)

    for pair in (
        (an_oct(secret), an_oct(secret)),
        (good, good),
        (with_private, an_ec(private.public_key())),
    ):
        assert refusal_of(*pair) == "key key-2 is the same as key key-1"


def test_t48_keys_that_a_generator_made_are_taken() -> None:
    """
    Of each kind, many times where that is quick.
    """
    made = rsa.generate_private_key(65_537, 3072)
    assert weakness_of(made) is None
    assert weakness_of(made.public_key()) is None
    jwk = {**RSAAlgorithm.to_jwk(made, as_dict=True), "alg": "RS256", "kid": "made"}
    assert KeySet.from_jwks(json.dumps({"keys": [jwk]})).find("made")
    for _ in range(20):
        for key in (
            Ed25519PrivateKey.generate(),
            ec.generate_private_key(ec.SECP256R1()),
        ):
            assert weakness_of(key) is None
            assert weakness_of(key.public_key()) is None
    # The test vector of RFC 8032, section 7.1, test 1.
    vector = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
    assert (
        weakness_of(Ed25519PublicKey.from_public_bytes(bytes.fromhex(vector))) is None
    )
