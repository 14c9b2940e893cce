"""Decide on facts about erased users: they are ignored.

Rule 1: the owner of a linked thing decides. Otherwise its customer, then the user in
        its metadata, then, for a payment from before the erasure, its e-mail. A thing
        whose customer is bound to a known user, or that was made while a known user had
        the e-mail, is that user's.
Rule 2: of an event only its arrival is stored: not its body, and not its object.
"""

from datetime import datetime
from typing import Final

import attrs

from payments_core.decide.decision import Decided, believing_nothing
from payments_core.decide.known import Known
from payments_core.erasure import is_pseudonym
from payments_core.errors import AccountErased
from payments_core.events import (
    CardReported,
    EventState,
    Outcome,
    SyncNeeded,
)
from payments_core.facts import (
    CardObserved,
    CustomerBound,
    CustomerDeleted,
    Fact,
    LinkDecided,
    PaymentCorrected,
    PaymentReported,
    PeriodPaid,
    SourcedFacts,
    SubscriptionLinkDecided,
    SubscriptionObserved,
)
from payments_core.identity import CustomerId, UserId
from payments_core.job_key import JobKey, JobKind
from payments_core.payment import Payment, PaymentId
from payments_core.subscription import SubscriptionReport

ERASED: Final = Outcome(EventState.IGNORED, "erased")


def is_of_erased(known: Known, source: SourcedFacts) -> bool:
    answers = [_of_fact(known, fact) for fact in source.facts]
    if True in answers:
        return True
    event = source.event
    # The owner of a fact's object takes precedence over the customer of the event.
    return (
        event is not None
        and False not in answers
        and _is_customer(known, event.customer_id)
    )


def _of_fact(known: Known, fact: Fact) -> bool | None:
    """Say whether a fact is about an erased user; None: it does not say about whom."""
    thing: Payment | SubscriptionReport | None = None
    match fact:
        case PaymentReported(payment) | PaymentCorrected(payment):
            owner, thing = _payer(known, payment.id), payment
        case SubscriptionObserved(report=report):
            owner, thing = _subscriber(known, report.gateway_id), report
        case PeriodPaid(period):
            owner = _subscriber(known, period.gateway_id)
        case LinkDecided():
            owner, thing = _payer(known, fact.payment_id), fact.fetched
        case SubscriptionLinkDecided():
            owner = _subscriber(known, fact.gateway_id)
            thing = fact.observed.report if fact.observed else None
        case SyncNeeded(job=job):
            if job.kind is JobKind.CUSTOMER:
                return _is_customer(known, CustomerId(job.subject))
            owner = _owner_of_job(known, job)
        case (
            CardObserved(customer_id=customer)
            | CardReported(customer_id=customer)
            | CustomerDeleted(customer)
            | CustomerBound(customer_id=customer)
        ):
            return _is_customer(known, customer)
        case _:
            # A registration is refused with its own reason.
            return None
    if owner is not None:
        return is_pseudonym(owner)
    return None if thing is None else _of_thing(known, thing)


def _owner_of_job(known: Known, job: JobKey) -> UserId | None:
    if job.kind is JobKind.PAYMENT:
        return _payer(known, PaymentId(job.subject))
    return _subscriber(known, job.subject)


def _payer(known: Known, payment: PaymentId) -> UserId | None:
    record = known.payments.get(payment)
    return record.user_id if record else None


def _subscriber(known: Known, gateway_id: str) -> UserId | None:
    kept = known.subscriptions.get(gateway_id)
    return kept.user_id if kept else None


def _is_customer(known: Known, customer: CustomerId | None) -> bool:
    is_erased = f"customer {customer}" in known.snapshot.erased
    return is_erased and known.bound_to(customer) is None


def _of_thing(known: Known, thing: Payment | SubscriptionReport) -> bool | None:
    if _is_customer(known, thing.customer_id):
        return True
    if known.bound_to(thing.customer_id) is not None:
        return False
    erased = known.snapshot.erased
    if thing.metadata_user_id:
        return f"user {thing.metadata_user_id}" in erased or None
    if not isinstance(thing, Payment) or thing.email is None:
        return None
    until = erased.get(f"email {thing.email}")
    made = thing.created_at
    if until is None or (made is not None and made >= until):
        return None
    # An erased user is no longer among the holders.
    return not known.holders_of(thing.email).had(made)


def ignored(source: SourcedFacts, now: datetime) -> Decided:
    """Store only that an event came; the events that wait for a job are settled."""
    by_hand = (LinkDecided, SubscriptionLinkDecided)
    if any(isinstance(fact, by_hand) for fact in source.facts):
        return Decided(refusal=AccountErased())
    kept = source.event
    if kept is not None:
        kept = attrs.evolve(
            kept, object_id=None, customer_id=None, report=None, body=b""
        )
    return believing_nothing(source, ERASED, now, kept)
