"""An invoice comes with its first ten lines: what it paid may be on another page.

A renewal lists what waited first, the newest before the oldest, and then the period.
"""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from payments_core.object_lists import CreatedBetween, ListedInvoice, ObjectList
from support.reconciling import Story, told

pytestmark = pytest.mark.anyio

# Each makes two lines; a page has a hundred.
CHANGES = [6, 51]


@pytest.fixture(params=CHANGES)
async def story(request: Any) -> AsyncIterator[Story]:
    """Lend a subscription, changed often and then renewed; no event was received."""
    async with told() as story:
        [item] = story.api.get(story.subscription)["items"]["data"]
        for number in range(request.param):
            items = [{"id": item["id"], "quantity": 2 + number % 2}]
            story.api.post(story.subscription, items=items)
        await story.deployment.hear()
        await story.deployment.advance(timedelta(days=32))
        yield story


def renewed_until(story: Story) -> datetime:
    [item] = story.api.get(story.subscription)["items"]["data"]
    return datetime.fromtimestamp(item["current_period_end"], UTC)


async def paid_until(story: Story) -> datetime | None:
    [subscription] = (await story.deployment.account()).subscriptions
    period = subscription.paid_period
    return period.ends_at if period else None


async def test_the_sandbox_shows_ten_of_them_as_stripe_does(story: Story) -> None:
    """
    In an invoice, in a list, and if it is expanded; all of them where its lines are
    listed.
    """
    id_ = story.api.get(story.subscription)["latest_invoice"]
    alone = story.api.get(f"invoices/{id_}")
    [listed, *_] = story.api.get("invoices")["data"]
    expanded = story.api.get(story.subscription, expand=["latest_invoice"])
    lines = story.api.get(f"invoices/{id_}/lines", limit=100)

    for invoice in (alone, listed, expanded["latest_invoice"]):
        assert invoice["id"] == id_
        assert len(invoice["lines"]["data"]) == 10
        assert invoice["lines"]["has_more"] is True
    assert len(lines["data"]) > 10


async def test_a_renewal_of_many_lines_is_heard(story: Story) -> None:
    """
    Its event does not say what was paid: the subscription is synced.
    """
    await story.deployment.hear()

    assert await paid_until(story) == renewed_until(story)


async def test_a_renewal_of_many_lines_is_found(story: Story) -> None:
    """
    By a sweep; the next sweep finds nothing.
    """
    await story.deployment.hear([], apply_only=True)
    found = await story.sweep(repairs=True)
    assert all(it.repaired for it in found)
    assert await paid_until(story) == renewed_until(story)
    await story.deployment.work()
    assert await story.sweep() == []


async def test_its_payment_says_what_it_paid(story: Story) -> None:
    """
    Its charge is fetched with the whole invoice.
    """
    newest = story.deployment.engine.world.all("charge")[-1]
    found = await story.deployment.gateway.payment(newest["id"])

    assert [it.ends_at for it in found.paid_periods] == [renewed_until(story)]


async def test_a_list_says_what_it_paid(story: Story) -> None:
    """
    With one more call for its lines, or two if there are more than a hundred.
    """
    ever = CreatedBetween(start=None, end=story.deployment.clock.now)
    page = await story.lists.page(ObjectList.INVOICES, ever)
    paid = [
        period.ends_at
        for it in page.objects
        if isinstance(it.it, ListedInvoice)
        for period in it.it.paid_periods
    ]
    assert renewed_until(story) in paid
