"""The end of a subscription of the sandbox, its cards, and the limits of time."""

from typing import Any

import pytest

from payments_sandbox.periods import DAY, MINUTE
from support.sandbox import Api, Refused
from support.watched import (
    FAILING,
    again,
    at,
    begin,
    count,
    fail_from_now_on,
    intent_of,
    latest,
    period,
)


def item_of(subscription: Any) -> str:
    return str(subscription["items"]["data"][0]["id"])


# Ended


def test_cancel_at_period_end_ends_with_the_period(api: Api) -> None:
    """Until then it is active; nothing more is charged."""
    subscription = begin(api)
    _, end = period(subscription)
    api.advance("3 days")
    asked_at = api.now
    path = f"subscriptions/{subscription['id']}"
    planned = api.post(path, cancel_at_period_end=True)
    assert (planned["status"], planned["cancel_at"]) == ("active", end)
    assert planned["canceled_at"] == asked_at
    assert planned["cancellation_details"]["reason"] == "cancellation_requested"

    api.advance(end - 1)
    assert again(api, subscription)["status"] == "active"
    before = count(api)
    api.advance(end)
    ended = again(api, subscription)
    assert (ended["status"], ended["ended_at"]) == ("canceled", end)
    assert ended["canceled_at"] == asked_at
    assert api.types(before) == ["customer.subscription.deleted"]
    api.advance("2 months")
    assert len(api.get("charges")["data"]) == 1


@pytest.mark.parametrize("days", [10, 45])
def test_cancel_at_ends_at_its_moment(api: Api, days: int) -> None:
    """In this period or in a later one."""
    subscription = begin(api)
    end = api.now + days * DAY
    api.post(f"subscriptions/{subscription['id']}", cancel_at=end)
    api.advance(end - 1)
    assert again(api, subscription)["status"] == "active"
    api.advance(end)
    ended = again(api, subscription)
    assert (ended["status"], ended["ended_at"]) == ("canceled", end)
    before = count(api)
    api.advance("2 months")
    assert api.types(before) == []


@pytest.mark.parametrize(
    ("plan", "undo"),
    [
        ({"cancel_at_period_end": True}, {"cancel_at_period_end": False}),
        ({"cancel_at": at("2026-01-20")}, {"cancel_at": ""}),
        ({"cancel_at": at("2026-02-20")}, {"cancel_at": ""}),
    ],
)
def test_a_planned_end_can_be_taken_back(
    api: Api, plan: dict[str, Any], undo: dict[str, Any]
) -> None:
    """Nothing of the plan remains, and it is renewed."""
    subscription = begin(api)
    path = f"subscriptions/{subscription['id']}"
    api.post(path, **plan)
    kept = api.post(path, **undo)
    assert kept["cancel_at"] is kept["canceled_at"] is None
    assert kept["cancel_at_period_end"] is False
    assert kept["cancellation_details"]["reason"] is None
    api.advance("3 months")
    api.advance("1 hour")
    assert again(api, subscription)["status"] == "active"
    assert len(api.get("charges")["data"]) == 4


@pytest.mark.parametrize(
    ("plan", "not_undone_by"),
    [
        ({"cancel_at": at("2026-01-20")}, {"cancel_at_period_end": False}),
        ({"cancel_at": "min_period_end"}, {"cancel_at_period_end": False}),
        ({"cancel_at": "max_period_end"}, {"cancel_at_period_end": False}),
        ({"cancel_at_period_end": True}, {"cancel_at": ""}),
    ],
)
def test_a_planned_end_is_taken_back_by_its_own_parameter(
    api: Api, plan: dict[str, Any], not_undone_by: dict[str, Any]
) -> None:
    """`cancel_at` and `cancel_at_period_end` are separate; both together undo any."""
    subscription = begin(api)
    path = f"subscriptions/{subscription['id']}"
    planned = api.post(path, **plan)
    assert planned["cancel_at_period_end"] is ("cancel_at_period_end" in plan)
    given = plan.get("cancel_at")
    ends = given if isinstance(given, int) else period(planned)[1]
    assert planned["cancel_at"] == ends
    before = count(api)
    assert api.post(path, **not_undone_by) == planned
    assert api.types(before) == []
    kept = api.post(path, cancel_at="", cancel_at_period_end=False)
    assert (kept["cancel_at"], kept["cancel_at_period_end"]) == (None, False)
    api.post(path, **plan)
    api.advance("2 months")
    assert again(api, subscription)["ended_at"] == planned["cancel_at"]


def test_a_planned_end_may_be_a_word_from_the_start(api: Api) -> None:
    """The end of the first period, without `cancel_at_period_end`."""
    subscription = begin(api, cancel_at="min_period_end")
    assert subscription["cancel_at"] == period(subscription)[1]
    assert subscription["cancel_at_period_end"] is False
    api.advance("1 month")
    assert again(api, subscription)["status"] == "canceled"


def test_a_planned_end_may_be_there_from_the_start(api: Api) -> None:
    """`cancel_at_period_end` of a trial means that nothing is ever paid."""
    subscription = begin(api, trial_period_days=7, cancel_at_period_end=True)
    assert subscription["cancel_at"] == api.now + 7 * DAY
    api.advance("2 months")
    assert again(api, subscription)["status"] == "canceled"
    assert api.get("charges")["data"] == []


def test_canceling_a_subscription_that_is_incomplete_voids_its_invoice(
    api: Api,
) -> None:
    """Nobody can pay for what never began."""
    subscription = begin(api, FAILING)
    canceled = api.delete(f"subscriptions/{subscription['id']}")
    assert canceled["status"] == "canceled"
    assert latest(api, subscription)["status"] == "void"


def test_a_planned_end_moves_with_the_period(api: Api) -> None:
    """`cancel_at_period_end` means the present period, also after a change."""
    subscription, yearly = begin(api), api.price(9_900, interval="year")["id"]
    path = f"subscriptions/{subscription['id']}"
    api.post(path, cancel_at_period_end=True)
    api.advance("10 days")
    changed = api.post(path, items=[{"id": item_of(subscription), "price": yearly}])
    end = period(changed)[1]
    assert (changed["cancel_at_period_end"], changed["cancel_at"]) == (True, end)
    api.advance(end - 1)
    assert again(api, subscription)["status"] == "active"
    api.advance(end)
    assert again(api, subscription)["status"] == "canceled"


def test_a_change_may_plan_the_end_as_well(api: Api) -> None:
    """Both are done, in one call."""
    subscription, end = begin(api), at("2026-01-20")
    api.post(
        f"subscriptions/{subscription['id']}",
        items=[{"id": item_of(subscription), "quantity": 2}],
        cancel_at=end,
    )
    api.advance(end)
    assert again(api, subscription)["status"] == "canceled"


def test_a_trial_that_is_cut_short_warns_once(api: Api) -> None:
    """Three days before its new end."""
    subscription = begin(api, trial_period_days=14)
    path = f"subscriptions/{subscription['id']}"
    api.post(path, trial_end=api.now + 12 * DAY)
    api.advance("20 days")
    assert api.types().count("customer.subscription.trial_will_end") == 1


def test_a_cancellation_may_give_back_what_is_left(api: Api) -> None:
    """`prorate` and `invoice_now`: the amount becomes the customer's credit."""
    subscription = begin(api)
    api.advance(at("2026-01-16T12:00:00"))
    api.delete(f"subscriptions/{subscription['id']}", prorate=True, invoice_now=True)
    customer = api.get(f"customers/{subscription['customer']}")
    assert customer["balance"] == -450
    assert again(api, subscription)["status"] == "canceled"


# Its cards


def test_the_subscriptions_card_goes_before_the_customers(api: Api) -> None:
    """Whatever the customer's own card would have done."""
    customer = api.customer(FAILING)["id"]
    good = api.post("payment_methods/pm_card_mastercard/attach", customer=customer)
    subscription = api.subscribe(
        customer, api.price()["id"], default_payment_method=good["id"]
    )
    assert subscription["status"] == "active"
    assert api.get("charges")["data"][0]["payment_method"] == good["id"]


def test_a_confirmation_that_is_declined_can_be_tried_again(api: Api) -> None:
    """402, the invoice stays open, and the subscription incomplete."""
    subscription = begin(api, None, payment_behavior="default_incomplete")
    intent = intent_of(api, latest(api, subscription))["id"]
    path = f"payment_intents/{intent}/confirm"
    with pytest.raises(Refused) as refused:
        api.post(path, payment_method="pm_card_visa_chargeDeclinedInsufficientFunds")
    assert refused.value.decline_code == "insufficient_funds"
    assert again(api, subscription)["status"] == "incomplete"
    assert api.get(f"payment_intents/{intent}")["last_payment_error"]
    assert api.post(path, payment_method="pm_card_visa")["status"] == "succeeded"
    assert again(api, subscription)["status"] == "active"


# The limits of time


@pytest.mark.parametrize("until", [-1, 4_102_444_801, "999999 weeks"])
def test_time_goes_forward_and_ends(api: Api, until: int | str) -> None:
    """Up to 2100: dates far beyond could no longer be written."""
    now = api.now
    with pytest.raises(ValueError, match=r"clock (only )?goes"):
        api.advance(until)
    assert api.now == now


@pytest.mark.parametrize("days", [-1, 0, 733])
def test_a_test_clock_goes_forward_and_not_too_far(api: Api, days: int) -> None:
    """Neither back nor to its own time, nor years at a time."""
    clock = api.post("test_helpers/test_clocks", frozen_time=api.now)["id"]
    path = f"test_helpers/test_clocks/{clock}/advance"
    with pytest.raises(Refused) as refused:
        api.post(path, frozen_time=api.now + days * DAY)
    assert (refused.value.status, refused.value.param) == (400, "frozen_time")


def test_nothing_of_a_refused_call_falls_due_later(api: Api) -> None:
    """Neither an expiry, nor a held change, nor a clock's step, nor a lost secret."""
    customer = api.customer(None)["id"]
    with pytest.raises(Refused):
        api.subscribe(customer, api.price()["id"])

    subscription = begin(api)
    fail_from_now_on(api, subscription)
    clock = api.post("test_helpers/test_clocks", frozen_time=api.now)["id"]
    mine = api.subscribe(api.customer(test_clock=clock)["id"], api.price()["id"])
    endpoint = api.post(
        "webhook_endpoints", url="http://127.0.0.1:9/", enabled_events=["charge.failed"]
    )["id"]
    held = {
        "items": [{"id": item_of(subscription), "quantity": 2}],
        "proration_behavior": "always_invoice",
        "payment_behavior": "pending_if_incomplete",
    }
    one = f"test_helpers/test_clocks/{clock}"
    # The expansion is checked last: everything else has been done by then.
    for method, path, params in (
        ("POST", f"subscriptions/{subscription['id']}", held),
        ("POST", f"{one}/advance", {"frozen_time": api.now + 40 * DAY}),
        ("DELETE", one, {}),
        ("DELETE", f"webhook_endpoints/{endpoint}", {}),
    ):
        with pytest.raises(Refused) as refused:
            api.call(method, path, {**params, "expand": ["nothing"]})
        assert refused.value.param == "expand"

    assert again(api, mine) == mine
    assert again(api, subscription)["pending_update"] is None
    api.post(f"{one}/advance", frozen_time=api.now + MINUTE)
    assert api.get(one)["frozen_time"] == api.now + MINUTE
    assert api.delete(f"webhook_endpoints/{endpoint}")["deleted"] is True
    api.advance("40 days")


def test_every_failure_says_when_the_next_attempt_is(api: Api) -> None:
    """In the event itself: null there means only that there is none."""
    subscription = begin(api)
    fail_from_now_on(api, subscription)
    api.advance("2 months")
    failures = [
        event.object
        for event in api.engine.world.events.values()
        if event.type == "invoice.payment_failed"
    ]
    planned = [it["next_payment_attempt"] for it in failures]
    assert len(planned) == 9
    assert [it["attempt_count"] for it in failures] == list(range(1, 10))
    assert planned[-1] is None
    assert all(planned[:-1])
    assert planned[:-1] == sorted(planned[:-1])


def test_a_first_payment_is_not_tried_again(api: Api) -> None:
    """An incomplete subscription waits for its customer, not for the clock."""
    subscription = begin(api, "pm_card_chargeCustomerFail")
    assert latest(api, subscription)["next_payment_attempt"] is None
    api.advance("22 hours")
    assert latest(api, subscription)["attempt_count"] == 1
