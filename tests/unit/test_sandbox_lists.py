"""Lists: which objects are in them, in pages, within a window, and how deep."""

from collections.abc import Callable
from typing import Any, Final

import pytest

from support.sandbox import Api, Refused
from support.watched import begin


def _refunded(api: Api) -> Any:
    (charge, *_) = api.get("charges", customer=begin(api)["customer"])["data"]
    return api.post("refunds", charge=charge["id"])


MADE: Final[dict[str, Callable[[Api], Any]]] = {
    "customers": lambda api: api.post("customers"),
    "subscriptions": begin,
    "invoices": begin,
    "charges": begin,
    "refunds": _refunded,
    "disputes": lambda api: begin(api, "pm_card_createDispute"),
}


def _ids(page: Any) -> list[str]:
    return [it["id"] for it in page["data"]]


@pytest.mark.parametrize("name", MADE)
def test_a_window_is_of_the_seconds_in_which_things_were_made(
    api: Api, name: str
) -> None:
    """
    From its first second on, up to its end; two of one second are in it together.
    """
    moments = list[int]()
    for _ in range(3):
        moments.append(api.now)
        for _ in range(2):
            MADE[name](api)
        api.advance(api.now + 10)
    every = _ids(api.get(name))
    assert len(every) == 6

    def within(**created: int) -> list[str]:
        return _ids(api.get(name, created=created))

    first, second, third = moments
    assert within(gte=second, lt=third) == every[2:4]
    assert within(lt=second) == every[4:]
    assert within(gte=first, lt=third + 1) == every
    assert within(gte=second + 1, lt=third) == []


@pytest.mark.parametrize("name", MADE)
def test_a_page_begins_after_the_last_one_of_the_page_before(
    api: Api, name: str
) -> None:
    """
    What is made meanwhile is newer, so it moves nothing.
    """
    for _ in range(3):
        MADE[name](api)
    every = _ids(api.get(name))
    first = api.get(name, limit=2)
    assert (_ids(first), first["has_more"]) == (every[:2], True)
    MADE[name](api)
    rest = api.get(name, limit=2, starting_after=every[1])
    assert (_ids(rest), rest["has_more"]) == (every[2:], False)
    with pytest.raises(Refused) as refused:
        api.get(name, starting_after="nobody")
    assert (refused.value.code, refused.value.param) == (
        "resource_missing",
        "starting_after",
    )


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("customers", "data.invoice_settings.default_payment_method.customer"),
        ("subscriptions", "data.latest_invoice.customer.invoice_settings"),
    ],
)
def test_four_levels_of_a_list_can_be_expanded(api: Api, name: str, path: str) -> None:
    """
    Its `data` is one of them (github.com/stripe/stripe-java/issues/2011).
    """
    begin(api)
    assert api.get(name, expand=[path])["data"]
    with pytest.raises(Refused, match="more than 4 levels") as refused:
        api.get(name, expand=[f"{path}.default_payment_method"])
    assert refused.value.param == "expand"


@pytest.mark.parametrize(
    ("card", "brand"),
    [
        ("pm_card_visa", "Visa"),
        ("pm_card_amex", "American Express"),
        ("pm_card_diners", "Diners Club"),
        ("pm_card_discover", "Discover"),
        ("pm_card_jcb", "JCB"),
        ("pm_card_mastercard", "MasterCard"),
        ("pm_card_unionpay", "UnionPay"),
    ],
)
def test_a_source_is_expanded_as_the_older_api_shows_it(
    api: Api, card: str, brand: str
) -> None:
    """
    An imported card; another source stays an id, and is not expanded further.
    """
    customer = _paid_by_a_source(api, card)
    [listed] = api.get("customers", expand=["data.default_source"])["data"]
    method = api.get(f"payment_methods/{customer['default_source']}")
    source = listed["default_source"]
    assert (source["object"], source["brand"]) == ("card", brand)
    assert [source["id"], source["customer"]] == [method["id"], customer["id"]]
    assert source["last4"] == method["card"]["last4"]

    api.engine.import_objects([customer | {"default_source": "ba_1"}])
    [listed] = api.get("customers", expand=["data.default_source"])["data"]
    assert listed["default_source"] == "ba_1"
    with pytest.raises(Refused, match="cannot be expanded"):
        api.get("customers", expand=["data.default_source.customer"])


def _paid_by_a_source(api: Api, card: str) -> Any:
    customer = api.post("customers")
    method = api.post(f"payment_methods/{card}/attach", customer=customer["id"])
    customer |= {"default_source": "card_1"}
    api.engine.import_objects([method | {"id": "card_1"}, customer])
    return customer


def test_what_is_on_a_test_clock_is_listed_for_those_who_name_it(api: Api) -> None:
    """
    Or, for subscriptions, for those who name its customer.
    """
    clock = api.post("test_helpers/test_clocks", frozen_time=api.now)["id"]
    on_it = api.customer(test_clock=clock)["id"]
    theirs = api.subscribe(on_it, api.price()["id"])["id"]
    other = begin(api)

    assert _ids(api.get("customers")) == [other["customer"]]
    assert _ids(api.get("customers", test_clock=clock)) == [on_it]
    assert _ids(api.get("subscriptions")) == [other["id"]]
    assert _ids(api.get("subscriptions", test_clock=clock)) == [theirs]
    assert _ids(api.get("subscriptions", customer=on_it)) == [theirs]
