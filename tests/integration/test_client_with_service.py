"""The client with the service: what it reads, what it stores, and what it trusts."""

import asyncio
from collections.abc import Callable

import httpx
import pytest

from payments_client import (
    LocalCopy,
    NotAuthenticated,
    NotFound,
    PassRefused,
    PassVerifier,
    PaymentsClient,
    RateLimited,
    Unavailable,
)
from payments_client.client import BASE_PATH
from payments_core.caller import FEED_SCOPE, READ_SCOPE
from support import databases
from support.service_with_sandbox import Payer, ServiceWithSandbox

pytestmark = pytest.mark.anyio


def client_of(payer: Payer) -> PaymentsClient:
    return PaymentsClient(payer.stack.service.url, payer.token)


def client_of_app(stack: ServiceWithSandbox) -> PaymentsClient:
    token = stack.world.token("app", scopes=[FEED_SCOPE, READ_SCOPE])
    return PaymentsClient(stack.service.url, token)


async def subscriber(stack: ServiceWithSandbox) -> Payer:
    """Return a new user with a subscription; the helper has event loops of its own."""
    payer = await asyncio.to_thread(stack.user)
    await asyncio.to_thread(payer.subscribed)
    await numbered(stack)
    return payer


async def numbered(stack: ServiceWithSandbox) -> None:
    """Give changes their positions, as the worker does continuously."""
    give = "select give_positions_v1(1000)"
    await databases.execute(stack.world.database_url, give)


async def soon(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110  # nothing tells of it
            await asyncio.sleep(0.01)


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


async def test_a_copy_hears_of_who_pays_and_of_who_gives_back(
    stack: ServiceWithSandbox,
) -> None:
    """
    It agrees with the service on every user, and receives changes by itself.
    """
    before = await subscriber(stack)
    payer = await asyncio.to_thread(stack.user)
    async with (
        client_of_app(stack) as client,
        LocalCopy(client, wait_s=2) as copy,
    ):
        assert copy.allows(before.id, stack.product)
        assert not copy.allows(payer.id, stack.product)
        await asyncio.to_thread(payer.subscribed)
        await numbered(stack)
        await soon(lambda: copy.allows(payer.id, stack.product))

        charge = payer.charges[-1]["id"]
        await asyncio.to_thread(stack.wire.post, "refunds", charge=charge)
        await asyncio.to_thread(stack.settle)
        await numbered(stack)
        await soon(lambda: not copy.allows(payer.id, stack.product))
        for user in (before, payer):
            access = await client.access(user.id)
            granted = {it.feature for it in access.features if it.granted}
            assert copy.allows(user.id, stack.product) == (stack.product in granted)
            assert await copy.check(user.id, stack.product) == (
                stack.product in granted
            )
        assert not await copy.check("nobody", stack.product)


async def test_a_pass_of_the_service_is_believed(stack: ServiceWithSandbox) -> None:
    """
    By the keys that it publishes, and by no others.
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
    # In whole seconds, and not later than it.
    assert 0 <= told.until.timestamp() - found.features[stack.product] <= 1
    assert await by_address.verify(token) == found
    with pytest.raises(PassRefused):
        # A bearer token is not a pass.
        await by_address.verify(payer.token)


async def test_a_wrong_address_or_scope_is_told(
    stack: ServiceWithSandbox, caplog: pytest.LogCaptureFixture
) -> None:
    """
    Access is never denied without an error in the log, and the start does not wait.
    """
    host = stack.service.url.removesuffix(BASE_PATH)
    assert host != stack.service.url
    reads = stack.world.token("app", scopes=[READ_SCOPE])
    for url, code in ((host, "not_found"), (stack.service.url, "scope_required")):
        caplog.clear()
        async with PaymentsClient(url, reads) as client, LocalCopy(client) as copy:
            [told] = [it for it in caplog.records if it.name == "payments_client"]
            assert (told.levelname, told.exc_info) == ("ERROR", None)
            assert code in told.getMessage()
            if code == "not_found":
                with pytest.raises(NotFound, match="base_url ends with"):
                    await copy.check("nobody", stack.product)
            else:
                assert not await copy.check("nobody", stack.product)


async def test_a_service_that_is_gone_is_unavailable(stack: ServiceWithSandbox) -> None:
    """
    Nothing listens there.
    """
    async with PaymentsClient("http://127.0.0.1:9", "t", retries_max=0) as client:
        with pytest.raises(Unavailable) as error:
            await client.payment_status("ada")
    assert isinstance(error.value.__cause__, httpx.ConnectError)
    told = "http://127.0.0.1:9 cannot be reached: connection refused"
    assert str(error.value) == told
    assert stack.product
