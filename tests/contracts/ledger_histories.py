"""What a ledger promises of histories: long ones in sums, as the core defines them."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Final

import attrs
import pytest

from contracts.examples import (
    ADA,
    BOB,
    CH_1,
    CUS_1,
    CUS_2,
    a_payment,
    a_record,
    a_report,
    a_subscription,
    a_term,
    an_account,
)
from contracts.stores import SAVED, Stores, moved, opened
from payments_core.changes import Changes, Lookup, Snapshot
from payments_core.identity import CustomerId, UserId
from payments_core.payment import (
    DisputeState,
    Payment,
    PaymentId,
    PaymentRecord,
    PaymentState,
)
from payments_core.payment_buckets import PaymentBucket
from payments_core.plain_payments import (
    WHOLE_HISTORY_MAX,
    PlainPayments,
    in_buckets,
)
from payments_core.subscription import PaidPeriod, Subscription, SubscriptionStatus

S: Final = SubscriptionStatus
DAY: Final = timedelta(days=1)
# The beginning of a bucket: a second before it is another bucket.
EDGE: Final = datetime(2026, 1, 5, tzinfo=UTC)
SECOND: Final = timedelta(seconds=1)
# Before, at and after the edges of buckets and of lives.
MOMENTS: Final = (
    EDGE - SECOND,
    EDGE - timedelta(microseconds=1),
    EDGE,
    EDGE + SECOND,
    EDGE + 10 * DAY - SECOND,
    EDGE + 10 * DAY,
    EDGE + 10 * DAY + SECOND,
    EDGE + 28 * DAY - SECOND,
    EDGE + 28 * DAY,
)
KEPT: Final = (PaymentState.SUCCEEDED, PaymentState.PARTIALLY_REFUNDED)


def every_kind() -> Sequence[Payment]:
    """Return payments that differ in all that decides whether they are summed."""
    made = [
        a_payment(state=state, dispute=dispute, at=EDGE, customer=CUS_1)
        for state, dispute in product(PaymentState, DisputeState)
    ]
    made += [
        attrs.evolve(
            a_payment(state=state, at=moment, customer=CUS_1),
            invoice_id=invoice,
            subscription_id=subscription,
            invoice_known=known,
        )
        for state, (moment, invoice), subscription, known in product(
            KEPT,
            [
                *product(MOMENTS, [None, "in_known"]),
                *product([EDGE], ["in_bare", "in_both", "in_other"]),
            ],
            [None, "sub_1"],
            [True, False],
        )
    ]
    made += [
        attrs.evolve(a_payment(at=moment, customer=customer), invoice_known=known)
        for moment, customer, known in product(
            MOMENTS, [CUS_1, CUS_2, None], [True, False]
        )
    ]
    made.append(attrs.evolve(a_payment(), created_at=None))
    return made


def a_life(
    id_: str,
    begins: timedelta,
    ends: timedelta | None = None,
    status: SubscriptionStatus = S.ACTIVE,
    customer: CustomerId = CUS_1,
) -> Subscription:
    at, ended_at = EDGE + begins, None if ends is None else EDGE + ends
    return a_subscription(
        a_report(id_, status, at=at, ended_at=ended_at, customer=customer)
    )


LIVES: Final[Mapping[str, Sequence[Subscription]]] = {
    "none": (),
    "open": (a_life("sub_1", 0 * DAY),),
    "over": (a_life("sub_1", 0 * DAY, 10 * DAY, S.CANCELED),),
    "never": (a_life("sub_1", 0 * DAY, 10 * DAY, S.INCOMPLETE_EXPIRED),),
    "backwards": (a_life("sub_1", 10 * DAY, 0 * DAY, S.CANCELED),),
    "two": (
        a_life("sub_1", -DAY, 0 * DAY, S.CANCELED),
        a_life("sub_2", 10 * DAY + SECOND),
    ),
    "of another customer": (a_life("sub_1", 0 * DAY, customer=CUS_2),),
    "of two customers": (
        a_life("sub_1", -DAY, 10 * DAY, S.CANCELED),
        a_life("sub_2", 0 * DAY, 10 * DAY, S.CANCELED, CUS_2),
        a_life("sub_3", 11 * DAY, customer=CUS_2),
    ),
}
# Whose money is returned, of any: more of the others are fetched then.
RETURNS: Final[Mapping[str, Callable[[Payment], bool]]] = {
    "none": lambda _: False,
    "refunded": lambda it: it.dispute is not DisputeState.LOST,
    "lost": lambda it: it.state is not PaymentState.REFUNDED,
}
# Of each subscription: an amount is known, is unknown, or is not of both.
TERMS: Final = (("in_known", 1_000), ("in_bare", None))


def terms_of(lives: Sequence[Subscription]) -> Sequence[PaidPeriod]:
    found = [
        a_term(it.gateway_id, invoice=invoice, amount_minor=amount)
        for it in lives
        for invoice, amount in TERMS
    ]
    found += [
        a_term(it.gateway_id, invoice="in_both", amount_minor=amount)
        for it, amount in zip(lives, [0, None], strict=False)
    ]
    return found


async def filled(
    stores: Stores,
    user: UserId,
    lives: Sequence[Subscription] = (),
    returns: str = "lost",
) -> tuple[Sequence[PaymentRecord], PlainPayments]:
    """Save an account with payments of every kind; return them, and which are plain."""
    records = [
        a_record(attrs.evolve(it, id=PaymentId(f"ch_{user}_{number:03}")), owner=user)
        for number, it in enumerate(every_kind())
        if not it.money_returned or RETURNS[returns](it)
    ]
    own = [
        attrs.evolve(
            it,
            user_id=user,
            report=attrs.evolve(it.report, gateway_id=f"{it.gateway_id}_{user}"),
        )
        for it in lives
    ]
    periods = terms_of(own)
    group = opened(
        an_account(user),
        payments=tuple(records),
        subscriptions=tuple(own),
        periods=tuple(periods),
    )
    assert await stores.save(group) == [SAVED]
    kept = [attrs.evolve(it, version=1) for it in records]
    return kept, PlainPayments.of(own, periods, (it.payment for it in records))


def in_order(found: Snapshot) -> tuple[object, object]:
    return (
        sorted(found.histories, key=lambda it: it.payment.id),
        sorted(found.buckets, key=lambda it: (it.user_id, it.until)),
    )


class LedgerHistoriesContract:
    @pytest.mark.parametrize("lives", LIVES)
    @pytest.mark.parametrize("returns", RETURNS)
    @pytest.mark.parametrize("names", [False, True])
    async def test_a_long_history_is_in_sums(
        self, stores: Stores, lives: str, returns: str, *, names: bool
    ) -> None:
        """
        Exactly the sums, and exactly the payments beside them, that the core makes of
        them: whatever lives overlap, and whatever the lookup names.
        """
        records, plain = await filled(stores, ADA, LIVES[lives], returns)
        assert len(records) > WHOLE_HISTORY_MAX
        ids = [it.payment.id for it in records]
        named = frozenset(ids[::7] if names else ())

        found = await stores.load(payments=named, histories=frozenset({ADA}))
        expected = in_buckets(records, plain, user_id=ADA, named=named)
        assert in_order(found) == (list(expected[0]), list(expected[1]))
        assert found.buckets
        assert len(found.histories) < len(records)

    async def test_each_account_has_its_own_sums(self, stores: Stores) -> None:
        """
        Its own lives and its own periods decide; if the whole history of a user is
        requested, nothing is summed.
        """
        wanted = {
            "ada": ("none", "lost"),
            "bob": ("open", "none"),
            "eve": ("over", "refunded"),
            "zoe": ("none", "none"),
        }
        records, buckets = list[PaymentRecord](), list[object]()
        for user, (lives, returns) in wanted.items():
            all_of_it, plain = await filled(stores, UserId(user), LIVES[lives], returns)
            if user == "zoe":
                records += all_of_it
                continue
            one = in_buckets(all_of_it, plain, user_id=UserId(user), named=frozenset())
            records += one[0]
            buckets += one[1]

        found = await stores.load(
            histories=frozenset(map(UserId, wanted)),
            whole_histories=frozenset({UserId("zoe")}),
        )
        assert in_order(found) == (records, buckets)
        assert {it.gateway_id for it in found.periods} == {"sub_1_bob", "sub_1_eve"}

    async def test_the_latest_may_be_one_that_may_have_paid(
        self, stores: Stores
    ) -> None:
        """
        It is returned as it is; the others are one sum, of unknown invoices.
        """
        records = [
            a_record(
                a_payment(f"ch_{number:03}", at=EDGE + number * SECOND, customer=CUS_1),
                owner=ADA,
            )
            for number in range(WHOLE_HISTORY_MAX + 1)
        ]
        life = a_subscription(a_report(at=EDGE), owner=ADA)
        await stores.keep(an_account(), payments=records, subscriptions=[life])

        found = await stores.load(histories=frozenset({ADA}))
        assert [it.payment for it in found.histories] == [records[-1].payment]
        assert found.buckets == [
            PaymentBucket(
                user_id=ADA,
                months=0,
                first_at=None,
                until=EDGE + (WHOLE_HISTORY_MAX - 1) * SECOND,
                some_unknown=True,
            )
        ]

    async def test_a_short_history_is_whole(self, stores: Stores) -> None:
        """
        Up to a number of payments of all the accounts together; with one more, it is
        not.
        """
        first, last = WHOLE_HISTORY_MAX // 2, WHOLE_HISTORY_MAX
        records = [
            a_record(
                a_payment(f"ch_{number:03}", at=EDGE + number * SECOND),
                owner=ADA if number < first else BOB,
            )
            for number in range(last + 1)
        ]
        await stores.keep(an_account(), an_account(BOB), payments=records[:-1])
        both = frozenset({ADA, BOB})
        short = await stores.load(histories=both)
        bob = await stores.account(BOB)
        assert await stores.save(moved(bob, bob, payments=(records[-1],))) == [SAVED]
        long = await stores.load(histories=both)

        assert in_order(short) == (
            [attrs.evolve(it, version=1) for it in records[:-1]],
            [],
        )
        assert {it.payment.id for it in long.histories} == {
            records[first - 1].payment.id,
            records[-1].payment.id,
        }
        assert {(it.user_id, it.months) for it in long.buckets} == {
            (ADA, first - 1),
            (BOB, last - first),
        }

    async def test_a_history_comes_with_all_that_is_looked_for_beside_it(
        self, stores: Stores
    ) -> None:
        """
        Nothing else that the lookup names is left out, or found twice.
        """
        lives = LIVES["open"]
        await filled(stores, ADA, lives)
        await stores.keep(an_account(BOB), payments=[a_record(owner=BOB)])
        nobodys = Changes(
            key="subscription sub_9",
            subscriptions=(a_subscription(a_report("sub_9")),),
            periods=(a_term("sub_9", invoice="in_9"),),
        )
        assert await stores.save(nobodys) == [SAVED]
        found = await stores.ledger.load(
            Lookup(
                payments=frozenset({CH_1}),
                subscriptions=frozenset({"sub_9"}),
                histories=frozenset({ADA}),
                periods_of=frozenset({"sub_1_ada", "sub_9"}),
            )
        )

        assert [it.payment.id for it in found.payments] == [CH_1]
        assert [it.gateway_id for it in found.subscriptions] == ["sub_9"]
        assert [it.user_id for it in found.accounts] == [BOB]
        invoices = ["in_9", *(it.invoice_id for it in terms_of(lives))]
        assert sorted(it.invoice_id for it in found.periods) == sorted(invoices)
