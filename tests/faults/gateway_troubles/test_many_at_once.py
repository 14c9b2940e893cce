"""Many concurrent requests while the gateway fails: each user buys once."""

from concurrent.futures import ThreadPoolExecutor
from typing import Final

import pytest

from faults.sold_once import AFTER_UNKNOWN_OUTCOME, SOON, assert_sold_once
from support.service_with_sandbox import GOOD, Payer, ServiceWithSandbox, selling

RUSH: Final = 16
STORM_USERS: Final = 12
STORM: Final = {
    "error_before": 0.1,
    "error_after": 0.15,
    "reset": 0.15,
    "rate_limited": 0.1,
    "duplicate": 0.2,
    "reorder": 0.2,
    "drop": 0.2,
}


def test_f26_a_rush_beyond_the_budget_sells_to_each_once(
    stack: ServiceWithSandbox,
) -> None:
    """
    The gateway is called no faster than its limit: faster callers are served later, or
    answered with the time of the next try; no user buys twice.
    """
    payers = [stack.user() for _ in range(RUSH)]
    with ThreadPoolExecutor(RUSH) as threads:
        answers = list(
            threads.map(lambda it: it.subscribe(payment_method=GOOD), payers)
        )

    for number in range(1, 4):
        stack.work(SOON * number)

    assert {it.status_code for it in answers} <= {201, 202, 503}
    for payer, answer in zip(payers, answers, strict=True):
        if answer.status_code == 503:
            assert answer.headers["retry-after"]
            assert payer.subscriptions == []
        else:
            assert_sold_once(payer)


@pytest.mark.parametrize("key", [None, "one"])
def test_t51_the_same_order_many_times_at_once_is_one(
    stack: ServiceWithSandbox, ada: Payer, key: str | None
) -> None:
    """
    One succeeds; the others are answered "try again", "it exists already", or (under a
    key) the very same.
    """
    with ThreadPoolExecutor(RUSH) as threads:
        answers = list(threads.map(lambda _: ada.subscribe(key=key), range(RUSH)))
    stack.work(SOON)

    served = [it for it in answers if it.status_code < 300]
    others = [it for it in answers if it.status_code >= 300]
    first = [it for it in served if "idempotent-replayed" not in it.headers]
    assert len(first) == 1
    assert {it.content for it in served} == {first[0].content}
    assert {it.status_code for it in others} <= {409, 503}
    assert_sold_once(ada)


def test_an_end_and_changes_at_once_come_to_an_end(
    stack: ServiceWithSandbox, ada: Payer
) -> None:
    """
    Whichever is first: each answer keeps the contract, and the subscription has ended.
    """
    id_ = ada.subscribed()["id"]
    with ThreadPoolExecutor(RUSH) as threads:
        changes = [
            threads.submit(ada.change, id_, quantity=number) for number in range(2, 6)
        ]
        ends = [
            threads.submit(ada.call, "DELETE", f"subscriptions/{id_}") for _ in range(4)
        ]
    stack.settle(SOON)

    assert {it.result().status_code for it in changes} <= {200, 202, 409, 422}
    assert {it.result().status_code for it in ends} <= {200, 202, 409}
    assert 200 in {it.result().status_code for it in ends}
    assert ada.get(f"subscriptions/{id_}")["status"] == "canceled"
    assert [it["status"] for it in ada.subscriptions] == ["canceled"]


def test_p22_in_a_storm_everybody_is_sold_to_once(postgres: str, template: str) -> None:
    """
    Errors, cut answers, limits and lost webhooks, random with a seed, for all of twelve
    users: when the faults are over everybody has what was promised, once.
    """
    with selling(postgres, template) as stack:
        payers = [stack.user() for _ in range(STORM_USERS)]
        stack.sandbox.chaos(**STORM)
        answers = [it.subscribe(payment_method=GOOD) for it in payers]
        for number in range(1, 4):
            stack.settle(SOON * number)
        stack.sandbox.chaos(**dict.fromkeys(STORM, 0))
        for number in range(1, 5):
            stack.settle(AFTER_UNKNOWN_OUTCOME * number)
        stack.pass_by("12 hours")

        assert {it.status_code for it in answers} <= {201, 202, 503}
        for payer, answer in zip(payers, answers, strict=True):
            if answer.status_code == 503:
                assert payer.subscriptions == []
            else:
                assert_sold_once(payer)
