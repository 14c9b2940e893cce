"""Start an operation: pure functions of a snapshot.

Rule 1: the intent is saved against the account as loaded, before any request is sent to
        the gateway.
Rule 2: one idempotency key is one operation. The same request without a key, while the
        operation is open, means the same operation.
Rule 3: only one operation of a kind may be open on a subject.
Rule 4: a repeated request takes over the operation of a process that died.
Rule 5: an offered trial is given once, also if several requests begin at once: it
        raises the account's version, so the second of two concurrent starts is decided
        again.
"""

import hashlib
from collections.abc import Callable, Iterable
from datetime import datetime
from enum import StrEnum
from typing import Final, Self

import attrs

from payments_core.account import PaymentAccount
from payments_core.changes import Changes, Lookup, Snapshot
from payments_core.errors import AccountNotFound
from payments_core.identity import UserId
from payments_core.intent import (
    NO_PARAMS,
    Intent,
    IntentId,
    IntentKind,
    OperationParams,
)
from payments_core.lease import Lease
from payments_core.linking import LinkKeys
from payments_core.now import Now
from payments_core.ports import NewId
from payments_core.subscription import SubscriptionStatus

# Operations that need a customer at the gateway.
NEED_CUSTOMER: Final = frozenset(
    {
        IntentKind.SET_UP_CARD,
        IntentKind.UPDATE_CARD,
        IntentKind.START_SUBSCRIPTION,
    }
)

Rule = Callable[[PaymentAccount], None]


def no_rule(_: PaymentAccount) -> None:
    """Allow everything."""


@attrs.frozen(kw_only=True)
class OperationRequest:
    """An operation that a caller requests.

    `key` is the owner and the idempotency key in one text; None without a key. `about`
    is what the URL path names. `requested` is the request as received, if `wanted` is
    more precise (a product's price). Both are part of the fingerprint. Only one
    operation of a kind may be open on a `subject`. `offered_trial_days` are free for a
    user who has had no trial (`offered_to`).
    """

    user_id: UserId
    kind: IntentKind
    wanted: OperationParams = NO_PARAMS
    about: str = ""
    requested: OperationParams | None = None
    subject: str = ""
    key: str | None = None
    offered_trial_days: int | None = None

    @property
    def fingerprint(self) -> str:
        return (self.requested or self.wanted).fingerprint(self.kind, self.about)

    @property
    def key_digest(self) -> str | None:
        # A digest, because keys come from outside, with any length and form.
        return self.key and hashlib.sha256(self.key.encode()).hexdigest()


class StartState(StrEnum):
    """The result of starting an operation."""

    # It is leased to us and must be run.
    LEASED = "leased"
    # It has ended before: its answer is returned again.
    REPLAYED = "replayed"
    # Another process runs it, or another operation blocks it.
    BUSY = "busy"
    # The idempotency key was used with another request.
    KEY_REUSED = "key_reused"


@attrs.frozen
class StartedOperation:
    """An intent, and the intent that must run before it, if any.

    `changes` must be saved before it is run; None if everything is saved.
    """

    intent: Intent
    state: StartState
    customer: Intent | None = None
    changes: Changes | None = None

    def saved(self) -> Self:
        """Return it as it is after its changes are saved."""
        customer = self.customer and _next_version(self.customer)
        return type(self)(_next_version(self.intent), self.state, customer)


def _next_version(intent: Intent) -> Intent:
    return attrs.evolve(intent, version=intent.version + 1)


def lookup_of(request: OperationRequest, new: IntentId | None = None) -> Lookup:
    key = request.key_digest
    return Lookup(
        keys=LinkKeys(frozenset({request.user_id})),
        intents=frozenset({new} if new else ()),
        idempotency_keys=frozenset({key} if key else ()),
        open_intents=frozenset({request.user_id}),
    )


def account_in(snapshot: Snapshot) -> PaymentAccount:
    """Return the account that was loaded.

    Raises:
        AccountNotFound: no account was loaded.
    """
    if not snapshot.accounts:
        raise AccountNotFound
    return snapshot.accounts[0]


def new_intent(request: OperationRequest, new_id: NewId, now: Now) -> Intent:
    id_ = new_id()
    return Intent(
        id=IntentId(id_),
        user_id=request.user_id,
        kind=request.kind,
        subject=request.subject,
        wanted=request.wanted,
        key=request.key_digest,
        fingerprint=request.fingerprint,
        lease=Lease(due_at=now.system),
        created_at=now.at,
        writer=id_,
    ).claimed(now.system)


def start_operation(  # noqa: PLR0913  # who asks for what, when, and in whose name
    snapshot: Snapshot,
    request: OperationRequest,
    rule: Rule,
    new: Intent,
    *,
    new_id: NewId,
    now: Now,
) -> StartedOperation:
    """Start `new`, or find the operation that already exists.

    `rule` raises what the account forbids, unless the operation already exists.

    Raises:
        AccountNotFound: there is no such user.
    """
    account = account_in(snapshot)
    started: StartedOperation | None
    kept = next((it for it in snapshot.intents if it.id == new.id), None)
    if kept is not None:
        # The reply to an earlier save was lost.
        started = _as_it_is(kept, new.id, now.system)
        if started == StartedOperation(kept, StartState.LEASED):
            making = _open_intent(snapshot, IntentKind.CREATE_CUSTOMER, "")
            customer = making if making and making.writer == new.id else None
            return StartedOperation(kept, StartState.LEASED, customer)
    else:
        found = find_under_key(snapshot, request, new.id, now.system)
        started = found or _find_open(snapshot, request, new.id, now.system)
    if started is None:
        rule(account)
        customer = customer_for(request.kind, snapshot, new.id, new_id=new_id, now=now)
        trial_days = request.offered_trial_days
        if trial_days is not None and offered_to(account, snapshot.intents):
            wanted = attrs.evolve(new.wanted, trial_days=trial_days)
            new = attrs.evolve(new, wanted=wanted)
            started = StartedOperation(new, StartState.LEASED, customer)
            # Prevents a second start: it would meet another version of the account.
            after = account.saved_as(account.version + 1)
            changes = attrs.evolve(beginning(account, started), after=after)
            return attrs.evolve(started, changes=changes)
        started = StartedOperation(new, StartState.LEASED, customer)
    elif started.intent in snapshot.intents:
        return started
    return attrs.evolve(started, changes=beginning(account, started))


_BOUGHT: Final = frozenset(SubscriptionStatus) - {
    SubscriptionStatus.INCOMPLETE,
    SubscriptionStatus.INCOMPLETE_EXPIRED,
    SubscriptionStatus.CANCELED,
}


def offered_to(account: PaymentAccount, intents: Iterable[Intent]) -> bool:
    """Say whether a user gets the offered trial: only before any subscription.

    Not if the user has had a subscription of any product, in a trial or paid, or if one
    is being started. A subscription whose first payment was never made does not count.
    """
    returned = account.summary.returned_at is not None
    return not any(
        it.status in _BOUGHT
        or it.free_until is not None
        or it.last_paid_period is not None
        or (it.status is SubscriptionStatus.CANCELED and returned)
        for it in account.subscriptions
    ) and not any(
        it.open and it.kind is IntentKind.START_SUBSCRIPTION for it in intents
    )


def find_under_key(
    snapshot: Snapshot, request: OperationRequest, writer: str, now: datetime
) -> StartedOperation | None:
    """Return the existing operation of the idempotency key, if any."""
    key = request.key_digest
    for intent in snapshot.intents:
        if key is None or intent.key != key:
            continue
        if intent.fingerprint != request.fingerprint:
            return StartedOperation(intent, StartState.KEY_REUSED)
        return _as_it_is(intent, writer, now)
    return None


def _find_open(
    snapshot: Snapshot, request: OperationRequest, writer: str, now: datetime
) -> StartedOperation | None:
    intent = _open_intent(snapshot, request.kind, request.subject)
    if intent is None:
        return None
    # The same request without a key of its own is the same operation.
    if request.key is None and intent.fingerprint == request.fingerprint:
        return _taken_over(intent, writer, now)
    return StartedOperation(intent, StartState.BUSY)


def _as_it_is(intent: Intent, writer: str, now: datetime) -> StartedOperation:
    if not intent.open:
        return StartedOperation(intent, StartState.REPLAYED)
    return _taken_over(intent, writer, now)


def _taken_over(intent: Intent, writer: str, now: datetime) -> StartedOperation:
    """Take over an intent whose lease has expired."""
    if intent.lease.is_due(now):
        mine = attrs.evolve(intent.claimed(now), writer=writer)
        return StartedOperation(mine, StartState.LEASED)
    own = bool(writer) and intent.writer == writer
    return StartedOperation(intent, StartState.LEASED if own else StartState.BUSY)


def customer_for(
    kind: IntentKind, snapshot: Snapshot, writer: str, *, new_id: NewId, now: Now
) -> Intent | None:
    """Return the intent, not saved yet, that creates the needed customer.

    None if no customer is needed, or another operation is creating it.
    """
    account = account_in(snapshot)
    if kind not in NEED_CUSTOMER or account.customer_id is not None:
        return None
    known = _open_intent(snapshot, IntentKind.CREATE_CUSTOMER, "")
    if known is None:
        request = OperationRequest(
            user_id=account.user_id, kind=IntentKind.CREATE_CUSTOMER
        )
        return attrs.evolve(new_intent(request, new_id, now), writer=writer)
    started = _taken_over(known, writer, now.system)
    return started.intent if started.state is StartState.LEASED else None


def beginning(account: PaymentAccount, started: StartedOperation) -> Changes:
    """Return the changes that save a start, against the account as loaded."""
    intents = [it for it in (started.customer, started.intent) if it is not None]
    return Changes(
        key=f"user {account.user_id}",
        before=account,
        after=account,
        intents=tuple(sorted(intents, key=lambda intent: intent.id)),
    )


def _open_intent(snapshot: Snapshot, kind: IntentKind, subject: str) -> Intent | None:
    user = account_in(snapshot).user_id
    for intent in snapshot.intents:
        wanted = intent.kind is kind and intent.subject == subject
        if intent.open and wanted and intent.user_id == user:
            return intent
    return None
