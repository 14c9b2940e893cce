"""Our requests in Stripe's words: the method, the path and the parameters.

Rule 1: a request is always rendered the same: JSON with sorted keys, from which the SDK
        makes the form that it sends.
Rule 2: only well-formed ids become parts of a path.
"""

import json
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from payments_core import gateway as ours
from payments_core.errors import INVALID_ID, GatewayRefused
from payments_core.gateway import FrozenRequest, GatewayRequest

Params = dict[str, Any]  # JSON is anything
_Rendered = tuple[str, str, Params]

_ID: Final = re.compile(r"[A-Za-z0-9_]{1,255}")


def path(*parts: str, field: str = "id") -> str:
    """Return a path below /v1; `field` is the name of its id.

    Raises:
        GatewayRefused: a part is not an id: it could lead to any path.
    """
    for part in parts:
        if _ID.fullmatch(part) is None:
            raise GatewayRefused(INVALID_ID, "not a Stripe id", field=field)
    return "/v1/" + "/".join(parts)


def frozen(request: GatewayRequest, api_version: str) -> FrozenRequest:
    """Render a request.

    Raises:
        GatewayRefused: an id in it is not well-formed.
    """
    method, where, params = _RENDERERS[type(request)](request)
    return FrozenRequest(
        method=method,
        path=where,
        body=json.dumps(params, sort_keys=True, separators=(",", ":")),
        api_version=api_version,
    )


def given(**params: object) -> Params:
    """Return parameters without those that are None."""
    return {name: value for name, value in params.items() if value is not None}


def _metadata(user_id: str, intent_id: str) -> Params:
    return {"user_id": user_id, "intent_id": intent_id}


def _create_customer(it: ours.CreateCustomer) -> _Rendered:
    metadata = _metadata(it.user_id, it.intent_id)
    return "POST", path("customers"), given(email=it.email, metadata=metadata)


def _set_up_card(it: ours.CreateSetupIntent) -> _Rendered:
    return (
        "POST",
        path("setup_intents"),
        given(
            customer=it.customer_id,
            allowed_payment_method_types=["card"],
            usage="off_session",
            metadata=_metadata(it.user_id, it.intent_id),
        ),
    )


def _attach_card(it: ours.AttachCard) -> _Rendered:
    where = path("payment_methods", it.payment_method, "attach", field="payment_method")
    return "POST", where, given(customer=it.customer_id)


def _make_default(it: ours.MakeDefault) -> _Rendered:
    settings = {"default_payment_method": it.payment_method}
    return (
        "POST",
        path("customers", it.customer_id, field="customer"),
        given(invoice_settings=settings),
    )


def _pin_card(it: ours.SetSubscriptionCard) -> _Rendered:
    where = path("subscriptions", it.subscription, field="subscription")
    return "POST", where, given(default_payment_method=it.payment_method)


def _pay_invoice(it: ours.PayInvoice) -> _Rendered:
    # The payer is present: the bank may ask for authentication.
    where = path("invoices", it.invoice_id, "pay", field="invoice")
    return "POST", where, given(payment_method=it.payment_method, off_session=False)


def _start_subscription(it: ours.CreateSubscription) -> _Rendered:
    behavior = "allow_incomplete" if it.has_card else "default_incomplete"
    return (
        "POST",
        path("subscriptions"),
        given(
            customer=it.customer_id,
            items=[{"price": it.price, "quantity": it.quantity}],
            default_payment_method=it.payment_method,
            trial_period_days=it.trial_days,
            payment_behavior=behavior,
            payment_settings={"save_default_payment_method": "on_subscription"},
            off_session=False,
            metadata=_metadata(it.user_id, it.intent_id),
            expand=["latest_invoice"],
        ),
    )


def _changed(it: ours.UpdateSubscription) -> Params:
    # The same for a change and its preview, so that it costs what was shown.
    date = it.proration_date
    return given(
        items=[given(id=it.item_id, price=it.price, quantity=it.quantity)],
        proration_behavior="always_invoice",
        proration_date=None if date is None else int(date.timestamp()),
    )


def previewed(customer_id: str, it: ours.UpdateSubscription) -> Params:
    return given(
        customer=customer_id,
        subscription=it.subscription,
        subscription_details=_changed(it),
    )


def _change_subscription(it: ours.UpdateSubscription) -> _Rendered:
    # Held until it is paid (docs.stripe.com/billing/subscriptions/pending-updates).
    return (
        "POST",
        path("subscriptions", it.subscription, field="subscription"),
        given(
            **_changed(it),
            payment_behavior="pending_if_incomplete",
            expand=["latest_invoice"],
        ),
    )


def _plan_end(it: ours.SetCancelAtPeriodEnd) -> _Rendered:
    where = path("subscriptions", it.subscription, field="subscription")
    # An empty text clears a time.
    end: dict[str, object] = (
        {"cancel_at": ""}
        if it.clears_cancel_at
        else {"cancel_at_period_end": it.cancel_at_period_end}
    )
    return "POST", where, given(**end, expand=["latest_invoice"])


def _end_subscription(it: ours.CancelSubscription) -> _Rendered:
    return "DELETE", path("subscriptions", it.subscription, field="subscription"), {}


_RENDERERS: Final[Mapping[type, Callable[[Any], _Rendered]]] = MappingProxyType(
    {
        ours.CreateCustomer: _create_customer,
        ours.CreateSetupIntent: _set_up_card,
        ours.AttachCard: _attach_card,
        ours.MakeDefault: _make_default,
        ours.SetSubscriptionCard: _pin_card,
        ours.PayInvoice: _pay_invoice,
        ours.CreateSubscription: _start_subscription,
        ours.UpdateSubscription: _change_subscription,
        ours.SetCancelAtPeriodEnd: _plan_end,
        ours.CancelSubscription: _end_subscription,
    }
)
