"""What one transaction promises of subscriptions: kept whole, found, and in turn."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

import attrs
import pytest

from contracts.examples import (
    ADA,
    BOB,
    CUS_1,
    NOON,
    SUB_1,
    SUB_2,
    a_payment,
    a_report,
    a_subscription,
    a_term,
    an_account,
    email_of,
    moments_in,
)
from contracts.keeping import ADA_KEYS, kept, read_account
from payments_core.account import PaymentAccount
from payments_core.card import Card
from payments_core.errors import ChangedElsewhere
from payments_core.payment import DisputeState
from payments_core.ports import LinkKeys, OpenUnitOfWork
from payments_core.standing import Checkpoint, Sighting
from payments_core.subscription import (
    QUANTITY_MAX,
    PendingUpdate,
    Subscription,
    SubscriptionStatus,
)

DAY: Final = timedelta(days=1)
BARE: Final = a_subscription()
# Each of its own moment and text, so that nothing can be taken for another.
FULL: Final = Subscription(
    report=attrs.evolve(
        a_report(SUB_1, SubscriptionStatus.PAST_DUE, user=ADA),
        product="prod_ü",
        price="price_漢字",
        quantity=QUANTITY_MAX,
        item_id="si_🧾",
        currency="jpy",
        created_at=NOON + 1 * DAY,
        period_start=NOON + 2 * DAY,
        period_end=NOON + 3 * DAY,
        trial_start=NOON + 4 * DAY,
        trial_end=NOON + 5 * DAY,
        cancel_at=NOON + 6 * DAY,
        cancel_at_period_end=True,
        ended_at=NOON + 7 * DAY,
        pinned_card="pm_1",
        latest_invoice_id="in_latest",
        pending=PendingUpdate(price="price_2", quantity=2, expires_at=NOON + 8 * DAY),
        intent_id="int_1",
    ),
    user_id=ADA,
    term=a_term(starts_at=NOON + 9 * DAY, ends_at=NOON + 10 * DAY, invoice="in_paid"),
    known_until=NOON + 11 * DAY,
    ticket=2**62,
)
_OPTIONAL: Final = [
    *["trial_start", "trial_end", "cancel_at", "ended_at", "pinned_card"],
    *["latest_invoice_id", "pending", "claimed_by", "intent_id"],
]


def _report_of(**changes: Any) -> Subscription:
    return attrs.evolve(FULL, report=attrs.evolve(FULL.report, **changes))


def _without(field: str) -> Subscription:
    return _report_of(**{field: None})


VARIANTS: Final = {
    "bare": BARE,
    "full": FULL,
    **{f"no {field}": _without(field) for field in _OPTIONAL},
    "no term": attrs.evolve(FULL, term=None),
    "unlinked": attrs.evolve(FULL, user_id=None),
    **{status.value: _report_of(status=status) for status in SubscriptionStatus},
    "only a price": _report_of(
        pending=PendingUpdate(price="price_2", quantity=None, expires_at=NOON)
    ),
    "only a quantity": _report_of(
        pending=PendingUpdate(price=None, quantity=2, expires_at=NOON)
    ),
    "far away": _report_of(
        created_at=datetime(1970, 1, 1, tzinfo=UTC),
        cancel_at=datetime(2100, 1, 1, tzinfo=UTC),
    ),
}


BARE_4: Final = a_subscription(a_report("sub_4"))
CARD: Final = Card(id="pm_1", brand="vïsa", last4="4242", exp_month=12, exp_year=2030)
KEYS_OF_ADA: Final = [
    LinkKeys(frozenset({ADA})),
    LinkKeys(customer_ids=frozenset({CUS_1})),
    LinkKeys(email_keys=frozenset({email_of(ADA).key})),
]


async def kept_subscriptions(
    open_unit_of_work: OpenUnitOfWork,
    *subscriptions: Subscription,
    accounts: tuple[PaymentAccount, ...] = (),
) -> None:
    async with open_unit_of_work() as work:
        await work.keep(accounts=accounts, subscriptions=subscriptions, at=NOON)
        await work.commit()


async def read_subscription(
    open_unit_of_work: OpenUnitOfWork, gateway_id: str = SUB_1
) -> Subscription:
    async with open_unit_of_work() as work:
        (subscription,) = await work.subscriptions([gateway_id])
        return subscription


class SubscriptionsKeptContract:
    @pytest.mark.parametrize("name", VARIANTS)
    async def test_a_subscription_comes_back_exactly(
        self, open_unit_of_work: OpenUnitOfWork, name: str
    ) -> None:
        """
        Every field of it, there or not, and every moment in UTC.
        """
        before = VARIANTS[name]
        await kept(open_unit_of_work, an_account())
        await kept_subscriptions(open_unit_of_work, before)

        after = await read_subscription(open_unit_of_work)
        assert after == attrs.evolve(before, version=1)
        assert {it.utcoffset() for it in moments_in(after)} == {timedelta(0)}

    async def test_an_account_comes_with_its_subscriptions_the_first_first(
        self, open_unit_of_work: OpenUnitOfWork
    ) -> None:
        """
        Its own, in the order of their beginnings, however it is reached.
        """
        later = a_subscription(a_report(SUB_1, at=NOON + DAY), owner=ADA)
        first = a_subscription(a_report(SUB_2), owner=ADA)
        bobs = a_subscription(a_report("sub_3"), owner=BOB)
        await kept(open_unit_of_work, an_account(customer=CUS_1), an_account(BOB))
        await kept_subscriptions(open_unit_of_work, later, first, bobs, BARE_4)

        expected = [attrs.evolve(it, version=1) for it in (first, later)]
        for keys in KEYS_OF_ADA:
            account = await read_account(open_unit_of_work, keys)
            assert list(account.subscriptions) == expected

    async def test_an_account_is_saved_without_its_subscriptions(
        self, open_unit_of_work: OpenUnitOfWork
    ) -> None:
        """
        They are saved by themselves: neither changed nor lost with it.
        """
        await kept(open_unit_of_work, an_account())
        await kept_subscriptions(open_unit_of_work, FULL)
        ada = await read_account(open_unit_of_work)
        other = a_subscription(a_report("sub_9"), owner=ADA)
        await kept(open_unit_of_work, ada.with_subscription(other))
        await kept(open_unit_of_work, attrs.evolve(ada, subscriptions=(), version=2))

        account = await read_account(open_unit_of_work)
        assert account.subscriptions == (attrs.evolve(FULL, version=1),)

    @pytest.mark.parametrize("status", SubscriptionStatus)
    async def test_an_account_keeps_what_its_payments_say_beside_subscriptions(
        self, open_unit_of_work: OpenUnitOfWork, status: SubscriptionStatus
    ) -> None:
        """
        What it shows is another thing: both come back, and its card too.
        """
        report = a_report(status=status)
        subscription = a_subscription(report, owner=ADA, term=a_term())
        payment = a_payment(at=NOON - DAY, dispute=DisputeState.LOST)
        sighting = Sighting.of(payment, [subscription])
        account = attrs.evolve(
            an_account().with_card(CARD, ticket=2**62),
            checkpoint=Checkpoint(sighting),
            subscriptions=(subscription,),
        )
        await kept(open_unit_of_work, account)
        await kept_subscriptions(open_unit_of_work, subscription)

        expected = attrs.evolve(subscription, version=1)
        assert await read_account(open_unit_of_work) == attrs.evolve(
            account, subscriptions=(expected,), version=1
        )

    async def test_each_save_makes_its_version_one_greater(
        self, open_unit_of_work: OpenUnitOfWork
    ) -> None:
        """
        New is version 0 before and 1 after; each save adds one, and changes all.
        """
        await kept(open_unit_of_work, an_account())
        await kept_subscriptions(open_unit_of_work, BARE)
        await kept_subscriptions(open_unit_of_work, attrs.evolve(FULL, version=1))

        after = await read_subscription(open_unit_of_work)
        assert after == attrs.evolve(FULL, version=2)

    @pytest.mark.parametrize("version", [0, 1, 3])
    async def test_a_stale_subscription_is_refused_with_all_that_came_along(
        self, open_unit_of_work: OpenUnitOfWork, version: int
    ) -> None:
        """
        Saved since it was read, or there already: neither it nor the rest is kept.
        """
        await kept_subscriptions(open_unit_of_work, BARE)
        await kept_subscriptions(open_unit_of_work, attrs.evolve(BARE, version=1))

        stale = attrs.evolve(BARE, version=version, ticket=9)
        other = a_subscription(a_report(SUB_2))
        with pytest.raises(ChangedElsewhere):
            await kept_subscriptions(
                open_unit_of_work, other, stale, accounts=(an_account(),)
            )
        async with open_unit_of_work() as work:
            assert not await work.accounts(ADA_KEYS)
            (only,) = await work.subscriptions([SUB_1, SUB_2])
        assert (only.version, only.ticket) == (2, BARE.ticket)

    async def test_a_subscription_of_nobody_known_is_refused(
        self, open_unit_of_work: OpenUnitOfWork
    ) -> None:
        """
        It belongs to an account that is there, or to nobody.
        """
        with pytest.raises(ChangedElsewhere):
            await kept_subscriptions(open_unit_of_work, a_subscription(owner=ADA))

    async def test_without_commit_no_subscription_was_kept(
        self, open_unit_of_work: OpenUnitOfWork
    ) -> None:
        """
        Within the transaction it is there, after it not.
        """
        async with open_unit_of_work() as work:
            await work.keep(subscriptions=[BARE], at=NOON)
            assert await work.subscriptions([SUB_1])

        async with open_unit_of_work() as work:
            assert not await work.subscriptions([SUB_1])
