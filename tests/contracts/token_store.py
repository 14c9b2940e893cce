"""What every token store promises. Subclass, give `token_store`, and run."""

from datetime import timedelta

import attrs
import pytest

from contracts.examples import ADA, BOB, NOON, a_token
from payments_core.ports import TokenStore
from payments_core.tokens import Token, TokenRevocation, UserTokenRevocation

ELSEWHERE = "https://élsewhere.example"
SECOND = timedelta(seconds=1)


def revocation_of(token: Token) -> TokenRevocation:
    return TokenRevocation(
        issuer=token.issuer,
        jti=token.jti,
        expires_at=token.expires_at,
        invalidated_at=NOON,
        user_id=token.user_id,
    )


async def pages_of(store: TokenStore, limit: int) -> list[list[tuple[str, str]]]:
    pages, after = [], None
    while True:
        page = await store.page(after=after, limit=limit)
        pages.append([(kept.issuer, kept.jti) for kept in page.revocations])
        after = page.after
        if after is None:
            return pages


class TokenStoreContract:
    async def test_a_token_is_alive_until_it_is_killed(
        self, token_store: TokenStore
    ) -> None:
        """
        Valid before `invalidate`, revoked from its return on.
        """
        assert not await token_store.is_revoked(a_token())
        await token_store.invalidate(revocation_of(a_token()))
        assert await token_store.is_revoked(a_token())

    async def test_killing_a_token_again_changes_nothing(
        self, token_store: TokenStore
    ) -> None:
        """
        The first record stays, its times included.
        """
        first = revocation_of(a_token())
        await token_store.invalidate(first)
        await token_store.invalidate(attrs.evolve(first, invalidated_at=NOON + SECOND))

        assert await token_store.is_revoked(a_token())
        assert list((await token_store.page()).revocations) == [first]

    @pytest.mark.parametrize(
        "other",
        [a_token("jti_2"), a_token("JTI_1"), a_token(issuer=ELSEWHERE)],
        ids=["jti", "case", "issuer"],
    )
    async def test_a_token_dies_alone(
        self, token_store: TokenStore, other: Token
    ) -> None:
        """
        Another `jti` stays valid, and so does the same `jti` of another issuer.
        """
        await token_store.invalidate(revocation_of(a_token()))
        assert not await token_store.is_revoked(other)

    async def test_a_token_is_known_by_its_name_not_by_its_claims(
        self, token_store: TokenStore
    ) -> None:
        """
        A token revoked by name only is revoked for any user.
        """
        nobodys = attrs.evolve(revocation_of(a_token()), user_id=None)
        await token_store.invalidate(nobodys)

        assert await token_store.is_revoked(a_token(user=BOB))
        assert list((await token_store.page()).revocations) == [nobodys]

    async def test_a_cut_off_kills_all_tokens_up_to_its_moment(
        self, token_store: TokenStore
    ) -> None:
        """
        Exactly that time included; a token issued later stays valid.
        """
        await token_store.revoke_issued_before(
            UserTokenRevocation(user_id=ADA, at=NOON)
        )

        assert await token_store.is_revoked(a_token(issued_at=NOON - SECOND))
        assert await token_store.is_revoked(a_token(issued_at=NOON, issuer=ELSEWHERE))
        assert not await token_store.is_revoked(
            a_token(issued_at=NOON + timedelta(microseconds=1))
        )

    async def test_a_cut_off_spares_other_users(self, token_store: TokenStore) -> None:
        """
        One user's revocation does not apply to another.
        """
        await token_store.revoke_issued_before(
            UserTokenRevocation(user_id=ADA, at=NOON)
        )
        assert not await token_store.is_revoked(a_token(user=BOB))

    async def test_an_earlier_cut_off_changes_nothing(
        self, token_store: TokenStore
    ) -> None:
        """
        Revoked tokens do not become valid, whatever arrives late.
        """
        await token_store.revoke_issued_before(
            UserTokenRevocation(user_id=ADA, at=NOON)
        )
        await token_store.revoke_issued_before(
            UserTokenRevocation(user_id=ADA, at=NOON - SECOND)
        )
        assert await token_store.is_revoked(a_token(issued_at=NOON))

    async def test_a_later_cut_off_kills_more(self, token_store: TokenStore) -> None:
        """
        The time moves forward.
        """
        await token_store.revoke_issued_before(
            UserTokenRevocation(user_id=ADA, at=NOON)
        )
        await token_store.revoke_issued_before(
            UserTokenRevocation(user_id=ADA, at=NOON + SECOND)
        )
        assert await token_store.is_revoked(a_token(issued_at=NOON + SECOND))

    async def test_t44_all_tokens_up_to_a_moment_are_dead(
        self, token_store: TokenStore
    ) -> None:
        """
        Of all users, exactly that time included; an earlier time takes nothing back.
        """
        for at in (NOON, NOON - SECOND):
            await token_store.revoke_all_issued_before(at)

        for user in (ADA, BOB):
            assert await token_store.is_revoked(a_token(user=user, issued_at=NOON))
        assert not await token_store.is_revoked(a_token(issued_at=NOON + SECOND))

    async def test_t44_the_moment_that_holds_is_the_latest(
        self, token_store: TokenStore
    ) -> None:
        """
        Of one user, and of all; None if none was set.
        """
        for user in (ADA, BOB, None):
            assert await token_store.revoked_until(user) is None
        for at in (NOON, NOON - SECOND):
            await token_store.revoke_issued_before(
                UserTokenRevocation(user_id=ADA, at=at)
            )
        assert await token_store.revoked_until(None) is None
        for at in (NOON + SECOND, NOON):
            await token_store.revoke_all_issued_before(at)

        assert await token_store.revoked_until(ADA) == NOON
        assert await token_store.revoked_until(BOB) is None
        assert await token_store.revoked_until(None) == NOON + SECOND

    async def test_an_empty_store_has_one_empty_page(
        self, token_store: TokenStore
    ) -> None:
        """
        It has no rows, and no next page.
        """
        assert await pages_of(token_store, 10) == [[]]

    @pytest.mark.parametrize("limit", [1, 2, 3, 4, 100])
    async def test_pages_come_in_the_order_of_issuer_and_jti(
        self, token_store: TokenStore, limit: int
    ) -> None:
        """
        Each page is full but the last, and the last row reports the end.
        """
        names = [(f"issuer-{i}", f"jti-{j}") for i in range(2) for j in range(3)]
        for issuer, jti in reversed(names):
            await token_store.invalidate(revocation_of(a_token(jti, issuer=issuer)))

        expected = [names[at : at + limit] for at in range(0, len(names), limit)]
        assert await pages_of(token_store, limit) == expected

    async def test_pages_lose_and_repeat_nothing_in_any_alphabet(
        self, token_store: TokenStore
    ) -> None:
        """
        However a store sorts letters, paging returns each token once.
        """
        names = {
            (f"{i}-issuer", j) for i in "aBÄ漢" for j in ("a", "B", "_", "é", "🧾")
        }
        for issuer, jti in names:
            await token_store.invalidate(revocation_of(a_token(jti, issuer=issuer)))

        walked = [name for page in await pages_of(token_store, 3) for name in page]
        assert len(walked) == len(names)
        assert set(walked) == names
