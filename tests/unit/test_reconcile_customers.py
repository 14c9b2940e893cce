"""A customer that names a user who has no customer here: found, and bound."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Any

import attrs
import pytest

from payments_core.drift import DriftKind
from payments_core.entitlement import PaymentStatus
from payments_core.errors import GatewayNotAttempted
from payments_core.gateway import FetchedCustomer
from payments_core.identity import CustomerId, UserId
from payments_core.jobs import Finding, RunSweep
from payments_core.payment import PaymentId
from payments_core.use_cases import Order
from support.deployment import ADA, Deployment, caller_of
from support.reconciling import GOOD, OTHER, Story, no_wait, reconciling

pytestmark = pytest.mark.anyio

Deed = Callable[[Story], Awaitable[None]]
UNBOUND = DriftKind.CUSTOMER_UNBOUND


@pytest.fixture
async def story() -> AsyncIterator[Story]:
    async with Deployment.opened() as deployment, reconciling(deployment) as it:
        await deployment.register()
        yield it


async def pay_once(story: Story) -> None:
    story.charge()


async def subscribe(story: Story) -> None:
    deployment = story.deployment
    order = Order(product=deployment.product)
    await deployment.start(ADA, order, caller=caller_of(ADA), key=None)


PAYS = pytest.mark.parametrize("pays", [pay_once, subscribe])


async def restored(story: Story, *deeds: Deed) -> object:
    """Let ada get a card and pay, then restore the earlier database.

    Return her account as it was.
    """
    deployment = story.deployment
    backup = deployment.database.tables.copy()
    await deployment.update_card(ADA, GOOD, caller=caller_of(ADA), key=None)
    for deed in deeds:
        await deed(story)
    await deployment.hear()
    await deployment.work()
    before = await truth(deployment)
    deployment.database.tables = backup
    await deployment.hear([], apply_only=True)
    return before


async def truth(deployment: Deployment) -> object:
    """Return what a user would notice of their account."""
    account = await deployment.account()
    sold = [(it.gateway_id, it.status) for it in account.subscriptions]
    return account.customer_id, account.card, account.verdict, sold


def told_of(findings: Sequence[Finding]) -> list[tuple[DriftKind, UserId | None, bool]]:
    return [(it.drift.kind, it.drift.user_id, it.repaired) for it in findings]


@PAYS
@pytest.mark.parametrize("by_user", [True, False])
async def test_f55_a_user_is_paid_again_after_a_backup_is_restored(
    story: Story, pays: Deed, *, by_user: bool
) -> None:
    """
    Their customer was bound after the backup: it names them, so it is bound again, with
    its card, and all its objects are theirs.
    """
    before = await restored(story, pays)
    deployment = story.deployment
    assert (await deployment.account()).payment_status is PaymentStatus.NONE

    if by_user:
        found = [*await story.run.user(ADA, repairs=True)]
    else:
        found = await story.sweep(repairs=True)

    assert told_of(found)[0] == (UNBOUND, ADA, True)
    assert all(it.repaired for it in found)
    assert await truth(deployment) == before
    assert (await deployment.account()).payment_status is PaymentStatus.PAID
    assert await story.sweep() == []
    await deployment.work()
    assert await truth(deployment) == before
    assert await story.sweep() == []
    assert await story.run.user(ADA, repairs=False) == []


async def test_what_was_kept_without_an_owner_is_linked_with_the_customer(
    story: Story,
) -> None:
    """
    It is not a separate finding: it follows from the customer.
    """
    await restored(story)
    charge = PaymentId(story.charge())
    await story.deployment.hear()
    tables = story.deployment.database.tables
    assert tables.payments[charge].user_id is None

    assert told_of(await story.sweep()) == [(UNBOUND, ADA, False)]
    assert told_of(await story.sweep(repairs=True)) == [(UNBOUND, ADA, True)]

    assert story.deployment.database.tables.payments[charge].user_id == ADA
    account = await story.deployment.account()
    assert account.payment_status is PaymentStatus.PAID


async def test_of_two_customers_the_newest_is_bound(story: Story) -> None:
    """
    The other one is left alone, and never reported again.
    """
    await restored(story, pay_once)
    older = story.customer
    await story.deployment.advance(timedelta(minutes=1))
    newer = story.api.post("customers", metadata={"user_id": ADA})["id"]
    found = await story.sweep(repairs=True)
    assert [it.drift.subject for it in found if it.drift.kind is UNBOUND] == [newer]
    assert (await story.deployment.account()).customer_id == newer != older
    await story.deployment.work()
    assert UNBOUND not in {it.drift.kind for it in await story.sweep()}


@pytest.mark.parametrize("change", ["deleted", "renamed"])
async def test_a_customer_that_changed_since_it_was_listed_is_not_bound(
    story: Story, change: str
) -> None:
    """
    It was deleted, or names another user: nothing differs.
    """
    await restored(story)
    deployment, customer = story.deployment, story.customer
    [suspect] = await story.reconcile.suspects_of(ADA)
    if change == "deleted":
        story.api.delete(f"customers/{customer}")
    else:
        story.api.post(f"customers/{customer}", metadata={"user_id": "eve"})

    assert await story.reconcile.compare(suspect, repairs=True) == []
    assert (await deployment.account()).customer_id is None


async def test_a_customer_that_is_another_users_is_not_bound(story: Story) -> None:
    """
    It was bound by hand: the binding takes precedence over its metadata, and nothing of
    it is compared as the other user's.
    """
    await restored(story)
    eve = UserId("eve")
    await story.deployment.register(eve)
    tables = story.deployment.database.tables
    account = await story.deployment.account(eve)
    tables.put_account(
        attrs.evolve(account, customer_id=CustomerId(story.customer), version=2)
    )
    story.charge()

    assert await story.run.user(ADA, repairs=True) == []
    assert UNBOUND not in {it.drift.kind for it in await story.sweep(repairs=True)}
    assert (await story.deployment.account()).customer_id is None


# The card of one user


@attrs.define
class _BusyOnce:
    """A gateway that is busy at the first call about a customer."""

    gateway: Any
    is_busy: bool = True

    async def customer(self, customer_id: CustomerId) -> FetchedCustomer:
        if self.is_busy:
            self.is_busy = False
            raise GatewayNotAttempted("busy")
        found: FetchedCustomer = await self.gateway.customer(customer_id)
        return found

    def __getattr__(self, name: str) -> Any:
        return getattr(self.gateway, name)


async def test_another_default_card_of_one_user_is_found(story: Story) -> None:
    """
    Nothing else differs.
    """
    deployment = story.deployment
    await deployment.update_card(ADA, GOOD, caller=caller_of(ADA), key=None)
    await deployment.hear()
    assert await story.run.user(ADA, repairs=True) == []
    story.api.give_card(story.customer, OTHER)
    await deployment.hear([], apply_only=True)

    found = await story.run.user(ADA, repairs=True)

    assert told_of(found) == [(DriftKind.CARD, ADA, True)]
    assert await story.run.user(ADA, repairs=True) == []


async def test_a_card_that_follows_is_none_of_its_own_if_the_gateway_is_busy(
    story: Story,
) -> None:
    """
    The customer is fetched again, and not taken for a suspect.
    """
    deployment = story.deployment
    await deployment.update_card(ADA, GOOD, caller=caller_of(ADA), key=None)
    await deployment.hear()
    made = story.api.post(f"payment_methods/{OTHER}/attach", customer=story.customer)
    sold = story.api.post(
        "subscriptions",
        customer=story.customer,
        items=[{"price": deployment.basic}],
        default_payment_method=made["id"],
    )
    await deployment.hear([], apply_only=True)
    busy: Any = _BusyOnce(deployment.asked)
    run = RunSweep(attrs.evolve(story.reconcile, gateway=busy), sleep=no_wait)

    found = await run.user(ADA, repairs=False)

    assert not busy.is_busy
    assert sold["id"] in {it.drift.subject for it in found}
    assert {it.drift.kind for it in found} == {
        DriftKind.SUBSCRIPTION_UNKNOWN,
        DriftKind.PAYMENT_UNKNOWN,
    }
    assert {it.drift.kind for it in await story.sweep()} == {
        it.drift.kind for it in found
    }
