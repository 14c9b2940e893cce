"""Every object that the sandbox serves has the fields of the SDK's types.

A field that the SDK says is always present must be; of those that it says may be
absent, these are.
"""

import json
from collections.abc import Mapping
from typing import Any, Final

import pytest

from support.sandbox import Api
from support.sdk_types import JSON, _layout, class_of, problems_of_object
from support.watched import begin

# Only in the answer to a request that expands it.
EXPANDED: Final = frozenset(
    {
        "confirmation_secret",
        "payments",
        "refunds",
        "sources",
        "subscriptions",
        "tax_ids",
    }
)
# Only on the stub of a deleted object.
DELETED: Final = frozenset({"deleted"})
# Only in the answer to the registration of an endpoint.
TOLD_ONCE: Final = frozenset({"secret"})
# Only once a refund waited or failed.
OF_A_REFUND: Final = frozenset(
    {"failure_balance_transaction", "failure_reason", "pending_reason"}
)
# Features that the sandbox does not have: other payment methods, taxes, tiers, Connect,
# other accounts of a customer, other currencies of a price, and more; see
# docs/sandbox.md.
LEFT_OUT: Final[Mapping[str, frozenset[str]]] = {
    "charge": frozenset(
        {"authorization_code", "level3", "presentment_details", "transfer"}
    ),
    "customer": frozenset(
        {
            "business_name",
            "cash_balance",
            "customer_account",
            "individual_name",
            "invoice_credit_balance",
            "tax",
        }
    ),
    "dispute": frozenset({"intended_submission_method"}),
    "invoice": frozenset({"customer_account", "status_details", "threshold_reason"}),
    "invoiceitem": frozenset(
        {"customer_account", "frozen_fields", "invoicing_rules", "net_amount"}
    ),
    "payment_intent": frozenset(
        {
            "allowed_payment_method_types",
            "customer_account",
            "excluded_payment_method_types",
            "hooks",
            "managed_payments",
            "payment_details",
            "payment_record",
            "presentment_details",
            "source",
        }
    ),
    "price": frozenset({"currency_options", "tiers"}),
    "product": frozenset({"tax_details"}),
    "refund": frozenset(
        {
            "customer",
            "customer_account",
            "description",
            "instructions_email",
            "next_action",
            "payment_method",
            "presentment_details",
        }
    ),
    "setup_intent": frozenset(
        {
            "attach_to_self",
            "customer_account",
            "excluded_payment_method_types",
            "managed_payments",
        }
    ),
    "subscription": frozenset(
        {
            "customer_account",
            "managed_payments",
            "presentment_details",
            "status_details",
        }
    ),
}


def everything(api: Api) -> dict[str, list[Any]]:
    """Make one of each kind; return all objects by kind, those in lists as well."""
    subscription = begin(api)
    begin(api, "pm_card_chargeCustomerFail")
    begin(api, "pm_card_createDispute")
    begin(api, "pm_card_refundFail")
    for charge in api.get("charges")["data"]:
        if charge["paid"] and not charge["disputed"]:
            api.post("refunds", charge=charge["id"], amount=100)
    owner = {"customer": subscription["customer"]}
    api.post("setup_intents", **owner)
    api.post("invoiceitems", amount=100, currency="eur", **owner)
    clock = api.post("test_helpers/test_clocks", frozen_time=api.now)["id"]
    api.post("customers", test_clock=clock)
    api.post("webhook_endpoints", url="http://127.0.0.1:9/", enabled_events=["*"])
    api.advance("1 hour")
    tables = api.engine.world.objects
    found = {kind: list(table.values()) for kind, table in tables.items() if table}
    items = [it for one in found["subscription"] for it in one["items"]["data"]]
    lines = [it for one in found["invoice"] for it in one["lines"]["data"]]
    found |= {
        "event": api.get("events")["data"],
        "line_item": lines,
        "plan": [it["plan"] for it in items],
        "subscription_item": items,
    }
    return {kind: json.loads(json.dumps(it)) for kind, it in found.items()}


def test_every_object_has_all_that_it_must_have(api: Api) -> None:
    """And no other field, and all of the SDK's types, at any depth."""
    found = everything(api)
    assert found.keys() >= LEFT_OUT.keys()
    problems = [
        problem
        for objects in found.values()
        for it in objects
        if class_of(it["object"])
        for problem in problems_of_object(it)
    ]
    assert problems == []


@pytest.mark.parametrize("kind", sorted(LEFT_OUT))
def test_of_what_may_be_absent_only_what_is_listed_is(api: Api, kind: str) -> None:
    """Each with its reason; a field that is served is removed from the list."""
    objects = everything(api)[kind]
    fields = _layout(class_of(kind), JSON).fields.keys()
    always = set.intersection(*(set(it) for it in objects))
    left_out = LEFT_OUT[kind]
    assert fields - always - EXPANDED - DELETED - TOLD_ONCE - OF_A_REFUND == left_out
    assert not left_out & set().union(*objects)
