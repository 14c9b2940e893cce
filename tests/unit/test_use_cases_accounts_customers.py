"""Customers that users get and lose: what is fetched from the gateway, and when."""

import pytest

from payments_core.by_hand import ByHand
from payments_core.errors import (
    CustomerTaken,
    OperationInProgress,
    UnknownReference,
)
from payments_core.identity import CustomerId, Email, UserId
from payments_core.subscription import SubscriptionStatus
from payments_core.use_cases import Order, RegisterCustomer, RegisterUser
from support.deployment import ADA, Deployment, admin, caller_of
from support.inprocess import Trouble

pytestmark = pytest.mark.anyio

EMAIL = Email.of("ada@example.com")
WHY = ByHand(by="root", reason="typed wrongly")
BOB = UserId("bob")


def registering(deployment: Deployment) -> RegisterCustomer:
    return RegisterCustomer(
        RegisterUser(deployment.record), deployment.directory, deployment.gateway
    )


def a_customer(deployment: Deployment, **fields: object) -> CustomerId:
    return CustomerId(deployment.api.customer(None, **fields)["id"])


async def test_only_a_customer_that_is_there_is_bound() -> None:
    """
    Not an unknown customer, a deleted one, or one that names another user.
    """
    async with Deployment.opened() as deployment:
        register, gone = registering(deployment), a_customer(deployment)
        deployment.api.delete(f"customers/{gone}")
        bobs = a_customer(deployment, metadata={"user_id": BOB})

        for customer in (CustomerId("cus_slip"), gone):
            with pytest.raises(UnknownReference):
                await register(ADA, EMAIL, customer)
        with pytest.raises(CustomerTaken, match="names another user"):
            await register(ADA, EMAIL, bobs)
        assert not deployment.database.tables.accounts
        mine = a_customer(deployment, metadata={"user_id": ADA})
        assert (await register(ADA, EMAIL, mine)).customer_id == mine
        assert (await register(ADA, EMAIL, mine)).customer_id == mine


async def test_a_customer_takes_a_place_for_a_reason_that_is_kept() -> None:
    """
    Replacing a customer that has nothing or never existed; that customer is then free.
    """
    async with Deployment.opened() as deployment:
        register = registering(deployment)
        first, second = a_customer(deployment), a_customer(deployment)
        await register(ADA, EMAIL, first)

        with pytest.raises(CustomerTaken, match="reason"):
            await register(ADA, EMAIL, second)
        account = await register(ADA, EMAIL, second, WHY)
        await register(BOB, Email.of("bob@example.com"), first)

        assert account.customer_id == second
        ((_, change),) = deployment.database.tables.changes_by_hand
        assert (change.subject, change.instead_of) == (second, first)
        assert change.decided == WHY
        slip = CustomerId("cus_slip")
        eve, email = UserId("eve"), Email.of("eve@example.com")
        await register.register(eve, email, slip)
        third = a_customer(deployment)
        assert (await register(eve, email, third, WHY)).customer_id == third


async def test_what_the_other_customer_has_is_asked_first() -> None:
    """
    Its subscription, and the end of it, may never have been reported.
    """
    async with Deployment.opened() as deployment:
        register = registering(deployment)
        first = CustomerId(deployment.api.customer("pm_card_visa")["id"])
        second = a_customer(deployment)
        await register(ADA, EMAIL, first)
        deployment.api.subscribe(first, deployment.basic)

        with pytest.raises(CustomerTaken, match="has an open subscription"):
            await register(ADA, EMAIL, second, WHY)
        await deployment.work()
        with pytest.raises(CustomerTaken, match="has an open subscription"):
            await register(ADA, EMAIL, second, WHY)
        with pytest.raises(CustomerTaken, match="has an open subscription"):
            await register.register(ADA, EMAIL, second, WHY)
        deployment.api.delete(f"customers/{first}")
        assert (await register(ADA, EMAIL, second, WHY)).customer_id == second
        await deployment.work()
        (ended,) = (await deployment.account()).subscriptions
        assert ended.status is SubscriptionStatus.CANCELED


async def test_no_customer_loses_its_place_while_an_operation_is_open() -> None:
    """
    It may be selling something to the other one.
    """
    async with Deployment.opened() as deployment:
        await deployment.register()
        order = Order(price=deployment.basic)
        deployment.line.plan(Trouble.ERROR_NOT_MADE, after=1)
        await deployment.start(ADA, order, caller=admin(), key=None)
        other = a_customer(deployment)

        with pytest.raises(OperationInProgress):
            await registering(deployment)(ADA, EMAIL, other, WHY)


@pytest.mark.parametrize("heard", [True, False])
async def test_a_deleted_customer_is_let_go_and_another_one_made(
    *, heard: bool
) -> None:
    """
    By its event, or after an operation was refused because of it.
    """
    async with Deployment.opened() as deployment:
        await deployment.register()
        caller = caller_of(ADA)
        await deployment.update_card(ADA, "pm_card_visa", caller=caller, key=None)
        await deployment.hear()
        first = (await deployment.account()).customer_id
        deployment.api.delete(f"customers/{first}")
        if heard:
            await deployment.hear()
        else:
            await deployment.update_card(ADA, "pm_card_visa", caller=caller, key=None)
        await deployment.work()
        account = await deployment.account()
        assert (account.customer_id, account.card) == (None, None)

        await deployment.update_card(ADA, "pm_card_visa", caller=caller, key=None)
        account = await deployment.account()
        assert account.customer_id not in {None, first}
        assert account.card is not None
