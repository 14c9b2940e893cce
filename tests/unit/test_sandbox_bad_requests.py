"""Requests that the sandbox refuses, as Stripe does: status, code and parameter."""

from collections.abc import Mapping
from typing import Any

import attrs
import pytest

from support.sandbox import Api, Refused
from support.sandbox_refusals import INVALID, REFUSALS
from support.watched import FAILING


@attrs.frozen
class Made:
    """A sandbox with something of everything; the fields are ids."""

    api: Api
    customer: str
    other: str
    card: str
    foreign: str
    nobodys: str
    price: str
    yearly: str
    dollars: str
    inactive: str
    once: str
    product: str
    subscription: str
    item: str
    trialing: str
    ended: str
    invoice: str
    void: str
    charge: str
    intent: str
    failed: str

    def filled(self, value: Any) -> Any:
        """Replace names by ids: `{card}`."""
        if isinstance(value, str):
            return value.format_map(attrs.asdict(self, recurse=False))
        if isinstance(value, Mapping):
            return {name: self.filled(item) for name, item in value.items()}
        return [self.filled(it) for it in value] if isinstance(value, list) else value


@pytest.fixture
def made(api: Api) -> Made:
    customer, other = api.customer(), api.customer()
    price = api.price()["id"]
    product = api.post("products", name="Plan", id="prod_plan")["id"]
    priced = {"unit_amount": 500, "product": product}
    dollars = api.post(
        "prices", currency="usd", recurring={"interval": "month"}, **priced
    )["id"]
    inactive = api.post(
        "prices",
        currency="eur",
        recurring={"interval": "month"},
        active=False,
        lookup_key="old",
        **priced,
    )["id"]
    subscription = api.subscribe(customer["id"], price)
    trialing = api.subscribe(customer["id"], price, trial_period_days=10)
    ended = api.subscribe(customer["id"], price)
    api.delete(f"subscriptions/{ended['id']}")
    failing = api.subscribe(api.customer(FAILING)["id"], price)
    api.post(f"invoices/{failing['latest_invoice']}/void")
    charge = api.get("charges", customer=customer["id"])["data"][-1]
    (bad,) = api.get("charges", customer=failing["customer"])["data"]
    return Made(
        api,
        customer=customer["id"],
        other=other["id"],
        card=customer["invoice_settings"]["default_payment_method"],
        foreign=other["invoice_settings"]["default_payment_method"],
        nobodys=api.get("payment_methods/pm_card_visa")["id"],
        price=price,
        yearly=api.price(9_900, interval="year")["id"],
        dollars=dollars,
        inactive=inactive,
        once=api.post("prices", currency="eur", **priced)["id"],
        product=product,
        subscription=subscription["id"],
        item=subscription["items"]["data"][0]["id"],
        trialing=trialing["id"],
        ended=ended["id"],
        invoice=subscription["latest_invoice"],
        void=failing["latest_invoice"],
        charge=charge["id"],
        intent=charge["payment_intent"],
        failed=bad["id"],
    )


@pytest.mark.parametrize(
    ("call", "params", "status", "code", "param"),
    REFUSALS,
    ids=[f"{at}-{refusal[0]}" for at, refusal in enumerate(REFUSALS)],
)
def test_a_bad_request_is_refused_as_stripe_does(  # noqa: PLR0913, PLR0917  # a row
    made: Made,
    call: str,
    params: dict[str, Any],
    status: int,
    code: str | None,
    param: str | None,
) -> None:
    """With status, type, code and parameter; nothing happens, and nothing remains."""
    method, _, path = made.filled(call).partition(" ")
    world = made.api.engine.world
    before = dict(world.events), {kind: dict(it) for kind, it in world.objects.items()}
    with pytest.raises(Refused) as refused:
        made.api.call(method, path, made.filled(params))

    error = refused.value
    assert (error.status, error.type) == (status, INVALID)
    assert (error.code, error.param) == (code, param)
    assert error.message
    assert (dict(world.events), {k: dict(it) for k, it in world.objects.items()}) == (
        before
    )


def test_what_is_refunded_cannot_be_refunded_again(made: Made) -> None:
    """Not the whole, and not more than the rest."""
    made.api.post("refunds", charge=made.charge, amount=500)
    with pytest.raises(Refused) as refused:
        made.api.post("refunds", charge=made.charge, amount=401)
    assert (refused.value.code, refused.value.param) == (None, "amount")
    made.api.post("refunds", charge=made.charge)
    with pytest.raises(Refused) as refused:
        made.api.post("refunds", charge=made.charge, amount=1)
    assert (refused.value.status, refused.value.code) == (
        400,
        "charge_already_refunded",
    )


def test_what_is_disputed_cannot_be_refunded(api: Api) -> None:
    """The bank has the money; in an inquiry we still have it."""
    api.subscribe(api.customer("pm_card_createDispute")["id"], api.price()["id"])
    (charge,) = api.get("charges")["data"]
    with pytest.raises(Refused) as refused:
        api.post("refunds", charge=charge["id"])
    assert (refused.value.status, refused.value.code) == (400, "charge_disputed")

    asked = api.customer("pm_card_createDisputeInquiry")["id"]
    api.subscribe(asked, api.price()["id"])
    (charge,) = api.get("charges", customer=asked)["data"]
    assert api.post("refunds", charge=charge["id"])["status"] == "succeeded"


def test_a_dispute_is_closed_once(api: Api) -> None:
    """Neither evidence nor another result is accepted afterwards."""
    api.subscribe(api.customer("pm_card_createDispute")["id"], api.price()["id"])
    path = f"disputes/{api.get('disputes')['data'][0]['id']}"
    api.post(f"{path}/close")
    for again in (path, f"{path}/close"):
        with pytest.raises(Refused) as refused:
            api.post(again)
        assert refused.value.status == 400


def test_an_ended_subscription_still_takes_notes(made: Made) -> None:
    """Its metadata, and why it was canceled."""
    path = f"subscriptions/{made.ended}"
    changed = made.api.post(
        path,
        metadata={"a": "b"},
        cancellation_details={"feedback": "too_expensive", "comment": "Adieu"},
    )
    assert changed["metadata"] == {"a": "b"}
    assert changed["cancellation_details"]["feedback"] == "too_expensive"
