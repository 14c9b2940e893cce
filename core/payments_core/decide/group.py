"""The state of one group while its facts are decided on."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import attrs

from payments_core.account import PaymentAccount
from payments_core.by_hand import ChangeByHand
from payments_core.changes import Lookup
from payments_core.decide.known import Known
from payments_core.entitlement import (
    PaymentSummary,
    replayed,
    undecided,
    with_last_periods,
)
from payments_core.events import EventKey, Outcome
from payments_core.facts import SourcedFacts
from payments_core.identity import UserId
from payments_core.intent import TELLS_CARD, IntentState, intent_of_key
from payments_core.job import Job
from payments_core.job_key import JobKey, JobKind
from payments_core.linking import NO_KEYS, FormerKey, LinkKeys
from payments_core.now import Now
from payments_core.paid_periods import needs_invoice
from payments_core.payment import Payment, PaymentId, PaymentRecord
from payments_core.payment_buckets import PaymentBucket, months_in
from payments_core.plain_payments import PlainPayments, latest_of
from payments_core.subscription import PaidPeriod, Subscription, SubscriptionReport

CAUSES_MAX = 3


@attrs.define
class Group:
    """One account, or one thing without an account, and what has changed so far.

    `more` is what must be loaded before it can be decided on.
    """

    known: Known
    key: str
    owner: UserId | None
    now: Now
    before: PaymentAccount | None = attrs.field(init=False)
    account: PaymentAccount | None = attrs.field(init=False)
    payments: dict[PaymentId, PaymentRecord] = attrs.field(init=False, factory=dict)
    subscriptions: dict[str, Subscription] = attrs.field(init=False, factory=dict)
    periods: list[PaidPeriod] = attrs.field(init=False, factory=list)
    link_keys: LinkKeys = attrs.field(init=False, default=NO_KEYS)
    former_keys: list[FormerKey] = attrs.field(init=False, factory=list)
    by_hand: list[ChangeByHand] = attrs.field(init=False, factory=list)
    closed: list[tuple[EventKey, Outcome]] = attrs.field(init=False, factory=list)
    # Subscriptions that were the account's until now.
    unlinked: list[Subscription] = attrs.field(init=False, factory=list)
    replays: bool = attrs.field(init=False, default=False)
    more: Lookup | None = attrs.field(init=False, default=None)
    # Some access ended, or the log lacks a row, without another change.
    logs_anyway: bool = attrs.field(init=False, default=False)
    # When a job that came too early is due again.
    rescheduled: dict[JobKey, datetime] = attrs.field(init=False, factory=dict)
    _jobs: dict[JobKey, tuple[str, timedelta]] = attrs.field(init=False, factory=dict)
    _causes: list[str] = attrs.field(init=False, factory=list)

    def __attrs_post_init__(self) -> None:
        self.before = self.known.accounts.get(self.owner) if self.owner else None
        self.account = self.before

    def payment(self, id_: PaymentId) -> PaymentRecord | None:
        return self.payments.get(id_) or self.known.payments.get(id_)

    def subscription(self, gateway_id: str) -> Subscription | None:
        return self.subscriptions.get(gateway_id) or self.known.subscriptions.get(
            gateway_id
        )

    def has_paid(self, period: PaidPeriod) -> bool:
        """Say whether the period was loaded with the same values."""
        said = _said(period)
        return any(_said(it) == said for it in self.known.snapshot.periods)

    def may_be_ours(self, thing: Payment | SubscriptionReport) -> bool:
        """Say whether nothing contradicts that this group owns a thing."""
        if self.owner is None:
            return self.known.owner_of(thing) is None
        bound = self.known.bound_to(thing.customer_id)
        if bound is None and thing.customer_id and self.account is not None:
            bound = (
                self.owner if thing.customer_id == self.account.customer_id else None
            )
        return (
            self.owner
            == (thing.metadata_user_id or self.owner)
            == (bound or self.owner)
        )

    def sync(self, key: JobKey, reason: str, *, after: timedelta = timedelta()) -> None:
        """Request a job; of two requests for one job the earlier time counts."""
        known = self._jobs.get(key)
        if known is None or after < known[1]:
            self._jobs[key] = (reason, after)

    def is_doing(self, key: JobKey) -> None:
        """Drop the request for this job, because the facts come from it."""
        self._jobs.pop(key, None)

    def is_own_card_change(self, source: SourcedFacts) -> bool:
        """Say whether our own call caused an event, and its intent reports the card.

        The intent reports it when it ends, and requests a sync of the card if it fails.
        """
        intent = intent_of_key(source.event.request_key) if source.event else None
        if intent is None:
            return False
        snapshot = self.known.snapshot
        if intent not in snapshot.lookup.intents:
            self.need(Lookup(intents=frozenset({intent})))
        return any(
            it.id == intent
            and it.user_id == self.owner
            and it.kind in TELLS_CARD
            and it.state not in {IntentState.REFUSED, IntentState.ABANDONED}
            for it in snapshot.intents
        )

    def confirm_card(self) -> None:
        """Mark the known card as current: a fetch in progress may be older."""
        if self.account is not None:
            sequence = self.known.snapshot.sequence
            self.account = self.account.with_card(self.account.card, sequence=sequence)

    def subscriber_of(self, subscription: str) -> UserId | None:
        """Return the owner of a subscription, if it is known and linked."""
        known = self.known
        if subscription not in known.snapshot.lookup.subscriptions:
            self.need(Lookup(subscriptions=frozenset({subscription})))
        found = known.subscriptions.get(subscription)
        return found.user_id if found else None

    def need(self, lookup: Lookup) -> None:
        self.more = lookup if self.more is None else self.more | lookup

    def note(self, cause: str) -> None:
        """Record a cause of the account's change."""
        if cause not in self._causes:
            self._causes.append(cause)

    # The end

    @property
    def cause(self) -> str:
        return "; ".join(self._causes[:CAUSES_MAX])

    @property
    def after(self) -> PaymentAccount | None:
        """Return the account to save; the loaded one if nothing changed."""
        before, account = self.before, self.account
        if account is None:
            return None
        if before is None:
            return account.saved_as(1)
        # A concurrent decision may rest on the rows that this save changes.
        keeps_more = self.payments or self.subscriptions or self.periods
        if keeps_more or self.logs_anyway or account != before:
            return account.saved_as(before.version + 1)
        return before

    @property
    def jobs(self) -> tuple[Job, ...]:
        if not self._jobs:
            return ()
        wanted = sorted(self._jobs.items(), key=lambda it: (it[0].kind, it[0].subject))
        return tuple(
            Job.due(key, reason, self.now.system + after, self.owner)
            for key, (reason, after) in wanted
        )

    def replay(self) -> None:
        """Fold the account from the start, over its whole history.

        Payments that were loaded as sums are folded as sums. The paid periods of its
        subscriptions may change, too.
        """
        if self.account is None or self.more is not None:
            return
        snapshot, user = self.known.snapshot, self.account.user_id
        wanted = self._history_of(self.account)
        if wanted.histories - snapshot.lookup.histories or (
            wanted.periods_of - snapshot.lookup.periods_of
        ):
            self.need(wanted)
            return
        records = {it.payment.id: it for it in snapshot.histories} | self.payments
        # A payment that is being unlinked is no longer included.
        history = [it.payment for it in records.values() if it.user_id == user]
        subscriptions = self.account.subscriptions
        own = {it.gateway_id for it in subscriptions}
        known = [it for it in snapshot.periods if it.gateway_id in own]
        # Periods that are already stored are not saved again.
        self.periods = [it for it in self.periods if not self.has_paid(it)]
        periods = [*known, *self.periods]
        buckets = [it for it in snapshot.buckets if it.user_id == user]
        summary, standing = replayed(
            history, subscriptions, periods, months_in(buckets)
        )
        if buckets and not self._sums_hold(buckets, periods, history, summary):
            self.need(attrs.evolve(wanted, whole_histories=wanted.histories))
            return
        for before, after in zip(subscriptions, standing, strict=True):
            if after is not before:
                self.subscriptions[after.gateway_id] = after
                self.note(f"subscription {after.gateway_id} {after.status.value}")
        self.account = attrs.evolve(
            self.account, summary=summary, subscriptions=tuple(standing)
        )
        paid_invoices = frozenset(it.invoice_id for it in periods)
        some_returned = any(it.money_returned for it in history)
        for payment in history:
            if needs_invoice(
                payment, subscriptions, paid_invoices, some_returned=some_returned
            ) or self._may_have_paid_unlinked(payment):
                self.ask_invoice(payment)
        if rests_on := undecided(
            summary, history, standing, with_last_periods(standing, periods)
        ):
            self.ask_invoice(rests_on)

    def _may_have_paid_unlinked(self, payment: Payment) -> bool:
        """Say whether it may buy a month only because a subscription is unlinked."""
        made_at = payment.created_at
        return (
            made_at is not None
            and not payment.invoice_known
            and any(it.lived_at(made_at) for it in self.unlinked)
        )

    def _sums_hold(
        self,
        buckets: Sequence[PaymentBucket],
        periods: Sequence[PaidPeriod],
        history: Sequence[Payment],
        summary: PaymentSummary,
    ) -> bool:
        """Say whether the payments loaded as sums still have the same effect.

        And whether none of them is the latest (`payments_core.plain_payments`).
        """
        before, account = self.before, self.account
        if before is None or account is None:
            return False
        snapshot, user = self.known.snapshot, before.user_id
        own = {it.gateway_id for it in before.subscriptions}
        known = (it for it in snapshot.periods if it.gateway_id in own)
        records = [it for it in snapshot.histories if it.user_id == user]
        payments = (it.payment for it in records)
        plain = PlainPayments.of(before.subscriptions, known, payments)
        all_periods = with_last_periods(account.subscriptions, periods)
        later = PlainPayments.of(account.subscriptions, all_periods, history)
        effects = plain.effects(records, snapshot.lookup.payments)
        last = latest_of(effects.values())
        return plain.hold_for(later, buckets) and (
            last is None
            or (summary.latest is not None and summary.latest.created_at >= last)
        )

    def _history_of(self, account: PaymentAccount) -> Lookup:
        """Return the lookup that a replay needs; new things have no history."""
        before = self.before
        own = {it.gateway_id for it in before.subscriptions} if before else set()
        adopted = (it.gateway_id for it in account.subscriptions if it.version)
        return Lookup(
            histories=frozenset({account.user_id} if before else ()),
            periods_of=frozenset(adopted) - own,
        )

    def ask_invoice(self, payment: Payment) -> None:
        """Request the invoice that a payment paid, if any."""
        self.sync(JobKey(JobKind.PAYMENT, payment.id), "which invoice it paid")

    def link_versions(self) -> Mapping[str, int]:
        """Return the versions of the link keys that this group depends on."""
        snapshot = self.known.snapshot
        if self.link_keys - snapshot.lookup.link_keys:
            self.need(Lookup(keys=self.link_keys, link_keys=self.link_keys))
            return {}
        return {
            name: snapshot.link_versions.get(name, 0)
            for name in sorted(self.link_keys.names())
        }


def _said(period: PaidPeriod) -> tuple[object, ...]:
    """Return the stored values of a period."""
    return (
        period.gateway_id,
        period.invoice_id,
        period.starts_at,
        period.ends_at,
        period.amount_paid_minor,
    )
