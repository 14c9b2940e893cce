"""Subscriptions and their items."""

from collections.abc import Iterable
from typing import Any, Final

from payments_sandbox.shapes.catalog import plan_of
from payments_sandbox.shapes.parts import NO_TAX, SELF, new_object
from payments_sandbox.state import Object, World, listed

NO_CANCELLATION: Final = {"comment": None, "feedback": None, "reason": None}


def subscription_item(
    world: World, subscription_id: str, price: Object, **fields: Any
) -> Object:
    return {
        "id": world.new_id("si"),
        "object": "subscription_item",
        "billing_thresholds": None,
        "created": world.now,
        "discounts": [],
        "metadata": {},
        "plan": plan_of(price),
        "price": price,
        "quantity": 1,
        "subscription": subscription_id,
        "tax_rates": [],
        **fields,
    }


def items_of(subscription_id: str, items: Iterable[Object]) -> Object:
    return listed(f"/v1/subscription_items?subscription={subscription_id}", items)


def subscription(world: World, id_: str, **fields: Any) -> Object:
    return {
        **new_object(world, "sub", "subscription"),
        "id": id_,
        "application": None,
        "application_fee_percent": None,
        "automatic_tax": {"disabled_reason": None, **NO_TAX},
        "billing_cycle_anchor": world.now,
        "billing_cycle_anchor_config": None,
        "billing_mode": {
            "flexible": {"proration_discounts": "included"},
            "type": "flexible",
        },
        "billing_schedules": [],
        "billing_thresholds": None,
        "cancel_at": None,
        "cancel_at_period_end": False,
        "canceled_at": None,
        "cancellation_details": NO_CANCELLATION,
        "collection_method": "charge_automatically",
        "days_until_due": None,
        "default_payment_method": None,
        "default_source": None,
        "default_tax_rates": [],
        "description": None,
        "discounts": [],
        "ended_at": None,
        "invoice_settings": {"account_tax_ids": None, "issuer": SELF},
        "latest_invoice": None,
        "next_pending_invoice_item_invoice": None,
        "on_behalf_of": None,
        "pause_collection": None,
        "payment_settings": {
            "payment_method_options": None,
            "payment_method_types": None,
            "save_default_payment_method": "off",
        },
        "pending_invoice_item_interval": None,
        "pending_setup_intent": None,
        "pending_update": None,
        "schedule": None,
        "start_date": world.now,
        "test_clock": None,
        "transfer_data": None,
        "trial_end": None,
        "trial_settings": {
            "end_behavior": {"missing_payment_method": "create_invoice"}
        },
        "trial_start": None,
        **fields,
    }
