"""What survives a commit, and the questions that are asked of it."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Self

import attrs

from payments_core.account import PaymentAccount, UserId
from payments_core.events import EventKey, GatewayEvent, KeptEvent, Outcome
from payments_core.payment import Payment, PaymentId
from payments_core.ports import LinkKeys, PaymentRecord


@attrs.frozen
class EventRow:
    """An event as it came, when it came, and what became of it."""

    event: GatewayEvent
    received_at: datetime
    outcome: Outcome


@attrs.define
class Tables:
    """Never changed once they are committed: who changes them works on a copy.

    Rows are frozen: handing one out hands out a value.
    """

    accounts: dict[UserId, PaymentAccount] = attrs.field(factory=dict)
    payments: dict[PaymentId, PaymentRecord] = attrs.field(factory=dict)
    events: dict[EventKey, EventRow] = attrs.field(factory=dict)

    def copy(self) -> Self:
        return attrs.evolve(
            self,
            accounts=dict(self.accounts),
            payments=dict(self.payments),
            events=dict(self.events),
        )

    def accounts_under(self, keys: LinkKeys) -> Sequence[PaymentAccount]:
        """Return the accounts that have any of the keys, in the order of their ids."""
        found = [a for a in self.accounts.values() if _has(a, keys)]
        return sorted(found, key=lambda account: account.user_id)

    def payments_reported_by(self, reports: Iterable[Payment]) -> list[PaymentRecord]:
        ids = {report.id for report in reports}
        return [self.payments[id_] for id_ in sorted(ids) if id_ in self.payments]

    def payments_of(self, users: Iterable[UserId]) -> Sequence[PaymentRecord]:
        owners = frozenset(users)
        return [r for r in self.payments.values() if r.user_id in owners]

    def unlinked_under(self, keys: LinkKeys) -> Sequence[PaymentRecord]:
        return [
            record
            for record in self.payments.values()
            if record.user_id is None and _carries(record.payment, keys)
        ]

    def is_unlinked(self, row: EventRow) -> bool:
        """Say whether the event reports a payment that is kept, but nobody's yet."""
        record = self._record_of(row)
        return record is not None and record.user_id is None

    def kept(self, row: EventRow, *, with_body: bool) -> KeptEvent:
        record = self._record_of(row)
        return KeptEvent(
            key=row.event.key,
            outcome=row.outcome,
            created_at=row.event.created_at,
            received_at=row.received_at,
            object_id=row.event.object_id,
            livemode=row.event.livemode,
            user_id=record.user_id if record else None,
            body=row.event.body if with_body else None,
        )

    def _record_of(self, row: EventRow) -> PaymentRecord | None:
        # For a charge's events the object is the payment; no other object has its id.
        object_id = row.event.object_id
        return self.payments.get(PaymentId(object_id)) if object_id else None


def _has(account: PaymentAccount, keys: LinkKeys) -> bool:
    return (
        account.user_id in keys.user_ids
        or account.customer_id in keys.customer_ids
        or account.email.key in keys.email_keys
    )


def _carries(payment: Payment, keys: LinkKeys) -> bool:
    return (
        payment.claimed_by in keys.user_ids
        or payment.customer_id in keys.customer_ids
        or payment.email in keys.email_keys
    )
