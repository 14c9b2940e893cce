"""`/v1/test_helpers/test_clocks`: customers with a time of their own."""

from typing import Final

from payments_sandbox import shapes
from payments_sandbox.errors import invalid
from payments_sandbox.forms import Listing, Params, Seconds, Text
from payments_sandbox.listing import page
from payments_sandbox.periods import DAY
from payments_sandbox.routing import Route, retrieving
from payments_sandbox.state import Clock, Object, World

_KIND: Final = "test_helpers.test_clock"
# Stripe allows two intervals of the shortest subscription at a time; here a call may go
# further, but not without limit.
ADVANCE_DAYS_MAX: Final = 2 * 366


class Create(Params, kw_only=True, frozen=True):
    frozen_time: Seconds
    name: Text | None = None


class Advance(Params, kw_only=True, frozen=True):
    frozen_time: Seconds


def create(world: World, params: Create) -> Object:
    id_ = world.new_id("clock")
    world.clocks[id_] = Clock(params.frozen_time)
    return world.create(
        shapes.test_clock(world, id_, params.frozen_time, name=params.name),
        "test_helpers.test_clock.created",
    )


def list_(world: World, params: Listing) -> Object:
    return page("/v1/test_helpers/test_clocks", world.all(_KIND), params)


def advance(world: World, params: Advance, id_: str) -> Object:
    """Run all that falls due; the answer has `advancing`, the next one `ready`."""
    found, clock = world.get(_KIND, id_), world.clocks[id_]
    if params.frozen_time <= clock.now:
        raise invalid("A clock only goes forward.", "frozen_time")
    if params.frozen_time > clock.now + ADVANCE_DAYS_MAX * DAY:
        raise invalid(f"A clock goes {ADVANCE_DAYS_MAX} days at a time.", "frozen_time")
    target = {"target_frozen_time": params.frozen_time}
    answer = world.change(
        found,
        "test_helpers.test_clock.advancing",
        status="advancing",
        status_details={"advancing": target},
    )
    cause = world.cause
    while clock.next_due is not None and clock.next_due <= params.frozen_time:
        world.step(clock)
    clock.now, world.cause = params.frozen_time, cause
    world.change(
        answer,
        "test_helpers.test_clock.ready",
        frozen_time=params.frozen_time,
        status="ready",
        status_details={},
    )
    return answer


def delete(world: World, _: Params, id_: str) -> Object:
    """Remove a clock and the customers on it, with all their objects."""
    found, clock = world.get(_KIND, id_), world.clocks[id_]
    gone = [
        it
        for kind in world.objects
        for it in world.all(kind)
        if it is not found and world.clock_of(it) is clock
    ]
    for it in gone:
        world.remove(it, None)
        world.pending.pop(it["id"], None)
    world.clocks.pop(id_)
    return world.remove(found, "test_helpers.test_clock.deleted")


_ONE: Final = "/v1/test_helpers/test_clocks/{clock}"
ROUTES: Final = (
    Route("POST", "/v1/test_helpers/test_clocks", Create, create),
    Route("GET", "/v1/test_helpers/test_clocks", Listing, list_),
    Route("GET", _ONE, Params, retrieving("test_helpers.test_clock"), _KIND),
    Route("POST", f"{_ONE}/advance", Advance, advance, _KIND),
    Route("DELETE", _ONE, Params, delete, _KIND),
)
