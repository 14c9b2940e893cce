"""What every event log promises: events are returned as they were saved."""

from datetime import timedelta
from typing import Final

import attrs
import pytest

from contracts.examples import (
    ADA,
    APPLIED,
    CH_1,
    CH_2,
    NOON,
    a_payment,
    a_record,
    a_report,
    a_subscription,
    a_term,
    an_account,
    an_event,
    key_of,
)
from contracts.stores import SAVED, Stores, first_page
from payments_core.changes import Changes
from payments_core.events import EventKey, EventState, GatewayEvent, Outcome
from payments_core.job_key import JobKey, JobKind
from payments_core.kept_events import KeptEvent, cursor_of

BODIES: Final = [
    b"",
    b"\x00",
    b'{"id": "evt_1", "note": "\\u0000\x00"}\r\n ',
    b"\xff\xfe\x80 is no UTF-8 \xed\xa0\x80",
    "schön 漢字 🧾".encode(),
    bytes(range(256)) * 2048,
]


async def received(
    stores: Stores, *events: tuple[GatewayEvent, Outcome], seconds: int = 0
) -> None:
    await stores.keep(events=events, seconds=seconds)


async def received_in_turn(stores: Stores, *states: str) -> None:
    """Save `evt_0`, `evt_1`, … a second apart, in these states."""
    for number, state in enumerate(states):
        outcome = Outcome(EventState(state))
        await received(stores, (an_event(f"evt_{number}"), outcome), seconds=number)


class EventLogContract:
    async def test_an_empty_log_has_nothing(self, stores: Stores) -> None:
        """
        Nothing is stored and nothing is found; that is no error.
        """
        assert not await first_page(stores.events)
        assert not await stores.events.find("evt_1")

    async def test_an_event_comes_back_as_it_was_kept(self, stores: Stores) -> None:
        """
        Every field; its own time is separate from the time of its receipt.
        """
        event = attrs.evolve(
            an_event("evt_ü", body=b"{ }"), livemode=True, object_id=CH_1
        )
        waits_for = JobKey(JobKind.EVENT, "evt_ü charge.succeeded 漢字")
        outcome = Outcome(EventState.QUARANTINED, "weil: 漢字", waits_for)
        await received(stores, (event, outcome), seconds=5)
        expected = KeptEvent(
            key=event.key,
            outcome=outcome,
            created_at=event.created_at,
            received_at=NOON + timedelta(seconds=5),
            object_id=CH_1,
            livemode=True,
            user_id=None,
            body=b"{ }",
        )

        assert list(await stores.events.find("evt_ü")) == [expected]
        assert list(await first_page(stores.events)) == [
            attrs.evolve(expected, body=None)
        ]

    @pytest.mark.parametrize("body", BODIES, ids=[f"{len(b)}_bytes" for b in BODIES])
    async def test_a_body_comes_back_byte_for_byte(
        self, stores: Stores, body: bytes
    ) -> None:
        """
        Whatever was signed: NUL, invalid UTF-8, half a megabyte.
        """
        await received(stores, (an_event(body=body), APPLIED))

        (event,) = await stores.events.find("evt_1")
        assert event.body == body

    async def test_events_that_share_an_id_are_all_found(self, stores: Stores) -> None:
        """
        The gateway's samples share one id, each with a type of its own.
        """
        failed = an_event(type_="charge.failed", body=b"failed")
        succeeded = an_event(body=b"succeeded")
        other = an_event("evt_2")
        await received(
            stores, (failed, APPLIED), (succeeded, APPLIED), (other, APPLIED)
        )

        found = await stores.events.find("evt_1")
        assert {event.key: event.body for event in found} == {
            key_of("evt_1", "charge.failed"): b"failed",
            key_of("evt_1"): b"succeeded",
        }

    async def test_the_latest_received_comes_first(self, stores: Stores) -> None:
        """
        By the time of receipt, whatever the order in which they were saved.
        """
        for number, seconds in enumerate((5, 60, 1)):
            event = (an_event(f"evt_{number}"), APPLIED)
            await received(stores, event, seconds=seconds)

        found = [event.key.id for event in await first_page(stores.events)]
        assert found == ["evt_1", "evt_0", "evt_2"]

    async def test_a_limit_keeps_the_latest(self, stores: Stores) -> None:
        """
        Of four events two are requested: the last two received are returned.
        """
        await received_in_turn(stores, *["applied"] * 4)

        found = [event.key.id for event in await first_page(stores.events, limit=2)]
        assert found == ["evt_3", "evt_2"]

    async def test_without_a_limit_a_hundred_come(self, stores: Stores) -> None:
        """
        Nobody gets everything by accident.
        """
        many = [(an_event(f"evt_{number}"), APPLIED) for number in range(101)]
        await received(stores, *many)

        assert len(await first_page(stores.events)) == 100
        assert len(await first_page(stores.events, limit=200)) == 101

    @pytest.mark.parametrize("size", [1, 2, 3, 100])
    @pytest.mark.parametrize("unlinked", [False, True])
    @pytest.mark.parametrize("state", [None, *EventState])
    async def test_pages_lose_and_repeat_nothing(
        self, stores: Stores, state: EventState | None, size: int, *, unlinked: bool
    ) -> None:
        """
        Whatever the filters, and although many events were received at one time.
        """
        adas, nobodys = a_payment(CH_1), a_payment(CH_2)
        await stores.keep(
            an_account(), payments=[a_record(adas, owner=ADA), a_record(nobodys)]
        )
        reports = adas, nobodys, None
        for number in range(12):
            event = an_event(f"evt_{number}", reports[number % 3])
            outcome = Outcome([*EventState][number % 4])
            await received(stores, (event, outcome), seconds=number // 5)
        wanted = {
            f"evt_{number}"
            for number in range(12)
            if state in (None, [*EventState][number % 4])
            and (number % 3 == 1 or not unlinked)
        }
        found, after = list[KeptEvent](), None
        while True:
            page = await stores.events.page(
                state=state, unlinked=unlinked, limit=size, after=after
            )
            assert len(page.events) <= size
            found += page.events
            if (after := page.after) is None:
                break

        assert {it.key.id for it in found} == wanted
        assert len(found) == len(wanted)
        times = [it.received_at for it in found]
        assert times == sorted(times, reverse=True)

    async def test_the_last_page_says_that_it_is(self, stores: Stores) -> None:
        """
        Also a full page: nobody requests an empty page after it.
        """
        await received_in_turn(stores, *["applied"] * 4)

        first = await stores.events.page(limit=2)
        second = await stores.events.page(limit=2, after=first.after)
        assert first.after == cursor_of(first.events[-1])
        assert second.after is None

    @pytest.mark.parametrize("state", EventState)
    async def test_a_state_filters_before_the_limit(
        self, stores: Stores, state: EventState
    ) -> None:
        """
        Only events in that state are returned, and only they count against the limit.
        """
        await received_in_turn(stores, *EventState, *EventState)

        found = await first_page(stores.events, state=state, limit=2)
        assert [event.outcome.state for event in found] == [state, state]

    async def test_whose_payment_an_event_reports_is_told(self, stores: Stores) -> None:
        """
        The present owner, not the one at the time of receipt.
        """
        report = a_payment(CH_1)
        await stores.keep(an_account(), payments=[a_record(report)])
        await received(stores, (an_event(report=report), APPLIED))
        (before,) = await first_page(stores.events)
        linked = attrs.evolve(await stores.payment(CH_1), user_id=ADA)
        assert await stores.save(Changes(key="it", payments=(linked,))) == [SAVED]

        (after,) = await stores.events.find("evt_1")
        assert (before.user_id, after.user_id) == (None, ADA)

    async def test_unlinked_are_events_whose_payment_is_nobodys(
        self, stores: Stores
    ) -> None:
        """
        Events of linked payments, and events that report no payment, are not returned.
        """
        nobodys, adas = a_payment(CH_1), a_payment(CH_2)
        pending = Outcome(EventState.PENDING)
        await stores.keep(
            an_account(), payments=[a_record(nobodys), a_record(adas, owner=ADA)]
        )
        await received(
            stores,
            (an_event("evt_nobody", nobodys), APPLIED),
            (an_event("evt_ada", adas), APPLIED),
            (an_event("evt_none"), Outcome(EventState.IGNORED)),
            (an_event("evt_later", nobodys), pending),
        )

        found = {
            event.key.id for event in await first_page(stores.events, unlinked=True)
        }
        waiting = await first_page(
            stores.events, unlinked=True, state=EventState.PENDING
        )
        assert found == {"evt_nobody", "evt_later"}
        assert [event.key.id for event in waiting] == ["evt_later"]

    async def test_whose_subscription_an_event_reports_is_told(
        self, stores: Stores
    ) -> None:
        """
        The present owner; an event whose subscription has no owner is among the
        unlinked.
        """
        await stores.keep(
            an_account(),
            subscriptions=[
                a_subscription(a_report("sub_1"), owner=ADA),
                a_subscription(a_report("sub_2")),
            ],
            events=[
                (an_event("evt_1", a_report("sub_1")), APPLIED),
                (an_event("evt_2", a_term("sub_2")), APPLIED),
                (an_event("evt_3", a_report("sub_3")), APPLIED),
            ],
        )

        kept = await first_page(stores.events)
        owners = {event.key.id: event.user_id for event in kept}
        assert owners == {"evt_1": ADA, "evt_2": None, "evt_3": None}
        (unlinked,) = await first_page(stores.events, unlinked=True)
        assert unlinked.key == key_of("evt_2")

    async def test_a_settled_event_keeps_its_body(self, stores: Stores) -> None:
        """
        And its time of receipt.
        """
        pending = Outcome(EventState.PENDING, "not known yet")
        await received(stores, (an_event(body=b"a body"), pending))
        (before,) = await stores.events.find("evt_1")
        settled = Changes(key="it", resolved=((key_of("evt_1"), APPLIED),))
        assert await stores.save(settled, seconds=99_999) == [SAVED]

        (after,) = await stores.events.find("evt_1")
        assert after == attrs.evolve(before, outcome=APPLIED)
        assert after.body == b"a body"

    async def test_f42_what_is_kept_is_known_by_its_id(self, stores: Stores) -> None:
        """
        Whatever its type and state, because a list may give it another type.
        """
        for number, state in enumerate(EventState):
            event = an_event(f"evt_{number}", type_=f"type.{number}")
            await received(stores, (event, Outcome(state)))
        sample = an_event("evt_0", type_="another")
        await received(stores, (sample, Outcome(EventState.APPLIED)))
        ids = frozenset(f"evt_{number}" for number in range(len(EventState)))

        assert await stores.events.known(ids | {"evt_x", "", "evt_"}) == ids
        assert await stores.events.known(frozenset({"evt_x"})) == frozenset()
        assert await stores.events.known(frozenset()) == frozenset()

    async def test_what_is_open_is_found_by_its_object(self, stores: Stores) -> None:
        """
        Pending and quarantined events, the latest first; applied ones are not returned.
        """
        for number, state in enumerate(
            ("pending", "applied", "quarantined", "ignored")
        ):
            event = attrs.evolve(an_event(f"evt_{number}"), object_id=CH_1)
            await received(stores, (event, Outcome(EventState(state))), seconds=number)
        other = attrs.evolve(an_event("evt_9"), object_id=CH_2)
        await received(stores, (other, Outcome(EventState.PENDING)))

        found = await stores.events.open_about(CH_1)
        assert [it.key.id for it in found] == ["evt_2", "evt_0"]
        assert all(it.body is None for it in found)
        assert not await stores.events.open_about("ch_nobodys")

    async def test_it_says_whether_anything_was_received(self, stores: Stores) -> None:
        """
        From one time on, and before another.
        """
        await received(stores, (an_event("evt_0"), APPLIED), seconds=10)
        second = timedelta(seconds=1)
        at = NOON + 10 * second

        assert await stores.events.received_between(at, at + second)
        assert not await stores.events.received_between(at - second, at)
        assert not await stores.events.received_between(at + second, at + 2 * second)

    async def test_events_are_told_of_one_type_and_since_a_moment(
        self, stores: Stores
    ) -> None:
        """
        In each state; an event received at exactly that time is included.
        """
        for number, state in enumerate(EventState):
            one = an_event(f"evt_{number}", type_="a.a")
            other = an_event(f"evt_{number}", type_="b.b")
            outcome = Outcome(state)
            await received(stores, (one, outcome), (other, outcome), seconds=number)
        log, at = stores.events, NOON + timedelta(seconds=2)

        typed = await first_page(log, type_="a.a")
        assert [it.key for it in typed] == [
            EventKey(f"evt_{number}", "a.a") for number in (4, 3, 2, 1, 0)
        ]
        assert len(await first_page(log, since=at)) == 6
        for number, state in enumerate(EventState):
            wanted = [EventKey(f"evt_{number}", "b.b")]
            found = await first_page(log, state=state, type_="b.b")
            assert [it.key for it in found] == wanted
            found = await first_page(log, state=state, type_="b.b", since=at)
            assert [it.key for it in found] == (wanted if number >= 2 else [])

    async def test_a_list_of_one_type_goes_on_where_its_page_ended(
        self, stores: Stores
    ) -> None:
        """
        No event comes twice, and none is left out.
        """
        for number in range(5):
            outcome = Outcome(EventState.PENDING)
            event = an_event(f"evt_{number}", type_="ab"[number % 2])
            await received(stores, (event, outcome), seconds=number)
        found, after = list[str](), None
        while True:
            page = await stores.events.page(
                state=EventState.PENDING, type_="a", limit=2, after=after
            )
            found += [it.key.id for it in page.events]
            after = page.after
            if after is None:
                break

        assert found == ["evt_4", "evt_2", "evt_0"]

    async def test_it_says_which_bodies_are_kept(self, stores: Stores) -> None:
        """
        Of the events that are named; an unknown event has no body.
        """
        await received(
            stores, (an_event("evt_1"), APPLIED), (an_event("evt_2"), APPLIED)
        )
        keys = [key_of("evt_1"), key_of("evt_9")]

        assert await stores.events.with_bodies(keys) == {key_of("evt_1")}
        assert await stores.events.with_bodies([]) == frozenset()

    @pytest.mark.parametrize("state", [EventState.PENDING, EventState.QUARANTINED])
    async def test_what_is_open_is_counted(
        self, stores: Stores, state: EventState
    ) -> None:
        """
        By state, up to a limit.
        """
        assert await stores.events.count(state, limit=9) == 0
        await received_in_turn(stores, *[state.value] * 3, *EventState)

        assert await stores.events.count(state, limit=9) == 4
        assert await stores.events.count(state, limit=2) == 2

    async def test_what_was_closed_is_known_by_its_object(self, stores: Stores) -> None:
        """
        Events in any other state do not count.
        """
        for number, state in enumerate(EventState):
            event = attrs.evolve(an_event(f"evt_{number}"), object_id=f"ch_{state}")
            await received(stores, (event, Outcome(state)))

        for state in EventState:
            closed = state is EventState.CLOSED
            assert await stores.events.has_closed(f"ch_{state}") is closed
        assert not await stores.events.has_closed("ch_nobodys")
