"""A subscription is begun while the gateway fails, hangs or repeats itself.

Whatever becomes of a call, the answer keeps the contract, the worker finishes the
operation, and the gateway has the result exactly once.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Final

import pytest

from faults.sold_once import AFTER_UNKNOWN_OUTCOME, SOON, assert_sold_once
from payments_sandbox import Fault
from support import databases
from support.service_with_sandbox import (
    FAILING,
    GOOD,
    OTHER,
    Payer,
    ServiceWithSandbox,
    refusal,
)

CREATE: Final = "POST /v1/subscriptions"
TRIES_MAX: Final = 100


# A subscription is begun while the gateway fails


@pytest.mark.parametrize(
    "fault", [Fault.RATE_LIMITED, Fault.RATE_LIMITED_RETRY_AFTER, Fault.RESET]
)
def test_f26_f31_a_call_that_got_no_answer_is_sent_again(
    stack: ServiceWithSandbox, ada: Payer, fault: Fault
) -> None:
    """
    202 with the operation to poll; the worker sends the same again, and it is sold
    once.
    """
    stack.sandbox.plan(fault, CREATE)

    answer = ada.subscribe()
    before = ada.intent(answer)
    stack.work(SOON)

    after = ada.intent(answer)
    assert before["state"] in {"sent", "unknown"}
    assert (before["kind"], before["result"]) == ("start_subscription", None)
    assert (after["state"], after["result"]["status"]) == ("succeeded", "active")
    assert_sold_once(ada)


def test_f27_an_error_after_the_fact_is_found(
    stack: ServiceWithSandbox, ada: Payer
) -> None:
    """
    500, but it was executed: the worker finds it by its intent id, and does not create
    another.
    """
    stack.sandbox.plan(Fault.ERROR_AFTER, CREATE)
    before = stack.posts.count(CREATE)

    answer = ada.subscribe()
    stack.work(SOON)

    assert ada.intent(answer)["state"] == "succeeded"
    assert stack.posts.count(CREATE) == before + 1
    assert_sold_once(ada)


def test_f27_an_error_before_the_fact_is_made_anew(
    stack: ServiceWithSandbox, ada: Payer
) -> None:
    """
    500, and nothing is found: only after two hours is it created under a new key.
    """
    stack.sandbox.plan(Fault.ERROR_BEFORE, CREATE)

    answer = ada.subscribe()
    stack.work(SOON)
    waits, made = ada.intent(answer), ada.subscriptions
    stack.work(AFTER_UNKNOWN_OUTCOME)

    assert (waits["state"], made) == ("unknown", [])
    assert ada.intent(answer)["state"] == "succeeded"
    assert_sold_once(ada)


@pytest.mark.parametrize("fault", [Fault.SLOW, Fault.OVERTAKE])
def test_f32_an_answer_that_comes_late_is_an_answer(
    stack: ServiceWithSandbox, ada: Payer, fault: Fault
) -> None:
    """
    A slow answer, or webhooks that come before it: 201 all the same.
    """
    stack.sandbox.plan(fault, CREATE)

    answer = ada.subscribe()

    assert (answer.status_code, answer.json()["status"]) == (201, "active")
    assert_sold_once(ada)


def test_f28_f29_timeouts_are_answered_after_eight_seconds(
    stack: ServiceWithSandbox,
) -> None:
    """
    Executed or not, the outcome is unknown: 202 for both; in the end both are sold
    once.
    """
    payers = [stack.user(), stack.user()]
    for payer in payers:
        payer.give_card().raise_for_status()
    stack.sandbox.plan(Fault.TIMEOUT_BEFORE, CREATE)
    stack.sandbox.plan(Fault.TIMEOUT_AFTER, CREATE, skip=1)

    with ThreadPoolExecutor() as threads:
        answers = list(threads.map(Payer.subscribe, payers))

    both = list(zip(payers, answers, strict=True))
    # Calls that hang keep their keys in use until they are given up.
    for number in range(1, TRIES_MAX):
        stack.work(SOON * number)
        if all(payer.intent(it)["state"] == "succeeded" for payer, it in both):
            break
    for payer, answer in both:
        assert answer.elapsed < timedelta(seconds=9)
        assert payer.intent(answer)["state"] == "succeeded"
        assert_sold_once(payer)


@pytest.mark.parametrize(
    "faults",
    [
        (Fault.ERROR_AFTER, Fault.RESET),
        (Fault.RESET, Fault.ERROR_BEFORE),
        (Fault.RESET, Fault.RATE_LIMITED),
        (Fault.ERROR_BEFORE, Fault.ERROR_AFTER),
        (Fault.RATE_LIMITED, Fault.ERROR_BEFORE, Fault.RESET),
    ],
)
def test_p22_troubles_one_after_the_other_come_to_one_sale(
    stack: ServiceWithSandbox, ada: Payer, faults: tuple[Fault, ...]
) -> None:
    """
    Whatever the next attempt meets.
    """
    for number, fault in enumerate(faults):
        stack.sandbox.plan(fault, CREATE, skip=number)

    answer = ada.subscribe()
    for number in range(1, 6):
        stack.work(AFTER_UNKNOWN_OUTCOME * number)

    assert ada.intent(answer)["state"] == "succeeded"
    assert_sold_once(ada)


@pytest.mark.parametrize(
    ("fault", "later"),
    [
        (Fault.RATE_LIMITED, SOON),
        (Fault.RESET, SOON),
        (Fault.ERROR_AFTER, SOON),
        (Fault.ERROR_BEFORE, AFTER_UNKNOWN_OUTCOME),
    ],
)
def test_p22_a_customer_is_made_once_too(
    stack: ServiceWithSandbox, fault: Fault, later: timedelta
) -> None:
    """
    The first step fails: 202; the worker creates one customer, and sells to it.
    """
    payer = stack.user()
    stack.sandbox.plan(fault, "POST /v1/customers")

    answer = payer.subscribe(payment_method=GOOD)
    stack.work(later)
    stack.work(later + SOON)

    assert payer.intent(answer)["state"] == "succeeded"
    assert_sold_once(payer)


@pytest.mark.parametrize(
    "fault", [Fault.RESET, Fault.ERROR_BEFORE, Fault.ERROR_AFTER, Fault.RATE_LIMITED]
)
def test_what_is_declined_is_undone_in_spite_of_troubles(
    stack: ServiceWithSandbox, fault: Fault
) -> None:
    """
    The first payment was declined and its cancellation fails: the worker ensures that
    nothing stays active, and the intent says why.
    """
    payer = stack.user()
    payer.give_card(FAILING)
    stack.sandbox.plan(fault, "DELETE /v1/subscriptions/*")

    answer = payer.subscribe()
    stack.work(SOON)
    stack.work(AFTER_UNKNOWN_OUTCOME)

    intent = payer.intent(answer)
    assert (intent["state"], intent["refusal"]["code"]) == ("declined", "card_declined")
    assert payer.living == []
    payer.give_card(GOOD)
    assert payer.subscribe().status_code == 201


# Requests meanwhile


def test_t51_asking_again_meanwhile_begins_nothing_more(
    stack: ServiceWithSandbox, ada: Payer
) -> None:
    """
    409 that names the operation under way and the time of the next try, with a key or
    without; once it is done, the key returns the answer.
    """
    stack.sandbox.plan(Fault.RESET, CREATE)
    first = ada.subscribe(key="one")

    under_key, other_key = ada.subscribe(key="one"), ada.subscribe(key="two")
    without = ada.subscribe()
    stack.work(SOON)
    replayed = ada.subscribe(key="one")

    for answer in (under_key, other_key, without):
        assert refusal(answer) == (409, "operation_in_progress")
        assert answer.json()["intent_id"] == ada.intent(first)["id"]
        assert answer.headers["retry-after"]
    assert (replayed.status_code, replayed.json()["status"]) == (201, "active")
    assert replayed.headers["idempotent-replayed"] == "true"
    assert_sold_once(ada)


def test_a_decline_that_comes_late_is_told_under_the_key(
    stack: ServiceWithSandbox, ada: Payer
) -> None:
    """
    202 first; a second request with the key then gets the bank's answer.
    """
    ada.give_card(FAILING)
    stack.sandbox.plan(Fault.RESET, CREATE)
    first = ada.subscribe(key="one")
    stack.work(SOON)

    again = ada.subscribe(key="one")

    assert first.status_code == 202
    assert refusal(again) == (402, "card_declined")
    assert again.json()["decline_code"] == "generic_decline"
    assert ada.living == []


def test_the_users_other_operations_go_on_meanwhile(
    stack: ServiceWithSandbox, ada: Payer
) -> None:
    """
    Another product and another card are not blocked.
    """
    stack.sandbox.plan(Fault.RESET, CREATE)
    ada.intent(ada.subscribe())

    other = ada.subscribe(product=stack.other_product)

    assert other.status_code == 201
    assert ada.give_card(OTHER).status_code == 200


def test_the_command_does_what_the_worker_does(
    stack: ServiceWithSandbox, ada: Payer
) -> None:
    """
    `payments worker --once` ends with 0; it leaves alone what is not due yet.
    """
    stack.sandbox.plan(Fault.RESET, CREATE)
    answer = ada.subscribe()
    stack.sandbox.deliver()
    # However slow the machine is, it does not become due meanwhile.
    later = "update intents set due_at = due_at + interval '1 hour'"
    databases.run(databases.execute(stack.world.database_url, later))

    assert stack.work_as_process() == os.EX_OK

    assert ada.intent(answer)["state"] == "unknown"
    stack.work(SOON + timedelta(hours=1))
    assert_sold_once(ada)
