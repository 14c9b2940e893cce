"""What one process may accept, in every order of polls, revocations and time."""

import math
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.examples import ADA, BOB, a_token
from payments_core.revocations import (
    BEGIN_ANEW_AFTER_S,
    ENTRIES_MAX,
    LEASE_S,
    RELOAD_AFTER_S,
    LeasedRevocations,
    RevocationAnswer,
    TokenState,
)
from payments_core.tokens import Token, UserTokenRevocation
from support.profiles import only_in_prove
from support.revocation_schedules import Accepted, Flaw, Walk, World

Record = Callable[[str, object], None]
SECOND: Final = timedelta(seconds=1)
TOKEN: Final = a_token()
NAME: Final = (TOKEN.issuer, TOKEN.jti)
OTHER: Final = (TOKEN.issuer, "other")

# The cases of `make test`; each has something that the others do not.
QUICK: Final[dict[str, dict[str, Any]]] = {
    "one process": {"polls": (3,), "revocations": 1, "ticks": 4},
    "two processes": {"polls": (1, 1), "revocations": 1, "ticks": 2},
    "two revocations": {"polls": (1,), "revocations": 2, "ticks": 3},
    "answers out of order": {
        "polls": (2,),
        "revocations": 1,
        "ticks": 3,
        "in_flight_max": 2,
    },
    "pages": {
        "polls": (4,),
        "revocations": 1,
        "ticks": 3,
        "kept": 2,
        "page_length": 1,
    },
    "a failover": {"polls": (3,), "revocations": 2, "ticks": 0, "failovers": 1},
    "a full load": {
        "polls": (1,),
        "reloads": 1,
        "revocations": 1,
        "ticks": 3,
        "in_flight_max": 2,
    },
}
THOROUGH: Final[dict[str, dict[str, Any]]] = {
    "two processes": {"polls": (2, 2), "revocations": 1, "ticks": 4},
    "two revocations": {"polls": (3,), "revocations": 2, "ticks": 4},
    "answers out of order": {
        "polls": (3,),
        "revocations": 1,
        "ticks": 4,
        "in_flight_max": 2,
    },
    "full loads": {
        "polls": (2,),
        "reloads": 2,
        "revocations": 1,
        "ticks": 3,
        "in_flight_max": 2,
    },
    "a failover and a full load": {
        "polls": (2,),
        "reloads": 1,
        "revocations": 2,
        "ticks": 0,
        "failovers": 1,
        "in_flight_max": 2,
    },
    "a failover of two processes": {
        "polls": (2, 1),
        "revocations": 2,
        "ticks": 0,
        "failovers": 1,
    },
    "two failovers": {"polls": (3,), "revocations": 2, "ticks": 0, "failovers": 2},
    "pages of a full load": {
        "polls": (3,),
        "reloads": 2,
        "revocations": 1,
        "ticks": 3,
        "kept": 1,
        "page_length": 1,
        "in_flight_max": 2,
    },
}


def test_t38_p30_no_schedule_lets_a_dead_token_in(
    record_property: Record,
) -> None:
    """
    Every order of the steps of polls, revocations and time, at least 40,000: a request
    that begins after a revocation returned is refused by every process.
    """
    walks = [Walk().of(World.of(**world)) for world in QUICK.values()]
    count = sum(it.schedules_count for it in walks)

    assert count >= 40_000
    assert all(it.accepting_count for it in walks)
    record_property("figure", f"schedules of polls and revocations: {count:,}")


@only_in_prove
@pytest.mark.parametrize("world", THOROUGH.values(), ids=THOROUGH.keys())
def test_t38_p30_no_longer_schedule_does(
    world: dict[str, Any], record_property: Record
) -> None:
    """
    More polls, processes, revocations, answers in flight and full loads.
    """
    walk = Walk().of(World.of(**world))
    assert walk.accepting_count
    record_property("figure", f"schedules: {walk.schedules_count:,} {world}")


@pytest.mark.parametrize("flaw", [it for it in Flaw if it is not Flaw.NONE])
def test_p30_the_same_checker_finds_each_near_variant_out(flaw: Flaw) -> None:
    """
    Each variant accepts a revoked token: none of the rules is redundant.
    """
    small: dict[str, Any] = {"polls": (3,), "revocations": 2, "ticks": 4}
    more: dict[Flaw, dict[str, Any]] = {
        Flaw.INCOMPLETE: {"kept": 1, "page_length": 1},
        Flaw.SWAP_ANYWAY: {"reloads": 1, "in_flight_max": 2},
        Flaw.POSITION_ALONE: {"polls": (2,), "ticks": 0, "failovers": 1},
    }
    with pytest.raises(Accepted):
        Walk().of(World.of(**{**small, **more.get(flaw, {})}, flaw=flaw))


def an_answer(
    *tokens: tuple[str, str], head: int = 0, reached: int | None = None, **more: Any
) -> RevocationAnswer:
    reached = head if reached is None else reached
    return RevocationAnswer(tokens=tokens, reached=reached, head=head, **more)


def loaded(*tokens: tuple[str, str], at: float = 0.0, cap: int = 9) -> Any:
    known = LeasedRevocations(cap)
    assert known.apply(known.begin(at), an_answer(*tokens, head=len(tokens)))
    return known


@pytest.mark.parametrize(
    ("told", "token", "state"),
    [
        ({"tokens": [NAME]}, TOKEN, TokenState.REVOKED),
        ({"tokens": [OTHER]}, TOKEN, TokenState.VALID),
        ({"tokens": [("elsewhere", TOKEN.jti)]}, TOKEN, TokenState.VALID),
        ({"users": [(ADA, 0)]}, TOKEN, TokenState.REVOKED),
        ({"users": [(ADA, -1)]}, TOKEN, TokenState.VALID),
        ({"users": [(ADA, 0), (ADA, -1)]}, TOKEN, TokenState.REVOKED),
        ({"users": [(BOB, 0)]}, TOKEN, TokenState.VALID),
        ({"issued_before": TOKEN.issued_at}, a_token(user=BOB), TokenState.REVOKED),
        ({"issued_before": TOKEN.issued_at - SECOND}, TOKEN, TokenState.VALID),
    ],
    ids=range(9),
)
def test_t38_t44_what_was_told_is_refused(
    told: dict[str, Any], token: Token, state: TokenState
) -> None:
    """
    A token by its issuer and id; all of a user, or of everybody, up to a time, which is
    included. What arrives late takes nothing back.
    """
    users = [
        UserTokenRevocation(user_id=user, at=TOKEN.issued_at + seconds * SECOND)
        for user, seconds in told.get("users", ())
    ]
    known = LeasedRevocations()
    poll = known.begin(0)
    known.apply(poll, RevocationAnswer(**{**told, "users": users}, reached=3, head=3))

    assert known.state_of(token, 0) is state


def test_nothing_is_valid_before_all_was_loaded() -> None:
    """
    Page by page, to the end.
    """
    known = LeasedRevocations()
    assert known.state_of(TOKEN, 0) is TokenState.UNKNOWN
    assert math.isnan(known.lease_age_s(0))

    first = known.begin(0)
    assert not known.apply(first, an_answer(OTHER, reached=1, head=2))
    assert known.state_of(TOKEN, 0) is TokenState.UNKNOWN
    second = known.begin(0)
    assert (second.after, second.heard) == (1, 1)
    assert known.apply(second, an_answer(NAME, head=2))
    assert known.state_of(TOKEN, 0) is TokenState.REVOKED
    assert known.entries_count == 2


def test_f06_a_lease_ends_a_second_after_its_poll_began() -> None:
    """
    However late the answer arrives; whether a known token is revoked is unknown then,
    too.
    """
    known = loaded(NAME, at=10)
    assert known.state_of(TOKEN, 10 + LEASE_S - 0.01) is TokenState.REVOKED
    assert known.lease_age_s(10.5) == 0.5
    for token in (TOKEN, a_token("another")):
        assert known.state_of(token, 10 + LEASE_S) is TokenState.UNKNOWN
    assert not known.is_leased(10 + LEASE_S)


def test_an_answer_that_comes_late_takes_nothing_back() -> None:
    """
    Neither the place that was reached, nor what is revoked, nor the lease.
    """
    known = LeasedRevocations()
    early, late = known.begin(1), known.begin(2)
    known.apply(late, an_answer(NAME, head=1))
    assert known.apply(early, an_answer(head=0))

    assert known.cursor == 1
    assert known.state_of(TOKEN, 2.9) is TokenState.REVOKED
    assert known.begin(2).heard == 1


def test_beyond_the_cap_the_store_is_asked_and_nothing_is_kept() -> None:
    """
    The lease, and what was heard, continue; without a lease the store is not asked
    either.
    """
    known = loaded(NAME, OTHER, ("i", "j"), cap=2)
    assert known.is_over_cap
    assert known.entries_count == 0
    assert known.state_of(a_token("x"), 0.5) is TokenState.ASK_STORE
    assert known.state_of(a_token("x"), 1.5) is TokenState.UNKNOWN

    poll = known.begin(1)
    assert poll.heard == 3
    assert known.apply(poll, an_answer(("k", "l"), head=4))
    assert known.state_of(a_token("x"), 1.5) is TokenState.ASK_STORE
    assert known.entries_count == 0


def test_beyond_the_cap_the_rest_is_not_read() -> None:
    """
    Of a million rows, one page more than the cap is read, and the end is reached.
    """
    known = LeasedRevocations(1)
    poll = known.begin(0)
    assert known.apply(poll, an_answer(NAME, OTHER, reached=2, head=1_000_000))
    assert known.cursor == 1_000_000


def test_a_process_keeps_200_000_revocations_and_not_one_more() -> None:
    """
    In whatever pages they arrive.
    """
    issuer, known, page = TOKEN.issuer, LeasedRevocations(), 50_000
    for first in range(0, ENTRIES_MAX, page):
        poll = known.begin(0)
        names = [(issuer, str(it)) for it in range(first, first + page)]
        known.apply(poll, an_answer(*names, reached=first + page, head=ENTRIES_MAX))
    assert known.entries_count == ENTRIES_MAX == 200_000
    assert known.state_of(a_token("199999"), 0) is TokenState.REVOKED

    known.apply(known.begin(0), an_answer(NAME, head=ENTRIES_MAX + 1))
    assert known.state_of(a_token("199999"), 0) is TokenState.ASK_STORE
    assert known.entries_count == 0


def reloaded(known: LeasedRevocations, answer: RevocationAnswer) -> bool:
    """Poll until a full load is due, and apply its answer."""
    for at in range(0, int(RELOAD_AFTER_S) + 1, 50):
        assert known.begin_reload(at) is None
        assert known.apply(known.begin(at), an_answer(head=known.cursor))
    poll = known.begin_reload(at)
    assert poll is not None
    assert poll.after == 0
    return known.apply(poll, answer)


def test_p31_what_has_expired_is_forgotten_with_a_full_load_and_not_before() -> None:
    """
    It is loaded separately, and replaces what is known when it is complete.
    """
    known = loaded(NAME, OTHER)
    at = RELOAD_AFTER_S
    assert reloaded(known, an_answer(OTHER, head=2))

    assert known.entries_count == 1
    assert known.state_of(TOKEN, at + 0.5) is TokenState.VALID
    assert known.state_of(a_token("other"), at + 0.5) is TokenState.REVOKED
    assert known.begin_reload(at + 0.5) is None


def test_p30_a_full_load_that_is_older_takes_nobodys_place() -> None:
    """
    A revocation between its answer and the next poll would be forgotten.
    """
    known = loaded(NAME)
    for at in range(0, int(RELOAD_AFTER_S) + 1, 50):
        known.apply(known.begin(at), an_answer(head=1))
    older = known.begin_reload(at)
    assert older is not None
    assert known.apply(known.begin(at), an_answer(OTHER, head=2))
    assert not known.apply(older, an_answer(NAME, head=1))
    assert known.state_of(a_token("other"), at) is TokenState.REVOKED

    rest = known.begin_reload(at)
    assert rest is not None
    # Reading does not continue from it either: its table may be gone.
    assert rest.after == 0
    assert known.apply(rest, an_answer(OTHER, head=2))
    assert known.entries_count == 2


def test_a_full_load_brings_a_process_back_below_its_cap() -> None:
    """
    The excess has expired.
    """
    known = loaded(NAME, OTHER, ("i", "j"), cap=2)
    assert reloaded(known, an_answer(OTHER, head=3))
    assert not known.is_over_cap
    assert known.state_of(a_token("other"), RELOAD_AFTER_S) is TokenState.REVOKED


def test_a_full_load_of_too_much_keeps_nothing() -> None:
    """
    It is over its cap then, too.
    """
    known = loaded(cap=2)
    assert reloaded(known, an_answer(NAME, OTHER, ("i", "j"), head=3))
    assert known.is_over_cap
    assert known.state_of(TOKEN, RELOAD_AFTER_S) is TokenState.ASK_STORE


def test_a_table_that_ends_earlier_is_read_from_its_beginning() -> None:
    """
    It was restored: what is known comes from another table. A full load detects it,
    too.
    """
    known = loaded(NAME, OTHER)
    poll = known.begin(0.5)
    assert not known.apply(poll, an_answer(head=1))
    assert known.state_of(TOKEN, 0.5) is TokenState.UNKNOWN
    assert (known.begin(0.5).after, known.begin(0.5).heard) == (0, 0)

    known = loaded(NAME, OTHER)
    assert not reloaded(known, an_answer(head=1))
    assert known.cursor == 0


def test_f55_a_table_that_does_not_know_the_mark_is_read_from_its_beginning() -> None:
    """
    A failover lost what was applied last: its position was given to another token. The
    table detects it, or two marks of one position.
    """
    for answer in (
        an_answer(head=1, mark="b", is_known=False),
        an_answer(head=1, mark="b"),
        an_answer(head=9, mark="b", is_known=False),
    ):
        known = LeasedRevocations()
        assert known.begin(0).mark is None
        assert known.apply(known.begin(0), an_answer(NAME, head=1, mark="a"))
        poll = known.begin(0.5)
        assert (poll.heard, poll.mark) == (1, "a")
        assert not known.apply(poll, answer)
        assert known.state_of(TOKEN, 0.5) is TokenState.UNKNOWN
        anew = known.begin(0.5)
        assert (anew.heard, anew.mark, anew.after) == (0, None, 0)


def test_who_heard_nothing_for_a_minute_begins_anew() -> None:
    """
    A database that was restored meanwhile may be further than before.
    """
    known = loaded(NAME)
    assert known.begin(LEASE_S + BEGIN_ANEW_AFTER_S).after == 1
    assert known.begin(LEASE_S + BEGIN_ANEW_AFTER_S + 0.1).after == 0
    late = attrs.evolve(known.begin(99), copy=loaded()._main)
    assert not known.apply(late, an_answer(head=1))
    assert known.state_of(TOKEN, 99) is TokenState.UNKNOWN


@given(
    st.lists(st.integers(0, 30), min_size=1, max_size=12),
    st.integers(1, 4),
    st.lists(st.integers(0, 30), max_size=4),
)
def test_p30_what_was_applied_in_any_pages_is_refused(
    revoked: list[int], page: int, asked: list[int]
) -> None:
    """
    However it is divided into pages, and whatever comes twice.
    """
    known = LeasedRevocations()
    rows = list(enumerate(revoked, 1))
    is_whole = False
    while not is_whole:
        poll = known.begin(0)
        later = [row for row in rows if row[0] > poll.after][:page]
        reached = later[-1][0] if len(later) == page else len(rows)
        names = [(TOKEN.issuer, str(jti)) for _, jti in later]
        is_whole = known.apply(poll, an_answer(*names, reached=reached, head=len(rows)))

    for jti in {*asked, *revoked}:
        state = known.state_of(a_token(str(jti)), 0)
        assert state is (TokenState.REVOKED if jti in revoked else TokenState.VALID)
