"""What one transaction promises to find."""

from datetime import timedelta

from contracts.examples import (
    ADA,
    APPLIED,
    BOB,
    CH_1,
    CH_2,
    CUS_1,
    CUS_2,
    NOON,
    a_payment,
    a_record,
    an_account,
    an_event,
    email_of,
    is_empty,
    key_of,
)
from contracts.keeping import kept
from payments_core.events import Doubt
from payments_core.ports import LinkKeys, OpenUnitOfWork


class LookingUpContract:
    async def test_accounts_are_found_under_any_key_in_order_once(
        self, open_unit_of_work: OpenUnitOfWork
    ) -> None:
        """
        One account under three keys is one; the others stay where they are.
        """
        await kept(
            open_unit_of_work,
            an_account("c", customer=CUS_1),
            an_account("b", customer=CUS_2),
            an_account("a"),
            an_account("d"),
        )
        keys = LinkKeys(
            frozenset({an_account("c").user_id, an_account("none").user_id}),
            frozenset({CUS_1, CUS_2}),
            frozenset({email_of("a").key, email_of("c").key}),
        )

        async with open_unit_of_work() as work:
            found = [account.user_id for account in await work.accounts(keys)]
            nobody = await work.accounts(LinkKeys())
        assert found == ["a", "b", "c"]
        assert not nobody

    async def test_unlinked_are_nobodys_payments_under_any_key(
        self, open_unit_of_work: OpenUnitOfWork
    ) -> None:
        """
        Found by claim, customer or e-mail; never one that is somebody's.
        """
        await kept(
            open_unit_of_work,
            an_account(),
            payments=(
                a_record(a_payment("ch_claim", user=ADA)),
                a_record(a_payment("ch_customer", customer=CUS_1)),
                a_record(a_payment("ch_email", email=email_of(ADA))),
                a_record(a_payment("ch_other", user=BOB, customer=CUS_2)),
                a_record(a_payment("ch_bare")),
                a_record(a_payment("ch_linked", user=ADA), owner=ADA),
            ),
        )
        keys = LinkKeys(
            frozenset({ADA}), frozenset({CUS_1}), frozenset({email_of(ADA).key})
        )

        async with open_unit_of_work() as work:
            found = {
                record.payment.id for record in (await work.unlinked(keys)).payments
            }
            nothing = await work.unlinked(LinkKeys())
        assert found == {"ch_claim", "ch_customer", "ch_email"}
        assert not nothing.payments

    async def test_history_is_all_payments_of_the_users(
        self, open_unit_of_work: OpenUnitOfWork
    ) -> None:
        """
        Everything that was linked to them, nothing of anybody else.
        """
        later = a_payment(CH_2, at=NOON + timedelta(days=1))
        await kept(
            open_unit_of_work,
            an_account(),
            an_account(BOB),
            an_account("eve"),
            payments=(
                a_record(owner=ADA),
                a_record(later, owner=BOB),
                a_record(a_payment("ch_eve"), owner="eve"),
                a_record(a_payment("ch_nobody", user=ADA)),
            ),
        )

        async with open_unit_of_work() as work:
            both = {record.payment.id for record in await work.history([ADA, BOB])}
            nobodys = await work.history([])
        assert both == {CH_1, CH_2}
        assert not nobodys

    async def test_look_up_knows_an_event_by_its_id_and_type(
        self, open_unit_of_work: OpenUnitOfWork
    ) -> None:
        """
        Two events that share an id but no type are two.
        """
        async with open_unit_of_work() as work:
            await work.keep(events=[(an_event(), APPLIED)], at=NOON)
            await work.commit()

        async with open_unit_of_work() as work:
            found = await work.look_up(
                [an_event(), an_event(type_="charge.failed"), an_event("evt_2")]
            )
        assert found.known == {key_of("evt_1")}

    async def test_look_up_finds_accounts_under_the_keys_of_the_reports(
        self, open_unit_of_work: OpenUnitOfWork
    ) -> None:
        """
        By claim, by customer and by e-mail; each once, in the order of the ids.
        """
        await kept(
            open_unit_of_work,
            an_account("c"),
            an_account("b", customer=CUS_1),
            an_account("a"),
            an_account("d"),
        )
        reports = [
            a_payment("ch_1", user="c"),
            a_payment("ch_2", customer=CUS_1),
            a_payment("ch_3", email=email_of("a")),
            a_payment("ch_4", user="c", email=email_of("a")),
        ]

        async with open_unit_of_work() as work:
            found = await work.look_up(
                [an_event(report.id, report) for report in reports]
            )
        assert [account.user_id for account in found.accounts] == ["a", "b", "c"]
        assert not found.payments

    async def test_look_up_finds_the_owners_of_known_payments(
        self, open_unit_of_work: OpenUnitOfWork
    ) -> None:
        """
        A report that does not say whose it is still finds its payment's owner.
        """
        await kept(
            open_unit_of_work,
            an_account(),
            an_account(BOB),
            payments=(a_record(owner=ADA), a_record(a_payment(CH_2), owner=BOB)),
        )

        async with open_unit_of_work() as work:
            found = await work.look_up([an_event(report=a_payment(CH_1))])
        assert [account.user_id for account in found.accounts] == [ADA]
        assert [record.payment.id for record in found.payments] == [CH_1]

    async def test_look_up_finds_a_payment_that_is_nobodys(
        self, open_unit_of_work: OpenUnitOfWork
    ) -> None:
        """
        An unlinked payment is known, once, though two events report on it.
        """
        await kept(open_unit_of_work, payments=(a_record(),))

        async with open_unit_of_work() as work:
            found = await work.look_up(
                [an_event("evt_1", a_payment()), an_event("evt_2", a_payment())]
            )
        assert [record.payment for record in found.payments] == [a_payment()]
        assert not found.accounts

    async def test_look_up_of_nothing_and_of_doubts_finds_nothing(
        self, open_unit_of_work: OpenUnitOfWork
    ) -> None:
        """
        Events that report no payment are about nobody.
        """
        await kept(open_unit_of_work, an_account())
        doubt = Doubt(CH_1, "unreadable")

        async with open_unit_of_work() as work:
            found = await work.look_up([an_event(), an_event("evt_2", doubt)])
            empty = await work.look_up([])
        assert is_empty(found)
        assert is_empty(empty)
