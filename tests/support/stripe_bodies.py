"""Bodies of Stripe: objects, events, and what we read in them."""

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

from payments_adapters.stripe import translate
from payments_adapters.stripe.api_shapes import API_VERSION
from payments_core import (
    Payment,
    PaymentId,
    SyncNeeded,
)
from payments_core.events import UNREADABLE, QuarantineNeeded, Report
from payments_core.job_key import JobKey, JobKind
from payments_sandbox.api_versions import ACACIA, BASIL, NEWEST

PAYLOADS: Final = Path(__file__).parents[1] / "payloads"
NOON: Final = datetime(2026, 1, 1, 12, tzinfo=UTC)
NOON_S: Final = int(NOON.timestamp())
CH_1: Final = PaymentId("ch_1")
ABSENT: Final = object()

Fields = Mapping[str, object]

CHARGE_TYPES: Final = [
    f"charge.{what}"
    for what in (
        "captured",
        "expired",
        "failed",
        "pending",
        "refunded",
        "succeeded",
        "updated",
    )
]
SUBSCRIPTION_TYPES: Final = [
    f"customer.subscription.{what}"
    for what in (
        "created",
        "deleted",
        "paused",
        "pending_update_applied",
        "pending_update_expired",
        "resumed",
        "trial_will_end",
        "updated",
    )
]
OWED_TYPES: Final = ["invoice.payment_action_required", "invoice.payment_failed"]
METHOD_TYPES: Final = [
    f"payment_method.{what}"
    for what in (
        "attached",
        "automatically_updated",
        # Its name before 2020-08-27.
        "card_automatically_updated",
        "updated",
    )
]
CARD_TYPES: Final = [
    *METHOD_TYPES,
    "customer.deleted",
    "customer.updated",
    "payment_method.detached",
    "setup_intent.succeeded",
]
# An event's previous values, where it is about them.
BEFORE: Final[Mapping[str, object]] = {
    "customer.updated": {"invoice_settings": {"default_payment_method": None}},
    "payment_method.detached": {"customer": "cus_1"},
}
REFUND_TYPES: Final = ["charge.refund.updated", "refund.failed", "refund.updated"]
DISPUTE_TYPES: Final = [
    f"charge.dispute.{what}"
    for what in ("closed", "created", "funds_reinstated", "funds_withdrawn", "updated")
]


def a_secret(name: str) -> str:
    """Return a webhook secret that looks random, and is the same for the same name."""
    return f"whsec_{hashlib.sha256(name.encode()).hexdigest()[:32]}"


def without_absent(fields: Fields) -> dict[str, object]:
    return {name: value for name, value in fields.items() if value is not ABSENT}


def charge(**fields: object) -> dict[str, object]:
    usual: dict[str, object] = {
        "id": "ch_1",
        "object": "charge",
        "amount": 100,
        "currency": "eur",
        "created": NOON_S,
        "status": "succeeded",
        "amount_refunded": 0,
        "refunded": False,
        "disputed": False,
    }
    return without_absent(usual | fields)


def event_body(
    thing: object, type_: object = "charge.succeeded", **fields: object
) -> bytes:
    usual: dict[str, object] = {
        "id": "evt_1",
        "object": "event",
        "type": type_,
        "created": NOON_S,
        "livemode": False,
        "data": {"object": thing},
    }
    if type_ in BEFORE:
        usual["data"] = {"object": thing, "previous_attributes": BEFORE[str(type_)]}
    return json.dumps(without_absent(usual | fields)).encode()


def report_of(
    thing: object, type_: str = "charge.succeeded", **fields: object
) -> Report | None:
    return translate(event_body(thing, type_, **fields)).report


def payment_of(
    thing: object, type_: str = "charge.succeeded", **fields: object
) -> Payment:
    report = report_of(thing, type_, **fields)
    assert isinstance(report, Payment)
    return report


def doubt_of(
    thing: object, type_: str = "charge.succeeded", **fields: object
) -> SyncNeeded:
    report = report_of(thing, type_, **fields)
    assert isinstance(report, SyncNeeded)
    return report


def quarantine_of(
    thing: object, type_: str = "charge.succeeded", **fields: object
) -> QuarantineNeeded:
    report = report_of(thing, type_, **fields)
    assert isinstance(report, QuarantineNeeded)
    return report


class Refusal(NamedTuple):
    """Why a body cannot be read; `field` is its path, "" the whole."""

    field: str
    reason: str


def refusal_of(body: bytes) -> Refusal:
    report = translate(body).report
    assert isinstance(report, QuarantineNeeded), report
    unreadable, _, told = report.reason.partition(": ")
    assert unreadable == UNREADABLE
    field, _, reason = told.partition(": ")
    return Refusal("" if field == "body" else field, reason)


SUB_1: Final = JobKey(JobKind.SUBSCRIPTION, "sub_1")
MONTH: Final = 31 * 86_400
GENERATIONS: Final = (
    ACACIA,
    BASIL,
    "2025-09-30.clover",
    "2026-03-25.dahlia",
    NEWEST,
)


def item(**fields: object) -> dict[str, object]:
    usual: dict[str, object] = {
        "id": "si_1",
        "object": "subscription_item",
        "created": NOON_S,
        "price": {"id": "price_1", "object": "price", "product": "prod_1"},
        "quantity": 2,
        "current_period_start": NOON_S,
        "current_period_end": NOON_S + MONTH,
    }
    return without_absent(usual | fields)


def subscription(**fields: object) -> dict[str, object]:
    usual: dict[str, object] = {
        "id": "sub_1",
        "object": "subscription",
        "customer": "cus_1",
        "status": "active",
        "created": NOON_S,
        "currency": "eur",
        "livemode": False,
        "items": {"object": "list", "data": [item()]},
    }
    return without_absent(usual | fields)


def line(**fields: object) -> dict[str, object]:
    usual: dict[str, object] = {
        "id": "il_1",
        "object": "line_item",
        "amount": 900,
        "period": {"start": NOON_S, "end": NOON_S + MONTH},
        "parent": {
            "type": "subscription_item_details",
            "subscription_item_details": {"proration": False, "subscription": "sub_1"},
        },
    }
    return without_absent(usual | fields)


def invoice(*lines: dict[str, object], **fields: object) -> dict[str, object]:
    usual: dict[str, object] = {
        "id": "in_1",
        "object": "invoice",
        "status": "paid",
        "livemode": False,
        "parent": {
            "type": "subscription_details",
            "subscription_details": {"subscription": "sub_1"},
        },
        "lines": {"object": "list", "data": list(lines or [line()])},
    }
    return without_absent(usual | fields)


def followed(type_: str) -> dict[str, Any]:
    """Return an object from which an event of a billing type gives a report."""
    if type_ in SUBSCRIPTION_TYPES:
        return subscription()
    if type_.startswith("invoice."):
        return invoice()
    if type_ == "setup_intent.succeeded":
        return {
            "id": "seti_1",
            "object": "setup_intent",
            "livemode": False,
            "metadata": {"intent_id": "intent-1"},
        }
    if type_ == "customer.deleted":
        return {"id": "cus_1", "object": "customer", "livemode": False}
    if type_ == "customer.updated":
        return {
            "id": "cus_1",
            "object": "customer",
            "livemode": False,
            "invoice_settings": {"default_payment_method": "pm_1"},
        }
    return {
        "id": "pm_1",
        "object": "payment_method",
        "customer": None if type_ == "payment_method.detached" else "cus_1",
        "livemode": False,
        "card": {"brand": "visa", "last4": "4242", "exp_month": 12, "exp_year": 2034},
    }


def pinned_report(thing: object, type_: str = "customer.subscription.updated") -> Any:
    return report_of(thing, type_, api_version=API_VERSION)
