"""An account with very many payments: what a late event reads of them."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Final

import attrs
import pytest

from contracts.examples import (
    ADA,
    CUS_1,
    NOON,
    NOW,
    a_payment,
    a_record,
    a_report,
    a_subscription,
    a_term,
    an_account,
    of_invoice,
)
from contracts.stores import SAVED, Stores, opened
from payments_core.changes import Changes, Lookup, SaveResult, Snapshot
from payments_core.entitlement import replayed
from payments_core.facts import PaymentReported
from payments_core.payment import Payment, PaymentState
from payments_core.policy import Policy
from payments_core.ports import Ledger
from payments_core.subscription import PaidPeriod, Subscription
from payments_core.use_cases.record_facts import RecordFacts
from support.deciding import found
from support.profiles import PROVES

pytestmark = pytest.mark.anyio

# A store has two seconds, however busy the machine is.
COUNT: Final = 20_000 if PROVES else 5_000
EVERY: Final = timedelta(hours=2)
# One bucket for each 28 days, with some payments besides.
READ_MAX: Final = COUNT * EVERY / timedelta(days=28) + 10
WEEK: Final = timedelta(days=7)
REFUND: Final = COUNT // 3


def moment(number: int) -> datetime:
    return NOON + number * EVERY


def of_nothing(number: int) -> Payment:
    return a_payment(f"ch_{number:05}", at=moment(number), customer=CUS_1)


def of_no_invoice(number: int) -> Payment:
    return attrs.evolve(of_nothing(number), invoice_known=True)


def of_a_week(number: int) -> Payment:
    return of_invoice(of_nothing(number), f"in_{number * EVERY // WEEK}")


SUBSCRIBER: Final = a_subscription(
    a_report(at=NOON - WEEK, customer=CUS_1, user=ADA), owner=ADA
)
WEEKS: Final = [
    a_term(
        starts_at=NOON + number * WEEK,
        ends_at=NOON + (number + 1) * WEEK,
        invoice=f"in_{number}",
        amount_minor=84_000,
    )
    for number in range(COUNT * EVERY // WEEK + 1)
]
LATE: Final = a_payment("ch_late", at=NOON + COUNT // 2 * EVERY, customer=CUS_1)


def refund_of(payment: Payment) -> Payment:
    return attrs.evolve(payment, state=PaymentState.REFUNDED, refunded_minor=1_000)


@attrs.frozen
class CountedLedger:
    """A ledger that counts what each load read of histories."""

    ledger: Ledger
    snapshots: list[Snapshot] = attrs.field(factory=list)

    async def load(self, lookup: Lookup) -> Snapshot:
        snapshot = await self.ledger.load(lookup)
        self.snapshots.append(snapshot)
        return snapshot

    async def save(
        self, groups: Sequence[Changes], *, at: datetime
    ) -> Sequence[SaveResult]:
        return await self.ledger.save(groups, at=at)


@pytest.mark.parametrize(
    ("made", "subscriptions", "periods", "late"),
    [
        (of_nothing, [], [], LATE),
        (of_nothing, [SUBSCRIBER], [], LATE),
        (of_no_invoice, [SUBSCRIBER], [], refund_of(of_no_invoice(REFUND))),
        (of_a_week, [SUBSCRIBER], WEEKS, refund_of(of_a_week(REFUND))),
    ],
    ids=["no subscription", "of what", "of no invoice", "of paid periods"],
)
async def test_p06_a_late_event_reads_few_of_very_many_payments(
    stores: Stores,
    made: Callable[[int], Payment],
    subscriptions: list[Subscription],
    periods: list[PaidPeriod],
    late: Payment,
) -> None:
    """
    The result is still that of the whole history.
    """
    history = [made(number) for number in range(COUNT)]
    summary, standing = replayed(history, subscriptions, periods)
    before = opened(
        attrs.evolve(an_account(customer=CUS_1), summary=summary),
        payments=tuple(a_record(it, owner=ADA) for it in history),
        subscriptions=tuple(standing),
        periods=tuple(periods),
    )
    assert await stores.save(before) == [SAVED]
    ledger = CountedLedger(stores.ledger)
    record = RecordFacts(ledger, lambda: NOW.at, lambda: NOW.system, Policy())
    await record.one(found(PaymentReported(late)))

    read = [len(it.histories) + len(it.buckets) for it in ledger.snapshots]
    assert read[0] == 0
    assert 0 < read[-1] <= READ_MAX
    after = [*(it for it in history if it.id != late.id), late]
    summary, _ = replayed(after, subscriptions, periods)
    assert (await stores.account(ADA)).summary == summary
