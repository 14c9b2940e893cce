"""What a load finds, and what a save does: the two halves of `Ledger`.

Rule 1: a snapshot is one moment's, read without a lock. It may be out of date by the
        time of the save, which then says so.
Rule 2: changes come in groups: one an account, or one a thing that has no account. A
        group is saved whole or not at all, whatever happens to its neighbours.
Rule 3: a group names all that it rests on: the account's version, the versions of
        unlinked things, of link keys and of intents, the state of pending events.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Self

import attrs

from payments_core.account import PaymentAccount
from payments_core.account_log import LoggedVerdict, first_end
from payments_core.by_hand import ChangeByHand
from payments_core.catalogue import NO_VERSION
from payments_core.entitlement import AccountVerdict, verdict_of
from payments_core.events import EventKey, EventState, GatewayEvent, Outcome
from payments_core.identity import CustomerId, UserId
from payments_core.intent import Intent, IntentId
from payments_core.job import Job
from payments_core.linking import (
    NO_KEYS,
    NOTHING_UNLINKED,
    FormerKey,
    LinkKeys,
    Unlinked,
)
from payments_core.payment import PaymentId, PaymentRecord
from payments_core.payment_buckets import PaymentBucket
from payments_core.policy import DEFAULT_POLICY, Policy
from payments_core.subscription import PaidPeriod, Subscription


@attrs.frozen(kw_only=True)
class Lookup:
    """What a load has to find.

    Accounts under `keys`, and the owners of the payments and subscriptions that are
    named, all with their subscriptions. `histories` are all payments of an account, of
    a long history the plain ones in sums (`payments_core.plain_payments`), and all paid
    periods of its subscriptions; `whole_histories` are those of these accounts without
    any sums. `periods_of` are the paid periods of a subscription,
    `unlinked` what has no owner and carries one of the keys, `link_keys` the keys
    whose versions are wanted, `open_intents` those of whom all open ones are.
    `customers` are named by events: like `keys` they are looked for among tombstones.
    """

    keys: LinkKeys = NO_KEYS
    payments: frozenset[PaymentId] = frozenset()
    subscriptions: frozenset[str] = frozenset()
    events: frozenset[EventKey] = frozenset()
    histories: frozenset[UserId] = frozenset()
    whole_histories: frozenset[UserId] = frozenset()
    periods_of: frozenset[str] = frozenset()
    unlinked: LinkKeys = NO_KEYS
    link_keys: LinkKeys = NO_KEYS
    intents: frozenset[IntentId] = frozenset()
    idempotency_keys: frozenset[str] = frozenset()
    open_intents: frozenset[UserId] = frozenset()
    customers: frozenset[CustomerId] = frozenset()

    def names(self) -> frozenset[str]:
        """Return all that may have been erased, as `LinkKeys.names` has it."""
        own = (f"customer {it}" for it in self.customers)
        return frozenset((*self.keys.names(), *own))

    def __or__(self, other: Self) -> Self:
        return type(self)(
            **{
                field.name: getattr(self, field.name) | getattr(other, field.name)
                for field in attrs.fields(type(self))
            }
        )


@attrs.frozen(kw_only=True)
class Snapshot:
    """What one load found, for `lookup`.

    `sequence` was drawn with it: greater than all that were drawn before. A key that
    is not in `link_versions` has version 0. `buckets` are the payments of the histories
    that are not in `histories` themselves. `former_keys` are those of the lookup's
    keys that somebody had, and all that its users had for whom something unlinked is
    looked for. `erased` are those of the lookup's names that were erased, and when.
    """

    lookup: Lookup
    sequence: int
    accounts: Sequence[PaymentAccount] = ()
    payments: Sequence[PaymentRecord] = ()
    subscriptions: Sequence[Subscription] = ()
    events: Mapping[EventKey, EventState] = attrs.field(factory=dict)
    histories: Sequence[PaymentRecord] = ()
    buckets: Sequence[PaymentBucket] = ()
    periods: Sequence[PaidPeriod] = ()
    unlinked: Unlinked = NOTHING_UNLINKED
    link_versions: Mapping[str, int] = attrs.field(factory=dict)
    former_keys: Sequence[FormerKey] = ()
    intents: Sequence[Intent] = ()
    erased: Mapping[str, datetime] = attrs.field(factory=dict)


@attrs.frozen
class JobFinish:
    """A job is done, by who claimed it with this fence.

    The events that wait for it get the outcome. `after` is the job as it then is. One
    that was asked for meanwhile is due again instead, at `again_at`, and no event is
    settled.
    """

    claimed: Job
    after: Job
    outcome: Outcome | None
    again_at: datetime


@attrs.frozen(kw_only=True)
class Changes:
    """All that one save does in one group, and why.

    `before` is the account as loaded; None with an `after`: it is new. `after` has the
    version that it will have. Payments, subscriptions and intents have the version
    that they were loaded with; 0: they are new. `link_versions` are compared and
    raised. `cause` and `sources` say what it was changed by. `verdict` is that of the
    account in `after`, `policy` the one by which it was decided. `logs_anyway`: it is
    logged although it stays: time has passed, or the log did not say it.
    """

    key: str
    before: PaymentAccount | None = None
    after: PaymentAccount | None = None
    payments: tuple[PaymentRecord, ...] = ()
    subscriptions: tuple[Subscription, ...] = ()
    periods: tuple[PaidPeriod, ...] = ()
    events: tuple[tuple[GatewayEvent, Outcome], ...] = ()
    resolved: tuple[tuple[EventKey, Outcome], ...] = ()
    link_versions: Mapping[str, int] = attrs.field(factory=dict)
    former_keys: tuple[FormerKey, ...] = ()
    by_hand: tuple[ChangeByHand, ...] = ()
    jobs: tuple[Job, ...] = ()
    finished: tuple[JobFinish, ...] = ()
    intents: tuple[Intent, ...] = ()
    cause: str = ""
    sources: tuple[str, ...] = ()
    policy: Policy = DEFAULT_POLICY
    logs_anyway: bool = False
    # Derived once: it is logged, and stored beside what it is derived from.
    verdict: AccountVerdict | None = attrs.field(init=False, eq=False, repr=False)

    @verdict.default
    def _verdict_after(self) -> AccountVerdict | None:
        after = self.after
        if after is None:
            return None
        return verdict_of(after.summary, after.subscriptions)

    @property
    def changes_account(self) -> bool:
        return self.after is not self.before

    def logged(self, at: datetime) -> LoggedVerdict | None:
        """Return the row of the log that is saved with it; None: the verdict stays."""
        before, after, verdict = self.before, self.after, self.verdict
        if after is None or verdict is None or after is before:
            return None
        # The status, the date, the grace or what gives access: each moves an end.
        if (
            before is not None
            and not self.logs_anyway
            and verdict == verdict_of(before.summary, before.subscriptions)
        ):
            return None
        status_by, date_by = verdict.rests_on
        catalogue, grants = self.policy.catalogue, verdict.grants
        until = verdict.entitled_until(self.policy)
        # Without a call where there is one: on the way of every webhook, and mostly so.
        ends_at = until if until is not None and until > at else None
        if len(grants) > 1:
            ends_at = first_end((it.until(self.policy) for it in grants), at)
        return LoggedVerdict(
            version=after.version,
            at=at,
            payment_status=verdict.payment_status,
            payment_expire_date=verdict.payment_expire_date,
            entitled_until=until,
            grace=self.policy.grace,
            status_by=status_by,
            date_by=date_by,
            cause=self.cause or "changed",
            sources=self.sources,
            grants=grants,
            catalogue=catalogue.version if catalogue else NO_VERSION,
            ends_at=ends_at,
        )


class SaveResult(StrEnum):
    """What became of a group."""

    SAVED = "saved"
    # Something that it rests on is otherwise by now: load again, and decide anew.
    CHANGED = "changed"
    # Something that it writes is locked: try again in a moment.
    LOCKED = "locked"
    # Another account has the e-mail or the customer.
    TAKEN = "taken"


@attrs.frozen
class Claimed:
    """Work that was claimed, and a number drawn with the claim: see `Snapshot`."""

    work: Job | Intent
    sequence: int
