"""What every account history promises: what is stored about an account, and its log."""

from datetime import timedelta
from typing import Final

from contracts.examples import (
    ADA,
    APPLIED,
    BOB,
    CUS_1,
    NOON,
    a_job,
    a_payment,
    a_record,
    a_report,
    a_subscription,
    a_term,
    an_account,
    an_event,
    an_intent,
    email_of,
    of_invoice,
)
from contracts.stores import SAVED, Stores
from payments_core.account_facts import FACTS_MAX, AccountFacts
from payments_core.account_log import LoggedVerdict
from payments_core.by_hand import ActionByHand, ByHand, ChangeByHand
from payments_core.changes import Changes
from payments_core.entitlement import PaymentEffect, PaymentStatus, PaymentSummary
from payments_core.events import EventState, Outcome
from payments_core.identity import CustomerId
from payments_core.job_key import JobKind
from payments_core.payment import PaymentId
from payments_core.policy import Policy

DAY: Final = timedelta(days=1)
HELD: Final = Outcome(EventState.QUARANTINED, "it names another user")
BY_HAND: Final = ByHand(by="root", reason="seen")


async def facts_of(stores: Stores) -> AccountFacts:
    return await stores.history.facts(await stores.account(ADA))


class AccountHistoryContract:
    async def test_of_a_new_account_nothing_is_kept(self, stores: Stores) -> None:
        """
        What other accounts have is not returned.
        """
        await stores.keep(
            an_account(ADA),
            an_account(BOB, customer=CUS_1),
            payments=[a_record(a_payment("ch_1"), owner=BOB)],
            subscriptions=[a_subscription(a_report("sub_1"), owner=BOB)],
            intents=[an_intent(user=BOB)],
            jobs=[a_job("sub_1")],
            events=[(an_event("evt_1"), APPLIED)],
        )

        found = await facts_of(stores)
        assert found.account == await stores.account(ADA)
        assert list(found.objects()) == []
        assert [*found.jobs, *found.intents, *found.by_hand, *found.events] == []

    async def test_all_that_is_kept_of_an_account_is_found(
        self, stores: Stores
    ) -> None:
        """
        Payments, periods, subscriptions, operations, jobs, events, changes by hand.
        """
        paid = of_invoice(a_payment("ch_1", at=NOON))
        term = a_term("sub_1", invoice="in_1")
        job = a_job("sub_1")
        change = ChangeByHand(
            action=ActionByHand.LINK_PAYMENT,
            subject="ch_2",
            user_id=ADA,
            decided=BY_HAND,
        )
        await stores.keep(
            an_account(ADA, customer=CUS_1),
            payments=[
                a_record(paid, owner=ADA),
                a_record(a_payment("ch_2", at=NOON + DAY), owner=ADA),
            ],
            subscriptions=[a_subscription(a_report("sub_1"), owner=ADA, term=term)],
            intents=[an_intent(user=ADA)],
            jobs=[job, a_job("sub_9"), a_job("ch_2", JobKind.PAYMENT)],
            events=[
                (an_event("evt_1", a_payment("ch_1")), APPLIED),
                (an_event("evt_2", a_payment("ch_9")), APPLIED),
            ],
        )
        saved = await stores.save(
            Changes(key="it", periods=(term,), by_hand=(change,)), seconds=1
        )
        assert saved == [SAVED]

        found = await facts_of(stores)

        assert [it.payment.id for it in found.payments] == ["ch_2", "ch_1"]
        assert found.periods == [term]
        assert [it.id for it in found.intents] == ["int_1"]
        assert {it.key.subject for it in found.jobs} == {"sub_1", "ch_2"}
        assert [it.change for it in found.by_hand] == [change]
        [event] = found.events
        assert (event.key.id, event.object_id, event.body) == ("evt_1", "ch_1", None)

    async def test_what_is_unlinked_is_found_by_each_key(self, stores: Stores) -> None:
        """
        By the customer, by the user that it names and by the e-mail; each is returned
        once.
        """
        other = CustomerId("cus_9")
        await stores.keep(
            an_account(ADA, customer=CUS_1),
            payments=[
                a_record(a_payment("ch_1", at=NOON, customer=CUS_1)),
                a_record(a_payment("ch_2", at=NOON + DAY, user=ADA, customer=CUS_1)),
                a_record(a_payment("ch_3", at=NOON + 2 * DAY, email=email_of(ADA))),
                a_record(a_payment("ch_4", customer=other, email=email_of(BOB))),
            ],
            subscriptions=[
                a_subscription(a_report("sub_1", customer=CUS_1)),
                a_subscription(a_report("sub_2", customer=other)),
            ],
        )

        found = (await facts_of(stores)).unlinked

        assert [it.payment.id for it in found.payments] == ["ch_3", "ch_2", "ch_1"]
        assert [it.gateway_id for it in found.subscriptions] == ["sub_1"]

    async def test_a_quarantined_event_is_found_by_the_names_in_its_body(
        self, stores: Stores
    ) -> None:
        """
        By the user or the customer, compared as a whole. The body of an applied event
        is not searched.
        """
        bodies = {
            "evt_1": (b'{"customer": "cus_1"}', HELD),
            "evt_2": (b'{"metadata": {"user_id": "ada"}}', HELD),
            "evt_3": (b'{"customer": "cus_11", "user_id": "adam"}', HELD),
            "evt_4": (b'{"customer": "cus_1"}', APPLIED),
        }
        await stores.keep(
            an_account(ADA, customer=CUS_1),
            events=[
                (an_event(id_, body=body), outcome)
                for id_, (body, outcome) in bodies.items()
            ],
        )

        found = (await facts_of(stores)).events

        assert {it.key.id for it in found} == {"evt_1", "evt_2"}
        assert {it.outcome for it in found} == {HELD}

    async def test_the_newest_are_found_and_what_the_account_names(
        self, stores: Stores
    ) -> None:
        """
        Of a long history, the newest payments up to a limit, and the one that gives the
        status.
        """
        first = a_payment("ch_0", at=NOON - DAY)
        effect = PaymentEffect.of(first)
        account = an_account(ADA)
        many = [
            a_record(a_payment(f"ch_{n}", at=NOON + n * DAY), owner=ADA)
            for n in range(1, FACTS_MAX + 2)
        ]
        await stores.keep(
            account.with_summary(PaymentSummary(latest=effect)),
            payments=[a_record(first, owner=ADA), *many],
        )

        found = [it.payment.id for it in (await facts_of(stores)).payments]

        newest = [it.payment.id for it in reversed(many)][:FACTS_MAX]
        assert found == [*newest, PaymentId("ch_0")]

    async def test_the_log_says_what_was_known_at_a_moment(
        self, stores: Stores
    ) -> None:
        """
        There is nothing before the first row; each row applies from its own time on;
        the whole log is returned.
        """
        policy = Policy(grace=timedelta(days=2))
        await stores.keep(an_account(ADA), an_account(BOB))
        account = await stores.account(ADA)
        payment = a_payment("ch_1", at=NOON)
        summary = PaymentSummary.replay([payment])
        after = account.with_summary(summary).saved_as(account.version + 1)
        group = Changes(
            key="user ada",
            before=account,
            after=after,
            cause="payment ch_1 succeeded",
            sources=("evt_1",),
            policy=policy,
        )
        assert await stores.save(group, seconds=60) == [SAVED]
        at, read = NOON + timedelta(seconds=60), stores.history.verdict_at
        moment = timedelta(microseconds=1)

        assert await read(ADA, NOON - moment) is None
        registered = await read(ADA, at - moment)
        assert registered is not None
        assert registered.payment_status is PaymentStatus.NONE
        assert summary.prepaid is not None
        ends_at = summary.prepaid.ends_at
        assert await read(ADA, at) == LoggedVerdict(
            version=after.version,
            at=at,
            payment_status=PaymentStatus.PAID,
            payment_expire_date=ends_at,
            entitled_until=ends_at + policy.grace,
            grace=policy.grace,
            status_by="payment ch_1",
            date_by="months 1",
            cause="payment ch_1 succeeded",
            sources=("evt_1",),
            grants=after.verdict.grants,
            catalogue="none",
            ends_at=ends_at + policy.grace,
        )
        assert await read(ADA, at + DAY) == await read(ADA, at)
