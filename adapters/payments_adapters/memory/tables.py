"""What was saved, and the questions that are asked of it."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Self

import attrs

from payments_core.account import PaymentAccount
from payments_core.changes import Lookup
from payments_core.events import EventKey, GatewayEvent, KeptEvent, Outcome
from payments_core.identity import UserId
from payments_core.intent import Intent, IntentId
from payments_core.job import Job, JobKey
from payments_core.linking import UNLINKED_MAX, LinkKeys, Unlinked
from payments_core.payment import Payment, PaymentId, PaymentRecord
from payments_core.subscription import PaidPeriod, Subscription, SubscriptionReport


@attrs.frozen
class EventRow:
    """An event as it came, when it came, and what became of it."""

    event: GatewayEvent
    received_at: datetime
    outcome: Outcome


@attrs.frozen
class AccountLogEntry:
    """That a standing changed: to what, when, and why."""

    account: PaymentAccount
    at: datetime
    cause: str
    sources: tuple[str, ...]


@attrs.define
class Tables:
    """Never changed once they are saved: who changes them works on a copy.

    Rows are frozen: handing one out hands out a value.
    """

    # Accounts are kept without their subscriptions, and handed out with them.
    accounts: dict[UserId, PaymentAccount] = attrs.field(factory=dict)
    payments: dict[PaymentId, PaymentRecord] = attrs.field(factory=dict)
    subscriptions: dict[str, Subscription] = attrs.field(factory=dict)
    events: dict[EventKey, EventRow] = attrs.field(factory=dict)
    intents: dict[IntentId, Intent] = attrs.field(factory=dict)
    jobs: dict[JobKey, Job] = attrs.field(factory=dict)
    link_versions: dict[str, int] = attrs.field(factory=dict)
    periods: dict[tuple[str, str], PaidPeriod] = attrs.field(factory=dict)
    account_log: dict[tuple[UserId, int], AccountLogEntry] = attrs.field(factory=dict)
    # Indexes, as a database has them: of pending events by what they wait for, and of
    # intents by what only one of them may have.
    waiting: dict[JobKey, frozenset[EventKey]] = attrs.field(factory=dict)
    claims: dict[tuple[str, ...], IntentId] = attrs.field(factory=dict)

    def copy(self) -> Self:
        return attrs.evolve(
            self,
            accounts=dict(self.accounts),
            payments=dict(self.payments),
            subscriptions=dict(self.subscriptions),
            events=dict(self.events),
            intents=dict(self.intents),
            jobs=dict(self.jobs),
            link_versions=dict(self.link_versions),
            periods=dict(self.periods),
            account_log=dict(self.account_log),
            waiting=dict(self.waiting),
            claims=dict(self.claims),
        )

    def put_event(self, row: EventRow) -> None:
        """Keep an event's row, in the place of an earlier one."""
        key = row.event.key
        before = self.events.get(key)
        if before is not None and (job := before.outcome.waits_for):
            self.waiting[job] -= {key}
        if job := row.outcome.waits_for:
            self.waiting[job] = self.waiting.get(job, frozenset()) | {key}
        self.events[key] = row

    def put_intent(self, intent: Intent) -> None:
        """Keep an intent, in the place of an earlier one."""
        before = self.intents.get(intent.id)
        for claim in claims_of(before) if before else ():
            self.claims.pop(claim, None)
        for claim in claims_of(intent):
            self.claims[claim] = intent.id
        self.intents[intent.id] = intent

    def intents_under(self, lookup: Lookup) -> Sequence[Intent]:
        """Return the intents that a lookup names, in the order of their ids."""
        ids = {it for it in lookup.intents if it in self.intents}
        for key in lookup.idempotency_keys:
            if id_ := self.claims.get(("key", key)):
                ids.add(id_)
        if lookup.open_intents:
            ids |= {
                it.id
                for it in self.intents.values()
                if it.open and it.user_id in lookup.open_intents
            }
        return [self.intents[it] for it in sorted(ids)]

    def whole(self, account: PaymentAccount) -> PaymentAccount:
        """Return an account with its subscriptions."""
        for subscription in self.subscriptions.values():
            if subscription.user_id == account.user_id:
                account = account.with_subscription(subscription)
        return account

    def accounts_under(self, keys: LinkKeys) -> Sequence[PaymentAccount]:
        """Return the accounts that have any of the keys, in the order of their ids."""
        found = [self.whole(a) for a in self.accounts.values() if _has(a, keys)]
        return sorted(found, key=lambda account: account.user_id)

    def payments_of(self, users: Iterable[UserId]) -> Sequence[PaymentRecord]:
        owners = frozenset(users)
        return [r for r in self.payments.values() if r.user_id in owners]

    def unlinked_under(self, keys: LinkKeys) -> Unlinked:
        if not keys:
            return Unlinked()
        payments = [
            record
            for _, record in sorted(self.payments.items())
            if record.user_id is None and self._is_under(record.payment, keys)
        ]
        subscriptions = [
            subscription
            for _, subscription in sorted(self.subscriptions.items())
            if subscription.user_id is None
            and self._is_under(subscription.report, keys)
        ]
        return Unlinked(payments[:UNLINKED_MAX], subscriptions[:UNLINKED_MAX])

    def _is_under(self, thing: Payment | SubscriptionReport, keys: LinkKeys) -> bool:
        """Say whether it carries a key, and neither names nor has another's."""
        if thing.metadata_user_id:
            carries = thing.metadata_user_id in keys.user_ids
        else:
            by_email = isinstance(thing, Payment) and thing.email in keys.email_keys
            carries = thing.customer_id in keys.customer_ids or by_email
        return carries and not any(
            it.customer_id == thing.customer_id and it.user_id not in keys.user_ids
            for it in self.accounts.values()
            if thing.customer_id
        )

    def linkable(self, limit: int) -> Sequence[UserId]:
        """Return users for whom there is something unlinked that could be theirs."""
        things: list[Payment | SubscriptionReport] = [
            *(it.payment for it in self.payments.values() if not it.user_id),
            *(it.report for it in self.subscriptions.values() if not it.user_id),
        ]
        customers = {it.customer_id: it.user_id for it in self.accounts.values()}
        emails = {it.email.key: it.user_id for it in self.accounts.values()}
        found = set[UserId]()
        for thing in things:
            bound = customers.get(thing.customer_id) if thing.customer_id else None
            email = thing.email if isinstance(thing, Payment) else None
            if not thing.metadata_user_id:
                found |= {it for it in (bound, emails.get(email or "")) if it}
            elif bound in {None, thing.metadata_user_id}:
                found |= {UserId(thing.metadata_user_id)} & self.accounts.keys()
        return sorted(found)[:limit]

    def is_unlinked(self, row: EventRow) -> bool:
        """Say whether the event reports something that is kept and unlinked."""
        thing = self._thing_of(row)
        return thing is not None and thing.user_id is None

    def kept(self, row: EventRow, *, with_body: bool) -> KeptEvent:
        thing = self._thing_of(row)
        return KeptEvent(
            key=row.event.key,
            outcome=row.outcome,
            created_at=row.event.created_at,
            received_at=row.received_at,
            object_id=row.event.object_id,
            livemode=row.event.livemode,
            user_id=thing.user_id if thing else None,
            body=row.event.body if with_body else None,
        )

    def _thing_of(self, row: EventRow) -> PaymentRecord | Subscription | None:
        # The object of a charge's events is the payment, of a subscription's it.
        object_id = row.event.object_id
        if object_id is None:
            return None
        payment = self.payments.get(PaymentId(object_id))
        return payment or self.subscriptions.get(object_id)


def claims_of(intent: Intent) -> list[tuple[str, ...]]:
    """Return what no other intent may have at the same time."""
    claims: list[tuple[str, ...]] = []
    if intent.key is not None:
        claims.append(("key", intent.key))
    if intent.open:
        claims.append(("open", intent.user_id, intent.kind.value, intent.subject))
    return claims


def _has(account: PaymentAccount, keys: LinkKeys) -> bool:
    return (
        account.user_id in keys.user_ids
        or account.customer_id in keys.customer_ids
        or account.email.key in keys.email_keys
    )
