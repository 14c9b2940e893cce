"""What is fetched of one object, as a sync records it."""

from collections.abc import AsyncIterator

import pytest

from payments_core.errors import GatewayObjectMissing
from payments_core.facts import (
    CardObserved,
    CustomerDeleted,
    PaymentCorrected,
    PeriodPaid,
    SubscriptionObserved,
)
from payments_core.identity import CustomerId
from payments_core.job_key import JobKey, JobKind
from payments_core.jobs.fetch import fetch, fetch_customer
from support.reconciling import OTHER, Story, told

pytestmark = pytest.mark.anyio
SEQUENCE = 7


@pytest.fixture
async def story() -> AsyncIterator[Story]:
    async with told() as it:
        yield it


async def fetched(story: Story, kind: JobKind, subject: str) -> tuple[object, ...]:
    deployment = story.deployment
    key = JobKey(kind, subject)
    return await fetch(deployment.gateway, deployment.directory, key, SEQUENCE)


async def test_a_subscription_comes_with_what_was_paid(story: Story) -> None:
    """
    With the number that was drawn before the request.
    """
    id_ = story.subscription.removeprefix("subscriptions/")
    observed, paid = await fetched(story, JobKind.SUBSCRIPTION, id_)

    assert isinstance(observed, SubscriptionObserved)
    assert (observed.report.gateway_id, observed.sequence) == (id_, SEQUENCE)
    assert isinstance(paid, PeriodPaid)
    assert paid.period.gateway_id == id_


async def test_a_payment_comes_with_what_it_paid(story: Story) -> None:
    """
    Its invoice is known then.
    """
    corrected, paid = await fetched(story, JobKind.PAYMENT, story.paid)

    assert isinstance(corrected, PaymentCorrected)
    assert (corrected.payment.id, corrected.sequence) == (story.paid, SEQUENCE)
    assert isinstance(paid, PeriodPaid)
    assert corrected.payment.invoice_id == paid.period.invoice_id


async def test_a_customer_comes_with_the_card_that_pays(story: Story) -> None:
    """
    The card of the subscription takes precedence over the default; the customer's
    subscriptions are returned with it.
    """
    own = story.card
    story.api.give_card(story.customer, OTHER)
    deployment, customer = story.deployment, CustomerId(story.customer)
    found = await fetch_customer(
        deployment.gateway, deployment.directory, customer, SEQUENCE
    )

    [observed] = found.facts
    assert observed == CardObserved(
        customer_id=customer,
        card=(await deployment.account()).card,
        sequence=SEQUENCE,
    )
    assert observed.card is not None
    assert observed.card.id == own
    assert len(found.subscriptions) == 1
    assert await fetched(story, JobKind.CUSTOMER, customer) == (observed,)


async def test_a_deleted_customer_is_a_fact(story: Story) -> None:
    """
    It has no card and no subscription.
    """
    customer = story.customer
    story.api.delete(f"customers/{customer}")
    facts = await fetched(story, JobKind.CUSTOMER, customer)

    assert any(isinstance(it, CustomerDeleted) for it in facts)


@pytest.mark.parametrize(
    "kind", [JobKind.SUBSCRIPTION, JobKind.PAYMENT, JobKind.CUSTOMER]
)
async def test_what_is_not_there_is_missing(story: Story, kind: JobKind) -> None:
    """
    The caller decides what that means.
    """
    with pytest.raises(GatewayObjectMissing):
        await fetched(story, kind, "it_is_not_there")
