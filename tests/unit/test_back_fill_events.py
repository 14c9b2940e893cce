"""Back-fill: events never received as webhooks are read from the gateway's own list."""

import json
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any, Final

import attrs
import pytest
from typing_extensions import override

from contracts.faults import FaultyLedger, unheard_of
from payments_adapters.memory import MemoryCheckpoints, MemoryLedger
from payments_adapters.stripe import translate
from payments_core.back_fill import KEPT_FOR, OVERLAP
from payments_core.changes import Changes
from payments_core.checkpoints import LEASE, LoopCheckpoint
from payments_core.errors import (
    AccountBusy,
    GatewayMisconfigured,
    GatewayNotAttempted,
    GatewayOutcomeUnknown,
    GatewayRefused,
    PaymentsError,
    SaveTimedOut,
    StoreUnavailable,
)
from payments_core.event_list import EventQuery, ListedEvents
from payments_core.events import EventState, GatewayEvent
from payments_core.facts import SourcedFacts, UserRegistered
from payments_core.identity import Email, UserId
from payments_core.payment import Payment
from payments_core.use_cases import BackFillEvents, BackFillListener, Order
from payments_core.use_cases.back_fill_events import (
    BACK_OFF,
    DUPLICATE,
    EVENT_BACK_FILL,
    EVERY,
    GROUPS_FAILED_MAX,
    PAGE_EVENTS,
    PAGE_EVENTS_MIN,
    PAGES_MAX,
    recorded_by_group,
)
from payments_core.use_cases.record_facts import RecordFacts
from payments_sandbox.resources.endpoints import shown
from payments_sandbox.thin_events import thin
from support import crowd
from support.deployment import ADA, Break, Crash, Deployment, caller_of

pytestmark = pytest.mark.anyio

BOB: Final = UserId("bob")
DAY: Final = timedelta(days=1)
MINUTE: Final = timedelta(minutes=1)
TURNS_MAX: Final = 50


@attrs.define
class Heard(BackFillListener):
    """Stores what a turn reported."""

    counts: Counter[str] = attrs.field(factory=Counter)
    aside: list[str] = attrs.field(factory=list)
    failures: list[Exception] = attrs.field(factory=list)
    gaps: list[tuple[datetime, datetime]] = attrs.field(factory=list)

    @override
    def found(self, outcome: str, count: int) -> None:
        self.counts[outcome] += count

    @override
    def set_aside(self, event: GatewayEvent, error: Exception) -> None:
        self.aside.append(event.id)

    @override
    def failed(self, error: Exception) -> None:
        self.failures.append(error)

    @override
    def lost(self, since: datetime, until: datetime) -> None:
        self.gaps.append((since, until))


@attrs.define
class Asked:
    """A gateway that notes the requests; `refuses` is raised for a while."""

    gateway: Any
    queries: list[EventQuery] = attrs.field(factory=list)
    refuses: list[PaymentsError] = attrs.field(factory=list)

    @classmethod
    def of(cls, gateway: Any) -> Any:
        """Return it as a whole gateway, for code that needs only its list."""
        return cls(gateway)

    async def events(self, query: EventQuery) -> ListedEvents:
        self.queries.append(query)
        if self.refuses:
            raise self.refuses.pop(0)
        found: ListedEvents = await self.gateway.events(query)
        return found


def listing(events: Any) -> Any:
    """Return a gateway that has only its list."""
    return SimpleNamespace(events=events)


def back_fill(deployment: Deployment, heard: BackFillListener) -> BackFillEvents:
    return attrs.evolve(deployment.back_fill, listener=heard)


async def begun(deployment: Deployment) -> None:
    """Take the first turn, at the beginning of the list."""
    assert not await deployment.back_fill()


async def caught_up(deployment: Deployment, heard: BackFillListener) -> None:
    """Take turns to the end of the list, and let the worker do the resulting jobs."""
    for _ in range(TURNS_MAX):
        if not await back_fill(deployment, heard)():
            break
    else:
        raise AssertionError("it finds no end")
    deployment.clock.advance(timedelta(seconds=5))
    await deployment.work()


async def row(deployment: Deployment) -> LoopCheckpoint:
    found = await MemoryCheckpoints(deployment.database).find(EVENT_BACK_FILL)
    assert found is not None
    return found


def states(deployment: Deployment) -> Counter[EventState]:
    rows = deployment.database.tables.events.values()
    return Counter(it.outcome.state for it in rows)


def many(deployment: Deployment, count: int) -> None:
    """Make so many events happen that concern no user."""
    for number in range(count):
        deployment.api.post("products", name=f"{number}")


async def subscribe(deployment: Deployment, user: UserId = ADA) -> Any:
    await deployment.register(user)
    caller = caller_of(user)
    await deployment.update_card(user, "pm_card_visa", caller=caller, key=None)
    order = Order(product=deployment.product)
    await deployment.start(user, order, caller=caller, key=None)
    [subscription] = deployment.subscriptions_of(user)
    return subscription


async def lost(deployment: Deployment) -> None:
    """Let two users subscribe; then lose all kinds of events over several days."""
    api = deployment.api
    first, second = await subscribe(deployment), await subscribe(deployment, BOB)
    [ada], [bob] = deployment.customers_of(ADA), deployment.customers_of(BOB)
    await deployment.hear()
    await deployment.advance(30 * DAY)
    await begun(deployment)
    api.post("subscriptions", customer=ada, items=[{"price": deployment.pro}])
    api.post(
        "payment_intents",
        amount=500,
        currency="eur",
        customer=ada,
        payment_method=api.get(f"customers/{ada}")["invoice_settings"][
            "default_payment_method"
        ],
        confirm=True,
        off_session=True,
    )
    api.give_card(bob, "pm_card_mastercard")
    # It contains the renewals.
    await deployment.advance(3 * DAY)
    api.post("refunds", charge=deployment.engine.world.all("charge")[0]["id"])
    await deployment.advance(timedelta(hours=3))
    api.post(f"subscriptions/{second['id']}", cancel_at_period_end=True)
    await deployment.advance(timedelta(hours=3))
    api.delete(f"subscriptions/{first['id']}")
    await deployment.advance(MINUTE)


async def compare(deployment: Deployment) -> None:
    """Compare every account with the gateway's own data."""
    await crowd.compare(deployment, crowd.owners_of(deployment), "after back-fill")


async def _webhooks(deployment: Deployment, *, some: bool = False) -> None:
    """Deliver the events as webhooks: all of them, or every other one."""
    events = list(deployment.engine.world.events.values())
    chosen = events[:: 2 if some else 1]
    bodies = [json.dumps(shown(deployment.engine.world, it)) for it in chosen]
    await deployment.apply([translate(it.encode()) for it in bodies])


# What is found


async def test_p27_f40_what_was_lost_for_days_is_known_after_a_turn() -> None:
    """
    Sales made elsewhere, renewals, refunds, cards, cancellations: as if all webhooks
    had arrived; events in order cost no call each.
    """
    async with Deployment.opened() as deployment:
        await lost(deployment)
        heard, before = Heard(), deployment.looks
        await caught_up(deployment, heard)

        await compare(deployment)
        followed = sum(heard.counts.values())
        assert followed > 12
        assert (deployment.looks - before) / followed < 0.3
        assert not heard.failures
        assert not heard.gaps


@pytest.mark.parametrize("some", [False, True], ids=["all came", "every other came"])
async def test_f42_back_fill_beside_webhooks_comes_to_the_same(*, some: bool) -> None:
    """
    Each event is stored once, whichever path it came by first.
    """
    async with Deployment.opened() as deployment:
        heard = Heard()
        await begun(deployment)
        await subscribe(deployment)
        await deployment.advance(MINUTE)
        await _webhooks(deployment, some=some)
        kept = set(deployment.database.tables.events)
        before = deployment.looks
        await caught_up(deployment, heard)

        followed = {
            it.id
            for it in deployment.engine.world.events.values()
            if translate(json.dumps(shown(deployment.engine.world, it)).encode()).report
            is not None
        }
        assert heard.counts[DUPLICATE] == len(followed & {key.id for key in kept})
        assert followed <= {key.id for key in deployment.database.tables.events}
        if not some:
            assert set(heard.counts) == {DUPLICATE}
            assert set(deployment.database.tables.events) == kept
            assert deployment.looks - before <= 1
        await compare(deployment)


@pytest.mark.parametrize("same_id", [True, False], ids=["of one id", "of two ids"])
async def test_p09_a_thin_event_and_the_one_in_the_list_have_the_effect_of_one(
    *, same_id: bool
) -> None:
    """
    The second event with the id is a duplicate, though its type is written otherwise.
    """
    async with Deployment.opened() as deployment:
        await begun(deployment)
        await subscribe(deployment)
        await deployment.advance(MINUTE)
        bodies = [thin(it) for it in deployment.engine.world.events.values()]
        if not same_id:
            bodies = [{**it, "id": f"{it['id']}_thin"} for it in bodies]
        heard = Heard()
        await deployment.apply([translate(json.dumps(it).encode()) for it in bodies])
        await deployment.work()
        await caught_up(deployment, heard)

        await compare(deployment)
        assert (set(heard.counts) == {DUPLICATE}) is same_id


async def test_the_next_turn_reads_the_overlap_again_and_asks_for_nothing() -> None:
    """
    One call to the gateway; an event that waits for its job does not request it again.
    """
    async with Deployment.opened() as deployment:
        await begun(deployment)
        await subscribe(deployment)
        await deployment.advance(MINUTE)
        assert not await deployment.back_fill()
        pending = states(deployment)[EventState.PENDING]
        jobs = dict(deployment.database.tables.jobs)
        heard, asked = Heard(), Asked.of(deployment.gateway)
        deployment.clock.advance(EVERY)
        turn = attrs.evolve(back_fill(deployment, heard), gateway=asked)
        assert not await turn()

        assert pending
        assert set(heard.counts) == {DUPLICATE}
        assert len(asked.queries) == 1
        assert deployment.database.tables.jobs == jobs


async def test_of_types_that_nobody_reads_nothing_is_kept() -> None:
    """
    The list has everything that happens at the gateway; only events that we read are
    stored.
    """
    async with Deployment.opened() as deployment:
        await begun(deployment)
        deployment.api.post("customers", name="Nobody we know")
        await deployment.advance(MINUTE)
        heard = Heard()
        await caught_up(deployment, heard)

        assert not deployment.database.tables.events
        assert not heard.counts


async def test_t26_an_event_of_another_version_is_fetched(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """
    Like a webhook of that version: the list renders in the account's own version.
    """
    where = "payments_sandbox.resources.endpoints.NEWEST"
    monkeypatch.setattr(where, "2024-11-20.acacia")
    async with Deployment.opened() as deployment:
        await lost(deployment)
        before = deployment.looks
        await caught_up(deployment, Heard())

        assert deployment.looks > before
        await compare(deployment)
        assert not states(deployment)[EventState.PENDING]


async def test_f41_a_gap_of_more_than_thirty_days_is_told_once() -> None:
    """
    From where the last turn ended to where the list begins; the rest is read.
    """
    async with Deployment.opened() as deployment:
        await subscribe(deployment)
        await deployment.hear()
        await deployment.advance(timedelta(hours=1))
        await begun(deployment)
        reached = (await row(deployment)).reached_at
        await deployment.advance(40 * DAY)
        heard, now = Heard(), deployment.clock.now
        await caught_up(deployment, heard)
        deployment.clock.advance(EVERY)
        await caught_up(deployment, heard)

        assert reached is not None
        assert heard.gaps == [(reached - OVERLAP, now - KEPT_FOR)]
        await compare(deployment)


# Where it begins


async def test_the_first_turn_begins_with_what_came_last() -> None:
    """
    An overlap before the last event; without any event, before the present time.
    """
    async with Deployment.opened() as deployment:
        asked = Asked.of(deployment.gateway)
        turn = attrs.evolve(deployment.back_fill, gateway=asked)
        await subscribe(deployment)
        await _webhooks(deployment)
        kept_at = deployment.clock.now
        await deployment.advance(3 * DAY)
        await turn()
        assert asked.queries[0] == EventQuery(
            since=kept_at - OVERLAP, limit=PAGE_EVENTS
        )

    async with Deployment.opened() as deployment:
        asked = Asked.of(deployment.gateway)
        await attrs.evolve(deployment.back_fill, gateway=asked)()
        since = deployment.clock.now - OVERLAP
        assert asked.queries == [EventQuery(since=since, limit=PAGE_EVENTS)]


async def test_p36_a_turn_has_few_pages_and_the_next_one_goes_on_at_once() -> None:
    """
    However many there are: there is no wait between turns, and no page is read twice.
    """
    async with Deployment.opened() as deployment:
        await begun(deployment)
        count = PAGE_EVENTS * (PAGES_MAX + 2)
        for number in range(count):
            deployment.api.post("customers", name=f"{number}")
            if number % 100 == 0:
                await deployment.advance(timedelta(seconds=1))
        await deployment.advance(timedelta(hours=1))
        asked = Asked.of(deployment.gateway)
        turn = attrs.evolve(deployment.back_fill, gateway=asked)

        assert await turn()
        first = len(asked.queries)
        assert not await turn()

        read_on = [it.after for it in asked.queries if it.after]
        assert PAGES_MAX <= first < PAGES_MAX + 15
        assert len(set(read_on)) == len(read_on)
        assert len(read_on) in {PAGES_MAX + 1, PAGES_MAX + 2}
        assert (await row(deployment)).reached_at == deployment.clock.now


async def test_a_turn_ends_between_pages_if_it_has_to() -> None:
    """
    It is then due at once, for the next process.
    """
    async with Deployment.opened() as deployment:
        await lost(deployment)
        many(deployment, PAGE_EVENTS)
        await deployment.advance(timedelta(hours=1))
        asked = Asked.of(deployment.gateway)
        turn = attrs.evolve(deployment.back_fill, gateway=asked)

        assert await turn(lambda: len(asked.queries) == 1)

        assert len(asked.queries) == 1
        lease = (await row(deployment)).lease
        assert (lease.due_at, lease.until) == (deployment.clock.now, None)
        assert not await turn()
        assert len(asked.queries) > 1


# What goes wrong


@pytest.mark.parametrize("how", Break)
async def test_p26_p33_f01_f05_wherever_it_breaks_all_is_known_in_the_end(
    how: Break,
) -> None:
    """
    The process ends, is frozen longer than its lease, or the store does not answer:
    before and after each call of a port. What was not stored is not read past.
    """
    async with Deployment.opened() as deployment:
        await lost(deployment)
        saved = deployment.saved()
    number, goes_on = 0, True
    while goes_on:
        number += 1
        async with saved() as broken:
            broken.restart(number, how)
            try:
                for _ in range(TURNS_MAX):
                    if not await broken.back_fill():
                        break
            except (Crash, StoreUnavailable):
                pass
            goes_on = broken.fuse.reached
            broken.restart()
            broken.clock.advance(LEASE + EVERY)
            await caught_up(broken, Heard())
            await compare(broken)
    assert number > 10


async def test_one_of_two_at_once_reads() -> None:
    """
    The other process finds the turn taken, and no call is made twice.
    """
    async with Deployment.opened() as deployment:
        await begun(deployment)
        deployment.clock.advance(EVERY)
        asked = Asked.of(deployment.gateway)
        other = attrs.evolve(deployment.back_fill, gateway=asked)

        async def meanwhile(query: EventQuery) -> ListedEvents:
            assert not await other()
            found: ListedEvents = await deployment.gateway.events(query)
            return found

        first = Asked.of(listing(meanwhile))
        assert not await attrs.evolve(deployment.back_fill, gateway=first)()

        assert (len(first.queries), len(asked.queries)) == (1, 0)


async def test_p33_who_lost_the_turn_saves_nothing() -> None:
    """
    Another process has read further: its position is not set back.
    """
    async with Deployment.opened() as deployment:
        await lost(deployment)

        async def slow(query: EventQuery) -> ListedEvents:
            page: ListedEvents = await deployment.gateway.events(query)
            deployment.clock.advance(LEASE + MINUTE)
            await caught_up(deployment, Heard())
            return page

        many(deployment, 2 * PAGE_EVENTS)
        asked = Asked.of(listing(slow))
        assert not await attrs.evolve(deployment.back_fill, gateway=asked)()

        assert len(asked.queries) == 1
        assert (await row(deployment)).lease.fence == 3
        await compare(deployment)


async def test_each_page_extends_the_claim() -> None:
    """
    A turn may take longer than a lease, which is as long as one page may take.
    """
    async with Deployment.opened() as deployment:
        await begun(deployment)
        many(deployment, 3 * PAGE_EVENTS)
        await deployment.advance(timedelta(hours=1))
        taken = list[bool]()

        async def slow(query: EventQuery) -> ListedEvents:
            page: ListedEvents = await deployment.gateway.events(query)
            deployment.clock.advance(LEASE * 2 / 3)
            taken.append(await deployment.back_fill(lambda: True))
            return page

        turn = attrs.evolve(deployment.back_fill, gateway=listing(slow))
        assert not await turn()

        assert len(taken) > 3
        assert not any(taken)


@pytest.mark.parametrize(
    "error",
    [
        GatewayNotAttempted("busy"),
        GatewayMisconfigured(),
        GatewayMisconfigured("it lacks", permission=True),
        GatewayOutcomeUnknown("too long"),
        GatewayRefused("parameter_unknown", "no"),
    ],
    ids=["busy", "key refused", "permission lacks", "no answer", "refused"],
)
async def test_f33_a_gateway_that_does_not_answer_is_asked_later_and_later(
    error: PaymentsError,
) -> None:
    """
    Each failure is reported, and the place stays; then turns are as before.
    """
    async with Deployment.opened() as deployment:
        await lost(deployment)
        before, heard = await row(deployment), Heard()
        asked = Asked.of(deployment.gateway)
        asked.refuses = [error] * 6
        turn = attrs.evolve(back_fill(deployment, heard), gateway=asked)
        for attempt in range(6):
            assert not await turn()
            held = await row(deployment)
            assert (held.position, held.reached_at) == (
                before.position,
                before.reached_at,
            )
            due_at = deployment.clock.now + BACK_OFF.after(attempt)
            assert (held.lease.due_at, held.lease.until) == (due_at, None)
            assert not await turn()
            deployment.clock.now = due_at
        assert heard.failures == [error] * 6
        # An answer may have been too long.
        assert [it.limit for it in asked.queries] == [50, 25, 12, 10, 10, 10]
        assert PAGE_EVENTS_MIN == 10

        await caught_up(deployment, heard)
        await compare(deployment)
        assert (await row(deployment)).lease.attempts == 0


async def test_f47_p35_one_poisoned_event_stops_no_other() -> None:
    """
    It is stored and reported, a job has it, and the place moves on.
    """
    async with Deployment.opened() as deployment:
        await begun(deployment)
        await subscribe(deployment)
        await subscribe(deployment, BOB)
        await deployment.advance(timedelta(hours=1))
        heard, spoilt_ids = Heard(), list[str]()

        async def spoilt(query: EventQuery) -> ListedEvents:
            page: ListedEvents = await deployment.gateway.events(query)
            events = list(page.events)
            for number, event in enumerate(events):
                if isinstance(event.report, Payment):
                    bad = attrs.evolve(event, report=unheard_of(event.report))
                    events[number] = bad
                    spoilt_ids.append(event.id)
                    break
            return attrs.evolve(page, events=events)

        turn = attrs.evolve(back_fill(deployment, heard), gateway=listing(spoilt))
        assert not await turn()

        assert heard.aside == spoilt_ids
        assert spoilt_ids
        assert not heard.failures
        assert (await row(deployment)).reached_at == deployment.clock.now
        deployment.clock.advance(timedelta(seconds=5))
        await deployment.work()
        await compare(deployment)


@pytest.mark.parametrize("is_slow", [False, True], ids=["locked", "times out"])
async def test_p35_an_account_that_cannot_be_saved_holds_the_place_alone(
    *, is_slow: bool
) -> None:
    """
    All other accounts are known; the next turn, a little later, begins with it again.
    """
    async with Deployment.opened() as deployment:
        await begun(deployment)
        await subscribe(deployment)
        await subscribe(deployment, BOB)
        await deployment.advance(timedelta(hours=1))
        before, heard = await row(deployment), Heard()
        ledger = FaultyLedger(MemoryLedger(deployment.database))

        def time_out(groups: Sequence[Changes]) -> None:
            if any(it.key == f"user {ADA}" for it in groups):
                raise SaveTimedOut

        if is_slow:
            ledger.fault = time_out
        else:
            deployment.database.locked.add(f"user {ADA}")
        record = RecordFacts(
            ledger,
            deployment.clock,
            deployment.system_clock,
            deployment.policy,
            sleep=deployment.record.sleep,
            monotonic=iter(range(0, 100_000, 3)).__next__,
        )
        turn = attrs.evolve(back_fill(deployment, heard), record=record)
        assert not await turn()

        held = await row(deployment)
        assert (held.position, held.reached_at) == (before.position, before.reached_at)
        # The gateway answers: the pages of the next turn have the same length.
        assert held.lease.attempts == 0
        assert held.lease.due_at == deployment.clock.now + BACK_OFF.first
        assert [type(it) for it in heard.failures] == [AccountBusy]
        bob, ada = await deployment.account(BOB), await deployment.account(ADA)
        assert bob.summary.latest is not None
        assert ada.summary.latest is None

        deployment.database.locked.clear()
        deployment.clock.advance(MINUTE)
        await caught_up(deployment, Heard())
        await compare(deployment)


async def test_a_store_that_does_not_answer_is_the_callers_to_hear_of() -> None:
    """
    The turn is due again when its lease ends.
    """
    async with Deployment.opened() as deployment:
        await lost(deployment)
        kept = set(deployment.database.tables.events)
        deployment.restart(3, Break.NO_ANSWER)

        with pytest.raises(StoreUnavailable):
            await deployment.back_fill()

        deployment.restart()
        assert not await deployment.back_fill()
        assert set(deployment.database.tables.events) == kept
        deployment.clock.advance(LEASE)
        await caught_up(deployment, Heard())
        await compare(deployment)


@pytest.mark.parametrize("reached", [True, False], ids=["read before", "never"])
@pytest.mark.parametrize(
    "text",
    [
        "not json",
        "[1]",
        '{"v": 2}',
        '{"since": 5, "after": null}',
        '{"since": "2026-01-10T12:00:00+00:00", "after": 5}',
    ],
)
async def test_a_place_that_cannot_be_read_is_told_and_found_anew(
    text: str, *, reached: bool
) -> None:
    """
    As another release writes it: reading continues from the time up to which everything
    was read, or from where a first turn begins; the next turn finds a place that it can
    read.
    """
    async with Deployment.opened() as deployment:
        await begun(deployment)
        await subscribe(deployment)
        await deployment.advance(MINUTE)
        loops, now = deployment.database.loops, deployment.clock.now
        begins = (await row(deployment)).reached_at if reached else now
        assert begins is not None
        loops[EVENT_BACK_FILL] = attrs.evolve(
            loops[EVENT_BACK_FILL],
            position=text,
            reached_at=begins if reached else None,
        )
        heard, asked = Heard(), Asked.of(deployment.gateway)
        turn = attrs.evolve(back_fill(deployment, heard), gateway=asked)
        await turn()

        assert len(heard.failures) == 1
        assert isinstance(heard.failures[0], ValueError | LookupError | TypeError)
        assert asked.queries[0].since == begins - OVERLAP
        await caught_up(deployment, heard)
        await compare(deployment)
        assert len(heard.failures) == 1
        assert (await row(deployment)).reached_at == now


@pytest.mark.parametrize("fails", [True, False], ids=["alone as well", "together"])
async def test_p35_of_what_cannot_be_saved_at_once_few_groups_may_fail_alone(
    *, fails: bool
) -> None:
    """
    If the database lets nothing be saved, it is not waited for once for each group; if
    each group can be saved alone, all of them are.
    """
    async with Deployment.opened() as deployment:
        ledger = FaultyLedger(MemoryLedger(deployment.database))

        def time_out(groups: Sequence[Changes]) -> None:
            if fails or len(groups) > 1:
                raise SaveTimedOut

        ledger.fault = time_out
        record = attrs.evolve(deployment.record, ledger=ledger)
        users = [UserId(f"user-{number}") for number in range(GROUPS_FAILED_MAX + 2)]
        registered = [
            UserRegistered(user_id=it, email=Email.of(f"{it}@example.com"))
            for it in users
        ]
        recorded = await recorded_by_group(
            record, [SourcedFacts(facts=(it,)) for it in registered]
        )

        names = [f"user {it}" for it in users]
        alone = names[:GROUPS_FAILED_MAX] if fails else names
        assert ledger.saves == [names, *([it] for it in alone)]
        assert {it.is_kept for it in recorded} == {not fails}
