"""The time of a token: the first time, again, and the check whether it is revoked."""

import asyncio
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

from payments_adapters.jwt import IssuersVerifier, JwtVerifier, KeySet, issue
from payments_adapters.jwt.access_pass import add_pass_key
from payments_adapters.memory import MemoryTokenStore
from payments_core import Email, user_id
from payments_core.tokens import Token, TokenRevocation, UserTokenRevocation
from payments_core.use_cases import FollowRevocations
from payments_service.clocks import lease_seconds

ISSUERS: Final = ("https://users.example.com", "https://kubernetes.default.svc")
AUDIENCE: Final = "payments-gateway"
TOKENS_COUNT: Final = 2_000
ROUNDS_COUNT: Final = 5
# Each takes half a millisecond: they end within a lease.
CHECKS_COUNT: Final = 50
# Of tokens, and as many of users; none of them concerns a token of the benchmark.
REVOKED_COUNT: Final = 10_000
# Microseconds.
FIRST_US_MAX: Final = 400.0
AGAIN_US_MAX: Final = 1.0
REVOKED_US_MAX: Final = 0.2


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
    # As HTTP delivers them: each time another string, whose hash is not cached.
    texts = [it.decode() for it in tokens]
    started = time.perf_counter()
    for text in texts:
        verify(text)
    return (time.perf_counter() - started) / len(texts) * 1e6


async def _process() -> FollowRevocations:
    """Return a process that has applied revocations of other users' tokens."""
    store, now = MemoryTokenStore(), _now()
    for number in range(REVOKED_COUNT):
        await store.invalidate(
            TokenRevocation(
                issuer=ISSUERS[0],
                jti=uuid.uuid4().hex,
                expires_at=now + timedelta(hours=1),
                invalidated_at=now,
            )
        )
        await store.revoke_issued_before(
            UserTokenRevocation(user_id=user_id(f"other-{number}"), at=now)
        )
    return FollowRevocations(store, store, lease_seconds, _now, "process")


def _checked_us(process: FollowRevocations, tokens: list[Token]) -> float:
    # The lease ends after a second: it is renewed here. And tokens that were seen
    # before have cached hashes.
    asyncio.run(process.is_revoked(tokens[0]))
    if not all(map(process.is_surely_valid, tokens)):
        raise RuntimeError("a lease is over, or a token is revoked")
    took_s = float("inf")
    for _ in range(CHECKS_COUNT):
        started = time.perf_counter()
        for token in tokens:
            process.is_surely_valid(token)
        took_s = min(took_s, time.perf_counter() - started)
    return took_s / len(tokens) * 1e6


def main() -> int:
    keys = KeySet.from_jwks(add_pass_key("key"))
    tokens = _tokens(keys)
    process = asyncio.run(_process())
    first = again = again_of_two = checked = float("inf")
    for _ in range(ROUNDS_COUNT):
        day = timedelta(days=1)
        one, other = (JwtVerifier(keys, it, AUDIENCE, _now, day) for it in ISSUERS)
        first = min(first, _us(one.verify, tokens))
        again = min(again, _us(one.verify, tokens))
        both = IssuersVerifier([other, one])
        again_of_two = min(again_of_two, _us(both.verify, tokens))
        verified = [one.verify(it.decode()) for it in tokens]
        checked = min(checked, _checked_us(process, verified))
    results = (
        ("token, first (EdDSA)", first, FIRST_US_MAX),
        ("token, again", again, AGAIN_US_MAX),
        ("token of two issuers, again", again_of_two, AGAIN_US_MAX),
        ("whether it is revoked", checked, REVOKED_US_MAX),
    )
    for name, took, most in results:
        print(f"{name:<28} {took:>7.2f} us, at most {most:g}")
    return int(any(took > most for _, took, most in results))


if __name__ == "__main__":
    raise SystemExit(main())
