"""Read everything that the gateway has of a bound customer, and record it.

Rule 1: unknown objects are recorded from a list: it is as authoritative and as new as
        an answer about the single object.
Rule 2: a known object that the list shows differently is fetched by itself, as a sync
        does. So is a refunded or disputed payment: a list does not say what it paid, or
        the state of its dispute.
Rule 3: payments are recorded first, then subscriptions with the card, then paid
        periods: in this order none requests a sync of what comes after it. What would
        still be synced is fetched at once.
"""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from functools import partial
from typing import Final

import attrs

from payments_core.account import PaymentAccount
from payments_core.card import Card
from payments_core.changes import Snapshot
from payments_core.errors import (
    GatewayObjectMissing,
    GatewayOutcomeUnknown,
    GatewayRefused,
)
from payments_core.events import EventState
from payments_core.facts import (
    CardObserved,
    Fact,
    PaymentCorrected,
    PaymentReported,
    PeriodPaid,
    SourcedFacts,
    SubscriptionObserved,
)
from payments_core.identity import CustomerId
from payments_core.job_key import JobKind
from payments_core.jobs.drift_cause import DELIVERED_WITHIN
from payments_core.jobs.fetch import fetch
from payments_core.jobs.reconcile import Reconcile
from payments_core.object_lists import (
    CreatedBetween,
    ListedInvoice,
    ListedObject,
    ListedPayment,
    ListedSubscription,
    ObjectList,
    ObjectPage,
)
from payments_core.payment import DisputeState
from payments_core.subscription import SubscriptionReport, newest_own_card
from payments_core.sweep import Suspect, suspects_of_customer, wanted_of
from payments_core.use_cases.patience import Patience
from payments_core.use_cases.record_facts import RecordedState

# In this order a payment is read before the period that it may have paid.
LISTS: Final = (ObjectList.PAYMENTS, ObjectList.SUBSCRIPTIONS, ObjectList.INVOICES)
# The most facts of one customer in memory: more are recorded in parts.
FACTS_MAX: Final = 1_000


@attrs.define
class _Read:
    """What was read of one customer and is not recorded yet."""

    account: PaymentAccount
    customer: CustomerId
    default_card: Card | None
    # Drawn before anything was fetched.
    sequence: int
    payments: dict[str, Fact] = attrs.field(factory=dict)
    subscriptions: list[Fact] = attrs.field(factory=list)
    periods: list[Fact] = attrs.field(factory=list)
    # The card that pays, when it is known.
    card: CardObserved | None = None
    # The ids of subscriptions that were not known before.
    taken: set[str] = attrs.field(factory=set)
    reports: list[SubscriptionReport] = attrs.field(factory=list)
    own_cards: dict[str, Card] = attrs.field(factory=dict)
    # What could not be read or recorded, with the reason.
    left_out: list[str] = attrs.field(factory=list)

    def add(self, facts: Sequence[Fact]) -> None:
        for fact in facts:
            match fact:
                case PaymentReported(payment) | PaymentCorrected(payment):
                    self.payments[payment.id] = fact
                case SubscriptionObserved():
                    self.subscriptions.append(fact)
                case _:
                    self.periods.append(fact)

    def leave_out(self, subject: str, why: object) -> None:
        self.left_out.append(f"{subject}: {why}")

    def sources(self) -> Sequence[SourcedFacts]:
        """Return what must be recorded, in order."""
        card = () if self.card is None else (self.card,)
        is_other = self.card is not None and self.card.card != self.account.card
        facts = [
            *((it,) for it in self.payments.values()),
            *([card] if is_other and not self.subscriptions else []),
            *((it, *card) for it in self.subscriptions),
            *((it,) for it in self.periods),
        ]
        return [SourcedFacts(facts=it) for it in facts]

    def forget(self) -> None:
        """Forget what was recorded."""
        self.payments.clear()
        self.subscriptions.clear()
        self.periods.clear()


@attrs.frozen
class ReadHistory:
    reconcile: Reconcile
    patience: Patience

    async def __call__(
        self, account: PaymentAccount, default_card: Card | None, sequence: int
    ) -> Sequence[str]:
        """Record what the account's customer has; return what could not be recorded.

        `default_card` is the card that pays by default, `sequence` a number drawn
        before it was fetched.

        Raises:
            AccountBusy, GatewayUnavailable: it failed several times in a row.
            StoreUnavailable: the database does not answer.
        """
        customer = account.customer_id
        if customer is None:
            return ()
        read = _Read(account, customer, default_card, sequence)
        # The gateway's clock may be ahead of ours.
        end = self.reconcile.record.clock() + DELIVERED_WITHIN
        for list_ in LISTS:
            await self._read(read, list_, CreatedBetween(start=None, end=end))
            if list_ is ObjectList.SUBSCRIPTIONS:
                await self._see_card(read)
        await self._record(read)
        return read.left_out

    async def _read(
        self, read: _Read, list_: ObjectList, created: CreatedBetween
    ) -> None:
        page: Callable[..., Awaitable[ObjectPage]] = partial(
            self.reconcile.lists.page, list_, created, customer=read.customer
        )
        after: str | None = None
        while True:
            try:
                got = await self.patience(partial(page, after=after))
            except (GatewayObjectMissing, GatewayOutcomeUnknown) as error:
                read.leave_out(f"its {list_.value}", error)
                return
            await self._take(read, got)
            after = got.after
            if after is None:
                return
            if len(read.payments) + len(read.periods) > FACTS_MAX:
                await self._record(read)

    async def _take(self, read: _Read, page: ObjectPage) -> None:
        snapshot = await self.reconcile.record.snapshot(wanted_of(page))
        known = _ids(snapshot)
        suspects = {it.subject: it for it in suspects_of_customer(page, snapshot)}
        for listed in page.objects:
            suspect = suspects.get(listed.id)
            facts = _told(listed, known, read, page.at)
            if facts is not None:
                read.add(facts)
            elif suspect is not None:
                await self._fetch(read, suspect)

    async def _fetch(self, read: _Read, suspect: Suspect) -> None:
        if suspect.unreadable is not None or suspect.job is None:
            read.add(suspect.facts)
            if suspect.unreadable is not None:
                read.leave_out(suspect.subject, suspect.unreadable)
            return
        if suspect.job.kind is JobKind.CUSTOMER:
            # The card is determined after all subscriptions are read.
            return
        gateway, accounts = self.reconcile.gateway, self.reconcile.accounts
        asked = partial(fetch, gateway, accounts, suspect.job, read.sequence)
        try:
            read.add(await self.patience(asked))
        except (GatewayObjectMissing, GatewayOutcomeUnknown, GatewayRefused) as error:
            read.leave_out(suspect.subject, error)

    async def _see_card(self, read: _Read) -> None:
        """Determine which card pays: first the newest subscription's pinned card."""
        card, own = read.default_card, newest_own_card(read.reports)
        if own is not None and (card is None or card.id != own):
            asked = partial(self.reconcile.gateway.card, read.customer, own)
            try:
                card = read.own_cards.get(own) or await self.patience(asked) or card
            except GatewayOutcomeUnknown as error:
                read.leave_out(own, error)
                return
        read.card = CardObserved(
            customer_id=read.customer, card=card, sequence=read.sequence
        )

    async def _record(self, read: _Read) -> None:
        record = self.reconcile.record
        if not read.sources():
            return
        _, decision = await record.decided(read.sources())
        asked = {job.key for group in decision.groups for job in group.jobs}
        for key in sorted(asked, key=lambda it: it.subject):
            if key.kind is JobKind.PAYMENT and key.subject in read.payments:
                await self._fetch(read, Suspect(subject=key.subject, job=key))
        sources = read.sources()
        read.forget()
        for source, first in zip(sources, await record(sources), strict=True):
            recorded = first
            if first.state is not RecordedState.SAVED:
                recorded = await self.patience(partial(record.one, source))
            outcome = recorded.outcome
            if outcome is not None and outcome.state is EventState.QUARANTINED:
                read.leave_out(_subject_of(source.facts[0]), outcome.reason)


def _ids(snapshot: Snapshot) -> frozenset[str]:
    """Return the ids of known payments and subscriptions."""
    of_accounts = (it for account in snapshot.accounts for it in account.subscriptions)
    subscriptions = (*snapshot.subscriptions, *of_accounts)
    return frozenset(it.gateway_id for it in subscriptions) | frozenset(
        it.payment.id for it in snapshot.payments
    )


def _told(
    listed: ListedObject, known: frozenset[str], read: _Read, at: datetime
) -> Sequence[Fact] | None:
    """Return a list's facts about an unknown thing; None: fetch it if needed."""
    match listed.it:
        case ListedSubscription(report, periods, card):
            read.reports.append(report)
            if card is not None:
                read.own_cards[card.id] = card
            if listed.id in known:
                return None
            read.taken.add(listed.id)
            observed = SubscriptionObserved(
                report=report, at=at, sequence=read.sequence
            )
            return [observed, *map(PeriodPaid, periods)]
        case ListedInvoice(periods) if periods:
            if not all(it.gateway_id in read.taken for it in periods):
                return None
            return [PeriodPaid(it) for it in periods]
        case ListedPayment(payment) if listed.id not in known:
            is_plain = payment.dispute is DisputeState.NONE
            is_plain = is_plain and not payment.money_returned
            return [PaymentReported(payment)] if is_plain else None
        case _:
            return None


def _subject_of(fact: Fact) -> str:
    match fact:
        case PaymentReported(payment) | PaymentCorrected(payment):
            return payment.id
        case SubscriptionObserved(report=report):
            return report.gateway_id
        case PeriodPaid(period):
            return period.invoice_id
        case _:
            return "its card"
