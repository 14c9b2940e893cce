"""What a ledger, a queue and a directory promise of what was decided by hand."""

from typing import Final

import attrs
import pytest

from contracts.examples import (
    ADA,
    CH_1,
    CUS_1,
    CUS_2,
    NOON,
    a_payment,
    a_record,
    a_report,
    a_subscription,
    an_account,
    an_event,
    email_of,
    key_of,
)
from contracts.stores import SAVED, Stores, moved, users
from payments_core.by_hand import ActionByHand, ByHand, ChangeByHand, LoggedChange
from payments_core.changes import Changes, SaveResult
from payments_core.events import EventState, Outcome
from payments_core.identity import UserId
from payments_core.linking import LinkKeys
from payments_core.payment import PaymentId
from payments_core.subscription import SubscriptionReport

DECIDED: Final = ByHand(by="root", reason="seen 漢字")


def a_change(action: ActionByHand, subject: str = CH_1) -> ChangeByHand:
    return ChangeByHand(
        action=action,
        subject=subject,
        user_id=UserId(ADA),
        instead_of=CUS_1,
        decided=DECIDED,
    )


class LinksByHandContract:
    async def test_what_is_decided_by_hand_is_kept_in_its_order(
        self, stores: Stores
    ) -> None:
        """
        Every decision, also repeated ones; those on another payment are not returned.
        """
        await stores.keep(an_account())
        link = a_change(ActionByHand.LINK_PAYMENT)
        unlink = a_change(ActionByHand.UNLINK_PAYMENT)
        others = (
            a_change(ActionByHand.LINK_PAYMENT, "ch_other"),
            a_change(ActionByHand.BIND_CUSTOMER, CUS_1),
        )
        for seconds, decided in enumerate([(link,), (unlink, *others), (link,)]):
            ada = await stores.account(ADA)
            group = attrs.evolve(moved(ada, ada), by_hand=decided)
            assert await stores.save(group, seconds=seconds) == [SAVED]

        page = await stores.audit.page(subject=CH_1)
        kept = page.changes[::-1]

        assert [it.change for it in kept] == [link, unlink, link]
        assert kept[0] == LoggedChange(at=NOON, number=0, change=link)
        assert page.after is None
        assert not (await stores.audit.page(subject="ch_9")).changes

    async def test_a_payment_is_found_as_it_was_saved(self, stores: Stores) -> None:
        """
        With how it was linked; None if it does not exist.
        """
        record = a_record(owner=ADA)
        record = attrs.evolve(record, linked_by_hand=True)
        await stores.keep(an_account(), payments=[record])

        found = await stores.payments.find(record.payment.id)
        assert found == attrs.evolve(record, version=1)
        assert await stores.payments.find(PaymentId("ch_9")) is None

    @pytest.mark.parametrize("by_hand", [True, False])
    async def test_what_was_unlinked_by_hand_is_offered_to_nobody(
        self, stores: Stores, *, by_hand: bool
    ) -> None:
        """
        Whichever of their keys it carries.
        """
        records = [
            attrs.evolve(a_record(payment), linked_by_hand=by_hand)
            for payment in (
                a_payment(CH_1, email=email_of(ADA)),
                a_payment("ch_2", customer=CUS_1),
                a_payment("ch_3", user=ADA),
            )
        ]
        await stores.keep(an_account(customer=CUS_1), payments=records)
        sold = [
            attrs.evolve(a_subscription(report), linked_by_hand=by_hand)
            for report in (
                a_report("sub_1", user=ADA, customer=CUS_2),
                a_report("sub_2", customer=CUS_1),
            )
        ]
        await stores.keep(subscriptions=sold)
        keys = users(ADA) | LinkKeys(
            frozenset(), frozenset({CUS_1}), frozenset({email_of(ADA).key})
        )

        unlinked = (await stores.load(unlinked=keys)).unlinked
        assert len(unlinked.payments) == (0 if by_hand else 3)
        assert len(unlinked.subscriptions) == (0 if by_hand else 2)
        assert bool(await stores.queue.linkable(limit=9)) is not by_hand

    @pytest.mark.parametrize("by_hand", [True, False])
    @pytest.mark.parametrize(
        "report",
        [a_report(user=ADA, customer=CUS_2), a_report(customer=CUS_1)],
        ids=["named", "customer"],
    )
    async def test_a_subscription_that_was_unlinked_by_hand_is_linkable_to_nobody(
        self, stores: Stores, report: SubscriptionReport, *, by_hand: bool
    ) -> None:
        """
        Neither by its metadata nor by its customer.
        """
        nobodys = attrs.evolve(a_subscription(report), linked_by_hand=by_hand)
        await stores.keep(an_account(customer=CUS_1), subscriptions=[nobodys])

        assert bool(await stores.queue.linkable(limit=9)) is not by_hand

    @pytest.mark.parametrize("ended", [EventState.APPLIED, EventState.CLOSED])
    async def test_what_was_applied_or_closed_is_settled_by_nothing_else(
        self, stores: Stores, ended: EventState
    ) -> None:
        """
        A writer that decided on it before must decide again: nothing of it is saved.
        """
        await stores.keep(events=[(an_event(), Outcome(EventState.QUARANTINED))])
        settled = Changes(key="it", resolved=((key_of("evt_1"), Outcome(ended)),))
        assert await stores.save(settled) == [SAVED]

        for state in (EventState.APPLIED, EventState.CLOSED, EventState.PENDING):
            late = Changes(key="it", resolved=((key_of("evt_1"), Outcome(state)),))
            assert await stores.save(late) == [SaveResult.CHANGED]

        (kept,) = await stores.events.find("evt_1")
        assert kept.outcome.state is ended
