"""What every list of users promises: all who pass the filters, each once, in pages."""

import random
from collections.abc import Sequence
from datetime import timedelta
from itertools import product
from typing import Final

import attrs
import pytest

from contracts.erasures import an_erasure
from contracts.examples import (
    ADA,
    BOB,
    CUS_1,
    NOON,
    a_payment,
    a_record,
    a_report,
    a_subscription,
    an_account,
    email_of,
)
from contracts.full_values import ACCOUNTS, THEIR_SUBSCRIPTIONS
from contracts.stores import SAVED, Stores, moved
from payments_core.account import PaymentAccount
from payments_core.entitlement import PaymentEffect, PaymentStatus, PaymentSummary
from payments_core.identity import CustomerId, Email, UserId
from payments_core.payment import DisputeState, PaymentRecord, PaymentState
from payments_core.subscription import Subscription, SubscriptionStatus
from payments_core.user_list import UserFilter, UserPage, UserPlace

# Also parts of users who were erased, capitals, and one within another.
NAMES: Final = (
    *("ada", "Ada", "ada.b", "ada.b.c", "ADA", "b", "erase", "erased", "erasedx"),
    *("f", "z~", "0", "a", "aa", "ab", "|", "x:1", "x:2", "ad"),
)
PRODUCTS: Final = ("prod_1", "prod_2", "prod_3")
STATUSES: Final = (None, *PaymentStatus)
TEXTS: Final = (None, "a", "AD", "ada.b", "ä", "x:", "erased", "q", "b@")


def paid_as(status: str) -> PaymentSummary:
    """Return the result of a latest payment, by a word."""
    dispute = DisputeState.OPEN if status == "disputed" else DisputeState.NONE
    state = "succeeded" if status in {"paid", "disputed"} else status
    payment = a_payment(state=PaymentState(state), dispute=dispute)
    return PaymentSummary(PaymentEffect.of(payment))


def crowd(seed: int) -> tuple[Sequence[PaymentAccount], Sequence[Subscription]]:
    """Return users with various values, and all their subscriptions."""
    draw = random.Random(seed)  # noqa: S311  # the same users each time
    accounts, every = list[PaymentAccount](), list[Subscription]()
    for name in NAMES:
        # E-mails begin as ids of others do.
        local = f"{draw.choice(['', 'ä', 'ada', 'x:'])}{name}{len(accounts)}"
        own = [
            a_subscription(
                attrs.evolve(
                    a_report(
                        f"sub_{name}_{number}", draw.choice([*SubscriptionStatus])
                    ),
                    product=draw.choice(PRODUCTS),
                ),
                owner=name,
            )
            for number in range(draw.choice([0, 0, 1, 2, 3]))
        ]
        status = draw.choice(["none", "paid", "failed", "refunded", "disputed"])
        accounts.append(
            attrs.evolve(
                an_account(name),
                email=Email.of(f"{local}@x.org"),
                customer_id=draw.choice([None, CustomerId(f"cus_{name}")]),
                summary=paid_as(status) if status != "none" else PaymentSummary(),
                subscriptions=tuple(own),
            )
        )
        every += own
    return accounts, every


async def pages_of(
    stores: Stores, wanted: UserFilter, limit: int = 100
) -> list[UserPage]:
    """Return a whole list, page by page."""
    pages, after = list[UserPage](), None
    while True:
        page = await stores.user_list.page(wanted, limit=limit, after=after)
        assert len(page.accounts) <= limit
        pages.append(page)
        after = page.after
        if after is None:
            return pages


async def listed(
    stores: Stores, wanted: UserFilter, limit: int = 100
) -> list[PaymentAccount]:
    pages = await pages_of(stores, wanted, limit)
    return [it for page in pages for it in page.accounts]


async def names(stores: Stores, **wanted: object) -> list[str]:
    return [it.user_id for it in await listed(stores, UserFilter(**wanted))]  # type: ignore[arg-type]  # each by name


def begins(account: PaymentAccount, text: str) -> bool:
    begun = account.email.key.startswith(text.lower())
    return account.user_id.startswith(text) or begun


class UserListContract:
    async def test_nobody_is_in_an_empty_list(self, stores: Stores) -> None:
        """
        That is no error, whatever the filters.
        """
        for wanted in (UserFilter(), UserFilter(text="a", product="prod_1")):
            page = await stores.user_list.page(wanted)
            assert (list(page.accounts), page.after) == ([], None)

    async def test_an_account_is_listed_as_it_was_saved(self, stores: Stores) -> None:
        """
        All of it, with its subscriptions; in the byte order of the ids.
        """
        await stores.keep(*ACCOUNTS.values(), subscriptions=THEIR_SUBSCRIPTIONS)

        found = await listed(stores, UserFilter())

        assert found == [
            await stores.account(name)
            for name in sorted(it.user_id for it in ACCOUNTS.values())
        ]

    @pytest.mark.parametrize("seed", range(3))
    async def test_filters_agree_with_a_plain_filter_over_all(
        self, stores: Stores, seed: int
    ) -> None:
        """
        Combined with each other too; the pages together are the whole list, nobody
        twice.
        """
        accounts, subscriptions = crowd(seed)
        await stores.keep(*accounts, subscriptions=subscriptions)

        for status, wanted, text in product(STATUSES, (None, *PRODUCTS), TEXTS):
            expected = {
                it.user_id
                for it in accounts
                if status in (None, it.payment_status)
                and (wanted is None or it.open_subscription(wanted))
                and (text is None or begins(it, text))
            }
            filter_ = UserFilter(status=status, product=wanted, text=text)
            found = await listed(stores, filter_, limit=3)
            assert sorted(it.user_id for it in found) == sorted(expected)
            places = [filter_.place_of(it) for it in found]
            assert places == sorted(places, key=lambda it: it.order if it else ())

    @pytest.mark.parametrize("limit", [1, 2, len(NAMES) - 1, len(NAMES)])
    async def test_a_list_ends_with_its_last_user(
        self, stores: Stores, limit: int
    ) -> None:
        """
        A full page that is also the last says that it is the last.
        """
        accounts, _ = crowd(0)
        await stores.keep(*accounts)
        pages = await pages_of(stores, UserFilter(), limit)

        assert [len(it.accounts) for it in pages[:-1]] == [limit] * (len(pages) - 1)
        assert len(pages) == -(-len(NAMES) // limit)

    async def test_a_customer_and_an_email_find_one_user(self, stores: Stores) -> None:
        """
        Whatever the spelling of the e-mail; with other filters only if these match.
        """
        await stores.keep(an_account(ADA, customer=CUS_1), an_account(BOB))

        assert await names(stores, customer_id=CUS_1) == [ADA]
        assert await names(stores, customer_id=CustomerId("cus_9")) == []
        loud = Email.of("BOB@EXÄMPLE.ORG")
        assert await names(stores, email=loud) == [BOB]
        assert await names(stores, email=email_of("nobody")) == []
        for status, found in ((PaymentStatus.NONE, [BOB]), (PaymentStatus.PAID, [])):
            assert await names(stores, email=loud, status=status) == found
        assert await names(stores, email=loud, customer_id=CUS_1) == []
        assert await names(stores, email=loud, text="bob@") == [BOB]
        one = await stores.user_list.page(
            UserFilter(customer_id=CUS_1), after=UserPlace(ADA, ADA)
        )
        assert list(one.accounts) == []

    async def test_a_page_goes_on_behind_its_place(self, stores: Stores) -> None:
        """
        Also if that user is gone or has another e-mail, or other users came.
        """
        await stores.keep(*(an_account(it) for it in ("a1", "a3", "a4")))
        first = await stores.user_list.page(limit=1)
        await stores.keep(an_account("a0"), an_account("a2"))

        rest = await stores.user_list.page(limit=9, after=first.after)

        assert [it.user_id for it in rest.accounts] == ["a2", "a3", "a4"]

    async def test_a_status_is_the_one_that_was_saved_last(
        self, stores: Stores
    ) -> None:
        """
        A renewal that fails moves a user to another list.
        """
        await stores.keep(attrs.evolve(an_account(), summary=paid_as("paid")))
        ada = await stores.account(ADA)
        assert await names(stores, status=PaymentStatus.PAID) == [ADA]
        failed = moved(ada, ada.with_summary(paid_as("failed")))
        assert await stores.save(failed) == [SAVED]

        assert await names(stores, status=PaymentStatus.PAID) == []
        assert await names(stores, status=PaymentStatus.FAILED) == [ADA]

    async def test_who_was_erased_is_in_no_list(self, stores: Stores) -> None:
        """
        The pseudonym is not listed either, by any key.
        """
        paid = attrs.evolve(an_account(ADA, customer=CUS_1), summary=paid_as("paid"))
        await stores.keep(paid, an_account(BOB))
        erasure = an_erasure()
        assert await stores.erasures.begin(await stores.account(ADA), erasure)
        gone = UserId(erasure.pseudonym)
        left = (await stores.account(gone)).email

        assert await names(stores) == [BOB]
        for text in ("ada", "erased/", "erased", left.key):
            assert await names(stores, text=text) == []
        assert await names(stores, status=PaymentStatus.PAID) == []
        assert await names(stores, customer_id=CUS_1) == []
        assert await names(stores, email=email_of(ADA)) == []
        assert await names(stores, email=left) == []


def a_linked(id_: str, owner: str | None) -> PaymentRecord:
    return a_record(a_payment(id_), owner=owner)


class PaymentPagesContract:
    async def test_nobody_has_paid_in_an_empty_store(self, stores: Stores) -> None:
        """
        A user without payments, or an unknown user, has an empty list.
        """
        page = await stores.payments.page(ADA)
        assert (list(page.payments), page.after) == ([], None)

    @pytest.mark.parametrize("limit", [1, 2, 3, 100])
    async def test_pages_of_payments_are_the_whole_list(
        self, stores: Stores, limit: int
    ) -> None:
        """
        The newest first; payments whose time is unknown come before them; payments of
        one time by their ids. Those of another user, or without one, are left out.
        """
        seconds = (5, 3, None, 5, 5, 4, None, 3, 1)
        records = [
            attrs.evolve(
                a_linked(f"ch_{number}", ADA),
                payment=attrs.evolve(
                    a_payment(f"ch_{number}"),
                    created_at=None if at is None else NOON + timedelta(seconds=at),
                ),
            )
            for number, at in enumerate(seconds)
        ]
        others = [a_linked("ch_bob", BOB), a_linked("ch_nobody", None)]
        await stores.keep(an_account(), an_account(BOB), payments=[*records, *others])

        found, after = list[str](), None
        while True:
            page = await stores.payments.page(ADA, limit=limit, after=after)
            found += [it.payment.id for it in page.payments]
            after = page.after
            if after is None:
                break

        order = [6, 2, 4, 3, 0, 5, 7, 1, 8]
        assert found == [f"ch_{number}" for number in order]

    async def test_a_payment_is_listed_as_it_was_saved(self, stores: Stores) -> None:
        """
        All of it.
        """
        await stores.keep(an_account(), payments=[a_linked("ch_1", ADA)])
        (record,) = (await stores.payments.page(ADA)).payments
        assert record == await stores.payment("ch_1")
