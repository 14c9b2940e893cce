"""Reads of the Stripe gateway: invoices, payments, prices, previews, cards."""

from datetime import timedelta

import attrs
import pytest

from payments_core.errors import GatewayObjectMissing, GatewayRefused, InvalidValue
from payments_core.gateway import (
    AttachCard,
    InvoicePayment,
    InvoicePaymentState,
    UpdateSubscription,
)
from payments_core.identity import CustomerId
from payments_core.money import Money
from payments_core.payment import DisputeState, PaymentId
from support.lying_stripe import CUS_1, INVOICE, METHOD, answer, failure_of, lying
from support.stripe_gateway import Place, invoice_of, reported

pytestmark = pytest.mark.anyio


# Reads


async def test_a_term_is_found_behind_a_proration(place: Place) -> None:
    """
    The latest invoice covers nothing new; an older one shows the paid period.
    """
    report = await place.started()
    place.sandbox.advance("3 days")
    change = UpdateSubscription(
        subscription=report.gateway_id, item_id=report.item_id, quantity=2
    )
    answer = await place.ask(change)
    assert answer.paid_period is None

    looked = await place.gateway.subscription(report.gateway_id)

    assert looked.report.latest_invoice_id != report.latest_invoice_id
    [paid] = looked.paid_periods
    assert paid.invoice_id == report.latest_invoice_id
    assert paid.ends_at == report.period_end
    assert looked.at == place.sandbox.now


async def test_what_somebody_added_covers_nothing(place: Place) -> None:
    """
    A fee on the invoice of a renewal has a period too, of zero or any length.
    """
    report = await place.started()
    place.post(
        "invoiceitems",
        customer=report.customer_id,
        subscription=report.gateway_id,
        amount=100,
        currency="eur",
    )
    place.sandbox.advance("1 month")
    place.sandbox.advance("2 hours")

    looked = await place.gateway.subscription(report.gateway_id)

    [paid] = looked.paid_periods
    assert paid.ends_at == looked.report.period_end > report.period_end


@pytest.mark.parametrize(
    ("card", "state", "decline_code"),
    [
        ("pm_card_chargeCustomerFail", InvoicePaymentState.DECLINED, "generic_decline"),
        ("pm_card_authenticationRequired", InvoicePaymentState.REQUIRES_ACTION, None),
        ("pm_card_visa", InvoicePaymentState.PAID, None),
    ],
)
async def test_a_collection_tells_how_far_it_is(
    place: Place, card: str, state: InvoicePaymentState, decline_code: str | None
) -> None:
    """
    The bank's decline code, and the secret with which a browser continues.
    """
    report = await place.started(card=card)

    collection = await place.gateway.invoice_payment(invoice_of(report))

    secret = collection.client_secret
    assert collection == InvoicePayment(
        state=state, client_secret=secret, decline_code=decline_code
    )
    assert (secret is None) is (state is InvoicePaymentState.PAID)
    assert secret is None or "_secret_" in secret


@pytest.mark.parametrize(
    ("closed_as", "state"),
    [
        (None, DisputeState.OPEN),
        ("winning_evidence", DisputeState.WON),
        ("losing_evidence", DisputeState.LOST),
    ],
)
async def test_a_disputed_payment_says_how_the_dispute_stands(
    place: Place, closed_as: str | None, state: DisputeState
) -> None:
    """
    The charge alone only shows that a dispute existed, long after it was lost.
    """
    report = await place.started(card="pm_card_createDispute")
    [charge] = place.api("GET", "charges", customer=report.customer_id)["data"]
    [dispute] = place.api("GET", "disputes", charge=charge["id"])["data"]
    if closed_as:
        evidence = {"uncategorized_text": closed_as}
        place.post(f"disputes/{dispute['id']}", evidence=evidence, submit=True)

    payment = (await place.gateway.payment(PaymentId(charge["id"]))).payment

    assert payment.dispute is state
    assert payment.amount == Money(900, "eur")


async def test_a_price_says_whether_it_can_be_sold(place: Place) -> None:
    """
    One-time or recurring, active or not; and a product has one, or none.
    """
    often = place.price()
    once = place.post(
        "prices", currency="eur", unit_amount=500, product=often["product"]
    )
    product = often["product"]
    with pytest.raises(GatewayObjectMissing) as missing:
        await place.gateway.price_of(product)
    assert missing.value.what == "price"
    place.post(f"products/{product}", default_price=often["id"])
    assert await place.gateway.price_of(product) == await place.gateway.price(
        often["id"]
    )
    assert not (await place.gateway.price(once["id"])).recurring

    place.post(f"prices/{once['id']}", active=False)
    assert not (await place.gateway.price(once["id"])).active


async def test_a_preview_bills_another_interval_at_once(place: Place) -> None:
    """
    A new period begins: its whole price is due, less the rest of the old one.
    """
    report = await place.started()
    yearly = place.price(9000, recurring={"interval": "year"})["id"]
    place.sandbox.advance("3 days")
    change = UpdateSubscription(
        subscription=report.gateway_id,
        item_id=report.item_id,
        price=yearly,
        proration_date=place.sandbox.now,
    )

    preview = await place.gateway.preview(report.customer_id, change)

    amounts = [line.amount_minor for line in preview.lines]
    assert 9000 in amounts
    assert preview.due == Money(sum(amounts), "eur")
    assert preview.due.amount_minor < 9000
    answer = await place.ask(change)
    assert answer.paid_period is not None
    assert answer.paid_period.ends_at == reported(answer).period_end


async def test_a_preview_needs_a_date_and_refuses_what_cannot_be(place: Place) -> None:
    """
    Without a date the preview could not be paid as shown; the refusal names the field.
    """
    report = await place.started()
    change = UpdateSubscription(
        subscription=report.gateway_id, item_id=report.item_id, quantity=2
    )
    with pytest.raises(InvalidValue):
        await place.gateway.preview(report.customer_id, change)
    for wanted, field in (
        ({"proration_date": place.sandbox.now + timedelta(days=99)}, "proration_date"),
        ({"proration_date": place.sandbox.now, "price": "price_nothing"}, "price"),
    ):
        with pytest.raises(GatewayRefused) as refusal:
            await place.gateway.preview(
                report.customer_id, attrs.evolve(change, **wanted)
            )
        assert refusal.value.field == field


# Answers that the sandbox does not give


@pytest.mark.parametrize(
    ("error", "state", "decline_code"),
    [
        (None, InvoicePaymentState.OPEN, None),
        ({"code": "card_declined"}, InvoicePaymentState.DECLINED, "card_declined"),
        (
            {"code": "card_declined", "decline_code": "lost_card"},
            InvoicePaymentState.DECLINED,
            "lost_card",
        ),
        (
            {"code": "authentication_required"},
            InvoicePaymentState.REQUIRES_ACTION,
            "authentication_required",
        ),
        (
            {"code": "card_declined", "decline_code": "authentication_required"},
            InvoicePaymentState.REQUIRES_ACTION,
            "authentication_required",
        ),
    ],
)
async def test_a_bank_that_wants_its_absent_customer_wants_action(
    error: object, state: InvoicePaymentState, decline_code: str | None
) -> None:
    """
    A renewal is tried off-session, and the payer can still confirm it. Of an invoice's
    payments the default one counts, and no canceled one.
    """
    payments = [
        {"payment": {"payment_intent": intent}, "status": status, "is_default": default}
        for intent, status, default in (
            ("pi_1", "canceled", True),
            ("pi_2", "open", False),
            ("pi_3", "open", True),
        )
    ]
    invoice = {**INVOICE, "status": "open", "payments": {"data": payments}}
    intent = {
        "id": "pi_3",
        "object": "payment_intent",
        "status": "requires_payment_method",
        "client_secret": "pi_3_secret_1",
        "last_payment_error": error,
    }
    async with lying() as (gateway, liar):
        liar.answers = {
            "/v1/invoices/in_1": answer(invoice),
            "/v1/payment_intents/pi_3": answer(intent),
        }
        collection = await gateway.invoice_payment("in_1")
        # The invoice's secret for the browser has precedence over that of its payment.
        told = {**invoice, "confirmation_secret": {"client_secret": "in_1_secret_1"}}
        liar.answers = {**liar.answers, "/v1/invoices/in_1": answer(told)}
        confirmed = await gateway.invoice_payment("in_1")

    assert collection == InvoicePayment(
        state=state, client_secret="pi_3_secret_1", decline_code=decline_code
    )
    assert confirmed.client_secret == "in_1_secret_1"


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("succeeded", InvoicePaymentState.PAID),
        ("canceled", InvoicePaymentState.CLOSED),
        ("processing", InvoicePaymentState.OPEN),
        ("requires_confirmation", InvoicePaymentState.OPEN),
        ("teleported", InvoicePaymentState.OPEN),
    ],
)
async def test_an_open_invoice_is_as_its_payment_is(
    status: str, state: InvoicePaymentState
) -> None:
    """
    An unknown status does not count as ended.
    """
    payments = [{"payment": {"payment_intent": {"id": "pi_1"}}, "status": "open"}]
    intent = {"id": "pi_1", "object": "payment_intent", "status": status}
    invoice = {**INVOICE, "status": "open", "payments": {"data": payments}}
    async with lying(answer(invoice)) as (gateway, liar):
        liar.answers = {"/v1/payment_intents/pi_1": answer(intent)}
        assert (await gateway.invoice_payment("in_1")).state is state


async def test_a_deleted_customer_has_no_card() -> None:
    """
    It is still reported, as nothing but its id.
    """
    body = {"id": "cus_1", "object": "customer", "deleted": True}
    async with lying(answer(body)) as (gateway, _):
        assert await gateway.card_of(CUS_1) is None


async def test_a_card_of_the_older_api_pays_if_none_was_chosen(place: Place) -> None:
    """
    A payment method has precedence; a source that is no card is never shown.
    """
    customer = place.post("customers")
    theirs = CustomerId(customer["id"])
    chosen = place.card(theirs)
    method = place.api("GET", f"payment_methods/{chosen}") | {"id": "card_1"}

    def pays(source: str, payment_method: str | None) -> None:
        settings = customer["invoice_settings"]
        settings = {**settings, "default_payment_method": payment_method}
        place.sandbox.import_objects(
            [
                method,
                customer | {"default_source": source, "invoice_settings": settings},
            ]
        )

    pays("card_1", None)
    card = await place.gateway.card_of(theirs)
    assert card is not None
    assert card.id == "card_1"

    pays("card_1", chosen)
    card = await place.gateway.card_of(theirs)
    assert card is not None
    assert card.id == chosen

    pays("ba_1", None)
    assert await place.gateway.card_of(theirs) is None


async def test_what_is_attached_and_no_card_is_refused() -> None:
    """
    A bank account may be a payment method too; the service accepts none.
    """
    request = AttachCard(customer_id=CUS_1, payment_method="pm_1")
    async with lying(answer({**METHOD, "card": None})) as (gateway, _):
        failure = await failure_of(gateway, request)
    assert isinstance(failure, GatewayRefused)
    assert failure.field == "payment_method"
