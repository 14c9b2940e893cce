"""What a payment gateway promises of a subscription's life, from its first payment."""

from datetime import timedelta

import attrs
import pytest

from contracts.examples import ADA
from contracts.gateway_world import (
    ASKING,
    CHEAP_MINOR,
    COLLECTED,
    FAILING,
    GIVEN_UP,
    GatewayWorld,
    a_card,
    a_customer,
    a_default,
    a_payer,
    ask,
    collected,
    invoice_of,
    other_card,
    paid,
    paid_until,
    reported,
    seen,
    start_wanted,
    started,
)
from payments_core.errors import GatewayRefused, Rejected
from payments_core.gateway import (
    CancelSubscription,
    InvoicePaymentState,
    SetCancelAtPeriodEnd,
    SetSubscriptionCard,
)
from payments_core.identity import CustomerId
from payments_core.months import months_after
from payments_core.subscription import SubscriptionStatus

TRIAL_DAYS = 14
TRIAL = timedelta(days=TRIAL_DAYS)


class SubscriptionsContract:
    async def test_a_subscription_begins_paid(self, world: GatewayWorld) -> None:
        """
        A card pays the first month at once; the subscription has the metadata that we
        wrote.
        """
        customer = await a_payer(world)
        answer = await ask(world, start_wanted(world, customer))
        report = reported(answer)

        assert report.gateway_id == answer.id
        assert report.status is SubscriptionStatus.ACTIVE
        assert (report.customer_id, report.metadata_user_id) == (customer, ADA)
        assert report.intent_id == "intent-start"
        assert (report.product, report.price) == (world.product, world.price)
        assert (report.quantity, report.currency) == (1, "eur")
        assert (report.period_start, report.created_at) == (answer.at, answer.at)
        assert report.period_end == months_after(answer.at, 1)
        assert (report.trial_end, report.cancel_at, report.ended_at) == (None,) * 3
        assert report.pending is None
        assert world.taken_from(customer) == [CHEAP_MINOR]

    async def test_the_card_that_paid_first_is_pinned(
        self, world: GatewayWorld
    ) -> None:
        """
        The default may change: the card that the subscription began with stays its
        card.
        """
        customer = await a_customer(world)
        card = await a_default(world, customer)
        assert (await started(world, customer)).pinned_card == card

        waiting = await started(world, customer, has_card=False)
        other = await a_card(world, customer)
        await paid(world, waiting, other)
        assert (await seen(world, waiting)).pinned_card == other

    async def test_an_answer_about_a_subscription_tells_its_paid_term(
        self, world: GatewayWorld
    ) -> None:
        """
        What the first invoice covers, both in the answer and in a later fetch.
        """
        answer = await ask(world, start_wanted(world, await a_payer(world)))
        report, looked = reported(answer), await world.gateway.subscription(answer.id)

        assert answer.paid_period is not None
        assert answer.paid_period.gateway_id == report.gateway_id
        assert answer.paid_period.invoice_id == invoice_of(report)
        assert answer.paid_period.starts_at == report.period_start
        assert answer.paid_period.ends_at == report.period_end
        assert looked.report == report
        assert list(looked.paid_periods) == [answer.paid_period]
        assert looked.at == answer.at

    async def test_a_quantity_costs_as_often(self, world: GatewayWorld) -> None:
        """
        Three of them cost three times as much.
        """
        customer = await a_payer(world)
        report = await started(world, customer, quantity=3)
        assert report.quantity == 3
        assert world.taken_from(customer) == [3 * CHEAP_MINOR]

    async def test_an_unknown_price_is_refused(self, world: GatewayWorld) -> None:
        """
        The error names the field, and nothing is begun.
        """
        request = start_wanted(world, await a_payer(world), price="price_nothing")
        with pytest.raises(GatewayRefused) as refusal:
            await ask(world, request)

        assert refusal.value.field == "price"
        assert not refusal.value.declined
        assert await world.gateway.find(request) is None

    async def test_a_customer_that_is_not_there_is_refused(
        self, world: GatewayWorld
    ) -> None:
        """
        A definite refusal, not an unknown outcome.
        """
        request = start_wanted(world, CustomerId("cus_nothing"))
        with pytest.raises(GatewayRefused):
            await ask(world, request)

    # A trial

    async def test_a_trial_is_free_until_it_ends(self, world: GatewayWorld) -> None:
        """
        Then the first month is paid, and its anchor is the end of the trial.
        """
        customer = await a_payer(world)
        answer = await ask(world, start_wanted(world, customer, trial_days=TRIAL_DAYS))
        report, ends = reported(answer), answer.at + TRIAL

        assert report.status is SubscriptionStatus.TRIALING
        assert (report.trial_start, report.trial_end) == (answer.at, ends)
        assert (report.period_start, report.period_end) == (answer.at, ends)
        assert world.taken_from(customer) == []

        world.pass_time(TRIAL + COLLECTED)
        after = await seen(world, report)
        assert after.status is SubscriptionStatus.ACTIVE
        assert (after.period_start, after.period_end) == (ends, months_after(ends, 1))
        assert world.taken_from(customer) == [CHEAP_MINOR]

    async def test_a_trial_needs_no_card(self, world: GatewayWorld) -> None:
        """
        Nothing is due, so nothing is missing.
        """
        customer = await a_customer(world)
        report = await started(world, customer, trial_days=TRIAL_DAYS, has_card=False)
        assert report.status is SubscriptionStatus.TRIALING

    # The first payment

    async def test_without_a_card_a_subscription_waits_for_its_first_payment(
        self, world: GatewayWorld
    ) -> None:
        """
        No payment is tried; the browser gets a secret to pay with, and then the
        subscription is active.
        """
        customer = await a_customer(world)
        report = await started(world, customer, has_card=False)
        assert report.status is SubscriptionStatus.INCOMPLETE
        waiting = await collected(world, report)
        assert waiting.state is InvoicePaymentState.OPEN
        assert waiting.client_secret
        assert world.attempts_at(customer) == []
        assert not (await world.gateway.subscription(report.gateway_id)).paid_periods

        answer = await paid(world, report, await a_card(world, customer))

        assert answer.id == invoice_of(report)
        assert (await seen(world, report)).status is SubscriptionStatus.ACTIVE
        assert (await collected(world, report)).state is InvoicePaymentState.PAID
        assert await paid_until(world, report) == (
            report.period_start,
            report.period_end,
        )

    async def test_a_first_payment_that_never_comes_is_given_up(
        self, world: GatewayWorld
    ) -> None:
        """
        After a day nobody can pay it any longer.
        """
        report = await started(world, await a_customer(world), has_card=False)
        world.pass_time(GIVEN_UP)

        after = await seen(world, report)
        assert after.status is SubscriptionStatus.INCOMPLETE_EXPIRED
        assert (await collected(world, report)).state is InvoicePaymentState.CLOSED

    async def test_a_first_payment_that_is_declined_leaves_it_incomplete(
        self, world: GatewayWorld
    ) -> None:
        """
        It was begun all the same; the bank's code is with its invoice.
        """
        customer = await a_payer(world, FAILING)
        report = await started(world, customer)
        assert report.status is SubscriptionStatus.INCOMPLETE
        declined = await collected(world, report)
        assert declined.state is InvoicePaymentState.DECLINED
        assert declined.decline_code == "generic_decline"
        assert world.taken_from(customer) == []
        assert len(world.attempts_at(customer)) == 1

    async def test_the_payer_confirms_what_the_bank_asks_about(
        self, world: GatewayWorld
    ) -> None:
        """
        3-D Secure: the browser gets a secret; once confirmed, the subscription is
        active and paid once.
        """
        customer = await a_payer(world, ASKING)
        report = await started(world, customer)
        assert report.status is SubscriptionStatus.INCOMPLETE
        asking = await collected(world, report)
        assert asking.state is InvoicePaymentState.REQUIRES_ACTION
        assert asking.client_secret
        assert world.taken_from(customer) == []

        world.authenticate(invoice_of(report), accept=True)

        assert (await seen(world, report)).status is SubscriptionStatus.ACTIVE
        assert (await collected(world, report)).state is InvoicePaymentState.PAID
        assert world.taken_from(customer) == [CHEAP_MINOR]

    async def test_what_the_payer_does_not_confirm_stays_incomplete(
        self, world: GatewayWorld
    ) -> None:
        """
        It is like a decline; another card may still pay.
        """
        customer = await a_payer(world, ASKING)
        report = await started(world, customer)
        world.authenticate(invoice_of(report), accept=False)
        assert (await seen(world, report)).status is SubscriptionStatus.INCOMPLETE
        assert (await collected(world, report)).state is InvoicePaymentState.DECLINED
        assert world.taken_from(customer) == []

        await paid(world, report, await a_card(world, customer))
        assert (await seen(world, report)).status is SubscriptionStatus.ACTIVE

    # Invoices

    async def test_an_invoice_is_paid_once(self, world: GatewayWorld) -> None:
        """
        Paid again, with whatever card, it stays paid, and nothing is charged.
        """
        customer = await a_customer(world)
        report = await started(world, customer, has_card=False)
        for _ in range(2):
            answer = await paid(world, report, await a_card(world, customer))
            assert answer.id == invoice_of(report)
        assert world.taken_from(customer) == [CHEAP_MINOR]

    async def test_a_card_that_fails_to_pay_is_a_decline(
        self, world: GatewayWorld
    ) -> None:
        """
        A definite refusal by the bank, with its code; the invoice stays unpaid.
        """
        customer = await a_customer(world)
        report = await started(world, customer, has_card=False)
        with pytest.raises(GatewayRefused) as refusal:
            await paid(world, report, await a_card(world, customer, FAILING))

        assert refusal.value.declined
        assert refusal.value.decline_code == "generic_decline"
        assert (await collected(world, report)).state is InvoicePaymentState.DECLINED
        assert world.taken_from(customer) == []

    async def test_a_card_that_asks_to_pay_is_a_no_until_it_is_confirmed(
        self, world: GatewayWorld
    ) -> None:
        """
        It counts as a decline; the invoice says that the bank requires confirmation.
        """
        customer = await a_customer(world)
        report = await started(world, customer, has_card=False)
        with pytest.raises(GatewayRefused) as refusal:
            await paid(world, report, await a_card(world, customer, ASKING))
        assert refusal.value.declined
        asking = await collected(world, report)
        assert asking.state is InvoicePaymentState.REQUIRES_ACTION
        assert asking.client_secret

        world.authenticate(invoice_of(report), accept=True)
        assert (await seen(world, report)).status is SubscriptionStatus.ACTIVE

    # Renewals

    async def test_a_month_later_the_next_one_is_paid(
        self, world: GatewayWorld
    ) -> None:
        """
        The period moves forward, and so does the paid period.
        """
        customer = await a_payer(world)
        report = await started(world, customer)
        world.pass_month()

        after, ends = await seen(world, report), months_after(report.created_at, 2)
        assert after.status is SubscriptionStatus.ACTIVE
        assert (after.period_start, after.period_end) == (report.period_end, ends)
        assert await paid_until(world, report) == (report.period_end, ends)
        assert world.taken_from(customer) == [CHEAP_MINOR] * 2

    async def test_a_renewal_that_is_declined_falls_behind(
        self, world: GatewayWorld
    ) -> None:
        """
        Its period has moved forward, its paid period has not; a good card repairs it.
        """
        customer = await a_payer(world)
        report = await started(world, customer)
        await other_card(world, report, FAILING)
        world.pass_month()

        behind = await seen(world, report)
        assert behind.status is SubscriptionStatus.PAST_DUE
        assert behind.period_start == report.period_end
        assert (await collected(world, report)).state is InvoicePaymentState.DECLINED
        assert (await paid_until(world, report))[1] == report.period_end

        await paid(world, behind, await a_card(world, customer))
        assert (await seen(world, report)).status is SubscriptionStatus.ACTIVE
        assert (await paid_until(world, report))[1] == behind.period_end
        assert world.taken_from(customer) == [CHEAP_MINOR] * 2

    async def test_a_pinned_card_pays_in_place_of_the_default(
        self, world: GatewayWorld
    ) -> None:
        """
        From the start of the subscription, or from when the card was set for it.
        """
        customer = await a_payer(world, FAILING)
        first, second = await a_card(world, customer), await a_card(world, customer)
        report = await started(world, customer, payment_method=first)
        assert report.status is SubscriptionStatus.ACTIVE
        assert report.pinned_card == first

        pinning = SetSubscriptionCard(
            subscription=report.gateway_id, payment_method=second
        )
        assert reported(await ask(world, pinning)).pinned_card == second
        world.pass_month()
        assert (await seen(world, report)).status is SubscriptionStatus.ACTIVE

    # The end

    async def test_an_end_is_planned_and_taken_back(self, world: GatewayWorld) -> None:
        """
        The subscription stays active meanwhile; after the end is taken back, it
        continues.
        """
        report = await started(world, await a_payer(world))
        planning = SetCancelAtPeriodEnd(
            subscription=report.gateway_id, cancel_at_period_end=True
        )
        planned = reported(await ask(world, planning))
        assert planned.status is SubscriptionStatus.ACTIVE
        assert planned.cancel_at_period_end

        going_on = attrs.evolve(planning, cancel_at_period_end=False)
        assert not reported(await ask(world, going_on)).cancel_at_period_end
        world.pass_month()
        assert (await seen(world, report)).status is SubscriptionStatus.ACTIVE

    async def test_a_planned_end_comes_with_the_period(
        self, world: GatewayWorld
    ) -> None:
        """
        It ends by itself, and nothing more is charged.
        """
        customer = await a_payer(world)
        report = await started(world, customer)
        await ask(
            world,
            SetCancelAtPeriodEnd(
                subscription=report.gateway_id, cancel_at_period_end=True
            ),
        )
        world.pass_month()

        after = await seen(world, report)
        assert after.status is SubscriptionStatus.CANCELED
        assert after.ended_at == report.period_end
        assert world.taken_from(customer) == [CHEAP_MINOR]

    async def test_what_has_ended_stays_ended(self, world: GatewayWorld) -> None:
        """
        Ended again, it gives the same answer, with its paid period.
        """
        report = await started(world, await a_payer(world))
        ending = CancelSubscription(subscription=report.gateway_id)
        first = reported(await ask(world, ending))
        assert first.status is SubscriptionStatus.CANCELED
        assert first.ended_at is not None

        world.pass_time(COLLECTED)
        assert reported(await ask(world, ending)) == first
        assert await seen(world, report) == first
        assert (await paid_until(world, report))[1] == report.period_end

    async def test_what_ends_before_it_was_paid_owes_nothing(
        self, world: GatewayWorld
    ) -> None:
        """
        Nobody can pay for it by accident.
        """
        customer = await a_customer(world)
        report = await started(world, customer, has_card=False)
        await ask(world, CancelSubscription(subscription=report.gateway_id))

        assert (await collected(world, report)).state is InvoicePaymentState.CLOSED
        with pytest.raises(GatewayRefused):
            await paid(world, report, await a_card(world, customer))
        assert world.taken_from(customer) == []

    async def test_what_has_ended_cannot_be_changed(self, world: GatewayWorld) -> None:
        """
        A definite refusal.
        """
        customer = await a_payer(world)
        report = await started(world, customer)
        await ask(world, CancelSubscription(subscription=report.gateway_id))
        planning = SetCancelAtPeriodEnd(
            subscription=report.gateway_id, cancel_at_period_end=True
        )
        with pytest.raises(GatewayRefused):
            await ask(world, planning)

    async def test_a_subscription_that_is_not_there_is_refused(
        self, world: GatewayWorld
    ) -> None:
        """
        The request is wrong: its outcome is known.
        """
        for request in (
            SetCancelAtPeriodEnd(subscription="sub_nothing", cancel_at_period_end=True),
            CancelSubscription(subscription="sub_nothing"),
        ):
            with pytest.raises(Rejected):
                await ask(world, request)

    async def test_all_subscriptions_of_a_customer_are_told(
        self, world: GatewayWorld
    ) -> None:
        """
        Ended and unpaid ones too, and none of another customer.
        """
        customer, other = await a_payer(world), await a_payer(world)
        ended = await started(world, customer)
        ended = reported(
            await ask(world, CancelSubscription(subscription=ended.gateway_id))
        )
        reports = [ended]
        for number in range(11):
            has_card = number > 0
            reports.append(await started(world, customer, has_card=has_card))
        await started(world, other)

        found = await world.gateway.subscriptions_of(customer)
        assert len(found) == len(reports)
        assert {it.gateway_id: it for it in found} == {
            it.gateway_id: it for it in reports
        }
