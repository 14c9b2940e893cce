"""The cost of a subscription's change: the same for the change and its preview.

Rule 1: time is prorated to the second, and rounded half up to the minor unit.
Rule 2: paid time that is no longer used is credited at the old price; the rest of the
        period is charged at the new one.
Rule 3: another interval, a reset anchor or the end of a trial starts a new period now,
        and charges it in full.

Source: docs.stripe.com/billing/subscriptions/prorations.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import attrs

from payments_sandbox import line_items, shapes
from payments_sandbox.errors import invalid
from payments_sandbox.periods import next_boundary
from payments_sandbox.state import Object, World

ITEMS_MAX: Final = 20


@attrs.frozen(kw_only=True)
class Change:
    """A subscription after a change, and what the change costs.

    `prorations` are invoice items and `lines` whole periods, neither stored yet.
    """

    items: Sequence[Object]
    anchor: int
    trial_end: int | None
    prorations: Sequence[Object] = ()
    lines: Sequence[Object] = ()
    restarts: bool = False

    @property
    def total(self) -> int:
        return sum(it["amount"] for it in (*self.prorations, *self.lines))


def part(amount: int, seconds: int, whole: int) -> int:
    """Return the share of an amount, rounded half up.

    >>> part(1000, 1, 2), part(1, 1, 2), part(999, 1, 3)
    (500, 1, 333)
    """
    return (2 * amount * seconds + whole) // (2 * whole)


def period_of(subscription: Object) -> tuple[int, int]:
    """Return the current period: all items share one."""
    item = subscription["items"]["data"][0]
    return item["current_period_start"], item["current_period_end"]


def interval_of(item: Object) -> tuple[str, int]:
    how = item["price"]["recurring"]
    return how["interval"], how["interval_count"]


def with_period(items: Sequence[Object], start: int, end: int) -> list[Object]:
    period = {"current_period_start": start, "current_period_end": end}
    return [{**item, **period} for item in items]


def require_one_kind(items: Sequence[Object], param: str) -> None:
    """Refuse items that cannot be billed together.

    Raises:
        ApiError: there are none or too many, or two have the same price, or their
            currencies or intervals differ.
    """
    if not 1 <= len(items) <= ITEMS_MAX:
        raise invalid(f"A subscription has 1 to {ITEMS_MAX} items.", param)
    if len({item["price"]["id"] for item in items}) != len(items):
        raise invalid("Two items cannot have the same price.", param)
    kinds = {(item["price"]["currency"], *interval_of(item)) for item in items}
    if len(kinds) > 1:
        raise invalid(
            "Currency and interval must match across all prices of a subscription.",
            param,
        )


def plan(  # noqa: PLR0913  # what may change, by name
    world: World,
    subscription: Object,
    items: Sequence[Object],
    *,
    at: int,
    prorate: bool,
    restart: bool = False,
    trial_end: int | None = None,
) -> Change:
    """Return the result of changing a subscription to these items now.

    `trial_end` is in the future, for a trial that starts or moves.
    """
    old = subscription["items"]["data"]
    in_trial = subscription["status"] == "trialing"
    if trial_end:
        credits_ = () if in_trial or not prorate else _credits(world, old, at)
        moved = with_period(items, world.now, trial_end)
        return Change(
            items=moved,
            anchor=trial_end,
            trial_end=trial_end,
            prorations=credits_,
            lines=[_line(world, item, free=True) for item in moved],
            restarts=True,
        )
    if in_trial and not restart:
        start, end = period_of(subscription)
        return Change(
            items=with_period(items, start, end),
            anchor=subscription["billing_cycle_anchor"],
            trial_end=subscription["trial_end"],
        )
    if restart or interval_of(items[0]) != interval_of(old[0]):
        credits_ = () if in_trial or not prorate else _credits(world, old, at)
        end = next_boundary(world.now, items[0]["price"]["recurring"], world.now)
        renewed = with_period(items, world.now, end)
        return Change(
            items=renewed,
            anchor=world.now,
            trial_end=world.now if in_trial else subscription["trial_end"],
            prorations=credits_,
            lines=[_line(world, item) for item in renewed],
            restarts=True,
        )
    return _within_the_period(world, subscription, items, at=at, prorate=prorate)


def _within_the_period(
    world: World,
    subscription: Object,
    items: Sequence[Object],
    *,
    at: int,
    prorate: bool,
) -> Change:
    old = subscription["items"]["data"]
    after = with_period(items, *period_of(subscription))
    before, now = {it["id"]: it for it in old}, {it["id"]: it for it in after}
    gone = [it for it in old if _worth(it) != _worth(now.get(it["id"]))]
    come = [it for it in after if _worth(it) != _worth(before.get(it["id"]))]
    return Change(
        items=after,
        anchor=subscription["billing_cycle_anchor"],
        trial_end=subscription["trial_end"],
        prorations=[*_credits(world, gone, at), *_debits(world, come, at)]
        if prorate
        else (),
    )


def _worth(item: Object | None) -> tuple[str, int] | None:
    return (item["price"]["id"], item["quantity"]) if item else None


def _line(world: World, item: Object, *, free: bool = False) -> Object:
    period = item["current_period_start"], item["current_period_end"]
    return line_items.period_line(world, item, *period, free=free)


def _credits(world: World, items: Sequence[Object], at: int) -> list[Object]:
    return [_proration(world, item, at, sign=-1) for item in items]


def unused(world: World, subscription: Object) -> list[Object]:
    """Return the credits for the rest of the current period, as of now."""
    items = subscription["items"]["data"]
    return _credits(world, items, min(world.now, period_of(subscription)[1]))


def _debits(world: World, items: Sequence[Object], at: int) -> list[Object]:
    return [_proration(world, item, at, sign=1) for item in items]


def _proration(world: World, item: Object, at: int, *, sign: int) -> Object:
    start, end = item["current_period_start"], item["current_period_end"]
    price, quantity = item["price"], item["quantity"]
    amount = sign * part(price["unit_amount"] * quantity, end - at, end - start)
    product = world.find("product", price["product"])
    name = product["name"] if product else price["id"]
    words = "Unused time on" if sign < 0 else "Remaining time on"
    subscription = world.get("subscription", item["subscription"])
    return shapes.invoice_item(
        world,
        amount=amount,
        currency=price["currency"],
        customer=subscription["customer"],
        description=f"{words} {quantity} x {name}",
        parent={
            "subscription_details": {
                "subscription": item["subscription"],
                "subscription_item": item["id"],
            },
            "type": "subscription_details",
        },
        period={"start": at, "end": end},
        pricing=shapes.pricing_of(price),
        proration=True,
        proration_details={"credited_items": None, "discount_amounts": []},
        quantity=quantity,
        quantity_decimal=str(quantity),
        test_clock=subscription["test_clock"],
    )


def applied(change: Change) -> Mapping[str, Any]:
    """Return the fields that a change sets on a subscription."""
    return {
        "billing_cycle_anchor": change.anchor,
        "items": shapes.items_of(change.items[0]["subscription"], change.items),
        "trial_end": change.trial_end,
    }
