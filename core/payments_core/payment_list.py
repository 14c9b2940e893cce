"""A user's payments as people list them, the newest first, a page at a time."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Self

import attrs

from payments_core.payment import PaymentId, PaymentRecord

_UNKNOWN = datetime.max.replace(tzinfo=UTC)


@attrs.frozen
class PaymentPlace:
    """Where a payment is in the list: by when it was made, then by its id.

    Of which that is not known yet, it comes before all others.
    """

    created_at: datetime | None
    id: PaymentId

    @classmethod
    def of(cls, record: PaymentRecord) -> Self:
        return cls(record.payment.created_at, record.payment.id)

    @property
    def order(self) -> tuple[datetime, str]:
        """What the list is in the descending order of."""
        return self.created_at or _UNKNOWN, self.id


@attrs.frozen
class PaymentPage:
    """Some payments, and where the next page starts; None at the end."""

    payments: Sequence[PaymentRecord]
    after: PaymentPlace | None
