"""What every log of revocations promises."""

import uuid
from datetime import timedelta
from typing import Any, Final

import attrs
import pytest

from contracts.examples import ADA, BOB, NOON, a_token
from contracts.stores import Stores
from contracts.token_store import revocation_of
from payments_core.revocations import RevocationAnswer, RevocationQuery
from payments_core.tokens import UserTokenRevocation

SECOND: Final = timedelta(seconds=1)
LONG_AGO: Final = NOON - timedelta(days=4000)


async def polled(
    stores: Stores, after: int = 0, *, heard: int | None = None, **more: Any
) -> RevocationAnswer:
    """Poll, with the present mark unless another is given."""
    heard = after if heard is None else heard
    process_id = more.pop("process_id", "one")
    if heard and "mark" not in more:
        more["mark"] = (await polled(stores, process_id=process_id)).mark
    return await stores.revocations.poll(
        RevocationQuery(
            process_id=process_id,
            heard=heard,
            mark=more.pop("mark", None),
            after=after,
            limit=more.pop("limit", 100),
            expires_from=more.pop("expires_from", LONG_AGO),
            issued_from=more.pop("issued_from", LONG_AGO),
        )
    )


async def revoked(stores: Stores, *jtis: str) -> list[int]:
    return [await stores.tokens.invalidate(revocation_of(a_token(it))) for it in jtis]


async def revoked_before(stores: Stores, user: str = ADA, seconds: int = 0) -> int:
    at = NOON + seconds * SECOND
    one = UserTokenRevocation(user_id=a_token(user=user).user_id, at=at)
    return await stores.tokens.revoke_issued_before(one)


def names(answer: RevocationAnswer) -> list[str]:
    return [jti for _, jti in answer.tokens]


class RevocationLogContract:
    async def test_what_is_revoked_is_told_in_its_order(self, stores: Stores) -> None:
        """
        Tokens by issuer and id, users with their time; each has a later position.
        """
        nothing = await polled(stores)
        assert nothing == RevocationAnswer(
            tokens=[], users=[], reached=0, head=0, mark=nothing.mark
        )
        assert nothing.mark is not None
        first, second = await revoked(stores, "b", "a")
        third = await revoked_before(stores)
        fourth = await stores.tokens.revoke_all_issued_before(NOON)
        assert 0 < first < second < third < fourth

        answer = await polled(stores)
        issuer = a_token().issuer
        assert list(answer.tokens) == [(issuer, "b"), (issuer, "a")]
        assert list(answer.users) == [UserTokenRevocation(user_id=ADA, at=NOON)]
        assert (answer.issued_before, answer.reached, answer.head) == (
            NOON,
            fourth,
            fourth,
        )

        later = await polled(stores, second)
        assert (names(later), len(later.users)) == ([], 1)
        assert (later.issued_before, later.reached) == (NOON, fourth)

    @pytest.mark.parametrize("limit", [1, 2, 3, 100])
    async def test_pages_of_revocations_lose_and_repeat_nothing(
        self, stores: Stores, limit: int
    ) -> None:
        """
        Of both kinds together; the last page reaches the head.
        """
        await revoked(stores, "a", "b")
        await revoked_before(stores)
        await revoked(stores, "c")
        await revoked_before(stores, BOB)
        told, after = list[object](), 0
        while True:
            answer = await polled(stores, after, limit=limit)
            assert len(answer.tokens) + len(answer.users) <= limit
            told += [*names(answer), *(it.user_id for it in answer.users)]
            if answer.reached >= answer.head:
                break
            assert answer.reached > after
            after = answer.reached
        assert sorted(map(str, told)) == sorted(["a", "b", "c", ADA, BOB])

    async def test_p30_what_was_revoked_before_has_the_position_of_then(
        self, stores: Stores
    ) -> None:
        """
        So a caller that revokes it again waits until that is heard.
        """
        (first,) = await revoked(stores, "a")
        await revoked(stores, "b")
        assert await revoked(stores, "a") == [first]
        since = await revoked_before(stores, seconds=1)
        assert await revoked_before(stores) == since
        assert await revoked_before(stores, seconds=1) == since
        every = await stores.tokens.revoke_all_issued_before(NOON)
        assert await stores.tokens.revoke_all_issued_before(NOON - SECOND) >= every
        assert (await polled(stores)).head == every

    async def test_t38_a_later_end_of_a_token_is_told_again(
        self, stores: Stores
    ) -> None:
        """
        The earlier end may have been wrong, and left the token out of all polls.
        """
        token = a_token()
        wrong = attrs.evolve(revocation_of(token), expires_at=NOON - 9 * SECOND)
        first = await stores.tokens.invalidate(wrong)
        (other,) = await revoked(stores, "other")
        assert names(await polled(stores, first, expires_from=NOON)) == ["other"]

        (again,) = await revoked(stores, token.jti)
        assert again > other
        for after in (0, other):
            answer = await polled(stores, after, expires_from=token.expires_at)
            assert token.jti in names(answer)
        assert await stores.tokens.invalidate(wrong) == again
        kept = {it.jti: it for it in (await stores.tokens.page()).revocations}
        assert kept[token.jti] == revocation_of(token)

    async def test_a_later_moment_of_a_user_is_told_again(self, stores: Stores) -> None:
        """
        Also to a process that has heard of the earlier time.
        """
        before = await revoked_before(stores)
        after = await revoked_before(stores, seconds=1)
        assert after > before
        for place in (0, before):
            answer = await polled(stores, place)
            assert [it.at for it in answer.users] == [NOON + SECOND]

    async def test_p31_what_nobody_can_use_is_left_out(self, stores: Stores) -> None:
        """
        Tokens that expired before one time, and revocations of users before another.
        """
        token = a_token()
        await revoked(stores, token.jti)
        await revoked_before(stores)
        kept = await polled(stores, expires_from=token.expires_at, issued_from=NOON)
        assert (len(kept.tokens), len(kept.users)) == (1, 1)

        moment = timedelta(microseconds=1)
        gone = await polled(
            stores, expires_from=token.expires_at + moment, issued_from=NOON + moment
        )
        assert (len(gone.tokens), len(gone.users)) == (0, 0)
        assert gone.reached == gone.head == kept.head

    async def test_t38_heard_is_what_was_applied_before_the_poll(
        self, stores: Stores
    ) -> None:
        """
        Not what the poll returns: its answer may be lost. All processes must have heard
        it.
        """
        (position,) = await revoked(stores, "a")
        assert await stores.revocations.is_heard(position)
        for process_id in ("one", "other"):
            await polled(stores, process_id=process_id)
        assert not await stores.revocations.is_heard(position)

        await polled(stores, position)
        assert not await stores.revocations.is_heard(position)
        await polled(stores, position, process_id="other")
        assert await stores.revocations.is_heard(position)
        assert not await stores.revocations.is_heard(position + 1)

    async def test_t38_a_later_poll_that_brings_a_revocation_has_not_heard_it(
        self, stores: Stores
    ) -> None:
        """
        Also of a process that is known by then; it does not forget what it had heard
        either.
        """
        (first,) = await revoked(stores, "a")
        await polled(stores, first)
        (second,) = await revoked(stores, "b")
        assert names(await polled(stores, first)) == ["b"]
        assert await stores.revocations.is_heard(first)
        assert not await stores.revocations.is_heard(second)

        await polled(stores, second)
        assert await stores.revocations.is_heard(second)

    async def test_who_left_is_not_waited_for(self, stores: Stores) -> None:
        """
        A process may leave twice, or without having been known; that is no error.
        """
        (position,) = await revoked(stores, "a")
        await polled(stores)
        for process_id in ("one", "one", "never"):
            await stores.revocations.leave(process_id)
        assert await stores.revocations.is_heard(position)

    async def test_f55_each_revocation_has_a_mark_of_its_own(
        self, stores: Stores
    ) -> None:
        """
        A process that sends a mark it was given is known, also if its answer was lost
        and it sends the mark before. With no mark, or another database's, nothing was
        heard.
        """
        marks = [(await polled(stores)).mark]
        await revoked(stores, "a")
        marks.append((await polled(stores)).mark)
        await revoked_before(stores)
        marks.append((await polled(stores, 1, mark=marks[1])).mark)
        every = await stores.tokens.revoke_all_issued_before(NOON)
        for _ in range(3):
            assert (await polled(stores, 1, mark=marks[1])).is_known
            every = (await revoked(stores, f"b{every}"))[0]
        assert len(set(marks)) == 3
        assert await stores.revocations.is_heard(1)
        assert not await stores.revocations.is_heard(2)

        for mark in (None, str(uuid.uuid4())):
            answer = await polled(stores, 1, mark=mark)
            assert (answer.is_known, answer.tokens, answer.head) == (False, [], every)
            assert not await stores.revocations.is_heard(1)

    @pytest.mark.parametrize("is_known", [False, True])
    async def test_f55_who_heard_of_what_was_never_given_has_heard_nothing(
        self, stores: Stores, *, is_known: bool
    ) -> None:
        """
        It heard of that in another database, from before a restore.
        """
        if is_known:
            await polled(stores)
        answer = await polled(stores, 1000)
        assert (answer.head, answer.tokens, answer.is_known) == (0, [], False)
        (position,) = await revoked(stores, "a")
        assert position < 1000
        assert not await stores.revocations.is_heard(position)
