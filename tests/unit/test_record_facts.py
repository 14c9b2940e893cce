"""Recording facts: what it waits for, and which repetitions change nothing."""

from collections.abc import Callable, Sequence
from typing import Final

import attrs
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from contracts.examples import (
    ADA,
    BOB,
    CUS_1,
    CUS_2,
    NOON,
    SUB_1,
    a_job,
    a_payment,
    a_report,
    a_term,
    an_account,
    an_intent,
    email_of,
)
from contracts.faults import FaultyLedger, no_fault, unheard_of
from payments_adapters.memory import FixedClock, MemoryDatabase, MemoryLedger
from payments_adapters.memory.tables import Tables
from payments_core.changes import Changes
from payments_core.decide.decision import event_group
from payments_core.errors import (
    AccountBusy,
    EmailTaken,
    SaveTimedOut,
    StoreUnavailable,
)
from payments_core.events import EventState, Outcome, QuarantineNeeded
from payments_core.facts import (
    CustomerBound,
    Fact,
    PaymentCorrected,
    PaymentReported,
    PeriodPaid,
    SourcedFacts,
    SubscriptionObserved,
    UserRegistered,
    facts_of,
)
from payments_core.identity import UserId
from payments_core.intent import Intent, IntentOutcome, IntentState
from payments_core.job import Job, JobState
from payments_core.job_key import JobKind
from payments_core.policy import Policy
from payments_core.subscription import SubscriptionStatus
from payments_core.use_cases import Recorded, RecordedState, RecordFacts
from payments_core.use_cases.record_facts import (
    BACK_OFF_FIRST_S,
    BACK_OFF_MAX_S,
    WAIT_S,
)
from support.deciding import Kept, event_in, finished, found, reported
from support.facts import any_fact, any_fact_without_an_event
from support.profiles import examples

ADAS, BOBS = f"user {ADA}", f"user {BOB}"
LOST: Final = StoreUnavailable()


@attrs.define
class Recording:
    """`RecordFacts` on a stored state and a ledger that may fail; time is given."""

    kept: Kept = attrs.field(
        factory=lambda: Kept.of(an_account(ADA), an_account(BOB, customer=CUS_2))
    )
    ledger: FaultyLedger = attrs.field(init=False)
    now: float = 0.0
    waits: list[float] = attrs.field(factory=list)
    quarantined: list[Outcome] = attrs.field(factory=list)

    def __attrs_post_init__(self) -> None:
        self.ledger = FaultyLedger(MemoryLedger(self.database))

    @property
    def database(self) -> MemoryDatabase:
        return self.kept.database

    @property
    def tables(self) -> Tables:
        return self.database.tables

    async def _sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += seconds

    @property
    def record(self) -> RecordFacts:
        clock = FixedClock(NOON)
        return RecordFacts(
            self.ledger,
            clock,
            clock,
            Policy(),
            lambda: self.now,
            self._sleep,
            self.quarantined.append,
        )

    def __call__(
        self, *sources: SourcedFacts, avoid: Sequence[str] = ()
    ) -> Sequence[Recorded]:
        return finished(self.record(sources, avoid=frozenset(avoid)))

    def one(self, source: SourcedFacts) -> Recorded:
        return finished(self.record.one(source))

    def twice(self, *sources: SourcedFacts) -> tuple[Tables, Sequence[Recorded]]:
        """Lose the reply of each save, and record the same again.

        Return what was stored at first, and the results of the second try.
        """
        self.ledger.reply = lost
        if any(it for it in self._saving(sources)):
            with pytest.raises(StoreUnavailable):
                self(*sources)
        before, self.ledger.reply = self.tables, no_fault
        return before, self(*sources)

    def _saving(self, sources: Sequence[SourcedFacts]) -> Sequence[Changes]:
        once_more = Kept(attrs.evolve(self.database))
        return once_more.decide(*sources).groups


def lost(_: Sequence[Changes]) -> None:
    raise LOST


def states(recorded: Sequence[Recorded]) -> list[RecordedState]:
    return [it.state for it in recorded]


def known(tables: Tables) -> Tables:
    """Return the tables without events and jobs.

    An event that was not applied is tried again: it requests its job, and what it
    waited for may have arrived meanwhile.
    """
    return attrs.evolve(tables, jobs={}, events={}, waiting={})


# A lost reply


@settings(max_examples=examples(300))
@given(st.lists(any_fact, max_size=4), st.lists(any_fact, min_size=1, max_size=5))
@example(
    [],
    # The period waits for its subscription.
    [
        PeriodPaid(a_term(SUB_1, starts_at=NOON)),
        SubscriptionObserved(
            report=a_report(SUB_1, status=SubscriptionStatus.INCOMPLETE),
            at=NOON,
            sequence=0,
        ),
    ],
)
def test_p03_events_that_are_recorded_again_change_nothing(
    earlier: list[Fact], facts: list[Fact]
) -> None:
    """
    Stored events are duplicates; those that a rule refused are refused again.
    """
    recording = Recording()
    for number, fact in enumerate(earlier):
        recording(attrs.evolve(reported(100 + number, None), facts=(fact,)))
    sources = [
        attrs.evolve(reported(number, None), facts=(fact,))
        for number, fact in enumerate(facts)
    ]
    kept = list[SourcedFacts]()
    for source in sources:
        before, (again,) = recording.twice(source)

        assert known(recording.tables) == known(before)
        assert again.state in {RecordedState.DUPLICATE, RecordedState.REFUSED}
        event = source.event
        assert event is not None
        row = recording.tables.events.get(event.key)
        # For any other, what it waited for may have arrived meanwhile.
        if row is not None and row.outcome.state is EventState.APPLIED:
            kept.append(source)
    before = recording.tables
    assert states(recording(*kept)) == [RecordedState.DUPLICATE] * len(kept)
    assert known(recording.tables) == known(before)


@settings(max_examples=examples(300))
@given(st.lists(any_fact_without_an_event, min_size=1, max_size=5))
@example(
    # The period of a subscription without an account: its link key stays as it is.
    facts=[
        SubscriptionObserved(
            report=a_report(
                "sub_1", SubscriptionStatus.INCOMPLETE, at=NOON, customer=CUS_1
            ),
            at=NOON,
            sequence=0,
        ),
        PeriodPaid(a_term("sub_1", starts_at=NOON)),
    ]
)
def test_p03_facts_without_an_event_that_are_recorded_again_change_nothing(
    facts: list[Fact],
) -> None:
    """
    What must be fetched is at most requested once more: nothing says that it was.
    """
    recording = Recording()
    for fact in facts:
        before, (again,) = recording.twice(found(fact))

        assert again.state in {RecordedState.SAVED, RecordedState.REFUSED}
        after = recording.tables
        assert attrs.evolve(after, jobs=before.jobs) == before
        asked = {key: job.requests for key, job in before.jobs.items()}
        more = {
            key: job.requests - asked.get(key, 0) for key, job in after.jobs.items()
        }
        assert sum(more.values()) <= 1


def claimed_in(recording: Recording, job: Job) -> Job:
    """Save a job as claimed by another process."""
    claimed = job.claimed(NOON)
    recording.tables.put_job(claimed)
    return claimed


@pytest.mark.parametrize(
    ("subject", "kind", "fact"),
    [
        ("ch_1", JobKind.PAYMENT, PaymentCorrected(a_payment(user=ADA), 5)),
        (
            "sub_1",
            JobKind.SUBSCRIPTION,
            SubscriptionObserved(report=a_report(user=ADA), at=NOON, sequence=5),
        ),
    ],
)
def test_p03_a_finished_job_that_is_recorded_again_undoes_nothing(
    subject: str, kind: JobKind, fact: Fact
) -> None:
    """
    Its facts are not newer than what is known; at most it is due once more.
    """
    recording = Recording()
    job = claimed_in(recording, a_job(subject, kind))
    before, (again,) = recording.twice(attrs.evolve(found(fact), job=job))

    assert before.jobs[job.key] == job.finished()
    assert again.state is RecordedState.SAVED
    assert attrs.evolve(recording.tables, jobs=before.jobs) == before
    assert recording.tables.jobs[job.key].lease.fence == job.lease.fence


def test_p33_who_lost_a_job_records_what_was_found_and_leaves_the_job_alone() -> None:
    """
    Another process has claimed it since, with the next fence.
    """
    recording = Recording()
    job = claimed_in(recording, a_job("ch_1", JobKind.PAYMENT))
    rival = claimed_in(recording, job)
    fact = PaymentCorrected(a_payment(user=ADA), 5)
    (recorded,) = recording(attrs.evolve(found(fact), job=job))

    assert recorded.state is RecordedState.SAVED
    assert recording.tables.payments
    assert recording.tables.jobs[job.key] == rival


def test_p18_a_job_that_was_asked_for_meanwhile_is_due_again() -> None:
    """
    What it found is recorded; the events that wait for it wait on.
    """
    recording = Recording()
    job = claimed_in(recording, a_job("ch_1", JobKind.PAYMENT))
    recording.tables.put_job(job.requested(a_job("ch_1", JobKind.PAYMENT)))
    fact = PaymentCorrected(a_payment(user=ADA), 5)
    recording(attrs.evolve(found(fact), job=job))

    after = recording.tables.jobs[job.key]
    assert (after.state, after.is_due(NOON)) == (JobState.OPEN, True)
    assert recording.tables.payments


def ended_in(recording: Recording) -> Intent:
    """Save an intent that is leased to us; return it as it ended."""
    intent = attrs.evolve(an_intent(state=IntentState.SENT), version=3, writer="claim")
    recording.tables.put_intent(intent)
    ended = intent.ended(IntentState.SUCCEEDED, IntentOutcome(customer_id="cus_1"))
    return attrs.evolve(ended, writer="end")


BOUND: Final = CustomerBound(user_id=ADA, customer_id=CUS_2, existed=True)


def test_p03_an_outcome_that_is_recorded_again_changes_nothing() -> None:
    """
    It recognises its own row by its writer; its facts are recorded once.
    """
    recording = Recording(Kept.of(an_account(ADA)))
    source = attrs.evolve(found(BOUND), intent=ended_in(recording))
    before, (again,) = recording.twice(source)

    assert before.intents["int_1"].version == 4  # type: ignore[index]  # an id
    assert before.accounts[ADA].customer_id == CUS_2
    assert again.state is RecordedState.DUPLICATE
    assert recording.tables == before


def test_p33_nothing_of_an_intent_is_recorded_that_somebody_else_has() -> None:
    """
    Neither its outcome nor a fact: its present holder asks the gateway again.
    """
    recording = Recording(Kept.of(an_account(ADA)))
    source = attrs.evolve(found(BOUND), intent=ended_in(recording))
    rival = attrs.evolve(an_intent(), version=4, writer="rival")
    recording.tables.put_intent(rival)
    before = recording.tables
    (recorded,) = recording(source)

    assert recorded.state is RecordedState.LEASE_LOST
    assert recording.tables == before


# What is locked, changed, slow or refused


def paid_by(*users: UserId) -> list[SourcedFacts]:
    return [found(PaymentReported(a_payment(f"ch_{it}", user=it))) for it in users]


def test_only_what_is_locked_is_waited_for_and_only_until_a_deadline() -> None:
    """
    Its neighbours are saved at once; then only that group is busy.
    """
    recording = Recording()
    recording.database.locked = {ADAS}
    ada, bob = recording(*paid_by(ADA, BOB))

    assert (ada.state, bob.state) == (RecordedState.BUSY, RecordedState.SAVED)
    assert recording.ledger.saves[0] == [ADAS, BOBS]
    assert set(map(tuple, recording.ledger.saves[1:])) == {(ADAS,)}
    assert WAIT_S <= sum(recording.waits) < WAIT_S + BACK_OFF_MAX_S
    longest = [
        min(BACK_OFF_FIRST_S * 2**n, BACK_OFF_MAX_S)
        for n in range(len(recording.waits))
    ]
    for wait, most in zip(recording.waits, longest, strict=True):
        assert most / 2 <= wait <= most


def test_what_was_changed_meanwhile_is_decided_anew_without_a_wait() -> None:
    """
    On the new state: neither of two writers loses anything.
    """
    recording = Recording()
    rival = Recording(recording.kept)

    def overtake(_: Sequence[Changes]) -> None:
        recording.ledger.fault = no_fault
        rival(found(PaymentReported(a_payment("ch_rival", user=ADA))))

    recording.ledger.fault = overtake
    (recorded,) = recording(*paid_by(ADA))

    assert recorded.state is RecordedState.SAVED
    assert recording.ledger.saves == [[ADAS]] * 2
    assert not recording.waits
    assert set(recording.tables.payments) == {"ch_ada", "ch_rival"}
    term = recording.tables.accounts[ADA].summary.prepaid
    assert term is not None
    assert term.months == 2


def test_an_email_that_somebody_took_meanwhile_is_refused() -> None:
    """
    The store refuses it, it is decided again, and then the rule gives the reason.
    """
    recording = Recording()
    rival = Recording(recording.kept)
    email = email_of("eve")

    def overtake(_: Sequence[Changes]) -> None:
        recording.ledger.fault = no_fault
        rival(found(UserRegistered(user_id=BOB, email=email)))

    recording.ledger.fault = overtake
    eve = found(UserRegistered(user_id=UserId("eve"), email=email))
    with pytest.raises(EmailTaken):
        recording.one(eve)
    assert set(recording.tables.accounts) == {ADA, BOB}


def test_what_is_to_be_avoided_is_not_saved() -> None:
    """
    The caller learns which group it is.
    """
    recording = Recording()
    ada, bob = recording(*paid_by(ADA, BOB), avoid=[ADAS])

    assert (ada.state, ada.group) == (RecordedState.AVOIDED, ADAS)
    assert bob.state is RecordedState.SAVED
    assert recording.ledger.saves == [[BOBS]]
    assert set(recording.tables.payments) == {"ch_bob"}


def test_a_save_that_timed_out_is_not_tried_again_here() -> None:
    """
    Each source gets its group, to be recorded alone.
    """

    def too_slow(_: Sequence[Changes]) -> None:
        raise SaveTimedOut

    recording = Recording()
    recording.ledger.fault = too_slow
    recorded = recording(*paid_by(ADA, BOB))

    assert states(recorded) == [RecordedState.TIMED_OUT] * 2
    assert [it.group for it in recorded] == [ADAS, BOBS]
    assert recording.ledger.saves == [[ADAS, BOBS]]
    with pytest.raises(StoreUnavailable):
        recording.one(*paid_by(ADA))


def test_one_source_raises_what_became_of_it() -> None:
    """
    Busy, or the exception of a bug; its event is stored all the same.
    """
    recording = Recording()
    recording.database.locked = {ADAS}
    with pytest.raises(AccountBusy):
        recording.one(*paid_by(ADA))
    recording.database.locked = set()
    broken = unheard_of(a_payment(user=ADA))
    with pytest.raises(KeyError):
        recording.one(found(PaymentReported(broken)))
    assert not recording.tables.payments
    with pytest.raises(KeyError):
        recording.one(reported(1, broken))
    (kept,) = recording.tables.events.values()
    assert kept.outcome.state is EventState.PENDING


def fails_to_save(key: str, error: Exception) -> Callable[[Sequence[Changes]], None]:
    """Return a fault of the ledger: a save with this group meets a bug."""

    def fault(changes: Sequence[Changes]) -> None:
        if key in [it.key for it in changes]:
            raise error

    return fault


def test_an_event_at_whose_save_a_bug_is_met_is_kept_for_later() -> None:
    """
    Its facts are not recorded, those of its neighbours are, and the bug is reported.
    """
    recording = Recording()
    recording.ledger.fault = fails_to_save(ADAS, LookupError())
    event, payment = recording(reported(1, a_payment(user=ADA)), *paid_by(BOB))

    assert isinstance(event.failure, LookupError)
    assert payment.state is RecordedState.SAVED
    assert set(recording.tables.payments) == {"ch_bob"}
    (kept,) = recording.tables.events.values()
    assert kept.outcome.state is EventState.PENDING
    assert [it.kind for it in recording.tables.jobs] == [JobKind.EVENT]


@pytest.mark.parametrize(
    ("second", "told"),
    [
        ("kept", RecordedState.DUPLICATE),
        ("locked", RecordedState.BUSY),
        ("a bug", RecordedState.FAILED),
        ("no answer", None),
    ],
)
def test_an_event_that_a_bug_stops_may_not_be_kept_either(
    second: str, told: RecordedState | None
) -> None:
    """
    It came twice at once, or its row is locked, or no save works: its sender gets an
    error.
    """
    recording = Recording()
    source = reported(1, a_payment(user=ADA))
    group = event_group(event_in(source))
    bug = KeyError("the second")

    def fault(changes: Sequence[Changes]) -> None:
        fails_to_save(ADAS, LookupError("the first"))(changes)
        match second:
            case "kept":
                recording.ledger.fault = no_fault
                Recording(recording.kept)(source)
            case "locked":
                recording.database.locked = {group}
            case "a bug":
                raise bug
            case _:
                raise LOST

    recording.ledger.fault = fault
    if told is None:
        with pytest.raises(StoreUnavailable):
            recording(source)
        return
    (answer,) = recording(source)

    assert answer.state is told
    assert (answer.failure is bug) is (second == "a bug")
    assert len(recording.tables.events) == (second == "kept")


def test_copies_of_one_event_are_recorded_once() -> None:
    """
    The first is saved, the others are duplicates; if it fails, each gets the error.
    """
    recording = Recording()
    source = reported(1, a_payment(user=ADA))
    assert states(recording(source, source, source)) == [
        RecordedState.SAVED,
        RecordedState.DUPLICATE,
        RecordedState.DUPLICATE,
    ]
    recording.database.locked = {ADAS}
    other = reported(2, a_payment("ch_2", user=ADA))
    assert states(recording(other, other)) == [RecordedState.BUSY] * 2


def test_each_event_that_is_kept_apart_is_told_once() -> None:
    """
    When it is saved, as it arrives or by its job; not when it arrives again.
    """
    recording = Recording()
    no_charge = reported(1, QuarantineNeeded("the refund names no charge"))
    live = facts_of(attrs.evolve(event_in(reported(2, a_payment())), livemode=True))
    recording.database.locked = {event_group(event_in(no_charge))}
    first = recording(no_charge, no_charge, live, *paid_by(ADA))
    assert states(first)[:2] == [RecordedState.BUSY] * 2
    assert [it.reason for it in recording.quarantined] == ["livemode is not ours"]
    recording.database.locked = set()
    for _ in range(2):
        recording(no_charge, no_charge, live, *paid_by(BOB))

    assert [it.reason for it in recording.quarantined] == [
        "livemode is not ours",
        "the refund names no charge",
    ]

    missing = Outcome(EventState.QUARANTINED, "Stripe knows no such payment")
    job = a_job(kind=JobKind.PAYMENT, subject="ch_9")
    recording.tables.jobs[job.key] = job
    recording(SourcedFacts(job=job, job_outcome=missing))
    recording(SourcedFacts(job=a_job(), job_outcome=Outcome(EventState.APPLIED)))
    assert recording.quarantined[2:] == [missing]
