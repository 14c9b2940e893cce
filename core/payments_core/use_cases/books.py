"""Posting reports to accounts: the one way in, for whoever brings them.

Rule 1: a report of a payment merges into it; an unchanged payment changes nothing. A
        report of a subscription is weighed (`payments_core.evidence`).
Rule 2: a payment belongs to the user whom its metadata names; else to the account of
        its customer; else to the account that has its e-mail. No such account: it
        stays unlinked until one appears. Subscriptions likewise, but for the e-mail.
Rule 3: the binding of a customer wins over metadata. If they disagree the report is
        quarantined and nobody's account moves.
Rule 4: once linked, a thing stays where it is. Nothing that is reported binds a
        customer: who pays with whose card is no statement about who is who.
Rule 5: an account takes a new latest payment at once; anything else is a replay of
        all its payments, and so is the beginning or the end of a subscription's life.
Rule 6: what has to be looked up becomes a job. A payment within a subscription's life
        is a reason to look at it, unless it says nothing new.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Final

import attrs

from payments_core.account import PaymentAccount
from payments_core.evidence import Evidence, Verdict, weigh
from payments_core.identity import CustomerId, Email, UserId
from payments_core.job import Job, JobKey, JobKind
from payments_core.payment import Payment, PaymentId
from payments_core.ports import LinkKeys, PaymentRecord, Unlinked, link_keys
from payments_core.standing import Checkpoint, Sighting
from payments_core.subscription import (
    PaidTerm,
    Subscription,
    SubscriptionReport,
    SubscriptionStatus,
)

QUARANTINE_REASON: Final = "metadata and customer name different users"
# A payment comes with events that tell more; they may make the look needless.
AFTER_PAYMENT: Final = timedelta(seconds=3)


class Disagreement(Exception):  # noqa: N818  # a verdict, never shown to anybody
    """A report whose customer is bound to another user than its metadata names."""


def subscription_job(gateway_id: str) -> JobKey:
    return JobKey(JobKind.SUBSCRIPTION, gateway_id)


@attrs.define
class Books:
    """The accounts, payments and subscriptions that one transaction works on.

    Starts from what was read; afterwards the `changed_` ones are what has to be
    saved, and `jobs` what has to be asked for.
    """

    _accounts: dict[UserId, PaymentAccount] = attrs.field(factory=dict)
    _by_customer: dict[CustomerId, UserId] = attrs.field(factory=dict)
    _by_email: dict[str, UserId] = attrs.field(factory=dict)
    _payments: dict[PaymentId, PaymentRecord] = attrs.field(factory=dict)
    _subscriptions: dict[str, Subscription] = attrs.field(factory=dict)
    _changed_accounts: set[UserId] = attrs.field(factory=set)
    _changed_payments: set[PaymentId] = attrs.field(factory=set)
    _changed_subscriptions: set[str] = attrs.field(factory=set)
    _to_replay: set[UserId] = attrs.field(factory=set)
    _looks: dict[JobKey, tuple[str, timedelta]] = attrs.field(factory=dict)

    def know(
        self,
        accounts: Iterable[PaymentAccount] = (),
        payments: Iterable[PaymentRecord] = (),
        subscriptions: Iterable[Subscription] = (),
    ) -> None:
        """Take in what was read; what is in the books already stays."""
        for account in accounts:
            if account.user_id not in self._accounts:
                self._put(account)
        for record in payments:
            self._payments.setdefault(record.payment.id, record)
        for subscription in subscriptions:
            self._subscriptions.setdefault(subscription.gateway_id, subscription)

    def open(self, account: PaymentAccount) -> None:
        """Take in an account that is new or was changed."""
        self._put(account)
        self._changed_accounts.add(account.user_id)

    def _put(self, account: PaymentAccount) -> None:
        self._accounts[account.user_id] = account
        self._by_email[account.email.key] = account.user_id
        if account.customer_id:
            self._by_customer[account.customer_id] = account.user_id
        for subscription in account.subscriptions:
            self._subscriptions.setdefault(subscription.gateway_id, subscription)

    # Payments

    def ownerless(
        self,
        payments: Iterable[Payment],
        subscriptions: Iterable[SubscriptionReport] = (),
    ) -> LinkKeys:
        """Return the keys of the reports that would stay unlinked as things are."""
        return link_keys(
            (
                report
                for report in payments
                if not self._is_linked(report) and not self._would_link(report)
            ),
            (
                report
                for report in subscriptions
                if not self._has_owner(report) and not self._would_link(report)
            ),
        )

    def _is_linked(self, report: Payment) -> bool:
        record = self._payments.get(report.id)
        return record is not None and record.user_id is not None

    def _has_owner(self, report: SubscriptionReport) -> bool:
        known = self._subscriptions.get(report.gateway_id)
        return known is not None and known.user_id is not None

    def _would_link(self, report: Payment | SubscriptionReport) -> bool:
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
        self._replace(before, after)
        return after.contradicted

    def correct(self, payment: Payment) -> None:
        """Take in what the gateway says of a payment now, in place of all reports.

        Raises:
            Disagreement: it is not clear whose it is; nothing changed.
        """
        before = self._payments.get(payment.id)
        if before is None:
            self._put_payment(None, PaymentRecord(payment, self._owner(payment)))
        else:
            self._replace(before, payment)

    def _replace(self, before: PaymentRecord, after: Payment) -> None:
        if before.user_id and not self._may_stay(before.user_id, after):
            raise Disagreement
        owner = before.user_id or self._owner(after)
        record = PaymentRecord(after, owner, before.version)
        if record != before:
            self._put_payment(before, record)

    def _put_payment(self, before: PaymentRecord | None, after: PaymentRecord) -> None:
        self._payments[after.payment.id] = after
        self._changed_payments.add(after.payment.id)
        if after.user_id is not None:
            self._enter(after.user_id, before, after)
            self._look_for(self._accounts[after.user_id], after.payment)

    def _look_for(self, account: PaymentAccount, payment: Payment) -> None:
        for subscription in account.subscriptions:
            if subscription.live and _tells_more(payment, subscription):
                key = subscription_job(subscription.gateway_id)
                self.look(key, f"payment {payment.id}", after=AFTER_PAYMENT)

    def _may_stay(self, owner: UserId, thing: Payment | SubscriptionReport) -> bool:
        bound = thing.customer_id and self._by_customer.get(thing.customer_id)
        return owner == (thing.claimed_by or owner) == (bound or owner)

    def _owner(self, thing: Payment | SubscriptionReport) -> UserId | None:
        bound = thing.customer_id and self._by_customer.get(thing.customer_id)
        if thing.claimed_by:
            claimed = UserId(thing.claimed_by)
            if bound and bound != claimed:
                raise Disagreement
            return claimed if claimed in self._accounts else None
        if bound:
            return bound
        email = thing.email if isinstance(thing, Payment) else None
        return self._by_email.get(email) if email else None

    def _enter(
        self, owner: UserId, before: PaymentRecord | None, after: PaymentRecord
    ) -> None:
        account = self._accounts[owner]
        subscriptions = account.subscriptions
        sighting = Sighting.of(after.payment, subscriptions)
        was_there = before is not None and before.user_id is not None
        seen = (
            Sighting.of(before.payment, subscriptions) if before and was_there else None
        )
        if sighting == seen:
            return
        if seen or sighting is None or not account.checkpoint.takes(sighting):
            self._to_replay.add(owner)
            return
        self._accounts[owner] = account.folded(account.checkpoint.advance(sighting))
        self._changed_accounts.add(owner)

    # Subscriptions

    def post_subscription(self, evidence: Evidence) -> Verdict:
        """Take one report of a subscription in; return what it came to.

        Raises:
            Disagreement: it is not clear whose it is; nothing changed.
        """
        report = evidence.report
        known = self._subscriptions.get(report.gateway_id)
        if known and known.user_id and not self._may_stay(known.user_id, report):
            raise Disagreement
        owner = (known and known.user_id) or self._owner(report)
        verdict = weigh(known, evidence)
        if verdict.subscription is not None:
            self._put_subscription(
                known, attrs.evolve(verdict.subscription, user_id=owner)
            )
        if verdict.look is not None:
            self.look(subscription_job(report.gateway_id), verdict.look)
        return verdict

    def post_term(self, term: PaidTerm) -> bool:
        """Take in that an invoice was paid; say whether its subscription is known."""
        known = self._subscriptions.get(term.gateway_id)
        if known is None:
            self.look(subscription_job(term.gateway_id), "not known yet")
            return False
        self._put_subscription(known, known.paid(term))
        return True

    def _put_subscription(
        self, before: Subscription | None, after: Subscription
    ) -> None:
        if after == before:
            return
        self._subscriptions[after.gateway_id] = after
        self._changed_subscriptions.add(after.gateway_id)
        if after.user_id is None:
            return
        self.open(self._accounts[after.user_id].with_subscription(after))
        was_there = before is not None and before.user_id is not None
        if _life(after) != (_life(before) if before and was_there else None):
            self._to_replay.add(after.user_id)

    def look(self, key: JobKey, reason: str, *, after: timedelta = timedelta()) -> None:
        """Ask for a job; of two wishes for one job the earlier one counts."""
        known = self._looks.get(key)
        if known is None or after < known[1]:
            self._looks[key] = (reason, after)

    # All of it

    def adopt(self, unlinked: Unlinked) -> None:
        """Link what was nobody's, where an account has appeared."""
        for record in unlinked.payments:
            kept = self._payments.setdefault(record.payment.id, record)
            if kept.user_id is None and (owner := self._sure_owner(kept.payment)):
                self._put_payment(kept, attrs.evolve(kept, user_id=owner))
        for found in unlinked.subscriptions:
            known = self._subscriptions.setdefault(found.gateway_id, found)
            if known.user_id is None and (owner := self._sure_owner(known.report)):
                self._put_subscription(known, attrs.evolve(known, user_id=owner))

    def _sure_owner(self, thing: Payment | SubscriptionReport) -> UserId | None:
        try:
            return self._owner(thing)
        except Disagreement:
            return None

    def unknown_customers(self, unlinked: Unlinked) -> LinkKeys:
        """Return the customers of these things that nobody here is bound to."""
        customers = link_keys(
            (record.payment for record in unlinked.payments),
            (subscription.report for subscription in unlinked.subscriptions),
        ).customer_ids
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
            account = self._accounts[user]
            checkpoint = Checkpoint.replay(payments.values(), account.subscriptions)
            self.open(account.folded(checkpoint))
        self._to_replay.clear()

    @property
    def changed_accounts(self) -> Sequence[PaymentAccount]:
        return [self._accounts[user] for user in sorted(self._changed_accounts)]

    @property
    def changed_payments(self) -> Sequence[PaymentRecord]:
        return [self._payments[id_] for id_ in sorted(self._changed_payments)]

    @property
    def changed_subscriptions(self) -> Sequence[Subscription]:
        return [self._subscriptions[id_] for id_ in sorted(self._changed_subscriptions)]

    def bind(self, user: UserId, customer: CustomerId, *, is_new: bool) -> None:
        """Bind a customer whom nobody has; what one that is not new has is looked up.

        Raises:
            CustomerTaken: the user has another one.
        """
        account = self._accounts[user]
        bound = account.bound(customer)
        if bound != account:
            self.open(bound)
            if not is_new:
                self.look(JobKey(JobKind.CUSTOMER, customer), "bound to a user")

    def forget(self, key: JobKey) -> None:
        """Do not ask for a job: whoever works on these books is doing it."""
        self._looks.pop(key, None)

    def jobs(self, at: datetime) -> Sequence[Job]:
        """Return the jobs that were asked for, in the order of their keys."""
        return [
            Job(key=key, reason=reason, due_at=at + after)
            for key, (reason, after) in sorted(
                self._looks.items(), key=lambda item: (item[0].kind, item[0].subject)
            )
        ]

    def account(self, user: UserId) -> PaymentAccount:
        return self._accounts[user]

    def find(self, user: UserId) -> PaymentAccount | None:
        return self._accounts.get(user)

    def subscription(self, gateway_id: str) -> Subscription | None:
        return self._subscriptions.get(gateway_id)

    def holder_of(self, key: Email | CustomerId) -> UserId | None:
        """Return who has this e-mail or this customer, among what was read."""
        if isinstance(key, Email):
            return self._by_email.get(key.key)
        return self._by_customer.get(key)


def _life(subscription: Subscription) -> tuple[object, ...]:
    """Return what of a subscription decides on the meaning of payments."""
    report = subscription.report
    lived = report.status is not SubscriptionStatus.INCOMPLETE_EXPIRED
    return report.created_at, report.ended_at, subscription.live, lived


_IN_ARREARS: Final[Mapping[bool, frozenset[SubscriptionStatus]]] = MappingProxyType(
    {
        True: frozenset({SubscriptionStatus.ACTIVE}),
        False: frozenset({SubscriptionStatus.PAST_DUE, SubscriptionStatus.UNPAID}),
    }
)


def _tells_more(payment: Payment, subscription: Subscription) -> bool:
    """Say whether a payment tells something of a subscription that is not known."""
    created_at = payment.created_at
    if created_at is None or not subscription.lived_at(created_at):
        return False
    if subscription.status not in _IN_ARREARS[payment.money_stayed]:
        return True
    if not payment.money_stayed:
        return False
    term = subscription.paid_term
    if term is None or not subscription.covered:
        return True
    # A payment of another term than the one we know of.
    return not term.starts_at <= created_at < term.ends_at
