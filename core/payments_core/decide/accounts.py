"""What registrations, bindings and cards come to, and what they link.

Rule 1: an e-mail and a customer belong to one account at a time; none is taken over.
Rule 2: a binding by an operation yields to one that was made by hand meanwhile.
Rule 3: a card applies if nothing was heard of it since its sequence number was drawn;
        else it is fetched again. An event about a card is a reason to fetch it, unless
        it says nothing new, or came of an operation of ours that is not lost.
Rule 4: what is linked is surely the account's: see `payments_core.linking`.
"""

from typing import Final

import attrs

from payments_core.account import PaymentAccount
from payments_core.changes import Lookup
from payments_core.decide.decision import customer_job
from payments_core.decide.group import Group
from payments_core.decide.lookups import claims_of
from payments_core.decide.payments import put_payment
from payments_core.decide.subscriptions import put_subscription
from payments_core.errors import CustomerTaken, EmailTaken, Rejected
from payments_core.events import CardReported, EventState, Outcome, SyncNeeded
from payments_core.facts import (
    APPLIED,
    CardObserved,
    CustomerBound,
    LinkRequested,
    SourcedFacts,
    UserRegistered,
)
from payments_core.identity import CustomerId
from payments_core.linking import LinkKeys, link_keys
from payments_core.payment import Payment
from payments_core.subscription import SubscriptionReport

# Whoever binds the customer asks for the card.
_NOBODYS_CARD: Final = Outcome(EventState.IGNORED, "its customer is nobody's")


def observe_card(group: Group, fact: CardObserved, source: SourcedFacts) -> Outcome:
    account = group.account
    if account is None:
        return source.job_outcome
    if fact.sequence < account.card_sequence:
        # Which of the two is newer, only the gateway knows.
        job, reason = customer_job(fact.customer_id), "a newer report came first"
        group.sync(job, reason)
        return Outcome(EventState.PENDING, reason, job)
    # What an operation did is so by now; what is fetched, since its number was drawn.
    is_done = source.intent is not None
    sequence = group.known.snapshot.sequence if is_done else fact.sequence
    group.account = account.with_card(fact.card, sequence=sequence)
    group.note("card observed")
    return source.job_outcome


def report_card(group: Group, fact: CardReported, source: SourcedFacts) -> Outcome:
    account = group.account
    if account is None:
        return _NOBODYS_CARD
    if group.is_own_card_change(source):
        return APPLIED
    if fact.agrees_with(account.card):
        group.confirm_card()
        return APPLIED
    job = customer_job(fact.customer_id)
    group.sync(job, fact.reason)
    return Outcome(EventState.PENDING, fact.reason, job)


def request_sync(group: Group, fact: SyncNeeded, source: SourcedFacts) -> Outcome:
    if fact.job is None:
        return Outcome(EventState.PENDING, fact.reason)
    group.sync(fact.job, fact.reason, after=fact.after)
    if source.event is None:
        return source.job_outcome
    return Outcome(EventState.PENDING, fact.reason, fact.job)


def register_user(
    group: Group, fact: UserRegistered, _: SourcedFacts
) -> Outcome | Rejected:
    before, customer = group.account, fact.customer_id
    account = before or PaymentAccount(user_id=fact.user_id, email=fact.email)
    if refusal := _refusal(group, fact, account):
        return refusal
    is_bound = customer is None or account.customer_id == customer
    if account == before and account.email == fact.email and is_bound:
        return APPLIED
    group.account = account.renamed(fact.email)
    group.note("user registered" if before is None else "user changed")
    if customer is not None and not is_bound:
        _bind(group, customer, existed=True)
    group.link_keys |= claims_of(fact)
    adopt(group, claims_of(fact))
    return APPLIED


def _refusal(
    group: Group, fact: UserRegistered, account: PaymentAccount
) -> Rejected | None:
    user, known = fact.user_id, group.known
    if known.by_email.get(fact.email.key, user) != user:
        return EmailTaken()
    if fact.customer_id is None:
        return None
    holders = {known.bound_to(fact.customer_id), user, None}
    customers = {account.customer_id, fact.customer_id, None}
    taken = len(holders) > 2 or len(customers) > 2  # noqa: PLR2004  # one of each
    return CustomerTaken() if taken else None


def bind_customer(group: Group, fact: CustomerBound, _: SourcedFacts) -> Outcome:
    _bind(group, fact.customer_id, existed=fact.existed)
    return APPLIED


def _bind(group: Group, customer: CustomerId, *, existed: bool) -> None:
    account = group.account
    taken = group.known.bound_to(customer) not in {None, group.owner}
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
        adopt(group, keys_of(group.account))
    return APPLIED


def keys_of(account: PaymentAccount) -> LinkKeys:
    customer = account.customer_id
    return LinkKeys(
        frozenset({account.user_id}),
        frozenset({customer} if customer else ()),
        frozenset({account.email.key}),
    )


def adopt(group: Group, keys: LinkKeys) -> None:
    """Link what has no owner, carries one of the keys, and is surely ours."""
    snapshot = group.known.snapshot
    if keys - snapshot.lookup.unlinked:
        group.need(Lookup(unlinked=keys))
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
        if known.user_id is None and _is_surely_ours(group, known.payment, keys):
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
    return isinstance(thing, Payment) and thing.email in keys.email_keys
