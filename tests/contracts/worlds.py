"""Random histories for property tests, and a model that says what they come to.

A charge has facts of its own (its time, its amount, its owner). A report is what one
event says of it: with the facts, or without them, as a dispute does.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import reduce
from typing import Final

import attrs
from hypothesis import strategies as st

from contracts.examples import ADA, BOB, CUS_1, CUS_2, NOON, an_account, email_of
from payments_adapters.memory import (
    FixedClock,
    MemoryDatabase,
    MemoryEventLog,
    MemoryLedger,
)
from payments_core.account import PaymentAccount
from payments_core.entitlement import PaymentSummary
from payments_core.events import GatewayEvent, Receipt
from payments_core.facts import facts_of
from payments_core.identity import UserId
from payments_core.money import Money
from payments_core.payment import (
    DisputeState,
    Payment,
    PaymentId,
    PaymentRecord,
    PaymentState,
)
from payments_core.policy import Policy
from payments_core.use_cases import Recorded, RecordFacts, RegisterUser

_START: Final = datetime(2024, 1, 31, 12, tzinfo=UTC)
# The same second, month ends, the exact end of a term, one second past it, and gaps.
MOMENTS: Final = [
    _START,
    _START + timedelta(seconds=1),
    datetime(2024, 2, 1, tzinfo=UTC),
    datetime(2024, 2, 29, 12, tzinfo=UTC),
    datetime(2024, 2, 29, 12, 0, 1, tzinfo=UTC),
    datetime(2024, 3, 31, 12, tzinfo=UTC),
    datetime(2024, 8, 30, tzinfo=UTC),
    datetime(2025, 1, 29, 23, 59, 59, tzinfo=UTC),
]
_REFUNDED: Final = {PaymentState.PARTIALLY_REFUNDED: 400, PaymentState.REFUNDED: 1_000}

moments = st.sampled_from(MOMENTS)
_states = st.sampled_from(PaymentState)
_disputes = st.sampled_from([*[DisputeState.NONE] * 4, *DisputeState])


def _identities(user: str, customer: str) -> st.SearchStrategy[dict[str, str]]:
    whose = {
        "metadata_user_id": user,
        "customer_id": customer,
        "email": email_of(user).key,
    }
    return st.fixed_dictionaries(
        {}, optional={name: st.just(value) for name, value in whose.items()}
    )


identities = st.one_of(_identities(ADA, CUS_1), _identities(BOB, CUS_2))


@st.composite
def charges(draw: st.DrawFn, id_: str) -> list[Payment]:
    """Return all reports of one charge, in some order."""
    facts = Payment(
        id=PaymentId(id_),
        amount=Money(1_000, "eur"),
        created_at=draw(moments),
        **draw(identities),  # type: ignore[arg-type]  # names and values are paired
    )
    return [
        attrs.evolve(
            facts if draw(st.booleans()) or not number else Payment(id=facts.id),
            state=(state := draw(_states)),
            dispute=draw(_disputes),
            refunded_minor=_REFUNDED.get(state, 0),
        )
        for number in range(draw(st.integers(1, 3)))
    ]


@st.composite
def histories(draw: st.DrawFn) -> list[Payment]:
    """Return the reports of one to four charges."""
    count = draw(st.integers(1, 4))
    return [r for n in range(count) for r in draw(charges(f"ch_{n}"))]


@st.composite
def deliveries(draw: st.DrawFn, history: Sequence[Payment]) -> list[Payment]:
    """Return the reports in any order, some of them more than once."""
    again = draw(st.lists(st.sampled_from(history), max_size=3))
    return draw(st.permutations([*history, *again]))


def events_of(reports: Sequence[Payment]) -> list[GatewayEvent]:
    """Return an event for each report, each with an id of its own."""
    return [
        GatewayEvent(
            id=f"evt_{number}",
            type="charge.updated",
            created_at=NOON,
            livemode=False,
            object_id=report.id,
            report=report,
            body=b"{}",
        )
        for number, report in enumerate(reports)
    ]


Saved = tuple[dict[UserId, PaymentAccount], dict[PaymentId, PaymentRecord]]


def receipt_of(recorded: Recorded) -> Receipt:
    """Return the answer to the delivery of an event."""
    assert recorded.is_kept, recorded
    return Receipt(recorded.outcome)


@attrs.frozen
class World:
    """The use cases over a store in memory, at noon."""

    database: MemoryDatabase = attrs.field(factory=MemoryDatabase)
    clock: FixedClock = attrs.field(factory=lambda: FixedClock(NOON))

    @property
    def record(self) -> RecordFacts:
        return RecordFacts(
            MemoryLedger(self.database), self.clock, self.clock, Policy()
        )

    async def apply(self, events: Sequence[GatewayEvent]) -> Sequence[Receipt]:
        """Record what events say, in one batch."""
        recorded = await self.record([facts_of(event) for event in events])
        return [receipt_of(it) for it in recorded]

    @property
    def register(self) -> RegisterUser:
        return RegisterUser(self.record)

    @property
    def log(self) -> MemoryEventLog:
        return MemoryEventLog(self.database)

    async def deliver(self, events: Sequence[GatewayEvent]) -> list[Receipt]:
        """Apply events one by one, as they arrive when no others wait."""
        return [receipt for event in events for receipt in await self.apply([event])]

    def account(self, user: UserId = ADA) -> PaymentAccount:
        return self.database.tables.accounts[user]

    def owner(self, payment: str) -> UserId | None:
        return self.database.tables.payments[PaymentId(payment)].user_id

    def saved(self) -> Saved:
        """Return accounts and payments, without how often they were saved."""
        tables = self.database.tables
        return (
            {u: attrs.evolve(a, version=0) for u, a in tables.accounts.items()},
            {
                i: attrs.evolve(r, version=0, sequence=0)
                for i, r in tables.payments.items()
            },
        )


async def a_world(*accounts: PaymentAccount) -> World:
    world = World()
    for account in accounts or (an_account(ADA), an_account(BOB, customer=CUS_2)):
        await world.register(account.user_id, account.email, account.customer_id)
    # A new customer requests a sync; these worlds begin after that.
    world.database.tables.jobs.clear()
    return world


def model(reports: Sequence[Payment], accounts: Sequence[PaymentAccount]) -> Saved:
    """Return what reports come to by definition: no order, no batches, no store."""
    merged = {r.id: Payment(id=r.id) for r in reports}
    merged = {
        id_: reduce(Payment.merge, [r for r in reports if r.id == id_], nothing)
        for id_, nothing in merged.items()
    }
    records = {
        id_: PaymentRecord(payment=payment, user_id=_owner(payment, accounts))
        for id_, payment in merged.items()
    }
    # They have registered at noon, with their present e-mail.
    held = [
        attrs.evolve(it, email_since=NOON.replace(microsecond=0)) for it in accounts
    ]
    return {a.user_id: _folded(a, list(records.values())) for a in held}, records


def _owner(payment: Payment, accounts: Sequence[PaymentAccount]) -> UserId | None:
    for account in accounts:
        if (
            payment.metadata_user_id == account.user_id
            or (payment.customer_id and payment.customer_id == account.customer_id)
            or payment.email == account.email.key
        ):
            return account.user_id
    return None


def _folded(
    account: PaymentAccount, records: Sequence[PaymentRecord]
) -> PaymentAccount:
    own = [r.payment for r in records if r.user_id == account.user_id]
    return attrs.evolve(account, summary=PaymentSummary.replay(own))
