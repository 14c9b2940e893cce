"""The real SDK against the sandbox: the catalogue, invoices and test clocks.

Each test is a story of its own; the last one runs all of them against one sandbox.
"""

from decimal import Decimal
from typing import Any, Final

import pytest
import stripe

from support.sdk_client import (
    GOOD,
    HOUR,
    SDK_MARKS,
    SdkClient,
    Story,
    addresses,
    answers_to,
    intent_of,
    period_of,
    whole,
)

pytestmark = SDK_MARKS


async def test_a_catalogue_is_products_and_their_prices(sdk: SdkClient) -> None:
    """
    A price is found by its look-up key; a product with a price cannot be deleted.
    """
    products, prices = sdk.v1.products, sdk.v1.prices
    product = await products.create_async({"name": "Basic"})
    product = await products.update_async(product.id, {"description": "The small one"})
    assert (await products.retrieve_async(product.id)).description == "The small one"
    assert product.id in {it.id for it in (await products.list_async()).data}

    price = await prices.create_async(
        {
            "product": product.id,
            "currency": "EUR",
            "unit_amount": 900,
            "lookup_key": "basic",
            "recurring": {"interval": "month", "interval_count": 3},
        }
    )
    assert (price.currency, price.unit_amount_decimal) == ("eur", Decimal(900))
    assert (await prices.retrieve_async(price.id)).to_dict() == price.to_dict()
    [found] = (await prices.list_async({"lookup_keys": ["basic"]})).data
    assert found.id == price.id
    with pytest.raises(stripe.InvalidRequestError) as taken:
        await prices.create_async(
            {
                "product": product.id,
                "currency": "eur",
                "unit_amount": 1,
                "lookup_key": "basic",
            }
        )
    assert taken.value.param == "lookup_key"

    with pytest.raises(stripe.InvalidRequestError, match="cannot be deleted"):
        await products.delete_async(product.id)
    empty = await products.create_async({"name": "Nothing"})
    assert (await products.delete_async(empty.id)).deleted is True

    retired = await prices.update_async(price.id, {"active": False})
    assert retired.active is False
    with pytest.raises(stripe.InvalidRequestError, match="inactive"):
        await sdk.subscribe(await sdk.customer(), price)


async def test_an_upgrade_costs_what_its_preview_said(sdk: SdkClient) -> None:
    """
    In the middle of a month half of the old price is credited and half of the new one
    charged, at once; the preview of the same second has the same lines and sum.
    """
    customer = await sdk.customer()
    small, big = await sdk.price(900), await sdk.price(2000)
    made = await sdk.subscribe(customer, small)
    start, end = period_of(made)
    sdk.pass_half_of(made)
    items: Any = [{"id": made["items"].data[0].id, "price": big.id}]

    preview = await sdk.v1.invoices.create_preview_async(
        {
            "subscription": made.id,
            "subscription_details": {
                "items": items,
                "proration_behavior": "always_invoice",
                "proration_date": sdk.now,
            },
        }
    )
    changed = await sdk.v1.subscriptions.update_async(
        made.id,
        {
            "items": items,
            "proration_behavior": "always_invoice",
            "proration_date": sdk.now,
            "payment_behavior": "pending_if_incomplete",
            "expand": ["latest_invoice.payments"],
        },
    )

    invoice = whole(changed.latest_invoice)
    assert (invoice.billing_reason, invoice.status) == ("subscription_update", "paid")
    assert preview.amount_due == invoice.amount_paid == 550
    amounts = [[it.amount for it in page.lines.data] for page in (preview, invoice)]
    assert amounts == [[-450, 1000]] * 2
    assert changed["items"].data[0].price.id == big.id
    assert (changed.pending_update, period_of(changed)) == (None, (start, end))
    charge = (await sdk.charges_of(customer))[0]
    assert (charge.amount, charge.payment_intent) == (550, intent_of(changed))


async def test_a_renewal_is_a_draft_that_is_finalized_and_collected(
    sdk: SdkClient,
) -> None:
    """
    A renewal is a draft for an hour; finalized by hand it is collected at once, and its
    intent leads back to the subscription.
    """
    customer, price = await sdk.customer(), await sdk.price()
    made = await sdk.subscribe(customer, price)
    invoices, mine = sdk.v1.invoices, made.id
    sdk.pass_until(period_of(made)[1])

    [draft] = (
        await invoices.list_async({"subscription": mine, "status": "draft"})
    ).data
    assert (draft.billing_reason, draft.auto_advance) == ("subscription_cycle", True)
    final = await invoices.finalize_invoice_async(draft.id)
    assert (final.status, final.amount_paid) == ("paid", 900)
    with pytest.raises(stripe.InvalidRequestError, match="already paid"):
        await invoices.pay_async(draft.id)

    lines = (await invoices.line_items.list_async(draft.id)).data
    assert [(it.amount, it.period.start) for it in lines] == [(900, period_of(made)[1])]
    found = await invoices.retrieve_async(draft.id, {"expand": ["payments"]})
    intent = whole(found.payments).data[0].payment.payment_intent
    assert isinstance(intent, str)
    [payment] = (
        await sdk.v1.invoice_payments.list_async(
            {"payment": {"type": "payment_intent", "payment_intent": intent}}
        )
    ).data
    same = await sdk.v1.invoice_payments.retrieve_async(payment.id)
    assert (same.invoice, same.status, same.amount_paid) == (draft.id, "paid", 900)
    back = await invoices.retrieve_async(str(same.invoice))
    assert whole(whole(back.parent).subscription_details).subscription == mine


async def test_an_open_invoice_is_paid_elsewhere_or_voided(sdk: SdkClient) -> None:
    """
    An invoice that is paid elsewhere makes the subscription active without a charge; a
    void invoice cannot be paid, nor can its intent be confirmed.
    """
    customer, price = await sdk.customer(None), await sdk.price()
    invoices = sdk.v1.invoices
    cash, void = [
        await sdk.subscribe(customer, price, payment_behavior="default_incomplete")
        for _ in range(2)
    ]

    paid = await invoices.pay_async(
        whole(cash.latest_invoice).id, {"paid_out_of_band": True}
    )
    assert (paid.status, paid.amount_remaining) == ("paid", 0)
    assert await sdk.status_of(cash) == "active"
    assert not await sdk.charges_of(customer)

    void_id = whole(void.latest_invoice).id
    written_off = await invoices.mark_uncollectible_async(void_id)
    assert written_off.status == "uncollectible"
    voided = await invoices.void_invoice_async(void_id)
    assert voided.status == "void"
    intent = await sdk.v1.payment_intents.retrieve_async(intent_of(void))
    assert (intent.status, intent.cancellation_reason) == ("canceled", "void_invoice")
    with pytest.raises(stripe.InvalidRequestError):
        await invoices.pay_async(voided.id)


async def test_an_invoice_item_waits_for_the_next_invoice(sdk: SdkClient) -> None:
    """
    An item created by hand is on the next invoice; until then it can be deleted.
    """
    items, customer = sdk.v1.invoice_items, await sdk.customer()
    kept = await items.create_async(
        {"customer": customer.id, "currency": "eur", "amount": 300}
    )
    wrong = await items.create_async(
        {"customer": customer.id, "currency": "eur", "amount": 999}
    )
    assert (await items.delete_async(wrong.id)).deleted is True
    pending = await items.list_async({"customer": customer.id, "pending": True})
    assert [it.id for it in pending.data] == [kept.id]

    made = await sdk.subscribe(customer, await sdk.price())

    invoice = whole(made.latest_invoice)
    assert invoice.amount_paid == 1200
    assert (await items.retrieve_async(kept.id)).invoice == invoice.id
    pending = await items.list_async({"customer": customer.id, "pending": True})
    assert not pending.data
    with pytest.raises(stripe.InvalidRequestError):
        await items.delete_async(kept.id)


async def test_a_test_clock_has_a_time_of_its_own(sdk: SdkClient) -> None:
    """
    Events of a clock's customers happen at its time, and the sandbox's time stands
    still; deleting the clock deletes them.
    """
    clocks, price, now = sdk.v1.test_helpers.test_clocks, await sdk.price(), sdk.now
    start = now + 400 * 24 * HOUR
    clock = await clocks.create_async({"frozen_time": start, "name": "A year on"})
    customer = await sdk.v1.customers.create_async({"test_clock": clock.id})
    await sdk.give_card(customer, GOOD)
    made = await sdk.subscribe(customer, price)
    assert (made.created, made.status) == (start, "active")

    target = period_of(made)[1] + 2 * HOUR
    moving = await clocks.advance_async(clock.id, {"frozen_time": target})
    assert moving.status == "advancing"
    ready = await clocks.retrieve_async(clock.id)
    assert (ready.status, ready.frozen_time) == ("ready", target)
    assert len(await sdk.charges_of(customer)) == 2
    assert sdk.now == now

    assert clock.id in {it.id for it in (await clocks.list_async()).data}
    assert (await clocks.delete_async(clock.id)).deleted is True
    with pytest.raises(stripe.InvalidRequestError):
        await sdk.v1.subscriptions.retrieve_async(made.id)


STORIES: Final[tuple[Story, ...]] = (
    test_a_catalogue_is_products_and_their_prices,
    test_an_upgrade_costs_what_its_preview_said,
    test_a_renewal_is_a_draft_that_is_finalized_and_collected,
    test_an_open_invoice_is_paid_elsewhere_or_voided,
    test_an_invoice_item_waits_for_the_next_invoice,
    test_a_test_clock_has_a_time_of_its_own,
)


async def test_together_they_call_every_address_of_billing(sdk: SdkClient) -> None:
    """
    Run one after the other against one sandbox the stories hold as well, and together
    they get a good answer from every method and path of this area.
    """
    called, theirs = await answers_to(sdk, STORIES), addresses("billing")

    assert called >= theirs
    assert len(theirs) >= 27
