"""The sandbox's time: read when it is moved, whatever else moved it meanwhile."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

import attrs
import httpx
import pytest

from payments_sandbox.app import SandboxApp
from payments_sandbox.back_off import BackOff
from payments_sandbox.journal import Entry
from payments_sandbox.periods import span_after
from payments_sandbox.scheduler import HANDLERS
from payments_sandbox.server import Ticker, over_and_over
from payments_sandbox.state import World
from payments_sandbox.webhook_sender import WebhookSender
from support.sandbox import Api

pytestmark = pytest.mark.anyio


@attrs.define
class Hook:
    """A receiver in process, which answers when allowed; it records what arrived."""

    status: int = 200
    arrived: list[tuple[str, str]] = attrs.field(factory=list)
    came: asyncio.Event = attrs.field(factory=asyncio.Event)
    open: dict[str, asyncio.Event] = attrs.field(factory=dict)
    then: Callable[[], None] = lambda: None

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        host = request.url.host
        self.arrived.append((host, request.content.decode().split('"')[3]))
        self.came.set()
        if gate := self.open.get(host):
            await gate.wait()
        self.then()
        return httpx.Response(self.status)

    def sender(self, api: Api, **limits: int) -> WebhookSender:
        client = httpx.AsyncClient(transport=httpx.MockTransport(self))
        return WebhookSender(api.engine, client=client, **limits)


def listen(api: Api, host: str) -> None:
    api.post("webhook_endpoints", url=f"http://{host}", enabled_events=["*"])


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110  # whoever makes it true tells nobody
            await asyncio.sleep(0)


async def ended(*tasks: "asyncio.Task[None]") -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_tick_that_waited_for_an_advance_goes_on_from_where_that_led() -> None:
    """
    It waits for the clock while a request lets two months pass: the elapsed real time
    is added, that of the waiting too.
    """
    api, hook, real_time = Api.begin(), Hook(), [100.0]
    listen(api, "a")
    api.post("customers")
    hook.open["a"] = asyncio.Event()
    app = SandboxApp(api.engine, hook.sender(api))
    ticker = Ticker(app, lambda: real_time[0], tick_s=0)
    wanted = span_after(api.now, "2 months")

    advancing = asyncio.create_task(app.advance("2 months"))
    # It has the clock, and waits for a receiver.
    await hook.came.wait()
    real_time[0] += 1
    ticking = asyncio.create_task(ticker.tick())
    for _ in range(10):
        await asyncio.sleep(0)
    real_time[0] += 5
    hook.open["a"].set()

    assert await advancing == wanted
    await ticking
    assert api.now == wanted + 6
    real_time[0] += 1.5
    await ticker.tick()
    assert api.now == wanted + 7
    await app.sender.close()


async def test_two_spans_at_once_are_both_let_pass() -> None:
    """
    The second counts from the end of the first.
    """
    api = Api.begin()
    app = SandboxApp.of(api.engine)
    wanted = span_after(span_after(api.now, "2 months"), "2 months")

    times = await asyncio.gather(app.advance("2 months"), app.advance("2 months"))

    assert max(times) == api.now == wanted


async def test_a_tick_that_fails_is_logged_and_tried_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """
    For example, a journal that cannot be written: once it can, all the elapsed time
    passes.
    """
    api, real_time = Api.begin(), [0.0]
    start, failures = api.now, [OSError("no space"), OSError("no space")]

    def record(_: Entry) -> None:
        if failures:
            raise failures.pop()

    api.engine.record = record
    ticker = Ticker(SandboxApp.of(api.engine), lambda: real_time[0], tick_s=0)
    real_time[0] = 90.0

    with caplog.at_level(logging.ERROR):
        ticking = asyncio.create_task(
            over_and_over(ticker.tick, "a tick", BackOff(0, 0))
        )
        await until(lambda: api.now > start or ticking.done())

    assert api.now == start + 90
    assert not ticking.done()
    assert [record.message for record in caplog.records] == [
        "a tick of the sandbox failed; it is tried again"
    ] * 2
    await ended(ticking)


def test_what_failed_to_fall_due_is_still_to_be_done() -> None:
    """
    The clock keeps its time, and the step is done the next time.
    """
    api = Api.begin()
    subscription = api.subscribe(api.customer()["id"], api.price()["id"])
    failures = [KeyError("a bug")]
    seen = len(api.types())

    def fails_once(world: World, id_: str) -> None:
        if failures:
            world.report("customer.subscription.updated", subscription)
            raise failures.pop()
        HANDLERS["period"](world, id_)

    api.engine.world.handle({**HANDLERS, "period": fails_once})
    start = api.now

    with pytest.raises(KeyError):
        api.advance("40 days")
    assert (api.now, api.types(seen)) == (start, [])

    api.advance("40 days")
    assert "invoice.paid" in api.types(seen)


@pytest.mark.parametrize("status", [200, 500])
async def test_a_reset_ends_an_advance_and_what_was_on_its_way(status: int) -> None:
    """
    The new world has its own time; it retries and records nothing of the old one.
    """
    api, hook = Api.begin(), Hook(status)
    start = api.now
    listen(api, "a")
    api.post("customers")
    hook.then = api.engine.reset
    entries: list[Entry] = []
    api.engine.record = entries.append
    app = SandboxApp(api.engine, hook.sender(api))

    now = await app.advance("2 months")

    assert now == api.now == start
    assert len(hook.arrived) == 1
    assert len(api.engine.outbox) == 0
    assert [type(entry).__name__ for entry in entries] == ["Reset"]
    await app.sender.close()


async def carried(hook: Hook, work: Awaitable[None], when: Callable[[], bool]) -> None:
    """Begin deliveries; once the condition holds, open all gates and await the end."""
    carrying = asyncio.ensure_future(work)
    await until(when)
    for gate in hook.open.values():
        gate.set()
    await carrying


async def test_an_endpoint_that_does_not_answer_holds_no_other_up() -> None:
    """
    Each endpoint gets one event after the other, in order; as many endpoints as allowed
    are served in parallel.
    """
    api, hook = Api.begin(), Hook()
    for host in ("a", "b", "c"):
        listen(api, host)
    made = 3
    for _ in range(made):
        api.post("customers")
    hook.open = {"a": asyncio.Event()}
    sender = hook.sender(api, endpoints_at_once=2)

    def b_and_c_have_all() -> bool:
        return len(hook.arrived) == 2 * made + 1

    await carried(hook, sender.flush(), b_and_c_have_all)

    hosts = [host for host, _ in hook.arrived]
    assert hosts[: 2 * made + 1].count("a") == 1
    happened = list(api.engine.world.events)
    for host in ("a", "b", "c"):
        assert [id_ for at, id_ in hook.arrived if at == host] == happened
    await sender.close()


@pytest.mark.parametrize(
    ("limits", "most"),
    [
        ({}, ["a"]),
        ({"at_once": 2}, ["a", "a"]),
        ({"endpoints_at_once": 2}, ["a", "b"]),
        ({"at_once": 2, "endpoints_at_once": 3}, ["a", "a", "b", "b", "c", "c"]),
    ],
)
async def test_no_more_is_under_way_than_may_be(
    limits: dict[str, int], most: list[str]
) -> None:
    """
    So many for each endpoint, and so many endpoints.
    """
    api, hook = Api.begin(), Hook()
    for host in ("a", "b", "c"):
        listen(api, host)
        hook.open[host] = asyncio.Event()
    for _ in range(3):
        api.post("customers")
    sender = hook.sender(api, **limits)

    flushing = asyncio.create_task(sender.flush())
    await until(lambda: len(hook.arrived) >= len(most))
    for _ in range(20):
        await asyncio.sleep(0)
    assert sorted(host for host, _ in hook.arrived) == most

    await carried(hook, flushing, lambda: True)
    assert len(hook.arrived) == 9
    await sender.close()


async def test_its_time_is_told_before_what_happened_then() -> None:
    """
    At each arrival the time is already announced, from the first event to the end; so
    after a reset.
    """
    api = Api.begin()
    told = [api.now]
    hook = Hook(then=lambda: seen.append(told[-1] == api.engine.now))
    seen = list[bool]()
    app = SandboxApp(api.engine, hook.sender(api))
    listen(api, "hook")
    api.engine.show_time = told.append
    began = api.engine.now
    price = api.price(900)
    api.subscribe(api.customer()["id"], price["id"])
    until_then = await app.advance("2 months")
    await app.sender.close()

    assert len(seen) > 2
    assert all(seen)
    assert told == sorted(told)
    assert len(set(told)) > 2
    assert told[-1] == until_then == span_after(began, "2 months")
    api.engine.reset()
    assert told[-1] == began
