"""The parameters of requests about subscriptions."""

from typing import Annotated, Any, Final, Literal

import msgspec

from payments_sandbox.forms import (
    UNSET,
    Currency,
    Dated,
    Id,
    Listing,
    Metadata,
    Nested,
    Params,
    Quantity,
    Seconds,
    Text,
    Unset,
    given,
)
from payments_sandbox.state import Object

Behavior = Literal[
    "allow_incomplete",
    "default_incomplete",
    "error_if_incomplete",
    "pending_if_incomplete",
]
Prorations = Literal["always_invoice", "create_prorations", "none"]
Anchor = Literal["now", "unchanged"]
# All items of a subscription have the same period here, so both words mean the same.
EndMoment = Seconds | Literal["max_period_end", "min_period_end"]
# Stripe's own limit is two years.
TRIAL_DAYS_MAX: Final = 730


class AnchorChange(Nested, kw_only=True, frozen=True):
    type: Anchor


# A hash in the newest version, a plain word in older ones.
Anchored = AnchorChange | Anchor


def resets(anchor: Anchored) -> bool:
    return (anchor.type if isinstance(anchor, AnchorChange) else anchor) == "now"


class Flexible(Nested, kw_only=True, frozen=True):
    proration_discounts: Literal["included", "itemized"] = "included"


class BillingMode(Nested, kw_only=True, frozen=True):
    """How prorations are shown; without discounts, as here, they cost the same."""

    type: Literal["classic", "flexible"]
    flexible: Flexible | None = None

    def shown(self) -> Object:
        if self.type == "classic":
            return {"flexible": None, "type": "classic"}
        discounts = (self.flexible or Flexible()).proration_discounts
        return {"flexible": {"proration_discounts": discounts}, "type": "flexible"}


class EndBehavior(Nested, kw_only=True, frozen=True):
    missing_payment_method: Literal["cancel", "create_invoice", "pause"]


class TrialSettings(Nested, kw_only=True, frozen=True):
    end_behavior: EndBehavior

    def shown(self) -> Object:
        missing = self.end_behavior.missing_payment_method
        return {"end_behavior": {"missing_payment_method": missing}}


class PaymentSettings(Nested, kw_only=True, frozen=True):
    payment_method_types: tuple[Literal["card"], ...] | None = None
    save_default_payment_method: Literal["off", "on_subscription"] = "off"

    def shown(self) -> Object:
        types = self.payment_method_types
        return {
            "payment_method_options": None,
            "payment_method_types": list(types) if types else None,
            "save_default_payment_method": self.save_default_payment_method,
        }


class PauseCollection(Nested, kw_only=True, frozen=True):
    behavior: Literal["keep_as_draft", "mark_uncollectible", "void"]
    resumes_at: Seconds | None = None

    def shown(self) -> Object:
        return {"behavior": self.behavior, "resumes_at": self.resumes_at}


class CancellationDetails(Nested, kw_only=True, frozen=True):
    comment: Text | Unset | None = UNSET
    feedback: (
        Literal[
            "customer_service",
            "low_quality",
            "missing_features",
            "other",
            "switched_service",
            "too_complex",
            "too_expensive",
            "unused",
        ]
        | Unset
        | None
    ) = UNSET

    def shown(self) -> dict[str, Any]:
        return given(comment=self.comment, feedback=self.feedback)


class NewItem(Nested, kw_only=True, frozen=True):
    price: Id
    quantity: Quantity = 1
    metadata: Metadata = UNSET


class Item(Nested, kw_only=True, frozen=True):
    """A change of the item with this id; without an id a new item."""

    id: Id | None = None
    deleted: bool = False
    metadata: Metadata = UNSET
    price: Id | None = None
    quantity: Quantity | None = None


class Create(Params, kw_only=True, frozen=True):
    customer: Id
    items: Annotated[tuple[NewItem, ...], msgspec.Meta(min_length=1)]
    billing_mode: BillingMode = BillingMode(type="flexible")
    cancel_at: EndMoment | None = None
    cancel_at_period_end: bool = False
    collection_method: Literal["charge_automatically"] = "charge_automatically"
    currency: Currency | None = None
    default_payment_method: Id | None = None
    description: Text | None = None
    metadata: Metadata = UNSET
    off_session: bool = False
    payment_behavior: Behavior = "allow_incomplete"
    payment_settings: PaymentSettings = PaymentSettings()
    proration_behavior: Prorations = "create_prorations"
    trial_end: Seconds | Literal["now"] | None = None
    trial_period_days: Annotated[int, msgspec.Meta(ge=1, le=TRIAL_DAYS_MAX)] | None = (
        None
    )
    trial_settings: TrialSettings | None = None


class Update(Params, kw_only=True, frozen=True):
    billing_cycle_anchor: Anchored = "unchanged"
    cancel_at: EndMoment | Unset | None = UNSET
    cancel_at_period_end: bool | Unset = UNSET
    cancellation_details: CancellationDetails = CancellationDetails()
    collection_method: Literal["charge_automatically"] = "charge_automatically"
    default_payment_method: Id | Unset | None = UNSET
    description: Text | Unset | None = UNSET
    items: tuple[Item, ...] = ()
    metadata: Metadata = UNSET
    off_session: bool = False
    pause_collection: PauseCollection | Unset | None = UNSET
    payment_behavior: Behavior = "allow_incomplete"
    payment_settings: PaymentSettings | Unset = UNSET
    proration_behavior: Prorations = "create_prorations"
    proration_date: Seconds | None = None
    trial_end: Seconds | Literal["now"] | None = None
    trial_settings: TrialSettings | Unset = UNSET


class Cancel(Params, kw_only=True, frozen=True):
    cancellation_details: CancellationDetails = CancellationDetails()
    invoice_now: bool = False
    prorate: bool = False


class Resume(Params, kw_only=True, frozen=True):
    billing_cycle_anchor: Anchored = "now"
    proration_behavior: Prorations = "create_prorations"
    proration_date: Seconds | None = None


class List(Dated, kw_only=True, frozen=True):
    collection_method: Literal["charge_automatically", "send_invoice"] | None = None
    customer: Id | None = None
    price: Id | None = None
    status: (
        Literal[
            "active",
            "all",
            "canceled",
            "ended",
            "incomplete",
            "incomplete_expired",
            "past_due",
            "paused",
            "trialing",
            "unpaid",
        ]
        | None
    ) = None
    test_clock: Id | None = None


class ListItems(Listing, kw_only=True, frozen=True):
    subscription: Id
