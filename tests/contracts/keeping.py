"""What one transaction promises: it keeps all, or nothing, and nothing twice."""

from datetime import UTC, datetime

import attrs
import pytest

from contracts.examples import (
    ADA,
    APPLIED,
    BOB,
    CH_1,
    CUS_1,
    NOON,
    a_payment,
    a_record,
    an_account,
    an_event,
    email_of,
    is_empty,
    unversioned,
)
from payments_core.account import PaymentAccount
from payments_core.errors import ChangedElsewhere
from payments_core.identity import Email
from payments_core.money import AMOUNT_MINOR_MAX, Money
from payments_core.payment import DisputeState, Payment, PaymentState
from payments_core.ports import LinkKeys, OpenUnitOfWork, PaymentRecord
from payments_core.standing import Checkpoint, Sighting, Term

ADA_KEYS = LinkKeys(frozenset({ADA}))
FULL_PAYMENT = Payment(
    id=CH_1,
    state=PaymentState.PARTIALLY_REFUNDED,
    dispute=DisputeState.OPEN,
    amount=Money(AMOUNT_MINOR_MAX, "jpy"),
    refunded_minor=AMOUNT_MINOR_MAX - 1,
    created_at=NOON,
    customer_id=CUS_1,
    claimed_by=ADA,
    email=email_of(ADA).key,
    invoice_id="in_1",
    failure_code="schöner_Fehler_漢字_🧾",
)
FULL_ACCOUNT = attrs.evolve(
    an_account(customer=CUS_1),
    email=Email.of("  Zoë+漢字@BÜCHER.example. "),
    checkpoint=Checkpoint(
        Sighting.of(FULL_PAYMENT), Term(datetime(2024, 2, 29, 23, tzinfo=UTC), 24)
    ),
)


async def kept(
    open_unit_of_work: OpenUnitOfWork,
    *accounts: PaymentAccount,
    payments: tuple[PaymentRecord, ...] = (),
) -> None:
    async with open_unit_of_work() as work:
        await work.keep(accounts=accounts, payments=payments, at=NOON)
        await work.commit()


async def read_account(
    open_unit_of_work: OpenUnitOfWork, keys: LinkKeys = ADA_KEYS
) -> PaymentAccount:
    async with open_unit_of_work() as work:
        (account,) = await work.accounts(keys)
        return account


class KeepingContract:
    async def test_committed_values_come_back_exactly(
        self, open_unit_of_work: OpenUnitOfWork
    ) -> None:
        """
        Every field of an account and a payment comes back as it was kept.
        """
        record = PaymentRecord(payment=FULL_PAYMENT, user_id=ADA)
        await kept(open_unit_of_work, FULL_ACCOUNT, payments=(record,))

        async with open_unit_of_work() as work:
            (account,) = await work.accounts(ADA_KEYS)
            (payment,) = await work.history([ADA])
        assert (unversioned(account), unversioned(payment)) == (FULL_ACCOUNT, record)

    async def test_what_is_not_known_yet_comes_back_as_not_known(
        self, open_unit_of_work: OpenUnitOfWork
    ) -> None:
        """
        A bare account and a payment without anything but its id keep their gaps.
        """
        bare = PaymentRecord(payment=Payment(id=CH_1), user_id=ADA)
        await kept(open_unit_of_work, an_account(), payments=(bare,))

        async with open_unit_of_work() as work:
            (account,) = await work.accounts(ADA_KEYS)
            (payment,) = await work.history([ADA])
        assert (unversioned(account), unversioned(payment)) == (an_account(), bare)

    async def test_each_save_makes_the_version_one_greater(
        self, open_unit_of_work: OpenUnitOfWork
    ) -> None:
        """
        New is version 0 before and 1 after; each save adds one.
        """
        await kept(open_unit_of_work, an_account())
        first = await read_account(open_unit_of_work)
        await kept(open_unit_of_work, first)

        assert first.version == 1
        assert (await read_account(open_unit_of_work)).version == 2

    async def test_without_commit_nothing_happened(
        self, open_unit_of_work: OpenUnitOfWork
    ) -> None:
        """
        Leaving without commit rolls back accounts, payments and events together.
        """
        event = an_event(report=a_payment())
        async with open_unit_of_work() as work:
            await work.keep(
                events=[(event, APPLIED)],
                accounts=[an_account()],
                payments=[a_record(owner=ADA)],
                at=NOON,
            )

        async with open_unit_of_work() as work:
            found = await work.look_up([event])
            assert is_empty(found)
            assert not await work.accounts(ADA_KEYS)
            assert not await work.history([ADA])

    async def test_an_error_inside_rolls_everything_back(
        self, open_unit_of_work: OpenUnitOfWork
    ) -> None:
        """
        Whoever raises in the middle leaves nothing, and the store is usable.
        """

        async def fail() -> None:
            async with open_unit_of_work() as work:
                await work.keep(accounts=[an_account()], at=NOON)
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await fail()
        async with open_unit_of_work() as work:
            assert not await work.accounts(ADA_KEYS)

    @pytest.mark.parametrize("version", [0, 1])
    async def test_stale_account_is_refused(
        self, open_unit_of_work: OpenUnitOfWork, version: int
    ) -> None:
        """
        An account saved since it was read, or there already, is not overwritten.
        """
        await kept(open_unit_of_work, an_account())
        await kept(open_unit_of_work, await read_account(open_unit_of_work))

        with pytest.raises(ChangedElsewhere):
            await kept(open_unit_of_work, attrs.evolve(an_account(), version=version))
        assert (await read_account(open_unit_of_work)).version == 2

    @pytest.mark.parametrize("version", [0, 1])
    async def test_stale_payment_is_refused(
        self, open_unit_of_work: OpenUnitOfWork, version: int
    ) -> None:
        """
        The same holds for a payment.
        """
        record = a_record(owner=ADA)
        await kept(open_unit_of_work, an_account(), payments=(record,))
        again = attrs.evolve(record, version=1)
        await kept(open_unit_of_work, payments=(again,))

        with pytest.raises(ChangedElsewhere):
            await kept(
                open_unit_of_work, payments=(attrs.evolve(record, version=version),)
            )
        async with open_unit_of_work() as work:
            (payment,) = await work.history([ADA])
        assert payment.version == 2

    async def test_an_event_is_kept_once(
        self, open_unit_of_work: OpenUnitOfWork
    ) -> None:
        """
        The second to keep an event is refused, with all that it brought.
        """
        async with open_unit_of_work() as work:
            await work.keep(events=[(an_event(), APPLIED)], at=NOON)
            await work.commit()

        with pytest.raises(ChangedElsewhere):
            async with open_unit_of_work() as work:
                await work.keep(
                    events=[(an_event(), APPLIED)], accounts=[an_account()], at=NOON
                )
        async with open_unit_of_work() as work:
            assert not await work.accounts(ADA_KEYS)

    @pytest.mark.parametrize(
        "twin",
        [
            attrs.evolve(an_account(BOB), email=Email.of("ADA@EXÄMPLE.org")),
            an_account(BOB, customer=CUS_1),
        ],
        ids=["e-mail", "customer"],
    )
    async def test_two_accounts_share_no_email_and_no_customer(
        self, open_unit_of_work: OpenUnitOfWork, twin: PaymentAccount
    ) -> None:
        """
        Whoever forgot to look first is stopped by the store, whatever the case.
        """
        await kept(open_unit_of_work, an_account(customer=CUS_1))

        with pytest.raises(ChangedElsewhere):
            await kept(open_unit_of_work, twin)
        async with open_unit_of_work() as work:
            assert not await work.accounts(LinkKeys(frozenset({BOB})))

    async def test_an_email_that_was_given_up_is_free(
        self, open_unit_of_work: OpenUnitOfWork
    ) -> None:
        """
        Renaming frees the old e-mail for another.
        """
        await kept(open_unit_of_work, an_account())
        ada = await read_account(open_unit_of_work)
        await kept(open_unit_of_work, ada.renamed(email_of("countess")))
        await kept(open_unit_of_work, an_account(BOB).renamed(email_of(ADA)))

        keys = LinkKeys(email_keys=frozenset({email_of(ADA).key}))
        assert (await read_account(open_unit_of_work, keys)).user_id == BOB
