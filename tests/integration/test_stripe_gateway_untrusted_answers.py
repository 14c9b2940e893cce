"""Answers that the Stripe gateway rejects: a lying server in Stripe's place."""

import asyncio
import gzip
import json
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from payments_adapters.stripe.gateway import StripeGateway
from payments_adapters.stripe.transport import ANSWER_BYTES_MAX
from payments_core.errors import (
    GatewayNotAttempted,
    GatewayObjectMissing,
    GatewayOutcomeUnknown,
    GatewayRefused,
    PaymentsError,
)
from payments_core.gateway import (
    Answer,
    AttachCard,
    CancelSubscription,
    CreateSetupIntent,
    CreateSubscription,
    GatewayRequest,
    MakeDefault,
    PayInvoice,
    SetCancelAtPeriodEnd,
    SetSubscriptionCard,
    UpdateSubscription,
)
from payments_core.payment import PaymentId
from support.lying_stripe import (
    ADA,
    CREATE,
    CUS_1,
    CUSTOMER,
    INVOICE,
    METHOD,
    answer,
    failure_of,
    lying,
)

pytestmark = pytest.mark.anyio


async def test_a_good_answer_is_believed() -> None:
    """
    The server can also answer correctly: the failures below are due to its lies.
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
    "a NUL": answer({**CUSTOMER, "id": "cus_\0"}),
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
async def test_t72_a_lie_is_silence(lie: bytes) -> None:
    """
    It is neither success nor refusal; the key may still resolve it. The redirect is not
    followed.
    """
    async with lying(lie) as (gateway, liar):
        failure = await failure_of(gateway)
    assert isinstance(failure, GatewayOutcomeUnknown)
    assert not failure.server_error_cached
    assert len(liar.asked) == 1


async def test_the_longest_answer_is_read() -> None:
    """
    The bound itself is allowed.
    """
    short = {**CUSTOMER, "more": ""}
    room = ANSWER_BYTES_MAX - len(json.dumps(short))
    for over in (0, 1):
        whole = {**CUSTOMER, "more": "x" * (room + over)}
        async with lying(answer(whole)) as (gateway, _):
            if over:
                assert isinstance(await failure_of(gateway), GatewayOutcomeUnknown)
            else:
                frozen = gateway.freeze(CREATE)
                await gateway.send(CREATE, frozen, idempotency_key="key-1")


@pytest.mark.parametrize("livemode", [True, False])
async def test_each_mode_believes_its_own(*, livemode: bool) -> None:
    """
    Test data never counts in live mode, or the reverse.
    """
    for said in (True, False):
        body = {**CUSTOMER, "livemode": said}
        async with lying(answer(body), livemode=livemode) as (gateway, _):
            if said is livemode:
                frozen = gateway.freeze(CREATE)
                await gateway.send(CREATE, frozen, idempotency_key="key-1")
            else:
                assert isinstance(await failure_of(gateway), GatewayOutcomeUnknown)


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
START: Final = CreateSubscription(
    customer_id=CUS_1,
    price="price_1",
    quantity=1,
    has_card=True,
    user_id=ADA,
    intent_id="intent-1",
)
SET_UP: Final[dict[str, Any]] = {
    "id": "seti_1",
    "object": "setup_intent",
    "customer": "cus_1",
    "metadata": {"intent_id": "intent-1"},
}
# A request, its answer, and the field that would make it an answer to another request.
MISTAKES: Final[list[tuple[GatewayRequest, dict[str, Any], dict[str, Any]]]] = [
    (START, SUBSCRIPTION, {"customer": "cus_2", "metadata": {"intent_id": "i-2"}}),
    (
        CreateSetupIntent(customer_id=CUS_1, user_id=ADA, intent_id="intent-1"),
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
        CancelSubscription(subscription="sub_1"),
        {**SUBSCRIPTION, "status": "canceled"},
        {"id": "sub_2", "status": "active"},
    ),
    *(
        (request, SUBSCRIPTION, {"id": "sub_2", "status": "teleported"})
        for request in (
            SetCancelAtPeriodEnd(subscription="sub_1", cancel_at_period_end=False),
            SetSubscriptionCard(subscription="sub_1", payment_method="pm_1"),
            UpdateSubscription(subscription="sub_1", item_id="si_1", quantity=1),
        )
    ),
]


@pytest.mark.parametrize(("request_", "right", "wrong"), MISTAKES)
async def test_t72_an_answer_about_something_else_is_silence(
    request_: GatewayRequest, right: dict[str, Any], wrong: dict[str, Any]
) -> None:
    """
    Another object, another's, or not as requested: one field is enough.
    """
    async with lying(answer(right)) as (gateway, liar):
        frozen = gateway.freeze(request_)
        got = await gateway.send(request_, frozen, idempotency_key="key-1")
        assert got.id == right["id"]
        for name, value in {**wrong, "object": "coupon", "livemode": True}.items():
            liar.answer = answer({**right, name: value})
            assert isinstance(
                await failure_of(gateway, request_), GatewayOutcomeUnknown
            ), name


def _found(request: GatewayRequest, gateway: StripeGateway) -> Awaitable[object]:
    return gateway.find(request)


READS: Final[Mapping[str, Callable[[StripeGateway], Awaitable[object]]]] = {
    "customer": lambda it: it.customer(CUS_1),
    "subscription": lambda it: it.subscription("sub_1"),
    "subscriptions": lambda it: it.subscriptions_of(CUS_1),
    "card": lambda it: it.card_of(CUS_1),
    "other card": lambda it: it.card(CUS_1, "pm_1"),
    "collection": lambda it: it.invoice_payment("in_1"),
    "set up": lambda it: it.set_up("seti_1"),
    "payment": lambda it: it.payment(PaymentId("ch_1")),
    "price": lambda it: it.price("price_1"),
    "product": lambda it: it.price_of("prod_1"),
    "preview": lambda it: it.preview(
        CUS_1,
        UpdateSubscription(
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
    For every kind of object that is read.
    """
    async with lying(lie) as (gateway, _):
        with pytest.raises(GatewayOutcomeUnknown):
            await read(gateway)


@of_each_read
@pytest.mark.parametrize(
    ("status", "code", "kinds"),
    [
        (400, "parameter_invalid", GatewayRefused),
        (401, "", GatewayNotAttempted),
        (429, "rate_limit", GatewayNotAttempted),
        (500, "", GatewayOutcomeUnknown),
    ],
)
async def test_a_read_fails_as_a_request_does(
    read: Any, status: int, code: str, kinds: type[PaymentsError]
) -> None:
    """
    A refusal stays a refusal, and "not now" stays "not now".
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
    A fetched object is applied: it must be the object itself.
    """
    body = {**SUBSCRIPTION, "object": kind, "id": "another_1"}
    async with lying(answer(body)) as (gateway, _):
        with pytest.raises(GatewayOutcomeUnknown, match="something else"):
            await READS[read](gateway)


HALF_SAID: Final[Mapping[str, dict[str, Any]]] = {
    "card": CUSTOMER,
    "product": {
        "id": "prod_1",
        "object": "product",
        "active": True,
        "default_price": "price_1",
    },
    "payment": {
        "id": "ch_1",
        "object": "charge",
        "status": "teleported",
        "amount": 1,
        "currency": "eur",
        "created": 0,
    },
}


@pytest.mark.parametrize("read", HALF_SAID)
async def test_what_is_said_by_half_is_silence(read: str) -> None:
    """
    An id in place of an expanded object, an unknown status.
    """
    async with lying(answer(HALF_SAID[read])) as (gateway, _):
        with pytest.raises(GatewayOutcomeUnknown, match=r"only the id|unclear"):
            await READS[read](gateway)


async def test_a_list_without_an_end_is_silence() -> None:
    """
    Pages are not followed for ever.
    """
    page = {"object": "list", "data": [SUBSCRIPTION], "has_more": True}
    async with lying(answer(page)) as (gateway, liar):
        with pytest.raises(GatewayOutcomeUnknown, match="without an end"):
            await gateway.subscriptions_of(CUS_1)
    assert len(liar.asked) == 20
    assert b"starting_after=sub_1" in liar.asked[-1]


async def test_a_list_of_nobodys_is_missing_its_owner() -> None:
    """
    Stripe says so of a customer that does not exist.
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
    assert got.paid_period is None


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
def test_t72_whatever_is_answered_is_an_error_of_ours(status: int, body: bytes) -> None:
    """
    Any answer becomes one of three errors; a refusal has a status of 400 or more.
    """

    async def ask() -> None:
        async with lying(answer(body, status)) as (gateway, _):
            failure = await failure_of(gateway)
            assert isinstance(
                failure, GatewayNotAttempted | GatewayRefused | GatewayOutcomeUnknown
            )
            assert isinstance(failure, GatewayRefused) <= (status >= 400)

    asyncio.run(ask())
