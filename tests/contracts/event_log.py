"""What every event log promises.

Subclass, give `event_log` and `open_unit_of_work` over one empty store, and run.
"""

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
    an_account,
    an_event,
    key_of,
)
from contracts.keeping import kept
from payments_core.events import EventState, GatewayEvent, KeptEvent, Outcome
from payments_core.ports import EventLog, OpenUnitOfWork

BODIES: Final = [
    b"",
    b"\x00",
    b'{"id": "evt_1", "note": "\\u0000\x00"}\r\n ',
    b"\xff\xfe\x80 is no UTF-8 \xed\xa0\x80",
    "schön 漢字 🧾".encode(),
    bytes(range(256)) * 2048,
]


async def received(
    open_unit_of_work: OpenUnitOfWork,
    *events: tuple[GatewayEvent, Outcome],
    seconds: int = 0,
) -> None:
    async with open_unit_of_work() as work:
        await work.keep(events=events, at=NOON + timedelta(seconds=seconds))
        await work.commit()


async def received_in_turn(open_unit_of_work: OpenUnitOfWork, *states: str) -> None:
    """Keep `evt_0`, `evt_1`, … a second apart, in these states."""
    for number, state in enumerate(states):
        outcome = Outcome(EventState(state))
        await received(
            open_unit_of_work, (an_event(f"evt_{number}"), outcome), seconds=number
        )


class EventLogContract:
    async def test_an_empty_log_has_nothing(self, event_log: EventLog) -> None:
        """
        Nothing kept, nothing found, no error.
        """
        assert not await event_log.kept()
        assert not await event_log.find("evt_1")

    async def test_an_event_comes_back_as_it_was_kept(
        self, event_log: EventLog, open_unit_of_work: OpenUnitOfWork
    ) -> None:
        """
        Every field, its own time and the time of its receipt apart.
        """
        event = attrs.evolve(
            an_event("evt_ü", body=b"{ }"), livemode=True, object_id=CH_1
        )
        outcome = Outcome(EventState.QUARANTINED, "weil: 漢字")
        await received(open_unit_of_work, (event, outcome), seconds=5)
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

        assert list(await event_log.find("evt_ü")) == [expected]
        assert list(await event_log.kept()) == [attrs.evolve(expected, body=None)]

    @pytest.mark.parametrize("body", BODIES, ids=[f"{len(b)}_bytes" for b in BODIES])
    async def test_a_body_comes_back_byte_for_byte(
        self, event_log: EventLog, open_unit_of_work: OpenUnitOfWork, body: bytes
    ) -> None:
        """
        Whatever was signed: NUL, invalid UTF-8, half a megabyte.
        """
        await received(open_unit_of_work, (an_event(body=body), APPLIED))

        (event,) = await event_log.find("evt_1")
        assert event.body == body

    async def test_events_that_share_an_id_are_all_found(
        self, event_log: EventLog, open_unit_of_work: OpenUnitOfWork
    ) -> None:
        """
        The gateway's samples share one id, each with a type of its own.
        """
        failed = an_event(type_="charge.failed", body=b"failed")
        succeeded = an_event(body=b"succeeded")
        other = an_event("evt_2")
        await received(
            open_unit_of_work, (failed, APPLIED), (succeeded, APPLIED), (other, APPLIED)
        )

        found = await event_log.find("evt_1")
        assert {event.key: event.body for event in found} == {
            key_of("evt_1", "charge.failed"): b"failed",
            key_of("evt_1"): b"succeeded",
        }

    async def test_the_latest_received_comes_first(
        self, event_log: EventLog, open_unit_of_work: OpenUnitOfWork
    ) -> None:
        """
        By the time of receipt, whatever the order of keeping.
        """
        for number, seconds in enumerate((5, 60, 1)):
            event = (an_event(f"evt_{number}"), APPLIED)
            await received(open_unit_of_work, event, seconds=seconds)

        found = [event.key.id for event in await event_log.kept()]
        assert found == ["evt_1", "evt_0", "evt_2"]

    async def test_a_limit_keeps_the_latest(
        self, event_log: EventLog, open_unit_of_work: OpenUnitOfWork
    ) -> None:
        """
        Of four two are asked for: the last two received.
        """
        await received_in_turn(open_unit_of_work, *["applied"] * 4)

        found = [event.key.id for event in await event_log.kept(limit=2)]
        assert found == ["evt_3", "evt_2"]

    async def test_without_a_limit_a_hundred_come(
        self, event_log: EventLog, open_unit_of_work: OpenUnitOfWork
    ) -> None:
        """
        Nobody gets everything by accident.
        """
        many = [(an_event(f"evt_{number}"), APPLIED) for number in range(101)]
        await received(open_unit_of_work, *many)

        assert len(await event_log.kept()) == 100
        assert len(await event_log.kept(limit=200)) == 101

    @pytest.mark.parametrize("state", EventState)
    async def test_a_state_filters_before_the_limit(
        self, event_log: EventLog, open_unit_of_work: OpenUnitOfWork, state: EventState
    ) -> None:
        """
        Only events in that state, and the limit counts only them.
        """
        await received_in_turn(open_unit_of_work, *EventState, *EventState)

        found = await event_log.kept(state=state, limit=2)
        assert [event.outcome.state for event in found] == [state, state]

    async def test_whose_payment_an_event_reports_is_told(
        self, event_log: EventLog, open_unit_of_work: OpenUnitOfWork
    ) -> None:
        """
        As linked now, not as linked when the event came.
        """
        report = a_payment(CH_1)
        await kept(open_unit_of_work, an_account(), payments=(a_record(report),))
        await received(open_unit_of_work, (an_event(report=report), APPLIED))
        (before,) = await event_log.kept()
        async with open_unit_of_work() as work:
            (record,) = (await work.look_up([an_event(report=report)])).payments
            await work.keep(payments=[attrs.evolve(record, user_id=ADA)], at=NOON)
            await work.commit()

        (after,) = await event_log.find("evt_1")
        assert (before.user_id, after.user_id) == (None, ADA)

    async def test_unlinked_are_events_whose_payment_is_nobodys(
        self, event_log: EventLog, open_unit_of_work: OpenUnitOfWork
    ) -> None:
        """
        Not those of linked payments, nor those that report none.
        """
        nobodys, adas = a_payment(CH_1), a_payment(CH_2)
        pending = Outcome(EventState.PENDING)
        await kept(
            open_unit_of_work,
            an_account(),
            payments=(a_record(nobodys), a_record(adas, owner=ADA)),
        )
        await received(
            open_unit_of_work,
            (an_event("evt_nobody", nobodys), APPLIED),
            (an_event("evt_ada", adas), APPLIED),
            (an_event("evt_none"), Outcome(EventState.IGNORED)),
            (an_event("evt_later", nobodys), pending),
        )

        found = {event.key.id for event in await event_log.kept(unlinked=True)}
        waiting = await event_log.kept(unlinked=True, state=EventState.PENDING)
        assert found == {"evt_nobody", "evt_later"}
        assert [event.key.id for event in waiting] == ["evt_later"]
