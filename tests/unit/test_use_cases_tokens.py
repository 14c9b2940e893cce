"""Callers, and how tokens are revoked. Tokens are made up; no cryptography here."""

from datetime import timedelta
from typing import Final

import attrs
import pytest

from contracts.examples import ADA, BOB, NOON, a_token, email_of
from contracts.worlds import a_world
from payments_adapters.memory import (
    FixedClock,
    MemoryAccountDirectory,
    MemoryDatabase,
    MemoryTokenStore,
)
from payments_core import (
    Caller,
    Email,
    Token,
    TokenRevocation,
    UserId,
    UserTokenRevocation,
)
from payments_core.caller import ADMIN_SCOPE
from payments_core.errors import (
    AccountNotFound,
    InvalidToken,
    InvalidValue,
    KeysUnavailable,
    ScopeRequired,
    TokenInvalidated,
    TokenNotFound,
)
from payments_core.use_cases import (
    AuthenticateCaller,
    InvalidateAllTokens,
    InvalidateToken,
    InvalidateUserTokens,
    ListInvalidatedTokens,
)
from support.revoking import LeaseTime, following, waiting

pytestmark = pytest.mark.anyio

SECOND: Final = timedelta(seconds=1)
ISSUED: Final = NOON.replace(microsecond=0)
ADAS: Final = a_token("ada-1", issued_at=ISSUED)
BOBS: Final = a_token("bob-1", user=BOB, issued_at=ISSUED)
ROOTS: Final = attrs.evolve(
    a_token("root-1", user="root", issued_at=ISSUED), scopes=frozenset({ADMIN_SCOPE})
)
ADA_CALLS, ROOT_CALLS = Caller(ADAS), Caller(ROOTS)


@attrs.frozen
class NamesAsTokens:
    """A verifier whose tokens' texts are their names."""

    known: tuple[Token, ...] = (ADAS, BOBS, ROOTS)

    def verify(self, text: str) -> Token:
        for token in self.known:
            if token.jti == text:
                return token
        raise InvalidToken("unknown")

    async def refresh_keys(self, issuer: str) -> bool:
        raise AssertionError(issuer)


@attrs.define
class Rolled:
    """A verifier whose keys are as old as `error` says, until they are read."""

    error: InvalidToken | KeysUnavailable | None
    # The result of reading them: None if that may not be done now.
    after: InvalidToken | KeysUnavailable | None = None
    may_read: bool = True
    read: list[str] = attrs.field(factory=list)

    def verify(self, text: str) -> Token:
        if self.error is not None:
            raise self.error
        return NamesAsTokens().verify(text)

    async def refresh_keys(self, issuer: str) -> bool:
        self.read.append(issuer)
        if self.may_read:
            self.error = self.after
        return self.may_read


@pytest.fixture
def store() -> MemoryTokenStore:
    return MemoryTokenStore()


@pytest.fixture
def time() -> LeaseTime:
    return LeaseTime()


@pytest.fixture
def authenticate(store: MemoryTokenStore, time: LeaseTime) -> AuthenticateCaller:
    return AuthenticateCaller(NamesAsTokens(), following(store, time))


@pytest.fixture
def invalidate(store: MemoryTokenStore, time: LeaseTime) -> InvalidateToken:
    heard = waiting(store, time)
    return InvalidateToken(NamesAsTokens(), store, FixedClock(NOON), heard)


def cutting_off(
    store: MemoryTokenStore,
    database: MemoryDatabase | None = None,
    time: LeaseTime | None = None,
) -> InvalidateUserTokens:
    directory = MemoryAccountDirectory(database or MemoryDatabase())
    heard = waiting(store, time or LeaseTime())
    return InvalidateUserTokens(directory, store, FixedClock(NOON), heard)


async def test_a_living_token_says_who_comes(authenticate: AuthenticateCaller) -> None:
    """
    The caller is the token's user; the scope makes an administrator.
    """
    assert await authenticate("ada-1") == ADA_CALLS
    assert not ADA_CALLS.is_admin
    assert (await authenticate("root-1")).is_admin


async def test_a_text_that_is_no_token_is_refused(
    authenticate: AuthenticateCaller,
) -> None:
    """
    The verifier's error is raised unchanged.
    """
    with pytest.raises(InvalidToken):
        await authenticate("forged")


async def test_p30_an_invalidated_token_is_refused_from_then_on(
    authenticate: AuthenticateCaller, invalidate: InvalidateToken
) -> None:
    """
    The token may revoke itself; others stay valid.
    """
    await invalidate("ada-1", caller=await authenticate("ada-1"))

    with pytest.raises(TokenInvalidated):
        await authenticate("ada-1")
    assert (await authenticate("bob-1")).user_id == BOB


async def test_what_is_kept_of_an_invalidated_token(
    store: MemoryTokenStore, invalidate: InvalidateToken
) -> None:
    """
    Its name, its user, when it was revoked, and when the record may be deleted: not its
    text.
    """
    await invalidate("bob-1", caller=ROOT_CALLS)

    (kept,) = (await store.page()).revocations
    assert kept == TokenRevocation(
        issuer=BOBS.issuer,
        jti="bob-1",
        expires_at=BOBS.expires_at,
        invalidated_at=NOON,
        user_id=BOB,
    )


async def test_another_users_token_is_not_found(
    authenticate: AuthenticateCaller, invalidate: InvalidateToken
) -> None:
    """
    Only an administrator may revoke it; it stays valid.
    """
    with pytest.raises(TokenNotFound):
        await invalidate("bob-1", caller=ADA_CALLS)
    assert (await authenticate("bob-1")).user_id == BOB


async def test_a_text_that_is_no_living_token_is_dead_already(
    store: MemoryTokenStore, invalidate: InvalidateToken
) -> None:
    """
    No error, nothing stored (RFC 7009, section 2.2).
    """
    await invalidate("garbage", caller=ADA_CALLS)
    assert not (await store.page()).revocations


async def test_invalidating_twice_is_fine(
    store: MemoryTokenStore, invalidate: InvalidateToken
) -> None:
    """
    One record, and no error.
    """
    for _ in range(2):
        await invalidate("ada-1", caller=ADA_CALLS)
    assert len((await store.page()).revocations) == 1


async def test_an_administrator_ends_a_token_known_by_name_only(
    authenticate: AuthenticateCaller, invalidate: InvalidateToken
) -> None:
    """
    A leaked token's text is not needed.
    """
    await authenticate("ada-1")
    await invalidate.by_id(ADAS.issuer, "ada-1", ADAS.expires_at, caller=ROOT_CALLS)
    with pytest.raises(TokenInvalidated):
        await authenticate("ada-1")


@pytest.mark.parametrize("days", [-2, 0, 1])
async def test_t38_an_end_that_is_wrong_lets_no_token_live(
    store: MemoryTokenStore, time: LeaseTime, days: int
) -> None:
    """
    The caller states when a token known by its name expires: the revocation is stored
    for at least as long as a token may be valid.
    """
    invalidate = InvalidateToken(
        NamesAsTokens(),
        store,
        FixedClock(NOON),
        waiting(store, time),
        token_age_max=timedelta(hours=2),
    )
    authenticate = AuthenticateCaller(NamesAsTokens(), following(store, time))
    said = NOON + timedelta(days=days)
    await invalidate.by_id(ADAS.issuer, "ada-1", said, caller=ROOT_CALLS)

    with pytest.raises(TokenInvalidated):
        await authenticate("ada-1")
    (kept,) = (await store.page()).revocations
    assert kept.expires_at == max(said, NOON + timedelta(hours=2))


async def test_a_user_may_not_end_tokens_by_name_nor_list_them(
    store: MemoryTokenStore, invalidate: InvalidateToken
) -> None:
    """
    Not even its own: a name proves nothing.
    """
    with pytest.raises(ScopeRequired) as refused:
        await invalidate.by_id(ADAS.issuer, "ada-1", NOON, caller=ADA_CALLS)
    assert refused.value.scope == ADMIN_SCOPE
    with pytest.raises(ScopeRequired):
        await ListInvalidatedTokens(store)(after=None, limit=1, caller=ADA_CALLS)
    assert not (await store.page()).revocations


async def test_an_administrator_lists_dead_tokens_page_by_page(
    store: MemoryTokenStore, invalidate: InvalidateToken
) -> None:
    """
    A page ends with the place where the next one starts.
    """
    for text in ("bob-1", "ada-1"):
        await invalidate(text, caller=ROOT_CALLS)
    pages = ListInvalidatedTokens(store)
    first = await pages(after=None, limit=1, caller=ROOT_CALLS)
    second = await pages(after=first.after, limit=1, caller=ROOT_CALLS)

    assert [r.jti for r in (*first.revocations, *second.revocations)] == [
        "ada-1",
        "bob-1",
    ]
    assert second.after is None


async def test_p30_a_cut_off_ends_all_tokens_issued_until_now(
    store: MemoryTokenStore, authenticate: AuthenticateCaller, time: LeaseTime
) -> None:
    """
    Up to the whole second that the clock shows, that second included.
    """
    await authenticate("ada-1")
    revoked = await cutting_off(store, time=time)(ADA, caller=ADA_CALLS)

    assert revoked == UserTokenRevocation(user_id=ADA, at=ISSUED)
    with pytest.raises(TokenInvalidated):
        await authenticate("ada-1")
    assert (await authenticate("bob-1")).user_id == BOB
    assert not await store.is_revoked(a_token(issued_at=ISSUED + SECOND))


async def test_a_cut_off_finds_its_user_by_email(store: MemoryTokenStore) -> None:
    """
    The account with the e-mail names the user.
    """
    world = await a_world()
    revoked = cutting_off(store, world.database)

    assert (await revoked(email_of(ADA), caller=ADA_CALLS)).user_id == ADA
    assert (await revoked(email_of(BOB), caller=ROOT_CALLS)).user_id == BOB


@pytest.mark.parametrize(
    ("user", "by"),
    [
        (BOB, ADA_CALLS),
        (email_of(BOB), ADA_CALLS),
        (email_of("nobody"), ADA_CALLS),
        (email_of("nobody"), ROOT_CALLS),
    ],
)
async def test_a_cut_off_of_another_or_nobody_is_not_found(
    store: MemoryTokenStore, user: UserId | Email, by: Caller
) -> None:
    """
    Nothing is revoked; whether the other user exists is not reported.
    """
    world = await a_world()
    with pytest.raises(AccountNotFound):
        await cutting_off(store, world.database)(user, caller=by)
    assert not await store.is_revoked(BOBS)


async def test_an_administrator_cuts_off_a_user_without_an_account(
    store: MemoryTokenStore,
) -> None:
    """
    Tokens may be older than accounts.
    """
    await cutting_off(store)(ADA, caller=ROOT_CALLS)
    assert await store.is_revoked(ADAS)


async def test_t44_a_cut_off_may_be_of_an_earlier_moment(
    store: MemoryTokenStore, authenticate: AuthenticateCaller, time: LeaseTime
) -> None:
    """
    A token issued later stays valid; a time in the future is refused, and nothing is
    revoked.
    """
    revoke = cutting_off(store, time=time)
    with pytest.raises(InvalidValue, match="issued_before"):
        await revoke(ADA, issued_before=NOON + SECOND, caller=ROOT_CALLS)
    assert await authenticate("ada-1") == ADA_CALLS

    early = ISSUED - SECOND
    done = await revoke(ADA, issued_before=early, caller=ROOT_CALLS)
    assert done == UserTokenRevocation(user_id=ADA, at=early)
    assert await authenticate("ada-1") == ADA_CALLS
    assert await store.is_revoked(a_token(issued_at=early))


async def test_t44_a_later_moment_of_before_is_the_one_that_holds(
    store: MemoryTokenStore, time: LeaseTime
) -> None:
    """
    It is the one that is answered and shown.
    """
    early = ISSUED - SECOND
    revoke = cutting_off(store, time=time)
    end = InvalidateAllTokens(store, FixedClock(NOON), waiting(store, time))
    shown = ListInvalidatedTokens(store)
    assert await shown.until(ADA, caller=ROOT_CALLS) is None
    for given, holds in ((early, early), (None, ISSUED), (early, ISSUED)):
        done = await revoke(ADA, issued_before=given, caller=ROOT_CALLS)
        every = await end(issued_before=given, caller=ROOT_CALLS)
        assert (done.at, every) == (holds, holds)
        assert await shown.until(ADA, caller=ROOT_CALLS) == holds
        assert await shown.until(None, caller=ROOT_CALLS) == holds
    with pytest.raises(ScopeRequired):
        await shown.until(None, caller=ADA_CALLS)


async def test_it_is_known_whether_a_user_has_an_account(
    store: MemoryTokenStore,
) -> None:
    """
    An id without one may be mistyped.
    """
    revoke = cutting_off(store, (await a_world()).database)
    assert await revoke.is_known(ADA)
    assert not await revoke.is_known(UserId("adda"))


async def test_p30_all_tokens_issued_until_now_end_at_once(
    store: MemoryTokenStore, authenticate: AuthenticateCaller, time: LeaseTime
) -> None:
    """
    Of all users, also the administrator's own: as after a restored backup.
    """
    end = InvalidateAllTokens(store, FixedClock(NOON), waiting(store, time))
    await authenticate("ada-1")

    assert await end(caller=ROOT_CALLS) == ISSUED
    for text in ("ada-1", "bob-1", "root-1"):
        with pytest.raises(TokenInvalidated):
            await authenticate(text)
    assert not await store.is_revoked(a_token(issued_at=ISSUED + SECOND))


async def test_only_an_administrator_ends_all_tokens_and_none_of_the_future(
    store: MemoryTokenStore, authenticate: AuthenticateCaller, time: LeaseTime
) -> None:
    """
    Nothing is revoked by a caller who may not, nor for a time in the future.
    """
    end = InvalidateAllTokens(store, FixedClock(NOON), waiting(store, time))
    with pytest.raises(ScopeRequired):
        await end(caller=ADA_CALLS)
    with pytest.raises(InvalidValue, match="issued_before"):
        await end(issued_before=NOON + SECOND, caller=ROOT_CALLS)
    assert await authenticate("ada-1") == ADA_CALLS


UNKNOWN: Final = InvalidToken("it names no known key", unknown_key_of="users")
NO_KEYS: Final = KeysUnavailable("users")


@pytest.mark.parametrize("error", [UNKNOWN, NO_KEYS], ids=["unknown", "none"])
async def test_t48_a_key_that_just_came_is_read_before_a_token_is_refused(
    store: MemoryTokenStore, time: LeaseTime, error: InvalidToken | KeysUnavailable
) -> None:
    """
    Also before a token that is to be revoked is called invalid: other processes know
    its key.
    """
    asked = Rolled(error)
    caller = await AuthenticateCaller(asked, following(store, time))("ada-1")
    assert (caller.user_id, asked.read) == (ADA, ["users"])

    revoke = InvalidateToken(
        Rolled(error), store, FixedClock(NOON), waiting(store, time)
    )
    assert await revoke("ada-1", caller=ADA_CALLS)
    assert await store.is_revoked(ADAS)


@pytest.mark.parametrize("may_read", [True, False])
@pytest.mark.parametrize("error", [UNKNOWN, NO_KEYS], ids=["unknown", "none"])
async def test_t30_keys_are_read_once_for_a_token(
    store: MemoryTokenStore,
    time: LeaseTime,
    error: InvalidToken | KeysUnavailable,
    *,
    may_read: bool,
) -> None:
    """
    A key unknown afterwards, or if it may not be read now, is refused as before.
    """
    verifier = Rolled(error, after=error, may_read=may_read)

    with pytest.raises(type(error)):
        await AuthenticateCaller(verifier, following(store, time))("ada-1")

    assert verifier.read == ["users"]


async def test_without_keys_no_token_is_called_dead(
    store: MemoryTokenStore, time: LeaseTime
) -> None:
    """
    The caller learns that nothing was revoked.
    """
    verifier = Rolled(NO_KEYS, may_read=False)
    revoke = InvalidateToken(verifier, store, FixedClock(NOON), waiting(store, time))

    with pytest.raises(KeysUnavailable):
        await revoke("ada-1", caller=ROOT_CALLS)


async def test_a_service_revokes_its_own_tokens_and_nobody_elses(
    store: MemoryTokenStore, time: LeaseTime
) -> None:
    """
    Not even those of a user of the same name.
    """
    service = Caller(attrs.evolve(ADAS, is_service=True))
    revoke = InvalidateToken(
        NamesAsTokens(), store, FixedClock(NOON), waiting(store, time)
    )
    with pytest.raises(TokenNotFound):
        await revoke("ada-1", caller=service)
    with pytest.raises(AccountNotFound):
        await cutting_off(store, time=time)(ADA, caller=service)

    own = NamesAsTokens((service.token,))
    assert await InvalidateToken(own, store, FixedClock(NOON), waiting(store, time))(
        "ada-1", caller=service
    )
