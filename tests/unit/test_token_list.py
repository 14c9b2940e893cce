"""Revocations as they are listed."""

from datetime import timedelta

import pytest

from contracts.examples import NOON
from payments_adapters.memory import MemoryTokenStore
from payments_core.token_list import RevocationPage
from payments_core.tokens import TokenRevocation


def revoked(jti: str) -> TokenRevocation:
    later = NOON + timedelta(minutes=5)
    return TokenRevocation(
        issuer="users", jti=jti, expires_at=later, invalidated_at=NOON
    )


@pytest.mark.anyio
async def test_a_page_says_where_the_next_one_starts() -> None:
    """
    The last page has no next one.
    """
    store = MemoryTokenStore()
    for jti in ("3", "1", "2"):
        await store.invalidate(revoked(jti))
    first = await store.page(limit=2)
    assert first == RevocationPage([revoked("1"), revoked("2")], ("users", "2"))
    last = await store.page(after=first.after, limit=2)
    assert last == RevocationPage([revoked("3")], None)
