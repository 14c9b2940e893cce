"""The life of a payment, as two tables.

Rule 1: a payment is one attempt to take money, known by the gateway's charge id.
Rule 2: every report about it is a `Payment` too, with what that one report says.
Rule 3: reports merge. The tables give the result of two reports; they are symmetric, so
        the order of arrival and the number of copies cannot matter.
Rule 4: progress is one-way. Two reports that cannot both be true give `contradicted`,
        which is never guessed at: the payment must be fetched from the gateway.
Rule 5: this file knows no gateway. Adapters translate the gateway's words into ours.
"""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Final, NewType, Protocol, Self, TypeVar

import attrs

from payments_core.errors import InvalidValue
from payments_core.identity import CustomerId, UserId
from payments_core.money import Money

PaymentId = NewType("PaymentId", str)


class PaymentState(StrEnum):
    PENDING = "pending"
    FAILED = "failed"
    SUCCEEDED = "succeeded"
    PARTIALLY_REFUNDED = "partially_refunded"
    REFUNDED = "refunded"
    CONTRADICTED = "contradicted"


class DisputeState(StrEnum):
    NONE = "none"
    OPEN = "open"
    WON = "won"
    LOST = "lost"
    CONTRADICTED = "contradicted"


def _payment_steps() -> Mapping[
    PaymentState, Mapping[PaymentState, PaymentState]
]:  # the known state -> the reported state -> the new state
    pending, failed, succeeded, partly, refunded, contradicted = PaymentState
    return {
        pending: {
            pending: pending,
            failed: failed,
            succeeded: succeeded,
            partly: partly,
            refunded: refunded,
            contradicted: contradicted,
        },
        failed: {
            pending: failed,
            failed: failed,
            succeeded: contradicted,
            partly: contradicted,
            refunded: contradicted,
            contradicted: contradicted,
        },
        succeeded: {
            pending: succeeded,
            failed: contradicted,
            succeeded: succeeded,
            partly: partly,
            refunded: refunded,
            contradicted: contradicted,
        },
        partly: {
            pending: partly,
            failed: contradicted,
            succeeded: partly,
            partly: partly,
            refunded: refunded,
            contradicted: contradicted,
        },
        refunded: {
            pending: refunded,
            failed: contradicted,
            succeeded: refunded,
            partly: refunded,
            refunded: refunded,
            contradicted: contradicted,
        },
        contradicted: dict.fromkeys(PaymentState, contradicted),
    }


def _dispute_steps() -> Mapping[DisputeState, Mapping[DisputeState, DisputeState]]:
    none, opened, won, lost, contradicted = DisputeState
    return {
        none: {
            none: none,
            opened: opened,
            won: won,
            lost: lost,
            contradicted: contradicted,
        },
        opened: {
            none: opened,
            opened: opened,
            won: won,
            lost: lost,
            contradicted: contradicted,
        },
        won: {
            none: won,
            opened: won,
            won: won,
            lost: contradicted,
            contradicted: contradicted,
        },
        lost: {
            none: lost,
            opened: lost,
            won: contradicted,
            lost: lost,
            contradicted: contradicted,
        },
        contradicted: dict.fromkeys(DisputeState, contradicted),
    }


PAYMENT_STEPS: Final = MappingProxyType(_payment_steps())
DISPUTE_STEPS: Final = MappingProxyType(_dispute_steps())


class _Ordered(Protocol):
    def __lt__(self, other: Self, /) -> bool: ...


_Known = TypeVar("_Known", bound=_Ordered)


def _known(left: _Known | None, right: _Known | None) -> _Known | None:
    """Merge two values of a field that never changes in a payment's life.

    A report may omit a field, but two reports do not disagree on it. If they ever do,
    the greater value wins: arbitrary, but the same in every order.
    """
    if left is None or left == right:
        return right
    if right is None:
        return left
    return max(left, right)


@attrs.frozen(kw_only=True)
class Payment:
    """One attempt to take money, as far as it was reported.

    `amount`, `created_at` and the owner are `None` until reported: a dispute may arrive
    before its charge. `created_at` is the charge's own, not the event's.
    `metadata_user_id` is the user whom the charge's metadata names. `subscription_id`
    is the gateway's id of the subscription whose invoice it paid. Until
    `invoice_known`, it is not known whether it paid an invoice: since the API version
    2025-03-31 a charge does not say so, and the invoice must be fetched.
    """

    id: PaymentId
    state: PaymentState = PaymentState.PENDING
    dispute: DisputeState = DisputeState.NONE
    amount: Money | None = None
    refunded_minor: int = 0
    created_at: datetime | None = None
    customer_id: CustomerId | None = None
    metadata_user_id: str | None = None
    email: str | None = None
    invoice_id: str | None = None
    subscription_id: str | None = None
    invoice_known: bool = False
    failure_code: str | None = None

    def merge(self, other: Self) -> Self:
        """Merge two reports: the lattice join of the two.

        Commutative, associative, idempotent; `Payment(id=...)` is the identity.

        Raises:
            InvalidValue: the reports are about two different payments.
        """
        if self.id != other.id:
            raise InvalidValue("id", "reports of two payments do not merge")
        if self == other:
            return self
        return attrs.evolve(
            self,
            state=PAYMENT_STEPS[self.state][other.state],
            dispute=DISPUTE_STEPS[self.dispute][other.dispute],
            amount=_larger(self.amount, other.amount),
            refunded_minor=max(self.refunded_minor, other.refunded_minor),
            created_at=_known(self.created_at, other.created_at),
            customer_id=_known(self.customer_id, other.customer_id),
            metadata_user_id=_known(self.metadata_user_id, other.metadata_user_id),
            email=_known(self.email, other.email),
            invoice_id=_known(self.invoice_id, other.invoice_id),
            subscription_id=_known(self.subscription_id, other.subscription_id),
            invoice_known=self.invoice_known or other.invoice_known,
            failure_code=_known(self.failure_code, other.failure_code),
        )

    @property
    def contradicted(self) -> bool:
        """Whether reports conflict, so that the payment must be fetched."""
        return (
            self.state is PaymentState.CONTRADICTED
            or self.dispute is DisputeState.CONTRADICTED
        )

    @property
    def money_stayed(self) -> bool:
        """Whether money was taken and neither refunded in full nor lost.

        A contradicted payment still counts as taken: a refund or a lost dispute takes
        paid time back, a contradiction does not.
        """
        if self.dispute is DisputeState.LOST:
            return False
        if self.state is PaymentState.CONTRADICTED:
            return not self._refunded_in_full
        return self.state in TAKEN

    @property
    def money_returned(self) -> bool:
        """Whether money was taken, and later refunded in full or lost in a dispute."""
        lost = self.dispute is DisputeState.LOST
        return lost or self.state is PaymentState.REFUNDED

    @property
    def _refunded_in_full(self) -> bool:
        return (
            self.amount is not None
            and 0 < self.refunded_minor >= self.amount.amount_minor
        )


@attrs.frozen
class PaymentRecord:
    """A payment as it is stored: the fact, its owner and its version.

    Without a `user_id` it is *unlinked*. `sequence` is the number of the load or the
    fetch that last changed it: a correction with an older number is stale.
    `linked_by_hand`: an administrator has linked or unlinked it, and nothing else
    changes its owner. `as_of` is the second of the last fetched answer: a report from
    before it is not news.
    """

    payment: Payment
    user_id: UserId | None = None
    version: int = 0
    sequence: int = 0
    linked_by_hand: bool = False
    as_of: datetime | None = None

    @property
    def unlinked_by_hand(self) -> bool:
        """Whether an administrator decided that it has no owner."""
        return self.linked_by_hand and self.user_id is None


TAKEN: Final = frozenset({PaymentState.SUCCEEDED, PaymentState.PARTIALLY_REFUNDED})


def _larger(left: Money | None, right: Money | None) -> Money | None:
    # The amount of an authorisation may be raised later; the currency never changes.
    if left is None or right is None:
        return left or right
    return max(left, right, key=lambda money: (money.amount_minor, money.currency))


def diagram() -> str:
    """Draw both tables in Mermaid, so that the README cannot drift from them."""
    lines = ["stateDiagram-v2", f"    [*] --> {PaymentState.PENDING}"]
    lines += _arrows("", PAYMENT_STEPS)
    lines += ["    state dispute {", "        [*] --> none"]
    lines += _arrows("    ", DISPUTE_STEPS)
    return "\n".join([*lines, "    }"])


def _arrows(
    indent: str,
    steps: Mapping[PaymentState, Mapping[PaymentState, PaymentState]]
    | Mapping[DisputeState, Mapping[DisputeState, DisputeState]],
) -> list[str]:
    return [
        f"{indent}    {before} --> {after}: {report}"
        for before, row in steps.items()
        for report, after in row.items()
        if after != before
    ]
