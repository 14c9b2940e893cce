"""How many requests a caller may make: by kind, by subject, by process."""

from datetime import UTC, datetime, timedelta

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from payments_core.caller import ADMIN_SCOPE, Caller
from payments_core.errors import RateLimited
from payments_core.identity import UserId
from payments_core.tokens import Token
from payments_service.rate_limits import (
    SUBJECTS_MAX,
    WINDOW_S,
    RateLimiter,
    RateLimits,
    RequestKind,
)

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
READ, CARD = RequestKind.READ, RequestKind.CARD


@attrs.define
class Monotonic:
    now: float = 1_000.0

    def __call__(self) -> float:
        return self.now


def caller_of(
    user: str, *, issuer: str = "users", scopes: tuple[str, ...] = ()
) -> Caller:
    return Caller(
        Token(
            issuer=issuer,
            jti="j",
            user_id=UserId(user),
            issued_at=NOON,
            expires_at=NOON + timedelta(hours=1),
            scopes=frozenset(scopes),
        )
    )


def taken(limiter: RateLimiter, caller: Caller, tries: int, kind: RequestKind) -> int:
    """Return how many of some requests at one time were accepted."""
    count = 0
    for _ in range(tries):
        try:
            limiter.take(caller, kind)
        except RateLimited:
            continue
        count += 1
    return count


def test_t64_a_flood_of_one_subject_refuses_no_other() -> None:
    """
    One sends a hundred times its share; others have all of theirs meanwhile.
    """
    clock = Monotonic()
    limiter = RateLimiter(RateLimits(reads=20), monotonic=clock)
    flood = caller_of("mallory")

    assert taken(limiter, flood, 2_000, READ) == 20
    assert taken(limiter, caller_of("ada"), 20, READ) == 20
    assert taken(limiter, caller_of("mallory", issuer="others"), 20, READ) == 20


def test_each_kind_has_a_share_of_its_own_and_0_is_no_limit() -> None:
    """
    A user who may try no more cards can still read; administrators have no limit by
    default.
    """
    refused = list[RequestKind]()
    limiter = RateLimiter(RateLimits(cards=2, changes=0), refused.append, Monotonic())
    ada = caller_of("ada")

    assert taken(limiter, ada, 3, CARD) == 2
    assert taken(limiter, ada, 3, READ) == 3
    assert taken(limiter, ada, 3_000, RequestKind.CHANGE) == 3_000
    assert taken(limiter, caller_of("ops", scopes=(ADMIN_SCOPE,)), 3_000, CARD) == 3_000
    assert refused == [CARD]


def test_an_administrators_limit_is_of_all_routes() -> None:
    """
    If there is one, it is reported as the administrators'.
    """
    limiter = RateLimiter(RateLimits(admin=3), monotonic=Monotonic())
    admin = caller_of("ops", scopes=(ADMIN_SCOPE,))
    assert taken(limiter, admin, 2, READ) + taken(limiter, admin, 2, CARD) == 3
    with pytest.raises(RateLimited) as refused:
        limiter.take(admin, READ)
    assert (refused.value.policy, refused.value.quota) == ("admin", 3)


def test_after_the_seconds_that_it_says_there_is_room_for_one() -> None:
    """
    And not before; after an hour without requests there is the full share again, and no
    more.
    """
    clock = Monotonic()
    limiter = RateLimiter(RateLimits(cards=6), monotonic=clock)
    ada = caller_of("ada")
    assert taken(limiter, ada, 7, CARD) == 6
    with pytest.raises(RateLimited) as refused:
        limiter.take(ada, CARD)
    assert refused.value.retry_after_s == 10

    clock.now += 9.5
    assert taken(limiter, ada, 1, CARD) == 0
    clock.now += 0.5
    assert taken(limiter, ada, 2, CARD) == 1
    clock.now += 60 * WINDOW_S
    assert taken(limiter, ada, 13, CARD) == 6


@given(
    st.integers(1, 50),
    st.lists(st.floats(0, 40, allow_nan=False), min_size=1, max_size=120),
)
def test_no_minute_has_more_than_its_share_and_what_was_saved(
    quota: int, gaps: list[float]
) -> None:
    """
    Of any span: one share at once, and then the shares of its time; a caller with one
    request in each share's interval is never refused.
    """
    clock, ada = Monotonic(0.0), caller_of("ada")
    limiter = RateLimiter(RateLimits(reads=quota), monotonic=clock)
    times = list[float]()
    for gap in gaps:
        clock.now += gap
        if taken(limiter, ada, 1, READ):
            times.append(clock.now)
    for first, since in enumerate(times):
        for last, until in enumerate(times[first:], first):
            allowed = quota + (until - since) * quota / WINDOW_S
            assert last - first + 1 <= allowed + 1e-3

    steady = caller_of("grace")
    for _ in range(2 * quota):
        assert taken(limiter, steady, 1, READ) == 1
        clock.now += WINDOW_S / quota


def test_p36_so_many_subjects_are_known_and_who_is_refused_stays_known() -> None:
    """
    However many others come meanwhile: it has just sent requests. Subjects without
    recent requests are forgotten.
    """
    limiter = RateLimiter(RateLimits(reads=1), monotonic=Monotonic())
    flood, silent = caller_of("mallory"), caller_of("silent")
    assert taken(limiter, silent, 2, READ) == 1
    assert taken(limiter, flood, 1, READ) == 1
    for number in range(SUBJECTS_MAX + 10):
        limiter.take(caller_of(f"user{number}"), READ)
        if number % 1_000 == 0:
            assert taken(limiter, flood, 1, READ) == 0

    assert taken(limiter, flood, 1, READ) == 0
    assert taken(limiter, silent, 1, READ) == 1
