"""Requests to the gateway: their states, their keys, and when they are sent again."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise, product
from typing import Final

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.examples import NOON, a_call, an_intent
from payments_core.errors import IllegalTransition, IntentNotFound
from payments_core.gateway import Answer
from payments_core.intent import (
    BACK_OFF,
    GIVE_UP_AFTER,
    IDEMPOTENCY_KEY_TTL,
    INTENT_STEPS,
    LEASE,
    REISSUE_AFTER,
    IntentKind,
    IntentOutcome,
    IntentState,
    OperationParams,
    Refusal,
    intent_id,
    intent_of_key,
)
from payments_core.lease import Lease

S: Final = IntentState
ENDED: Final = {S.SUCCEEDED, S.REFUSED, S.ABANDONED}
MOMENT: Final = timedelta(microseconds=1)

# Written out, so that a reviewer sees a change of the table.
SNAPSHOT = """
new: abandoned declined sent succeeded
sent: abandoned declined succeeded unknown
unknown: abandoned declined sent succeeded
succeeded:
declined:
abandoned:
"""


def test_p19_every_state_has_a_row() -> None:
    """
    A state added to the enum and forgotten in the table fails here.
    """
    assert set(INTENT_STEPS) == set(IntentState)


def test_p19_the_table_is_the_documented_one() -> None:
    """
    Each state with all that may follow it.
    """
    rows = [
        f"{state}: {' '.join(sorted(steps))}".strip()
        for state, steps in INTENT_STEPS.items()
    ]
    assert "\n".join(rows) == SNAPSHOT.strip()


@pytest.mark.parametrize("state", IntentState)
def test_p19_terminal_rows_are_empty(state: IntentState) -> None:
    """
    What succeeded, was declined or abandoned is no longer open.
    """
    assert an_intent(state=state).open == (state not in ENDED)


@pytest.mark.parametrize("after", IntentState)
@pytest.mark.parametrize("before", IntentState)
def test_p19_each_pair_steps_or_raises(before: IntentState, after: IntentState) -> None:
    """
    Intents and calls follow the table, stay, or are refused unchanged.
    """
    for thing in (an_intent(state=before), a_call(state=before)):
        if after is before or after in INTENT_STEPS[before]:
            assert thing.moved(after) == attrs.evolve(thing, state=after)
        else:
            with pytest.raises(IllegalTransition) as refused:
                thing.moved(after)
            assert (refused.value.before, refused.value.after) == (before, after)
            assert thing.state is before


@pytest.mark.parametrize(
    ("key", "id_"),
    [
        (an_intent("int-1").key_of(a_call("pin-sub_1")), "int-1"),
        (".pin.1", None),
        ("int-1", None),
        ("int 1.pin.1", None),
        ("i" * 65 + ".pin.1", None),
        ("", None),
        (None, None),
    ],
)
def test_a_key_says_of_which_intent_it_may_be(key: str | None, id_: str | None) -> None:
    """
    Other programs' keys may look like anything; whether such an intent exists is not
    said.
    """
    assert intent_of_key(key) == id_


def test_a_call_keeps_what_came_of_it() -> None:
    """
    An answer, a refusal, or an unknown outcome; a later unknown outcome does not
    replace a 500.
    """
    answer = Answer(id="sub_1", at=NOON)
    refusal = Refusal(code="card_declined", reason="declined")

    assert a_call().answered(answer) == attrs.evolve(
        a_call(state=S.SUCCEEDED), answer=answer
    )
    assert a_call().refused(refusal) == attrs.evolve(
        a_call(state=S.REFUSED), refusal=refusal
    )
    cached = (
        a_call()
        .outcome_unknown(server_error_cached=True)
        .outcome_unknown(server_error_cached=False)
    )
    assert cached == attrs.evolve(a_call(state=S.UNKNOWN), server_error_cached=True)


@pytest.mark.parametrize("state", sorted(ENDED))
def test_what_came_of_a_call_stays(state: IntentState) -> None:
    """
    Its end is final, whatever is learned later.
    """
    ended = a_call(state=state)
    with pytest.raises(IllegalTransition):
        ended.outcome_unknown(server_error_cached=False)
    with pytest.raises(IllegalTransition):
        ended.sent(NOON)
    with pytest.raises(IllegalTransition):
        ended.regenerated(ended.frozen, 2, NOON)


@pytest.mark.parametrize(
    ("age", "again"),
    [
        (timedelta(0), True),
        (IDEMPOTENCY_KEY_TTL - MOMENT, True),
        (IDEMPOTENCY_KEY_TTL, False),
    ],
)
def test_a_call_may_be_sent_again_while_its_key_lives(
    age: timedelta,
    again: bool,  # noqa: FBT001  # a column
) -> None:
    """
    For 23 hours from the first time, however often it was sent, and never after a 500.
    """
    unknown = a_call(state=S.UNKNOWN)
    resent = unknown.sent(NOON + age)

    assert unknown.may_be_sent_again(NOON + age) is again
    assert resent.may_be_sent_again(NOON + age) is again
    assert not attrs.evolve(unknown, server_error_cached=True).may_be_sent_again(
        NOON + age
    )


@pytest.mark.parametrize(
    ("age", "silent"),
    [(timedelta(0), False), (REISSUE_AFTER - MOMENT, False), (REISSUE_AFTER, True)],
)
def test_a_call_is_silent_two_hours_after_it_was_last_sent(
    age: timedelta,
    silent: bool,  # noqa: FBT001  # a column
) -> None:
    """
    Sending it again restarts the two hours.
    """
    unknown = a_call(state=S.UNKNOWN)
    resent = unknown.sent(NOON + REISSUE_AFTER)

    assert unknown.may_be_reissued(NOON + age) is silent
    assert resent.may_be_reissued(NOON + REISSUE_AFTER + age) is silent


def test_a_new_generation_is_sent_as_if_for_the_first_time() -> None:
    """
    With its own key, bytes and sequence number, and its key lives 23 hours again.
    """
    old = attrs.evolve(a_call(state=S.UNKNOWN), server_error_cached=True)
    frozen = attrs.evolve(old.frozen, body="other")
    later = NOON + 2 * IDEMPOTENCY_KEY_TTL
    new = old.regenerated(frozen, 7, later)

    assert new == attrs.evolve(
        a_call(at=later, generation=2), frozen=frozen, sequence=7
    )
    assert new.may_be_sent_again(later + IDEMPOTENCY_KEY_TTL - MOMENT)


def test_each_step_and_generation_has_a_key_of_its_own() -> None:
    """
    Of one intent and of different ones; sending again changes no key.
    """
    calls = [
        (intent, a_call(step, state=S.UNKNOWN, generation=generation))
        for intent, step, generation in product(
            (an_intent("int_1"), an_intent("int_2")), ("attach", "start"), (1, 2, 11)
        )
    ]
    keys = [intent.key_of(call) for intent, call in calls]

    assert len(set(keys)) == len(keys)
    assert keys[0] == "int_1.attach.1"
    assert [intent.key_of(call.sent(NOON)) for intent, call in calls] == keys


@pytest.mark.parametrize("state", [s for s in S if s is not S.NEW])
def test_an_intent_follows_its_latest_call(state: IntentState) -> None:
    """
    Sent or unknown with it; after a call that ended, the intent may continue.
    """
    sent = an_intent().with_call(a_call())
    intent = sent.with_call(a_call(state=state))

    assert sent.state is S.SENT
    assert intent.state is (S.UNKNOWN if state is S.UNKNOWN else S.SENT)
    assert intent.call("start") == a_call(state=state)
    assert intent.call("attach") is None


def test_a_changed_call_takes_the_place_of_the_old_one() -> None:
    """
    One call for each step.
    """
    intent = an_intent().with_call(a_call("attach")).with_call(a_call("start"))
    after = intent.with_call(a_call("attach", S.UNKNOWN))

    assert {call.step: call.state for call in after.calls} == {
        "attach": S.UNKNOWN,
        "start": S.SENT,
    }


def test_an_intent_ends_once_with_its_outcome() -> None:
    """
    Every repeated request gets that answer.
    """
    outcome = IntentOutcome(customer_id="cus_1")
    ended = an_intent(state=S.SENT).ended(S.SUCCEEDED, outcome)

    assert ended == attrs.evolve(an_intent(state=S.SUCCEEDED), outcome=outcome)
    with pytest.raises(IllegalTransition):
        ended.ended(S.REFUSED, IntentOutcome())


def test_p18_an_intent_that_fails_is_due_later_and_later() -> None:
    """
    The delays double up to five minutes, and never shrink.
    """
    intent, delays = an_intent(), list[timedelta]()
    for _ in range(40):
        intent = intent.claimed(NOON).rescheduled(NOON)
        delays.append(intent.lease.due_at - NOON)
        assert intent.lease.until is None

    assert all(earlier <= later for earlier, later in pairwise(delays))
    assert delays[:2] == [BACK_OFF.first, 2 * BACK_OFF.first]
    assert delays[-1] == BACK_OFF.longest


def test_an_intent_that_waits_for_a_moment_did_not_fail() -> None:
    """
    It continues then, and its next failure does not wait longer.
    """
    claimed = an_intent().rescheduled(NOON).claimed(NOON)
    waiting = claimed.rescheduled(NOON, NOON + REISSUE_AFTER)

    assert waiting.lease == attrs.evolve(
        claimed.lease, due_at=NOON + REISSUE_AFTER, until=None
    )
    assert waiting.lease.attempts == 1


def test_claiming_an_intent_leases_it() -> None:
    """
    No other process runs it for thirty seconds; each claim has its own fence.
    """
    claimed = an_intent().claimed(NOON)

    assert claimed.lease == Lease(due_at=NOON, fence=1, until=NOON + LEASE)
    assert timedelta(seconds=30) == LEASE
    assert claimed.claimed(NOON + LEASE).lease.fence == 2


def test_who_runs_an_intent_may_keep_it_for_longer() -> None:
    """
    For the same length from that time on, with the same fence.
    """
    later = NOON + LEASE - MOMENT
    extended = an_intent().claimed(NOON).extended(later)

    assert extended.lease == Lease(due_at=NOON, fence=1, until=later + LEASE)


@pytest.mark.parametrize(
    ("age", "abandoned"), [(GIVE_UP_AFTER - MOMENT, False), (GIVE_UP_AFTER, True)]
)
def test_p18_an_intent_may_be_abandoned_after_a_day(
    age: timedelta,
    abandoned: bool,  # noqa: FBT001  # a column
) -> None:
    """
    So its attempts are finite: nobody waits for it any longer.
    """
    assert an_intent().may_be_abandoned(NOON + age) is abandoned


texts = st.none() | st.sampled_from(["", "a", "b", '"', "null", "\ud800"])
wishes = st.builds(
    OperationParams,
    payment_method=texts,
    product=texts,
    price=texts,
    quantity=st.none() | st.integers(0, 2),
    trial_days=st.none() | st.integers(0, 2),
    cancel_at_period_end=st.none() | st.booleans(),
    proration_date=st.none()
    | st.sampled_from([NOON, datetime(2026, 2, 1, tzinfo=UTC)]),
)
asked = st.tuples(
    wishes, st.sampled_from(IntentKind), st.sampled_from(["", "a", "b", '","'])
)


@given(asked, asked)
def test_p13_fingerprints_are_equal_only_for_what_is_equal(
    one: tuple[OperationParams, IntentKind, str],
    other: tuple[OperationParams, IntentKind, str],
) -> None:
    """
    Parameters, kind and subject: equal in all, or not equal.
    """
    left, right = one[0].fingerprint(*one[1:]), other[0].fingerprint(*other[1:])
    assert (left == right) == (one == other)


@given(asked, st.data())
def test_p13_each_leaf_changes_the_fingerprint(
    one: tuple[OperationParams, IntentKind, str], data: st.DataObject
) -> None:
    """
    One field is changed, even from nothing to an empty text.
    """
    wanted, kind, subject = one
    field = data.draw(
        st.sampled_from([it.name for it in attrs.fields(OperationParams)])
    )
    other = attrs.evolve(wanted, **{field: getattr(data.draw(wishes), field)})

    same = other.fingerprint(kind, subject) == wanted.fingerprint(kind, subject)
    assert same == (other == wanted)


@pytest.mark.parametrize("text", ["", "a b", "ä", "../x", "x" * 65, "x\n"])
def test_what_is_no_id_of_an_intent_is_nobodys(text: str) -> None:
    """
    No such intent can exist, so it is not looked for.
    """
    with pytest.raises(IntentNotFound):
        intent_id(text)


@pytest.mark.parametrize("text", ["x" * 64, "0f8fad5b-d9cb-469f-a165-70867728950e"])
def test_an_id_of_an_intent_is_read(text: str) -> None:
    """
    As it is.
    """
    assert intent_id(text) == text
