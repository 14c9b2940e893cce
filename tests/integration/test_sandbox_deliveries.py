"""Webhooks of the sandbox, checked at a receiver over HTTP."""

import asyncio
from itertools import pairwise
from typing import Any, Final

import attrs
import pytest
import stripe

from payments_adapters.stripe import translate
from payments_core import Payment, PaymentState
from payments_sandbox.triggers import TRIGGERS
from payments_sandbox.webhook_delivery import GIVE_UP_S
from payments_sandbox.webhook_sender import WebhookSender
from support.deliveries import ACACIA, BASIL, SECRET, register, undelivered
from support.receiver import Received, Receiver
from support.sandbox import Api
from support.wire import Wire

CLOVER: Final = "2025-09-30.clover"
DAHLIA: Final = "2026-03-25.dahlia"
ENDIVE: Final = "2026-10-28.endive"
GENERATIONS: Final = (ACACIA, BASIL, CLOVER, DAHLIA, ENDIVE)
CREATED: Final = "customer.created"
MINUTE: Final = 60


def is_signed(received: Received, secret: str) -> bool:
    """Say whether the real SDK accepts it as an event signed with this secret."""
    try:
        event = stripe.Webhook.construct_event(
            received.body, received.signature, secret, api_key="unused"
        )
    except stripe.SignatureVerificationError:
        return False
    return bool(event.id == received.event["id"])


def attempts(wire: Wire) -> list[tuple[int, str]]:
    """Return the time and the answer of each delivery attempt."""
    tried = wire.client.get("/_sandbox/deliveries").raise_for_status().json()
    return [(it["at"], it["answer"]) for it in tried]


# Signatures


def test_the_sdk_verifies_what_is_delivered(wire: Wire, receiver: Receiver) -> None:
    """
    The secret that the registration returned signs; no other secret and no other body
    verifies.
    """
    secret = register(wire, receiver.url)["secret"]
    wire.post("customers", name="Ada")
    wire.sandbox.deliver()

    [arrived] = receiver.received
    assert arrived.event["type"] == CREATED
    assert is_signed(arrived, secret)
    assert not is_signed(arrived, SECRET)
    other = Received(arrived.path, arrived.headers, arrived.body.replace(b"A", b"B"))
    assert not is_signed(other, secret)


def test_a_rolled_secret_signs_for_a_day_beside_the_new_one(
    wire: Wire, receiver: Receiver
) -> None:
    """
    For 24 hours either secret verifies; after that only the new one does.
    """
    id_ = wire.sandbox.deliver_to(receiver.url, SECRET)
    new = wire.sandbox.roll_secret(id_)

    for span, old_holds in (
        ("0 hours", True),
        ("86399 seconds", True),
        ("1 second", 0),
    ):
        wire.sandbox.advance(span)
        wire.post("customers")
        wire.sandbox.deliver()
        arrived = receiver.received[-1]
        assert is_signed(arrived, new)
        assert is_signed(arrived, SECRET) == old_holds
        assert arrived.signature.count("v1=") == 1 + old_holds


def test_a_secret_can_be_rolled_at_once(wire: Wire, receiver: Receiver) -> None:
    """
    A leaked secret is dropped: from then on it signs nothing, retries included.
    """
    id_ = wire.sandbox.deliver_to(receiver.url, SECRET)
    receiver.statuses.append(500)
    wire.post("customers")
    wire.sandbox.deliver()

    new = wire.sandbox.roll_secret(id_, keep_s=0)
    wire.sandbox.advance("1 hour")

    first, again = receiver.received
    assert (is_signed(first, SECRET), is_signed(first, new)) == (True, False)
    assert (is_signed(again, SECRET), is_signed(again, new)) == (False, True)


# Generations


def test_an_endpoints_version_decides_what_it_is_told(
    wire: Wire, receiver: Receiver
) -> None:
    """
    acacia has the period on the subscription, and links a charge to its invoice and an
    invoice to its subscription; basil moved the period to the items and the link to the
    invoice's parent, and a charge names no invoice.
    """
    for version in (ACACIA, BASIL):
        register(wire, f"{receiver.url}/{version}", version=version)
    _, subscription = wire.subscribe()
    wire.sandbox.deliver()
    item = subscription["items"]["data"][0]
    invoice_id = subscription["latest_invoice"]

    def told(version: str, type_: str) -> Any:
        [one] = [it for it in receiver.of_type(type_) if it.path == f"/{version}"]
        assert one.event["api_version"] == version
        return one.object

    old, new = (told(it, "customer.subscription.created") for it in (ACACIA, BASIL))
    assert old["current_period_end"] == item["current_period_end"]
    assert "current_period_end" not in old["items"]["data"][0]
    assert "current_period_end" not in new
    assert new["items"]["data"][0]["current_period_end"] == item["current_period_end"]

    old, new = (told(it, "invoice.paid") for it in (ACACIA, BASIL))
    assert old["subscription"] == subscription["id"]
    assert "parent" not in old
    assert "subscription" not in new
    details = new["parent"]["subscription_details"]
    assert details["subscription"] == subscription["id"]

    old, new = (told(it, "charge.succeeded") for it in (ACACIA, BASIL))
    assert old["invoice"] == invoice_id
    assert "invoice" not in new
    assert old["payment_intent"] == new["payment_intent"]


def test_our_own_translation_reads_each_delivery_of_each_generation(
    wire: Wire, receiver: Receiver
) -> None:
    """
    `translate` reads every event in every API version, and reports the same of a
    payment in all of them, except for the invoice, which only acacia links.
    """
    for version in GENERATIONS:
        register(wire, f"{receiver.url}/{version}", version=version)
    customer, _ = wire.subscribe()
    for type_ in TRIGGERS:
        wire.sandbox.trigger(type_, "bob")
    [method] = wire.get(f"customers/{customer['id']}/payment_methods")["data"]
    wire.sandbox.set_card(method["id"], declines="insufficient_funds")
    wire.sandbox.advance("2 months")
    clock = wire.post("test_helpers/test_clocks", frozen_time=1_800_000_000)
    wire.post("customers", test_clock=clock["id"])
    wire.sandbox.deliver()

    told = {
        version: [translate(it.body) for it in receiver.at(f"/{version}")]
        for version in GENERATIONS
    }

    assert {it.type for it in told[ENDIVE]} >= set(TRIGGERS)
    assert all(it.livemode is False for events in told.values() for it in events)
    reports = {
        version: [it.report for it in events if isinstance(it.report, Payment)]
        for version, events in told.items()
    }
    newest = reports[ENDIVE]
    assert {it.state for it in newest} >= {PaymentState.SUCCEEDED, PaymentState.FAILED}
    assert any(it.invoice_id for it in reports[ACACIA])
    assert any(it.invoice_known for it in reports[ACACIA])
    assert not any(it.invoice_id and it.invoice_known for it in reports[ACACIA])
    assert not any(it.invoice_known for it in newest)
    for version in GENERATIONS:
        assert {it.api_version for it in told[version]} == {version}
        linked = (
            attrs.evolve(it, invoice_id=None, invoice_known=False)
            for it in reports[version]
        )
        assert list(linked) == newest


# Recipients


def test_an_endpoint_is_told_what_it_enabled(wire: Wire, receiver: Receiver) -> None:
    """
    The types that it names, from the time when it names them; "*" is all of them.
    """
    few = register(wire, f"{receiver.url}/few", "charge.succeeded", "invoice.paid")
    register(wire, f"{receiver.url}/all")
    wire.subscribe()
    wire.sandbox.deliver()
    told = [it.event["type"] for it in receiver.at("/few")]
    assert sorted(told) == ["charge.succeeded", "invoice.paid"]
    happened = [it["type"] for it in wire.sandbox.events()]
    assert [it.event["type"] for it in receiver.at("/all")] == happened

    wire.post(f"webhook_endpoints/{few['id']}", enabled_events=[CREATED])
    wire.subscribe()
    wire.sandbox.deliver()
    told = [it.event["type"] for it in receiver.at("/few")]
    assert told[2:] == [CREATED]


def test_a_disabled_endpoint_is_told_nothing(wire: Wire, receiver: Receiver) -> None:
    """
    Neither events of the meantime nor, when it is enabled again, those that it missed;
    events that it had refused before are not retried while it is disabled.
    """
    endpoint = register(wire, receiver.url)
    receiver.statuses.append(500)
    wire.post("customers", name="before")
    wire.sandbox.deliver()

    wire.post(f"webhook_endpoints/{endpoint['id']}", disabled=True)
    wire.post("customers", name="meanwhile")
    wire.sandbox.advance("4 days")
    wire.post(f"webhook_endpoints/{endpoint['id']}", disabled=False)
    wire.post("customers", name="after")
    wire.sandbox.deliver()

    assert [it.object["name"] for it in receiver.received] == ["before", "after"]


def test_a_deleted_endpoint_is_told_nothing(wire: Wire, receiver: Receiver) -> None:
    """
    Pending retries are dropped; other endpoints still get them.
    """
    gone = register(wire, f"{receiver.url}/gone")
    register(wire, f"{receiver.url}/here")
    receiver.statuses.extend([500, 200])
    wire.post("customers")
    wire.sandbox.deliver()

    wire.delete(f"webhook_endpoints/{gone['id']}")
    wire.post("customers")
    wire.sandbox.advance("4 days")

    assert (len(receiver.at("/gone")), len(receiver.at("/here"))) == (1, 2)
    assert undelivered(wire) == []


def test_an_endpoint_may_go_while_something_is_on_its_way_to_it() -> None:
    """
    A delivery in progress is not answered, waiting ones are dropped, and the sender
    continues.
    """
    api = Api.begin()
    endpoint = api.post(
        "webhook_endpoints", url="http://127.0.0.1:9", enabled_events=["*"]
    )
    api.post("customers")
    api.post("customers")

    async def carry() -> None:
        sender = WebhookSender(api.engine)
        flushing = asyncio.create_task(sender.flush())
        # It accepts the first one, and waits for its answer.
        await asyncio.sleep(0)
        api.delete(f"webhook_endpoints/{endpoint['id']}")
        await flushing
        await sender.close()

    asyncio.run(carry())

    api.advance("4 days")
    assert api.engine.outbox.pop_due() is None
    assert len(api.engine.outbox) == 0


# Failure


def test_a_failing_receiver_is_tried_ever_more_rarely_and_given_up(
    wire: Wire, receiver: Receiver
) -> None:
    """
    The pauses grow; after three days there are no more attempts, and the event is
    listed as not delivered.
    """
    register(wire, receiver.url)
    receiver.status = 503
    start = wire.sandbox.state()["now"]
    wire.post("customers")
    wire.sandbox.advance("10 days")

    *tries, (given_up_at, verdict) = attempts(wire)
    times = [at for at, _ in tries]
    pauses = [later - sooner for sooner, later in pairwise(times)]
    assert {answer for _, answer in tries} == {"503"}
    assert len(receiver.received) == len(tries) > 5
    assert times[0] == start
    assert pauses == sorted(pauses)
    assert pauses[0] <= 5 * MINUTE < pauses[-1]
    assert (given_up_at, verdict) == (times[-1], "given up")
    assert times[-1] <= start + GIVE_UP_S < times[-1] + pauses[-1]
    assert undelivered(wire) == [CREATED]


def test_each_attempt_is_the_same_body_signed_anew(
    wire: Wire, receiver: Receiver
) -> None:
    """
    Later changes do not appear in a payload; it shows the state at the time of the
    event.
    """
    secret = register(wire, receiver.url, CREATED)["secret"]
    receiver.statuses.extend([500, None, 404])
    customer = wire.post("customers", name="Ada")
    wire.sandbox.deliver()
    wire.post(f"customers/{customer['id']}", name="Bob")
    wire.sandbox.advance("1 day")

    assert len(receiver.received) == 4
    assert len({it.body for it in receiver.received}) == 1
    assert receiver.received[-1].object["name"] == "Ada"
    assert all(is_signed(it, secret) for it in receiver.received)


def test_a_delivery_that_succeeds_later_is_delivered(
    wire: Wire, receiver: Receiver
) -> None:
    """
    Until then `delivery_success=false` lists it and a webhook is pending.
    """
    register(wire, receiver.url)
    receiver.statuses.extend([500, 500])
    wire.post("customers")
    wire.sandbox.deliver()
    assert undelivered(wire) == [CREATED]
    [event] = wire.get("events")["data"]
    assert event["pending_webhooks"] == 1
    assert wire.get("events", delivery_success=True)["data"] == []

    wire.sandbox.advance("1 day")

    assert [answer for _, answer in attempts(wire)] == ["500", "500", "200"]
    assert undelivered(wire) == []
    [event] = wire.get("events", delivery_success=True)["data"]
    assert event["pending_webhooks"] == 0


@pytest.mark.parametrize("status", [None, 301, 302, 307, 400, 401, 404, 410, 429, 500])
def test_only_a_2xx_is_success(
    wire: Wire, receiver: Receiver, status: int | None
) -> None:
    """
    A redirect is a failure, and is not followed; so is a connection closed without an
    answer.
    """
    register(wire, receiver.url)
    receiver.statuses.append(status)
    receiver.status = 204
    wire.post("customers")
    wire.sandbox.deliver()
    assert undelivered(wire) == [CREATED]

    wire.sandbox.advance("1 hour")

    assert undelivered(wire) == []
    assert len(receiver.received) == 2
    assert receiver.at("/elsewhere") == []


def test_one_failing_endpoint_does_not_keep_another_waiting(
    wire: Wire, receiver: Receiver
) -> None:
    """
    Each endpoint gets its deliveries and retries independently; one of two is still
    pending.
    """
    register(wire, f"{receiver.url}/bad")
    register(wire, f"{receiver.url}/good")
    receiver.statuses.append(500)
    wire.post("customers")
    wire.sandbox.deliver()

    assert (len(receiver.at("/bad")), len(receiver.at("/good"))) == (1, 1)
    [event] = wire.get("events", delivery_success=False)["data"]
    assert event["pending_webhooks"] == 1
    wire.sandbox.advance("1 hour")
    assert (len(receiver.at("/bad")), len(receiver.at("/good"))) == (2, 1)


def test_an_event_destination_is_told_in_thin_events(
    wire: Wire, receiver: Receiver
) -> None:
    """
    Of the types that it names, signed by its own secret; none while it is disabled. An
    endpoint next to it gets the same events as snapshots.
    """
    path = "/v2/core/event_destinations"
    made = wire.client.post(
        path,
        json={
            "name": "thin",
            "type": "webhook_endpoint",
            "event_payload": "thin",
            "enabled_events": [f"v1.{CREATED}"],
            "webhook_endpoint": {"url": f"{receiver.url}/thin"},
            "include": ["webhook_endpoint.signing_secret"],
        },
    ).json()
    secret = made["webhook_endpoint"]["signing_secret"]
    whole = register(wire, f"{receiver.url}/whole", CREATED)["secret"]
    wire.subscribe()
    wire.sandbox.deliver()
    wire.client.post(f"{path}/{made['id']}/disable", json={}).raise_for_status()
    wire.post("customers")
    wire.sandbox.deliver()

    [thin] = receiver.at("/thin")
    snapshot, _ = receiver.at("/whole")
    assert thin.event["object"] == "v2.core.event"
    assert thin.event["type"] == f"v1.{CREATED}"
    assert thin.event["related_object"]["id"] == snapshot.object["id"]
    notification = stripe.StripeClient("sk_test_none").parse_event_notification(
        thin.body, thin.signature, secret
    )
    assert notification.id == thin.event["id"]
    assert is_signed(snapshot, whole)
