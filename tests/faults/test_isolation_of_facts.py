"""One group of a batch that cannot be saved, or decided, next to all the others."""

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Final, cast

import anyio
import attrs
import pytest

from contracts.examples import NOON, a_payment, an_event, an_intent
from faults.beside import held
from payments_adapters.postgres.ledger import PostgresLedger
from payments_adapters.postgres.store import PostgresStore
from payments_core.changes import Changes, Lookup, SaveResult, Snapshot
from payments_core.errors import EmailTaken
from payments_core.events import EventState, Receipt
from payments_core.facts import SourcedFacts, UserRegistered, facts_of
from payments_core.identity import CustomerId, Email, UserId
from payments_core.intent import IntentState
from payments_core.payment import Payment, PaymentId, PaymentState
from payments_core.use_cases.record_facts import (
    Recorded,
    RecordedState,
    RecordFacts,
)
from payments_service.ingest_queue import IngestQueue
from support.bound import recorder

pytestmark = pytest.mark.anyio

NEIGHBOURS: Final = 63
# More than the number of locked groups for which one save waits.
STRANGERS: Final = 30
NOBODY: Final = CustomerId("cus_nobody")
EVENTS: Final = 200
POISON_EVERY: Final = 100


def user(number: int) -> UserId:
    return UserId(f"user-{number}")


def registration(number: int, email: str | None = None) -> SourcedFacts:
    email = email or f"{user(number)}@example.org"
    fact = UserRegistered(user_id=user(number), email=Email.of(email))
    return SourcedFacts(facts=(fact,))


def payments_of(numbers: Sequence[int]) -> list[SourcedFacts]:
    return [
        facts_of(an_event(f"evt_{n}", a_payment(f"ch_{n}", user=user(n))))
        for n in numbers
    ]


def states_of(recorded: Sequence[Recorded]) -> Counter[RecordedState]:
    return Counter(it.state for it in recorded)


@pytest.fixture
async def record(store: PostgresStore) -> RecordFacts:
    """Return a use case that records facts, with users registered."""
    record = recorder(store)
    recorded = await record([registration(number) for number in range(NEIGHBOURS)])
    assert states_of(recorded) == {RecordedState.SAVED: NEIGHBOURS}
    return record


async def test_an_email_that_is_taken_refuses_one_rename(record: RecordFacts) -> None:
    """
    A rename to another user's e-mail, in one batch with 63 other groups: they are
    saved.
    """
    await record([registration(NEIGHBOURS)])
    taken = registration(NEIGHBOURS, f"{user(0)}@example.org")

    recorded = await record([taken, *payments_of(range(NEIGHBOURS))], wait_s=0)

    refused, *others = recorded
    assert isinstance(refused.refusal, EmailTaken)
    assert states_of(others) == {RecordedState.SAVED: NEIGHBOURS}


@attrs.define
class TakenMeanwhile:
    """A ledger in which another writer is first, once, between a load and the save."""

    ledger: PostgresLedger
    first: Callable[[], Awaitable[object]]
    saves: list[Counter[SaveResult]] = attrs.field(factory=list)

    async def load(self, lookup: Lookup) -> Snapshot:
        return await self.ledger.load(lookup)

    async def save(
        self, groups: Sequence[Changes], *, at: datetime
    ) -> Sequence[SaveResult]:
        if not self.saves:
            await self.first()
        results = await self.ledger.save(groups, at=at)
        self.saves.append(Counter(results))
        return results


async def test_an_email_that_is_taken_meanwhile_refuses_one_rename(
    record: RecordFacts, store: PostgresStore
) -> None:
    """
    The same, if the e-mail is taken after the load: the save itself saves the 63, and
    the rename is decided once more.
    """
    email = "wanted@example.org"
    await record([registration(NEIGHBOURS)])
    ledger = TakenMeanwhile(
        PostgresLedger(store), lambda: record([registration(NEIGHBOURS + 1, email)])
    )
    renaming = attrs.evolve(record, ledger=ledger)

    recorded = await renaming(
        [registration(NEIGHBOURS, email), *payments_of(range(NEIGHBOURS))], wait_s=0
    )

    refused, *others = recorded
    assert isinstance(refused.refusal, EmailTaken)
    assert states_of(others) == {RecordedState.SAVED: NEIGHBOURS}
    assert ledger.saves == [{SaveResult.SAVED: NEIGHBOURS, SaveResult.TAKEN: 1}]


async def test_a_locked_intent_is_busy_alone(
    record: RecordFacts, store: PostgresStore, database_url: str
) -> None:
    """
    A session locks an intent's row: a save of the intent is answered "locked", and its
    account continues with 62 others.
    """
    new = an_intent(user=user(0))
    ledger = PostgresLedger(store)
    group = Changes(key=f"user {new.user_id}", intents=(new,))
    assert await ledger.save([group], at=NOON) == [SaveResult.SAVED]
    [kept] = (await ledger.load(Lookup(intents=frozenset({new.id})))).intents
    going_on = attrs.evolve(kept, state=IntentState.SENT, writer="another")
    query = f"select from intents where id = '{new.id}' for update"
    async with held(database_url, query):
        # A batch of each: facts of one account, and its intent, are one group.
        events = await record(payments_of(range(NEIGHBOURS)), wait_s=0)
        busy, *others = await record(
            [
                SourcedFacts(intent=going_on),
                *(registration(n) for n in range(1, NEIGHBOURS)),
                *payments_of(range(1_000, 1_001)),
            ],
            wait_s=0,
        )

    assert states_of(events) == {RecordedState.SAVED: NEIGHBOURS}
    assert busy.state is RecordedState.BUSY
    assert states_of(others) == {RecordedState.SAVED: NEIGHBOURS}
    [again] = await record([SourcedFacts(intent=going_on)])
    assert again.state is RecordedState.SAVED


async def test_groups_behind_many_locked_ones_are_saved(
    record: RecordFacts, database_url: str
) -> None:
    """
    30 groups need one locked row, and come first in key order: no other group is
    answered "locked".
    """
    charges = (a_payment(f"ch_a{n}", customer=NOBODY) for n in range(STRANGERS + 1))
    first, *strangers = (facts_of(an_event(f"evt_{it.id}", it)) for it in charges)
    await record.one(first)
    query = f"select from link_keys where key = 'customer {NOBODY}' for update"
    async with held(database_url, query):
        recorded = await record([*strangers, *payments_of(range(NEIGHBOURS))], wait_s=0)

    assert states_of(recorded[:STRANGERS]) == {RecordedState.BUSY: STRANGERS}
    assert states_of(recorded[STRANGERS:]) == {RecordedState.SAVED: NEIGHBOURS}


@asynccontextmanager
async def ingesting(record: RecordFacts) -> AsyncIterator[IngestQueue]:
    queue = IngestQueue(record)
    yield queue
    await queue.drain()


def paid(number: int, state: PaymentState = PaymentState.SUCCEEDED) -> Payment:
    """Return a payment of one of a few accounts."""
    return a_payment(f"ch_{number}", state, user=user(number % 5))


def unlinked(number: int, state: PaymentState = PaymentState.SUCCEEDED) -> Payment:
    return a_payment(f"ch_{number}", state, customer=NOBODY)


Report = Callable[..., Payment]
# A report of a state that no table has: neither a merge nor an account accepts it.
ODD: Final = cast("PaymentState", "odd")


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("bad_one", [paid, unlinked])
async def test_an_event_that_nobody_can_decide_on_stops_no_other(
    record: RecordFacts, store: PostgresStore, bad_one: Report, *, known: bool
) -> None:
    """
    One in a hundred: it is stored as pending, and all others are applied, those of the
    same account too; also if a report of the same payment was applied before.
    """
    bad = range(POISON_EVERY // 2, EVENTS, POISON_EVERY)
    receipts: dict[int, Receipt] = {}
    if known:
        await record([facts_of(an_event(f"evt_{n}", bad_one(n))) for n in bad])

    async def send(number: int) -> None:
        report = bad_one(number, ODD) if number in bad else paid(number)
        receipts[number] = await queue(an_event(f"evt_of_{number}", report))

    async with ingesting(record) as queue, anyio.create_task_group() as tasks:
        for number in range(EVENTS):
            tasks.start_soon(send, number)

    outcomes = {n: it.outcome.state for n, it in receipts.items() if it.outcome}
    assert outcomes == {
        n: EventState.PENDING if n in bad else EventState.APPLIED for n in range(EVENTS)
    }
    lookup = Lookup(payments=frozenset(PaymentId(f"ch_{n}") for n in range(EVENTS)))
    kept = (await PostgresLedger(store).load(lookup)).payments
    assert len(kept) == EVENTS - (0 if known else len(bad))
