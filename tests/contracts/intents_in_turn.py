"""What many transactions promise of intents, and the directory outside of any."""

import asyncio
from datetime import timedelta
from typing import Final

import attrs
import pytest

from contracts.examples import ADA, NOON, an_account, an_intent
from contracts.intents_kept import ENDED, FULL_INTENT, read, saved
from contracts.keeping import kept
from contracts.taking_turns import WORKERS_COUNT, at_once
from payments_core.errors import ChangedElsewhere
from payments_core.intent import LEASE, IntentId
from payments_core.ports import IntentDirectory, OpenUnitOfWork

HOUR: Final = timedelta(hours=1)


class IntentsInTurnContract:
    async def test_due_intents_come_the_longest_due_first(
        self, open_unit_of_work: OpenUnitOfWork
    ) -> None:
        """
        Open ones only, from their very moment on, and no more than were asked for.
        """
        await kept(open_unit_of_work, an_account())
        due = {"a": 3, "b": 1, "c": 2, "d": 1, "later": -1}
        await saved(
            open_unit_of_work,
            *(
                an_intent(id_, subject=id_, due_at=NOON - hours * HOUR)
                for id_, hours in due.items()
            ),
            *(an_intent(state, state, due_at=NOON - 9 * HOUR) for state in ENDED),
        )

        async with open_unit_of_work() as work:
            found = await work.due_intents(now=NOON, limit=9)
            two = await work.due_intents(now=NOON, limit=2)
            last = await work.due_intents(now=NOON + HOUR, limit=9)
        assert [it.id for it in found] == ["a", "c", "b", "d"]
        assert [it.id for it in two] == ["a", "c"]
        assert [it.id for it in last][-1] == "later"
        first = an_intent("a", subject="a", due_at=NOON - 3 * HOUR)
        assert found[0] == attrs.evolve(first, version=1)

    async def test_of_twenty_who_take_what_is_due_each_gets_another(
        self, open_unit_of_work: OpenUnitOfWork
    ) -> None:
        """
        Taken and leased in one transaction: none is taken by two.
        """
        await kept(open_unit_of_work, an_account())
        ids = [f"int_{number}" for number in range(WORKERS_COUNT)]
        await saved(open_unit_of_work, *(an_intent(id_, subject=id_) for id_ in ids))

        async def take(_: int) -> list[str]:
            async with open_unit_of_work() as work:
                due = await work.due_intents(now=NOON, limit=1)
                for intent in due:
                    await work.save_intent(intent.taken(NOON), at=NOON)
                await work.commit()
                return [intent.id for intent in due]

        taken = [id_ for some in await at_once(take) for id_ in some]
        assert len(set(taken)) == len(taken)
        async with open_unit_of_work() as work:
            rest = await work.due_intents(now=NOON, limit=WORKERS_COUNT)
            leased = await work.due_intents(now=NOON + LEASE, limit=WORKERS_COUNT)
        assert sorted([*taken, *(it.id for it in rest)]) == sorted(ids)
        assert len(leased) == WORKERS_COUNT

    async def test_of_twenty_who_open_the_same_one_does(
        self, open_unit_of_work: OpenUnitOfWork
    ) -> None:
        """
        The others are refused, and find it when they look again.
        """
        await kept(open_unit_of_work, an_account())

        async def begin(number: int) -> bool:
            try:
                await saved(open_unit_of_work, an_intent(f"int_{number}"))
            except ChangedElsewhere:
                return False
            return True

        assert sum(await at_once(begin)) == 1

    @pytest.mark.parametrize("way", ["id", "key", "subject"])
    async def test_twenty_who_read_one_intent_take_turns(
        self, open_unit_of_work: OpenUnitOfWork, way: str
    ) -> None:
        """
        Locked however it is found: each adds one attempt, and all twenty are there.
        """
        await kept(open_unit_of_work, an_account())
        await saved(open_unit_of_work, an_intent(key="a key"))

        async def add(_: int) -> None:
            async with open_unit_of_work() as work:
                intent = an_intent()
                found = await {
                    "id": lambda: work.intent(intent.id),
                    "key": lambda: work.intent_under("a key"),
                    "subject": lambda: work.open_intent(
                        ADA, intent.kind, intent.subject
                    ),
                }[way]()
                assert found is not None
                await work.save_intent(found.taken(NOON), at=NOON)
                await work.commit()

        await at_once(add)

        after = await read(open_unit_of_work)
        assert after is not None
        assert (after.attempts, after.version) == (WORKERS_COUNT, WORKERS_COUNT + 1)


class IntentDirectoryContract:
    """`directory` gives an `IntentDirectory` over the store of `open_unit_of_work`."""

    async def test_an_intent_is_found_as_last_committed(
        self, directory: IntentDirectory, open_unit_of_work: OpenUnitOfWork
    ) -> None:
        """
        All of it; what is not committed is not seen, and not waited for.
        """
        assert await directory.find(FULL_INTENT.id) is None
        await kept(open_unit_of_work, an_account())
        await saved(open_unit_of_work, FULL_INTENT)
        first = attrs.evolve(FULL_INTENT, version=1)

        async with open_unit_of_work() as work:
            intent = await work.intent(FULL_INTENT.id)
            assert intent is not None
            await work.save_intent(intent.taken(NOON), at=NOON)
            async with asyncio.timeout(2):
                assert await directory.find(FULL_INTENT.id) == first
        assert await directory.find(FULL_INTENT.id) == first
        assert await directory.find(IntentId("int_9")) is None
