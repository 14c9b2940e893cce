"""Who has paid, from payments alone: needs `payments-core` and nothing else."""

from datetime import UTC, datetime

from payments_core import Money, Payment, PaymentId, PaymentState, Policy, standing

bought_at = datetime(2026, 1, 31, 12, tzinfo=UTC)
charge = Payment(
    id=PaymentId("ch_1"),
    state=PaymentState.SUCCEEDED,
    amount=Money(900, "eur"),
    created_at=bought_at,
)
known = standing([charge], now=bought_at, policy=Policy())

# prints: paid 2026-02-28 12:00:00+00:00 True
print(known.payment_status, known.payment_expire_date, known.entitled)
