"""What a queue promises: who could own what is stored without an owner."""

from typing import Any, Final

from contracts.examples import (
    ADA,
    BOB,
    CUS_1,
    CUS_2,
    a_payment,
    a_record,
    a_report,
    a_subscription,
    an_account,
    email_of,
)
from contracts.stores import Stores
from payments_core.identity import CustomerId

CUS_9: Final = CustomerId("cus_9")


class LinkableContract:
    async def test_linkable_are_users_that_came_late(self, stores: Stores) -> None:
        """
        Users one of whose keys is on something unlinked; no other users.
        """
        await stores.keep(
            an_account("claimed"),
            an_account("customer", customer=CUS_1),
            an_account("mailed"),
            an_account("named"),
            an_account("paid", customer=CUS_2),
            an_account("idle", customer=CUS_9),
            payments=[
                a_record(a_payment("ch_1", email=email_of("mailed"))),
                a_record(a_payment("ch_2", customer=CUS_2)),
                a_record(a_payment("ch_3", user="nobody")),
                a_record(a_payment("ch_4", user="idle"), owner="idle"),
                a_record(a_payment("ch_5", user="named")),
            ],
            subscriptions=[
                a_subscription(
                    a_report("sub_1", user="claimed", customer=CustomerId("x"))
                ),
                a_subscription(a_report("sub_2", customer=CUS_1)),
                a_subscription(a_report("sub_3", customer=CUS_9), owner="idle"),
            ],
        )

        found = await stores.queue.linkable(limit=100)
        assert sorted(found) == ["claimed", "customer", "mailed", "named", "paid"]
        assert len(await stores.queue.linkable(limit=2)) == 2

    async def test_what_nobody_came_for_stands_in_nobodys_way(
        self, stores: Stores
    ) -> None:
        """
        Only users who can be linked count against the limit, however much cannot be.
        """
        await stores.keep(
            an_account(customer=CUS_1),
            payments=[a_record(a_payment(f"ch_{n}")) for n in range(5)],
            subscriptions=[
                *(
                    a_subscription(a_report(f"sub_{n}", customer=CustomerId(f"c{n}")))
                    for n in range(5)
                ),
                a_subscription(a_report("sub_9")),
                a_subscription(a_report("sub_99")),
            ],
        )

        assert list(await stores.queue.linkable(limit=1)) == [ADA]
        assert list(await stores.queue.linkable(limit=9)) == [ADA]

    async def test_an_email_links_nothing_that_names_somebody_else(
        self, stores: Stores
    ) -> None:
        """
        The named user has not come yet; until then there is nothing to do.
        """
        report = a_payment(user="nobody", email=email_of(ADA))
        await stores.keep(an_account(), payments=[a_record(report)])

        assert not await stores.queue.linkable(limit=100)

    async def test_what_is_in_conflict_is_nobodys(self, stores: Stores) -> None:
        """
        It names one user, and the customer is another's: no account may change, so no
        user is offered it again and again.
        """
        whose: dict[str, Any] = {"user": ADA, "customer": CUS_1}
        await stores.keep(
            an_account(BOB, customer=CUS_1),
            payments=[a_record(a_payment(**whose))],
            subscriptions=[a_subscription(a_report(**whose))],
        )
        assert not await stores.queue.linkable(limit=100)
        await stores.keep(an_account())

        assert not await stores.queue.linkable(limit=100)

    async def test_nobody_is_linkable_where_all_is_linked(self, stores: Stores) -> None:
        """
        Or where no user has come.
        """
        await stores.keep(
            an_account(),
            subscriptions=[
                a_subscription(a_report("sub_1", user=ADA), owner=ADA),
                a_subscription(a_report("sub_2", user=BOB)),
            ],
        )

        assert not await stores.queue.linkable(limit=100)
