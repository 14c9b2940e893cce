"""Posting reports to accounts: the one way in, for whoever brings them.

Rule 1: a report first merges into its payment; an unchanged payment changes nothing.
Rule 2: a payment belongs to the user whom its metadata names; else to the account of
        its customer; else to the account that has its e-mail. No such account: it
        stays unlinked until one appears.
Rule 3: the binding of a customer wins over metadata. If they disagree the report is
        quarantined and nobody's account moves.
Rule 4: once linked, a payment stays where it is. A payment never binds a customer:
        who pays with whose card is no statement about who is who.
Rule 5: an account takes a new latest payment at once; anything else is a replay of
        all its payments.
"""

from collections.abc import Iterable, Sequence
from typing import Final

import attrs

from payments_core.account import (
    Checkpoint,
    Email,
    PaymentAccount,
    Sighting,
    UserId,
)
from payments_core.payment import CustomerId, Payment, PaymentId
from payments_core.ports import LinkKeys, PaymentRecord, link_keys

QUARANTINE_REASON: Final = "metadata and customer name different users"


class Disagreement(Exception):  # noqa: N818  # a verdict, never shown to anybody
    """A report whose customer is bound to another user than its metadata names."""


@attrs.define
class Books:
    """The accounts and payments that one transaction works on.

    Starts from what was read; afterwards `changed_accounts` and
    `changed_payments` are what has to be saved.
    """

    _accounts: dict[UserId, PaymentAccount] = attrs.field(factory=dict)
    _by_customer: dict[CustomerId, UserId] = attrs.field(factory=dict)
    _by_email: dict[str, UserId] = attrs.field(factory=dict)
    _payments: dict[PaymentId, PaymentRecord] = attrs.field(factory=dict)
    _changed_accounts: set[UserId] = attrs.field(factory=set)
    _changed_payments: set[PaymentId] = attrs.field(factory=set)
    _to_replay: set[UserId] = attrs.field(factory=set)

    def know(
        self,
        accounts: Iterable[PaymentAccount] = (),
        payments: Iterable[PaymentRecord] = (),
    ) -> None:
        """Take in what was read; what is in the books already stays."""
        for account in accounts:
            if account.user_id not in self._accounts:
                self._put(account)
        for record in payments:
            self._payments.setdefault(record.payment.id, record)

    def open(self, account: PaymentAccount) -> None:
        """Take in an account that is new or was changed."""
        self._put(account)
        self._changed_accounts.add(account.user_id)

    def _put(self, account: PaymentAccount) -> None:
        self._accounts[account.user_id] = account
        self._by_email[account.email.key] = account.user_id
        if account.customer_id:
            self._by_customer[account.customer_id] = account.user_id

    def ownerless(self, reports: Iterable[Payment]) -> LinkKeys:
        """Return the keys of the reports that would stay unlinked as things are."""
        return link_keys(
            report
            for report in reports
            if not self._is_linked(report) and not self._would_link(report)
        )

    def _is_linked(self, report: Payment) -> bool:
        record = self._payments.get(report.id)
        return record is not None and record.user_id is not None

    def _would_link(self, report: Payment) -> bool:
        try:
            return self._owner(report) is not None
        except Disagreement:
            return True

    def post(self, report: Payment) -> bool:
        """Take one report in; say whether the payment is in doubt afterwards.

        Raises:
            Disagreement: it is not clear whose it is; nothing changed.
        """
        before = self._payments.get(report.id)
        if before is None:
            self._put_payment(None, PaymentRecord(report, self._owner(report)))
            return report.contradicted
        after = before.payment.merge(report)
        if before.user_id and not self._may_stay(before.user_id, after):
            raise Disagreement
        owner = before.user_id or self._owner(after)
        record = PaymentRecord(after, owner, before.version)
        if record != before:
            self._put_payment(before, record)
        return after.contradicted

    def _put_payment(self, before: PaymentRecord | None, after: PaymentRecord) -> None:
        self._payments[after.payment.id] = after
        self._changed_payments.add(after.payment.id)
        if after.user_id is not None:
            self._enter(after.user_id, before, after)

    def adopt(self, records: Iterable[PaymentRecord]) -> None:
        """Link payments that were nobody's, where an account has appeared."""
        for record in records:
            self._payments.setdefault(record.payment.id, record)
            kept = self._payments[record.payment.id]
            if kept.user_id is not None:
                continue
            try:
                owner = self._owner(kept.payment)
            except Disagreement:
                continue
            if owner is not None:
                self._put_payment(kept, attrs.evolve(kept, user_id=owner))

    def _may_stay(self, owner: UserId, payment: Payment) -> bool:
        bound = payment.customer_id and self._by_customer.get(payment.customer_id)
        return owner == (payment.claimed_by or owner) == (bound or owner)

    def _owner(self, payment: Payment) -> UserId | None:
        bound = payment.customer_id and self._by_customer.get(payment.customer_id)
        if payment.claimed_by:
            claimed = UserId(payment.claimed_by)
            if bound and bound != claimed:
                raise Disagreement
            return claimed if claimed in self._accounts else None
        if bound:
            return bound
        return self._by_email.get(payment.email) if payment.email else None

    def _enter(
        self, owner: UserId, before: PaymentRecord | None, after: PaymentRecord
    ) -> None:
        sighting = Sighting.of(after.payment)
        was_there = before is not None and before.user_id is not None
        if sighting is None or (
            before and was_there and Sighting.of(before.payment) == sighting
        ):
            return
        account = self._accounts[owner]
        if was_there or not account.checkpoint.takes(sighting):
            self._to_replay.add(owner)
            return
        self._accounts[owner] = account.folded(account.checkpoint.advance(sighting))
        self._changed_accounts.add(owner)

    def unknown_customers(self, records: Iterable[PaymentRecord]) -> LinkKeys:
        """Return the customers of these payments that nobody here is bound to."""
        customers = link_keys(record.payment for record in records).customer_ids
        return LinkKeys(customer_ids=customers - self._by_customer.keys())

    @property
    def to_replay(self) -> frozenset[UserId]:
        return frozenset(self._to_replay)

    def replay(self, histories: Iterable[PaymentRecord]) -> None:
        """Fold the accounts in `to_replay` from the start, over their histories."""
        of_user: dict[UserId, dict[PaymentId, Payment]] = {
            user: {} for user in self._to_replay
        }
        for record in (*histories, *self._payments.values()):
            if record.user_id in of_user:
                of_user[record.user_id][record.payment.id] = record.payment
        for user, payments in of_user.items():
            checkpoint = Checkpoint.replay(payments.values())
            self.open(self._accounts[user].folded(checkpoint))
        self._to_replay.clear()

    @property
    def changed_accounts(self) -> Sequence[PaymentAccount]:
        return [self._accounts[user] for user in sorted(self._changed_accounts)]

    @property
    def changed_payments(self) -> Sequence[PaymentRecord]:
        return [self._payments[id_] for id_ in sorted(self._changed_payments)]

    def account(self, user: UserId) -> PaymentAccount:
        return self._accounts[user]

    def find(self, user: UserId) -> PaymentAccount | None:
        return self._accounts.get(user)

    def holder_of(self, key: Email | CustomerId) -> UserId | None:
        """Return who has this e-mail or this customer, among what was read."""
        if isinstance(key, Email):
            return self._by_email.get(key.key)
        return self._by_customer.get(key)
