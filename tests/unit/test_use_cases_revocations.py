"""How a process learns of revocations, and how a revocation waits for all processes."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Final

import attrs
import pytest

from contracts.examples import ADA, NOON, a_token
from contracts.token_store import revocation_of
from payments_adapters.memory import MemoryTokenStore
from payments_core.errors import StoreUnavailable
from payments_core.revocations import (
    LEASE_MARGIN_S,
    LEASE_S,
    RELOAD_AFTER_S,
    LeasedRevocations,
    RevocationAnswer,
    RevocationQuery,
)
from payments_core.tokens import TOKEN_AGE_MAX, UserTokenRevocation
from payments_core.use_cases import AwaitRevocation, FollowRevocations
from payments_core.use_cases.revocations import POLLS_MAX
from support.revoking import LeaseTime, following, waiting

pytestmark = pytest.mark.anyio

TOKEN: Final = a_token()
WITHIN_S: Final = 30
OWN: Final = "a-process"


async def _nothing() -> None:
    """Do nothing."""


@attrs.define
class Line:
    """The connection between a process and the table: `meanwhile` delays the answer."""

    store: MemoryTokenStore
    meanwhile: Callable[[], Awaitable[None]] = _nothing
    queries: list[RevocationQuery] = attrs.field(factory=list)

    async def poll(self, query: RevocationQuery) -> RevocationAnswer:
        self.queries.append(query)
        answer = await self.store.poll(query)
        await self.meanwhile()
        return answer

    async def is_heard(self, position: int) -> bool:
        await self.meanwhile()
        return await self.store.is_heard(position)

    async def leave(self, process_id: str) -> None:
        await self.meanwhile()
        await self.store.leave(process_id)


@pytest.fixture
def store() -> MemoryTokenStore:
    return MemoryTokenStore()


@pytest.fixture
def line(store: MemoryTokenStore) -> Line:
    return Line(store)


@pytest.fixture
def time() -> LeaseTime:
    return LeaseTime()


@pytest.fixture
def process(store: MemoryTokenStore, line: Line, time: LeaseTime) -> FollowRevocations:
    return following(store, time, log=line)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(WITHIN_S):
        while not condition():  # noqa: ASYNC110  # nothing tells of it
            await asyncio.sleep(0)


async def _lost() -> None:
    raise StoreUnavailable


async def test_one_poll_answers_all_who_ask(
    process: FollowRevocations, line: Line
) -> None:
    """
    Nothing is known before; while the lease is valid, no poll is sent.
    """
    assert not process.is_surely_valid(TOKEN)
    asked = await asyncio.gather(*[process.is_revoked(TOKEN) for _ in range(50)])

    assert set(asked) == {False}
    assert len(line.queries) == 1
    assert process.is_surely_valid(TOKEN)
    assert not await process.is_revoked(TOKEN)
    assert len(line.queries) == 1


async def test_f06_a_process_that_stood_still_polls_before_it_accepts(
    process: FollowRevocations, store: MemoryTokenStore, time: LeaseTime
) -> None:
    """
    Its lease is over; what was revoked meanwhile is refused.
    """
    assert not await process.is_revoked(TOKEN)
    await store.invalidate(revocation_of(TOKEN))
    time.now += 5

    assert not process.is_surely_valid(TOKEN)
    assert await process.is_revoked(TOKEN)


async def test_p30_a_poll_that_was_under_way_is_not_enough(
    process: FollowRevocations, line: Line, time: LeaseTime, store: MemoryTokenStore
) -> None:
    """
    It read before the revocation, and its answer came after its lease: one more poll.
    """

    async def slow() -> None:
        line.meanwhile = _nothing
        await store.invalidate(revocation_of(TOKEN))
        time.now += LEASE_S

    line.meanwhile = slow
    assert await process.is_revoked(TOKEN)
    assert len(line.queries) == 2


async def test_where_each_answer_takes_a_lease_nobody_is_let_in(
    process: FollowRevocations, line: Line, time: LeaseTime
) -> None:
    """
    After a few polls the answer is that nothing is known.
    """

    async def slow() -> None:
        time.now += LEASE_S

    line.meanwhile = slow
    with pytest.raises(StoreUnavailable):
        await process.is_revoked(TOKEN)
    assert len(line.queries) == POLLS_MAX


async def test_f46_without_an_answer_nobody_is_let_in(
    process: FollowRevocations, line: Line, time: LeaseTime
) -> None:
    """
    All callers get an error; once there is an answer, requests are accepted again.
    """
    assert not await process.is_revoked(TOKEN)
    time.now += LEASE_S
    line.meanwhile = _lost
    told = await asyncio.gather(
        *[process.is_revoked(TOKEN) for _ in range(3)], return_exceptions=True
    )
    assert [type(it) for it in told] == [StoreUnavailable] * 3
    assert not process.is_leased
    assert process.failures_count == 1

    line.meanwhile = _nothing
    assert not await process.is_revoked(TOKEN)


async def test_f46_an_answer_that_never_comes_is_not_waited_for(
    store: MemoryTokenStore, line: Line, time: LeaseTime
) -> None:
    """
    It counts as no answer.
    """
    silent = asyncio.Event()

    async def wait() -> None:
        await silent.wait()

    line.meanwhile = wait
    process = attrs.evolve(following(store, time, log=line), poll_timeout_s=0.001)
    async with asyncio.timeout(WITHIN_S):
        with pytest.raises(StoreUnavailable):
            await process.is_revoked(TOKEN)
    assert process.failures_count == 1


async def test_who_goes_away_takes_nobodys_answer_away(
    process: FollowRevocations, line: Line
) -> None:
    """
    The poll continues for the others.
    """
    gate = asyncio.Event()

    async def wait() -> None:
        await gate.wait()

    line.meanwhile = wait
    first, second = (asyncio.create_task(process.is_revoked(TOKEN)) for _ in range(2))
    await until(lambda: bool(line.queries))
    first.cancel()
    await asyncio.wait([first])
    gate.set()

    assert first.cancelled()
    assert not await second
    assert len(line.queries) == 1


async def test_beyond_the_cap_the_store_is_asked_each_time(
    store: MemoryTokenStore, time: LeaseTime
) -> None:
    """
    A revoked token is refused, and any other is not.
    """
    for number in range(3):
        await store.invalidate(revocation_of(a_token(str(number))))
    process = following(store, time, known=LeasedRevocations(2))

    assert await process.is_revoked(a_token("2"))
    assert process.is_over_cap
    assert not process.is_surely_valid(TOKEN)
    assert not await process.is_revoked(TOKEN)
    await store.invalidate(revocation_of(TOKEN))
    assert await process.is_revoked(TOKEN)


async def test_p31_a_poll_leaves_out_what_has_long_expired(
    process: FollowRevocations, line: Line
) -> None:
    """
    Three hours after it expired: a clock that jumps by two hours and back makes nothing
    valid again.
    """
    await process.is_revoked(TOKEN)
    (query,) = line.queries
    assert query.expires_from == NOON - timedelta(hours=3)
    assert query.issued_from == NOON - timedelta(hours=3) - TOKEN_AGE_MAX


async def test_a_process_polls_all_the_time_and_says_what_it_heard_at_once(
    process: FollowRevocations, store: MemoryTokenStore, line: Line
) -> None:
    """
    Also on request; what was new in a poll counts as heard with the poll after it. When
    it leaves, it relies on nothing.
    """
    idle = attrs.evolve(process, poll_every_s=WITHIN_S)
    async with idle.running():
        await until(lambda: idle.is_leased)
        position = await store.invalidate(revocation_of(TOKEN))
        assert not await store.is_heard(position)
        idle.poll_now()
        await until(lambda: line.queries[-1].heard == position)
        assert await store.is_heard(position)
        assert await idle.is_revoked(TOKEN)
        assert idle.entries_count == 1

    assert not idle.is_leased
    # No other process is waited for either.
    assert await store.is_heard(position + 1)


async def test_a_process_goes_on_after_polls_that_failed(
    store: MemoryTokenStore, line: Line, time: LeaseTime
) -> None:
    """
    Also after a bug. Of several failures in a row it reports the first.
    """
    told: list[Exception] = []
    failing = attrs.evolve(
        following(store, time, log=line), on_failure=told.append, poll_every_s=0
    )
    failures: list[Exception] = [StoreUnavailable(), StoreUnavailable(), KeyError()]

    async def fail() -> None:
        if failures:
            raise failures.pop(0)

    line.meanwhile = fail
    async with failing.running():
        await until(lambda: failing.is_leased)
        failures += [KeyError()]
        await until(lambda: len(told) == 2)
        await until(lambda: not failures)
    assert [type(it) for it in told] == [StoreUnavailable, KeyError]


async def test_a_process_that_cannot_leave_ends_nevertheless(
    process: FollowRevocations, line: Line
) -> None:
    """
    Revocations wait a lease longer, until its row is purged.
    """
    async with process.running():
        await until(lambda: process.is_leased)
        line.meanwhile = _lost
    assert not process.is_leased


async def test_p30_a_request_under_way_gets_no_lease_of_a_process_that_ends(
    process: FollowRevocations, line: Line, store: MemoryTokenStore
) -> None:
    """
    A revocation no longer waits for it: its answer is that nothing is known, and stays
    so.
    """
    asked = list[object]()

    async def ask() -> None:
        line.meanwhile = _nothing
        asked.extend(
            await asyncio.gather(process.is_revoked(TOKEN), return_exceptions=True)
        )

    async with process.running():
        await until(lambda: process.is_leased)
        line.meanwhile = ask

    assert [type(it) for it in asked] == [StoreUnavailable]
    assert not process.is_leased
    with pytest.raises(StoreUnavailable):
        await process.is_revoked(TOKEN)
    assert await store.is_heard(1)


async def test_a_request_that_waits_for_a_poll_is_answered_when_its_process_ends(
    process: FollowRevocations, line: Line
) -> None:
    """
    With the error that nothing is known: the request was not cancelled.
    """
    never = asyncio.Event()

    async def wait() -> None:
        await never.wait()

    line.meanwhile = wait
    async with process.running():
        asking = asyncio.create_task(process.is_revoked(TOKEN))
        await until(lambda: bool(line.queries))
        line.meanwhile = _nothing
    with pytest.raises(StoreUnavailable):
        await asking


async def test_p31_what_expired_is_forgotten_in_five_minutes(
    store: MemoryTokenStore, line: Line, time: LeaseTime
) -> None:
    """
    Everything is loaded again, page by page, while it polls; nothing else is forgotten.
    """
    for number in range(5):
        await store.invalidate(revocation_of(a_token(str(number))))
    expired = a_token(issued_at=NOON - timedelta(hours=4))
    old = UserTokenRevocation(user_id=ADA, at=NOON - timedelta(days=400))
    process = attrs.evolve(
        following(store, time, log=line), poll_every_s=0, page_length=2
    )

    async def slow() -> None:
        time.now += LEASE_S / 4

    line.meanwhile = slow
    async with process.running():
        await until(lambda: process.is_leased)
        # As if they had existed when it began.
        known = process._known._main
        known.ids[expired.issuer].add(expired.jti)
        known.users[old.user_id] = old.at
        assert process.entries_count == 7
        began = time.now
        await until(lambda: process.entries_count == 5)

    assert RELOAD_AFTER_S - 1 < time.now - began < RELOAD_AFTER_S + 10


async def test_p30_a_revocation_returns_as_soon_as_all_have_heard(
    store: MemoryTokenStore,
    time: LeaseTime,
    line: Line,
    process: FollowRevocations,
) -> None:
    """
    Its own process polls at once. A process that serves nothing is not waited for.
    """
    await waiting(store, time)(await store.invalidate(revocation_of(TOKEN)))
    assert time.now == LeaseTime().now

    polls = attrs.evolve(process, poll_every_s=WITHIN_S)
    async with polls.running():
        # It has nothing left to do until it is asked to.
        await until(lambda: line.queries[-1:] != [] and line.queries[-1].heard == 1)
        position = await store.invalidate(revocation_of(a_token("other")))
        asleep = 0.0

        async def sleep(seconds: float) -> None:
            nonlocal asleep
            asleep += seconds
            await asyncio.sleep(0)

        await AwaitRevocation(store, time, polls.poll_now, sleep)(position)
        assert asleep < LEASE_S
        assert await polls.is_revoked(a_token("other"))


@pytest.mark.parametrize("meanwhile", [_nothing, _lost], ids=["silent", "no answer"])
async def test_f06_a_revocation_waits_a_lease_out_for_who_is_silent(
    store: MemoryTokenStore,
    line: Line,
    time: LeaseTime,
    process: FollowRevocations,
    meanwhile: Callable[[], Awaitable[None]],
) -> None:
    """
    And no longer: then that process relies on nothing any longer. The same applies if
    no process answers.
    """
    assert not await process.is_revoked(TOKEN)
    began = time.now
    position = await store.invalidate(revocation_of(TOKEN))
    line.meanwhile = meanwhile
    await waiting(line, time)(position)

    assert time.now - began == pytest.approx(LEASE_S + LEASE_MARGIN_S)
    assert not process.is_surely_valid(TOKEN)


async def test_p30_what_was_revoked_a_moment_ago_is_waited_for_again(
    store: MemoryTokenStore, time: LeaseTime, process: FollowRevocations
) -> None:
    """
    A repeated revocation returns no earlier than the first takes effect; once all have
    heard it, at once.
    """
    assert not await process.is_revoked(TOKEN)
    first = await store.invalidate(revocation_of(TOKEN))
    assert await store.invalidate(revocation_of(TOKEN)) == first
    before = time.now
    await waiting(store, time)(first)
    assert time.now > before + LEASE_S

    for _ in range(2):
        time.now += LEASE_S
        assert await process.is_revoked(TOKEN)
    before = time.now
    await waiting(store, time)(await store.invalidate(revocation_of(TOKEN)))
    assert time.now == before
