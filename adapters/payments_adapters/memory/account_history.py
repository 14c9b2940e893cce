"""What is stored about an account, and the log of its verdicts."""

from collections.abc import Collection
from datetime import UTC, datetime
from typing import Final

import attrs

from payments_adapters.memory.ledger import MemoryDatabase
from payments_core.account import PaymentAccount
from payments_core.account_facts import (
    FACTS_MAX,
    QUARANTINED_MAX,
    AccountFacts,
    named_invoices,
    names_in_bodies,
)
from payments_core.account_log import LoggedVerdict
from payments_core.by_hand import LoggedChange
from payments_core.events import EventState
from payments_core.identity import UserId
from payments_core.job import JobState
from payments_core.job_key import JobKind
from payments_core.kept_events import cursor_of
from payments_core.linking import NOTHING_UNLINKED, Unlinked
from payments_core.payment import Payment, PaymentRecord
from payments_core.subscription import PaidPeriod, Subscription

_LAST: Final = datetime.max.replace(tzinfo=UTC)


@attrs.frozen
class MemoryAccountHistory:
    _database: MemoryDatabase

    async def facts(
        self, account: PaymentAccount, *, whole: bool = True
    ) -> AccountFacts:
        user = account.user_id
        intents = self._database.tables.intents.values()
        opened = [it for it in intents if it.user_id == user and it.open]
        opened.sort(key=lambda it: it.id)
        opened.sort(key=lambda it: it.created_at, reverse=True)
        facts = AccountFacts(
            account=account,
            payments=self._payments(account),
            periods=self._periods({it.gateway_id for it in account.subscriptions}),
            unlinked=self._unlinked(account) if whole else NOTHING_UNLINKED,
            intents=opened[:FACTS_MAX],
            by_hand=self._by_hand(user),
        )
        return self._with_work(facts, set(facts.objects()), whole=whole)

    def _payments(self, account: PaymentAccount) -> list[PaymentRecord]:
        kept = self._database.tables.payments.values()
        own = [it for it in kept if it.user_id == account.user_id]
        own.sort(key=lambda it: it.payment.id)
        own.sort(key=lambda it: it.payment.created_at or _LAST, reverse=True)
        latest, invoices = account.summary.latest, set(named_invoices(account))
        named = [
            it
            for it in own[FACTS_MAX:]
            if (latest and it.payment.id == latest.payment_id)
            or it.payment.invoice_id in invoices
        ]
        return [*own[:FACTS_MAX], *named]

    def _periods(self, subscriptions: Collection[str]) -> list[PaidPeriod]:
        kept = self._database.tables.periods.values()
        own = [it for it in kept if it.gateway_id in subscriptions]
        own.sort(key=lambda it: it.invoice_id)
        return sorted(own, key=lambda it: it.ends_at, reverse=True)[:FACTS_MAX]

    def _unlinked(self, account: PaymentAccount) -> Unlinked:
        def carries_key(it: Payment | Subscription) -> bool:
            thing = it if isinstance(it, Payment) else it.report
            customer = account.customer_id
            return (
                (customer is not None and thing.customer_id == customer)
                or thing.metadata_user_id == account.user_id
                or (isinstance(it, Payment) and it.email == account.email.key)
            )

        tables = self._database.tables
        payments = [
            it
            for it in tables.payments.values()
            if it.user_id is None and carries_key(it.payment)
        ]
        subscriptions = [
            it
            for it in tables.subscriptions.values()
            if it.user_id is None and carries_key(it)
        ]
        payments.sort(key=lambda it: it.payment.created_at or _LAST, reverse=True)
        subscriptions.sort(key=lambda it: it.began_at, reverse=True)
        return Unlinked(payments[:FACTS_MAX], subscriptions[:FACTS_MAX])

    def _by_hand(self, user: UserId) -> list[LoggedChange]:
        numbered = enumerate(self._database.tables.changes_by_hand, 1)
        own = [
            LoggedChange(at=at, number=number, change=change)
            for number, (at, change) in numbered
            if change.user_id == user
        ]
        own.sort(key=lambda it: (it.at, it.number), reverse=True)
        return own[:FACTS_MAX]

    def _with_work(
        self, facts: AccountFacts, about: Collection[str], *, whole: bool
    ) -> AccountFacts:
        tables = self._database.tables
        jobs = [
            it
            for it in tables.jobs.values()
            if it.state is JobState.OPEN
            and it.key.kind is not JobKind.EVENT
            and it.key.subject in about
        ]
        jobs.sort(key=lambda it: (it.lease.due_at, it.key.kind, it.key.subject))
        kept = [tables.kept(it, with_body=True) for it in tables.events.values()]
        kept.sort(key=cursor_of, reverse=True)
        held = [it for it in kept if it.outcome.state is EventState.QUARANTINED]
        names = names_in_bodies(facts.account)
        naming = {
            it.key
            for it in held[: QUARANTINED_MAX if whole else 0]
            if any(name in (it.body or b"") for name in names)
        }
        events = [
            attrs.evolve(it, body=None, user_id=facts.account.user_id)
            for it in kept
            if it.object_id in about or it.key in naming
        ]
        return attrs.evolve(facts, jobs=jobs[:FACTS_MAX], events=events[:FACTS_MAX])

    async def verdict_at(self, user_id: UserId, at: datetime) -> LoggedVerdict | None:
        log = self._database.tables.account_log
        found = [row for (id_, _), row in log.items() if id_ == user_id]
        known = [it for it in found if it.at <= at]
        return max(known, key=lambda it: it.version, default=None)
