"""Cards, changes, ends, reads and webhooks while the gateway fails."""

from datetime import datetime, timedelta

import pytest

from faults.sold_once import AFTER_UNKNOWN_OUTCOME, SOON, assert_sold_once
from payments_sandbox import Fault
from support.service_with_sandbox import (
    BASIC,
    OTHER,
    PRO,
    Payer,
    ServiceWithSandbox,
    problem_of,
)

# Cards, changes and ends


@pytest.mark.parametrize("step", ["POST /v1/payment_methods/*", "POST /v1/customers/*"])
@pytest.mark.parametrize("fault", [Fault.RESET, Fault.ERROR_AFTER, Fault.ERROR_BEFORE])
def test_a_card_comes_into_its_place_in_spite_of_troubles(
    stack: ServiceWithSandbox, ada: Payer, step: str, fault: Fault
) -> None:
    """
    A request that only sets a state is repeated at once, also after an error.
    """
    stack.sandbox.plan(fault, step)

    answer = ada.give_card(OTHER)
    stack.work(SOON)

    intent = ada.intent(answer)
    assert (intent["state"], intent["result"]["outcome"]) == ("succeeded", "updated")
    assert ada.status["card"]["brand"] == "mastercard"
    [method] = [it for it in stack.objects("payment_method") if it["id"] == ada.card]
    assert method["card"]["brand"] == "mastercard"


@pytest.mark.parametrize("fault", [Fault.RESET, Fault.ERROR_AFTER, Fault.ERROR_BEFORE])
def test_a_card_set_up_is_found_in_its_intent(
    stack: ServiceWithSandbox, ada: Payer, fault: Fault
) -> None:
    """
    The secret comes later, with the intent.
    """
    stack.sandbox.plan(fault, "POST /v1/setup_intents")

    answer = ada.call("POST", "card-setup")
    stack.work(SOON)
    stack.work(AFTER_UNKNOWN_OUTCOME)

    [set_up] = ada.have("setup_intent")
    assert ada.intent(answer)["result"] == {"client_secret": set_up["client_secret"]}


@pytest.mark.parametrize(
    "fault",
    [Fault.RESET, Fault.ERROR_AFTER, Fault.ERROR_BEFORE, Fault.RATE_LIMITED],
)
def test_a_change_is_made_and_paid_once(
    stack: ServiceWithSandbox, ada: Payer, fault: Fault
) -> None:
    """
    The difference is charged once, however many requests there were.
    """
    id_ = ada.subscribed()["id"]
    stack.sandbox.plan(fault, "POST /v1/subscriptions/*")

    answer = ada.admin.change(id_, price=stack.pro)
    stack.work(SOON)
    stack.settle()

    assert ada.intent(answer)["state"] == "succeeded"
    assert ada.get(f"subscriptions/{id_}")["price"] == stack.pro
    assert ada.taken == [BASIC, PRO - BASIC]


@pytest.mark.parametrize(
    "fault", [Fault.RESET, Fault.ERROR_AFTER, Fault.ERROR_BEFORE, Fault.RATE_LIMITED]
)
def test_an_end_comes_about(
    stack: ServiceWithSandbox, ada: Payer, fault: Fault
) -> None:
    """
    202 first; in the end it is canceled, here and at the gateway, and what was paid
    stays.
    """
    id_ = ada.subscribed()["id"]
    stack.sandbox.plan(fault, "DELETE /v1/subscriptions/*")

    answer = ada.call("DELETE", f"subscriptions/{id_}")
    stack.work(SOON)
    stack.settle()

    assert ada.intent(answer)["state"] == "succeeded"
    assert ada.get(f"subscriptions/{id_}")["status"] == "canceled"
    assert [it["status"] for it in ada.subscriptions] == ["canceled"]
    assert ada.standing == ("paid", True)


# Reads


@pytest.mark.parametrize("fault", [Fault.ERROR_BEFORE, Fault.RESET, Fault.RATE_LIMITED])
def test_a_price_that_cannot_be_looked_up_is_asked_for_again(
    stack: ServiceWithSandbox, ada: Payer, fault: Fault
) -> None:
    """
    503 with the time of the next try: nothing was begun, the next attempt succeeds.
    """
    # It was not requested before: an earlier answer may be cached.
    price = stack.priced(BASIC)
    stack.sandbox.plan(fault, "GET /v1/prices/*")

    answer = ada.admin.subscribe(key="one", price=price)
    again = ada.admin.subscribe(key="one", price=price)

    assert answer.status_code == 503
    assert problem_of(answer)["code"] in {"gateway_silent", "gateway_busy"}
    assert answer.headers["retry-after"]
    assert again.status_code == 201
    assert ada.taken == [BASIC]


@pytest.mark.parametrize("fault", [Fault.ERROR_BEFORE, Fault.RESET, Fault.RATE_LIMITED])
def test_a_preview_that_cannot_be_had_is_asked_for_again(
    stack: ServiceWithSandbox, ada: Payer, fault: Fault
) -> None:
    """
    503; nothing changed.
    """
    path = f"subscriptions/{ada.subscribed()['id']}/preview"
    stack.sandbox.plan(fault, "POST /v1/invoices/create_preview")

    answer = ada.call("POST", path, {"quantity": 2})

    assert answer.status_code == 503
    assert answer.headers["retry-after"]
    assert ada.call("POST", path, {"quantity": 2}).status_code == 200


# Webhooks


@pytest.mark.parametrize(
    "fault",
    [
        Fault.TWIN,
        Fault.DUPLICATE,
        Fault.REORDER,
        Fault.DELAY,
        Fault.DROP,
        Fault.OTHER_GENERATION,
    ],
)
def test_webhooks_in_trouble_come_to_the_same(
    stack: ServiceWithSandbox, ada: Payer, fault: Fault
) -> None:
    """
    Twice, in another order, late, not at the first time, or of another version.
    """
    stack.sandbox.plan(fault, "*", times=20)

    answer = ada.subscribe()
    stack.settle()
    stack.sandbox.calm()
    stack.pass_by("2 hours")

    assert answer.status_code == 201
    assert_sold_once(ada)


def test_a_renewal_of_which_nothing_is_told_is_looked_up(
    stack: ServiceWithSandbox, ada: Payer
) -> None:
    """
    Its event never exists: the worker fetches it when it is due.
    """
    before = datetime.fromisoformat(ada.subscribed()["current_period_end"])
    stack.sandbox.chaos(never_made=1)
    stack.sandbox.advance("1 month")
    stack.sandbox.advance("2 hours")
    stack.sandbox.chaos(never_made=0)

    stack.settle(timedelta(days=45))

    assert datetime.fromisoformat(ada.status["payment_expire_date"]) > before
    assert ada.taken == [BASIC, BASIC]
