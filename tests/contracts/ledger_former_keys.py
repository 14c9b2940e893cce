"""What a ledger and a queue promise of keys that another user had before."""

from datetime import timedelta
from typing import Any, Final

import attrs
import pytest

from contracts.examples import (
    ADA,
    BOB,
    CH_1,
    CUS_1,
    CUS_2,
    NOON,
    a_payment,
    a_record,
    a_report,
    a_subscription,
    an_account,
    email_of,
)
from contracts.stores import SAVED, Stores, moved, users
from payments_core.account import PaymentAccount
from payments_core.identity import UserId
from payments_core.linking import FormerKey, KeyKind, LinkKeys

HOUR: Final = timedelta(hours=1)
ADAS_EMAIL: Final = email_of(ADA)
# Ada had it until noon, Bob has it from an hour later on.
ADAS_FORMER: Final = FormerKey(
    kind=KeyKind.EMAIL,
    key=ADAS_EMAIL.key,
    user_id=UserId(ADA),
    since=NOON - HOUR,
    until=NOON,
)
ADAS_CUSTOMER: Final = FormerKey(
    kind=KeyKind.CUSTOMER, key=CUS_1, user_id=UserId(ADA), since=None, until=NOON
)
BY_EMAIL: Final = LinkKeys(email_keys=frozenset({ADAS_EMAIL.key}))
BY_CUSTOMER: Final = LinkKeys(customer_ids=frozenset({CUS_1}))


async def changed_hands(stores: Stores, *, bobs: bool = True) -> None:
    """Give Ada a former e-mail and a former customer."""
    await stores.keep(an_account(ADA))
    ada = await stores.account(ADA)
    renamed = ada.renamed(email_of("countess"), at=NOON)
    former = (ADAS_FORMER, ADAS_CUSTOMER)
    group = attrs.evolve(moved(ada, renamed), former_keys=former)
    assert await stores.save(group) == [SAVED]
    if bobs:
        bob = PaymentAccount(
            user_id=UserId(BOB), email=ADAS_EMAIL, email_since=NOON + HOUR
        )
        await stores.keep(bob)


class LedgerFormerKeysContract:
    @pytest.mark.parametrize(
        ("keys", "former"),
        [(BY_EMAIL, ADAS_FORMER), (BY_CUSTOMER, ADAS_CUSTOMER)],
        ids=["e-mail", "customer"],
    )
    async def test_who_had_a_key_is_found_by_it(
        self, stores: Stores, keys: LinkKeys, former: FormerKey
    ) -> None:
        """
        With the account in its present state.
        """
        await changed_hands(stores, bobs=False)

        found = await stores.load(keys=keys)

        assert list(found.former_keys) == [former]
        assert [it.email for it in found.accounts] == [email_of("countess")]
        assert [it.email_since for it in found.accounts] == [NOON]

    async def test_all_that_a_user_had_is_found_with_what_is_unlinked(
        self, stores: Stores
    ) -> None:
        """
        By the user's id, and not by another's.
        """
        await changed_hands(stores)

        hers = await stores.load(unlinked=users(ADA))
        bobs = await stores.load(unlinked=users(BOB), keys=users(BOB, ADA))

        assert set(hers.former_keys) == {ADAS_FORMER, ADAS_CUSTOMER}
        assert not bobs.former_keys

    async def test_a_key_that_is_noted_twice_is_one(self, stores: Stores) -> None:
        """
        A save whose reply was lost is repeated.
        """
        await changed_hands(stores)
        ada = await stores.account(ADA)
        again = attrs.evolve(
            moved(ada, ada.released()), former_keys=(ADAS_CUSTOMER, ADAS_CUSTOMER)
        )
        assert await stores.save(again) == [SAVED]

        found = await stores.load(keys=BY_CUSTOMER)
        assert set(found.former_keys) == {ADAS_CUSTOMER}

    @pytest.mark.parametrize(
        ("hours", "owner"),
        [(-2, ADA), (-1, ADA), (-0.5, ADA), (0, None), (0.5, None), (1, BOB), (9, BOB)],
    )
    async def test_t69_an_emails_payment_is_whose_it_was_at_the_time(
        self, stores: Stores, hours: float, owner: str | None
    ) -> None:
        """
        No other user is offered it again and again, and it does not block their own.
        """
        await changed_hands(stores)
        at = NOON + hours * HOUR
        record = a_record(a_payment(CH_1, at=at, email=ADAS_EMAIL))
        await stores.keep(payments=[record])

        assert list(await stores.queue.linkable(limit=9)) == [owner] * bool(owner)
        for user in (ADA, BOB, "eve"):
            keys = users(user) | BY_EMAIL
            unlinked = (await stores.load(unlinked=keys)).unlinked
            assert bool(unlinked.payments) is (user == owner)

    @pytest.mark.parametrize("at", [NOON, None])
    async def test_what_nobody_had_is_the_first_ones(
        self, stores: Stores, at: Any
    ) -> None:
        """
        Also what came before anybody had the key, however long before.
        """
        payment = attrs.evolve(a_payment(CH_1, email=ADAS_EMAIL), created_at=at)
        await stores.keep(payments=[a_record(payment)])
        keys = users(ADA) | BY_EMAIL

        assert (await stores.load(unlinked=keys)).unlinked.payments
        await stores.keep(
            PaymentAccount(
                user_id=UserId(ADA), email=ADAS_EMAIL, email_since=NOON + HOUR
            )
        )
        assert list(await stores.queue.linkable(limit=9)) == [ADA]

    async def test_a_payment_of_an_unknown_moment_may_be_any_holders(
        self, stores: Stores
    ) -> None:
        """
        With two possible holders nobody can say which: it has no owner.
        """
        await changed_hands(stores)
        payment = attrs.evolve(a_payment(CH_1, email=ADAS_EMAIL), created_at=None)
        await stores.keep(payments=[a_record(payment)])

        assert not await stores.queue.linkable(limit=9)

    async def test_a_deleted_customers_subscription_is_offered_to_its_user(
        self, stores: Stores
    ) -> None:
        """
        Also if there is no payment.
        """
        await changed_hands(stores)
        subscription = a_subscription(a_report("sub_1", customer=CUS_1))
        await stores.keep(subscriptions=[subscription])

        assert list(await stores.queue.linkable(limit=9)) == [ADA]

    async def test_what_came_late_of_a_deleted_customer_is_whose_it_was(
        self, stores: Stores
    ) -> None:
        """
        Payments and subscriptions; the e-mail does not make them another user's.
        """
        await changed_hands(stores)
        await stores.keep(
            payments=[
                a_record(
                    a_payment(
                        CH_1, at=NOON + 2 * HOUR, customer=CUS_1, email=ADAS_EMAIL
                    )
                )
            ],
            subscriptions=[
                a_subscription(a_report("sub_1", customer=CUS_1)),
                a_subscription(a_report("sub_2", customer=CUS_2)),
            ],
        )

        assert list(await stores.queue.linkable(limit=9)) == [ADA]
        bobs = await stores.load(unlinked=users(BOB) | BY_EMAIL | BY_CUSTOMER)
        assert not bobs.unlinked.payments
        assert not bobs.unlinked.subscriptions
        hers = await stores.load(unlinked=users(ADA) | BY_CUSTOMER)
        assert len(hers.unlinked.payments) == len(hers.unlinked.subscriptions) == 1
