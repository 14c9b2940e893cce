"""The client beside the service: what it reads, and what it believes."""

import asyncio

import httpx
import pytest

from payments_client import (
    NotAuthenticated,
    NotFound,
    PassRefused,
    PassVerifier,
    PaymentsClient,
    RateLimited,
    Unavailable,
)
from support.service_with_sandbox import Payer, ServiceWithSandbox

pytestmark = pytest.mark.anyio


def client_of(payer: Payer) -> PaymentsClient:
    return PaymentsClient(payer.stack.service.url, payer.token)


async def subscriber(stack: ServiceWithSandbox) -> Payer:
    """Return somebody new who has subscribed; what helps has loops of its own."""
    payer = await asyncio.to_thread(stack.user)
    await asyncio.to_thread(payer.subscribed)
    return payer


async def test_a_status_and_access_are_read(stack: ServiceWithSandbox) -> None:
    """
    As the routes answer; refusals have the service's codes.
    """
    payer = await subscriber(stack)
    async with client_of(payer) as client:
        status = await client.payment_status(payer.id)
        synced = await client.sync(payer.id)
        access = await client.access(payer.id)
        feature = await client.feature(payer.id, stack.product)
        catalogue = await client.catalogue()
        with pytest.raises(RateLimited) as early:
            await client.sync(payer.id)
        with pytest.raises(NotFound) as unknown:
            await client.payment_status("nobody")

    assert (status.payment_status, status.entitled) == ("paid", True)
    assert synced == status
    assert status.subscriptions[0].product == stack.product
    assert status.card is not None
    assert access.entitled
    assert [it.feature for it in access.features if it.granted] == [stack.product]
    assert feature.granted
    assert feature.because is not None
    assert feature.because.kind == "paid_period"
    assert (catalogue.version, access.catalogue) == ("none", "none")
    assert (early.value.code, unknown.value.code) == (
        "synced_recently",
        "account_not_found",
    )
    assert early.value.retry_after_s is not None
    async with PaymentsClient(stack.service.url, "none") as stranger:
        with pytest.raises(NotAuthenticated):
            await stranger.payment_status(payer.id)


async def test_a_pass_of_the_service_is_believed(stack: ServiceWithSandbox) -> None:
    """
    By the keys that it publishes, and no other's.
    """
    payer = await subscriber(stack)
    made = await asyncio.to_thread(payer.call, "POST", "access-pass")
    token = made.raise_for_status().json()["pass"]
    by_address = PassVerifier(f"{stack.service.url}/.well-known/jwks.json")
    async with client_of(payer) as client:
        found = await PassVerifier(client).verify(token)
        told = await client.feature(payer.id, stack.product)
        with pytest.raises(PassRefused):
            await PassVerifier(client, issuer="other").verify(token)

    assert found.user_id == payer.id
    assert found.allows(stack.product)
    assert told.until is not None
    # In whole seconds, and not after it.
    assert 0 <= told.until.timestamp() - found.features[stack.product] <= 1
    assert await by_address.verify(token) == found
    with pytest.raises(PassRefused):
        # A bearer token is none.
        await by_address.verify(payer.token)


async def test_a_service_that_is_gone_is_unavailable(stack: ServiceWithSandbox) -> None:
    """
    Nothing listens there.
    """
    async with PaymentsClient("http://127.0.0.1:9", "t", retries_max=0) as client:
        with pytest.raises(Unavailable) as error:
            await client.payment_status("ada")
    assert isinstance(error.value.__cause__, httpx.ConnectError)
    assert stack.product
