"""How long a token takes that comes for the first time, and one that was here."""

import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

from payments_adapters.jwt import IssuersVerifier, JwtVerifier, KeySet, issue
from payments_adapters.jwt.access_pass import add_pass_key
from payments_core import Email, user_id

ISSUERS: Final = ("https://users.example.com", "https://kubernetes.default.svc")
AUDIENCE: Final = "payments-gateway"
TOKENS_COUNT: Final = 2_000
ROUNDS_COUNT: Final = 5
# Microseconds.
FIRST_US_MAX: Final = 400.0
AGAIN_US_MAX: Final = 1.0


def _now() -> datetime:
    return datetime.now(UTC)


def _tokens(keys: KeySet) -> list[bytes]:
    return [
        issue(
            keys,
            issuer=ISSUERS[0],
            audience=AUDIENCE,
            user_id=user_id(f"user-{number}"),
            email=Email.of(f"user-{number}@example.com"),
            scopes=["profile", "orders:read", "orders:write"],
            at=_now(),
            lifetime=timedelta(hours=1),
            jti=uuid.uuid4().hex,
        ).encode()
        for number in range(TOKENS_COUNT)
    ]


def _us(verify: Callable[[str], object], tokens: list[bytes]) -> float:
    # As HTTP brings them: each time another string, whose hash is not known.
    texts = [it.decode() for it in tokens]
    started = time.perf_counter()
    for text in texts:
        verify(text)
    return (time.perf_counter() - started) / len(texts) * 1e6


def main() -> int:
    keys = KeySet.from_jwks(add_pass_key("key"))
    tokens = _tokens(keys)
    first = again = again_of_two = float("inf")
    for _ in range(ROUNDS_COUNT):
        day = timedelta(days=1)
        one, other = (JwtVerifier(keys, it, AUDIENCE, _now, day) for it in ISSUERS)
        first = min(first, _us(one.verify, tokens))
        again = min(again, _us(one.verify, tokens))
        both = IssuersVerifier([other, one])
        again_of_two = min(again_of_two, _us(both.verify, tokens))
    results = (
        ("token, first (EdDSA)", first, FIRST_US_MAX),
        ("token, again", again, AGAIN_US_MAX),
        ("token of two issuers, again", again_of_two, AGAIN_US_MAX),
    )
    for name, took, most in results:
        print(f"{name:<28} {took:>7.2f} us, at most {most:.0f}")
    return int(any(took > most for _, took, most in results))


if __name__ == "__main__":
    raise SystemExit(main())
