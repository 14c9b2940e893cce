"""Payments: payment intents, the bank's authentication, charges, disputes.

Rule 1: every attempt at a card is a charge, and ends in `charge.succeeded` or
        `charge.failed`; a card whose bank first requires authentication is not charged.
Rule 2: this module does not know invoices: code that collects one reads the intent
        afterwards.
"""

from typing import Any, Final

from payments_sandbox import shapes
from payments_sandbox.cards import MAGIC, Authentication, Card, Decline, Refunding
from payments_sandbox.errors import ApiError, invalid
from payments_sandbox.periods import DAY, MINUTE
from payments_sandbox.state import Object, World

DISPUTE_DAYS: Final = 9
# Stripe says only "some time later" (docs.stripe.com/testing#refunds).
REFUND_ENDS_S: Final = 5 * MINUTE
CONFIRMABLE: Final = frozenset(
    {"requires_payment_method", "requires_confirmation", "requires_action"}
)
_AUTHENTICATION_FAILED: Final = Decline(
    "payment_intent_authentication_failure",
    None,
    "The provided payment method has failed authentication.",
)


def method_named(world: World, id_: str, param: str = "payment_method") -> Object:
    """Return a payment method; a magic id creates a new one, as at Stripe.

    Raises:
        ApiError: it does not exist.
    """
    card = MAGIC.get(id_)
    if card is None:
        return world.get("payment_method", id_, param)
    return keep_card(world, card)


def require_known(world: World, id_: str, param: str = "card") -> None:
    """Refuse an id that is neither a payment method nor a magic id.

    Raises:
        ApiError: the id is neither.
    """
    if id_ not in MAGIC:
        world.get("payment_method", id_, param)


def keep_card(world: World, card: Card, **fields: Any) -> Object:
    """Create a payment method from a card."""
    # Stripe reports a payment method only once it is attached.
    method = world.create(shapes.payment_method(world, card, **fields), None)
    world.cards[method["id"]] = card
    return method


# These can no longer be attached or charged: they were detached, or paid without having
# been attached. Stripe shows that nowhere, so it is a separate kind here.
_SPENT: Final = "spent_payment_method"


def spend(world: World, method: Object) -> None:
    """Mark a payment method as no longer usable."""
    if world.find(_SPENT, method["id"]) is None:
        world.create({"id": method["id"], "object": _SPENT}, None)


def require_unspent(world: World, method: Object, param: str | None = None) -> None:
    """Refuse a payment method that was detached, or that paid without a customer.

    Raises:
        ApiError: the payment method was.
    """
    if method["customer"] is None and world.find(_SPENT, method["id"]):
        raise invalid(
            "This PaymentMethod was previously used without being attached to a "
            "Customer or was detached from a Customer, and may not be used again.",
            param,
        )


def detach(world: World, method: Object) -> Object:
    """Detach a payment method from its customer, permanently."""
    method = world.change(method, "payment_method.detached", customer=None)
    spend(world, method)
    return method


def require_usable(
    world: World, method: Object, customer_id: str | None, param: str
) -> None:
    """Refuse a payment method that belongs to another customer, or was spent.

    Raises:
        ApiError: the payment method is.
    """
    require_unspent(world, method, param)
    if method["customer"] not in (None, customer_id):
        raise invalid(
            f"The payment method {method['id']} belongs to another customer.",
            param,
        )


def own_method(world: World, id_: str, customer: Object, param: str) -> Object:
    """Return a payment method that is attached to this customer.

    Raises:
        ApiError: it does not exist, is not attached, or is another customer's.
    """
    method = world.get("payment_method", id_, param)
    if method["customer"] != customer["id"]:
        raise invalid(
            f"The customer does not have a payment method with the ID {id_}. The "
            "payment method must be attached to the customer.",
            param,
            "resource_missing",
        )
    return method


def confirm(
    world: World, intent: Object, method: Object, *, off_session: bool = False
) -> Object:
    """Try to charge an intent's amount to a card; return the intent afterwards.

    A refusal by the card is in `last_payment_error`; nothing is raised.
    """
    intent = world.change(
        intent, None, payment_method=method["id"], last_payment_error=None
    )
    if _asks_the_holder(world, method, off_session=off_session):
        return world.change(
            intent,
            "payment_intent.requires_action",
            status="requires_action",
            next_action={"type": "use_stripe_sdk", "use_stripe_sdk": {}},
        )
    return _charge(world, intent, method)


def _asks_the_holder(world: World, method: Object, *, off_session: bool) -> bool:
    match world.cards[method["id"]].authentication:
        case Authentication.ALWAYS:
            return True
        case Authentication.ON_SETUP:
            return off_session and method["id"] not in world.authenticated
        case Authentication.NEVER:
            return False


def authenticate(world: World, intent: Object, *, succeed: bool) -> Object:
    """Make the holder pass or fail the bank's authentication; return the intent."""
    method = world.get("payment_method", intent["payment_method"])
    intent = world.change(intent, None, next_action=None)
    if succeed:
        return _charge(world, intent, method)
    return _failed(world, intent, method, _AUTHENTICATION_FAILED, None)


def _charge(world: World, intent: Object, method: Object) -> Object:
    card = world.cards[method["id"]]
    charge = shapes.charge(world, intent, method)
    if card.charging is not None:
        charge = {**charge, **_refused(card.charging, card.risk_level)}
        # The intent first: the links of a charge are found through it.
        intent = world.change(intent, None, latest_charge=charge["id"])
        world.create(charge, "charge.failed")
        return _failed(world, intent, method, card.charging, charge["id"])
    charge = {
        **charge,
        "amount_captured": charge["amount"],
        "captured": True,
        "outcome": _outcome(
            "approved_by_network", "authorized", "Payment complete.", card.risk_level
        ),
        "paid": True,
        "status": "succeeded",
    }
    intent = world.change(intent, None, latest_charge=charge["id"])
    charge = world.create(charge, "charge.succeeded")
    intent = world.change(
        intent,
        "payment_intent.succeeded",
        status="succeeded",
        amount_received=intent["amount"],
        next_action=None,
    )
    if intent["setup_future_usage"] and intent["customer"]:
        _keep(world, intent, method)
    elif method["customer"] is None:
        spend(world, method)
    if card.disputed_as:
        _dispute(world, charge, card)
    return intent


def _keep(world: World, intent: Object, method: Object) -> None:
    if method["customer"] is None:
        world.change(method, "payment_method.attached", customer=intent["customer"])


# Radar's risk score, out of 100; more than 75 is the highest risk.
_RISK_SCORES: Final = {"normal": 20, "elevated": 70, "highest": 99}


def _outcome(
    network_status: str, type_: str, message: str, risk_level: str
) -> dict[str, Any]:
    return {
        "advice_code": None,
        "network_advice_code": None,
        "network_decline_code": None,
        "network_status": network_status,
        "reason": None,
        "risk_level": risk_level,
        "risk_score": _RISK_SCORES[risk_level],
        "seller_message": message,
        "type": type_,
    }


def _refused(decline: Decline, risk_level: str) -> dict[str, Any]:
    if decline.is_blocked:
        outcome = {
            **_outcome(
                "not_sent_to_network",
                "blocked",
                "Stripe blocked this payment as too risky.",
                risk_level,
            ),
            "reason": "highest_risk_level",
        }
    else:
        outcome = {
            **_outcome(
                "declined_by_network", "issuer_declined", decline.message, risk_level
            ),
            "reason": decline.decline_code or decline.code,
        }
    return {
        "failure_code": decline.code,
        "failure_message": decline.message,
        "outcome": outcome,
        "status": "failed",
    }


def _failed(
    world: World,
    intent: Object,
    method: Object,
    decline: Decline,
    charge_id: str | None,
) -> Object:
    error = decline.error(charge=charge_id, payment_method=method).body()["error"]
    return world.change(
        intent,
        "payment_intent.payment_failed",
        status="requires_payment_method",
        payment_method=None,
        last_payment_error=error,
    )


def refusal_of(intent: Object, **more: Any) -> ApiError:
    """Return the 402 with the reason of an intent's last failed attempt."""
    error = intent["last_payment_error"]
    return Decline(error["code"], error.get("decline_code"), error["message"]).error(
        charge=error.get("charge"),
        payment_intent=intent,
        payment_method=error["payment_method"],
        **more,
    )


def last_decline(intent: Object) -> Decline | None:
    error = intent["last_payment_error"]
    return error and Decline(error["code"], error.get("decline_code"))


def cancel(world: World, intent: Object, reason: str | None) -> Object:
    return world.change(
        intent,
        "payment_intent.canceled",
        status="canceled",
        canceled_at=world.now,
        cancellation_reason=reason,
        next_action=None,
    )


# Refunds and disputes

_WAS_PENDING: Final = {"pending_reason": "processing", "status": "pending"}
_WAS_SUCCEEDED: Final = {
    "failure_balance_transaction": None,
    "failure_reason": None,
    "status": "succeeded",
}


def refund(world: World, charge: Object, amount: int, **fields: Any) -> Object:
    """Refund money; return the refund.

    Raises:
        ApiError: nothing was charged, or less than the amount is left.
    """
    if charge["status"] != "succeeded":
        raise invalid(f"Charge {charge['id']} has not succeeded.", "charge")
    if charge["refunded"]:
        raise invalid(
            f"Charge {charge['id']} has already been refunded.",
            "charge",
            "charge_already_refunded",
        )
    if charge["disputed"] and not _is_refundable(world, charge):
        raise invalid(
            f"Charge {charge['id']} has been charged back; cannot issue a refund.",
            "charge",
            "charge_disputed",
        )
    left = charge["amount"] - charge["amount_refunded"]
    if not 0 < amount <= left:
        raise invalid(
            f"Refund amount ({amount}) is not within the unrefunded amount ({left}).",
            "amount",
        )
    # The card of an imported charge may be unknown.
    refunding = world.cards.get(charge["payment_method"], Card()).refunding
    if refunding is Refunding.SUCCEEDS_LATER:
        fields = {**fields, "pending_reason": "processing", "status": "pending"}
    new = world.create(
        shapes.refund(world, charge, amount=amount, **fields), "refund.created"
    )
    # Pending refunds count too: nothing may be refunded twice.
    _note_refunded(world, charge, amount, "charge.refunded")
    if refunding is not Refunding.NOTHING:
        world.later(world.now + REFUND_ENDS_S, "refund", new["id"])
    return new


def _note_refunded(world: World, charge: Object, amount: int, event: str) -> None:
    refunded = charge["amount_refunded"] + amount
    world.change(
        charge,
        event,
        amount_refunded=refunded,
        refunded=refunded == charge["amount"],
    )


def end_refund(world: World, refund: Object) -> None:
    """Make a pending refund succeed, and one that the card's bank returns fail.

    After a failed refund the charge is not refunded any longer; it may be tried again.
    """
    if refund["status"] == "pending":
        refund = world.change(
            refund, "refund.updated", pending_reason=None, status="succeeded"
        )
        world.report("charge.refund.updated", refund, _WAS_PENDING)
        return
    refund = world.change(
        refund,
        "refund.updated",
        failure_balance_transaction=world.new_id("txn"),
        failure_reason="expired_or_canceled_card",
        status="failed",
    )
    world.report("charge.refund.updated", refund, _WAS_SUCCEEDED)
    world.report("refund.failed", refund)
    charge = world.get("charge", refund["charge"])
    _note_refunded(world, charge, -refund["amount"], "charge.updated")


def _is_refundable(world: World, charge: Object) -> bool:
    disputes = world.by("dispute", "charge", charge["id"])
    return all(dispute["is_charge_refundable"] for dispute in disputes)


def _dispute(world: World, charge: Object, card: Card) -> None:
    charge = world.change(charge, "charge.updated", disputed=True)
    dispute = world.create(
        shapes.dispute(
            world,
            charge,
            world.now + DISPUTE_DAYS * DAY,
            reason=card.disputed_as,
            status="warning_needs_response" if card.inquiry else "needs_response",
            is_charge_refundable=card.inquiry,
        ),
        "charge.dispute.created",
    )
    # An inquiry takes no money.
    if not card.inquiry:
        world.report("charge.dispute.funds_withdrawn", dispute)


def close_dispute(world: World, dispute: Object, *, won: bool) -> Object:
    """Close a dispute with the bank's decision; return it."""
    was_inquiry = dispute["status"].startswith("warning")
    status = ("warning_closed" if was_inquiry else "won") if won else "lost"
    dispute = world.change(
        dispute, "charge.dispute.closed", status=status, is_charge_refundable=False
    )
    if won and not was_inquiry:
        world.report("charge.dispute.funds_reinstated", dispute)
    return dispute
