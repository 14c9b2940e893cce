"""What every reader of gaps in the log promises."""

from typing import Final

import attrs

from contracts.examples import ADA, BOB, NOON, an_account
from contracts.stores import SAVED, Stores, moved
from payments_core.account_log import LogGap, LogGapPage
from payments_core.by_hand import ByHand
from payments_core.entitlement import PaymentSummary, PrepaidMonths
from payments_core.erasure import Erasure
from payments_core.identity import UserId

ALL: Final = 100
CID: Final = UserId("Cid")


class LogGapsContract:
    async def test_where_each_change_is_logged_there_is_no_gap(
        self, stores: Stores
    ) -> None:
        await stores.keep(an_account(), an_account(BOB))
        before = await stores.account(ADA)
        paid = attrs.evolve(
            before, summary=PaymentSummary(prepaid=PrepaidMonths(NOON, 1))
        )
        assert await stores.save(moved(before, paid, cause="paid")) == [SAVED]

        assert await stores.gaps.page(None, ALL) == LogGapPage([], None)

    async def test_an_account_of_which_the_log_says_nothing_is_a_gap(
        self, stores: Stores
    ) -> None:
        """
        An account whose last row differs is one too; each is returned with its present
        version.
        """
        await stores.keep(an_account(), an_account(BOB), an_account(CID))
        await stores.lose_log(ADA, 1)
        before = await stores.account(BOB)
        paid = attrs.evolve(
            before, summary=PaymentSummary(prepaid=PrepaidMonths(NOON, 1))
        )
        assert await stores.save(moved(before, paid, cause="paid")) == [SAVED]
        await stores.lose_log(BOB, 2)

        page = await stores.gaps.page(None, ALL)

        # In the order of their bytes.
        assert page == LogGapPage([LogGap(ADA, 1), LogGap(BOB, 2)], None)

    async def test_all_accounts_are_looked_at_in_pages(self, stores: Stores) -> None:
        """
        In the order of their bytes; a page without a gap is not the last one.
        """
        users = [UserId(it) for it in ("Z", "a", "b", "ß")]
        await stores.keep(*(an_account(it) for it in users))
        await stores.lose_log(users[3], 1)

        first = await stores.gaps.page(None, 2)
        second = await stores.gaps.page(first.after, 2)

        assert first == LogGapPage([], users[1])
        assert (list(second.gaps), second.after) == ([LogGap(users[3], 1)], users[3])
        assert await stores.gaps.page(second.after, 2) == LogGapPage([], None)

    async def test_one_who_was_erased_is_no_gap(self, stores: Stores) -> None:
        await stores.keep(an_account())
        await stores.lose_log(ADA, 1)
        erasure = Erasure(
            user_id=ADA,
            pseudonym=UserId("erased/1"),
            decided=ByHand(by="root", reason="asked"),
            at=NOON,
        )
        assert await stores.erasures.begin(await stores.account(ADA), erasure)

        assert await stores.gaps.page(None, ALL) == LogGapPage([], None)
