"""Trials in the sandbox: free until they end, then paid, paused or canceled."""

import pytest

from payments_sandbox.periods import DAY, HOUR, MINUTE
from support.sandbox import Api
from support.watched import FAILING, again, at, begin, count, latest, period


def test_a_trial_costs_nothing_and_says_three_days_before_that_it_ends(
    api: Api,
) -> None:
    """Then the first period is drafted, and charged an hour later."""
    subscription = begin(api, trial_period_days=14)
    start, end = api.now, api.now + 14 * DAY
    assert subscription["status"] == "trialing"
    assert (subscription["trial_start"], subscription["trial_end"]) == (start, end)
    assert period(subscription) == (start, end)
    assert latest(api, subscription)["amount_paid"] == 0
    assert api.get("charges")["data"] == []

    api.advance(end - 3 * DAY - 1)
    before = count(api)
    api.advance(end - 3 * DAY)
    assert api.types(before) == ["customer.subscription.trial_will_end"]

    api.advance(end)
    active = again(api, subscription)
    assert active["status"] == "active"
    assert period(active) == (end, at("2026-02-15"))
    assert api.get("charges")["data"] == []
    api.advance(end + HOUR)
    assert api.get("charges")["data"][0]["amount"] == 900
    assert api.types().count("customer.subscription.trial_will_end") == 1


def test_a_trial_of_less_than_three_days_says_so_at_once(api: Api) -> None:
    """Right after it is created."""
    begin(api, trial_end=api.now + 2 * DAY)
    assert api.types()[-2:] == [
        "customer.subscription.created",
        "customer.subscription.trial_will_end",
    ]


def test_a_trial_may_be_ended_at_once_or_moved(api: Api) -> None:
    """`trial_end=now` bills at once; a later end sends the warning again."""
    ended = begin(api, trial_period_days=14)
    path = f"subscriptions/{ended['id']}"
    api.advance("1 day")
    active = api.post(path, trial_end="now")
    assert (active["status"], active["trial_end"]) == ("active", api.now)
    assert latest(api, ended)["amount_paid"] == 900
    assert period(active)[0] == api.now

    moved = begin(api, trial_period_days=14)
    end = api.now + 30 * DAY
    trialing = api.post(f"subscriptions/{moved['id']}", trial_end=end)
    assert (trialing["status"], period(trialing)[1]) == ("trialing", end)
    before = count(api)
    api.advance(end - 3 * DAY - 1)
    assert "customer.subscription.trial_will_end" not in api.types(before)
    api.advance(end - 3 * DAY)
    assert "customer.subscription.trial_will_end" in api.types(before)


@pytest.mark.parametrize(
    ("missing", "status", "event"),
    [
        ("create_invoice", "active", "customer.subscription.updated"),
        ("cancel", "canceled", "customer.subscription.deleted"),
        ("pause", "paused", "customer.subscription.paused"),
    ],
)
def test_a_trial_that_ends_without_a_card_does_what_was_set(
    api: Api, missing: str, status: str, event: str
) -> None:
    """Invoiced and then past due, canceled, or paused."""
    behavior = {"end_behavior": {"missing_payment_method": missing}}
    subscription = begin(api, None, trial_period_days=7, trial_settings=behavior)
    assert subscription["status"] == "trialing"
    assert subscription["pending_setup_intent"]
    before = count(api)
    api.advance("7 days")

    assert again(api, subscription)["status"] == status
    assert event in api.types(before)
    api.advance("1 hour")
    later = "past_due" if status == "active" else status
    assert again(api, subscription)["status"] == later
    invoices = api.get("invoices")["data"]
    assert len(invoices) == (2 if status == "active" else 1)
    assert api.get("charges")["data"] == []


def test_what_is_paused_is_resumed_by_paying_its_next_period(api: Api) -> None:
    """From the time at which it is resumed, unless the anchor is kept."""
    behavior = {"end_behavior": {"missing_payment_method": "pause"}}
    subscription = begin(api, None, trial_period_days=7, trial_settings=behavior)
    api.advance("10 days")
    before = count(api)
    api.advance("2 months")
    assert api.types(before) == []

    api.give_card(subscription["customer"], "pm_card_visa")
    before = count(api)
    resumed = api.post(f"subscriptions/{subscription['id']}/resume")
    assert resumed["status"] == "active"
    assert period(resumed)[0] == api.now == resumed["billing_cycle_anchor"]
    assert latest(api, subscription)["amount_paid"] == 900
    assert "customer.subscription.resumed" in api.types(before)
    api.advance(period(resumed)[1] + HOUR)
    assert len(api.get("charges")["data"]) == 2


def test_what_is_resumed_and_not_paid_stays_paused(api: Api) -> None:
    """Its invoice is void after 23 hours."""
    behavior = {"end_behavior": {"missing_payment_method": "pause"}}
    subscription = begin(api, None, trial_period_days=7, trial_settings=behavior)
    api.advance("10 days")
    api.give_card(subscription["customer"], FAILING)
    resumed = api.post(f"subscriptions/{subscription['id']}/resume")
    assert resumed["status"] == "paused"
    api.advance(api.now + 23 * HOUR - MINUTE)
    assert latest(api, subscription)["status"] == "open"
    api.advance("1 minute")
    assert latest(api, subscription)["status"] == "void"
    assert again(api, subscription)["status"] == "paused"


def test_a_card_given_to_the_setup_intent_pays_after_the_trial(api: Api) -> None:
    """It becomes the subscription's own."""
    subscription = begin(api, None, trial_period_days=7)
    setup = subscription["pending_setup_intent"]
    api.post(f"setup_intents/{setup}/confirm", payment_method="pm_card_visa")
    assert again(api, subscription)["default_payment_method"]
    assert again(api, subscription)["pending_setup_intent"] is None
    api.advance(api.now + 7 * DAY + HOUR)
    assert again(api, subscription)["status"] == "active"
    assert latest(api, subscription)["status"] == "paid"
