"""What the lists do not trust, and what they cannot know: invented answers."""

import asyncio
import json
from collections.abc import Mapping
from email.utils import formatdate
from typing import Any, Final

import pytest
import stripe
from hypothesis import example, given
from hypothesis import strategies as st
from typing_extensions import override

from contracts.examples import NOON
from contracts.gateway_lists import ids, until
from payments_adapters.stripe.object_lists import StripeLists
from payments_core.card import Card
from payments_core.errors import (
    GatewayMisconfigured,
    GatewayNotAttempted,
    GatewayOutcomeUnknown,
    GatewayUnavailable,
)
from payments_core.object_lists import (
    Listed,
    ListedCustomer,
    ListedInvoice,
    ListedSubscription,
    ListedUnreadable,
    ObjectList,
    ObjectPage,
)
from support.lying_stripe import KEY

pytestmark = pytest.mark.anyio

MADE_AT: Final = 1_767_225_600
KINDS: Final = {
    ObjectList.CUSTOMERS: "customer",
    ObjectList.SUBSCRIPTIONS: "subscription",
    ObjectList.INVOICES: "invoice",
    ObjectList.PAYMENTS: "charge",
    ObjectList.REFUNDS: "refund",
    ObjectList.DISPUTES: "dispute",
}
CHARGE: Final = {
    "id": "ch_1",
    "object": "charge",
    "amount": 900,
    "currency": "eur",
    "created": MADE_AT,
    "status": "succeeded",
}
PERIOD: Final = {"start": MADE_AT, "end": MADE_AT + 10}
LINES: Final = {
    "object": "list",
    "has_more": False,
    "data": [
        {
            "period": PERIOD,
            "parent": {"subscription_item_details": {"subscription_item": "si_1"}},
        }
    ],
}
PAID: Final = {
    "id": "in_1",
    "object": "invoice",
    "status": "paid",
    "amount_paid": 900,
    "parent": {"subscription_details": {"subscription": "sub_1"}},
    "lines": LINES,
}
GOOD: Final[Mapping[ObjectList, Mapping[str, Any]]] = {
    ObjectList.CUSTOMERS: {"id": "cus_1", "metadata": {"user_id": "ada"}},
    ObjectList.SUBSCRIPTIONS: {
        "id": "sub_1",
        "customer": "cus_1",
        "status": "active",
        "currency": "eur",
        "items": {
            "data": [
                {
                    "id": "si_1",
                    "price": {"id": "price_1", "product": "prod_1"},
                    "current_period_start": MADE_AT,
                    "current_period_end": MADE_AT + 10,
                }
            ]
        },
        "latest_invoice": PAID,
    },
    ObjectList.INVOICES: PAID,
    ObjectList.PAYMENTS: CHARGE,
    ObjectList.REFUNDS: {"id": "re_1", "charge": CHARGE},
    ObjectList.DISPUTES: {"id": "dp_1", "charge": "ch_1", "status": "lost"},
}
each_list: Final = pytest.mark.parametrize("list_", ObjectList)


class Saying(stripe.HTTPClient):
    """Gives the same answer to each request."""

    name = "saying"

    def __init__(self, body: bytes, status: int) -> None:
        super().__init__()
        self._said = body, status, {"Date": formatdate(MADE_AT, usegmt=True)}

    @override
    async def request_async(
        self, method: str, url: str, headers: Mapping[str, str], post_data: Any = None
    ) -> tuple[bytes, int, Mapping[str, str]]:
        return self._said

    @override
    async def close_async(self) -> None:
        """Do nothing."""


def an(list_: ObjectList, **other: Any) -> Mapping[str, Any]:
    """Return an object of a list, with some fields changed."""
    usual = {"object": KINDS[list_], "created": MADE_AT, "livemode": False}
    return {**usual, **GOOD[list_], **other}


async def page_of(
    list_: ObjectList,
    answer: object,
    *,
    status: int = 200,
    after: str | None = None,
) -> ObjectPage:
    body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
    lists = StripeLists(KEY, base="http://stripe.test", livemode=False)
    async with lists.opened(Saying(body, status)):
        return await lists.page(list_, until(NOON), after=after)


def a_list(*objects: object, has_more: bool = False) -> Mapping[str, Any]:
    return {"object": "list", "has_more": has_more, "data": objects}


async def said(list_: ObjectList, **other: Any) -> Listed:
    """Return the report of an object with some fields changed."""
    page = await page_of(list_, a_list(an(list_, **other)))
    [it] = page.objects
    return it.it


@each_list
async def test_a_good_object_is_read(list_: ObjectList) -> None:
    """
    What cannot be read below fails because of its changed fields.
    """
    assert not isinstance(await said(list_), ListedUnreadable)


# Left out


@each_list
@pytest.mark.parametrize("other", [{"livemode": True}, {"deleted": True}])
async def test_what_is_not_ours_or_not_there_is_left_out(
    list_: ObjectList, other: Mapping[str, Any]
) -> None:
    """
    The next page begins after it all the same.
    """
    left_out = an(list_, id="left_out", **other)
    page = await page_of(list_, a_list(an(list_), left_out, has_more=True))
    assert ids(page.objects) == [GOOD[list_]["id"]]
    assert page.after == "left_out"


async def test_a_customer_that_was_deleted_has_no_time() -> None:
    """
    It is left out, if it were ever listed.
    """
    gone = {"id": "cus_2", "object": "customer", "deleted": True}
    page = await page_of(ObjectList.CUSTOMERS, a_list(gone))
    assert page.objects == []


@pytest.mark.parametrize("list_", [ObjectList.REFUNDS, ObjectList.DISPUTES])
async def test_what_is_of_no_payment_is_left_out(list_: ObjectList) -> None:
    """
    A refund of a customer's balance changes no payment.
    """
    page = await page_of(list_, a_list(an(list_, charge=None)))
    assert page.objects == []


# Cards of the older API

CARD: Final = {
    "id": "card_1",
    "object": "card",
    "brand": "American Express",
    "last4": "0005",
    "exp_month": 1,
    "exp_year": 2030,
}
AMEX: Final = Card(id="card_1", brand="amex", last4="0005", exp_month=1, exp_year=2030)
METHOD: Final = {
    "id": "pm_1",
    "object": "payment_method",
    "card": {"brand": "visa", "last4": "4242", "exp_month": 2, "exp_year": 2031},
}
VISA: Final = Card(id="pm_1", brand="visa", last4="4242", exp_month=2, exp_year=2031)


@pytest.mark.parametrize(
    ("source", "method", "card"),
    [
        (CARD, None, AMEX),
        ({"id": "card_1", "object": "source", "card": CARD}, None, AMEX),
        ({"id": "src_1", "object": "source", "type": "sepa_debit"}, None, None),
        ({"id": "ba_1", "object": "bank_account", "last4": "6789"}, None, None),
        (CARD, METHOD, VISA),
        ("card_1", METHOD, VISA),
        (CARD, {"id": "pm_2", "object": "payment_method"}, None),
        (None, None, None),
    ],
)
async def test_a_card_of_the_older_api_is_what_its_payment_method_says(
    source: object, method: object, card: Card | None
) -> None:
    """
    With the newer name of the brand. A chosen payment method takes precedence, and what
    is not a card is None.
    """
    found = await said(
        ObjectList.CUSTOMERS,
        default_source=source,
        invoice_settings={"default_payment_method": method},
    )
    assert found == ListedCustomer(found.customer_id, "ada", card)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("source", "method"),
    [
        ("card_1", None),
        (None, "pm_1"),
        (CARD, "pm_1"),
        ({**CARD, "brand": "Girocard"}, None),
        ({**CARD, "brand": None}, None),
        ({**CARD, "last4": None}, None),
        ({**CARD, "exp_month": None}, None),
        ({**CARD, "exp_year": None}, None),
        ({**CARD, "last4": "4242424242424242"}, None),
    ],
)
async def test_a_card_that_is_not_certain_is_not_said(
    source: object, method: object
) -> None:
    """
    Nothing is compared with it, because it would differ without a reason.
    """
    found = await said(
        ObjectList.CUSTOMERS,
        default_source=source,
        invoice_settings={"default_payment_method": method},
    )
    assert isinstance(found, ListedUnreadable)


# Invoices with more lines than a list shows


async def test_what_an_invoice_paid_is_not_said_of_a_part_of_its_lines() -> None:
    """
    The line of the period comes after those that were pending, and may not be shown.
    """
    lines = {**LINES, "has_more": True}
    with pytest.raises(GatewayOutcomeUnknown):
        # A request for the rest of them gets another answer.
        await said(ObjectList.INVOICES, lines=lines)

    whole = await said(ObjectList.SUBSCRIPTIONS)
    part = await said(ObjectList.SUBSCRIPTIONS, latest_invoice={**PAID, "lines": lines})
    assert isinstance(whole, ListedSubscription)
    assert isinstance(part, ListedSubscription)
    assert part.report == whole.report
    assert (len(whole.paid_periods), len(part.paid_periods)) == (1, 0)


async def test_an_invoice_of_no_subscription_paid_no_period() -> None:
    """
    However many lines it has.
    """
    lines = {**LINES, "has_more": True}
    found = await said(ObjectList.INVOICES, parent=None, lines=lines)
    assert found == ListedInvoice(())


# What cannot be read


@each_list
@pytest.mark.parametrize(
    "other", [{"object": "shoe"}, {"object": ""}], ids=["another kind", "no kind"]
)
async def test_something_else_is_unreadable(
    list_: ObjectList, other: Mapping[str, Any]
) -> None:
    """
    The rest of its page is read.
    """
    answer = a_list(an(list_), an(list_, id="other", **other))
    good, bad = (await page_of(list_, answer)).objects
    assert not isinstance(good.it, ListedUnreadable)
    assert isinstance(bad.it, ListedUnreadable)
    assert bad.id == "other"


@pytest.mark.parametrize(
    ("list_", "other"),
    [
        (ObjectList.CUSTOMERS, {"metadata": {"user_id": "a\0b"}}),
        (ObjectList.SUBSCRIPTIONS, {"items": {"data": []}}),
        (ObjectList.SUBSCRIPTIONS, {"customer": "nobody at all"}),
        (ObjectList.PAYMENTS, {"currency": "EURO"}),
        (ObjectList.PAYMENTS, {"amount_refunded": 901}),
        (ObjectList.REFUNDS, {"charge": "ch_1"}),
        (ObjectList.DISPUTES, {"status": "odd"}),
    ],
)
async def test_what_is_unclear_or_cannot_be_kept_is_unreadable(
    list_: ObjectList, other: Mapping[str, Any]
) -> None:
    """
    The reason is given without the value.
    """
    found = await said(list_, **other)
    assert isinstance(found, ListedUnreadable)
    assert "nobody at all" not in found.reason


async def test_a_nul_that_nobody_reads_does_not_matter() -> None:
    """
    Only what is stored must be free of it.
    """
    found = await said(ObjectList.PAYMENTS, description="a\0b")
    assert found == await said(ObjectList.PAYMENTS)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"[]",
        b'{"object": "list", "data": 7}',
        an(ObjectList.PAYMENTS),
        {**a_list(an(ObjectList.PAYMENTS)), "livemode": True},
        a_list(7),
        a_list(None),
        a_list(an(ObjectList.PAYMENTS, id="")),
        a_list(an(ObjectList.PAYMENTS, id="ch_\0")),
        a_list(an(ObjectList.PAYMENTS, created=None)),
        a_list(an(ObjectList.PAYMENTS, created="yesterday")),
        a_list(has_more=True),
        a_list(an(ObjectList.PAYMENTS), has_more="perhaps"),  # type: ignore[arg-type]
    ],
)
async def test_what_is_no_list_of_objects_with_ids_and_times_is_no_answer(
    answer: object,
) -> None:
    """
    It would be unknown what was read, and where to continue.
    """
    with pytest.raises(GatewayOutcomeUnknown):
        await page_of(ObjectList.PAYMENTS, answer)


async def test_a_list_that_does_not_go_on_is_no_answer() -> None:
    """
    The reader would get the same page for ever.
    """
    same = a_list(an(ObjectList.PAYMENTS, id="ch_9"), has_more=True)
    with pytest.raises(GatewayOutcomeUnknown, match="without an end"):
        await page_of(ObjectList.PAYMENTS, same, after="ch_9")


@pytest.mark.parametrize(
    ("status", "error", "kind"),
    [
        (400, {"code": "parameter_unknown"}, GatewayNotAttempted),
        (400, {"code": "property_expansion_max_depth"}, GatewayNotAttempted),
        (401, {}, GatewayMisconfigured),
        (403, {}, GatewayMisconfigured),
        (429, {"code": "rate_limit"}, GatewayNotAttempted),
        (500, {}, GatewayOutcomeUnknown),
    ],
)
async def test_a_no_is_no_page(
    status: int, error: Mapping[str, str], kind: type[Exception]
) -> None:
    """
    The port does not know such a refusal: it is retried later.
    """
    said = {"error": {"type": "invalid_request_error", **error}}
    with pytest.raises(GatewayUnavailable) as failure:
        await page_of(ObjectList.PAYMENTS, said, status=status)
    assert type(failure.value) is kind


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["id", "object", "data", "card"]), inner)
    ),
    max_leaves=5,
)
_FIELDS: Final = sorted(
    {name for it in GOOD.values() for name in it}
    | {"default_source", "invoice_settings", "object", "livemode", "trial_end"}
)


@given(
    list_=st.sampled_from(ObjectList),
    other=st.dictionaries(
        st.sampled_from([it for it in _FIELDS if it not in {"id", "created"}]), _json
    ),
)
@example(list_=ObjectList.CUSTOMERS, other={"default_source": {"id": "a", "card": {}}})
@example(list_=ObjectList.DISPUTES, other={"status": "\0"})
def test_t72_whatever_one_object_says_the_others_are_read(
    list_: ObjectList, other: Mapping[str, Any]
) -> None:
    """
    It is read, unreadable, or left out.
    """
    odd = an(list_, **{"id": "odd_1", **other})
    answer = a_list(an(list_), odd, an(list_, id="last_1"))
    page = asyncio.run(page_of(list_, answer))
    assert [it for it in ids(page.objects) if it != "odd_1"] == [
        GOOD[list_]["id"],
        "last_1",
    ]
