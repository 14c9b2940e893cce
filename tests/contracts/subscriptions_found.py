"""What one transaction promises to find of subscriptions, reported or unlinked."""

from typing import Final

import attrs
import pytest

from contracts.examples import (
    ADA,
    BOB,
    CUS_1,
    CUS_2,
    SUB_1,
    SUB_2,
    a_payment,
    a_record,
    a_report,
    a_subscription,
    a_term,
    an_account,
    an_event,
    email_of,
)
from contracts.keeping import kept
from contracts.subscriptions_kept import kept_subscriptions
from payments_core.events import Report
from payments_core.identity import CustomerId
from payments_core.ports import LinkKeys, OpenUnitOfWork

CUS_9: Final = CustomerId("cus_9")


class SubscriptionsFoundContract:
    async def test_subscriptions_are_found_by_the_gateways_ids(
        self, open_unit_of_work: OpenUnitOfWork
    ) -> None:
        """
        Linked or not, each once; those that are not known are left out.
        """
        await kept(open_unit_of_work, an_account())
        await kept_subscriptions(
            open_unit_of_work,
            a_subscription(a_report(SUB_2)),
            a_subscription(a_report(SUB_1), owner=ADA),
            a_subscription(a_report("sub_3")),
        )

        async with open_unit_of_work() as work:
            found = await work.subscriptions([SUB_2, SUB_1, SUB_2, "sub_9"])
            nothing = await work.subscriptions([])
        assert [it.gateway_id for it in found] == [SUB_1, SUB_2]
        assert not nothing

    @pytest.mark.parametrize(
        "report", [a_report(), a_term()], ids=["its report", "its paid term"]
    )
    async def test_look_up_finds_what_is_reported_on_and_its_owner(
        self, open_unit_of_work: OpenUnitOfWork, report: Report
    ) -> None:
        """
        Though the report leaves out whose it is; the account comes whole.
        """
        other = a_subscription(a_report(SUB_2), owner=ADA)
        await kept(open_unit_of_work, an_account(), an_account(BOB))
        await kept_subscriptions(open_unit_of_work, a_subscription(owner=ADA), other)

        async with open_unit_of_work() as work:
            found = await work.look_up(
                [an_event("evt_1", report), an_event("evt_2", report)]
            )
        (account,) = found.accounts
        assert account.user_id == ADA
        assert [it.gateway_id for it in account.subscriptions] == [SUB_1, SUB_2]
        assert list(found.subscriptions) == [account.subscriptions[0]]
        assert not found.payments

    async def test_look_up_finds_a_subscription_that_is_nobodys(
        self, open_unit_of_work: OpenUnitOfWork
    ) -> None:
        """
        Known, and without an owner.
        """
        await kept_subscriptions(open_unit_of_work, a_subscription())

        async with open_unit_of_work() as work:
            found = await work.look_up([an_event("evt_1", a_report())])
        assert list(found.subscriptions) == [attrs.evolve(a_subscription(), version=1)]
        assert not found.accounts

    async def test_look_up_finds_accounts_under_the_keys_of_the_reports(
        self, open_unit_of_work: OpenUnitOfWork
    ) -> None:
        """
        By metadata and by customer, together with those of payments; each once.
        """
        await kept(
            open_unit_of_work,
            an_account("c"),
            an_account("b", customer=CUS_1),
            an_account("a"),
            an_account("d", customer=CUS_2),
        )
        reports: list[Report] = [
            a_report(SUB_1, user="c", customer=CUS_9),
            a_report(SUB_2, customer=CUS_1),
            a_payment(email=email_of("a")),
        ]

        async with open_unit_of_work() as work:
            found = await work.look_up(
                [an_event(f"evt_{n}", report) for n, report in enumerate(reports)]
            )
        assert [account.user_id for account in found.accounts] == ["a", "b", "c"]
        assert not found.subscriptions

    async def test_unlinked_are_nobodys_subscriptions_under_any_key(
        self, open_unit_of_work: OpenUnitOfWork
    ) -> None:
        """
        By metadata or customer; never by e-mail, and never one that is somebody's.
        """
        await kept(open_unit_of_work, an_account())
        await kept_subscriptions(
            open_unit_of_work,
            a_subscription(a_report("sub_claim", user=ADA, customer=CUS_9)),
            a_subscription(a_report("sub_customer", customer=CUS_1)),
            a_subscription(a_report("sub_other", user=BOB, customer=CUS_2)),
            a_subscription(a_report("sub_linked", user=ADA), owner=ADA),
        )
        keys = LinkKeys(
            frozenset({ADA}), frozenset({CUS_1}), frozenset({email_of(BOB).key})
        )

        async with open_unit_of_work() as work:
            found = await work.unlinked(keys)
            nothing = await work.unlinked(LinkKeys())
        assert {it.gateway_id for it in found.subscriptions} == {
            "sub_claim",
            "sub_customer",
        }
        assert not found.payments
        assert not nothing.subscriptions

    async def test_linkable_are_the_keys_of_accounts_that_came_late(
        self, open_unit_of_work: OpenUnitOfWork
    ) -> None:
        """
        Where something unlinked carries one of their keys; nothing of anybody else.
        """
        await kept(
            open_unit_of_work,
            an_account("claimed"),
            an_account("customer", customer=CUS_1),
            an_account("mailed"),
            an_account("paid", customer=CUS_2),
            an_account("idle", customer=CUS_9),
            payments=(
                a_record(a_payment("ch_1", email=email_of("mailed"))),
                a_record(a_payment("ch_2", customer=CUS_2)),
                a_record(a_payment("ch_3", user="nobody")),
                a_record(a_payment("ch_4", user="idle"), owner="idle"),
            ),
        )
        await kept_subscriptions(
            open_unit_of_work,
            a_subscription(a_report(SUB_1, user="claimed", customer=CustomerId("x"))),
            a_subscription(a_report(SUB_2, customer=CUS_1)),
            a_subscription(a_report("sub_3", customer=CUS_9), owner="idle"),
        )

        async with open_unit_of_work() as work:
            keys = await work.linkable(limit=100)
        assert keys.user_ids == {"claimed", "customer", "mailed", "paid"}
        assert keys.customer_ids == {CUS_1, CUS_2}
        assert keys.email_keys == {email_of(user).key for user in keys.user_ids}

    async def test_what_nobody_came_for_stands_in_nobodys_way(
        self, open_unit_of_work: OpenUnitOfWork
    ) -> None:
        """
        The limit counts what can be linked, however much cannot.
        """
        strangers = [
            a_subscription(a_report(f"sub_{n}", customer=CustomerId(f"cus_{n}")))
            for n in range(30, 35)
        ]
        await kept_subscriptions(open_unit_of_work, *strangers)
        await kept(
            open_unit_of_work,
            an_account(customer=CUS_1),
            payments=tuple(a_record(a_payment(f"ch_{n}")) for n in range(5)),
        )
        await kept_subscriptions(open_unit_of_work, a_subscription(a_report("sub_99")))

        async with open_unit_of_work() as work:
            keys = await work.linkable(limit=1)
        assert keys.user_ids == {ADA}

    async def test_an_email_links_nothing_that_names_somebody_else(
        self, open_unit_of_work: OpenUnitOfWork
    ) -> None:
        """
        Who is named has not come yet; until then there is nothing to be done.
        """
        report = a_payment(user="nobody", email=email_of(ADA))
        await kept(open_unit_of_work, an_account(), payments=(a_record(report),))

        async with open_unit_of_work() as work:
            assert not await work.linkable(limit=100)

    async def test_nothing_is_linkable_where_all_is_linked(
        self, open_unit_of_work: OpenUnitOfWork
    ) -> None:
        """
        Or where nobody has come; no keys are no keys.
        """
        await kept(open_unit_of_work, an_account())
        await kept_subscriptions(
            open_unit_of_work,
            a_subscription(a_report(SUB_1, user=ADA), owner=ADA),
            a_subscription(a_report(SUB_2, user=BOB)),
        )

        async with open_unit_of_work() as work:
            assert not await work.linkable(limit=100)
