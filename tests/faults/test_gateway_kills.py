"""kill -9 around a call to the gateway, and two processes that race to make it."""

import asyncio
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import attrs
import httpx
import pytest
from typing_extensions import override

from payments_sandbox import Fault, Sandbox
from payments_sandbox.api import ApiRequest, ApiResponse
from support import databases
from support.plain_http import TLS
from support.service import ServiceProcess, running, start
from support.service_with_sandbox import (
    GOOD,
    Payer,
    SalesWorld,
    ServiceWithSandbox,
    stocked,
)
from support.wire import wired

RIVALS: Final = 64
LATER: Final = timedelta(minutes=2)
CREATES: Final = "POST /v1/subscriptions"


@attrs.frozen
class WithoutLimits(SalesWorld):
    """A user may have as many concurrent requests as there are rivals."""

    @override
    def env(self, port: int = 0, ops_port: int = 0) -> dict[str, str]:
        return {
            **SalesWorld.env(self, port, ops_port),
            "PAYMENTS_CARDS_PER_MINUTE": "0",
        }


@attrs.frozen
class TwoServices:
    """Two processes on one database, in front of one sandbox."""

    sandbox: Sandbox
    world: SalesWorld
    services: Sequence[ServiceProcess]
    stack: ServiceWithSandbox


@pytest.fixture(scope="module")
def pair(postgres: str, template: str) -> Iterator[TwoServices]:
    with (
        databases.copy_of(postgres, template) as dsn,
        Sandbox(start=datetime.now(UTC).replace(microsecond=0)) as sandbox,
        wired(sandbox) as wire,
    ):
        world = WithoutLimits(dsn, stripe_base=sandbox.url, stripe_key=sandbox.api_key)
        with running(world, 2) as services:
            stack = stocked(sandbox, wire, services[0])
            yield TwoServices(sandbox, world, services, stack)


def _at_once(
    pair: TwoServices, payer: Payer, keys: Sequence[str]
) -> list[httpx.Response]:
    """Request one subscription with each key, from both processes, all concurrently."""

    async def one(client: httpx.AsyncClient, url: str, key: str) -> httpx.Response:
        headers = {"Authorization": f"Bearer {payer.token}", "Idempotency-Key": key}
        order = {"product": pair.stack.product}
        where = f"{url}/users/{payer.id}/subscriptions"
        return await client.post(where, json=order, headers=headers)

    async def ask() -> list[httpx.Response]:
        limits = httpx.Limits(max_connections=RIVALS)
        async with httpx.AsyncClient(timeout=60, limits=limits, verify=TLS) as client:
            urls = [pair.services[n % 2].url for n in range(len(keys))]
            asked = (one(client, *it) for it in zip(urls, keys, strict=True))
            return list(await asyncio.gather(*asked))

    return asyncio.run(ask())


def test_t51_p28_one_key_64_times_on_two_processes_is_one_subscription(
    pair: TwoServices,
) -> None:
    """
    All but the first are told to wait, or get the same answer, byte for byte.
    """
    payer = pair.stack.user()
    payer.give_card(GOOD).raise_for_status()
    answers = _at_once(pair, payer, ["one-key"] * RIVALS)
    last = payer.subscribe(key="one-key")

    statuses = Counter(answer.status_code for answer in answers)
    assert set(statuses) <= {201, 409}
    bodies = {it.content for it in answers if it.status_code == 201}
    assert bodies == {last.content}
    assert last.headers["idempotent-replayed"] == "true"
    assert len(payer.subscriptions) == len(payer.taken) == 1


def test_t51_p22_64_keys_on_two_processes_are_one_subscription(
    pair: TwoServices,
) -> None:
    """
    A user buys a product once, whatever the keys.
    """
    payer = pair.stack.user()
    payer.give_card(GOOD).raise_for_status()
    answers = _at_once(pair, payer, [f"key-{n}" for n in range(RIVALS)])

    statuses = Counter(answer.status_code for answer in answers)
    assert statuses == {201: 1, 409: RIVALS - 1}
    assert len(payer.subscriptions) == len(payer.taken) == 1


def test_p21_a_new_user_64_times_has_one_customer(pair: TwoServices) -> None:
    """
    No user has a customer yet, and all need one at once.
    """
    payer = pair.stack.user()
    assert payer.status["payment_status"] == "none"
    _at_once(pair, payer, [f"key-{n}" for n in range(RIVALS)])
    pair.stack.settle(LATER)

    assert len(payer.customers) == 1
    assert len(payer.living) == 1


# kill -9


@attrs.define
class Killer:
    """Kills a service when the sandbox has executed its request, before the answer."""

    matches: Callable[[ApiRequest], bool]
    victim: ServiceProcess
    struck: threading.Event = attrs.field(factory=threading.Event)

    def __call__(self, request: ApiRequest, _: ApiResponse) -> None:
        if not self.struck.is_set() and self.matches(request):
            self.struck.set()
            self.victim.process.kill()
            self.victim.process.wait()


@pytest.fixture
def fragile(pair: TwoServices) -> Iterator[tuple[ServiceProcess, TwoServices]]:
    """A third process, which may die."""
    with ExitStack() as stack:
        service = start(pair.world)
        stack.callback(service.kill)
        watch = pair.sandbox.engine.watch
        stack.callback(setattr, pair.sandbox.engine, "watch", watch)
        yield service, pair


def _asks_for(method: str, path: str) -> Callable[[ApiRequest], bool]:
    return lambda request: (request.method, request.path) == (method, path)


def _ask(service: ServiceProcess, payer: Payer, **body: Any) -> None:
    """Request a subscription; the answer may never come."""
    try:
        httpx.post(
            f"{service.url}/users/{payer.id}/subscriptions",
            json=body,
            headers={
                "Authorization": f"Bearer {payer.token}",
                "Idempotency-Key": "a-key",
            },
            timeout=30,
            verify=TLS,
        )
    except httpx.TransportError:
        return


@pytest.mark.parametrize(
    "path",
    ["/v1/customers", "/v1/payment_methods/pm_card_visa/attach", "/v1/subscriptions"],
)
def test_f01_f02_a_process_killed_between_reply_and_commit_makes_nothing_twice(
    fragile: tuple[ServiceProcess, TwoServices], path: str
) -> None:
    """
    The gateway has executed it, and the service does not know; the worker finds out,
    and the client's repetition gets the answer.
    """
    service, pair = fragile
    payer = pair.stack.user()
    assert payer.status["payment_status"] == "none"
    killer = Killer(_asks_for("POST", path), service)
    pair.sandbox.engine.watch = killer
    _ask(service, payer, product=pair.stack.product, payment_method=GOOD)
    assert killer.struck.is_set()
    pair.stack.settle(LATER)
    again = payer.subscribe(key="a-key", payment_method=GOOD)

    assert again.status_code == 201
    assert again.headers["idempotent-replayed"] == "true"
    assert len(payer.customers) == len(payer.subscriptions) == len(payer.taken) == 1
    assert payer.standing == ("paid", True)


def test_f01_p29_a_client_that_comes_back_heals_without_a_worker(
    fragile: tuple[ServiceProcess, TwoServices],
) -> None:
    """
    At first the client is told to wait: another process may still work on it. It is
    never sold twice.
    """
    service, pair = fragile
    payer = pair.stack.user()
    payer.give_card(GOOD).raise_for_status()
    pair.sandbox.engine.watch = Killer(_asks_for("POST", "/v1/subscriptions"), service)
    _ask(service, payer, product=pair.stack.product)
    answer = payer.subscribe(key="a-key")
    assert answer.status_code == 409
    assert answer.json()["code"] == "operation_in_progress"
    assert answer.headers["retry-after"]
    pair.stack.work(LATER)

    assert payer.subscribe(key="a-key").status_code == 201
    assert len(payer.subscriptions) == len(payer.taken) == 1


def test_f34_a_webhook_that_overtakes_the_answer_is_the_same_subscription(
    pair: TwoServices,
) -> None:
    """
    The first commit wins; the other changes nothing.
    """
    payer = pair.stack.user()
    payer.give_card(GOOD).raise_for_status()
    url, (secret,) = f"{pair.services[1].url}/webhooks/stripe", pair.world.secrets
    pair.sandbox.deliver_to(url, secret)
    pair.sandbox.plan(Fault.OVERTAKE, CREATES)
    answer = payer.subscribe()
    pair.stack.settle(LATER)

    assert answer.status_code == 201
    [known] = payer.get("subscriptions")["items"]
    assert known["id"] == answer.json()["id"]
    assert payer.standing == ("paid", True)
    assert len(payer.taken) == 1
