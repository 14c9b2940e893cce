"""The Stripe gateway's requests, by the SDK over HTTP to a sandbox.

The promises of every gateway are in `contracts`; here are Stripe's details.
"""

import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, Final

import attrs
import pytest
import stripe

from payments_adapters.stripe.api_shapes import API_VERSION
from payments_core.errors import GatewayRefused
from payments_core.gateway import (
    AttachCard,
    CancelSubscription,
    CreateSetupIntent,
    GatewayRequest,
    MakeDefault,
    PayInvoice,
    SetCancelAtPeriodEnd,
    SetSubscriptionCard,
    UpdateSubscription,
)
from payments_core.identity import CustomerId
from payments_core.subscription import PaidPeriod
from payments_sandbox.api_versions import ACACIA, BASIL, NEWEST
from payments_sandbox.forms import parsed
from support.lying_stripe import ADA, CREATE
from support.stripe_gateway import Place, invoice_of

pytestmark = pytest.mark.anyio
MARK: Final = {"user_id": "ada", "intent_id": "intent-1"}


# Requests


Asking = Callable[[Place], Awaitable[tuple[GatewayRequest, str, dict[str, Any]]]]


async def _create_customer(_: Place) -> Any:
    return CREATE, "POST customers", {"email": "ada@example.com", "metadata": MARK}


async def _set_up_card(place: Place) -> Any:
    customer = place.customer(None)
    request = CreateSetupIntent(customer_id=customer, user_id=ADA, intent_id="intent-1")
    return (
        request,
        "POST setup_intents",
        {
            "customer": customer,
            "allowed_payment_method_types": ["card"],
            "usage": "off_session",
            "metadata": MARK,
        },
    )


async def _attach_card(place: Place) -> Any:
    customer, card = place.customer(None), place.new_card()
    request = AttachCard(customer_id=customer, payment_method=card)
    return request, f"POST payment_methods/{card}/attach", {"customer": customer}


async def _make_default(place: Place) -> Any:
    customer = place.customer(None)
    card = place.card(customer)
    request = MakeDefault(customer_id=customer, payment_method=card)
    return (
        request,
        f"POST customers/{customer}",
        {"invoice_settings": {"default_payment_method": card}},
    )


async def _pin_card(place: Place) -> Any:
    report = await place.started()
    card = place.card(report.customer_id)
    request = SetSubscriptionCard(subscription=report.gateway_id, payment_method=card)
    return (
        request,
        f"POST subscriptions/{report.gateway_id}",
        {"default_payment_method": card},
    )


async def _pay_invoice(place: Place) -> Any:
    report = await place.started(has_card=False)
    card, invoice = place.card(report.customer_id), invoice_of(report)
    request = PayInvoice(invoice_id=invoice, payment_method=card)
    wanted = {"payment_method": card, "off_session": "false"}
    return request, f"POST invoices/{invoice}/pay", wanted


async def _start(place: Place) -> Any:
    customer, price = place.customer(), place.price()["id"]
    card = place.card(customer)
    request = place.start(customer, price, quantity=2, payment_method=card)
    wanted = {
        "customer": customer,
        "items": [{"price": price, "quantity": "2"}],
        "default_payment_method": card,
        "metadata": MARK,
        "off_session": "false",
        "payment_behavior": "allow_incomplete",
        "payment_settings": {"save_default_payment_method": "on_subscription"},
        "expand": ["latest_invoice"],
    }
    return request, "POST subscriptions", wanted


async def _start_without_a_card(place: Place) -> Any:
    request, where, wanted = await _start(place)
    for gone in ("default_payment_method",):
        del wanted[gone]
    request = attrs.evolve(request, payment_method=None, trial_days=7, has_card=False)
    trial = {"trial_period_days": "7", "payment_behavior": "default_incomplete"}
    return request, where, {**wanted, **trial}


async def _change(place: Place) -> Any:
    report = await place.started()
    dearer = place.price(1900)["id"]
    date = int(place.sandbox.now.timestamp())
    request = UpdateSubscription(
        subscription=report.gateway_id,
        item_id=report.item_id,
        price=dearer,
        quantity=3,
        proration_date=datetime.fromtimestamp(date, UTC),
    )
    wanted = {
        "items": [{"id": report.item_id, "price": dearer, "quantity": "3"}],
        "payment_behavior": "pending_if_incomplete",
        "proration_behavior": "always_invoice",
        "proration_date": str(date),
        "expand": ["latest_invoice"],
    }
    return request, f"POST subscriptions/{report.gateway_id}", wanted


async def _plan_end(place: Place) -> Any:
    report = await place.started()
    request = SetCancelAtPeriodEnd(
        subscription=report.gateway_id, cancel_at_period_end=True
    )
    wanted = {"cancel_at_period_end": "true", "expand": ["latest_invoice"]}
    return request, f"POST subscriptions/{report.gateway_id}", wanted


async def _end(place: Place) -> Any:
    report = await place.started()
    request = CancelSubscription(subscription=report.gateway_id)
    return request, f"DELETE subscriptions/{report.gateway_id}", {}


ASKINGS: Final[tuple[Asking, ...]] = (
    _create_customer,
    _set_up_card,
    _attach_card,
    _make_default,
    _pin_card,
    _pay_invoice,
    _start,
    _start_without_a_card,
    _change,
    _plan_end,
    _end,
)
of_each_kind = pytest.mark.parametrize(
    "asking", ASKINGS, ids=lambda asking: asking.__name__.strip("_")
)


@of_each_kind
async def test_a_request_is_asked_in_stripes_words(
    place: Place, asking: Asking
) -> None:
    """
    The path, the form, our key and our version: exactly these.
    """
    request, where, wanted = await asking(place)
    place.asked.clear()

    answer = await place.ask(request, "intent-1.step.1")

    [sent] = place.asked
    method, _, path = where.partition(" ")
    assert (sent.method, sent.path) == (method, f"/v1/{path}")
    assert parsed(sent.body.decode()) == wanted
    assert sent.query == ""
    assert sent.headers["stripe-version"] == API_VERSION
    assert sent.headers["idempotency-key"] == "intent-1.step.1"
    assert "identity" in sent.headers["accept-encoding"]
    assert answer.at == place.sandbox.now


@of_each_kind
async def test_what_is_frozen_is_the_same_every_time(
    place: Place, asking: Asking
) -> None:
    """
    JSON with sorted keys, with the version in which it will be sent.
    """
    request, where, _ = await asking(place)
    frozen = place.gateway.freeze(request)

    assert frozen == place.gateway.freeze(request)
    assert f"{frozen.method} {frozen.path}" == where.replace(" ", " /v1/")
    assert frozen.api_version == API_VERSION == stripe.api_version
    assert frozen.body == json.dumps(
        json.loads(frozen.body), sort_keys=True, separators=(",", ":")
    )


@pytest.mark.parametrize("version", [ACACIA, BASIL, NEWEST])
async def test_what_an_older_release_froze_is_sent_and_read(
    place: Place, version: str
) -> None:
    """
    In the old version, and the answer reads the same as in today's.
    """
    customer = place.customer()
    request = place.start(customer, place.price()["id"])

    answer = await place.ask(request, api_version=version)

    assert place.asked[-1].headers["stripe-version"] == version
    looked = await place.gateway.subscription(answer.id)
    assert answer.subscription == looked.report
    assert (
        answer.paid_period
        == looked.paid_periods[0]
        == PaidPeriod(
            gateway_id=answer.id,
            invoice_id=invoice_of(looked.report),
            starts_at=looked.report.period_start,
            ends_at=looked.report.period_end,
        )
    )


@pytest.mark.parametrize("id_", ["", "a/b", "../x", "a?b", "a%2Fb", "é", "a b", "a\n"])
async def test_what_is_no_id_does_not_become_an_address(place: Place, id_: str) -> None:
    """
    It could lead anywhere, with our key.
    """
    for request, field in (
        (
            AttachCard(customer_id=CustomerId("cus_1"), payment_method=id_),
            "payment_method",
        ),
        (MakeDefault(customer_id=CustomerId(id_), payment_method="pm_1"), "customer"),
        (CancelSubscription(subscription=id_), "subscription"),
        (PayInvoice(invoice_id=id_, payment_method="pm_1"), "invoice"),
    ):
        with pytest.raises(GatewayRefused) as refusal:
            place.gateway.freeze(request)
        assert refusal.value.field == field
    with pytest.raises(GatewayRefused) as refusal:
        await place.gateway.price(id_)
    assert refusal.value.field == "price"
    assert place.asked == []


# Requests that were already executed


async def test_what_is_done_already_is_done(place: Place) -> None:
    """
    Ended, paid, attached before, under another key: a success, and `find` returns it.
    """
    report = await place.started(has_card=False)
    card = place.card(report.customer_id)
    for request in (
        PayInvoice(invoice_id=invoice_of(report), payment_method=card),
        AttachCard(customer_id=report.customer_id, payment_method=card),
        CancelSubscription(subscription=report.gateway_id),
    ):
        first, again = [
            await place.ask(request, f"{type(request).__name__}.{number}")
            for number in range(2)
        ]
        # `find` reads the latest invoice as well, and so the paid period.
        looked = await place.gateway.find(request)
        assert looked is not None
        for answer_ in (again, looked):
            assert attrs.evolve(answer_, paid_period=None) == first


async def test_a_no_is_not_taken_for_done(place: Place) -> None:
    """
    Another's card, a void invoice, a subscription that never existed.
    """
    report = await place.started(has_card=False)
    card, other = place.card(report.customer_id), place.card(place.customer(None))
    await place.ask(CancelSubscription(subscription=report.gateway_id))
    refused: list[tuple[GatewayRequest, str | None]] = [
        (PayInvoice(invoice_id=invoice_of(report), payment_method=card), None),
        (
            AttachCard(customer_id=report.customer_id, payment_method=other),
            "payment_method",
        ),
        (CancelSubscription(subscription="sub_nothing"), None),
    ]
    for request, field in refused:
        with pytest.raises(GatewayRefused) as refusal:
            await place.ask(request, "key-2")
        assert (refusal.value.declined, refusal.value.field) == (False, field)
        assert await place.gateway.find(request) is None


async def test_a_magic_card_is_attached_under_a_name_of_its_own(place: Place) -> None:
    """
    In test mode `pm_card_visa` creates one; it cannot be found by that name.
    """
    request = AttachCard(
        customer_id=place.customer(None), payment_method="pm_card_visa"
    )
    answer_ = await place.ask(request)
    assert answer_.card is not None
    assert answer_.id == answer_.card.id != request.payment_method
    assert await place.gateway.find(request) is None

    nobodys = attrs.evolve(request, customer_id=CustomerId("cus_nothing"))
    with pytest.raises(GatewayRefused) as refusal:
        await place.ask(nobodys, "key-2")
    assert refusal.value.field == "customer"
