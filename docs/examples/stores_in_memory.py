"""Record a payment and read who has paid, with the stores in memory.

Needs `payments-core` and `payments-adapters`, without extras.
"""

import asyncio
from datetime import UTC, datetime

from payments_adapters.memory import (
    FixedClock,
    MemoryAccountDirectory,
    MemoryDatabase,
    MemoryLedger,
)
from payments_core import (
    Email,
    GatewayEvent,
    Money,
    Payment,
    PaymentId,
    PaymentState,
    Policy,
    user_id,
)
from payments_core.facts import facts_of
from payments_core.use_cases import RecordFacts, RegisterUser


async def main() -> None:
    database, clock = (
        MemoryDatabase(),
        FixedClock(datetime(2026, 1, 31, 12, tzinfo=UTC)),
    )
    record = RecordFacts(MemoryLedger(database), clock, clock, Policy())
    await RegisterUser(record)(user_id("ada"), Email.of("ada@example.com"))
    charge = Payment(
        id=PaymentId("ch_1"),
        state=PaymentState.SUCCEEDED,
        amount=Money(900, "eur"),
        created_at=clock(),
        email="ada@example.com",
    )
    event = GatewayEvent(
        id="evt_1",
        type="charge.succeeded",
        created_at=clock(),
        livemode=False,
        report=charge,
        body=b"{}",
    )
    await record([facts_of(event)])
    if account := await MemoryAccountDirectory(database).find(user_id("ada")):
        known = account.standing(now=clock(), policy=Policy())
        # prints: paid 2026-02-28 12:00:00+00:00 True
        print(
            known.payment_status,
            known.payment_expire_date,
            known.entitled,
        )


asyncio.run(main())
