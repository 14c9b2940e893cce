"""The saved state, and queries on it."""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from operator import itemgetter
from typing import Final, Self, TypeVar

import attrs

from payments_core.account import PaymentAccount
from payments_core.account_log import LoggedVerdict
from payments_core.by_hand import ChangeByHand
from payments_core.changes import Lookup
from payments_core.erasure import PSEUDONYM
from payments_core.events import EventKey, GatewayEvent, Outcome
from payments_core.identity import CustomerId, UserId
from payments_core.intent import Intent, IntentId
from payments_core.job import Job, JobState
from payments_core.job_key import JobKey
from payments_core.kept_events import KeptEvent
from payments_core.linking import (
    UNLINKED_MAX,
    EmailHolders,
    FormerKey,
    KeyKind,
    LinkKeys,
    Unlinked,
)
from payments_core.payment import Payment, PaymentId, PaymentRecord
from payments_core.plain_payments import PlainPayments
from payments_core.subscription import PaidPeriod, Subscription, SubscriptionReport
from payments_core.tombstones import Tombstones

_Name = TypeVar("_Name", bound=str)

# In memory there is no second key.
TOMBSTONES: Final = Tombstones(b"in memory")


@attrs.frozen
class EventRow:
    """An event as received, when it was received, and its outcome.

    `has_body` says whether its body is stored, `of_day` whether with those of its day.
    `user_id` is the user in whose timeline it is.
    """

    event: GatewayEvent
    received_at: datetime
    outcome: Outcome
    user_id: UserId | None = None
    has_body: bool = True
    of_day: bool = True


@attrs.define
class Tables:
    """Never changed once they are saved: changes are made on a copy.

    Rows are frozen, so returning one returns a value. They are written only by methods
    of this class, which copy what is shared and maintain the indexes.
    """

    # Accounts are stored without their subscriptions, and returned with them.
    accounts: dict[UserId, PaymentAccount] = attrs.field(factory=dict)
    payments: dict[PaymentId, PaymentRecord] = attrs.field(factory=dict)
    subscriptions: dict[str, Subscription] = attrs.field(factory=dict)
    events: dict[EventKey, EventRow] = attrs.field(factory=dict)
    intents: dict[IntentId, Intent] = attrs.field(factory=dict)
    jobs: dict[JobKey, Job] = attrs.field(factory=dict)
    # When finished jobs were finished.
    finished_at: dict[JobKey, datetime] = attrs.field(factory=dict)
    # The greatest fence of a job that was purged.
    purged_fence: int = 0
    link_versions: dict[str, int] = attrs.field(factory=dict)
    periods: dict[tuple[str, str], PaidPeriod] = attrs.field(factory=dict)
    former_keys: tuple[FormerKey, ...] = ()
    changes_by_hand: tuple[tuple[datetime, ChangeByHand], ...] = ()
    account_log: dict[tuple[UserId, int], LoggedVerdict] = attrs.field(factory=dict)
    # The position of each change of the log that has one, and the last one given.
    positions: dict[tuple[UserId, int], int] = attrs.field(factory=dict)
    last_position: int = 0
    # When a user's access to something ends next.
    access_ends: dict[UserId, datetime] = attrs.field(factory=dict)
    # Tombstones.
    erased: dict[bytes, datetime] = attrs.field(factory=dict)
    # For each erasure in progress, the identifiers of the user.
    erasures: dict[UserId, tuple[datetime, frozenset[str]]] = attrs.field(factory=dict)
    # Indexes, as in a database: accounts by their unique columns, the objects of a
    # user, pending events by what they wait for, and intents by what only one of them
    # may have.
    customers: dict[CustomerId, UserId] = attrs.field(factory=dict)
    emails: dict[str, UserId] = attrs.field(factory=dict)
    subscriptions_of: dict[UserId, frozenset[str]] = attrs.field(factory=dict)
    payments_by: dict[UserId, frozenset[PaymentId]] = attrs.field(factory=dict)
    # By subscription.
    invoices_of: dict[str, frozenset[str]] = attrs.field(factory=dict)
    open_intents: dict[UserId, frozenset[IntentId]] = attrs.field(factory=dict)
    # Events by user, and by object: both follow from the rows.
    events_of: dict[UserId, frozenset[EventKey]] = attrs.field(factory=dict, eq=False)
    events_about: dict[str, frozenset[EventKey]] = attrs.field(factory=dict, eq=False)
    waiting: dict[JobKey, frozenset[EventKey]] = attrs.field(factory=dict)
    claims: dict[tuple[str, ...], IntentId] = attrs.field(factory=dict)
    # The names of the dictionaries that are not shared with another copy.
    _own: set[str] = attrs.field(init=False, factory=set, eq=False, repr=False)

    def copy(self) -> Self:
        """Return a copy to change; unchanged dictionaries are shared."""
        self._own.clear()
        return attrs.evolve(self)

    def _write(self, *names: str) -> None:
        for name in names:
            if name not in self._own:
                setattr(self, name, dict(getattr(self, name)))
                self._own.add(name)

    def put_account(self, account: PaymentAccount) -> None:
        """Store an account without its subscriptions, replacing an earlier one."""
        self._write("accounts", "customers", "emails")
        before = self.accounts.get(account.user_id)
        if before is not None:
            self.emails.pop(before.email.key, None)
            if before.customer_id:
                self.customers.pop(before.customer_id, None)
        self.emails[account.email.key] = account.user_id
        if account.customer_id:
            self.customers[account.customer_id] = account.user_id
        self.accounts[account.user_id] = attrs.evolve(account, subscriptions=())

    def put_payment(self, record: PaymentRecord) -> None:
        self._write("payments", "payments_by")
        id_ = record.payment.id
        before = self.payments.get(id_)
        if before is not None and before.user_id:
            self.payments_by[before.user_id] -= {id_}
        if user := record.user_id:
            theirs = self.payments_by.get(user, frozenset())
            self.payments_by[user] = theirs | {id_}
        self.payments[id_] = record

    def put_subscription(self, subscription: Subscription) -> None:
        """Store a subscription, replacing an earlier one."""
        self._write("subscriptions", "subscriptions_of")
        id_ = subscription.gateway_id
        before = self.subscriptions.get(id_)
        if before is not None and before.user_id:
            self.subscriptions_of[before.user_id] -= {id_}
        if user := subscription.user_id:
            theirs = self.subscriptions_of.get(user, frozenset())
            self.subscriptions_of[user] = theirs | {id_}
        self.subscriptions[id_] = subscription

    def put_event(self, row: EventRow) -> None:
        """Store an event's row, replacing an earlier one."""
        self._write("events", "waiting", "events_of", "events_about")
        key = row.event.key
        self._unindex_event(key)
        if job := row.outcome.waits_for:
            self.waiting[job] = self.waiting.get(job, frozenset()) | {key}
        if user := row.user_id:
            self.events_of[user] = self.events_of.get(user, frozenset()) | {key}
        if thing := row.event.object_id:
            about = self.events_about.get(thing, frozenset())
            self.events_about[thing] = about | {key}
        self.events[key] = row

    def _unindex_event(self, key: EventKey) -> None:
        before = self.events.get(key)
        if before is None:
            return
        if job := before.outcome.waits_for:
            self.waiting[job] -= {key}
        # No key stays without an event.
        if user := before.user_id:
            _take_out(self.events_of, user, key)
        if thing := before.event.object_id:
            _take_out(self.events_about, thing, key)

    def move_events(
        self, about: str, *, whose: UserId | None, to: UserId | None
    ) -> None:
        """Move a user's events about an object to another user."""
        for key in self.events_about.get(about, frozenset()):
            row = self.events[key]
            if row.user_id == whose:
                self.put_event(attrs.evolve(row, user_id=to))

    def put_intent(self, intent: Intent) -> None:
        """Store an intent, replacing an earlier one."""
        self._write("intents", "claims", "open_intents")
        before = self.intents.get(intent.id)
        for claim in claims_of(before) if before else ():
            self.claims.pop(claim, None)
        for claim in claims_of(intent):
            self.claims[claim] = intent.id
        theirs = self.open_intents.get(intent.user_id, frozenset()) - {intent.id}
        self.open_intents[intent.user_id] = (
            theirs | {intent.id} if intent.open else theirs
        )
        self.intents[intent.id] = intent

    def put_job(self, job: Job, finished_at: datetime | None = None) -> None:
        """Store a job; a finished one with the time."""
        self._write("jobs", "finished_at")
        self.jobs[job.key] = job
        if job.state is JobState.OPEN:
            self.finished_at.pop(job.key, None)
        elif finished_at is not None:
            self.finished_at[job.key] = finished_at

    def purge_job(self, key: JobKey) -> None:
        """Delete a job; a later job with its key has a greater fence."""
        self._write("jobs", "finished_at")
        self.finished_at.pop(key, None)
        fence = self.jobs.pop(key).lease.fence
        self.purged_fence = max(self.purged_fence, fence)

    def bury(self, digest: bytes, at: datetime) -> None:
        self._write("erased")
        self.erased[digest] = max(at, self.erased.get(digest, at))

    def begin_erasure(
        self, pseudonym: UserId, at: datetime, names: frozenset[str]
    ) -> None:
        self._write("erasures")
        self.erasures[pseudonym] = at, names

    def end_erasure(self, pseudonym: UserId) -> None:
        self._write("erasures")
        self.erasures.pop(pseudonym, None)

    def drop_account(self, user: UserId) -> None:
        """Delete an account that has nothing left."""
        self._write("accounts", "customers", "emails")
        self._write("subscriptions_of", "payments_by", "open_intents")
        before = self.accounts.pop(user)
        self.emails.pop(before.email.key, None)
        if before.customer_id:
            self.customers.pop(before.customer_id, None)
        self.subscriptions_of.pop(user, None)
        self.payments_by.pop(user, None)
        self.open_intents.pop(user, None)

    def drop_link_version(self, name: str) -> None:
        self._write("link_versions")
        self.link_versions.pop(name, None)

    def rename_in_logs(
        self,
        user: UserId,
        pseudonym: UserId,
        customers: Collection[CustomerId],
        things: Collection[str],
    ) -> None:
        """Remove a user, and what was theirs, from everything that was logged.

        The record of what was done by hand to any of `things` stays: they name nobody.
        """
        self._write("account_log", "positions", "access_ends")
        self.access_ends.pop(user, None)
        for key, entry in list(self.account_log.items()):
            if key[0] == user:
                del self.account_log[key]
                if position := self.positions.pop(key, 0):
                    self.positions[pseudonym, key[1]] = position
                self.account_log[pseudonym, key[1]] = attrs.evolve(
                    entry,
                    cause="erased",
                    sources=(),
                    status_by=None,
                    date_by=None,
                    grants=None,
                )
        renamed = {name for it in customers for name in (it, f"customer:{it}")}
        kept = {
            name
            for it in things
            for name in (it, f"payment:{it}", f"subscription:{it}")
        }
        self.changes_by_hand = tuple(
            (at, _renamed(it, user, pseudonym, renamed, kept))
            for at, it in self.changes_by_hand
        )

    def bare_by_hand(self, events: Collection[EventKey]) -> None:
        """Keep only that something was done by hand to events or their jobs."""
        jobs = {f"event:{it.id}:{it.type}" for it in events}
        self.changes_by_hand = tuple(
            (
                at,
                _bare(it)
                if EventKey(it.subject, it.event_type or "") in events
                or it.subject in jobs
                else it,
            )
            for at, it in self.changes_by_hand
        )

    def purge_event(self, key: EventKey) -> None:
        """Delete an event that is not pending."""
        self._write("events", "waiting", "events_of", "events_about")
        self._unindex_event(key)
        del self.events[key]

    def purge_intent(self, id_: IntentId) -> None:
        """Delete an intent that has ended."""
        self._write("intents", "claims")
        for claim in claims_of(self.intents.pop(id_)):
            self.claims.pop(claim, None)

    def put_link_version(self, name: str, version: int) -> None:
        self._write("link_versions")
        self.link_versions[name] = version

    def put_period(self, period: PaidPeriod) -> None:
        self._write("periods", "invoices_of")
        id_, invoice = period.gateway_id, period.invoice_id
        paid = self.invoices_of.get(id_, frozenset())
        self.invoices_of[id_] = paid | {invoice}
        self.periods[id_, invoice] = period

    def add_by_hand(self, at: datetime, changes: Sequence[ChangeByHand]) -> None:
        self.changes_by_hand = (*self.changes_by_hand, *((at, it) for it in changes))

    def add_former_keys(self, keys: Sequence[FormerKey]) -> None:
        self.former_keys = (*self.former_keys, *keys)

    def log_account(self, user: UserId, logged: LoggedVerdict) -> None:
        self._write("account_log")
        self.account_log[user, logged.version] = logged

    def give_positions(self, limit: int) -> int:
        """Give positions to about `limit` changes that have none, oldest first."""
        left = sorted(
            (it.at, *key)
            for key, it in self.account_log.items()
            if key not in self.positions
        )
        newest = dict[UserId, int]()
        for _, user, version in left[:limit]:
            newest[user] = max(version, newest.get(user, 0))
        # With all earlier changes of the same user: clocks may differ.
        ready_at = dict[UserId, datetime]()
        ready = list[tuple[datetime, UserId, int]]()
        for at, user, version in sorted(left, key=itemgetter(2)):
            if version <= newest.get(user, 0):
                ready_at[user] = max(at, ready_at.get(user, at))
                ready.append((ready_at[user], user, version))
        self._write("positions", "access_ends")
        for _, user, version in sorted(ready):
            self.last_position += 1
            self.positions[user, version] = self.last_position
        for user, version in newest.items():
            self.access_ends.pop(user, None)
            due_at = self.account_log[user, version].ends_at
            if due_at is not None and not user.startswith(PSEUDONYM):
                self.access_ends[user] = due_at
        return len(ready)

    def forget_access_end(self, user: UserId) -> None:
        self._write("access_ends")
        self.access_ends.pop(user, None)

    def intents_under(self, lookup: Lookup) -> Sequence[Intent]:
        """Return the intents that a lookup names, in the order of ids."""
        ids = {it for it in lookup.intents if it in self.intents}
        for key in lookup.idempotency_keys:
            if id_ := self.claims.get(("key", key)):
                ids.add(id_)
        for user in lookup.open_intents:
            ids |= self.open_intents.get(user, frozenset())
        return [self.intents[it] for it in sorted(ids)]

    def all_open_intents(self) -> Sequence[Intent]:
        return [self.intents[it] for ids in self.open_intents.values() for it in ids]

    def whole(self, account: PaymentAccount) -> PaymentAccount:
        """Return an account with its subscriptions."""
        for id_ in self.subscriptions_of.get(account.user_id, ()):
            account = account.with_subscription(self.subscriptions[id_])
        return account

    def accounts_under(self, keys: LinkKeys) -> Sequence[PaymentAccount]:
        """Return the accounts that have any of the keys, in the order of ids."""
        users = keys.user_ids & self.accounts.keys()
        users |= {
            self.customers[it] for it in keys.customer_ids & self.customers.keys()
        }
        users |= {self.emails[it] for it in keys.email_keys & self.emails.keys()}
        users |= {it.user_id for it in self.former_under(keys)}
        return [self.whole(self.accounts[it]) for it in sorted(users)]

    def former_under(
        self, keys: LinkKeys, users: frozenset[UserId] = frozenset()
    ) -> Sequence[FormerKey]:
        """Return the former keys of all users who had any of the keys."""
        wanted = {KeyKind.EMAIL: keys.email_keys, KeyKind.CUSTOMER: keys.customer_ids}
        return [
            it
            for it in self.former_keys
            if it.key in wanted[it.kind] or it.user_id in users
        ]

    def payments_of(self, users: Iterable[UserId]) -> Sequence[PaymentRecord]:
        ids = (it for user in users for it in self.payments_by.get(user, ()))
        return [self.payments[it] for it in sorted(ids)]

    def plain_payments_of(self, user: UserId) -> PlainPayments:
        """Return which of a user's payments are plain."""
        owned = self.subscriptions_of.get(user, frozenset())
        periods = self._periods_of(owned)
        subscriptions = [self.subscriptions[it] for it in owned]
        payments = (it.payment for it in self.payments_of([user]))
        return PlainPayments.of(subscriptions, periods, payments)

    def periods_under(self, lookup: Lookup) -> Sequence[PaidPeriod]:
        ids = set(lookup.periods_of)
        for user in lookup.histories:
            ids |= self.subscriptions_of.get(user, frozenset())
        return self._periods_of(ids)

    def _periods_of(self, ids: Iterable[str]) -> Sequence[PaidPeriod]:
        return [
            self.periods[id_, invoice]
            for id_ in sorted(ids)
            for invoice in sorted(self.invoices_of.get(id_, ()))
        ]

    def unlinked_under(self, keys: LinkKeys) -> Unlinked:
        if not keys:
            return Unlinked()
        payments = [
            record
            for _, record in sorted(self.payments.items())
            if record.user_id is None
            and not record.linked_by_hand
            and self._is_under(record.payment, keys)
        ]
        subscriptions = [
            subscription
            for _, subscription in sorted(self.subscriptions.items())
            if subscription.user_id is None
            and not subscription.linked_by_hand
            and self._is_under(subscription.report, keys)
        ]
        return Unlinked(payments[:UNLINKED_MAX], subscriptions[:UNLINKED_MAX])

    def _is_under(self, thing: Payment | SubscriptionReport, keys: LinkKeys) -> bool:
        """Return whether a thing carries one of the keys, and is no other user's."""
        if thing.metadata_user_id:
            carries = thing.metadata_user_id in keys.user_ids
        else:
            by_email = (
                isinstance(thing, Payment)
                and thing.email in keys.email_keys
                and self._may_be_held_by(thing, keys)
            )
            carries = thing.customer_id in keys.customer_ids or by_email
        return carries and (
            not thing.customer_id
            or self._bound_to(thing.customer_id) in {None, *keys.user_ids}
        )

    def carrying(self, user: UserId, keys: LinkKeys) -> Unlinked:
        """Return what has no owner, also by hand, and would be the keys' user's."""

        def is_theirs(thing: Payment | SubscriptionReport) -> bool:
            if thing.customer_id in keys.customer_ids:
                return True
            if thing.customer_id and self._bound_to(thing.customer_id) not in {
                None,
                user,
            }:
                return False
            if thing.metadata_user_id:
                return thing.metadata_user_id == user
            return isinstance(thing, Payment) and thing.email in keys.email_keys

        return Unlinked(
            [
                it
                for it in self.payments.values()
                if it.user_id is None and is_theirs(it.payment)
            ],
            [
                it
                for it in self.subscriptions.values()
                if it.user_id is None and is_theirs(it.report)
            ],
        )

    def _may_be_held_by(self, payment: Payment, keys: LinkKeys) -> bool:
        """Return whether one of these users had its e-mail, or no user ever had it."""
        holders = self._holders(payment.email or "")
        if holders.current is None and not holders.former:
            return True
        return holders.at(payment.created_at) in keys.user_ids

    def _holders(self, email: str) -> EmailHolders:
        current = self.emails.get(email)
        return EmailHolders(
            [
                it
                for it in self.former_keys
                if it.kind is KeyKind.EMAIL and it.key == email
            ],
            current,
            self.accounts[current].email_since if current else None,
        )

    def _bound_to(self, customer: CustomerId | None) -> UserId | None:
        """Return the user of a customer, also of one that the gateway deleted."""
        if customer is None or customer in self.customers:
            return self.customers[customer] if customer else None
        former = self.former_under(LinkKeys(customer_ids=frozenset({customer})))
        return former[0].user_id if former else None

    def linkable(self, limit: int) -> Sequence[UserId]:
        """Return users to whom something unlinked could be linked."""
        things: list[Payment | SubscriptionReport] = [
            *(
                it.payment
                for it in self.payments.values()
                if not (it.user_id or it.linked_by_hand)
            ),
            *(
                it.report
                for it in self.subscriptions.values()
                if not (it.user_id or it.linked_by_hand)
            ),
        ]
        found = set[UserId]()
        for thing in things:
            bound = self._bound_to(thing.customer_id)
            held = None
            if bound is None and isinstance(thing, Payment) and thing.email:
                held = self._holders(thing.email).at(thing.created_at)
            if not thing.metadata_user_id:
                found |= {it for it in (bound, held) if it}
            elif bound in {None, thing.metadata_user_id}:
                found |= {UserId(thing.metadata_user_id)} & self.accounts.keys()
        return sorted(found)[:limit]

    def is_unlinked(self, row: EventRow) -> bool:
        """Return whether the event reports something that is stored unlinked."""
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
            body=row.event.body if with_body and row.has_body else None,
        )

    def _thing_of(self, row: EventRow) -> PaymentRecord | Subscription | None:
        # A charge's events are about the payment, a subscription's about the
        # subscription.
        object_id = row.event.object_id
        if object_id is None:
            return None
        payment = self.payments.get(PaymentId(object_id))
        return payment or self.subscriptions.get(object_id)


def _take_out(
    index: dict[_Name, frozenset[EventKey]], name: _Name, key: EventKey
) -> None:
    if left := index.pop(name) - {key}:
        index[name] = left


def _renamed(
    change: ChangeByHand,
    user: UserId,
    pseudonym: UserId,
    renamed: Collection[str],
    kept: Collection[str],
) -> ChangeByHand:
    """Return a change by hand without the user's names, if it was done to them."""
    is_theirs = (
        change.user_id == user
        or change.subject in renamed
        or change.subject in kept
        or change.instead_of in renamed
    )
    if not is_theirs:
        return change
    return attrs.evolve(
        _bare(change),
        user_id=pseudonym if change.user_id == user else change.user_id,
        subject=pseudonym if change.subject in renamed else change.subject,
    )


def _bare(change: ChangeByHand) -> ChangeByHand:
    decided = attrs.evolve(change.decided, reason="erased")
    return attrs.evolve(change, instead_of=None, decided=decided)


def claims_of(intent: Intent) -> list[tuple[str, ...]]:
    """Return what only one intent may have at a time."""
    claims: list[tuple[str, ...]] = []
    if intent.key is not None:
        claims.append(("key", intent.key))
    if intent.open:
        claims.append(("open", intent.user_id, intent.kind.value, intent.subject))
    return claims
