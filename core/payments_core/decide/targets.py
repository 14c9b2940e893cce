"""Find the group to which the facts of each source belong.

Facts about one object are joined before its owner is determined: one object is in one
group.
"""

from collections.abc import Sequence
from contextlib import suppress

import attrs

from payments_core.decide.decision import event_group, job_group, user_group
from payments_core.decide.known import Known
from payments_core.events import (
    CardReported,
    ObjectChanged,
    QuarantineNeeded,
    ReadFailed,
    SyncNeeded,
)
from payments_core.facts import (
    AccessEndDue,
    CardObserved,
    CloseDecided,
    CustomerBound,
    CustomerDeleted,
    DoneByHand,
    Fact,
    LinkDecided,
    LinkRequested,
    LogGapFound,
    PaymentCorrected,
    PaymentReported,
    PeriodPaid,
    SourcedFacts,
    SubscriptionLinkDecided,
    SubscriptionObserved,
    UserRegistered,
)
from payments_core.identity import UserId
from payments_core.linking import OwnershipConflict
from payments_core.payment import Payment, PaymentId
from payments_core.subscription import SubscriptionReport

_Target = tuple[str, UserId | OwnershipConflict | None]


@attrs.define
class Targets:
    """Finds the group of each source's facts (rule 3 of `payments_core.decide`)."""

    _known: Known
    _sources: Sequence[SourcedFacts]
    _joined: dict[PaymentId, Payment] = attrs.field(init=False, factory=dict)
    _owners: dict[str, UserId] = attrs.field(init=False, factory=dict)

    def __attrs_post_init__(self) -> None:
        for source in self._sources:
            for fact in source.facts:
                if isinstance(fact, PaymentReported):
                    # A report that does not merge fails again when it is decided on.
                    with suppress(Exception):
                        self._join_payment(fact.payment)
                elif isinstance(fact, SubscriptionObserved):
                    self._join(fact.report)

    def _join_payment(self, payment: Payment) -> None:
        record = self._known.payments.get(payment.id)
        if record is not None and (record.user_id or record.linked_by_hand):
            return
        known = record.payment if record else None
        before = self._joined.get(payment.id, known)
        self._joined[payment.id] = before.merge(payment) if before else payment

    def _join(self, report: SubscriptionReport) -> None:
        known = self._known.subscriptions.get(report.gateway_id)
        if known is not None and (known.user_id or known.linked_by_hand):
            return
        found = self._known.owner_of(report)
        if found is not None and not isinstance(found, OwnershipConflict):
            self._owners.setdefault(report.gateway_id, found)

    def of(self, source: SourcedFacts) -> tuple[str, UserId | None]:
        """Return the key of the group and its user; None: the group has no account."""
        if source.intent is not None:
            return user_group(source.intent.user_id)
        for fact in source.facts:
            if (found := self._of_fact(fact)) is None:
                continue
            thing, owner = found
            if owner is None or isinstance(owner, OwnershipConflict):
                return thing, None
            return user_group(owner)
        if source.event is not None:
            return event_group(source.event), None
        if source.job is not None:
            return job_group(source.job), None
        return "syncs", None

    def _of_fact(self, fact: Fact) -> _Target | None:
        """Return the object of a fact and its owner."""
        match fact:
            case PaymentReported(payment) | PaymentCorrected(payment):
                return self._of_payment(payment)
            case SubscriptionObserved(report=thing) | PeriodPaid(thing):
                return self._of_subscription(thing.gateway_id)
            case (
                CardObserved(customer_id=customer)
                | CardReported(customer_id=customer)
                | CustomerDeleted(customer)
            ):
                return f"customer {customer}", self._known.bound_to(customer)
            case (
                UserRegistered()
                | CustomerBound()
                | LinkRequested()
                | AccessEndDue()
                | LogGapFound()
            ):
                return "", fact.user_id
            case LinkDecided() | SubscriptionLinkDecided():
                return self._of_link(fact)
            case (
                CloseDecided()
                | DoneByHand()
                | SyncNeeded()
                | ObjectChanged()
                | QuarantineNeeded()
                | ReadFailed()
            ):
                return None

    def _of_subscription(self, gateway_id: str) -> _Target:
        known = self._known.subscriptions.get(gateway_id)
        owner = known.user_id if known else None
        return f"subscription {gateway_id}", owner or self._owners.get(gateway_id)

    def _of_link(self, fact: LinkDecided | SubscriptionLinkDecided) -> _Target:
        if isinstance(fact, SubscriptionLinkDecided):
            known = self._known.subscriptions.get(fact.gateway_id)
            owner = known.user_id if known else None
            return f"subscription {fact.gateway_id}", fact.user_id or owner
        record = self._known.payments.get(fact.payment_id)
        owner = record.user_id if record else None
        return f"payment {fact.payment_id}", fact.user_id or owner

    def _of_payment(self, payment: Payment) -> _Target:
        record = self._known.payments.get(payment.id)
        if record is not None and (record.user_id or record.linked_by_hand):
            return f"payment {payment.id}", record.user_id
        joined = self._joined.get(payment.id)
        if joined is None:
            joined = record.payment.merge(payment) if record else payment
        return f"payment {payment.id}", self._known.owner_of(joined)
