"""What every store of timelines promises: all that happened, the newest first."""

import random
from collections.abc import Sequence
from datetime import timedelta
from typing import Final

import attrs
import pytest

from contracts.erasures import GONE, an_erasure
from contracts.examples import (
    ADA,
    APPLIED,
    BOB,
    CH_1,
    NOON,
    SUB_1,
    a_job,
    a_payment,
    a_record,
    a_report,
    a_subscription,
    an_account,
    an_event,
    key_of,
)
from contracts.ledger_jobs import WAITING, asked, claimed
from contracts.stores import SAVED, Stores, beside, moved, opened
from contracts.user_lists import a_linked, paid_as
from payments_core.by_hand import ActionByHand, ByHand, ChangeByHand, LoggedChange
from payments_core.changes import Changes, JobFinish
from payments_core.entitlement import PaymentStatus
from payments_core.events import EventState, GatewayEvent, Outcome
from payments_core.identity import UserId
from payments_core.kept_events import KeptEvent
from payments_core.subscription import SubscriptionStatus
from payments_core.timeline import (
    StatusChange,
    TimelineItem,
    TimelinePlace,
    place_of,
)

ALL: Final = 1_000


def retried(user: str) -> ChangeByHand:
    return ChangeByHand(
        action=ActionByHand.RETRY_JOB,
        subject="payment:ch_1",
        user_id=UserId(user),
        decided=ByHand(by="operator", reason="漢字"),
    )


def about(id_: str, object_id: str, type_: str = "charge.succeeded") -> GatewayEvent:
    return attrs.evolve(an_event(id_, type_=type_), object_id=object_id)


async def timeline(
    stores: Stores, user: str = ADA, limit: int = ALL
) -> list[TimelineItem]:
    """Return a whole timeline, page by page."""
    items, before = list[TimelineItem](), None
    while True:
        page = await stores.timelines.newest(UserId(user), limit=limit, before=before)
        items += page
        if len(page) < limit:
            return items
        before = place_of(page[-1])


async def places(stores: Stores, user: str = ADA) -> list[TimelinePlace]:
    return [place_of(it) for it in await timeline(stores, user)]


async def events(stores: Stores, user: str = ADA) -> list[str]:
    found = await timeline(stores, user)
    return [it.key.id for it in found if isinstance(it, KeptEvent)]


async def much_happened(stores: Stores, seed: int, saves: int = 12) -> int:
    """Save random things of two users, many at one time; return how many are ADA's.

    A new account has a change of the status logged, too.
    """
    draw = random.Random(seed)  # noqa: S311  # the same things each time
    await stores.keep(an_account(ADA), an_account(BOB))
    count = 1
    for number in range(saves):
        user = draw.choice([ADA, ADA, BOB])
        account = await stores.account(user)
        status = draw.choice(["paid", "failed", "refunded"])
        after = attrs.evolve(account, summary=paid_as(status))
        names = [f"{number}_{it}" for it in range(draw.choice([0, 1, 3]))]
        at = NOON + timedelta(seconds=draw.choice([0, 1, 2]))
        group = moved(
            account,
            after,
            events=[
                (about(f"evt_{it}", "in_1", draw.choice(["a.b", "b c"])), APPLIED)
                for it in names
            ],
            payments=tuple(
                a_record(a_payment(f"ch_{it}", at=at), owner=user) for it in names
            ),
            by_hand=[retried(user)] * draw.choice([0, 1, 2]),
            cause="by chance",
        )
        assert await stores.save(group, seconds=draw.choice([0, 1, 2])) == [SAVED]
        if user == ADA:
            count += (
                2 * len(names) + len(group.by_hand) + (group.logged(NOON) is not None)
            )
    return count


class TimelinesContract:
    async def test_nothing_happened_to_nobody(self, stores: Stores) -> None:
        """
        An unknown user has an empty timeline; that is no error.
        """
        assert await timeline(stores) == []

    async def test_each_thing_comes_back_as_it_was_saved(self, stores: Stores) -> None:
        """
        One of each kind, all at one time, in the descending order of the kinds.
        """
        event = attrs.evolve(an_event("evt_ü", a_payment()), api_version="2020-08-27")
        outcome = Outcome(EventState.IGNORED, "weil: 漢字")
        account = attrs.evolve(an_account(), summary=paid_as("paid"))
        group = opened(
            account,
            events=((event, outcome),),
            payments=(a_record(owner=ADA),),
            by_hand=(retried(ADA),),
            sources=("evt_ü", "evt_2"),
        )
        assert await stores.save(group) == [SAVED]

        status, payment, received, done = await timeline(stores)

        assert status == StatusChange(
            version=1,
            at=NOON,
            payment_status=PaymentStatus.PAID,
            payment_expire_date=account.payment_expire_date,
            cause="user registered",
            sources=("evt_ü", "evt_2"),
        )
        assert payment == await stores.payment(CH_1)
        assert received == KeptEvent(
            key=event.key,
            outcome=outcome,
            created_at=event.created_at,
            received_at=NOON,
            object_id=CH_1,
            livemode=False,
            user_id=ADA,
        )
        assert isinstance(done, LoggedChange)
        assert (done.at, done.change) == (NOON, retried(ADA))

    @pytest.mark.parametrize("limit", [1, 2, 7])
    @pytest.mark.parametrize("seed", range(2))
    async def test_pages_of_a_timeline_are_the_whole(
        self, stores: Stores, seed: int, limit: int
    ) -> None:
        """
        In its order, each thing once, whatever kinds share a time.
        """
        count = await much_happened(stores, seed)
        whole = await timeline(stores)
        order = [place_of(it).order for it in whole]

        assert len(whole) == count
        assert order == sorted(set(order), reverse=True)
        assert await timeline(stores, limit=limit) == whole

    async def test_what_happens_meanwhile_moves_no_page(self, stores: Stores) -> None:
        """
        It is newer than everything returned so far: nothing is returned twice or left
        out.
        """
        await much_happened(stores, 3)
        whole = await timeline(stores)
        first = await stores.timelines.newest(ADA, limit=4)
        later = moved(
            ada := await stores.account(ADA),
            ada.with_summary(paid_as("disputed")),
            events=((about("evt_new", "in_1"), APPLIED),),
        )
        assert await stores.save(later, seconds=99) == [SAVED]

        rest = await stores.timelines.newest(ADA, limit=ALL, before=place_of(first[-1]))

        assert [*first, *rest] == whole

    async def test_a_payment_is_in_it_once_its_time_is_known(
        self, stores: Stores
    ) -> None:
        """
        A dispute may be received before its charge.
        """
        untimed = attrs.evolve(a_payment(), created_at=None)
        await stores.keep(an_account(), payments=[a_record(untimed, owner=ADA)])
        assert [it.kind for it in await places(stores)] == ["status"]
        record = attrs.evolve(await stores.payment(CH_1), payment=a_payment())
        ada = await stores.account(ADA)
        assert await stores.save(beside(ada, payments=(record,))) == [SAVED]
        assert [it.kind for it in await places(stores)] == ["status", "payment"]

    async def test_an_event_is_of_the_account_that_it_is_recorded_with(
        self, stores: Stores
    ) -> None:
        """
        At once, or once it is settled; an event without an effect is in no timeline.
        """
        await stores.keep(an_account(), an_account(BOB))
        ada = await stores.account(ADA)
        pending = Outcome(EventState.PENDING, "later")
        nobodys = Changes(
            key="no user's",
            events=tuple((an_event(f"evt_{it}"), pending) for it in (2, 3)),
        )
        assert await stores.save(nobodys) == [SAVED]
        assert await events(stores) == []
        group = beside(
            ada,
            events=((an_event("evt_1"), APPLIED),),
            resolved=((key_of("evt_2"), APPLIED),),
        )
        assert await stores.save(group) == [SAVED]

        assert await events(stores) == ["evt_2", "evt_1"]
        assert await events(stores, BOB) == []

    async def test_an_event_that_waited_is_of_the_account_that_its_job_is_about(
        self, stores: Stores
    ) -> None:
        """
        Whether or not the event itself names the account.
        """
        await stores.keep(an_account(), events=[(an_event("evt_1"), WAITING)])
        await asked(stores, a_job())
        job = await claimed(stores)
        finish = JobFinish(job, job.finished(), APPLIED, NOON)
        ada = await stores.account(ADA)
        assert await stores.save(beside(ada, finished=(finish,))) == [SAVED]

        assert await events(stores) == ["evt_1"]

    @pytest.mark.parametrize("thing", [CH_1, SUB_1])
    async def test_events_move_with_what_they_are_about(
        self, stores: Stores, thing: str
    ) -> None:
        """
        To a user who appears later; to no user if it is unlinked by hand, and on to
        another.
        """
        await stores.keep(
            an_account(),
            an_account(BOB),
            payments=[a_linked(CH_1, None)],
            subscriptions=[a_subscription()],
            events=[(about("evt_1", thing), APPLIED), (about("evt_2", "x"), APPLIED)],
        )
        assert await events(stores) == await events(stores, BOB) == []

        for owner, holder in ((ADA, ADA), (None, ADA), (BOB, BOB)):
            account = await stores.account(holder)
            payment = await stores.payment(CH_1)
            subscription = await stores.subscription(SUB_1)
            group = beside(
                account,
                payments=(attrs.evolve(payment, user_id=owner),),
                subscriptions=(attrs.evolve(subscription, user_id=owner),),
            )
            assert await stores.save(group) == [SAVED]
            for user in (ADA, BOB):
                expected = ["evt_1"] if user == owner else []
                assert await events(stores, user) == expected

    async def test_a_group_that_is_not_saved_moves_no_event(
        self, stores: Stores
    ) -> None:
        """
        Though its neighbours are saved.
        """
        await stores.keep(
            an_account(),
            an_account(BOB),
            payments=[a_linked(CH_1, None), a_linked("ch_bob", None)],
            events=[
                (about("evt_1", CH_1), APPLIED),
                (about("evt_2", "ch_bob"), APPLIED),
            ],
        )
        ada, bob = [await stores.account(it) for it in (ADA, BOB)]
        stale = attrs.evolve(ada, version=7)
        groups = [
            beside(
                account,
                payments=(attrs.evolve(await stores.payment(id_), user_id=owner),),
            )
            for account, id_, owner in ((stale, CH_1, ADA), (bob, "ch_bob", BOB))
        ]
        assert (await stores.save(*groups))[1] == SAVED

        assert await events(stores) == []
        assert await events(stores, BOB) == ["evt_2"]

    async def test_of_who_was_erased_no_event_is_left(self, stores: Stores) -> None:
        """
        Neither the user's nor the pseudonym's; money and the changes of its status
        stay.
        """
        over = a_report(SUB_1, SubscriptionStatus.CANCELED, ended_at=NOON)
        group = opened(
            an_account(),
            payments=(a_record(owner=ADA),),
            subscriptions=(a_subscription(over, owner=ADA),),
            events=((about("evt_1", "re_1"), APPLIED), (an_event("evt_2"), APPLIED)),
        )
        assert await stores.save(group) == [SAVED]
        assert await stores.erasures.begin(await stores.account(ADA), an_erasure())

        assert await timeline(stores) == []
        kinds: Sequence[str] = [it.kind.value for it in await places(stores, GONE)]
        assert sorted(kinds) == ["by_hand", "payment", "status"]
        await stores.erasures.finish(GONE)
        assert await events(stores, GONE) == []
