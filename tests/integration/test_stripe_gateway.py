"""Stripe as the gateway: the real SDK over HTTP, against a sandbox, and against liars.

What every gateway promises is in `contracts`; here is what is Stripe's own: the words
of requests, of refusals, and what is not believed. No warning is let through: the
transport is ours.
"""

import asyncio
import gzip
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import formatdate
from functools import partial
from http import HTTPStatus
from typing import Any, Final

import attrs
import pytest
import stripe
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from payments_adapters.stripe.gateway import StripeGateway
from payments_adapters.stripe.objects import API_VERSION
from payments_adapters.stripe.transport import ANSWER_BYTES_MAX, Transport
from payments_core.errors import (
    GatewayBusy,
    GatewayObjectMissing,
    GatewayRefused,
    GatewaySilent,
    InvalidValue,
    PaymentsError,
)
from payments_core.gateway import (
    Answer,
    AttachCard,
    ChangeSubscription,
    Collection,
    CollectionState,
    CreateCustomer,
    EndSubscription,
    GatewayRequest,
    MakeDefault,
    PayInvoice,
    PinCard,
    PlanEnd,
    SetUpCard,
    StartSubscription,
)
from payments_core.identity import CustomerId, UserId
from payments_core.money import Money
from payments_core.payment import DisputeState, PaymentId
from payments_core.subscription import PaidTerm, SubscriptionReport
from payments_service.sandbox import Fault, Sandbox
from payments_service.sandbox.api import ApiRequest, ApiResponse
from payments_service.sandbox.forms import parsed
from payments_service.sandbox.generations import ACACIA, BASIL, NEWEST
from support.sandbox import Api, Conformance

pytestmark = pytest.mark.anyio

KEY: Final = "sk_test_" + "x" * 16
# Less than a slow answer of the sandbox takes; little to wait for in vain.
DEADLINE_S: Final = 0.4
PATIENCE_S: Final = 30.0
ADA: Final = UserId("ada")
MARK: Final = {"user_id": "ada", "intent_id": "intent-1"}
CARD_NUMBER: Final = "4242" * 4

CREATE: Final = CreateCustomer(
    user_id=ADA, email="ada@example.com", intent_id="intent-1"
)

# The sandbox


@attrs.frozen
class Place:
    """A gateway, the sandbox that it takes for Stripe, and what it was asked."""

    gateway: StripeGateway
    sandbox: Sandbox
    asked: list[ApiRequest]

    def api(self, method: str, path: str, **params: Any) -> Any:
        """Do something at Stripe that is not ours to do."""
        # Its engine is its own thread's.
        api = Api(self.sandbox.engine)
        return self.sandbox._do(lambda: api.call(method, path, params))

    def post(self, path: str, **params: Any) -> Any:
        return self.api("POST", path, **params)

    def price(self, unit_amount: int = 900, **more: Any) -> Any:
        return self.post(
            "prices",
            **{
                "currency": "eur",
                "unit_amount": unit_amount,
                "recurring": {"interval": "month"},
                "product_data": {"name": f"Plan {unit_amount}"},
                **more,
            },
        )

    def customer(self, card: str | None = "pm_card_visa") -> CustomerId:
        id_ = self.post("customers", email="ada@example.com")["id"]
        if card is not None:
            self.post(
                f"customers/{id_}",
                invoice_settings={"default_payment_method": self.card(id_, card)},
            )
        return CustomerId(id_)

    def card(self, customer: str, name: str = "pm_card_visa") -> str:
        return str(self.post(f"payment_methods/{name}/attach", customer=customer)["id"])

    def new_card(self) -> str:
        made = self.post("payment_methods", type="card", card={"token": "tok_visa"})
        return str(made["id"])

    async def ask(
        self, request: GatewayRequest, key: str = "key-1", **frozen: str
    ) -> Answer:
        """Send a request; `frozen` is what an older release froze otherwise."""
        bytes_ = attrs.evolve(self.gateway.freeze(request), **frozen)
        return await self.gateway.send(request, bytes_, idempotency_key=key)

    def start(self, customer: CustomerId, price: str, **more: Any) -> StartSubscription:
        wanted: dict[str, Any] = {"quantity": 1, "has_card": True, **more}
        return StartSubscription(
            customer_id=customer,
            price=price,
            user_id=ADA,
            intent_id="intent-1",
            **wanted,
        )

    async def started(self, **more: Any) -> SubscriptionReport:
        """Begin a subscription of a new customer to a new price."""
        customer = self.customer(more.pop("card", "pm_card_visa"))
        request = self.start(customer, self.price()["id"], **more)
        return reported(await self.ask(request, f"start-{customer}"))


@pytest.fixture
async def place(sandbox: Sandbox) -> AsyncIterator[Place]:
    """Begin anew; all that is asked and said has to be of the SDK's types."""
    async with opened(sandbox) as place:
        yield place


@asynccontextmanager
async def opened(sandbox: Sandbox) -> AsyncIterator[Place]:
    sandbox.reset()
    sandbox.calm()
    conformance, asked = Conformance(), list[ApiRequest]()

    def watch(request: ApiRequest, response: ApiResponse) -> None:
        conformance(request, response)
        asked.append(request)

    sandbox.engine.watch = watch
    gateway = StripeGateway(sandbox.api_key, base=sandbox.url, livemode=False)
    async with gateway.opened(Transport(deadline_s=PATIENCE_S)):
        yield Place(gateway, sandbox, asked)
    assert conformance.problems == []


def reported(answer: Answer) -> SubscriptionReport:
    assert answer.subscription is not None
    return answer.subscription


def invoice_of(report: SubscriptionReport) -> str:
    assert report.latest_invoice_id is not None
    return report.latest_invoice_id


# What is asked


Asking = Callable[[Place], Awaitable[tuple[GatewayRequest, str, dict[str, Any]]]]


async def _create_customer(_: Place) -> Any:
    return CREATE, "POST customers", {"email": "ada@example.com", "metadata": MARK}


async def _set_up_card(place: Place) -> Any:
    customer = place.customer(None)
    request = SetUpCard(customer_id=customer, user_id=ADA, intent_id="intent-1")
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
    request = PinCard(subscription=report.gateway_id, payment_method=card)
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
    request = ChangeSubscription(
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
    request = PlanEnd(subscription=report.gateway_id, cancel_at_period_end=True)
    wanted = {"cancel_at_period_end": "true", "expand": ["latest_invoice"]}
    return request, f"POST subscriptions/{report.gateway_id}", wanted


async def _end(place: Place) -> Any:
    report = await place.started()
    request = EndSubscription(subscription=report.gateway_id)
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
    The address, the form, our key and our version: all of it, and nothing else.
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
    JSON whose keys are sorted, with the version in which it will be sent.
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
    In the version of then, and the answer says the same as in today's.
    """
    customer = place.customer()
    request = place.start(customer, place.price()["id"])

    answer = await place.ask(request, api_version=version)

    assert place.asked[-1].headers["stripe-version"] == version
    looked = await place.gateway.subscription(answer.id)
    assert answer.subscription == looked.report
    assert (
        answer.term
        == looked.term
        == PaidTerm(
            gateway_id=answer.id,
            invoice_id=invoice_of(looked.report),
            starts_at=looked.report.period_start,
            ends_at=looked.report.period_end,
        )
    )


@pytest.mark.parametrize("id_", ["", "a/b", "../x", "a?b", "a%2Fb", "é", "a b", "a\n"])
async def test_what_is_no_id_does_not_become_an_address(place: Place, id_: str) -> None:
    """
    It could lead to anywhere, with our key.
    """
    for request, field in (
        (
            AttachCard(customer_id=CustomerId("cus_1"), payment_method=id_),
            "payment_method",
        ),
        (MakeDefault(customer_id=CustomerId(id_), payment_method="pm_1"), "customer"),
        (EndSubscription(subscription=id_), "subscription"),
        (PayInvoice(invoice_id=id_, payment_method="pm_1"), "invoice"),
    ):
        with pytest.raises(GatewayRefused) as refusal:
            place.gateway.freeze(request)
        assert refusal.value.field == field
    with pytest.raises(GatewayRefused) as refusal:
        await place.gateway.price(id_)
    assert refusal.value.field == "price"
    assert place.asked == []


# What has been done already


async def test_what_is_done_already_is_done(place: Place) -> None:
    """
    Ended, paid, attached before, under another key: a success, and found as well.
    """
    report = await place.started(has_card=False)
    card = place.card(report.customer_id)
    for request in (
        PayInvoice(invoice_id=invoice_of(report), payment_method=card),
        AttachCard(customer_id=report.customer_id, payment_method=card),
        EndSubscription(subscription=report.gateway_id),
    ):
        first, again = [
            await place.ask(request, f"{type(request).__name__}.{number}")
            for number in range(2)
        ]
        # Who looks sees the latest invoice as well, and so what was paid for.
        looked = await place.gateway.find(request)
        assert looked is not None
        for answer_ in (again, looked):
            assert attrs.evolve(answer_, term=None) == first


async def test_a_no_is_not_taken_for_done(place: Place) -> None:
    """
    Another's card, a void invoice, a subscription that never was.
    """
    report = await place.started(has_card=False)
    card, other = place.card(report.customer_id), place.card(place.customer(None))
    await place.ask(EndSubscription(subscription=report.gateway_id))
    refused: list[tuple[GatewayRequest, str | None]] = [
        (PayInvoice(invoice_id=invoice_of(report), payment_method=card), None),
        (
            AttachCard(customer_id=report.customer_id, payment_method=other),
            "payment_method",
        ),
        (EndSubscription(subscription="sub_nothing"), None),
    ]
    for request, field in refused:
        with pytest.raises(GatewayRefused) as refusal:
            await place.ask(request, "key-2")
        assert (refusal.value.declined, refusal.value.field) == (False, field)
        assert await place.gateway.find(request) is None


async def test_a_magic_card_is_attached_under_a_name_of_its_own(place: Place) -> None:
    """
    In the test mode `pm_card_visa` makes one; it cannot be found by that name.
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


# What is read


async def test_a_term_is_found_behind_a_proration(place: Place) -> None:
    """
    The latest invoice covers nothing new; an older one tells what was paid for.
    """
    report = await place.started()
    place.sandbox.advance("3 days")
    change = ChangeSubscription(
        subscription=report.gateway_id, item_id=report.item_id, quantity=2
    )
    answer = await place.ask(change)
    assert answer.term is None

    looked = await place.gateway.subscription(report.gateway_id)

    assert looked.report.latest_invoice_id != report.latest_invoice_id
    assert looked.term is not None
    assert looked.term.invoice_id == report.latest_invoice_id
    assert looked.term.ends_at == report.period_end
    assert looked.at == place.sandbox.now


async def test_what_somebody_added_covers_nothing(place: Place) -> None:
    """
    A fee on the invoice of a renewal has a period too, of no length or of any.
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

    assert looked.term is not None
    assert looked.term.ends_at == looked.report.period_end > report.period_end


@pytest.mark.parametrize(
    ("card", "state", "decline_code"),
    [
        ("pm_card_chargeCustomerFail", CollectionState.DECLINED, "generic_decline"),
        ("pm_card_authenticationRequired", CollectionState.REQUIRES_ACTION, None),
        ("pm_card_visa", CollectionState.PAID, None),
    ],
)
async def test_a_collection_tells_how_far_it_is(
    place: Place, card: str, state: CollectionState, decline_code: str | None
) -> None:
    """
    What the bank said, and the secret with which a browser goes on.
    """
    report = await place.started(card=card)

    collection = await place.gateway.collection(invoice_of(report))

    secret = collection.client_secret
    assert collection == Collection(
        state=state, client_secret=secret, decline_code=decline_code
    )
    assert (secret is None) is (state is CollectionState.PAID)
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
    The charge alone only says that there was one, long after it was lost.
    """
    report = await place.started(card="pm_card_createDispute")
    [charge] = place.api("GET", "charges", customer=report.customer_id)["data"]
    [dispute] = place.api("GET", "disputes", charge=charge["id"])["data"]
    if closed_as:
        evidence = {"uncategorized_text": closed_as}
        place.post(f"disputes/{dispute['id']}", evidence=evidence, submit=True)

    payment = await place.gateway.payment(PaymentId(charge["id"]))

    assert payment.dispute is state
    assert payment.amount == Money(900, "eur")


async def test_a_price_says_whether_it_can_be_sold(place: Place) -> None:
    """
    Once or again and again, still or no more; and a product has one, or none.
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
    A new period begins: its whole price is due, less what is left of the old one.
    """
    report = await place.started()
    yearly = place.price(9000, recurring={"interval": "year"})["id"]
    place.sandbox.advance("3 days")
    change = ChangeSubscription(
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
    assert answer.term is not None
    assert answer.term.ends_at == reported(answer).period_end


async def test_a_preview_needs_a_date_and_refuses_what_cannot_be(place: Place) -> None:
    """
    Without a date nobody could pay what was said; the refusal names the field.
    """
    report = await place.started()
    change = ChangeSubscription(
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


# What goes wrong on the way


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (Fault.RATE_LIMITED, GatewayBusy),
        (Fault.RATE_LIMITED_RETRY_AFTER, GatewayBusy),
        (Fault.ERROR_BEFORE, "poisoned"),
        (Fault.ERROR_AFTER, "poisoned"),
        (Fault.TIMEOUT_BEFORE, "silent"),
        (Fault.TIMEOUT_AFTER, "silent"),
        (Fault.SLOW, "silent"),
        (Fault.RESET, "silent"),
    ],
)
async def test_each_fault_is_what_it_is(
    place: Place, fault: Fault, expected: object
) -> None:
    """
    Nothing was done, or nobody knows; and whether the key is still of use.
    """
    hasty = StripeGateway(place.sandbox.api_key, base=place.sandbox.url, livemode=False)
    place.sandbox.plan(fault, "POST /v1/customers")
    async with hasty.opened(Transport(deadline_s=DEADLINE_S)):
        error = await failure_of(hasty)

    if isinstance(error, GatewaySilent):
        assert error.poisoned is (expected == "poisoned")
    else:
        assert isinstance(error, GatewayBusy)
        assert expected is GatewayBusy
    was_made = fault in {
        Fault.ERROR_AFTER,
        Fault.TIMEOUT_AFTER,
        Fault.SLOW,
        Fault.RESET,
    }
    assert bool(place.api("GET", "customers")["data"]) is was_made
    assert bool(await place.gateway.find(CREATE)) is was_made


async def test_a_key_that_carried_something_else_is_silence(place: Place) -> None:
    """
    Ours was not done, but who knows what was: no new key is taken blindly.
    """
    await place.ask(CREATE, "key-1")
    with pytest.raises(GatewaySilent) as silence:
        await place.ask(attrs.evolve(CREATE, email="bob@example.com"), "key-1")
    assert not silence.value.poisoned


async def test_a_key_that_stripe_does_not_know_is_busy(sandbox: Sandbox) -> None:
    """
    Nothing was done; somebody has to mend the key.
    """
    gateway = StripeGateway("sk_test_" + "y" * 16, base=sandbox.url, livemode=False)
    async with gateway.opened():
        with pytest.raises(GatewayBusy):
            await gateway.price("price_1")


async def test_nobody_is_asked_without_a_key_or_when_it_is_closed(
    sandbox: Sandbox,
) -> None:
    """
    Nothing was done.
    """
    for key in (None, "", sandbox.api_key):
        gateway = StripeGateway(key, base=sandbox.url, livemode=False)
        with pytest.raises(GatewayBusy):
            await gateway.price("price_1")
        async with gateway.opened():
            with pytest.raises((GatewayBusy, GatewayObjectMissing)) as failure:
                await gateway.price("price_1")
        assert isinstance(failure.value, GatewayObjectMissing) is bool(key)
        assert KEY not in repr(gateway._client)


def test_it_is_opened_in_one_event_loop_after_the_other(sandbox: Sandbox) -> None:
    """
    A worker, a command and a server each have their own.
    """
    gateway = StripeGateway(sandbox.api_key, base=sandbox.url, livemode=False)

    async def ask() -> None:
        async with gateway.opened():
            with pytest.raises(GatewayObjectMissing):
                await gateway.price("price_1")

    for _ in range(2):
        asyncio.run(ask())


async def test_the_sdk_tells_nobody_of_us(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    """
    No telemetry, which writes into a home; no addresses and messages in the logs.
    """
    assert stripe.enable_telemetry is False
    with caplog.at_level(logging.DEBUG), pytest.raises(GatewayRefused):
        await place.ask(attrs.evolve(CREATE, email="not an e-mail"))
    assert "x-stripe-client-telemetry" not in place.asked[-1].headers
    told = [it.getMessage() for it in caplog.records if it.name.startswith("stripe")]
    assert told == []


# Whoever lies


@attrs.define
class Liar:
    """Answers with the same bytes, or those of an address; may keep one waiting."""

    url: str = ""
    answer: bytes = b""
    answers: Mapping[str, bytes] = attrs.field(factory=dict)
    asked: list[bytes] = attrs.field(factory=list)
    holds: bool = False
    drips: bool = False
    _over: asyncio.Event = attrs.field(factory=asyncio.Event)

    async def serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        try:
            self.asked.append(await reader.readuntil(b"\r\n\r\n"))
            path = self.asked[-1].split(b" ")[1].partition(b"?")[0].decode()
            writer.write(self.answers.get(path, self.answer))
            await writer.drain()
            while self.drips:
                # One byte each time that anybody else may run.
                writer.write(b" ")
                await writer.drain()
                await asyncio.sleep(0)
            if self.holds:
                await self._over.wait()
        except (ConnectionError, asyncio.IncompleteReadError):
            return
        finally:
            writer.close()

    def end(self) -> None:
        self.drips = False
        self._over.set()


@asynccontextmanager
async def lying(
    answer: bytes = b"",
    *,
    livemode: bool = False,
    deadline_s: float = PATIENCE_S,
    holds: bool = False,
    drips: bool = False,
) -> AsyncIterator[tuple[StripeGateway, Liar]]:
    """Lend a gateway whose Stripe is a liar."""
    liar = Liar(answer=answer, holds=holds, drips=drips)
    server = await asyncio.start_server(liar.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    liar.url = f"http://127.0.0.1:{port}"
    gateway = StripeGateway(KEY, base=liar.url, livemode=livemode)
    async with gateway.opened(Transport(deadline_s=deadline_s)):
        try:
            yield gateway, liar
        finally:
            liar.end()
            server.close()
            await server.wait_closed()


def answer(
    body: bytes | dict[str, Any] | list[Any],
    status: int = HTTPStatus.OK,
    **headers: str,
) -> bytes:
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    usual = {
        "Date": formatdate(0, usegmt=True),
        "Content-Type": "application/json",
        "Content-Length": str(len(body)),
        "Connection": "close",
    }
    given_ = {name.replace("_", "-").title(): it for name, it in headers.items()}
    lines = [f"{name}: {it}" for name, it in (usual | given_).items() if it]
    head = "\r\n".join([f"HTTP/1.1 {status} Whatever", *lines, "", ""])
    return head.encode() + body


CUSTOMER: Final[dict[str, Any]] = {
    "id": "cus_1",
    "object": "customer",
    "livemode": False,
    "metadata": {"intent_id": "intent-1"},
    "invoice_settings": {"default_payment_method": "pm_1"},
}


async def failure_of(gateway: StripeGateway, request: GatewayRequest = CREATE) -> Any:
    frozen = gateway.freeze(request)
    with pytest.raises(PaymentsError) as failure:
        await gateway.send(request, frozen, idempotency_key="key-1")
    return failure.value


async def test_a_good_answer_is_believed() -> None:
    """
    The liar can tell the truth: what fails below fails for its lie.
    """
    async with lying(answer(CUSTOMER)) as (gateway, _):
        frozen = gateway.freeze(CREATE)
        got = await gateway.send(CREATE, frozen, idempotency_key="key-1")
    assert got == Answer(id="cus_1", at=datetime.fromtimestamp(0, UTC))


LIES: Final[Mapping[str, bytes]] = {
    "nothing at all": b"",
    "half a head": b"HTTP/1.1 200 OK\r\nDate: ",
    "no HTTP": b"220 smtp.example.com ESMTP\r\n",
    "HTML": answer(b"<html><body>Welcome to the hotel</body></html>"),
    "cut in its middle": answer(CUSTOMER)[:-20],
    "cut, of no length": answer(b'{"id": "cus_1", "obj', content_length=""),
    "not UTF-8": answer(b'{"id": "\xff", "object": "customer"}'),
    "a list": answer([CUSTOMER]),
    "null": answer(b"null"),
    "a number": answer(b"1"),
    "nested too deeply": answer(b"[" * 100_000),
    "a NUL": answer({**CUSTOMER, "name": "a\0b"}),
    "another kind": answer({**CUSTOMER, "object": "subscription"}),
    "no kind": answer({**CUSTOMER, "object": ""}),
    "the other mode": answer({**CUSTOMER, "livemode": True}),
    "another intent": answer({**CUSTOMER, "metadata": {"intent_id": "intent-2"}}),
    "nobody's intent": answer({**CUSTOMER, "metadata": {}}),
    "no id": answer({**CUSTOMER, "id": ""}),
    "an id of another type": answer({**CUSTOMER, "id": 7}),
    "no date": answer(CUSTOMER, date=""),
    "no such date": answer(CUSTOMER, date="yesterday"),
    "a date before time": answer(CUSTOMER, date="Fri, 01 Jan 0100 00:00:00 GMT"),
    "a date after time": answer(CUSTOMER, date="Fri, 31 Dec 9999 23:59:59 GMT"),
    "too long": answer(CUSTOMER | {"more": "x" * 5_000_000}),
    "too long, of no length": answer(b" " * 5_000_000, content_length=""),
    "packed": answer(
        gzip.compress(b" " * 5_000_000), content_encoding="gzip", content_length=""
    ),
    "packed unasked": answer(
        gzip.compress(json.dumps(CUSTOMER).encode()),
        content_encoding="gzip",
        content_length="",
    ),
    "a redirect": answer(b"", 302, location="http://127.0.0.1:9/v1/customers"),
    "a redirect that is an object": answer(CUSTOMER, 307, location="/elsewhere"),
    "nothing to say": answer(b"", 204),
    "a no in HTML": answer(b"<h1>Not Found</h1>", 404),
    "a no in no words": answer({}, 400),
    "a no in other words": answer({"detail": "go away"}, 422),
    "an empty no": answer({"error": {}}, 400),
    "a yes with an error": answer({"error": {"type": "api_error"}}),
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
async def test_a_lie_is_silence(lie: bytes) -> None:
    """
    It is neither yes nor no; the key may still tell. Nobody follows where it leads.
    """
    async with lying(lie) as (gateway, liar):
        failure = await failure_of(gateway)
    assert isinstance(failure, GatewaySilent)
    assert not failure.poisoned
    assert len(liar.asked) == 1


@pytest.mark.parametrize("drips", [False, True])
@pytest.mark.parametrize(
    "begun", [b"", answer(CUSTOMER, content_length="9000000")], ids=["none", "some"]
)
async def test_an_answer_that_does_not_end_is_silence(
    begun: bytes, *, drips: bool
) -> None:
    """
    The deadline is for the whole exchange, however often a byte comes.
    """
    async with lying(begun, deadline_s=DEADLINE_S, holds=True, drips=drips) as it:
        assert isinstance(await failure_of(it[0]), GatewaySilent)


async def test_nobody_there_is_silence() -> None:
    """
    A port at which nobody listens.
    """
    async with lying() as (_, liar):
        pass
    gateway = StripeGateway(KEY, base=liar.url, livemode=False)
    async with gateway.opened():
        failure = await failure_of(gateway)
    assert isinstance(failure, GatewaySilent)
    assert failure.reason == "ConnectError"


async def test_the_longest_answer_is_read() -> None:
    """
    The limit is on the limit, not beside it.
    """
    short = {**CUSTOMER, "more": ""}
    room = ANSWER_BYTES_MAX - len(json.dumps(short))
    for over in (0, 1):
        whole = {**CUSTOMER, "more": "x" * (room + over)}
        async with lying(answer(whole)) as (gateway, _):
            if over:
                assert isinstance(await failure_of(gateway), GatewaySilent)
            else:
                frozen = gateway.freeze(CREATE)
                await gateway.send(CREATE, frozen, idempotency_key="key-1")


@pytest.mark.parametrize("livemode", [True, False])
async def test_each_mode_believes_its_own(*, livemode: bool) -> None:
    """
    Test money never pays in live mode, nor the reverse.
    """
    for said in (True, False):
        body = {**CUSTOMER, "livemode": said}
        async with lying(answer(body), livemode=livemode) as (gateway, _):
            if said is livemode:
                frozen = gateway.freeze(CREATE)
                await gateway.send(CREATE, frozen, idempotency_key="key-1")
            else:
                assert isinstance(await failure_of(gateway), GatewaySilent)


# Each error of Stripe's: its status and words, what it is to us, and what it says.
Told = tuple[type[PaymentsError], Mapping[str, object]]
BUSY: Final[Told] = (GatewayBusy, {})
SILENT: Final[Told] = (GatewaySilent, {"poisoned": False})
POISONED: Final[Told] = (GatewaySilent, {"poisoned": True})


def refused(code: str, field: str | None = None, **more: object) -> Told:
    usual = {"declined": False, "decline_code": None}
    return GatewayRefused, {"refusal_code": code, "field": field, **usual, **more}


def declined(code: str, decline_code: str) -> Told:
    return refused(code, "payment_method", declined=True, decline_code=decline_code)


INVALID: Final = "invalid_request_error"
ERRORS: Final[list[tuple[int, Mapping[str, object], Told]]] = [
    (
        402,
        {"type": "card_error", "code": "card_declined", "decline_code": "lost_card"},
        declined("card_declined", "lost_card"),
    ),
    (
        402,
        {"type": "card_error", "code": "expired_card"},
        declined("expired_card", "expired_card"),
    ),
    (402, {"type": "card_error"}, declined("card_error", "card_error")),
    (400, {"type": INVALID, "code": "parameter_unknown"}, refused("parameter_unknown")),
    (400, {"type": INVALID}, refused(INVALID)),
    (400, {"code": 7, "type": []}, refused("refused")),
    (404, {"code": "resource_missing", "param": "id"}, refused("resource_missing")),
    (410, {"code": "gone"}, refused("gone")),
    *(
        (
            400,
            {"code": "resource_missing", "param": param},
            refused("resource_missing", field),
        )
        for param, field in {
            "customer": "customer",
            "default_payment_method": "payment_method",
            "invoice_settings[default_payment_method]": "payment_method",
            "items[0][price]": "price",
            "items[0][quantity]": "quantity",
            "payment_method": "payment_method",
            "proration_date": "proration_date",
            "subscription_details[items][0][price]": "price",
            "trial_period_days": "trial_days",
            "email": None,
            "": None,
        }.items()
    ),
    (400, {"type": "idempotency_error"}, SILENT),
    (409, {"type": "idempotency_error"}, SILENT),
    (409, {"type": "idempotency_error", "code": "idempotency_key_in_use"}, BUSY),
    (409, {"type": INVALID, "code": "lock_timeout"}, BUSY),
    (409, {"type": "api_error"}, BUSY),
    (429, {"type": INVALID, "code": "rate_limit"}, BUSY),
    (429, {"type": INVALID, "code": "lock_timeout"}, BUSY),
    (400, {"type": INVALID, "code": "rate_limit"}, BUSY),
    (401, {"type": INVALID}, BUSY),
    (403, {"type": INVALID}, BUSY),
    (302, {"type": INVALID}, SILENT),
    *((status, {"type": "api_error"}, POISONED) for status in (500, 502, 503, 504)),
]


@pytest.mark.parametrize(("status", "error", "told"), ERRORS)
async def test_each_error_is_told_in_our_words(
    status: int, error: Mapping[str, object], told: Told
) -> None:
    """
    A no, not now, or nobody knows; the field is ours, the codes are Stripe's.
    """
    async with lying(answer({"error": error}, status)) as (gateway, _):
        failure = await failure_of(gateway)
    kind, said = told
    assert type(failure) is kind
    assert {name: getattr(failure, name) for name in said} == dict(said)


@pytest.mark.parametrize("error", [None, [], "no", 7, [{}], {"payment_intent": 3}])
@pytest.mark.parametrize("status", [400, 402, 404, 409, 429, 500])
async def test_an_error_of_another_shape_is_never_a_no(
    status: int, error: object
) -> None:
    """
    The SDK trips over some of them; nobody else does.
    """
    async with lying(answer({"error": error}, status)) as (gateway, _):
        failure = await failure_of(gateway)
    if isinstance(error, dict) and status in {400, 402, 404}:
        # It is in the right shape, and says no more.
        assert isinstance(failure, GatewayRefused)
    else:
        assert isinstance(failure, GatewayBusy | GatewaySilent)


@pytest.mark.parametrize("status", [400, 402, 404, 409, 429, 500, 200])
async def test_no_error_carries_what_stripe_said(status: int) -> None:
    """
    Messages quote input: neither they nor the key, nor what was sent, get out.
    """
    names = ("message", "code", "type", "decline_code", "param")
    said = dict.fromkeys(names, f"{CARD_NUMBER} is not it")
    async with lying(answer({"error": said, "id": CARD_NUMBER}, status)) as (
        gateway,
        _,
    ):
        failure: BaseException | None = await failure_of(gateway)
    while failure is not None:
        text = f"{failure!s} {failure!r} {vars(failure)}"
        for secret in (CARD_NUMBER, KEY, "ada@example.com"):
            assert secret not in text
        assert not isinstance(failure, stripe.StripeError)
        failure = failure.__cause__ or failure.__context__


SUBSCRIPTION: Final[dict[str, Any]] = {
    "id": "sub_1",
    "object": "subscription",
    "livemode": False,
    "customer": "cus_1",
    "status": "active",
    "created": 0,
    "currency": "eur",
    "items": {
        "data": [
            {
                "id": "si_1",
                "price": {"id": "price_1", "product": "prod_1"},
                "quantity": 1,
                "current_period_start": 0,
                "current_period_end": 1,
            }
        ]
    },
    "latest_invoice": None,
    "metadata": {"intent_id": "intent-1"},
}
CUS_1: Final = CustomerId("cus_1")
START: Final = StartSubscription(
    customer_id=CUS_1,
    price="price_1",
    quantity=1,
    has_card=True,
    user_id=ADA,
    intent_id="intent-1",
)
METHOD: Final[dict[str, Any]] = {
    "id": "pm_1",
    "object": "payment_method",
    "customer": "cus_1",
    "card": {"brand": "visa", "last4": "4242", "exp_month": 1, "exp_year": 2030},
}
SET_UP: Final[dict[str, Any]] = {
    "id": "seti_1",
    "object": "setup_intent",
    "customer": "cus_1",
    "metadata": {"intent_id": "intent-1"},
}
INVOICE: Final = {"id": "in_1", "object": "invoice", "status": "paid"}
# A request, the answer to it, and what in it would make it one to something else.
MISTAKES: Final[list[tuple[GatewayRequest, dict[str, Any], dict[str, Any]]]] = [
    (START, SUBSCRIPTION, {"customer": "cus_2", "metadata": {"intent_id": "i-2"}}),
    (
        SetUpCard(customer_id=CUS_1, user_id=ADA, intent_id="intent-1"),
        SET_UP,
        {"customer": "cus_2", "metadata": {"intent_id": "i-2"}},
    ),
    (
        AttachCard(customer_id=CUS_1, payment_method="pm_1"),
        METHOD,
        {"id": "pm_2", "customer": "cus_2"},
    ),
    (
        MakeDefault(customer_id=CUS_1, payment_method="pm_1"),
        CUSTOMER,
        {"id": "cus_2", "invoice_settings": {"default_payment_method": "pm_2"}},
    ),
    (
        PayInvoice(invoice_id="in_1", payment_method="pm_1"),
        INVOICE,
        {"id": "in_2", "status": "open"},
    ),
    (
        EndSubscription(subscription="sub_1"),
        {**SUBSCRIPTION, "status": "canceled"},
        {"id": "sub_2", "status": "active"},
    ),
    *(
        (request, SUBSCRIPTION, {"id": "sub_2", "status": "teleported"})
        for request in (
            PlanEnd(subscription="sub_1", cancel_at_period_end=False),
            PinCard(subscription="sub_1", payment_method="pm_1"),
            ChangeSubscription(subscription="sub_1", item_id="si_1", quantity=1),
        )
    ),
]


@pytest.mark.parametrize(("request_", "right", "wrong"), MISTAKES)
async def test_an_answer_about_something_else_is_silence(
    request_: GatewayRequest, right: dict[str, Any], wrong: dict[str, Any]
) -> None:
    """
    Another thing, another's, or not as it was asked for: one word is enough.
    """
    async with lying(answer(right)) as (gateway, liar):
        frozen = gateway.freeze(request_)
        got = await gateway.send(request_, frozen, idempotency_key="key-1")
        assert got.id == right["id"]
        for name, value in {**wrong, "object": "coupon", "livemode": True}.items():
            liar.answer = answer({**right, name: value})
            assert isinstance(await failure_of(gateway, request_), GatewaySilent), name


@pytest.mark.parametrize(
    ("error", "state", "decline_code"),
    [
        (None, CollectionState.OPEN, None),
        ({"code": "card_declined"}, CollectionState.DECLINED, "card_declined"),
        (
            {"code": "card_declined", "decline_code": "lost_card"},
            CollectionState.DECLINED,
            "lost_card",
        ),
        (
            {"code": "authentication_required"},
            CollectionState.REQUIRES_ACTION,
            "authentication_required",
        ),
        (
            {"code": "card_declined", "decline_code": "authentication_required"},
            CollectionState.REQUIRES_ACTION,
            "authentication_required",
        ),
    ],
)
async def test_a_bank_that_wants_its_absent_customer_wants_action(
    error: object, state: CollectionState, decline_code: str | None
) -> None:
    """
    A renewal is tried without the payer, who can still confirm it. Of the payments
    of an invoice the default one counts, and none that was given up.
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
        collection = await gateway.collection("in_1")
        # What the invoice says to a browser goes before what its payment says.
        told = {**invoice, "confirmation_secret": {"client_secret": "in_1_secret_1"}}
        liar.answers = {**liar.answers, "/v1/invoices/in_1": answer(told)}
        confirmed = await gateway.collection("in_1")

    assert collection == Collection(
        state=state, client_secret="pi_3_secret_1", decline_code=decline_code
    )
    assert confirmed.client_secret == "in_1_secret_1"


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("succeeded", CollectionState.PAID),
        ("canceled", CollectionState.CLOSED),
        ("processing", CollectionState.OPEN),
        ("requires_confirmation", CollectionState.OPEN),
        ("teleported", CollectionState.OPEN),
    ],
)
async def test_an_open_invoice_is_as_its_payment_is(
    status: str, state: CollectionState
) -> None:
    """
    What is not known is not over.
    """
    payments = [{"payment": {"payment_intent": {"id": "pi_1"}}, "status": "open"}]
    intent = {"id": "pi_1", "object": "payment_intent", "status": status}
    invoice = {**INVOICE, "status": "open", "payments": {"data": payments}}
    async with lying(answer(invoice)) as (gateway, liar):
        liar.answers = {"/v1/payment_intents/pi_1": answer(intent)}
        assert (await gateway.collection("in_1")).state is state


async def test_a_deleted_customer_has_no_card() -> None:
    """
    It is still told of, as nothing but its id.
    """
    body = {"id": "cus_1", "object": "customer", "deleted": True}
    async with lying(answer(body)) as (gateway, _):
        assert await gateway.card_of(CUS_1) is None


async def test_what_is_attached_and_no_card_is_refused() -> None:
    """
    A bank account may be a payment method too; we take none.
    """
    request = AttachCard(customer_id=CUS_1, payment_method="pm_1")
    async with lying(answer({**METHOD, "card": None})) as (gateway, _):
        failure = await failure_of(gateway, request)
    assert isinstance(failure, GatewayRefused)
    assert failure.field == "payment_method"


def _found(request: GatewayRequest, gateway: StripeGateway) -> Awaitable[object]:
    return gateway.find(request)


READS: Final[Mapping[str, Callable[[StripeGateway], Awaitable[object]]]] = {
    "subscription": lambda it: it.subscription("sub_1"),
    "subscriptions": lambda it: it.subscriptions_of(CUS_1),
    "card": lambda it: it.card_of(CUS_1),
    "collection": lambda it: it.collection("in_1"),
    "set up": lambda it: it.set_up("seti_1"),
    "payment": lambda it: it.payment(PaymentId("ch_1")),
    "price": lambda it: it.price("price_1"),
    "product": lambda it: it.price_of("prod_1"),
    "preview": lambda it: it.preview(
        CUS_1,
        ChangeSubscription(
            subscription="sub_1",
            item_id="si_1",
            quantity=2,
            proration_date=datetime.fromtimestamp(0, UTC),
        ),
    ),
    **{
        f"find {type(request).__name__}": partial(_found, request)
        for request in (CREATE, *(request for request, _, _ in MISTAKES))
    },
}
of_each_read = pytest.mark.parametrize("read", READS.values(), ids=READS)


@of_each_read
@pytest.mark.parametrize(
    "lie",
    [
        answer(b"<html></html>"),
        answer({"object": "customer", "livemode": True, "id": "cus_1"}),
        answer({"object": "list", "data": [{"object": "coupon", "id": "x"}]}),
        answer({"object": "list", "data": [{"object": "customer", "livemode": True}]}),
        answer({"object": "coupon", "id": "sub_1"}),
    ],
    ids=["HTML", "other mode", "other items", "items of the other mode", "other kind"],
)
async def test_what_is_read_is_believed_no_more(read: Any, lie: bytes) -> None:
    """
    Of whatever is looked at.
    """
    async with lying(lie) as (gateway, _):
        with pytest.raises(GatewaySilent):
            await read(gateway)


@of_each_read
@pytest.mark.parametrize(
    ("status", "code", "kinds"),
    [
        (400, "parameter_invalid", GatewayRefused),
        (401, "", GatewayBusy),
        (429, "rate_limit", GatewayBusy),
        (500, "", GatewaySilent),
    ],
)
async def test_a_read_fails_as_a_request_does(
    read: Any, status: int, code: str, kinds: type[PaymentsError]
) -> None:
    """
    A no is a no, and not now is not now.
    """
    body = {"error": {"type": "api_error", "code": code}}
    async with lying(answer(body, status)) as (gateway, _):
        with pytest.raises(kinds):
            await read(gateway)


@pytest.mark.parametrize(
    ("kind", "read"),
    [("subscription", "subscription"), ("customer", "card"), ("invoice", "collection")],
)
async def test_another_id_than_the_one_that_was_asked_for_is_silence(
    kind: str, read: str
) -> None:
    """
    What is looked up is applied: it has to be the thing itself.
    """
    body = {**SUBSCRIPTION, "object": kind, "id": "another_1"}
    async with lying(answer(body)) as (gateway, _):
        with pytest.raises(GatewaySilent, match="something else"):
            await READS[read](gateway)


async def test_a_list_without_an_end_is_silence() -> None:
    """
    Nobody turns pages for ever.
    """
    page = {"object": "list", "data": [SUBSCRIPTION], "has_more": True}
    async with lying(answer(page)) as (gateway, liar):
        with pytest.raises(GatewaySilent, match="without an end"):
            await gateway.subscriptions_of(CUS_1)
    assert len(liar.asked) == 20
    assert b"starting_after=sub_1" in liar.asked[-1]


async def test_a_list_of_nobodys_is_missing_its_owner() -> None:
    """
    Stripe says so of a customer that is not there.
    """
    body = {"error": {"code": "resource_missing", "param": "customer"}}
    async with lying(answer(body, 400)) as (gateway, _):
        with pytest.raises(GatewayObjectMissing) as missing:
            await gateway.subscriptions_of(CUS_1)
    assert missing.value.what == "customer"


async def test_a_paid_term_of_another_subscription_is_not_taken() -> None:
    """
    Neither from the latest invoice, nor from a list of paid ones.
    """
    line = {"period": {"start": 0, "end": 9}, "subscription": "sub_2"}
    foreign = {
        "id": "in_1",
        "object": "invoice",
        "status": "paid",
        "subscription": "sub_2",
        "lines": {"data": [line]},
    }
    body = {**SUBSCRIPTION, "latest_invoice": foreign}
    async with lying(answer(body)) as (gateway, _):
        got = await gateway.send(START, gateway.freeze(START), idempotency_key="key-1")
    assert got.term is None


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["id", "object", "error", "data", "code", "type", "livemode", "items"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=9,
)


@given(
    status=st.sampled_from([200, 201, 302, 400, 402, 404, 409, 429, 500]),
    body=st.binary(max_size=64) | json_values.map(lambda it: json.dumps(it).encode()),
)
@example(status=200, body=b'{"object": "customer", "data": 1}')
@example(status=402, body=b'{"error": {"payment_intent": {"object": 1}}}')
@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_is_answered_is_an_error_of_ours(status: int, body: bytes) -> None:
    """
    Nothing that anybody answers is more than a refusal, or less than one.
    """

    async def ask() -> None:
        async with lying(answer(body, status)) as (gateway, _):
            failure = await failure_of(gateway)
            assert isinstance(failure, GatewayBusy | GatewayRefused | GatewaySilent)
            assert isinstance(failure, GatewayRefused) <= (status >= 400)

    asyncio.run(ask())
