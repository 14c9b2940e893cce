"""What every audit log promises: all that was done by hand, the latest first."""

from datetime import timedelta
from typing import Final

from contracts.examples import ADA, NOON
from contracts.stores import SAVED, Stores
from payments_core.by_hand import ActionByHand, ByHand, ChangeByHand
from payments_core.changes import Changes
from payments_core.identity import UserId

REPLAYED: Final = ChangeByHand(
    action=ActionByHand.REPLAY_EVENT,
    subject="evt_ü",
    event_type="charge.succeeded",
    decided=ByHand(by="operator", reason=""),
)
RETRIED: Final = ChangeByHand(
    action=ActionByHand.RETRY_JOB,
    subject="payment:ch_1",
    user_id=UserId(ADA),
    decided=ByHand(by="operator", reason="漢字"),
)


async def logged(stores: Stores, *changes: ChangeByHand, seconds: int = 0) -> None:
    group = Changes(key="by hand", by_hand=changes)
    assert await stores.save(group, seconds=seconds) == [SAVED]


class AuditLogContract:
    async def test_an_empty_log_has_no_change(self, stores: Stores) -> None:
        """
        Nothing was done, so nothing is returned; that is no error.
        """
        page = await stores.audit.page()
        assert (list(page.changes), page.after) == ([], None)

    async def test_a_change_comes_back_as_it_was_saved(self, stores: Stores) -> None:
        """
        Every field, also of a change that concerns no user.
        """
        await logged(stores, REPLAYED, RETRIED, seconds=5)

        found = (await stores.audit.page()).changes

        assert [it.change for it in found] == [RETRIED, REPLAYED]
        assert {it.at for it in found} == {NOON + timedelta(seconds=5)}

    async def test_a_log_goes_on_where_its_page_ended(self, stores: Stores) -> None:
        """
        The latest change comes first. Each change comes once; of those at one time, the
        last saved comes first.
        """
        for number in range(5):
            await logged(stores, RETRIED, REPLAYED, seconds=number // 2)

        found, after = [], None
        for left in range(4, -1, -1):
            page = await stores.audit.page(limit=2, after=after)
            found += [(it.at, it.change.action) for it in page.changes]
            after = page.after
            assert (after is None) is (left == 0)

        moments = [NOON + timedelta(seconds=it // 2) for it in range(4, -1, -1)]
        assert found == [
            (at, action)
            for at in moments
            for action in (ActionByHand.REPLAY_EVENT, ActionByHand.RETRY_JOB)
        ]

    async def test_a_log_is_told_of_one_thing_or_user_or_act_or_time(
        self, stores: Stores
    ) -> None:
        """
        Each filter works alone and with all the others; `since` includes its own
        second.
        """
        await logged(stores, REPLAYED, RETRIED)
        await logged(stores, REPLAYED, seconds=2)
        second, act = NOON + timedelta(seconds=2), ActionByHand.REPLAY_EVENT
        subject = REPLAYED.subject

        assert len((await stores.audit.page(subject=subject)).changes) == 2
        assert len((await stores.audit.page(action=act)).changes) == 2
        of_ada = await stores.audit.page(user_id=UserId(ADA))
        assert [it.change for it in of_ada.changes] == [RETRIED]
        assert not (await stores.audit.page(user_id=UserId("bob"))).changes
        assert len((await stores.audit.page(since=second)).changes) == 1
        one = await stores.audit.page(subject=subject, action=act, since=second)
        assert [it.change for it in one.changes] == [REPLAYED]
        later = second + timedelta(seconds=1)
        assert not (await stores.audit.page(since=later)).changes
