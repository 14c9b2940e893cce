"""Two processes on one database behave as one."""

import json
import random
import unicodedata
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import anyio
import httpx
import pytest

from faults.deliveries import Stripe, client
from payments_core import (
    Money,
    Payment,
    PaymentId,
    PaymentState,
    Policy,
    standing,
)
from payments_core.months import months_after
from support import databases
from support.events import FAILED, SAMPLES, SUCCEEDED, event, utc
from support.service import ServiceProcess, World, running

pytestmark = pytest.mark.anyio

COPIES: Final = 50
CHARGES: Final = 200
USERS: Final = 3
RIVALS: Final = 32
TOKENS: Final = 8
SEED: Final = 5

Pair = Sequence[ServiceProcess]


@pytest.fixture(scope="module")
def pair(postgres: str, template: str) -> Iterator[Pair]:
    """Two processes for the tests of the module; each test uses its own users."""
    with (
        databases.copy_of(postgres, template) as dsn,
        running(World(dsn), 2) as services,
    ):
        yield services


async def at_once(
    calls: int, call: Callable[[httpx.AsyncClient, int], Awaitable[httpx.Response]]
) -> list[httpx.Response]:
    """Return all answers, in the order of the calls."""
    answers: dict[int, httpx.Response] = {}

    async def one(number: int) -> None:
        answers[number] = await call(http, number)

    async with client() as http, anyio.create_task_group() as callers:
        for number in range(calls):
            callers.start_soon(one, number)
    return [answers[number] for number in range(calls)]


async def copies_of(pair: Pair, body: bytes, route: str) -> list[httpx.Response]:
    """Deliver the same bytes many times concurrently, half of them to each process."""
    headers = pair[0].world.signed(body)

    async def deliver(http: httpx.AsyncClient, number: int) -> httpx.Response:
        url = f"{pair[number % 2].url}/webhooks/{route}"
        return await http.post(url, content=body, headers=headers)

    return await at_once(COPIES, deliver)


async def count(pair: Pair, query: str, *values: object) -> int:
    [row] = await databases.fetch(
        pair[0].world.database_url,
        f"select count(*) from {query}",  # noqa: S608  # our own words
        *values,
    )
    return int(row[0])


async def assert_taken_once(
    pair: Pair, answers: list[httpx.Response], sent: dict[str, Any]
) -> None:
    """Assert one row, one payment, and 200 for all copies."""
    assert Counter(answer.status_code for answer in answers) == {200: COPIES}
    outcomes = Counter(answer.json()["outcome"] for answer in answers)
    assert outcomes == {"applied": 1, "duplicate": COPIES - 1}
    key = sent["id"], sent["type"]
    assert await count(pair, "webhook_events where id = $1 and type = $2", *key) == 1
    charge = sent["data"]["object"]["id"]
    assert await count(pair, "payments where id = $1", charge) == 1


async def test_f09_t03_the_briefs_file_fifty_times_at_once_is_one_event(
    pair: Pair,
) -> None:
    """
    The same bytes, 50 times concurrently, to two processes: 50 x 200 and one row.
    """
    body = (SAMPLES / "charge_succeeded.json").read_bytes()

    answers = await copies_of(pair, body, "charge/succeeded")

    await assert_taken_once(pair, answers, json.loads(body))


async def test_f09_a_linked_charge_fifty_times_at_once_moves_the_date_once(
    pair: Pair,
) -> None:
    """
    A user's charge, 50 times concurrently, to two processes, buys one month.
    """
    pair[0].register("fifty", "fifty@example.com")
    charge = event(SUCCEEDED, "fifty", at=utc(2026, 1, 31))
    charge["data"]["object"]["receipt_email"] = "fifty@example.com"

    answers = await copies_of(pair, json.dumps(charge).encode(), "charge/succeeded")

    await assert_taken_once(pair, answers, charge)
    for service in pair:
        told = service.status("fifty")
        assert told["payment_expire_date"] == "2026-02-28T12:00:00Z"


def a_payment(dice: random.Random, number: int) -> Payment:
    """Return a charge of a random time and outcome; some times repeat."""
    day = datetime(2015, 1, 31, 12, tzinfo=UTC) + timedelta(days=dice.randrange(2000))
    return Payment(
        id=PaymentId(f"ch_split_{number}"),
        state=dice.choice(
            [PaymentState.SUCCEEDED, PaymentState.SUCCEEDED, PaymentState.FAILED]
        ),
        amount=Money(100, "eur"),
        created_at=day,
    )


def reported(payment: Payment, user: int) -> dict[str, Any]:
    base = FAILED if payment.state is PaymentState.FAILED else SUCCEEDED
    return event(
        base,
        payment.id.removeprefix("ch_"),
        at=payment.created_at,
        customer=f"cus_split_{user}",
    )


async def test_events_split_over_both_come_to_what_one_would_make_of_them(
    pair: Pair,
) -> None:
    """
    200 charges of three users, shuffled and split over both processes concurrently,
    give the entitlement of the same payments in the model; both processes return it.
    """
    dice = random.Random(SEED)  # noqa: S311  # an order that can be had again
    payments = [a_payment(dice, number) for number in range(CHARGES)]
    for user in range(USERS):
        pair[0].register(f"split-{user}", f"s{user}@example.com", f"cus_split_{user}")

    stripe = Stripe(reported(p, n % USERS) for n, p in enumerate(payments))
    await stripe.deliver(*pair)

    assert stripe.statuses == {200: CHARGES}
    for user in range(USERS):
        model = standing(payments[user::USERS], now=datetime.now(UTC), policy=Policy())
        for service in pair:
            told = service.status(f"split-{user}")
            assert told["payment_status"] == model.payment_status
            assert moment(told["payment_expire_date"]) == model.payment_expire_date
            assert told["entitled"] == model.entitled


async def test_charges_of_one_second_split_over_both_each_buy_a_month(
    pair: Pair,
) -> None:
    """
    None of them is older than another, so the sum is never computed from the start
    again: a month that one process overwrote would be missing for good.
    """
    pair[0].register("second", "second@example.com")
    anchor, mail = utc(2015, 1, 31), "second@example.com"
    stripe = Stripe(
        event(SUCCEEDED, f"second_{number}", at=anchor, receipt_email=mail)
        for number in range(CHARGES)
    )

    await stripe.deliver(*pair)

    assert stripe.statuses == {200: CHARGES}
    for service in pair:
        told = moment(service.status("second")["payment_expire_date"])
        assert told == months_after(anchor, CHARGES)


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def asks(service: ServiceProcess, user: str, token: str) -> int:
    path = f"/users/{user}/payment-status"
    return service.call("GET", path, token).status_code


def test_t38_t39_a_token_killed_through_one_is_dead_at_the_other(pair: Pair) -> None:
    """
    At once, in any spelling, through either process; another token stays valid.
    """
    world = pair[0].world
    kept = world.token("dies", email="dies@example.com")
    for number in range(TOKENS):
        here, there = pair[number % 2], pair[1 - number % 2]
        token = world.token("dies", email="dies@example.com")
        assert [asks(service, "dies", token) for service in pair] == [200, 200]

        done = here.call("POST", "/tokens/invalidate", token, {"token": token})

        assert done.status_code == 200
        assert [asks(there, "dies", t) for t in (token, token + "=")] == [401, 401]
        assert [asks(here, "dies", t) for t in (token, token + "=")] == [401, 401]
    assert [asks(service, "dies", kept) for service in pair] == [200, 200]


@pytest.mark.parametrize("through", [0, 1])
def test_t38_all_of_a_users_tokens_die_at_both(pair: Pair, through: int) -> None:
    """
    At once, in any spelling; another user's token stays valid.
    """
    here, there = pair[through], pair[1 - through]
    world, now = here.world, datetime.now(UTC)
    user, other = f"all-{through}", f"other-{through}"
    tokens = [
        world.token(user, email=f"{user}@example.com", at=now - timedelta(minutes=n))
        for n in range(1, TOKENS)
    ]
    others = world.token(other, email=f"{other}@example.com")
    assert {asks(there, user, token) for token in tokens} == {200}

    done = here.call("POST", f"/users/{user}/tokens/invalidate", tokens[0])

    assert done.status_code == 200
    spellings = [spelling for t in tokens for spelling in (t, t + "=")]
    for service in (there, here):
        assert {asks(service, user, token) for token in spellings} == {401}
        assert asks(service, other, others) == 200


async def registrations(
    pair: Pair, rivals: Sequence[tuple[str, str]]
) -> list[httpx.Response]:
    """Register each (user, e-mail) at once, half of them at each process."""
    headers = {"Authorization": f"Bearer {pair[0].world.admin()}"}

    async def put(http: httpx.AsyncClient, number: int) -> httpx.Response:
        user, mail = rivals[number]
        url = f"{pair[number % 2].url}/users/{user}"
        return await http.put(url, json={"email": mail}, headers=headers)

    return await at_once(len(rivals), put)


async def test_t69_an_email_raced_for_is_one_users(pair: Pair) -> None:
    """
    32 users register one e-mail concurrently, in several spellings: one gets it, the
    others are refused because it is taken, and both processes know its owner.
    """
    composed = unicodedata.normalize("NFC", "andr\u00e9@example.com")
    decomposed = unicodedata.normalize("NFD", composed)
    spellings = [composed, decomposed, composed.upper(), f"{composed}."]
    rivals = [(f"rival-{n}", spellings[n % 4]) for n in range(RIVALS)]

    answers = await registrations(pair, rivals)

    statuses = [answer.status_code for answer in answers]
    assert Counter(statuses) == {200: 1, 409: RIVALS - 1}
    refused = [answer for answer in answers if answer.status_code == 409]
    assert {answer.json()["code"] for answer in refused} == {"email_taken"}
    winner, _ = rivals[statuses.index(200)]
    assert [service.status(composed)["user_id"] for service in pair] == [winner] * 2
    assert await count(pair, "payment_accounts where user_id like 'rival-%'") == 1


async def test_a_user_registered_many_times_at_once_is_one(pair: Pair) -> None:
    """
    The same registration, 32 times concurrently, to both: all 200, and one user.
    """
    answers = await registrations(pair, [("same", "same@example.com")] * RIVALS)

    assert Counter(answer.status_code for answer in answers) == {200: RIVALS}
    assert await count(pair, "payment_accounts where user_id = 'same'") == 1
    assert [service.status("same")["user_id"] for service in pair] == ["same"] * 2
