"""What every store promises of its objects: they are found by when they were made."""

from datetime import timedelta

import attrs

from contracts.examples import (
    ADA,
    BOB,
    NOON,
    a_payment,
    a_record,
    a_report,
    a_subscription,
    an_account,
)
from contracts.stores import Stores
from payments_core.identity import CustomerId
from payments_core.object_lists import CreatedBetween, ObjectList

_SECOND = timedelta(seconds=1)
DAY = timedelta(days=1)


class KeptObjectsContract:
    async def test_what_was_made_between_two_moments_is_found(
        self, stores: Stores
    ) -> None:
        """
        The first second is included, the last is not; linked or not.
        """
        await stores.keep(
            an_account(),
            payments=[
                a_record(
                    a_payment(f"ch_{number}", at=NOON + number * DAY),
                    owner=ADA if number % 2 else None,
                )
                for number in range(4)
            ],
            subscriptions=[
                a_subscription(
                    a_report(f"sub_{number}", at=NOON + number * DAY),
                    owner=ADA if number % 2 else None,
                )
                for number in range(4)
            ],
        )
        between = CreatedBetween(start=NOON + DAY, end=NOON + 3 * DAY)
        since_ever = CreatedBetween(start=None, end=NOON + _SECOND)
        payments, subscriptions = ObjectList.PAYMENTS, ObjectList.SUBSCRIPTIONS

        async def made(list_: ObjectList, created: CreatedBetween) -> set[str]:
            return set(await stores.kept.made_between(list_, created, limit=9))

        assert await made(payments, between) == {"ch_1", "ch_2"}
        assert await made(payments, since_ever) == {"ch_0"}
        assert await made(subscriptions, between) == {"sub_1", "sub_2"}
        assert await made(subscriptions, since_ever) == {"sub_0"}
        limited = await stores.kept.made_between(payments, between, limit=1)
        assert len(limited) == 1

    async def test_a_payment_of_an_unknown_time_is_not_found(
        self, stores: Stores
    ) -> None:
        """
        Nobody can say when it would have been listed.
        """
        await stores.keep(
            payments=[a_record(attrs.evolve(a_payment(), created_at=None))]
        )
        ever = CreatedBetween(start=None, end=NOON + DAY)
        found = await stores.kept.made_between(ObjectList.PAYMENTS, ever, limit=9)
        assert list(found) == []

    async def test_customers_that_a_sweep_did_not_list_are_found(
        self, stores: Stores
    ) -> None:
        """
        By what the sweep's own pages had, each noted once or twice.
        """
        await stores.keep(an_account(customer=CustomerId("cus_ada")))
        await stores.keep(an_account(BOB, customer=CustomerId("cus_bob")))
        await stores.keep(an_account("eve"))
        kept = stores.kept
        await kept.note_listed(NOON, [CustomerId("cus_ada"), CustomerId("cus_other")])
        await kept.note_listed(NOON, [CustomerId("cus_ada")])
        await kept.note_listed(NOON, [])
        await kept.note_listed(NOON + DAY, [CustomerId("cus_bob")])
        assert await kept.unlisted(NOON, limit=9) == ["cus_bob"]
        assert await kept.unlisted(NOON + DAY, limit=9) == ["cus_ada"]

    async def test_a_sweep_asks_twice_and_forgets_when_it_is_told_to(
        self, stores: Stores
    ) -> None:
        """
        Another sweep in progress keeps its own notes; those of an abandoned sweep are
        deleted.
        """
        await stores.keep(an_account(customer=CustomerId("cus_ada")))
        kept, ada = stores.kept, [CustomerId("cus_ada")]
        sweeps = NOON, NOON + 6 * DAY, NOON + 8 * DAY
        for sweep in sweeps:
            await kept.note_listed(sweep, ada)
            assert await kept.unlisted(sweep, limit=9) == []
            assert await kept.unlisted(sweep, limit=9) == []
        await kept.forget_listed(NOON + 8 * DAY)
        found = [await kept.unlisted(sweep, limit=9) for sweep in sweeps]
        assert found == [ada, [], ada]
        assert await kept.unlisted(NOON, limit=0) == []
