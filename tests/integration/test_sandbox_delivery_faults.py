"""Deliveries of the sandbox that meet a fault on their way to a receiver."""

import json

import pytest

from payments_adapters.stripe import translate
from payments_core import Payment
from payments_sandbox import Fault
from payments_sandbox.chaos import DELIVERY_FAULTS, EVENT_FAULTS
from support.deliveries import ACACIA, BASIL, SECRET, register, undelivered
from support.receiver import Receiver
from support.wire import Wire


def charged(wire: Wire, receiver: Receiver, fault: Fault, type_: str) -> list[str]:
    """Make one charge, with a fault; return the types that arrived."""
    wire.sandbox.plan(fault, type_)
    wire.sandbox.trigger("charge.succeeded", "ada")
    wire.sandbox.deliver()
    return receiver.types


def in_peace(wire: Wire, receiver: Receiver) -> list[str]:
    """Return what arrives without a fault; then reset the sandbox."""
    register(wire, receiver.url)
    wire.sandbox.trigger("charge.succeeded", "ada")
    wire.sandbox.deliver()
    types = receiver.types
    receiver.received.clear()
    wire.sandbox.reset()
    return types


def test_each_fault_of_an_event_has_its_test() -> None:
    """
    A new fault must be demonstrated here as well.
    """
    shown = [it for it in globals() if it.startswith("test_a_fault_")]
    names = {it.removeprefix("test_a_fault_").split("_is_")[0] for it in shown}
    assert names == {it.value for it in (*DELIVERY_FAULTS, *EVENT_FAULTS)}


def test_a_fault_duplicate_is_the_same_event_twice(
    wire: Wire, receiver: Receiver
) -> None:
    """
    Byte for byte, and in its place; it counts as delivered once.
    """
    peaceful = in_peace(wire, receiver)
    register(wire, receiver.url)
    types = charged(wire, receiver, Fault.DUPLICATE, "charge.succeeded")

    first, second = receiver.of_type("charge.succeeded")
    assert first.body == second.body
    assert types.count("charge.succeeded") == 2
    assert list(dict.fromkeys(types)) == peaceful
    assert undelivered(wire) == []


def test_a_fault_reorder_is_an_event_after_its_successor(
    wire: Wire, receiver: Receiver
) -> None:
    """
    Everything arrives, but a later event precedes an earlier one.
    """
    peaceful = in_peace(wire, receiver)
    register(wire, receiver.url)
    late = "payment_intent.created"
    types = charged(wire, receiver, Fault.REORDER, late)

    assert types.index(late) > peaceful.index(late)
    assert [it for it in types if it != late] == [it for it in peaceful if it != late]


def test_a_fault_delay_is_an_event_up_to_an_hour_late(
    wire: Wire, receiver: Receiver
) -> None:
    """
    Of virtual time; other events do not wait for it.
    """
    peaceful = in_peace(wire, receiver)
    register(wire, receiver.url)
    types = charged(wire, receiver, Fault.DELAY, "charge.succeeded")
    assert "charge.succeeded" not in types
    assert undelivered(wire) == ["charge.succeeded"]

    wire.sandbox.advance("1 hour")

    assert receiver.types == [*types, "charge.succeeded"]
    assert sorted(receiver.types) == sorted(peaceful)
    assert undelivered(wire) == []


def test_a_fault_drop_is_an_event_that_never_arrives(
    wire: Wire, receiver: Receiver
) -> None:
    """
    It happened, and `/v1/events` lists it as not delivered.
    """
    peaceful = in_peace(wire, receiver)
    register(wire, receiver.url)
    charged(wire, receiver, Fault.DROP, "charge.succeeded")
    wire.sandbox.advance("4 days")

    assert receiver.types == [it for it in peaceful if it != "charge.succeeded"]
    assert undelivered(wire) == ["charge.succeeded"]


def test_a_fault_twin_is_two_events_of_one_fact(wire: Wire, receiver: Receiver) -> None:
    """
    Their ids differ, so only their object shows that they are one; both are in
    `/v1/events`.
    """
    register(wire, receiver.url)
    charged(wire, receiver, Fault.TWIN, "charge.succeeded")

    one, other = (it.event for it in receiver.of_type("charge.succeeded"))
    assert one["id"] != other["id"]
    assert one["data"] == other["data"]
    listed = wire.get("events", type="charge.succeeded")["data"]
    assert {it["id"] for it in listed} == {one["id"], other["id"]}


def test_a_fault_never_made_is_a_fact_without_an_event(
    wire: Wire, receiver: Receiver
) -> None:
    """
    The charge exists, and no event ever reports it.
    """
    peaceful = in_peace(wire, receiver)
    register(wire, receiver.url)
    charged(wire, receiver, Fault.NEVER_MADE, "charge.succeeded")
    wire.sandbox.advance("4 days")

    assert receiver.types == [it for it in peaceful if it != "charge.succeeded"]
    assert wire.get("events", type="charge.succeeded")["data"] == []
    [charge] = wire.get("charges")["data"]
    assert charge["status"] == "succeeded"


@pytest.mark.parametrize("version", [ACACIA, BASIL])
def test_a_fault_other_generation_is_an_event_in_another_dialect(
    wire: Wire, receiver: Receiver, version: str
) -> None:
    """
    The event names its version, and has that version's shape: a charge with an invoice,
    or without.
    """
    register(wire, receiver.url, "charge.succeeded", version=version)
    wire.sandbox.plan(Fault.OTHER_GENERATION, "charge.succeeded")
    for _ in range(2):
        wire.subscribe()
    wire.sandbox.deliver()

    other, usual = receiver.received
    assert usual.event["api_version"] == version
    assert other.event["api_version"] != version
    assert ("invoice" in other.object) is (version != ACACIA)
    for it in (other, usual):
        assert isinstance(translate(it.body).report, Payment)


def test_the_same_seed_meets_the_same_faults(wire: Wire, receiver: Receiver) -> None:
    """
    Also with a rate: two runs of one seed deliver the same bytes in the same order.
    """

    def run(seed: int) -> list[tuple[str, bytes]]:
        receiver.received.clear()
        wire.sandbox.reset(seed)
        wire.sandbox.deliver_to(receiver.url, SECRET)
        wire.sandbox.chaos(
            **{it.value: 0.2 for it in (*DELIVERY_FAULTS, *EVENT_FAULTS)}
        )
        # In one call: between several calls some might be delivered.
        wire.sandbox.trigger("customer.subscription.created", "ada")
        wire.sandbox.advance("2 months")
        return [(it.path, it.body) for it in receiver.received]

    first = run(11)
    assert run(11) == first
    assert len(first) > 10
    ids = [json.loads(body)["id"] for _, body in first]
    assert len(set(ids)) < len(ids)
    assert run(12) != first
