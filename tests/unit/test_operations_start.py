"""The result of starting an operation, for every existing state."""

import itertools
from datetime import datetime, timedelta
from typing import Final

import attrs
import pytest

from contracts.examples import ADA, NOON, NOW, an_account
from payments_core.changes import Lookup, Snapshot
from payments_core.identity import UserId
from payments_core.intent import (
    Intent,
    IntentId,
    IntentKind,
    IntentOutcome,
    IntentState,
    OperationParams,
)
from payments_core.now import Now
from payments_core.operations.start import (
    OperationRequest,
    StartedOperation,
    StartState,
    find_under_key,
    new_intent,
    no_rule,
    start_operation,
)

REQUEST: Final = OperationRequest(
    user_id=UserId(ADA), kind=IntentKind.UPDATE_CARD, key="a-key"
)
LATER: Final = NOON + timedelta(minutes=5)


def started(
    *intents: Intent,
    new: Intent,
    now: datetime = NOON,
    request: OperationRequest = REQUEST,
) -> StartedOperation:
    """Start a request with these existing intents."""
    ids = (f"id-{number}" for number in itertools.count(100))
    snapshot = Snapshot(
        lookup=Lookup(), sequence=1, accounts=[an_account(ADA)], intents=intents
    )
    return start_operation(
        snapshot,
        request,
        no_rule,
        new,
        new_id=lambda: next(ids),
        now=Now(at=now, system=now),
    )


@pytest.fixture
def new() -> Intent:
    return new_intent(REQUEST, lambda: "id-1", NOW)


def kept(intent: Intent) -> Intent:
    return attrs.evolve(intent, version=intent.version + 1)


def taken_by_the_worker(intent: Intent, now: datetime) -> Intent:
    return attrs.evolve(kept(intent), writer="").claimed(now)


def ended(intent: Intent, state: IntentState) -> Intent:
    sent = attrs.evolve(kept(intent), state=IntentState.SENT, writer="")
    return sent.ended(state, IntentOutcome())


def test_what_is_new_is_saved_with_the_customer_that_it_needs(new: Intent) -> None:
    """
    Both depend on the account as it was loaded.
    """
    one = started(new=new)

    assert one.state is StartState.LEASED
    assert one.customer is not None
    assert one.changes is not None
    assert set(one.changes.intents) == {one.intent, one.customer}
    assert one.changes.before == an_account(ADA)


def test_a_lost_reply_is_recognised(new: Intent) -> None:
    """
    The intent and its customer exist as we saved them: nothing is saved again.
    """
    first = started(new=new)
    assert first.customer is not None
    again = started(kept(new), kept(first.customer), new=new)

    assert again == first.saved()


def test_a_lost_reply_to_what_the_worker_has_by_now_is_busy(new: Intent) -> None:
    """
    We were frozen for longer than our lease: it is no longer ours.
    """
    one = started(taken_by_the_worker(new, LATER), new=new, now=LATER)

    assert (one.state, one.changes) == (StartState.BUSY, None)


@pytest.mark.parametrize("state", [IntentState.SUCCEEDED, IntentState.REFUSED])
def test_a_lost_reply_to_what_has_ended_by_now_is_its_answer(
    new: Intent, state: IntentState
) -> None:
    """
    It is not run again, and nothing is made for it.
    """
    one = started(ended(new, state), new=new, now=LATER)

    assert (one.state, one.intent.state) == (StartState.REPLAYED, state)
    assert (one.customer, one.changes) == (None, None)


def test_a_lost_reply_to_what_nobody_took_is_taken_over(new: Intent) -> None:
    """
    Our lease ended, and no other process has it: it is leased again, and saved.
    """
    one = started(kept(new), new=new, now=LATER)

    assert one.state is StartState.LEASED
    assert one.intent.lease.fence == new.lease.fence + 1
    assert one.changes is not None
    assert one.changes.intents == (one.intent,)


def test_a_key_is_one_operation(new: Intent) -> None:
    """
    Running: busy. Ended: its answer. Of another request: refused.
    """
    theirs = attrs.evolve(kept(new), id=IntentId("id-0"), writer="id-0")
    other = attrs.evolve(REQUEST, about="/another/path")

    assert started(theirs, new=new).state is StartState.BUSY
    done = ended(theirs, IntentState.SUCCEEDED)
    assert started(done, new=new).state is StartState.REPLAYED
    assert started(theirs, new=new, request=other).state is StartState.KEY_REUSED


def test_another_key_is_another_operation(new: Intent) -> None:
    """
    Even for the very same change: it waits until the first one has ended.
    """
    theirs = attrs.evolve(kept(new), id=IntentId("id-0"), key="other", writer="id-0")

    one = started(theirs, new=new, now=LATER)
    assert (one.state, one.intent.id) == (StartState.BUSY, "id-0")
    done = started(ended(theirs, IntentState.SUCCEEDED), new=new, now=LATER)
    assert (done.state, done.intent.id) == (StartState.LEASED, new.id)


def test_who_only_looks_takes_nothing_from_the_worker(new: Intent) -> None:
    """
    The worker's claim has no writer, and neither has a reader.
    """
    theirs = taken_by_the_worker(new, LATER)
    snapshot = Snapshot(
        lookup=Lookup(), sequence=1, accounts=[an_account(ADA)], intents=[theirs]
    )

    found = find_under_key(snapshot, REQUEST, "", LATER)
    assert found == StartedOperation(theirs, StartState.BUSY)


def test_what_is_taken_over_is_ours_to_recognise(new: Intent) -> None:
    """
    The reply to that save may be lost as well: it is recognised by its writer.
    """
    theirs = attrs.evolve(kept(new), id=IntentId("id-0"), writer="id-0")
    one = started(theirs, new=new, now=LATER)
    again = started(kept(one.intent), new=new, now=LATER)

    assert (one.state, one.intent.writer) == (StartState.LEASED, new.id)
    assert again == StartedOperation(kept(one.intent), StartState.LEASED)


def test_the_customer_that_somebody_else_makes_is_theirs(new: Intent) -> None:
    """
    While the other process holds it, and also if the reply to our own begin was lost.
    """
    first = started(new=new)
    assert first.customer is not None
    theirs = attrs.evolve(kept(first.customer), writer="another")

    assert started(theirs, new=new).customer is None
    assert started(kept(new), theirs, new=new).customer is None


def test_without_a_key_the_very_same_is_the_same_operation(new: Intent) -> None:
    """
    It continues once no process holds it; a different operation of its kind must wait.
    """
    plain = attrs.evolve(REQUEST, key=None)
    theirs = attrs.evolve(kept(new), id=IntentId("id-0"), key=None, writer="id-0")
    other = attrs.evolve(plain, wanted=OperationParams(payment_method="pm_other"))

    assert started(theirs, new=new, request=plain).state is StartState.BUSY
    late = started(theirs, new=new, now=LATER, request=plain)
    assert (late.state, late.intent.id) == (StartState.LEASED, "id-0")
    waiting = started(theirs, new=new, now=LATER, request=other)
    assert (waiting.state, waiting.changes) == (StartState.BUSY, None)
