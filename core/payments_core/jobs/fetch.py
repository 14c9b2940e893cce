"""Fetch one object from the gateway, as facts.

A sync records them, and a reconciliation reports what recording them would change.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

import attrs

from payments_core.facts import (
    CardObserved,
    CustomerBound,
    Fact,
    PaymentCorrected,
    PeriodPaid,
    SubscriptionObserved,
)
from payments_core.gateway import FetchedPayment, FetchedSubscription
from payments_core.identity import CustomerId, UserId
from payments_core.job_key import JobKey, JobKind
from payments_core.payment import PaymentId
from payments_core.ports import AccountDirectory, PaymentGateway
from payments_core.subscription import SubscriptionReport, newest_own_card
from payments_core.use_cases.accounts import facts_of_deletion


def facts_of_subscription(
    found: FetchedSubscription, sequence: int
) -> tuple[Fact, ...]:
    observed = SubscriptionObserved(report=found.report, at=found.at, sequence=sequence)
    return (observed, *map(PeriodPaid, found.paid_periods))


def facts_of_payment(found: FetchedPayment, sequence: int) -> tuple[Fact, ...]:
    corrected = PaymentCorrected(found.payment, sequence, found.at)
    return (corrected, *map(PeriodPaid, found.paid_periods))


@attrs.frozen
class FetchedCustomerState:
    """The state of a customer; `facts` are about the card, or the deletion.

    `metadata_user_id` is the user in the metadata, if the customer is not deleted.
    """

    facts: tuple[Fact, ...]
    subscriptions: Sequence[SubscriptionReport] = ()
    deleted: bool = False
    metadata_user_id: str | None = None


async def fetch_customer(
    gateway: PaymentGateway,
    accounts: AccountDirectory,
    customer: CustomerId,
    sequence: int,
) -> FetchedCustomerState:
    """Fetch a customer's card that pays, and its subscriptions.

    The card is the one pinned by the newest subscription that pins one, else the
    default. A deleted customer is unbound; its subscriptions ended with it.
    """
    found = await gateway.customer(customer)
    if found.deleted:
        owner = await accounts.owner_of_customer(customer)
        account = await accounts.find(owner) if owner else None
        facts = facts_of_deletion(account, customer)
        return FetchedCustomerState(facts, deleted=True)
    sold, card = await gateway.subscriptions_of(customer), found.card
    own = newest_own_card(sold)
    if own is not None and (card is None or card.id != own):
        card = await gateway.card(customer, own) or card
    observed = CardObserved(customer_id=customer, card=card, sequence=sequence)
    return FetchedCustomerState(
        (observed,), sold, metadata_user_id=found.metadata_user_id
    )


async def fetch_named(
    gateway: PaymentGateway,
    accounts: AccountDirectory,
    customer: CustomerId,
    user_id: UserId,
    sequence: int,
) -> tuple[Fact, ...]:
    """Fetch a customer that names a user, as facts that bind it with its card.

    There are none if it was deleted, or no longer names the user.
    """
    found = await fetch_customer(gateway, accounts, customer, sequence)
    if found.metadata_user_id != user_id:
        return ()
    bound = CustomerBound(user_id=user_id, customer_id=customer, existed=True)
    return (bound, *found.facts)


_Fetch = Callable[
    [PaymentGateway, AccountDirectory, str, int], Awaitable[tuple[Fact, ...]]
]


async def _subscription(
    gateway: PaymentGateway, _: AccountDirectory, subject: str, sequence: int
) -> tuple[Fact, ...]:
    return facts_of_subscription(await gateway.subscription(subject), sequence)


async def _payment(
    gateway: PaymentGateway, _: AccountDirectory, subject: str, sequence: int
) -> tuple[Fact, ...]:
    return facts_of_payment(await gateway.payment(PaymentId(subject)), sequence)


async def _customer(
    gateway: PaymentGateway, accounts: AccountDirectory, subject: str, sequence: int
) -> tuple[Fact, ...]:
    found = await fetch_customer(gateway, accounts, CustomerId(subject), sequence)
    return found.facts


_FETCHES: Final[Mapping[JobKind, _Fetch]] = MappingProxyType(
    {
        JobKind.SUBSCRIPTION: _subscription,
        JobKind.PAYMENT: _payment,
        JobKind.CUSTOMER: _customer,
    }
)


async def fetch(
    gateway: PaymentGateway, accounts: AccountDirectory, key: JobKey, sequence: int
) -> tuple[Fact, ...]:
    """Fetch what a sync of this key would record.

    `sequence` was drawn before. The gateway's errors pass through.
    """
    return await _FETCHES[key.kind](gateway, accounts, key.subject, sequence)
