"""The lists behind a budget and a breaker: pages use only calls that others leave."""

from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final

import attrs
import pytest
from typing_extensions import override

from contracts import every_contract_of
from contracts.gateway_lists import SECOND, until
from payments_adapters.memory import FixedClock, MemoryLists
from payments_adapters.rate_limited_gateway import (
    CALLS_PER_S,
    KEY,
    PAUSE,
    UNKNOWN_OUTCOMES_MAX,
    WAITS_MAX,
    BreakerState,
    CircuitBreaker,
    GatewayListener,
    KeyWatch,
    RateLimitedLists,
)
from payments_core.errors import (
    GatewayMisconfigured,
    GatewayNotAttempted,
    GatewayObjectMissing,
    GatewayOutcomeUnknown,
    PaymentsError,
)
from payments_core.identity import CustomerId
from payments_core.object_lists import CreatedBetween, ObjectList, ObjectPage
from payments_core.ports import GatewayLists
from support.listed import MemoryListsWorld

pytestmark = pytest.mark.anyio

NOON: Final = datetime(2026, 1, 10, 12, tzinfo=UTC)
ENDPOINTS: Final[Mapping[ObjectList, str]] = {
    ObjectList.CUSTOMERS: "customers",
    ObjectList.SUBSCRIPTIONS: "subscriptions",
    ObjectList.INVOICES: "invoices",
    ObjectList.PAYMENTS: "charges",
    ObjectList.REFUNDS: "refunds",
    ObjectList.DISPUTES: "disputes",
}


@attrs.define
class Spare:
    """Has nothing to spare until it was asked so often."""

    none_for: int = 0
    asked: list[str] = attrs.field(factory=list)

    async def take_spare(self, endpoint: str, *, per_s: float, now: datetime) -> bool:
        assert per_s == CALLS_PER_S
        assert now.tzinfo is UTC
        self.asked.append(endpoint)
        return len(self.asked) > self.none_for


@attrs.define
class Failing:
    """Lists that cannot be read, for the given reason."""

    error: PaymentsError
    asked: int = 0

    async def page(
        self,
        list_: ObjectList,  # noqa: ARG002  # the port's
        created: CreatedBetween,  # noqa: ARG002  # the port's
        *,
        customer: CustomerId | None = None,  # noqa: ARG002  # the port's
        after: str | None = None,  # noqa: ARG002  # the port's
    ) -> ObjectPage:
        self.asked += 1
        raise self.error


@attrs.define
class Guarded:
    """Lists behind a budget and a breaker."""

    inner: GatewayLists = attrs.field(factory=lambda: MemoryLists(FixedClock(NOON)))
    spare: Spare = attrs.field(factory=Spare)
    clock: FixedClock = attrs.field(factory=lambda: FixedClock(NOON))
    breaker: CircuitBreaker = attrs.field(init=False)
    lists: RateLimitedLists = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.breaker = CircuitBreaker(self.clock, KeyWatch(self.clock))
        self.lists = RateLimitedLists(
            self.inner, self.spare, self.breaker, self.clock, wait_s=0
        )

    async def page(self, list_: ObjectList = ObjectList.CUSTOMERS) -> ObjectPage:
        return await self.lists.page(list_, until(NOON + SECOND))


@attrs.define
class LimitedListsWorld(MemoryListsWorld):
    """Lists in memory, read through the limits."""

    @property
    @override
    def lists(self) -> GatewayLists:
        breaker = CircuitBreaker(self.clock)
        return RateLimitedLists(self.memory, Spare(), breaker, self.clock)


@pytest.fixture
def lists_world() -> LimitedListsWorld:
    return LimitedListsWorld()


@every_contract_of("lists_world")
class TestRateLimitedLists:
    """Every contract of the lists: the limits change none of their promises."""


@pytest.mark.parametrize("list_", ObjectList)
async def test_each_page_is_one_call_of_its_endpoint(list_: ObjectList) -> None:
    """
    The budget that single reads of the same endpoint use, too.
    """
    it = Guarded()
    for _ in range(2):
        await it.page(list_)
    assert it.spare.asked == [ENDPOINTS[list_]] * 2


async def test_a_page_waits_while_others_need_the_calls() -> None:
    """
    It is read as soon as half of the budget is left.
    """
    it = Guarded(spare=Spare(none_for=WAITS_MAX - 1))
    await it.page()
    assert len(it.spare.asked) == WAITS_MAX


async def test_a_page_that_waited_for_too_long_is_not_read() -> None:
    """
    No request was sent: it is tried again another time.
    """
    memory = MemoryLists(FixedClock(NOON))
    it = Guarded(memory, Spare(none_for=WAITS_MAX))
    with pytest.raises(GatewayNotAttempted):
        await it.page()
    assert memory.asked == []
    assert it.breaker.state is BreakerState.CLOSED


async def test_no_page_is_read_while_the_gateway_does_not_answer() -> None:
    """
    All calls share one breaker: pages open it, and are blocked by it.
    """
    failing = Failing(GatewayOutcomeUnknown("no answer in time"))
    it = Guarded(failing)
    for _ in range(UNKNOWN_OUTCOMES_MAX):
        with pytest.raises(GatewayOutcomeUnknown):
            await it.page()
    assert it.breaker.state is BreakerState.OPEN
    with pytest.raises(GatewayNotAttempted):
        await it.page()
    assert failing.asked == UNKNOWN_OUTCOMES_MAX
    assert len(it.spare.asked) == UNKNOWN_OUTCOMES_MAX

    it.clock.advance(PAUSE)
    with pytest.raises(GatewayOutcomeUnknown):
        await it.page()
    assert failing.asked == UNKNOWN_OUTCOMES_MAX + 1


async def test_a_place_that_is_gone_is_an_answer() -> None:
    """
    It is raised as it is, and the breaker learns that the gateway answers.
    """
    it = Guarded(Failing(GatewayObjectMissing("customer")))
    for _ in range(UNKNOWN_OUTCOMES_MAX + 1):
        with pytest.raises(GatewayObjectMissing):
            await it.page()
    assert it.breaker.state is BreakerState.CLOSED


async def test_a_key_that_may_not_list_is_told() -> None:
    """
    By endpoint, if it is valid for others; with a refused key no page is read.
    """
    it = Guarded(Failing(GatewayMisconfigured("may not", permission=True)))
    with pytest.raises(GatewayMisconfigured):
        await it.page(ObjectList.DISPUTES)
    assert it.breaker.key.refused == {"disputes"}

    it = Guarded(failing := Failing(GatewayMisconfigured()))
    for _ in range(2):
        with pytest.raises(GatewayMisconfigured):
            await it.page()
    assert it.breaker.key.refused == {KEY}
    assert failing.asked == 1


@attrs.define
class Heard(GatewayListener):
    """What a listener is given; of a call's time, only whether it took any."""

    calls: list[tuple[str, BaseException | None, bool]] = attrs.field(factory=list)
    waits: list[str] = attrs.field(factory=list)

    @override
    def called(
        self, operation: str, error: BaseException | None, seconds: float | None
    ) -> None:
        self.calls.append((operation, error, seconds is not None))

    @override
    def waited(self, endpoint: str) -> None:
        self.waits.append(endpoint)


async def test_each_page_is_heard_of_by_its_list() -> None:
    """
    With its result, and each wait for calls that others need.
    """
    heard, silent = Heard(), GatewayOutcomeUnknown("no answer in time")
    for it in (Guarded(spare=Spare(none_for=2)), Guarded(Failing(silent))):
        it.lists = attrs.evolve(it.lists, listener=heard)
        with suppress(GatewayOutcomeUnknown):
            await it.page(ObjectList.PAYMENTS)

    operation = f"list_{ObjectList.PAYMENTS.value}"
    assert heard.calls == [(operation, None, True), (operation, silent, True)]
    assert heard.waits == ["charges"] * 2
