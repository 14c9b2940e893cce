"""What a payment gateway promises of a change: its cost, and its wait for payment."""

from datetime import timedelta
from typing import Any

import attrs
import pytest

from contracts.gateway_world import (
    ASKING,
    CHEAP_MINOR,
    DEAR_MINOR,
    FAILING,
    GIVEN_UP,
    GOOD,
    HOUR,
    GatewayWorld,
    a_card,
    a_customer,
    a_payer,
    ask,
    change_wanted,
    collected,
    invoice_of,
    other_card,
    paid,
    paid_until,
    reported,
    seen,
    started,
    without_payment,
)
from payments_core.errors import GatewayRefused
from payments_core.gateway import (
    CancelSubscription,
    InvoicePaymentState,
    Preview,
    UpdateSubscription,
)
from payments_core.subscription import SubscriptionReport, SubscriptionStatus

SOME_DAYS = timedelta(days=10, seconds=7)


async def _previewed(
    world: GatewayWorld, report: SubscriptionReport, **wanted: Any
) -> tuple[UpdateSubscription, Preview]:
    """Return a change as of this second, and what it would cost."""
    now = (await world.gateway.subscription(report.gateway_id)).at
    change = change_wanted(report, proration_date=now, **wanted)
    return change, await world.gateway.preview(report.customer_id, change)


async def _held(world: GatewayWorld, card: str = FAILING) -> SubscriptionReport:
    """Return a subscription whose higher price waits for its payment."""
    customer = await a_payer(world)
    report = await started(world, customer)
    await other_card(world, report, card)
    world.pass_time(SOME_DAYS)
    return reported(await ask(world, change_wanted(report, price=world.dearer)))


class ChangesContract:
    @pytest.mark.parametrize(
        "wanted",
        [{"price": True}, {"quantity": 3}, {"price": True, "quantity": 2}],
        ids=["price", "quantity", "both"],
    )
    async def test_a_change_costs_what_its_preview_said(
        self, world: GatewayWorld, wanted: dict[str, Any]
    ) -> None:
        """
        To the cent, at once, and the lines add up; then the period continues.
        """
        if "price" in wanted:
            wanted = {**wanted, "price": world.dearer}
        customer = await a_payer(world)
        report = await started(world, customer)
        world.pass_time(SOME_DAYS)
        change, preview = await _previewed(world, report, **wanted)
        assert preview.proration_date == change.proration_date
        assert preview.due.currency == "eur"
        assert preview.due.amount_minor > 0
        assert sum(line.amount_minor for line in preview.lines) == (
            preview.due.amount_minor
        )

        after = reported(await ask(world, change))

        assert world.taken_from(customer) == [CHEAP_MINOR, preview.due.amount_minor]
        assert after.price == wanted.get("price", world.price)
        assert after.quantity == wanted.get("quantity", 1)
        assert (after.status, after.pending) == (SubscriptionStatus.ACTIVE, None)
        assert after.period_end == report.period_end
        # What was prorated is the rest of a period that is already paid.
        term = (report.period_start, report.period_end)
        assert await paid_until(world, report) == term

    async def test_a_preview_holds_for_its_date(self, world: GatewayWorld) -> None:
        """
        A user who takes time pays what the preview said, whatever less the time would
        have cost.
        """
        customer = await a_payer(world)
        report = await started(world, customer)
        world.pass_time(SOME_DAYS)
        change, preview = await _previewed(world, report, price=world.dearer)
        world.pass_time(5 * HOUR)
        await ask(world, change)
        assert world.taken_from(customer)[-1] == preview.due.amount_minor

    async def test_a_preview_changes_nothing(self, world: GatewayWorld) -> None:
        """
        It can be requested any number of times.
        """
        customer = await a_payer(world)
        report = await started(world, customer)
        previews = [
            (await _previewed(world, report, price=world.dearer))[1] for _ in range(2)
        ]
        assert previews[0] == previews[1]
        assert await seen(world, report) == report
        assert world.taken_from(customer) == [CHEAP_MINOR]

    async def test_a_dearer_price_is_what_the_next_month_costs(
        self, world: GatewayWorld
    ) -> None:
        """
        The change was paid for the rest of the period only.
        """
        customer = await a_payer(world)
        report = await started(world, customer)
        world.pass_time(SOME_DAYS)
        await ask(world, change_wanted(report, price=world.dearer))
        world.pass_month()
        assert world.taken_from(customer)[0] == CHEAP_MINOR
        assert world.taken_from(customer)[2:] == [DEAR_MINOR]

    async def test_a_cheaper_price_is_given_at_once_and_credited(
        self, world: GatewayWorld
    ) -> None:
        """
        Nothing is due and nothing is charged; the remaining credit pays the next month.
        """
        customer = await a_payer(world)
        report = await started(world, customer, price=world.dearer)
        world.pass_time(SOME_DAYS)
        change, preview = await _previewed(world, report, price=world.price)
        left_over = sum(line.amount_minor for line in preview.lines)
        assert preview.due.amount_minor == 0
        assert left_over < 0

        after = reported(await ask(world, change))
        assert (after.price, after.pending) == (world.price, None)
        assert world.taken_from(customer) == [DEAR_MINOR]

        world.pass_month()
        assert world.taken_from(customer) == [DEAR_MINOR, CHEAP_MINOR + left_over]

    async def test_what_changes_nothing_costs_nothing(
        self, world: GatewayWorld
    ) -> None:
        """
        The price and quantity are the same as before: no invoice, no charge.
        """
        customer = await a_payer(world)
        report = await started(world, customer)
        world.pass_time(SOME_DAYS)
        change, preview = await _previewed(world, report, price=world.price, quantity=1)
        assert preview.due.amount_minor == 0
        assert reported(await ask(world, change)) == report
        assert world.taken_from(customer) == [CHEAP_MINOR]

    async def test_in_a_trial_a_change_costs_nothing(self, world: GatewayWorld) -> None:
        """
        It is applied at once; the first month costs more.
        """
        customer = await a_payer(world)
        report = await started(world, customer, trial_days=14)
        change, preview = await _previewed(world, report, price=world.dearer)
        assert preview.due.amount_minor == 0

        after = reported(await ask(world, change))
        assert (after.status, after.price) == (
            SubscriptionStatus.TRIALING,
            world.dearer,
        )
        assert after.trial_end == report.trial_end
        assert world.taken_from(customer) == []

    # Held until it is paid

    async def test_what_costs_more_and_cannot_be_paid_is_held(
        self, world: GatewayWorld
    ) -> None:
        """
        The old price remains; the answer has the requested price, and until when it
        waits for payment.
        """
        customer = await a_payer(world)
        report = await started(world, customer)
        await other_card(world, report, FAILING)
        before = await seen(world, report)
        answer = await ask(world, change_wanted(report, price=world.dearer))
        after = reported(answer)

        assert without_payment(after) == without_payment(before)
        assert after.pending is not None
        assert after.pending.price == world.dearer
        assert answer.at < after.pending.expires_at <= answer.at + GIVEN_UP
        assert (await collected(world, after)).state is InvoicePaymentState.DECLINED
        assert (await paid_until(world, after))[1] == report.period_end
        assert world.taken_from(customer) == [CHEAP_MINOR]

    async def test_a_held_change_is_found(self, world: GatewayWorld) -> None:
        """
        It was made: a caller that looks for it must not send it, and bill it, again.
        """
        held = await _held(world)
        change = change_wanted(held, price=world.dearer)
        found = await world.gateway.find(change)
        assert found is not None
        assert found.subscription == held

    async def test_a_held_change_is_given_when_it_is_paid(
        self, world: GatewayWorld
    ) -> None:
        """
        Whichever card pays its invoice.
        """
        held = await _held(world)
        await paid(world, held, await a_card(world, held.customer_id))

        after = await seen(world, held)
        assert (after.price, after.pending) == (world.dearer, None)
        assert len(world.taken_from(held.customer_id)) == 2

    async def test_a_held_change_is_given_when_the_payer_confirms(
        self, world: GatewayWorld
    ) -> None:
        """
        3-D Secure for the cost of a change.
        """
        held = await _held(world, ASKING)
        assert held.price == world.price
        asking = await collected(world, held)
        assert asking.state is InvoicePaymentState.REQUIRES_ACTION
        assert asking.client_secret

        world.authenticate(invoice_of(held), accept=True)
        after = await seen(world, held)
        assert (after.price, after.pending) == (world.dearer, None)

    async def test_a_held_change_is_given_up_after_a_day(
        self, world: GatewayWorld
    ) -> None:
        """
        The old price remains, and nobody can pay for the new one any longer.
        """
        held = await _held(world)
        world.pass_time(GIVEN_UP)

        after = await seen(world, held)
        assert (after.price, after.pending) == (world.price, None)
        assert after.status is SubscriptionStatus.ACTIVE
        collection = await world.gateway.invoice_payment(invoice_of(held))
        assert collection.state is InvoicePaymentState.CLOSED

    async def test_another_change_takes_the_place_of_a_held_one(
        self, world: GatewayWorld
    ) -> None:
        """
        Only the last change is paid for.
        """
        held = await _held(world)
        await other_card(world, held, GOOD)
        change, preview = await _previewed(world, held, price=world.dearer)
        after = reported(await ask(world, change))

        assert (after.price, after.pending) == (world.dearer, None)
        assert world.taken_from(held.customer_id) == [
            CHEAP_MINOR,
            preview.due.amount_minor,
        ]
        collection = await world.gateway.invoice_payment(invoice_of(held))
        assert collection.state is InvoicePaymentState.CLOSED

    # Refused

    async def test_a_change_to_an_unknown_price_is_refused(
        self, world: GatewayWorld
    ) -> None:
        """
        By the change and by its preview; the error names the field.
        """
        report = await started(world, await a_payer(world))
        change = change_wanted(
            report, price="price_nothing", proration_date=report.period_start
        )
        with pytest.raises(GatewayRefused) as refusal:
            await ask(world, change)
        assert refusal.value.field == "price"
        with pytest.raises(GatewayRefused) as refusal:
            await world.gateway.preview(report.customer_id, change)
        assert refusal.value.field == "price"
        assert await seen(world, report) == report

    async def test_a_change_outside_of_the_period_is_refused(
        self, world: GatewayWorld
    ) -> None:
        """
        Nobody pays for time that is over or not sold yet; the error names the field.
        """
        report = await started(world, await a_payer(world))
        for date in (report.period_start - HOUR, report.period_end + HOUR):
            change = change_wanted(report, price=world.dearer, proration_date=date)
            with pytest.raises(GatewayRefused) as refusal:
                await ask(world, change)
            assert refusal.value.field == "proration_date"
            with pytest.raises(GatewayRefused) as refusal:
                await world.gateway.preview(report.customer_id, change)
            assert refusal.value.field == "proration_date"

    async def test_what_has_ended_or_not_begun_is_not_changed(
        self, world: GatewayWorld
    ) -> None:
        """
        Neither the change nor its preview is possible.
        """
        customer = await a_payer(world)
        ended = await started(world, customer)
        await ask(world, CancelSubscription(subscription=ended.gateway_id))
        waiting = await started(world, await a_customer(world), has_card=False)

        for report in (ended, waiting):
            change = change_wanted(
                report, price=world.dearer, proration_date=report.period_start
            )
            with pytest.raises(GatewayRefused):
                await ask(world, change)
            with pytest.raises(GatewayRefused):
                await world.gateway.preview(report.customer_id, change)
            assert (await seen(world, report)).price == world.price

    async def test_anothers_change_is_not_previewed(self, world: GatewayWorld) -> None:
        """
        A preview is for the subscription's own customer only.
        """
        report = await started(world, await a_payer(world))
        change = change_wanted(
            report, price=world.dearer, proration_date=report.period_start
        )
        with pytest.raises(GatewayRefused):
            await world.gateway.preview(await a_customer(world), change)

    async def test_an_item_of_another_subscription_is_refused(
        self, world: GatewayWorld
    ) -> None:
        """
        An item and a subscription that do not belong together are a mistake.
        """
        customer = await a_payer(world)
        one, other = await started(world, customer), await started(world, customer)
        change = attrs.evolve(
            change_wanted(one, price=world.dearer), item_id=other.item_id
        )
        with pytest.raises(GatewayRefused):
            await ask(world, change)
