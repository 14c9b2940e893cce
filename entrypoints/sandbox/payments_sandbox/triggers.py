"""`trigger`: make one event happen to one user, by the API calls that lead to it.

A trigger is real: the customer, the card and the charge behind an event exist
afterwards, and all intermediate events are sent as well.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

import attrs
import msgspec

from payments_sandbox.api import ApiRequest
from payments_sandbox.engine import Engine
from payments_sandbox.forms import encoded
from payments_sandbox.state import Object

_GOOD: Final = "pm_card_visa"
_OTHER: Final = "pm_card_mastercard"
_FAILING: Final = "pm_card_chargeCustomerFail"
_AMOUNT_MINOR: Final = 900


class TriggerError(Exception):
    """The event cannot be triggered; the message says why."""


@attrs.define
class Hand:
    """Calls the API as a client would, for one user."""

    engine: Engine
    user: str
    values: Mapping[str, str]

    def post(self, path: str, **params: Any) -> Any:
        return self._call("POST", path, body=encoded(params))

    def delete(self, path: str) -> Any:
        return self._call("DELETE", path)

    def _call(self, method: str, path: str, body: str = "") -> Any:
        response = self.engine.answer(
            ApiRequest(
                method=method,
                path=path,
                body=body.encode(),
                headers={"authorization": f"Bearer {self.engine.api.api_key}"},
            )
        )
        answer = msgspec.json.decode(response.body)
        error = answer.get("error")
        # Some triggers are meant to decline.
        if error and response.status != 402:  # noqa: PLR2004  # payment required
            raise TriggerError(error["message"])
        return answer

    def customer(self) -> str:
        """Return the user's customer; create it if there is none."""
        is_email = "@" in self.user
        for it in reversed(self.engine.world.all("customer")):
            owner = it["email"] if is_email else it["metadata"].get("user_id")
            if owner == self.user:
                return str(it["id"])
        return str(
            self.post(
                "/v1/customers",
                **({"email": self.user} if is_email else {"metadata": self._owner()}),
            )["id"]
        )

    def _owner(self) -> dict[str, str]:
        return {} if "@" in self.user else {"user_id": self.user}

    def card(self, magic: str) -> str:
        """Attach a card; for a user known by e-mail, with that e-mail."""
        path, customer = f"/v1/payment_methods/{magic}/attach", self.customer()
        id_ = str(self.post(path, customer=customer)["id"])
        if "@" in self.user:
            details = {"email": self.user}
            self.post(f"/v1/payment_methods/{id_}", billing_details=details)
        return id_

    def make_default(self, magic: str) -> str:
        """Attach a card as the new default."""
        id_, customer = self.card(magic), self.customer()
        settings = {"default_payment_method": id_}
        self.post(f"/v1/customers/{customer}", invoice_settings=settings)
        return id_

    def default(self) -> str:
        """Return the default card; attach one if there is none."""
        customer = self.engine.world.get("customer", self.customer())
        id_ = customer["invoice_settings"]["default_payment_method"]
        return str(id_ or self.make_default(_GOOD))

    def charge(self, magic: str) -> Object:
        """Charge the user once; return the payment intent, or the refusal."""
        params: dict[str, Any] = {
            "amount": _AMOUNT_MINOR,
            "currency": "usd",
            "customer": self.customer(),
            "payment_method": self.card(magic),
            "confirm": True,
            "metadata": self._owner(),
            **({"receipt_email": self.user} if "@" in self.user else {}),
        }
        path = "/v1/payment_intents"
        intent: Object = self.post(path, **{**params, **self.values})
        return intent

    def subscribe(self) -> Any:
        """Subscribe the user to the first recurring price; return the subscription."""
        prices = [it for it in self.engine.world.all("price") if it["recurring"]]
        if prices:
            price = prices[0]["id"]
        else:
            price = self.post(
                "/v1/prices",
                currency="usd",
                unit_amount=_AMOUNT_MINOR,
                recurring={"interval": "month"},
                product_data={"name": "Basic"},
            )["id"]
        params: dict[str, Any] = {
            "customer": self.customer(),
            "items": [{"price": price}],
            "default_payment_method": self.card(_GOOD),
            "metadata": self._owner(),
        }
        return self.post("/v1/subscriptions", **{**params, **self.values})


def _refunded(hand: Hand) -> None:
    hand.post("/v1/refunds", payment_intent=hand.charge(_GOOD)["id"])


def _canceled(hand: Hand) -> None:
    hand.delete(f"/v1/subscriptions/{hand.subscribe()['id']}")


def _unpaid(hand: Hand) -> None:
    """Set a failing card on a new subscription, and bill a change."""
    subscription = hand.subscribe()
    path, card = f"/v1/subscriptions/{subscription['id']}", hand.card(_FAILING)
    item = subscription["items"]["data"][0]["id"]
    hand.post(
        path,
        default_payment_method=card,
        items=[{"id": item, "quantity": 2}],
        proration_behavior="always_invoice",
    )


def _changed(hand: Hand) -> None:
    """Change the default card's expiry: later, or to `exp_month` and `exp_year`."""
    id_ = hand.default()
    year = hand.engine.world.get("payment_method", id_)["card"]["exp_year"]
    card = {"exp_year": year + 1, **hand.values}
    hand.post(f"/v1/payment_methods/{id_}", card=card)


def _detached(hand: Hand) -> None:
    hand.post(f"/v1/payment_methods/{hand.default()}/detach")


def _reissued(hand: Hand) -> None:
    hand.engine.reissue_card(hand.default())


def _kept(hand: Hand) -> None:
    params: dict[str, Any] = {
        "customer": hand.customer(),
        "payment_method": _GOOD,
        "confirm": True,
    }
    hand.post("/v1/setup_intents", **{**params, **hand.values})


TRIGGERS: Final[Mapping[str, Callable[[Hand], Any]]] = MappingProxyType(
    {
        "charge.dispute.created": lambda hand: hand.charge("pm_card_createDispute"),
        "charge.failed": lambda hand: hand.charge(_FAILING),
        "charge.refunded": _refunded,
        "charge.succeeded": lambda hand: hand.charge(_GOOD),
        "customer.created": Hand.customer,
        "customer.subscription.created": Hand.subscribe,
        "customer.subscription.deleted": _canceled,
        "customer.updated": lambda hand: hand.make_default(_OTHER),
        "invoice.paid": Hand.subscribe,
        "invoice.payment_failed": _unpaid,
        "payment_method.attached": lambda hand: hand.card(_GOOD),
        "payment_method.automatically_updated": _reissued,
        "payment_method.detached": _detached,
        "payment_method.updated": _changed,
        "setup_intent.succeeded": _kept,
    }
)


def trigger(
    engine: Engine, type_: str, user: str, values: Mapping[str, str]
) -> list[str]:
    """Make an event of this type happen to a user; return the types it caused.

    `values` are parameters of the last call: `amount`, `currency`.

    Raises:
        TriggerError: the trigger does not exist, or the sandbox refuses a value.
    """
    make = TRIGGERS.get(type_)
    if make is None:
        raise TriggerError(f"{type_} is not one of: {', '.join(TRIGGERS)}")
    before = len(engine.world.events)
    make(Hand(engine, user, values))
    return [event.type for event in list(engine.world.events.values())[before:]]
