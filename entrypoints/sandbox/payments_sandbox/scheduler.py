"""What falls due, and the handlers for it.

A handler reads the object first: the reason may no longer hold, because the object was
paid, canceled or moved. Then the handler does nothing.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from payments_sandbox import charging, invoicing, line_items, proration, shapes
from payments_sandbox.periods import next_boundary
from payments_sandbox.proration import period_of
from payments_sandbox.state import Handler, Object, World
from payments_sandbox.subscriptions import (
    ENDED,
    TRIAL_WARNING_S,
    UPDATED,
    drop_pending,
    end,
    on_failed,
    on_paid,
    pause_of,
    stop_collecting,
)

_RENEWING: Final = frozenset({"active", "past_due", "trialing", "unpaid"})


def _at_period_end(world: World, id_: str) -> None:
    subscription = world.find("subscription", id_)
    if subscription is None:
        return
    status = subscription["status"]
    # An incomplete subscription has no next period, but a planned end takes effect.
    ends = status == "incomplete" and subscription["cancel_at_period_end"]
    if status not in _RENEWING and not ends:
        return
    # It may have ended before: an incomplete or paused subscription was paid later.
    if period_of(subscription)[1] > world.now:
        return
    subscription = drop_pending(
        world, subscription, "customer.subscription.pending_update_expired"
    )
    if subscription["cancel_at_period_end"] or subscription["cancel_at"] == world.now:
        end(world, subscription, None)
    elif subscription["status"] == "trialing" and not _method_of(world, subscription):
        _at_trial_end_without_card(world, subscription)
    else:
        _renew(world, subscription)


def _method_of(world: World, subscription: Object) -> Object | None:
    return invoicing.method_for(world, invoicing.of_subscription(subscription))


def _at_trial_end_without_card(world: World, subscription: Object) -> None:
    behavior = subscription["trial_settings"]["end_behavior"]
    match behavior["missing_payment_method"]:
        case "cancel":
            end(world, subscription, None)
        case "pause":
            world.change(subscription, "customer.subscription.paused", status="paused")
        case _:
            _renew(world, subscription)


def _renew(world: World, subscription: Object) -> None:
    """Start the next period, and draft its invoice."""
    customer = world.get("customer", subscription["customer"])
    started, start = period_of(subscription)
    items = subscription["items"]["data"]
    until = next_boundary(
        subscription["billing_cycle_anchor"], items[0]["price"]["recurring"], start
    )
    taken = line_items.waiting_items(
        world, customer["id"], subscription["currency"], subscription["id"]
    )
    renewed = proration.with_period(items, start, until)
    lines = [
        *(line_items.line_of(world, item) for item in taken),
        *(line_items.period_line(world, item, start, until) for item in renewed),
    ]
    invoice = invoicing.draft(
        world,
        customer,
        lines,
        reason="subscription_cycle",
        currency=subscription["currency"],
        subscription=subscription,
        period=(started, start),
    )
    collects = subscription["status"] != "unpaid"
    pause = pause_of(world, subscription) if collects else None
    due = world.now + invoicing.DRAFT_S
    if pause:
        invoice = invoicing.issue_paused(world, invoice, taken, pause)
    else:
        invoice = {
            **invoice,
            "auto_advance": collects,
            "automatically_finalizes_at": due if collects else None,
        }
        invoice = invoicing.issue(world, invoice, taken)
    status = subscription["status"]
    subscription = world.change(
        subscription,
        UPDATED,
        items=shapes.items_of(subscription["id"], renewed),
        latest_invoice=invoice["id"],
        status="active" if status == "trialing" else status,
    )
    world.later(until, "period", subscription["id"])
    if invoice["status"] == "open":
        # Collection is paused, and nothing is due.
        invoicing.settle(world, invoice, on_paid)
    elif collects and not pause:
        world.later(due, "collect", invoice["id"])


def _at_collection(world: World, id_: str) -> None:
    invoice = world.find("invoice", id_)
    if invoice and invoice["status"] == "draft" and invoice["auto_advance"]:
        invoice = invoicing.finalize(world, invoice)
        invoice = invoicing.collect(
            world, invoice, on_paid, off_session=True, retries=True
        )
        if invoice["status"] != "paid":
            on_failed(world, invoice)


def _at_retry(world: World, id_: str) -> None:
    invoice = world.get("invoice", id_)
    if invoice["status"] == "open" and invoice["next_payment_attempt"] == world.now:
        invoice = invoicing.retry(world, invoice, on_paid)
        if invoice["status"] != "paid":
            on_failed(world, invoice)


def _at_expiry(world: World, id_: str) -> None:
    subscription = world.get("subscription", id_)
    if subscription["status"] == "incomplete":
        subscription = world.change(
            subscription, UPDATED, status="incomplete_expired", ended_at=world.now
        )
        stop_collecting(world, subscription, voids=True)


def _at_pending_expiry(world: World, id_: str) -> None:
    subscription = world.get("subscription", id_)
    pending = subscription["pending_update"]
    if pending and pending["expires_at"] == world.now:
        drop_pending(
            world, subscription, "customer.subscription.pending_update_expired"
        )


def _at_cancellation(world: World, id_: str) -> None:
    subscription = world.get("subscription", id_)
    if subscription["cancel_at"] == world.now and subscription["status"] not in ENDED:
        end(world, subscription, None)


def _at_resumed_collection(world: World, id_: str) -> None:
    subscription = world.get("subscription", id_)
    pause = subscription["pause_collection"]
    if (
        pause
        and pause["resumes_at"] == world.now
        and subscription["status"] not in ENDED
    ):
        world.change(subscription, UPDATED, pause_collection=None)


def _before_trial_end(world: World, id_: str) -> None:
    subscription = world.get("subscription", id_)
    warning = (subscription["trial_end"] or 0) - TRIAL_WARNING_S
    # A moved trial end was scheduled again.
    if subscription["status"] == "trialing" and warning == world.now:
        world.report("customer.subscription.trial_will_end", subscription)


def _at_unresumed(world: World, id_: str) -> None:
    invoice = world.get("invoice", id_)
    if invoice["status"] == "open":
        invoicing.void(world, invoice)


def _at_refund_end(world: World, id_: str) -> None:
    charging.end_refund(world, world.get("refund", id_))


HANDLERS: Final[Mapping[str, Handler]] = MappingProxyType(
    {
        "cancel": _at_cancellation,
        "collect": _at_collection,
        "collect_again": _at_resumed_collection,
        "expire": _at_expiry,
        "pending": _at_pending_expiry,
        "period": _at_period_end,
        "refund": _at_refund_end,
        "retry": _at_retry,
        "trial_will_end": _before_trial_end,
        "unresumed": _at_unresumed,
    }
)
