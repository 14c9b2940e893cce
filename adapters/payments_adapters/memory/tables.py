"""What survives a commit, and the questions that are asked of it."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Self

import attrs

from payments_core.account import PaymentAccount
from payments_core.errors import ChangedElsewhere
from payments_core.events import EventKey, GatewayEvent, KeptEvent, Outcome
from payments_core.identity import UserId
from payments_core.intent import Intent, IntentId
from payments_core.job import Job, JobKey
from payments_core.payment import Payment, PaymentId
from payments_core.ports import LinkKeys, PaymentRecord, Unlinked
from payments_core.subscription import Subscription, SubscriptionReport


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

    # Accounts are kept without their subscriptions, and handed out with them.
    accounts: dict[UserId, PaymentAccount] = attrs.field(factory=dict)
    payments: dict[PaymentId, PaymentRecord] = attrs.field(factory=dict)
    subscriptions: dict[str, Subscription] = attrs.field(factory=dict)
    events: dict[EventKey, EventRow] = attrs.field(factory=dict)
    intents: dict[IntentId, Intent] = attrs.field(factory=dict)
    jobs: dict[JobKey, Job] = attrs.field(factory=dict)
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
        """Keep an intent, in the place of an earlier one.

        Raises:
            ChangedElsewhere: another has its key, or is open where only one may be.
        """
        before = self.intents.get(intent.id)
        for claim in claims_of(before) if before else ():
            self.claims.pop(claim, None)
        for claim in claims_of(intent):
            if self.claims.setdefault(claim, intent.id) != intent.id:
                raise ChangedElsewhere(self.claims[claim])
        self.intents[intent.id] = intent

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

    def payments_reported_by(self, reports: Iterable[Payment]) -> list[PaymentRecord]:
        ids = {report.id for report in reports}
        return [self.payments[id_] for id_ in sorted(ids) if id_ in self.payments]

    def payments_of(self, users: Iterable[UserId]) -> Sequence[PaymentRecord]:
        owners = frozenset(users)
        return [r for r in self.payments.values() if r.user_id in owners]

    def unlinked_under(self, keys: LinkKeys) -> Unlinked:
        return Unlinked(
            [
                record
                for record in self.payments.values()
                if record.user_id is None and _carries(record.payment, keys)
            ],
            [
                subscription
                for subscription in self.subscriptions.values()
                if subscription.user_id is None and _carries(subscription.report, keys)
            ],
        )

    def linkable(self, limit: int) -> LinkKeys:
        """Return keys of unlinked things for which there is an account."""
        payments = [it.payment for it in self.payments.values() if not it.user_id]
        reports = [it.report for it in self.subscriptions.values() if not it.user_id]
        found = LinkKeys()
        accounts = sorted(self.accounts.values(), key=lambda account: account.user_id)
        for account in accounts:
            keys = _keys_of(account)
            finds = (
                *(_finds(it, keys) for it in payments),
                *(_finds(it, keys) for it in reports),
            )
            if any(finds):
                found = _joined(found, keys)
            if len(found.user_ids) == limit:
                break
        return found

    def is_unlinked(self, row: EventRow) -> bool:
        """Say whether the event reports a thing that is kept, but nobody's yet."""
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


def _carries(thing: Payment | SubscriptionReport, keys: LinkKeys) -> bool:
    return (
        thing.claimed_by in keys.user_ids
        or thing.customer_id in keys.customer_ids
        or (isinstance(thing, Payment) and thing.email in keys.email_keys)
    )


def _finds(thing: Payment | SubscriptionReport, keys: LinkKeys) -> bool:
    """Say whether these keys could be those of a thing's owner."""
    names = keys if not thing.claimed_by else attrs.evolve(keys, email_keys=frozenset())
    return _carries(thing, names)


def _keys_of(account: PaymentAccount) -> LinkKeys:
    customer = account.customer_id
    return LinkKeys(
        frozenset({account.user_id}),
        frozenset({customer} if customer else ()),
        frozenset({account.email.key}),
    )


def _joined(left: LinkKeys, right: LinkKeys) -> LinkKeys:
    return LinkKeys(
        left.user_ids | right.user_ids,
        left.customer_ids | right.customer_ids,
        left.email_keys | right.email_keys,
    )
