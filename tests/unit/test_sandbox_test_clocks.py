"""Test clocks of the sandbox: a separate time for some customers."""

from typing import Any

import pytest

from payments_sandbox.periods import DAY, HOUR
from support.sandbox import Api, Refused
from support.sandbox_changes import MONTH, begin
from support.watched import again, fail_from_now_on, period


def on_clock(api: Api) -> tuple[str, Any]:
    """Return a test clock and a subscription of a customer on it."""
    clock = api.post("test_helpers/test_clocks", frozen_time=api.now)["id"]
    customer = api.customer(test_clock=clock)["id"]
    return clock, api.subscribe(customer, api.price(1_000)["id"])


def test_a_customer_on_its_own_clock_does_not_move_with_the_sandbox(api: Api) -> None:
    """The sandbox does not move with the customer either."""
    clock, subscription = on_clock(api)
    other, start = begin(api), api.now
    assert subscription["test_clock"] == clock
    api.advance("2 months")
    assert period(again(api, subscription)) == period(subscription)
    assert period(again(api, other)) != period(other)

    now = api.now
    target = start + 3 * MONTH
    moved = api.post(f"test_helpers/test_clocks/{clock}/advance", frozen_time=target)
    assert moved["status"] == "advancing"
    ready = api.get(f"test_helpers/test_clocks/{clock}")
    assert (ready["status"], ready["frozen_time"]) == ("ready", target)
    assert api.now == now
    renewed = again(api, subscription)
    assert period(renewed)[0] <= target < period(renewed)[1]


def test_advancing_a_test_clock_does_all_that_falls_due(api: Api) -> None:
    """Renewals, retries and the end, each at its own time."""
    clock, subscription = on_clock(api)
    fail_from_now_on(api, subscription)
    path = f"test_helpers/test_clocks/{clock}/advance"
    api.post(path, frozen_time=period(subscription)[1] + HOUR)
    assert again(api, subscription)["status"] == "past_due"
    api.post(path, frozen_time=period(subscription)[1] + 15 * DAY)
    ended = again(api, subscription)
    assert ended["status"] == "canceled"
    assert ended["ended_at"] > api.now
    failed = [it for it in api.get("charges")["data"] if not it["paid"]]
    assert len(failed) == 9
    types = api.types()
    assert types[-1] == "test_helpers.test_clock.ready"
    with pytest.raises(Refused) as refused:
        api.post(path, frozen_time=period(subscription)[1])
    assert (refused.value.status, refused.value.param) == (400, "frozen_time")


def test_a_deleted_test_clock_takes_its_customers_along(api: Api) -> None:
    """And their subscriptions; others remain."""
    clock, subscription = on_clock(api)
    other = begin(api)
    stub = api.delete(f"test_helpers/test_clocks/{clock}")
    assert stub["deleted"] is True
    for path in (
        f"test_helpers/test_clocks/{clock}",
        f"customers/{subscription['customer']}",
        f"subscriptions/{subscription['id']}",
    ):
        with pytest.raises(Refused) as refused:
            api.get(path)
        assert (refused.value.status, refused.value.code) == (404, "resource_missing")
    api.advance("2 months")
    assert again(api, other)["status"] == "active"
