"""A snapshot, indexed, and the policy to decide by."""

from collections.abc import Mapping, Sequence

import attrs

from payments_core.account import PaymentAccount
from payments_core.changes import Snapshot
from payments_core.decide.decision import Decided
from payments_core.erasure import PSEUDONYM
from payments_core.identity import CustomerId, UserId
from payments_core.intent import Intent
from payments_core.linking import (
    EmailHolders,
    FormerKey,
    KeyKind,
    OwnershipConflict,
)
from payments_core.payment import Payment, PaymentId, PaymentRecord
from payments_core.policy import Policy
from payments_core.subscription import Subscription, SubscriptionReport


@attrs.frozen
class Known:
    """The contents of a snapshot by key, and the policy."""

    snapshot: Snapshot
    accounts: Mapping[UserId, PaymentAccount]
    by_customer: Mapping[CustomerId, UserId]
    by_email: Mapping[str, UserId]
    payments: Mapping[PaymentId, PaymentRecord]
    subscriptions: Mapping[str, Subscription]
    # Whether anything in the snapshot may belong to an erased user.
    has_erased: bool
    policy: Policy

    @classmethod
    def of(cls, snapshot: Snapshot, policy: Policy) -> "Known":
        subscriptions = {it.gateway_id: it for it in snapshot.subscriptions}
        for account in snapshot.accounts:
            for it in account.subscriptions:
                subscriptions.setdefault(it.gateway_id, it)
        customers = {
            it.customer_id: it.user_id for it in snapshot.accounts if it.customer_id
        }
        for former in snapshot.former_keys:
            if former.kind is KeyKind.CUSTOMER:
                customers.setdefault(CustomerId(former.key), former.user_id)
        return cls(
            snapshot,
            {it.user_id: it for it in snapshot.accounts},
            customers,
            {it.email.key: it.user_id for it in snapshot.accounts},
            {it.payment.id: it for it in snapshot.payments},
            subscriptions,
            bool(snapshot.erased)
            or any(it.user_id.startswith(PSEUDONYM) for it in snapshot.accounts),
            policy,
        )

    def owner_of(
        self, thing: Payment | SubscriptionReport
    ) -> UserId | OwnershipConflict | None:
        """Return the owner of a thing that is not linked yet."""
        bound = self.bound_to(thing.customer_id)
        if thing.metadata_user_id:
            claimed = UserId(thing.metadata_user_id)
            if bound and bound != claimed:
                return OwnershipConflict()
            return claimed if claimed in self.accounts else None
        if bound:
            return bound
        if not isinstance(thing, Payment) or thing.email is None:
            return None
        if not self.snapshot.former_keys:
            # No former owners: the current owner has it for all times.
            return self.by_email.get(thing.email)
        return self.holders_of(thing.email).at(thing.created_at)

    def linked_to(self, thing: Payment | SubscriptionReport) -> UserId | None:
        """Return the user to whom a thing that is not stored would be linked."""
        owner = self.owner_of(thing)
        return None if isinstance(owner, OwnershipConflict) else owner

    def holders_of(self, email: str) -> EmailHolders:
        current = self.by_email.get(email)
        since = self.accounts[current].email_since if current else None
        return EmailHolders(self.former_of(email), current, since)

    def former_of(
        self, email: str, besides: Sequence[FormerKey] = ()
    ) -> Sequence[FormerKey]:
        """Return who had an e-mail before, as loaded or about to be saved."""
        return [
            it
            for it in (*self.snapshot.former_keys, *besides)
            if it.kind is KeyKind.EMAIL and it.key == email
        ]

    def claim_on(self, intent: Intent) -> Decided | None:
        """Return None if an intent is still ours to save, else that it is not."""
        for kept in self.snapshot.intents:
            if kept.id == intent.id and kept.version == intent.version:
                return None
            if kept.id == intent.id and kept.writer == intent.writer:
                # The reply to an earlier save was lost.
                return Decided(duplicate=True)
        return Decided(lease_lost=True)

    def bound_to(self, customer: CustomerId | None) -> UserId | None:
        return self.by_customer.get(customer) if customer else None
