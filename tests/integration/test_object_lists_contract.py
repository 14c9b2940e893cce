"""The contract of the gateway's lists, on the real SDK over HTTP, against a sandbox."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from contracts import every_contract_of
from contracts.examples import NOON
from contracts.gateway_lists import SECOND, ids, until
from payments_adapters.stripe.object_lists import PAGE_BYTES_MAX, StripeLists
from payments_adapters.stripe.transport import ANSWER_BYTES_MAX
from payments_core.errors import GatewayOutcomeUnknown
from payments_core.object_lists import ObjectList
from payments_core.ports import GatewayLists
from payments_sandbox import Sandbox
from payments_service.container import build_container
from payments_service.container import opened as all_opened
from payments_service.settings import Settings
from support.listed import SandboxListsWorld
from support.lying_stripe import KEY, Liar, answer
from support.sdk_client import SDK_MARKS
from support.service import World

pytestmark = SDK_MARKS


@pytest.fixture
async def lists_world(sandbox: Sandbox) -> AsyncIterator[SandboxListsWorld]:
    sandbox.reset()
    sandbox.calm()
    lists = StripeLists(sandbox.api_key, base=sandbox.url, livemode=False)

    async def pass_time() -> None:
        sandbox.advance("1 second")

    async with lists.opened():
        yield SandboxListsWorld(lists, sandbox.engine, sandbox._do, pass_time)


@every_contract_of("lists_world")
class TestStripeLists:
    """Every contract of the lists, against Stripe's API."""


@pytest.mark.parametrize("over", [0, 1])
async def test_a_page_may_be_longer_than_another_answer(over: int) -> None:
    """
    A hundred subscriptions are in one answer; that has a limit, too.
    """
    assert PAGE_BYTES_MAX > ANSWER_BYTES_MAX
    empty = b'{"object": "list", "data": [], "url": "%s"}'
    body = empty % (b"x" * (PAGE_BYTES_MAX - len(empty) + 2 + over))
    liar = Liar(answer=answer(body))
    async with await asyncio.start_server(liar.serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        lists = StripeLists(KEY, base=f"http://127.0.0.1:{port}", livemode=False)
        async with lists.opened():
            if over:
                with pytest.raises(GatewayOutcomeUnknown, match="TooLong"):
                    await lists.page(ObjectList.CUSTOMERS, until(NOON))
            else:
                page = await lists.page(ObjectList.CUSTOMERS, until(NOON))
                assert page.objects == []


async def test_the_service_reads_lists_with_the_calls_of_its_budget(
    lists_world: SandboxListsWorld, sandbox: Sandbox, database_url: str
) -> None:
    """
    It uses only what its container opens.
    """
    [made] = lists_world.make(ObjectList.CUSTOMERS)
    env = {
        **World(database_url).env(0, 0),
        "PAYMENTS_STRIPE_API_BASE": sandbox.url,
        "PAYMENTS_STRIPE_API_KEY": sandbox.api_key,
    }
    container = build_container(Settings.from_env(env))
    lists: GatewayLists = container._container.resolve(GatewayLists)
    async with all_opened(container):
        page = await lists.page(ObjectList.CUSTOMERS, until(lists_world.now + SECOND))
    assert ids(page.objects) == [made]
