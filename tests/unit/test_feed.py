"""The feed under any order of saves, turns of sequencers and reads."""

import asyncio
from typing import Final

from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.examples import an_account
from contracts.feed import Named, change, named
from contracts.stores import Stores
from payments_core.feed import BEGINNING
from payments_core.identity import UserId
from support.memory_stores import memory_stores
from support.profiles import examples

USERS: Final = ("a", "b", "c")
# A change of a user by a clock that is so many seconds off; or a turn of a sequencer,
# or a page, of so many.
Step = tuple[str, str, int]
STEPS: Final = st.lists(
    st.one_of(
        st.tuples(st.just("save"), st.sampled_from(USERS), st.integers(-5, 5)),
        st.tuples(st.sampled_from(["give", "read"]), st.just(""), st.integers(1, 3)),
    ),
    max_size=30,
)


class Reader:
    """Reads on from its place; `latest`: only the last change of each user."""

    def __init__(self, stores: Stores, *, latest: bool) -> None:
        self.stores, self.latest = stores, latest
        self.after = BEGINNING
        self.seen = list[Named]()

    async def read(self, limit: int) -> bool:
        page = await self.stores.feed.page(self.after, limit, latest=self.latest)
        self.seen += named(page.changes)
        self.after = page.next
        return page.has_more


async def played(steps: list[Step]) -> None:
    stores = memory_stores()
    saved = list[Named]()
    readers = [Reader(stores, latest=latest) for latest in (False, True)]
    for number, (what, name, value) in enumerate(steps):
        if what == "give":
            await stores.sequencer.give(value)
        elif what == "read":
            for it in readers:
                await it.read(value)
        else:
            whose = UserId(name)
            version = sum(it[0] == whose for it in saved) + 1
            if version == 1:
                await stores.keep(an_account(whose), seconds=value)
            else:
                await change(stores, whose, version, at=number + value)
            saved.append((whose, version))
    while await stores.sequencer.give(2):
        continue
    for it in readers:
        while await it.read(2):
            continue

    every, latest = (it.seen for it in readers)
    assert sorted(every) == sorted(saved)
    for user in USERS:
        own = [it for it in every if it[0] == user]
        assert own == sorted(own)
        # Whatever it read before, a copy ends with the user's state.
        copied = [it for it in latest if it[0] == user]
        assert copied[-1:] == own[-1:]
        assert copied == sorted(set(copied))


@settings(max_examples=examples(100))
@given(STEPS)
def test_p32_whatever_the_order_none_is_missed_and_none_comes_twice(
    steps: list[Step],
) -> None:
    """
    Clocks go back and forth, turns are short, readers stop anywhere.
    """
    asyncio.run(played(steps))
