"""Tokens and their revocations."""

from datetime import timedelta

from contracts.examples import NOON
from payments_core.revocations import RevocationQuery
from payments_core.tokens import TokenRevocation, UserTokenRevocation
from support.hot_calls.adapters import EARLY, LATE, OF_LIGHT, PAGE, SECOND, World


async def revoke(it: World) -> None:
    await it.on.tokens.invalidate(
        TokenRevocation(
            issuer="https://users.example",
            jti=f"jti{it.mark}",
            expires_at=LATE,
            invalidated_at=NOON,
        )
    )


async def revoke_issued_before(it: World) -> None:
    # An existing user, a new one, and an earlier revocation.
    for user in (OF_LIGHT, it.user, it.user):
        revocation = UserTokenRevocation(user_id=user, at=LATE)
        await it.on.tokens.revoke_issued_before(revocation)


async def revoke_all_issued_before(it: World) -> None:
    # Each walk's time is later than that of the walk before.
    at = EARLY - SECOND * len(it.mark)
    for _ in range(2):
        await it.on.tokens.revoke_all_issued_before(at)


async def revoked_until(it: World) -> None:
    for user in (it.user, None):
        await it.on.tokens.revoked_until(user)


async def revocations(it: World) -> None:
    first = await it.on.tokens.page(limit=PAGE)
    await it.on.tokens.page(limit=PAGE, after=first.after)


async def poll(it: World, *, after: int) -> None:
    await it.on.revocations.poll(
        RevocationQuery(
            process_id=it.mark,
            heard=0,
            mark=None,
            after=after,
            limit=PAGE,
            expires_from=EARLY,
            issued_from=NOON - timedelta(days=10_000),
        )
    )
