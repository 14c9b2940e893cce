"""The life of a subscription: begun, renewed, changed, paused, ended.

Rule 1: a subscription has one current period; the next one starts where it ends.
Rule 2: the statuses move as `stripe.Subscription.status` and docs.stripe.com/billing/
        subscriptions/overview say; `canceled` and `incomplete_expired` are final.
Rule 3: what falls due is done at its time, if its reason still holds: a handler reads
        the object first, and does nothing if it changed.
"""

from collections.abc import Mapping
from typing import Any, Final

import attrs

from payments_sandbox import invoicing, line_items, proration, shapes
from payments_sandbox.periods import DAY, HOUR, next_boundary
from payments_sandbox.proration import Change, period_of
from payments_sandbox.state import (
    INVOICE_OF_SUBSCRIPTION,
    Object,
    World,
)

INCOMPLETE_S: Final = 23 * HOUR
TRIAL_WARNING_S: Final = 3 * DAY
ENDED: Final = frozenset({"canceled", "incomplete_expired"})
_OWING: Final = frozenset({"incomplete", "past_due", "unpaid"})
UPDATED: Final = "customer.subscription.updated"
PENDING_EXPIRED: Final = "customer.subscription.pending_update_expired"


@attrs.frozen(kw_only=True)
class Held:
    """A change that is applied when its invoice is paid."""

    change: Change
    invoice_id: str


# Start


def begin(
    world: World, subscription: Object, customer: Object, *, behavior: str
) -> Object:
    """Store a new subscription, and bill its first period; return it.

    `subscription` has items with their periods, and `trial_end` if it has a trial.

    Raises:
        ApiError: `error_if_incomplete`, and the payment failed: nothing was created.
    """
    items = subscription["items"]["data"]
    trial = subscription["trial_end"] is not None
    taken = line_items.waiting_items(
        world, customer["id"], subscription["currency"], subscription["id"]
    )
    lines = [
        line_items.period_line(world, it, *_period(it), free=trial) for it in items
    ]
    lines += [line_items.line_of(world, it) for it in taken]
    invoice = invoicing.draft(
        world,
        customer,
        lines,
        reason="subscription_create",
        currency=subscription["currency"],
        subscription=subscription,
    )
    # Stored before it is reported, because finding the card to collect from reads it.
    subscription = world.create(
        {**subscription, "latest_invoice": invoice["id"], "status": "incomplete"}, None
    )
    invoice = invoicing.finalize(world, invoicing.issue(world, invoice, taken))
    if invoice["amount_due"] == 0 or behavior != "default_incomplete":
        invoice = invoicing.collect(world, invoice, on_paid_first, off_session=False)
    if invoice["status"] != "paid" and behavior == "error_if_incomplete":
        raise invoicing.refusal(world, invoice)
    return _begun(world, subscription, invoice, trial=trial)


def _period(item: Object) -> tuple[int, int]:
    return item["current_period_start"], item["current_period_end"]


def on_paid_first(_: World, __: Object) -> None:
    """Do nothing: the subscription does not exist yet; its first status shows it."""


def _begun(
    world: World, subscription: Object, invoice: Object, *, trial: bool
) -> Object:
    paid = invoice["status"] == "paid"
    subscription = world.change(
        subscription,
        None,
        status=("trialing" if trial else "active") if paid else "incomplete",
        pending_setup_intent=_setup(world, subscription, invoice),
    )
    world.report("customer.subscription.created", subscription)
    _schedule(world, subscription)
    if not paid:
        world.later(world.now + INCOMPLETE_S, "expire", subscription["id"])
    return _save_method(world, subscription, invoice)


def _setup(world: World, subscription: Object, invoice: Object) -> str | None:
    """Request a card if nothing was due and there is none to charge."""
    if invoice["amount_due"] or invoicing.method_for(world, invoice):
        return None
    setup = shapes.setup_intent(world, customer=subscription["customer"])
    return str(world.create(setup, "setup_intent.created")["id"])


def _save_method(world: World, subscription: Object, invoice: Object) -> Object:
    """Save the card that paid, if the subscription is set to."""
    intent = world.intent_of(invoice)
    saves = subscription["payment_settings"]["save_default_payment_method"]
    if saves != "on_subscription" or not intent or intent["status"] != "succeeded":
        return subscription
    method = world.get("payment_method", intent["payment_method"])
    if method["customer"] is None:
        method = world.change(
            method, "payment_method.attached", customer=subscription["customer"]
        )
    return world.change(subscription, UPDATED, default_payment_method=method["id"])


def _schedule(world: World, subscription: Object) -> None:
    """Schedule the ends of the current period and the trial, and a planned end."""
    id_, (_, end) = subscription["id"], period_of(subscription)
    world.later(end, "period", id_)
    if subscription["cancel_at"]:
        world.later(subscription["cancel_at"], "cancel", id_)
    if subscription["status"] == "trialing":
        warning = subscription["trial_end"] - TRIAL_WARNING_S
        if warning > world.now:
            world.later(warning, "trial_will_end", id_)
        else:
            world.report("customer.subscription.trial_will_end", subscription)


# Paid or failed


def on_paid(world: World, invoice: Object) -> None:
    """Apply to a subscription what its paid invoice covers."""
    details = invoice["parent"] and invoice["parent"]["subscription_details"]
    subscription = details and world.find("subscription", details["subscription"])
    if not subscription or subscription["status"] in ENDED:
        return
    held: Held | None = world.pending.get(subscription["id"])
    if held and held.invoice_id == invoice["id"]:
        subscription = _grant(world, subscription, held)
    if subscription["latest_invoice"] != invoice["id"]:
        return
    if subscription["status"] == "paused":
        _resumed(world, subscription)
    elif subscription["status"] in _OWING:
        _recovered(world, subscription, invoice)


def _recovered(world: World, subscription: Object, invoice: Object) -> None:
    """Make a paid subscription active; or trialing, if a trial was granted."""
    subscription = world.change(subscription, UPDATED, status="active")
    if (subscription["trial_end"] or 0) > world.now:
        subscription = world.change(subscription, UPDATED, status="trialing")
    # A period may have ended while it was unpaid.
    _schedule(world, subscription)
    _save_method(world, subscription, invoice)


def on_failed(world: World, invoice: Object) -> None:
    """Make a subscription past due whose invoice could not be collected."""
    details = invoice["parent"] and invoice["parent"]["subscription_details"]
    subscription = details and world.find("subscription", details["subscription"])
    if not subscription or subscription["status"] not in ("active", "past_due"):
        return
    if subscription["latest_invoice"] == invoice["id"]:
        world.change(subscription, UPDATED, status="past_due")
    if invoice["next_payment_attempt"] is None:
        _give_up(world, subscription, invoice)


def on_voided(world: World, invoice: Object) -> None:
    """Revert a change whose invoice was voided: that is how it is abandoned.

    Source: docs.stripe.com/billing/subscriptions/pending-updates.
    """
    details = invoice["parent"] and invoice["parent"]["subscription_details"]
    held: Held | None = details and world.pending.get(details["subscription"])
    if held and held.invoice_id == invoice["id"]:
        drop_pending(world, world.get("subscription", details["subscription"]), None)


def _give_up(world: World, subscription: Object, invoice: Object) -> None:
    """Apply the account's setting for when all retries have failed."""
    invoicing.leave(world, invoice)
    if subscription["latest_invoice"] != invoice["id"]:
        return
    if world.after_retries == "cancel":
        end(world, subscription, "payment_failed")
    elif world.after_retries == "unpaid":
        world.change(subscription, UPDATED, status="unpaid")


def follow(world: World, intent: Object) -> Object:
    """Update the invoice of an intent after an outside step."""
    invoice = world.invoice_of(intent)
    if invoice and invoice["status"] in ("open", "uncollectible"):
        invoicing.after_attempt(world, invoice, intent, on_paid)
    return world.get("payment_intent", intent["id"])


# Changes


def apply(
    world: World, subscription: Object, change: Change, fields: Mapping[str, Any]
) -> Object:
    """Set the changed items, periods and fields of a subscription."""
    subscription = drop_pending(world, subscription, PENDING_EXPIRED)
    changed = _moved(subscription, change, fields)
    trial = change.restarts and (change.trial_end or 0) > world.now
    # With an open invoice that must be paid first, even if it is zero: see `on_paid`.
    if change.restarts and subscription["status"] in ("active", "trialing"):
        changed["status"] = "trialing" if trial else "active"
    if trial and subscription["status"] != "trialing":
        changed["trial_start"] = world.now
    before = period_of(subscription), subscription["trial_end"]
    ended = subscription["cancel_at"]
    subscription = world.change(subscription, UPDATED, **changed)
    if before != (period_of(subscription), subscription["trial_end"]):
        _schedule(world, subscription)
    elif subscription["cancel_at"] not in (None, ended):
        world.later(subscription["cancel_at"], "cancel", subscription["id"])
    return subscription


def _moved(
    subscription: Object, change: Change, fields: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the changes; an end at the period's end moves with it."""
    changed = {**proration.applied(change), **fields}
    if changed.get("cancel_at_period_end", subscription["cancel_at_period_end"]):
        changed["cancel_at"] = change.items[0]["current_period_end"]
    return changed


def bill(world: World, subscription: Object, change: Change, reason: str) -> Object:
    """Invoice a change at once: prorations, pending items, a new period's lines."""
    customer = world.get("customer", subscription["customer"])
    for item in change.prorations:
        world.create(item, "invoiceitem.created")
    taken = line_items.waiting_items(
        world, customer["id"], subscription["currency"], subscription["id"]
    )
    invoice = invoicing.draft(
        world,
        customer,
        [*(line_items.line_of(world, item) for item in taken), *change.lines],
        reason=reason,
        currency=subscription["currency"],
        subscription=subscription,
    )
    pause = pause_of(world, subscription)
    if pause:
        return invoicing.issue_paused(world, invoice, taken, pause)
    return invoicing.finalize(world, invoicing.issue(world, invoice, taken))


def pause_of(world: World, subscription: Object) -> str | None:
    """Return the pause's behaviour for invoices; None if collection is not paused.

    An end of the pause that is due this second counts already.
    """
    pause = subscription["pause_collection"]
    if pause is None or (pause["resumes_at"] or world.now + 1) <= world.now:
        return None
    return str(pause["behavior"])


def bill_waiting(world: World, subscription: Object) -> None:
    """Invoice pending items now, if there are any."""
    waiting = line_items.waiting_items(
        world, subscription["customer"], subscription["currency"], subscription["id"]
    )
    if not waiting:
        return
    nothing = Change(
        items=subscription["items"]["data"],
        anchor=subscription["billing_cycle_anchor"],
        trial_end=subscription["trial_end"],
    )
    invoice = bill(world, subscription, nothing, "manual")
    if invoice["status"] == "open":
        invoicing.collect(world, invoice, _nobody, off_session=False)


def change_billed(
    world: World,
    subscription: Object,
    change: Change,
    fields: Mapping[str, Any],
    behavior: str,
) -> Object:
    """Change a subscription and bill it at once, as `payment_behavior` says.

    Raises:
        ApiError: `error_if_incomplete`, and the payment failed.
    """
    # A held change does not include this one: applied later, it would revert it.
    subscription = drop_pending(world, subscription, PENDING_EXPIRED)
    # While collection is paused, there is no payment to wait for.
    is_paused = pause_of(world, subscription) is not None
    if behavior == "pending_if_incomplete" and not is_paused:
        return _change_if_paid(world, subscription, change)
    invoice = bill(world, subscription, change, "subscription_update")
    subscription = apply(
        world, subscription, change, {**fields, "latest_invoice": invoice["id"]}
    )
    if is_paused and invoice["status"] != "open":
        return subscription
    if invoice["amount_due"] == 0 or behavior != "default_incomplete":
        invoice = invoicing.collect(
            world, invoice, on_paid, off_session=False, retries=True
        )
    else:
        invoice = invoicing.plan_retry(world, invoice)
    if invoice["status"] != "paid":
        if behavior == "error_if_incomplete":
            raise invoicing.refusal(world, invoice)
        on_failed(world, invoice)
    return world.get("subscription", subscription["id"])


def _change_if_paid(world: World, subscription: Object, change: Change) -> Object:
    invoice = bill(world, subscription, change, "subscription_update")
    held = Held(change=change, invoice_id=invoice["id"])
    invoice = invoicing.collect(world, invoice, _nobody, off_session=False)
    if invoice["status"] == "paid":
        fields = {"latest_invoice": invoice["id"]}
        subscription = apply(world, subscription, change, fields)
        on_paid(world, invoice)
        return world.get("subscription", subscription["id"])
    expires = min(world.now + INCOMPLETE_S, period_of(subscription)[1])
    world.pending[subscription["id"]] = held
    world.later(expires, "pending", subscription["id"])
    return world.change(
        subscription,
        UPDATED,
        latest_invoice=invoice["id"],
        pending_update={
            "billing_cycle_anchor": change.anchor if change.restarts else None,
            "expires_at": expires,
            "subscription_items": list(change.items),
            "trial_end": None,
            "trial_from_plan": None,
        },
    )


def _nobody(_: World, __: Object) -> None:
    """Do nothing: the caller reads the invoice itself."""


def _grant(world: World, subscription: Object, held: Held) -> Object:
    del world.pending[subscription["id"]]
    subscription = apply(world, subscription, held.change, {"pending_update": None})
    world.report("customer.subscription.pending_update_applied", subscription)
    return subscription


def drop_pending(world: World, subscription: Object, event: str | None) -> Object:
    """Drop a held change, and void its invoice."""
    held: Held | None = world.pending.pop(subscription["id"], None)
    if held is None:
        return subscription
    invoice = world.get("invoice", held.invoice_id)
    if invoice["status"] == "open":
        invoicing.void(world, invoice)
    subscription = world.change(subscription, UPDATED, pending_update=None)
    if event:
        world.report(event, subscription)
    return subscription


# Pause and resume


def resume(world: World, subscription: Object, *, restart: bool) -> Object:
    """Bill a paused subscription's next period; it is active once that is paid."""
    items = subscription["items"]["data"]
    anchor = world.now if restart else subscription["billing_cycle_anchor"]
    until = next_boundary(anchor, items[0]["price"]["recurring"], world.now)
    renewed = proration.with_period(items, world.now, until)
    change = Change(
        items=renewed,
        anchor=anchor,
        trial_end=subscription["trial_end"],
        lines=[
            line_items.period_line(world, item, world.now, until) for item in renewed
        ],
    )
    invoice = bill(world, subscription, change, "subscription_cycle")
    subscription = world.change(
        subscription,
        UPDATED,
        **_moved(subscription, change, {"latest_invoice": invoice["id"]}),
    )
    if invoice["status"] == "open":
        world.later(world.now + INCOMPLETE_S, "unresumed", invoice["id"])
        invoicing.collect(world, invoice, on_paid, off_session=False)
    return world.get("subscription", subscription["id"])


def _resumed(world: World, subscription: Object) -> None:
    subscription = world.change(
        subscription, "customer.subscription.resumed", status="active"
    )
    world.report(UPDATED, subscription, {"status": "paused"})
    _schedule(world, subscription)


# End


def end(world: World, subscription: Object, reason: str | None) -> Object:
    """End a subscription now, and the automatic collection of its open invoices."""
    subscription = drop_pending(world, subscription, None)
    was_incomplete = subscription["status"] == "incomplete"
    details = subscription["cancellation_details"]
    subscription = world.change(
        subscription,
        "customer.subscription.deleted",
        status="canceled",
        canceled_at=subscription["canceled_at"] or world.now,
        ended_at=world.now,
        cancellation_details={**details, "reason": reason or details["reason"]},
    )
    stop_collecting(world, subscription, voids=was_incomplete)
    return subscription


def stop_collecting(world: World, subscription: Object, *, voids: bool) -> None:
    """Leave open invoices uncollected, or void them."""
    for invoice in world.by("invoice", INVOICE_OF_SUBSCRIPTION, subscription["id"]):
        if invoice["status"] == "open" and voids:
            invoicing.void(world, invoice)
        elif invoice["status"] in ("open", "draft"):
            invoicing.leave(world, invoice)
