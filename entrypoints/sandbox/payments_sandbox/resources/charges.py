"""`/v1/charges`, `/v1/refunds` and `/v1/disputes`."""

from typing import Final, Literal

from payments_sandbox import charging
from payments_sandbox.errors import invalid
from payments_sandbox.forms import (
    UNSET,
    Dated,
    Id,
    Metadata,
    Nested,
    Params,
    Text,
    Unset,
    given,
    merged,
)
from payments_sandbox.listing import equal, page
from payments_sandbox.routing import Route, retrieving
from payments_sandbox.state import Object, World

# Words in the evidence that decide a dispute in test mode
# (docs.stripe.com/testing#evidence).
_VERDICTS: Final = {"winning_evidence": True, "losing_evidence": False}


class UpdateCharge(Params, kw_only=True, frozen=True):
    description: Text | Unset | None = UNSET
    metadata: Metadata = UNSET
    receipt_email: Text | Unset | None = UNSET


class ListCharges(Dated, kw_only=True, frozen=True):
    customer: Id | None = None
    payment_intent: Id | None = None


class CreateRefund(Params, kw_only=True, frozen=True):
    amount: int | None = None
    charge: Id | None = None
    metadata: Metadata = UNSET
    payment_intent: Id | None = None
    reason: Literal["duplicate", "fraudulent", "requested_by_customer"] | None = None


class UpdateRefund(Params, kw_only=True, frozen=True):
    metadata: Metadata = UNSET


class ListRefunds(Dated, kw_only=True, frozen=True):
    charge: Id | None = None
    payment_intent: Id | None = None


class Evidence(Nested, kw_only=True, frozen=True):
    customer_email_address: Text | Unset | None = UNSET
    customer_name: Text | Unset | None = UNSET
    product_description: Text | Unset | None = UNSET
    uncategorized_text: Text | Unset | None = UNSET


class UpdateDispute(Params, kw_only=True, frozen=True):
    evidence: Evidence = Evidence()
    metadata: Metadata = UNSET
    # By default evidence is submitted; with `false` it is only staged.
    submit: bool | Unset = UNSET


class ListDisputes(Dated, kw_only=True, frozen=True):
    charge: Id | None = None
    payment_intent: Id | None = None


# Charges


def update_charge(world: World, params: UpdateCharge, id_: str) -> Object:
    charge = world.get("charge", id_)
    return world.change(
        charge,
        "charge.updated",
        metadata=merged(charge["metadata"], params.metadata),
        **given(description=params.description, receipt_email=params.receipt_email),
    )


def list_charges(world: World, params: ListCharges) -> Object:
    return page(
        "/v1/charges",
        world.by("charge", "customer", params.customer)
        if params.customer
        else world.all("charge"),
        params,
        equal("payment_intent", params.payment_intent),
    )


# Refunds


def create_refund(world: World, params: CreateRefund) -> Object:
    charge = _charge_of(world, params)
    left = charge["amount"] - charge["amount_refunded"]
    return charging.refund(
        world,
        charge,
        left if params.amount is None else params.amount,
        metadata=merged({}, params.metadata),
        reason=params.reason,
    )


def _charge_of(world: World, params: CreateRefund) -> Object:
    if (params.charge is None) == (params.payment_intent is None):
        raise invalid(
            "A refund takes one of `charge` and `payment_intent`.",
            "charge",
            "parameter_missing" if params.charge is None else None,
        )
    if params.charge:
        return world.get("charge", params.charge, "charge")
    id_ = params.payment_intent or ""
    intent = world.get("payment_intent", id_, "payment_intent")
    if intent["latest_charge"] is None:
        raise invalid(
            "This PaymentIntent does not have a successful charge to refund.",
            "payment_intent",
        )
    return world.get("charge", intent["latest_charge"])


def update_refund(world: World, params: UpdateRefund, id_: str) -> Object:
    refund = world.get("refund", id_)
    return world.change(
        refund,
        "refund.updated",
        metadata=merged(refund["metadata"], params.metadata),
    )


def list_refunds(world: World, params: ListRefunds) -> Object:
    return page(
        "/v1/refunds",
        world.all("refund"),
        params,
        equal("charge", params.charge),
        equal("payment_intent", params.payment_intent),
    )


# Disputes


def update_dispute(world: World, params: UpdateDispute, id_: str) -> Object:
    dispute = _open_dispute(world, id_)
    given_evidence = given(
        customer_email_address=params.evidence.customer_email_address,
        customer_name=params.evidence.customer_name,
        product_description=params.evidence.product_description,
        uncategorized_text=params.evidence.uncategorized_text,
    )
    evidence = {**dispute["evidence"], **given_evidence}
    details = dispute["evidence_details"]
    has_evidence = details["has_evidence"] or bool(given_evidence)
    # An explicit `submit` sends the staged evidence, too.
    submits = bool(given_evidence) if params.submit is UNSET else params.submit
    submits = submits and has_evidence
    status = dispute["status"]
    dispute = world.change(
        dispute,
        "charge.dispute.updated",
        evidence=evidence,
        evidence_details={
            **details,
            "has_evidence": has_evidence,
            "submission_count": details["submission_count"] + submits,
            "submission_method": "manual" if submits else details["submission_method"],
        },
        metadata=merged(dispute["metadata"], params.metadata),
        status=status.replace("needs_response", "under_review") if submits else status,
    )
    won = _VERDICTS.get(str(evidence["uncategorized_text"]))
    if submits and won is not None:
        return charging.close_dispute(world, dispute, won=won)
    return dispute


def close_dispute(world: World, _: Params, id_: str) -> Object:
    return charging.close_dispute(world, _open_dispute(world, id_), won=False)


def _open_dispute(world: World, id_: str) -> Object:
    dispute = world.get("dispute", id_)
    if dispute["status"] in ("won", "lost", "warning_closed"):
        raise invalid("This dispute is already closed.")
    return dispute


def list_disputes(world: World, params: ListDisputes) -> Object:
    return page(
        "/v1/disputes",
        world.all("dispute"),
        params,
        equal("charge", params.charge),
        equal("payment_intent", params.payment_intent),
    )


ROUTES: Final = (
    Route("GET", "/v1/charges", ListCharges, list_charges),
    Route("GET", "/v1/charges/{charge}", Params, retrieving("charge"), "charge"),
    Route("POST", "/v1/charges/{charge}", UpdateCharge, update_charge, "charge"),
    Route("POST", "/v1/refunds", CreateRefund, create_refund),
    Route("GET", "/v1/refunds", ListRefunds, list_refunds),
    Route("GET", "/v1/refunds/{refund}", Params, retrieving("refund"), "refund"),
    Route("POST", "/v1/refunds/{refund}", UpdateRefund, update_refund, "refund"),
    Route("GET", "/v1/disputes", ListDisputes, list_disputes),
    Route("GET", "/v1/disputes/{dispute}", Params, retrieving("dispute"), "dispute"),
    Route("POST", "/v1/disputes/{dispute}", UpdateDispute, update_dispute, "dispute"),
    Route("POST", "/v1/disputes/{dispute}/close", Params, close_dispute, "dispute"),
)
