"""Drift of one user: which objects are compared, and which are not the user's."""

from collections.abc import AsyncIterator
from typing import Any

import attrs
import pytest

from payments_core.errors import AccountNotFound
from payments_core.identity import CustomerId, UserId
from payments_core.jobs import RunSweep, reconcile
from support.deployment import ADA
from support.drifts import DRIFTS, REPORTED_ONLY, K, kinds
from support.reconciling import A_MOMENT, OneByOne, Story, no_wait, told

pytestmark = pytest.mark.anyio


@pytest.fixture
async def story() -> AsyncIterator[Story]:
    async with told() as it:
        yield it


@pytest.mark.parametrize(
    "name",
    [
        it
        for it, (_, expected) in DRIFTS.items()
        # A payment that exists only here is found by a sweep of all.
        if expected and not expected & {K.PAYMENT_MISSING} and "nobody" not in it
    ],
)
async def test_one_user_is_compared_alone(story: Story, name: str) -> None:
    """
    The same is found and repaired as by a sweep of all; nothing of others is read.
    """
    deed, expected = DRIFTS[name]
    await deed(story)
    await story.deployment.hear([], apply_only=True)
    await story.deployment.register(UserId("eve"))

    compare = story.run.user
    found = kinds([*await compare(ADA, repairs=False)])
    # A card that follows from a finding is not a separate finding here, either.
    assert found == expected
    assert await compare(UserId("eve"), repairs=True) == []

    await compare(ADA, repairs=True)
    await story.deployment.work()
    left = await compare(ADA, repairs=False)
    assert kinds([*left]) == expected & REPORTED_ONLY


async def test_all_pages_of_one_user_are_compared(story: Story) -> None:
    """
    A difference may be on any of them.
    """
    sold = [story.charge() for _ in range(3)]
    await story.deployment.hear([], apply_only=True)
    lists: Any = OneByOne(story.lists)
    run = RunSweep(attrs.evolve(story.reconcile, lists=lists), sleep=no_wait)

    found = await run.user(ADA, repairs=False)

    assert {it.drift.subject for it in found} == {*sold}


@pytest.mark.parametrize("by_user", [True, False])
async def test_a_deleted_customer_is_found(story: Story, *, by_user: bool) -> None:
    """
    It is in none of the gateway's lists. What it had has ended with it.
    """
    story.api.delete(f"customers/{story.customer}")
    await story.deployment.hear([], apply_only=True)

    if by_user:
        found = [*await story.run.user(ADA, repairs=True)]
    else:
        found = await story.sweep(repairs=True)
    assert K.CUSTOMER_DELETED in kinds(found)
    await story.deployment.work()
    assert await story.sweep() == []
    assert (await story.deployment.account()).customer_id is None


async def test_a_customer_that_is_not_there_is_told(story: Story) -> None:
    """
    It was bound by a typo, or belongs to another Stripe account: a person must decide.
    """
    await story.deployment.register(UserId("typo"))
    tables = story.deployment.database.tables
    account = await story.deployment.account(UserId("typo"))
    bound = CustomerId("cus_typo")
    tables.put_account(attrs.evolve(account, customer_id=bound, version=2))

    [found] = await story.run.user(UserId("typo"), repairs=True)
    assert (found.drift.kind, found.drift.subject) == (K.CUSTOMER_MISSING, bound)
    assert (found.drift.user_id, found.repaired) == ("typo", False)


async def test_what_is_a_users_without_their_customer_is_compared(story: Story) -> None:
    """
    A guest's charge, linked by an e-mail; its refund was not received.
    """
    guest = story.api.customer()["id"]
    charge = story.charge_guest(guest, "bob@example.com")
    await story.deployment.register(UserId("bob"))
    await story.deployment.hear()
    assert (await story.deployment.account(UserId("bob"))).summary.latest
    story.api.post("refunds", charge=charge)
    await story.deployment.hear([], apply_only=True)

    found = await story.run.user(UserId("bob"), repairs=True)
    assert [(it.drift.kind, it.repaired) for it in found] == [(K.PAYMENT_REFUND, True)]


async def test_a_user_who_is_not_there_is_not_found(story: Story) -> None:
    """
    A mistyped id is not a user without drift.
    """
    with pytest.raises(AccountNotFound):
        await story.run.user(UserId("nobody"), repairs=False)


async def test_the_newest_payments_beside_the_customers_are_compared(
    story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    What was listed with the customer does not count.
    """
    monkeypatch.setattr(reconcile, "PAYMENTS_MAX", 2)
    guest = story.api.customer()["id"]
    sold = list[str]()
    for _ in range(3):
        sold.append(story.charge_guest(guest, f"{ADA}@example.com"))
        await story.deployment.advance(A_MOMENT)
    # They are the customer's, and newer.
    for _ in range(2):
        story.charge()
    await story.deployment.hear()

    found = await story.reconcile.suspects_of(ADA)

    payments = [it.subject for it in found if it.subject.startswith("ch_")]
    assert payments == [sold[2], sold[1]]
