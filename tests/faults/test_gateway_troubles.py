"""A gateway that fails, hangs, repeats itself or is gone: never sold twice, never lost.

Whatever becomes of a call, the answer keeps the contract, the worker comes to an end
with it, and the gateway has what was asked for exactly once.
"""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Final

import attrs
import httpx
import pytest

from payments_sandbox import Fault
from support import sales as shop
from support.events import SUCCEEDED, event
from support.sales import BASIC, FAILING, GOOD, OTHER, PRO, Payer, Sales, refusal

CREATE: Final = "POST /v1/subscriptions"
SOON: Final = timedelta(minutes=10)
# An error may have been made all the same: one looks for it for two hours.
AFTER_SILENCE: Final = timedelta(hours=3)
TRIES_MAX: Final = 100
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


@pytest.fixture(scope="module")
def world(postgres: str, template: str) -> Iterator[Sales]:
    with shop.selling(postgres, template) as sales:
        yield sales


@pytest.fixture
def sales(world: Sales) -> Iterator[Sales]:
    yield world
    world.sandbox.calm()


@pytest.fixture
def ada(sales: Sales) -> Payer:
    """Somebody whose card is in place before anything goes wrong."""
    payer = sales.user()
    payer.give_card().raise_for_status()
    return payer


def assert_sold_once(payer: Payer) -> None:
    """Assert one subscription, one payment, one customer; and that we know of them."""
    payer.sales.settle()
    [customer] = payer.customers
    [theirs] = payer.subscriptions
    assert theirs["status"] == "active"
    assert theirs["customer"] == customer["id"]
    assert payer.taken == [BASIC]
    [shown] = payer.status["subscriptions"]
    assert (shown["status"], shown["price"]) == ("active", payer.sales.basic)
    assert payer.standing == ("paid", True)


# A subscription is begun while the gateway is in trouble


@pytest.mark.parametrize(
    "fault", [Fault.RATE_LIMITED, Fault.RATE_LIMITED_RETRY_AFTER, Fault.RESET]
)
def test_f26_f31_a_call_that_got_no_answer_is_sent_again(
    sales: Sales, ada: Payer, fault: Fault
) -> None:
    """
    202 with the place to ask; the worker sends the same again, and it is sold once.
    """
    sales.sandbox.plan(fault, CREATE)

    answer = ada.subscribe()
    before = ada.intent(answer)
    sales.work(SOON)

    after = ada.intent(answer)
    assert before["state"] in {"sent", "unknown"}
    assert (before["kind"], before["result"]) == ("start_subscription", None)
    assert (after["state"], after["result"]["status"]) == ("succeeded", "active")
    assert_sold_once(ada)


def test_f27_an_error_after_the_fact_is_found(sales: Sales, ada: Payer) -> None:
    """
    500, but it was made: the worker finds it by its mark, and does not make another.
    """
    sales.sandbox.plan(Fault.ERROR_AFTER, CREATE)
    before = sales.posts.count(CREATE)

    answer = ada.subscribe()
    sales.work(SOON)

    assert ada.intent(answer)["state"] == "succeeded"
    assert sales.posts.count(CREATE) == before + 1
    assert_sold_once(ada)


def test_f27_an_error_before_the_fact_is_made_anew(sales: Sales, ada: Payer) -> None:
    """
    500, and nothing to be found: only after two hours is it made under a new key.
    """
    sales.sandbox.plan(Fault.ERROR_BEFORE, CREATE)

    answer = ada.subscribe()
    sales.work(SOON)
    waits, made = ada.intent(answer), ada.subscriptions
    sales.work(AFTER_SILENCE)

    assert (waits["state"], made) == ("unknown", [])
    assert ada.intent(answer)["state"] == "succeeded"
    assert_sold_once(ada)


@pytest.mark.parametrize("fault", [Fault.SLOW, Fault.OVERTAKE])
def test_f32_an_answer_that_comes_late_is_an_answer(
    sales: Sales, ada: Payer, fault: Fault
) -> None:
    """
    It drips, or the webhooks come before it: 201 all the same.
    """
    sales.sandbox.plan(fault, CREATE)

    answer = ada.subscribe()

    assert (answer.status_code, answer.json()["status"]) == (201, "active")
    assert_sold_once(ada)


def test_f28_f29_timeouts_are_answered_after_eight_seconds(sales: Sales) -> None:
    """
    Made or not made, nobody knows: 202 for both; in the end both are sold once.
    """
    payers = [sales.user(), sales.user()]
    for payer in payers:
        payer.give_card().raise_for_status()
    sales.sandbox.plan(Fault.TIMEOUT_BEFORE, CREATE)
    sales.sandbox.plan(Fault.TIMEOUT_AFTER, CREATE, skip=1)

    with ThreadPoolExecutor() as threads:
        answers = list(threads.map(Payer.subscribe, payers))

    both = list(zip(payers, answers, strict=True))
    # The calls that hang keep their keys busy until they are given up.
    for number in range(1, TRIES_MAX):
        sales.work(SOON * number)
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
    sales: Sales, ada: Payer, faults: tuple[Fault, ...]
) -> None:
    """
    Whatever the next attempt meets.
    """
    for number, fault in enumerate(faults):
        sales.sandbox.plan(fault, CREATE, skip=number)

    answer = ada.subscribe()
    for number in range(1, 6):
        sales.work(AFTER_SILENCE * number)

    assert ada.intent(answer)["state"] == "succeeded"
    assert_sold_once(ada)


@pytest.mark.parametrize(
    ("fault", "later"),
    [
        (Fault.RATE_LIMITED, SOON),
        (Fault.RESET, SOON),
        (Fault.ERROR_AFTER, SOON),
        (Fault.ERROR_BEFORE, AFTER_SILENCE),
    ],
)
def test_p22_a_customer_is_made_once_too(
    sales: Sales, fault: Fault, later: timedelta
) -> None:
    """
    The first step fails: 202; the worker makes one customer, and sells to it.
    """
    payer = sales.user()
    sales.sandbox.plan(fault, "POST /v1/customers")

    answer = payer.subscribe(payment_method=GOOD)
    sales.work(later)
    sales.work(later + SOON)

    assert payer.intent(answer)["state"] == "succeeded"
    assert_sold_once(payer)


@pytest.mark.parametrize(
    "fault", [Fault.RESET, Fault.ERROR_BEFORE, Fault.ERROR_AFTER, Fault.RATE_LIMITED]
)
def test_what_is_declined_is_undone_in_spite_of_troubles(
    sales: Sales, fault: Fault
) -> None:
    """
    The first payment was declined and its undoing fails: the worker sees to it that
    nothing lives on, and the intent says why.
    """
    payer = sales.user()
    payer.give_card(FAILING)
    sales.sandbox.plan(fault, "DELETE /v1/subscriptions/*")

    answer = payer.subscribe()
    sales.work(SOON)
    sales.work(AFTER_SILENCE)

    intent = payer.intent(answer)
    assert (intent["state"], intent["refusal"]["code"]) == ("declined", "card_declined")
    assert payer.living == []
    payer.give_card(GOOD)
    assert payer.subscribe().status_code == 201


# Who asks meanwhile


def test_t51_asking_again_meanwhile_begins_nothing_more(
    sales: Sales, ada: Payer
) -> None:
    """
    409 that names what is under way and when to come again, with a key or without;
    once it is done, the key tells the answer.
    """
    sales.sandbox.plan(Fault.RESET, CREATE)
    first = ada.subscribe(key="one")

    under_key, other_key = ada.subscribe(key="one"), ada.subscribe(key="two")
    without = ada.subscribe()
    sales.work(SOON)
    replayed = ada.subscribe(key="one")

    for answer in (under_key, other_key, without):
        assert refusal(answer) == (409, "operation_in_progress")
        assert answer.json()["intent_id"] == ada.intent(first)["id"]
        assert answer.headers["retry-after"]
    assert (replayed.status_code, replayed.json()["status"]) == (201, "active")
    assert replayed.headers["idempotent-replayed"] == "true"
    assert_sold_once(ada)


def test_a_decline_that_comes_late_is_told_under_the_key(
    sales: Sales, ada: Payer
) -> None:
    """
    202 first; whoever asks again with the key then hears what the bank said.
    """
    ada.give_card(FAILING)
    sales.sandbox.plan(Fault.RESET, CREATE)
    first = ada.subscribe(key="one")
    sales.work(SOON)

    again = ada.subscribe(key="one")

    assert first.status_code == 202
    assert refusal(again) == (402, "card_declined")
    assert again.json()["decline_code"] == "generic_decline"
    assert ada.living == []


def test_the_users_other_operations_go_on_meanwhile(sales: Sales, ada: Payer) -> None:
    """
    Another product and another card are in nobody's way.
    """
    sales.sandbox.plan(Fault.RESET, CREATE)
    ada.intent(ada.subscribe())

    other = ada.subscribe(product=sales.other_product)

    assert other.status_code == 201
    assert ada.give_card(OTHER).status_code == 200


def test_the_command_does_what_the_worker_does(sales: Sales, ada: Payer) -> None:
    """
    `payments worker --once` ends with 0; what is not due yet it leaves alone.
    """
    sales.sandbox.plan(Fault.RESET, CREATE)
    answer = ada.subscribe()
    sales.sandbox.deliver()

    assert sales.work_as_process() == os.EX_OK

    assert ada.intent(answer)["state"] == "unknown"
    sales.work(SOON)
    assert_sold_once(ada)


# Cards, changes and ends


@pytest.mark.parametrize("step", ["POST /v1/payment_methods/*", "POST /v1/customers/*"])
@pytest.mark.parametrize("fault", [Fault.RESET, Fault.ERROR_AFTER, Fault.ERROR_BEFORE])
def test_a_card_comes_into_its_place_in_spite_of_troubles(
    sales: Sales, ada: Payer, step: str, fault: Fault
) -> None:
    """
    What only says how things should be is said again at once, also after an error.
    """
    sales.sandbox.plan(fault, step)

    answer = ada.give_card(OTHER)
    sales.work(SOON)

    intent = ada.intent(answer)
    assert (intent["state"], intent["result"]["outcome"]) == ("succeeded", "updated")
    assert ada.status["card"]["brand"] == "mastercard"
    [method] = [it for it in sales.objects("payment_method") if it["id"] == ada.card]
    assert method["card"]["brand"] == "mastercard"


@pytest.mark.parametrize("fault", [Fault.RESET, Fault.ERROR_AFTER, Fault.ERROR_BEFORE])
def test_a_card_set_up_is_found_in_its_intent(
    sales: Sales, ada: Payer, fault: Fault
) -> None:
    """
    The secret comes with the intent, later.
    """
    sales.sandbox.plan(fault, "POST /v1/setup_intents")

    answer = ada.call("POST", "card-setup")
    sales.work(SOON)
    sales.work(AFTER_SILENCE)

    [set_up] = ada.have("setup_intent")
    assert ada.intent(answer)["result"] == {"client_secret": set_up["client_secret"]}


@pytest.mark.parametrize(
    "fault",
    [Fault.RESET, Fault.ERROR_AFTER, Fault.ERROR_BEFORE, Fault.RATE_LIMITED],
)
def test_a_change_is_made_and_paid_once(sales: Sales, ada: Payer, fault: Fault) -> None:
    """
    The difference is taken once, however often it was asked for.
    """
    id_ = ada.subscribed()["id"]
    sales.sandbox.plan(fault, "POST /v1/subscriptions/*")

    answer = ada.admin.change(id_, price=sales.pro)
    sales.work(SOON)
    sales.settle()

    assert ada.intent(answer)["state"] == "succeeded"
    assert ada.get(f"subscriptions/{id_}")["price"] == sales.pro
    assert ada.taken == [BASIC, PRO - BASIC]


@pytest.mark.parametrize(
    "fault", [Fault.RESET, Fault.ERROR_AFTER, Fault.ERROR_BEFORE, Fault.RATE_LIMITED]
)
def test_an_end_comes_about(sales: Sales, ada: Payer, fault: Fault) -> None:
    """
    202 first; in the end it is canceled, here and there, and what was paid stays.
    """
    id_ = ada.subscribed()["id"]
    sales.sandbox.plan(fault, "DELETE /v1/subscriptions/*")

    answer = ada.call("DELETE", f"subscriptions/{id_}")
    sales.work(SOON)
    sales.settle()

    assert ada.intent(answer)["state"] == "succeeded"
    assert ada.get(f"subscriptions/{id_}")["status"] == "canceled"
    assert [it["status"] for it in ada.subscriptions] == ["canceled"]
    assert ada.standing == ("paid", True)


# What is only looked up


@pytest.mark.parametrize("fault", [Fault.ERROR_BEFORE, Fault.RESET, Fault.RATE_LIMITED])
def test_a_price_that_cannot_be_looked_up_is_asked_for_again(
    sales: Sales, ada: Payer, fault: Fault
) -> None:
    """
    503 with the time to come again: nothing was begun, the next attempt is good.
    """
    # Nobody has asked for it before: what was looked up once may be remembered.
    price = sales.priced(BASIC)
    sales.sandbox.plan(fault, "GET /v1/prices/*")

    answer = ada.admin.subscribe(key="one", price=price)
    again = ada.admin.subscribe(key="one", price=price)

    assert answer.status_code == 503
    assert shop.problem_of(answer)["code"] in {"gateway_silent", "gateway_busy"}
    assert answer.headers["retry-after"]
    assert again.status_code == 201
    assert ada.taken == [BASIC]


@pytest.mark.parametrize("fault", [Fault.ERROR_BEFORE, Fault.RESET, Fault.RATE_LIMITED])
def test_a_preview_that_cannot_be_had_is_asked_for_again(
    sales: Sales, ada: Payer, fault: Fault
) -> None:
    """
    503; nothing changed.
    """
    path = f"subscriptions/{ada.subscribed()['id']}/preview"
    sales.sandbox.plan(fault, "POST /v1/invoices/create_preview")

    answer = ada.call("POST", path, {"quantity": 2})

    assert answer.status_code == 503
    assert answer.headers["retry-after"]
    assert ada.call("POST", path, {"quantity": 2}).status_code == 200


# What is told


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
    sales: Sales, ada: Payer, fault: Fault
) -> None:
    """
    Twice, in another order, late, not at the first time, or of another version.
    """
    sales.sandbox.plan(fault, "*", times=20)

    answer = ada.subscribe()
    sales.settle()
    sales.sandbox.calm()
    sales.pass_by("2 hours")

    assert answer.status_code == 201
    assert_sold_once(ada)


def test_a_renewal_of_which_nothing_is_told_is_looked_up(
    sales: Sales, ada: Payer
) -> None:
    """
    No event of it is ever made: the worker asks when the time has come.
    """
    before = datetime.fromisoformat(ada.subscribed()["current_period_end"])
    sales.sandbox.chaos(never_made=1)
    sales.sandbox.advance("1 month")
    sales.sandbox.advance("2 hours")
    sales.sandbox.chaos(never_made=0)

    sales.settle(timedelta(days=45))

    assert datetime.fromisoformat(ada.status["payment_expire_date"]) > before
    assert ada.taken == [BASIC, BASIC]


# Many at once


def test_f26_a_rush_beyond_the_budget_sells_to_each_once(sales: Sales) -> None:
    """
    The gateway is asked no faster than is allowed: who comes too fast is served
    later, or asked to come again; nobody is served twice.
    """
    payers = [sales.user() for _ in range(RUSH)]
    with ThreadPoolExecutor(RUSH) as threads:
        answers = list(
            threads.map(lambda it: it.subscribe(payment_method=GOOD), payers)
        )

    for number in range(1, 4):
        sales.work(SOON * number)

    assert {it.status_code for it in answers} <= {201, 202, 503}
    for payer, answer in zip(payers, answers, strict=True):
        if answer.status_code == 503:
            assert answer.headers["retry-after"]
            assert payer.subscriptions == []
        else:
            assert_sold_once(payer)


@pytest.mark.parametrize("key", [None, "one"])
def test_t51_the_same_order_many_times_at_once_is_one(
    sales: Sales, ada: Payer, key: str | None
) -> None:
    """
    One is served; the others are told to come again, that it is there already, or
    (under a key) the very same.
    """
    with ThreadPoolExecutor(RUSH) as threads:
        answers = list(threads.map(lambda _: ada.subscribe(key=key), range(RUSH)))
    sales.work(SOON)

    served = [it for it in answers if it.status_code < 300]
    others = [it for it in answers if it.status_code >= 300]
    first = [it for it in served if "idempotent-replayed" not in it.headers]
    assert len(first) == 1
    assert {it.content for it in served} == {first[0].content}
    assert {it.status_code for it in others} <= {409, 503}
    assert_sold_once(ada)


def test_an_end_and_changes_at_once_come_to_an_end(sales: Sales, ada: Payer) -> None:
    """
    Whichever is first: each is answered by contract, and the subscription has ended.
    """
    id_ = ada.subscribed()["id"]
    with ThreadPoolExecutor(RUSH) as threads:
        changes = [
            threads.submit(ada.change, id_, quantity=number) for number in range(2, 6)
        ]
        ends = [
            threads.submit(ada.call, "DELETE", f"subscriptions/{id_}") for _ in range(4)
        ]
    sales.settle(SOON)

    assert {it.result().status_code for it in changes} <= {200, 202, 409, 422}
    assert {it.result().status_code for it in ends} <= {200, 202, 409}
    assert 200 in {it.result().status_code for it in ends}
    assert ada.get(f"subscriptions/{id_}")["status"] == "canceled"
    assert [it["status"] for it in ada.subscriptions] == ["canceled"]


def test_p22_in_a_storm_everybody_is_sold_to_once(postgres: str, template: str) -> None:
    """
    Errors, cut answers, limits and lost webhooks, at random under a seed, for all of
    twelve users: when it is over everybody has what was promised, once.
    """
    with shop.selling(postgres, template) as sales:
        payers = [sales.user() for _ in range(STORM_USERS)]
        sales.sandbox.chaos(**STORM)
        answers = [it.subscribe(payment_method=GOOD) for it in payers]
        for number in range(1, 4):
            sales.settle(SOON * number)
        sales.sandbox.chaos(**dict.fromkeys(STORM, 0))
        for number in range(1, 5):
            sales.settle(AFTER_SILENCE * number)
        sales.pass_by("12 hours")

        assert {it.status_code for it in answers} <= {201, 202, 503}
        for payer, answer in zip(payers, answers, strict=True):
            if answer.status_code == 503:
                assert payer.subscriptions == []
            else:
                assert_sold_once(payer)


# A gateway that is gone


@attrs.frozen
class Left:
    """A service whose gateway is gone, and somebody who had subscribed before."""

    payer: Payer
    subscription: str


@pytest.fixture(scope="module")
def left(postgres: str, template: str) -> Iterator[Left]:
    with shop.selling(postgres, template) as sales:
        payer = sales.user()
        subscription = payer.subscribed()["id"]
        sales.sandbox.__exit__(None, None, None)
        yield Left(payer, subscription)


def in_order(answer: httpx.Response) -> bool:
    """Tell whether an answer is what one gets while the gateway is gone."""
    if answer.status_code == 202:
        return answer.headers["location"].startswith("/payments-gateway/api/intents/")
    return answer.status_code == 503 and "retry-after" in answer.headers


def test_f33_with_the_gateway_gone_every_answer_keeps_the_contract(left: Left) -> None:
    """
    202 with a place to ask or 503 with a time to come again, soon; nothing is lost.
    """
    payer, one = left.payer, f"subscriptions/{left.subscription}"
    newcomer = payer.sales.user()

    answers = [
        newcomer.subscribe(),
        newcomer.give_card(),
        newcomer.call("POST", "card-setup"),
        payer.subscribe(product=payer.sales.other_product),
        payer.give_card(OTHER),
        payer.change(left.subscription, quantity=2),
        payer.call("POST", f"{one}/preview", {"quantity": 2}),
        payer.call("DELETE", one),
    ]

    assert [it.status_code for it in answers if not in_order(it)] == []
    assert max(it.elapsed for it in answers) < timedelta(seconds=5)


def test_f33_with_the_gateway_gone_what_is_known_is_told(left: Left) -> None:
    """
    Who has paid is ours to know.
    """
    payer = left.payer

    assert payer.standing == ("paid", True)
    assert payer.status["card"]["brand"] == "visa"
    assert len(payer.get("subscriptions")["items"]) == 1


def test_f33_with_the_gateway_gone_webhooks_are_taken(left: Left) -> None:
    """
    200 and applied: what Stripe says needs no Stripe.
    """
    payer = left.payer.sales.user()
    _ = payer.status
    now = datetime.now(UTC)
    charge = event(SUCCEEDED, "gone", at=now, receipt_email=f"{payer.id}@example.com")

    answer = payer.sales.service.post_event(charge)

    assert (answer.status_code, answer.json()) == (200, {"outcome": "applied"})
    assert payer.standing == ("paid", True)


def test_f33_a_gateway_that_comes_back_gets_all_that_was_asked(
    postgres: str, template: str
) -> None:
    """
    What was answered 202 while it was gone is done by the worker, once.
    """
    with shop.selling(postgres, template) as gone:
        payer = gone.user()
        id_ = payer.subscribed()["id"]
        gone.sandbox.__exit__(None, None, None)
        accepted = [payer.give_card(OTHER), payer.change(id_, quantity=2)]
        gone.work(SOON)
        assert [payer.intent(it)["result"] for it in accepted] == [None, None]

        with shop.returned(gone) as sandbox:
            back = attrs.evolve(payer, sales=attrs.evolve(gone, sandbox=sandbox))
            back.sales.work(SOON * 2)
            back.sales.settle(SOON * 3)

            assert {back.intent(it)["state"] for it in accepted} == {"succeeded"}
            assert back.status["card"]["brand"] == "mastercard"
            assert back.get(f"subscriptions/{id_}")["quantity"] == 2
            assert back.taken == [BASIC, BASIC]
