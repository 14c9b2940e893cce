"""A sandbox in process all of whose answers are checked after the test."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Final

from support.sandbox import Api

FAILING: Final = "pm_card_chargeCustomerFail"
ASKING: Final = "pm_card_authenticationRequired"


@contextmanager
def watched(**settings: Any) -> Iterator[Api]:
    """Lend a sandbox; at the end, all its answers and events must conform."""
    api = Api.begin(**settings)
    yield api
    api.conformance.check_events(api.engine)
    problems = api.conformance.problems
    assert problems == [], problems


def begin(api: Api, card: str | None = "pm_card_visa", **params: Any) -> Any:
    """Begin a subscription of a new customer to a new price of 9.00 a month."""
    return api.subscribe(api.customer(card)["id"], api.price()["id"], **params)


def again(api: Api, it: Any) -> Any:
    """Return an object in its current state."""
    return api.get(f"{it['object']}s/{it['id']}")


def latest(api: Api, subscription: Any) -> Any:
    return api.get(f"invoices/{again(api, subscription)['latest_invoice']}")


def intent_of(api: Api, invoice: Any) -> Any:
    (payment,) = api.get("invoice_payments", invoice=invoice["id"])["data"]
    return api.get(f"payment_intents/{payment['payment']['payment_intent']}")


def period(subscription: Any) -> tuple[int, int]:
    item = subscription["items"]["data"][0]
    return item["current_period_start"], item["current_period_end"]


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


def count(api: Api) -> int:
    return len(api.engine.world.events)


def fail_from_now_on(api: Api, subscription: Any, why: str = "generic_decline") -> str:
    """Let the customer's card decline; return its id."""
    customer = api.get(f"customers/{subscription['customer']}")
    card = str(customer["invoice_settings"]["default_payment_method"])
    api.engine.set_card(card, declines=why)
    return card
