"""The same seed and the same calls give the same world, to the last byte."""

from typing import Any

import pytest

from payments_sandbox.chaos import DELIVERY_FAULTS, EVENT_FAULTS, Plan
from payments_sandbox.presets import forwarding
from support.sandbox import Api, Refused
from support.watched import begin, fail_from_now_on

ENDPOINT = forwarding("http://127.0.0.1:9/", "whsec_" + "s" * 24, None)
SUBSCRIPTIONS = 200


def play(seed: int) -> list[Any]:
    """Run through months of it, under chaos; return everything that was visible."""
    api = Api.begin(seed, preset=ENDPOINT)
    said: list[Any] = []
    api.engine.watch = lambda _, answer: said.append(answer)
    chaos = api.engine.chaos
    chaos.set_rates(dict.fromkeys((*EVENT_FAULTS, *DELIVERY_FAULTS), 0.2))
    for card in ("pm_card_visa", "pm_card_createDispute", "pm_card_mastercard"):
        fail_from_now_on(api, begin(api, card))
    chaos.plan(Plan(DELIVERY_FAULTS[0], "invoice.*", times=5))
    holder = api.customer("pm_card_authenticationRequired")
    api.subscribe(holder["id"], api.price(interval="week")["id"])
    with pytest.raises(Refused):
        api.subscribe("cus_nobody", "price_nobody")
    api.advance("20 days")
    api.post("test_helpers/test_clocks", frozen_time=api.now + 5)
    api.advance("2 months")
    deliveries = []
    while delivery := api.engine.outbox.pop_due():
        deliveries.append(delivery)
        # Every third is refused, and is sent again later.
        api.engine.outbox.answered(delivery, 200 if len(deliveries) % 3 else 503)
    return [said, list(api.engine.world.events.values()), deliveries]


def test_the_same_seed_gives_the_same_ids_events_and_order() -> None:
    """
    Answers byte for byte, the log, and deliveries in their order, chaos included.
    """
    first, second = play(7), play(7)

    assert first == second
    answers, events, deliveries = first
    assert len(answers) > 20
    assert len(events) > 100
    assert len(deliveries) > 100


def test_another_seed_gives_other_ids() -> None:
    """
    The same things happen, to objects with other ids.
    """
    mine = {event.id for event in play(7)[1]}
    yours = {event.id for event in play(8)[1]}

    assert mine.isdisjoint(yours)


def test_chaos_shifts_no_id() -> None:
    """
    Transport faults change nothing of the true state.
    """
    calm, wild = Api.begin(3), Api.begin(3)
    wild.engine.chaos.set_rates({DELIVERY_FAULTS[0]: 1, EVENT_FAULTS[0]: 1})

    for api in (calm, wild):
        begin(api)
        api.advance("1 month")

    assert calm.engine.world.objects == wild.engine.world.objects
    assert len(wild.engine.world.events) == 2 * len(calm.engine.world.events)


def test_a_year_of_many_subscriptions_is_right_to_the_last_invoice() -> None:
    """
    Twelve paid invoices for a good card, in order; a failing card is given up after its
    retries, and one invoice is owed.
    """
    api = Api.begin()
    price = api.price()["id"]
    cards = {}
    for number in range(SUBSCRIPTIONS):
        customer = api.customer()
        api.subscribe(customer["id"], price)
        cards[customer["id"]] = number % 10 == 0
        if cards[customer["id"]]:
            card = customer["invoice_settings"]["default_payment_method"]
            api.engine.set_card(card, declines="insufficient_funds")
    # The twelfth renewal is drafted as the year ends, and charged an hour later.
    api.advance("1 year")

    for customer_id, fails in cards.items():
        invoices = api.engine.world.by("invoice", "customer", customer_id)
        statuses = [it["status"] for it in invoices]
        [subscription] = api.engine.world.by("subscription", "customer", customer_id)
        if fails:
            assert (statuses, subscription["status"]) == (["paid", "open"], "canceled")
        else:
            assert statuses == [*["paid"] * 12, "draft"]
            assert subscription["status"] == "active"
    api.conformance.check_events(api.engine)
    assert api.conformance.problems == []
