"""Changes to endpoints that accept them, refuse them, or are slow."""

import asyncio
import itertools
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import suppress
from datetime import timedelta
from enum import StrEnum
from operator import itemgetter
from typing import Any, Final

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typing_extensions import override

from contracts.examples import NOON
from payments_adapters.memory import (
    FixedClock,
    MemoryDatabase,
    MemoryDeliveries,
    MemoryFeedReader,
)
from payments_core.account_log import LoggedVerdict
from payments_core.deliveries import (
    GIVE_UP_AFTER,
    LEASE,
    Delivery,
    DeliveryKey,
    SendResult,
)
from payments_core.entitlement import PaymentStatus
from payments_core.errors import StoreUnavailable
from payments_core.feed import FeedChange, FeedPage
from payments_core.identity import UserId
from payments_core.jobs import DeliverChanges, DeliveryListener

pytestmark = pytest.mark.anyio

CRM: Final = "crm"
SHOP: Final = "shop"
TAKEN: Final = SendResult(is_delivered=True)
NO: Final = SendResult(is_delivered=False, reason="it answered 500")
Attempt = Callable[[DeliveryKey, str], Awaitable[SendResult]]


class Crash(BaseException):
    """The process is killed; nothing catches it."""


def after_one_round() -> Callable[[], bool]:
    """Return what requests a stop from the second call on."""
    asked = itertools.count()
    return lambda: next(asked) > 0


def body_of(change: FeedChange) -> bytes:
    return f"{change.user_id} {change.version}".encode()


async def take(_: DeliveryKey, __: str) -> SendResult:
    return TAKEN


@attrs.define
class Heard(DeliveryListener):
    told: list[tuple[str, int]] = attrs.field(factory=list)

    @override
    def delivered(self, delivery: Delivery) -> None:
        self.told.append(("delivered", delivery.key.position))

    @override
    def failed(self, after: Delivery) -> None:
        word = "dead" if after.dead else "failed"
        self.told.append((word, after.key.position))

    @override
    def bug(self, delivery: Delivery, error: Exception) -> None:
        self.told.append((type(error).__name__, delivery.key.position))


@attrs.define
class World:
    """A log, endpoints that begin with it, and what arrived there, in its order."""

    clock: FixedClock = attrs.field(factory=lambda: FixedClock(NOON))
    database: MemoryDatabase = attrs.field(factory=MemoryDatabase)
    attempt: Attempt = take
    arrived: list[tuple[DeliveryKey, str]] = attrs.field(factory=list)
    heard: Heard = attrs.field(factory=Heard)
    open_max: int = 10_000

    @property
    def queue(self) -> MemoryDeliveries:
        return MemoryDeliveries(self.database, self.open_max)

    async def send(self, key: DeliveryKey, body: bytes) -> SendResult:
        text = body.decode()
        result = await self.attempt(key, text)
        if result.is_delivered:
            self.arrived.append((key, text))
        return result

    def log(self, *users: str) -> None:
        """Log a change of each user."""
        tables = self.database.tables.copy()
        for user in users:
            versions = [it for whose, it in tables.account_log if whose == user]
            row = LoggedVerdict(
                version=max(versions, default=0) + 1,
                at=NOON + timedelta(seconds=len(tables.account_log)),
                payment_status=PaymentStatus.PAID,
                payment_expire_date=None,
                entitled_until=None,
                grace=timedelta(0),
                status_by=None,
                date_by=None,
                cause="it was so",
                sources=(),
            )
            tables.log_account(UserId(user), row)
        while tables.give_positions(len(users)):
            continue
        self.database.tables = tables

    def deliver(self, endpoint: str = CRM, **given: Any) -> DeliverChanges:
        """Return what a newly started process has."""
        return DeliverChanges(
            **{
                "endpoint": endpoint,
                "queue": self.queue,
                "feed": MemoryFeedReader(self.database),
                "sender": self,
                "body_of": body_of,
                "system_clock": self.clock,
                "jitter": lambda: 0.5,
                "listener": self.heard,
                "from_start": True,
                **given,
            }
        )

    def texts(self, endpoint: str = CRM) -> list[str]:
        return [text for key, text in self.arrived if key.endpoint == endpoint]

    @property
    def kept(self) -> list[DeliveryKey]:
        return sorted(self.database.deliveries)


async def test_p32_changes_are_delivered_in_their_order_and_forgotten() -> None:
    """
    Everything logged, and nothing twice.
    """
    world = World()
    world.log("ada", "bob", "ada", "ada")

    assert not await world.deliver()()

    assert sorted(world.texts()) == ["ada 1", "ada 2", "ada 3", "bob 1"]
    assert [it for it in world.texts() if "ada" in it] == ["ada 1", "ada 2", "ada 3"]
    assert world.kept == []
    assert sorted(world.heard.told) == [("delivered", it) for it in (1, 2, 3, 4)]
    await world.deliver()()
    assert len(world.texts()) == 4


async def test_f51_what_fails_is_tried_again_and_dead_after_three_days() -> None:
    """
    The user's next change is then sent; another user's was sent at once.
    """
    world = World()
    world.log("ada", "ada", "bob")

    async def no_to_the_first(key: DeliveryKey, _: str) -> SendResult:
        return NO if key.position == 1 else TAKEN

    world.attempt = no_to_the_first
    await world.deliver()()
    assert world.texts() == ["bob 1"]

    for _ in range(100):
        due_at = world.database.deliveries[world.kept[0]].lease.due_at
        world.clock.now = max(due_at, world.clock.now)
        await world.deliver()()
        if ("dead", 1) in world.heard.told:
            break

    assert world.clock.now == NOON + GIVE_UP_AFTER
    assert world.texts() == ["bob 1", "ada 2"]
    assert world.kept == [DeliveryKey(CRM, 1)]


async def test_a_bug_of_ours_counts_as_a_failure() -> None:
    """
    It is reported, and retried later, not at once; no other user waits for it.
    """
    world = World()
    world.log("ada", "bob")

    def broken(change: FeedChange) -> bytes:
        if change.user_id == "ada":
            raise KeyError("a bug")
        return body_of(change)

    await world.deliver(body_of=broken)()

    assert world.texts() == ["bob 1"]
    assert world.heard.told[:2] == [("KeyError", 1), ("failed", 1)]
    [left] = world.database.deliveries.values()
    assert (left.reason, left.lease.attempts) == ("a bug: KeyError", 1)


async def test_a_change_that_cannot_be_read_counts_as_a_failure() -> None:
    """
    The turn continues with the other users; that delivery is retried later, like any
    failure.
    """
    world = World()
    world.log("ada", "bob")

    class Broken(MemoryFeedReader):
        @override
        async def page(
            self, after: int, limit: int, *, latest: bool = False
        ) -> FeedPage:
            if after == 0:
                raise ValueError("a cause that nobody knows")
            return await super().page(after, limit, latest=latest)

    await world.deliver(feed=Broken(world.database))()

    assert world.texts() == ["bob 1"]
    assert world.heard.told[:2] == [("ValueError", 1), ("failed", 1)]
    [left] = world.database.deliveries.values()
    assert (left.reason, left.lease.attempts) == ("a bug: ValueError", 1)


async def test_a_change_that_the_database_does_not_give_is_no_failure() -> None:
    """
    The turn ends, and the delivery keeps its lease until that ends.
    """
    world = World()
    world.log("ada")

    class Gone(MemoryFeedReader):
        @override
        async def page(
            self, after: int, limit: int, *, latest: bool = False
        ) -> FeedPage:
            raise StoreUnavailable

    with pytest.raises(StoreUnavailable):
        await world.deliver(feed=Gone(world.database))()

    assert world.heard.told == []
    [left] = world.database.deliveries.values()
    assert (left.lease.attempts, left.lease.until) == (0, NOON + LEASE)


async def test_f51_one_that_hangs_holds_up_neither_users_nor_endpoints() -> None:
    """
    Changes logged meanwhile are delivered meanwhile.
    """
    world = World()
    world.log("ada", "bob")
    let_go, first, second = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def hang(key: DeliveryKey, text: str) -> SendResult:
        if text == "bob 1":
            first.set()
        if key.endpoint == CRM and text == "bob 2":
            second.set()
        if key.endpoint == CRM and text == "ada 1":
            await let_go.wait()
        return TAKEN

    world.attempt = hang
    turn = asyncio.create_task(world.deliver()())
    await first.wait()
    world.log("ada", "bob")
    await world.deliver(SHOP)()
    assert sorted(world.texts(SHOP)) == ["ada 1", "ada 2", "bob 1", "bob 2"]
    await second.wait()
    assert world.texts()[:1] == ["bob 1"]

    let_go.set()
    await turn

    assert world.texts() == ["bob 1", "bob 2", "ada 1", "ada 2"]


async def test_no_more_than_so_many_are_under_way_at_once() -> None:
    """
    Of one endpoint, however many users wait.
    """
    world = World()
    world.log(*(f"u{it}" for it in range(20)))
    under_way, most = 0, 0

    async def count(key: DeliveryKey, _: str) -> SendResult:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        # Not all end at the same time.
        for _turn in range(key.position % 5):
            await asyncio.sleep(0)
        under_way -= 1
        return TAKEN

    world.attempt = count
    await world.deliver(at_once=3)()

    assert most == 3
    assert len(world.texts()) == 20


async def test_f51_a_backlog_is_bounded_and_nothing_of_it_is_lost() -> None:
    """
    An endpoint that is down for a day: changes wait in the log meanwhile.
    """
    world = World(open_max=5)
    world.log(*(["ada", "bob", "eve"] * 10))

    async def no(_: DeliveryKey, __: str) -> SendResult:
        return NO

    world.attempt = no
    for _ in range(24):
        await world.deliver()()
        assert len(world.kept) == 5
        world.clock.advance(timedelta(hours=1))

    world.attempt = take
    world.clock.advance(timedelta(hours=6))
    await world.deliver()()

    for user in ("ada", "bob", "eve"):
        own = [it for it in world.texts() if user in it]
        assert own == [f"{user} {it}" for it in range(1, 11)]
    assert world.kept == []


async def test_a_turn_goes_on_while_the_feed_has_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """
    Also if none of what it took over is sent: changes of an erased user.
    """
    monkeypatch.setattr("payments_core.jobs.deliver_changes.TAKEN_OVER_MAX", 1)
    world = World()
    world.log("ada", "ada", "bob")
    tables = world.database.tables.copy()
    tables.rename_in_logs(UserId("ada"), UserId("erased/1"), (), ())
    world.database.tables = tables

    await world.deliver()()

    assert world.texts() == ["bob 1"]


async def test_f51_killed_between_send_and_record_it_is_sent_again() -> None:
    """
    When its lease ends, under the same id; the next one waits until then.
    """
    world = World()
    world.log("ada", "ada")

    async def crash(key: DeliveryKey, text: str) -> SendResult:
        world.arrived.append((key, text))
        raise Crash

    world.attempt = crash
    with pytest.raises(Crash):
        await world.deliver()()
    world.attempt = take
    await world.deliver()()
    assert world.texts() == ["ada 1"]

    world.clock.advance(LEASE)
    await world.deliver()()

    assert world.texts() == ["ada 1", "ada 1", "ada 2"]
    assert len({key.webhook_id for key, _ in world.arrived}) == 2


async def test_asked_to_stop_it_ends_what_is_under_way() -> None:
    """
    And begins nothing more.
    """
    world = World()
    world.log("ada", "ada")

    await world.deliver()(after_one_round())

    assert world.texts() == ["ada 1"]
    assert world.kept == [DeliveryKey(CRM, 2)]


async def test_cut_off_it_leaves_what_is_under_way_to_its_lease() -> None:
    """
    Nothing continues in the background.
    """
    world = World()
    world.log("ada")
    began, ended = asyncio.Event(), asyncio.Event()

    async def hang(_: DeliveryKey, __: str) -> SendResult:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return TAKEN

    world.attempt = hang
    turn = asyncio.create_task(world.deliver()())
    await began.wait()
    turn.cancel()
    with pytest.raises(asyncio.CancelledError):
        await turn

    assert ended.is_set()
    [left] = world.database.deliveries.values()
    assert left.lease.until == NOON + LEASE


async def test_a_database_that_does_not_answer_ends_the_turn() -> None:
    """
    Deliveries in flight end before it; another turn sends it again.
    """
    world = World()
    world.log("ada")

    class Gone(MemoryDeliveries):
        @override
        async def finish(self, claimed: Delivery) -> bool:
            raise StoreUnavailable

    with pytest.raises(StoreUnavailable):
        await world.deliver(queue=Gone(world.database))()

    assert world.texts() == ["ada 1"]
    assert world.kept == [DeliveryKey(CRM, 1)]


async def test_of_who_was_erased_nothing_is_sent() -> None:
    """
    Also if it was in flight already: it is gone.
    """
    world = World()
    world.log("ada", "bob")
    await world.deliver(at_once=0)(after_one_round())
    tables = world.database.tables.copy()
    tables.rename_in_logs(UserId("ada"), UserId("erased/1"), (), ())
    world.database.tables = tables
    assert world.kept == [DeliveryKey(CRM, 1), DeliveryKey(CRM, 2)]

    await world.deliver()()

    assert world.texts() == ["bob 1"]
    assert world.kept == []


class Fate(StrEnum):
    """How an attempt ends: what arrives may still count as a failure, or a crash."""

    TAKEN = "taken"
    REFUSED = "refused"
    REPLY_LOST = "reply lost"
    CRASHED_BEFORE = "crashed before"
    CRASHED_AFTER = "crashed after"


def planned(world: World, fates: Sequence[Fate]) -> Attempt:
    """Return attempts that end this way; after these, everything is accepted."""
    left = iter(fates)

    async def attempt(key: DeliveryKey, text: str) -> SendResult:
        await asyncio.sleep(0)
        fate = next(left, Fate.TAKEN)
        if fate in {Fate.REPLY_LOST, Fate.CRASHED_AFTER}:
            world.arrived.append((key, text))
        if fate in {Fate.CRASHED_BEFORE, Fate.CRASHED_AFTER}:
            raise Crash
        return TAKEN if fate is Fate.TAKEN else NO

    return attempt


def assert_heard_in_order(world: World, endpoint: str, dead: Collection[int]) -> None:
    """Assert that each change that is not dead arrived, each user's in order."""
    first_at, texts_of = dict[int, int](), defaultdict[str, set[str]](set)
    for number, (key, text) in enumerate(world.arrived):
        if key.endpoint == endpoint:
            first_at.setdefault(key.position, number)
            texts_of[key.webhook_id].add(text)
    assert all(len(it) == 1 for it in texts_of.values())
    by_user = defaultdict[str, list[int]](list)
    positions = world.database.tables.positions.items()
    for (user, _), position in sorted(positions, key=itemgetter(1)):
        if position not in dead:
            by_user[user].append(first_at[position])
    assert all(it == sorted(it) for it in by_user.values())


@given(
    fates=st.lists(st.sampled_from(Fate), max_size=40),
    batches=st.lists(st.lists(st.sampled_from("abc"), max_size=6), max_size=6),
    hours=st.lists(st.sampled_from([0.0, 0.01, 0.02, 1.0, 30.0]), max_size=12),
    open_max=st.integers(1, 8),
)
async def test_p32_f51_whatever_fails_each_user_hears_all_in_order(
    fates: Sequence[Fate],
    batches: Sequence[Sequence[str]],
    hours: Sequence[float],
    open_max: int,
) -> None:
    """
    At least once each, under one id; a later change never before an earlier one was
    accepted or was dead. Kills, lost replies and doubled deliveries included; two
    endpoints.
    """
    world = World(open_max=open_max)
    world.attempt = planned(world, fates)
    dead = set[DeliveryKey]()

    async def turns() -> None:
        for name in (CRM, SHOP):
            with suppress(Crash):
                await world.deliver(name)()
        dead.update(it.key for it in world.database.deliveries.values() if it.dead)

    for batch, wait in itertools.zip_longest(batches, hours):
        world.log(*(batch or ()))
        await turns()
        world.clock.advance(timedelta(hours=wait or 0))
    # All planned attempts are over by then.
    for _ in range(len(fates) + 20):
        world.clock.advance(timedelta(hours=8))
        await turns()

    assert {it.key for it in world.database.deliveries.values()} <= dead
    for name in (CRM, SHOP):
        assert_heard_in_order(
            world, name, {it.position for it in dead if it.endpoint == name}
        )
