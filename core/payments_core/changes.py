"""What a load returns and what a save takes: the two halves of `Ledger`.

Rule 1: a snapshot shows one point in time, read without a lock. It may be out of date
        by the time of the save, which then reports that.
Rule 2: changes come in groups: one for each account, and one for each thing without an
        account. A group is saved whole or not at all, independent of other groups.
Rule 3: a group names every guard that it depends on: the account's version, the
        versions of unlinked things, of link keys and of intents, the state of pending
        events.
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
    """What a load must find.

    The accounts under `keys` and the owners of the named payments and subscriptions,
    all with their subscriptions. `histories`: the accounts of which all payments are
    loaded (of a long history the plain payments as sums:
    `payments_core.plain_payments`), and all paid periods of their subscriptions;
    `whole_histories`: the same without sums. `periods_of`: the subscriptions of which
    the paid periods are loaded. `unlinked`: the keys of payments and subscriptions
    without an owner. `link_keys`: the keys of which the versions are loaded.
    `open_intents`: the users of whom all open intents are loaded. `customers` are named
    by events: like `keys` they are looked up among tombstones.
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
        """Return all names that may be erased, in the form of `LinkKeys.names`."""
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
    """The result of one load, for `lookup`.

    `sequence` was drawn with it and is greater than all drawn before. A key that is not
    in `link_versions` has version 0. `buckets` are the sums of the payments that are
    not in `histories`. `former_keys` are the lookup's keys that some user had before,
    and all former keys of the users in `unlinked` of the lookup. `erased` are the
    lookup's names that were erased, and when.
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
    """A job is finished by the process that claimed it with this fence.

    The events that wait for it get the outcome. `after` is the finished job. A job that
    was requested again meanwhile is due again at `again_at` instead, and no event is
    settled.
    """

    claimed: Job
    after: Job
    outcome: Outcome | None
    again_at: datetime


@attrs.frozen(kw_only=True)
class Changes:
    """Everything that one save writes in one group, and why.

    `before` is the account as loaded; None with an `after`: it is new. `after` has its
    version after the save. Payments, subscriptions and intents have the version that
    they were loaded with; 0: they are new. `link_versions` are compared and raised.
    `cause` and `sources` say what changed it. `verdict` is the verdict of `after`,
    `policy` the policy that it was decided with. `logs_anyway`: the verdict is logged
    although it is unchanged, because time has passed or the log had no row for it.
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
    # Derived once: it is logged, and stored next to what it is derived from.
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
        """Return the log row to save with it; None: the verdict is unchanged."""
        before, after, verdict = self.before, self.after, self.verdict
        if after is None or verdict is None or after is before:
            return None
        # A change of the status, the date, the grace or a grant can move an end.
        if (
            before is not None
            and not self.logs_anyway
            and verdict == verdict_of(before.summary, before.subscriptions)
        ):
            return None
        status_by, date_by = verdict.rests_on
        catalogue, grants = self.policy.catalogue, verdict.grants
        until = verdict.entitled_until(self.policy)
        # Without a call if there is one grant: most webhooks take this path.
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
    """The result of saving a group."""

    SAVED = "saved"
    # A guard no longer holds: load and decide again.
    CHANGED = "changed"
    # A row that it writes is locked: try again shortly.
    LOCKED = "locked"
    # Another account has the e-mail or the customer.
    TAKEN = "taken"


@attrs.frozen
class Claimed:
    """Work that was claimed, and a number drawn with the claim: see `Snapshot`."""

    work: Job | Intent
    sequence: int
