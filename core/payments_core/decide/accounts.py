"""Decide on registrations, bindings and cards, and on what they link.

Rule 1: an e-mail and a customer belong to one account at a time; none is taken from
        another account. Former owners are recorded.
Rule 2: a binding by an operation does not replace one made by hand meanwhile.
Rule 3: a fetched card applies if no newer card is known than its sequence number;
        otherwise it is fetched again. An event about a card causes a sync of it, unless
        it says nothing new or was caused by an operation of ours that has not failed.
Rule 4: only what certainly belongs to the account is linked: see
        `payments_core.linking`.
Rule 5: an erased user cannot register again, and their customer is not bound again: see
        `payments_core.erasure`.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import attrs

from payments_core.account import PaymentAccount
from payments_core.by_hand import ActionByHand, ChangeByHand
from payments_core.changes import Lookup
from payments_core.decide.decision import customer_job, event_job
from payments_core.decide.group import Group
from payments_core.decide.known import Known
from payments_core.decide.lookups import claims_of
from payments_core.decide.payments import put_payment
from payments_core.decide.subscriptions import put_subscription
from payments_core.errors import (
    AccountErased,
    CustomerTaken,
    EmailTaken,
    EventApplied,
    EventNotFound,
    OperationInProgress,
    Rejected,
)
from payments_core.events import (
    CardReported,
    EventState,
    ObjectChanged,
    Outcome,
    QuarantineNeeded,
    ReadFailed,
    SyncNeeded,
)
from payments_core.facts import (
    APPLIED,
    CardObserved,
    CloseDecided,
    CustomerBound,
    CustomerDeleted,
    DoneByHand,
    LinkRequested,
    LogGapFound,
    SourcedFacts,
    UserRegistered,
)
from payments_core.identity import CustomerId
from payments_core.linking import (
    EmailHolders,
    FormerKey,
    KeyKind,
    LinkKeys,
    link_keys,
)
from payments_core.payment import Payment
from payments_core.subscription import SubscriptionReport

# The card is synced when the customer is bound.
_UNBOUND_CUSTOMER: Final = Outcome(EventState.IGNORED, "its customer is not bound")


def observe_card(group: Group, fact: CardObserved, source: SourcedFacts) -> Outcome:
    account = group.account
    # A customer that was unbound has no card of ours.
    if account is None or account.customer_id != fact.customer_id:
        return source.job_outcome
    if fact.sequence < account.card_sequence:
        # Only the gateway knows which of the two is newer.
        job, reason = customer_job(fact.customer_id), "a newer report came first"
        group.sync(job, reason)
        return Outcome(EventState.PENDING, reason, job)
    # An operation's result holds as of now; a fetched card as of its sequence number.
    is_done = source.intent is not None
    sequence = group.known.snapshot.sequence if is_done else fact.sequence
    group.account = account.with_card(fact.card, sequence=sequence)
    group.note("card observed")
    return source.job_outcome


def report_card(group: Group, fact: CardReported, source: SourcedFacts) -> Outcome:
    account = group.account
    if account is None or account.customer_id != fact.customer_id:
        return _UNBOUND_CUSTOMER
    if group.is_own_card_change(source):
        return APPLIED
    if fact.agrees_with(account.card):
        group.confirm_card()
        return APPLIED
    job = customer_job(fact.customer_id)
    group.sync(job, fact.reason)
    return Outcome(EventState.PENDING, fact.reason, job)


def release_customer(
    group: Group, fact: CustomerDeleted, source: SourcedFacts
) -> Outcome:
    """Unbind a deleted customer: the next operation creates another."""
    account, customer = group.account, fact.customer_id
    if account is not None and account.customer_id == customer:
        group.account = account.released()
        group.note(f"customer {customer} deleted")
        group.former_keys.append(
            FormerKey(
                kind=KeyKind.CUSTOMER,
                key=customer,
                user_id=account.user_id,
                since=None,
                until=_second(group),
            )
        )
    return source.job_outcome


def _second(group: Group) -> datetime:
    """Return our time in whole seconds, as the gateway counts.

    Things made later within the second belong to the next owner.
    """
    return group.now.at.replace(microsecond=0)


def request_sync(group: Group, fact: SyncNeeded, source: SourcedFacts) -> Outcome:
    group.sync(fact.job, fact.reason, after=fact.after)
    if source.event is None:
        return source.job_outcome
    return Outcome(EventState.PENDING, fact.reason, fact.job)


def close_event(
    group: Group, fact: CloseDecided, source: SourcedFacts
) -> Outcome | Rejected:
    """Close an event, unless it was applied."""
    state = group.known.snapshot.events.get(fact.key)
    if state is None:
        return EventNotFound(fact.key.id)
    if state is EventState.APPLIED:
        return EventApplied(fact.key.id)
    if state is not EventState.CLOSED:
        reason = fact.by_hand.reason
        if fact.before:
            reason = f"{reason}; before: {fact.before}"
        group.closed.append((fact.key, Outcome(EventState.CLOSED, reason)))
        group.by_hand.append(
            ChangeByHand(
                action=ActionByHand.CLOSE_EVENT,
                subject=fact.key.id,
                event_type=fact.key.type,
                decided=fact.by_hand,
            )
        )
    return source.job_outcome


def note_by_hand(group: Group, fact: DoneByHand, source: SourcedFacts) -> Outcome:
    group.by_hand.append(fact.change)
    return source.job_outcome


def read_object(group: Group, fact: ObjectChanged, source: SourcedFacts) -> Outcome:
    """Request a job that reads the object and applies the event again."""
    if source.event is None:
        return source.job_outcome
    job, reason = event_job(source.event.key), f"{fact.kind} changed"
    group.sync(job, reason)
    return Outcome(EventState.PENDING, reason, job)


def keep_apart(_: Group, fact: QuarantineNeeded, __: SourcedFacts) -> Outcome:
    return Outcome(EventState.QUARANTINED, fact.reason)


def fail_to_read(_: Group, fact: ReadFailed, __: SourcedFacts) -> Outcome:
    """Raise the reader's error: the event is stored, and a job reads it again."""
    raise fact.error


def register_user(
    group: Group, fact: UserRegistered, _: SourcedFacts
) -> Outcome | Rejected:
    before, customer = group.account, fact.customer_id
    at = _second(group)
    account = before or PaymentAccount(
        user_id=fact.user_id, email=fact.email, email_since=at
    )
    if refusal := _refusal(group, fact, account):
        return refusal
    is_bound = customer is None or account.customer_id == customer
    if account == before and account.email == fact.email and is_bound:
        return APPLIED
    group.account = account.renamed(fact.email, at=at)
    if fact.email.key != account.email.key:
        group.former_keys.append(
            FormerKey(
                kind=KeyKind.EMAIL,
                key=account.email.key,
                user_id=account.user_id,
                since=account.email_since,
                until=at,
            )
        )
    group.note("user registered" if before is None else "user changed")
    if customer is not None and not is_bound:
        _take_the_place(group, fact, customer)
        _bind(group, customer, existed=fact.imported is None)
        _note_import(group, fact, customer)
    group.link_keys |= claims_of(fact)
    adopt(group, claims_of(fact))
    return APPLIED


def _refusal(
    group: Group, fact: UserRegistered, account: PaymentAccount
) -> Rejected | None:
    user, known = fact.user_id, group.known
    if f"user {user}" in known.snapshot.erased:
        return AccountErased()
    if known.by_email.get(fact.email.key, user) != user:
        return EmailTaken()
    if fact.customer_id is None:
        return None
    bound = known.bound_to(fact.customer_id)
    if bound not in {None, user}:
        return CustomerTaken("it is another user's")
    if bound is None and f"customer {fact.customer_id}" in known.snapshot.erased:
        return CustomerTaken("it was erased")
    is_first = account.customer_id in {None, fact.customer_id}
    return None if is_first else _refused_place(known, account, fact)


def _refused_place(
    known: Known, account: PaymentAccount, fact: UserRegistered
) -> Rejected | None:
    """Return why a customer may not replace the bound one, if there is a reason."""
    if fact.imported is not None:
        return CustomerTaken("the user has another customer")
    if fact.by_hand is None:
        return CustomerTaken("another customer is bound: give a reason to replace it")
    if any(
        not it.is_terminal and it.report.customer_id == account.customer_id
        for it in account.subscriptions
    ):
        return CustomerTaken("the user's other customer has an open subscription")
    for intent in known.snapshot.intents:
        if intent.open and intent.user_id == account.user_id:
            # It may be using the bound customer.
            return OperationInProgress(intent.id)
    return None


def _take_the_place(group: Group, fact: UserRegistered, customer: CustomerId) -> None:
    """Unbind the customer that was bound before; any user may be bound to it again."""
    account = group.account
    if account is None or account.customer_id is None or fact.by_hand is None:
        return
    group.by_hand.append(
        ChangeByHand(
            action=ActionByHand.BIND_CUSTOMER,
            subject=customer,
            user_id=account.user_id,
            instead_of=account.customer_id,
            decided=fact.by_hand,
        )
    )
    group.account = account.released()


def _note_import(group: Group, fact: UserRegistered, customer: CustomerId) -> None:
    """Record who imported a binding, and why; other bindings need no reason."""
    if fact.imported is None:
        return
    group.by_hand.append(
        ChangeByHand(
            action=ActionByHand.BIND_CUSTOMER,
            subject=customer,
            user_id=fact.user_id,
            decided=fact.imported,
        )
    )


def bind_customer(group: Group, fact: CustomerBound, _: SourcedFacts) -> Outcome:
    _bind(group, fact.customer_id, existed=fact.existed)
    return APPLIED


def _bind(group: Group, customer: CustomerId, *, existed: bool) -> None:
    account = group.account
    taken = (
        group.known.bound_to(customer) not in {None, group.owner}
        or f"customer {customer}" in group.known.snapshot.erased
    )
    if account is None or account.customer_id is not None or taken:
        return
    group.account = account.bound(customer)
    group.note(f"customer {customer} bound")
    if existed:
        group.sync(customer_job(customer), "bound to a user")
    keys = LinkKeys(frozenset({account.user_id}), frozenset({customer}))
    group.link_keys |= keys
    adopt(group, keys)


def link_account(group: Group, _: LinkRequested, __: SourcedFacts) -> Outcome:
    if group.account is not None:
        adopt(group, _keys_of(group.account, group.known.snapshot.former_keys))
    return APPLIED


def log_account(group: Group, fact: LogGapFound, _: SourcedFacts) -> Outcome:
    account = group.account
    # A later change is logged, or this gap is found again.
    if account is not None and account.version == fact.version:
        group.logs_anyway = True
        group.note("the log did not say so")
    return APPLIED


def _keys_of(account: PaymentAccount, former: Sequence[FormerKey]) -> LinkKeys:
    """Return the keys that an account has, and its known former keys."""
    own = [it for it in former if it.user_id == account.user_id]
    customers = {it.key for it in own if it.kind is KeyKind.CUSTOMER}
    emails = {it.key for it in own if it.kind is KeyKind.EMAIL}
    if account.customer_id:
        customers.add(account.customer_id)
    return LinkKeys(
        frozenset({account.user_id}),
        frozenset(map(CustomerId, customers)),
        frozenset({account.email.key, *emails}),
    )


def adopt(group: Group, keys: LinkKeys) -> None:
    """Link what is unlinked, has one of the keys and is certainly the account's."""
    snapshot = group.known.snapshot
    if keys - snapshot.lookup.unlinked:
        # The accounts under the keys too: other users may have had them.
        group.need(Lookup(keys=keys, unlinked=keys))
        return
    found = snapshot.unlinked
    customers = link_keys(
        (it.payment for it in found.payments),
        (it.report for it in found.subscriptions),
    ).customer_ids
    own = {group.account.customer_id} if group.account else set()
    if unknown := customers - snapshot.lookup.keys.customer_ids - own:
        # They may be bound to other accounts.
        group.need(Lookup(keys=LinkKeys(customer_ids=frozenset(unknown))))
        return
    for record in found.payments:
        known = group.payment(record.payment.id) or record
        is_free = known.user_id is None and not known.linked_by_hand
        if is_free and _is_surely_ours(group, known.payment, keys):
            put_payment(group, known, known.payment, known.sequence)
    for it in found.subscriptions:
        one = group.subscription(it.gateway_id) or it
        if one.user_id is None and _is_surely_ours(group, one.report, keys):
            put_subscription(group, one, attrs.evolve(one, user_id=group.owner))


def _is_surely_ours(
    group: Group, thing: Payment | SubscriptionReport, keys: LinkKeys
) -> bool:
    if not group.may_be_ours(thing):
        return False
    if thing.metadata_user_id:
        return thing.metadata_user_id == group.owner
    if group.account is not None and thing.customer_id:
        if group.known.bound_to(thing.customer_id):
            return True
        if thing.customer_id == group.account.customer_id:
            return True
    if not isinstance(thing, Payment) or thing.email not in keys.email_keys:
        return False
    return _holders(group, thing.email).at(thing.created_at) == group.owner


def _holders(group: Group, email: str) -> EmailHolders:
    """Return who had an e-mail, and who has it after this group is saved."""
    account = group.account
    former = group.known.former_of(email, besides=group.former_keys)
    if account is not None and account.email.key == email:
        return EmailHolders(former, account.user_id, account.email_since)
    current = group.known.by_email.get(email)
    if current is None or current == group.owner:
        return EmailHolders(former)
    since = group.known.accounts[current].email_since
    return EmailHolders(former, current, since)
