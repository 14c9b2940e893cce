"""Pages of a user's payments, the newest first."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Self

import attrs

from payments_core.payment import PaymentId, PaymentRecord

_UNKNOWN = datetime.max.replace(tzinfo=UTC)


@attrs.frozen
class PaymentPlace:
    """The place of a payment in the list: by when it was made, then by its id.

    A payment without a known time comes first.
    """

    created_at: datetime | None
    id: PaymentId

    @classmethod
    def of(cls, record: PaymentRecord) -> Self:
        return cls(record.payment.created_at, record.payment.id)

    @property
    def order(self) -> tuple[datetime, str]:
        """The sort key of the list, which is in descending order."""
        return self.created_at or _UNKNOWN, self.id


@attrs.frozen
class PaymentPage:
    """Some payments, and where the next page starts; None at the end."""

    payments: Sequence[PaymentRecord]
    after: PaymentPlace | None
