"""Keys that are well-formed but weak: anybody can sign with them.

A library accepts every key that its mathematics is defined for. This module refuses
those that no generator makes: with a number that can be factored or guessed, a point of
small order (RFC 8032, section 5.1), or a secret that was not drawn at random.
"""

import functools
import math
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
    derive_private_key,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey

from payments_adapters.guessable import weakness_of as weakness_of_secret

VerifyingKey = bytes | RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey
SigningKey = bytes | RSAPrivateKey | EllipticCurvePrivateKey | Ed25519PrivateKey

# FIPS 186-5, section 5.4: an odd exponent of 17 to 256 bits.
_EXPONENT_MIN: Final = 2**16
_EXPONENT_MAX: Final = 2**256
_SMALL_FACTOR_MAX: Final = 2**16
# The least distance of a modulus's factors: Fermat's method finds closer ones.
_FERMAT_STEPS: Final = 1_000
_PRIVATE_NUMBER_MIN: Final = 64
_P256_BYTES: Final = 32

# Edwards25519: -x^2 + y^2 = 1 + d x^2 y^2 modulo p; its generator is of order l.
_P: Final = 2**255 - 19
_L: Final = 2**252 + 27742317777372353535851937790883648493
_D: Final = -121665 * pow(121666, -1, _P) % _P
# X, Y, Z, T: x is X / Z, y is Y / Z, and x y is T / Z (RFC 8032, section 5.1.4). Adding
# needs no division: with divisions each check of a key took ten times as long.
_Point = tuple[int, int, int, int]
_NEUTRAL: Final = (0, 1, 1, 0)


def weakness_of(key: VerifyingKey | SigningKey) -> str | None:
    """Return why a key is weak; None if no reason is known."""
    match key:
        case bytes():
            return weakness_of_secret(key)
        case RSAPrivateKey() | EllipticCurvePrivateKey() | Ed25519PrivateKey():
            return _weakness_of_private(key) or _weakness_of_public(key.public_key())
        case _:
            return _weakness_of_public(key)


def _weakness_of_private(
    key: RSAPrivateKey | EllipticCurvePrivateKey | Ed25519PrivateKey,
) -> str | None:
    match key:
        case RSAPrivateKey():
            # Its secret parts follow from the modulus.
            return None
        case EllipticCurvePrivateKey():
            number = key.private_numbers().private_value
            return weakness_of_secret(number.to_bytes(_P256_BYTES))
        case Ed25519PrivateKey():
            return weakness_of_secret(key.private_bytes_raw())


def _weakness_of_public(
    key: RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey,
) -> str | None:
    match key:
        case RSAPublicKey():
            numbers = key.public_numbers()
            return _weakness_of_modulus(numbers.n, numbers.e)
        case EllipticCurvePublicKey():
            is_guessed = key.public_numbers().x in _guessed_p256()
            return "has a private number that is guessed" if is_guessed else None
        case Ed25519PublicKey():
            return _weakness_of_edwards(key.public_bytes_raw())


def _weakness_of_modulus(n: int, e: int) -> str | None:
    if e % 2 == 0 or not _EXPONENT_MIN < e < _EXPONENT_MAX:
        return "has an exponent that is even, or not of 17 to 256 bits"
    if math.gcd(n, _small_primes_product()) > 1:
        return "has a small factor"
    if weakness_of_secret(n.to_bytes((n.bit_length() + 7) // 8)):
        return "has a modulus with a pattern"
    if all(pow(base, n - 1, n) == 1 for base in (2, 3, 5)):
        return "has a prime for a modulus"
    if _has_close_factors(n):
        return "has factors that are close to each other"
    return None


@functools.cache
def _small_primes_product() -> int:
    sieve = bytearray([1]) * _SMALL_FACTOR_MAX
    for number in range(2, math.isqrt(_SMALL_FACTOR_MAX) + 1):
        if sieve[number]:
            sieve[number * number :: number] = bytes(
                len(range(number * number, _SMALL_FACTOR_MAX, number))
            )
    return math.prod(n for n in range(2, _SMALL_FACTOR_MAX) if sieve[n])


def _has_close_factors(n: int) -> bool:
    """Return whether Fermat's method factors it at once, as it does a square."""
    root = math.isqrt(n - 1) + 1
    for half_sum in range(root, root + _FERMAT_STEPS):
        square = half_sum * half_sum - n
        if math.isqrt(square) ** 2 == square:
            return True
    return False


@functools.cache
def _guessed_p256() -> frozenset[int]:
    """Return the `x` of the points whose private numbers are the smallest."""
    # A number and its opposite have the same `x`.
    return frozenset(
        derive_private_key(number, SECP256R1()).public_key().public_numbers().x
        for number in range(1, _PRIVATE_NUMBER_MIN)
    )


def _weakness_of_edwards(encoded: bytes) -> str | None:
    point = _decoded(encoded)
    if point is None:
        return "is not a point of its curve"
    # Of small order, or with such a component: forged signatures verify.
    if _is_neutral(point) or not _is_neutral(_times(_L, point)):
        return "is a point of another order than its curve's"
    if encoded in _guessed_edwards():
        return "has a private key that is guessed"
    return None


def _decoded(encoded: bytes) -> _Point | None:
    """Decode a point as in RFC 8032, section 5.1.3; None if it is not a point."""
    number = int.from_bytes(encoded, "little")
    is_odd, y = number >> 255, number & (2**255 - 1)
    if y >= _P:
        return None
    square = (y * y - 1) * pow(_D * y * y + 1, -1, _P) % _P
    x = pow(square, (_P + 3) // 8, _P)
    if x * x % _P != square:
        x = x * pow(2, (_P - 1) // 4, _P) % _P
    if x * x % _P != square or (x == 0 and is_odd):
        return None
    if x % 2 != is_odd:
        x = _P - x
    return x, y, 1, x * y % _P


def _is_neutral(point: _Point) -> bool:
    x, y, z, _ = point
    return x == 0 and y == z


def _sum(one: _Point, other: _Point) -> _Point:
    x1, y1, z1, t1 = one
    x2, y2, z2, t2 = other
    a = (y1 - x1) * (y2 - x2) % _P
    b = (y1 + x1) * (y2 + x2) % _P
    c = 2 * _D * t1 * t2 % _P
    d = 2 * z1 * z2 % _P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % _P, g * h % _P, f * g % _P, e * h % _P


def _times(count: int, point: _Point) -> _Point:
    total = _NEUTRAL
    for bit in f"{count:b}":
        total = _sum(total, total)
        if bit == "1":
            total = _sum(total, point)
    return total


@functools.cache
def _guessed_edwards() -> frozenset[bytes]:
    """Return the public keys of 32 equal bytes, and of the smallest numbers."""
    guessed = {
        Ed25519PrivateKey.from_private_bytes(bytes([byte]) * 32)
        .public_key()
        .public_bytes_raw()
        for byte in range(256)
    }
    generator = _decoded((4 * pow(5, -1, _P) % _P).to_bytes(32, "little"))
    point = _NEUTRAL
    for _ in range(1, _PRIVATE_NUMBER_MIN):
        point = _sum(point, generator or _NEUTRAL)
        x, y = (it * pow(point[2], -1, _P) % _P for it in point[:2])
        for is_odd in (x % 2, (_P - x) % 2):
            guessed.add((y | is_odd << 255).to_bytes(32, "little"))
    return frozenset(guessed)
