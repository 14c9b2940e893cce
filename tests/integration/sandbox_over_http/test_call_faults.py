"""Calls of the sandbox that meet a fault, and keys that are in use.

Over real HTTP with a plain client, which hides and repeats nothing.
"""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import attrs
import httpx
import pytest

from payments_sandbox import Fault, Sandbox
from payments_sandbox.api import ApiRequest, ApiResponse
from payments_sandbox.chaos import CALL_FAULTS
from support.plain_http import TLS
from support.receiver import receiving
from support.sandbox_http import CUSTOMERS, WAIT_S_MAX, bearer, create, made

CALL: Final = f"POST {CUSTOMERS}"
# For an answer that never comes; an answer that comes has all the time.
PATIENCE_S: Final = 0.3
TRIES_MAX: Final = 10_000


def settled(client: httpx.Client, key: str) -> httpx.Response:
    """Repeat a request until the first one with this key is over."""
    for _ in range(TRIES_MAX):
        if (answer := create(client, key)).status_code != 409:
            return answer
    raise AssertionError("the first request is never over")


def hearing(sandbox: Sandbox) -> threading.Event:
    """Return an event that is set as soon as the sandbox has executed a call."""
    heard, conformance = threading.Event(), sandbox.engine.watch

    def watch(request: ApiRequest, response: ApiResponse) -> None:
        conformance(request, response)
        heard.set()

    sandbox.engine.watch = watch
    return heard


@attrs.frozen
class Outcome:
    """What a client sees, how many customers exist then, and the same later on.

    `again` is the answer to the same request with the same key.
    """

    seen: int | type[Exception]
    made: int
    again: int
    made_again: int = 1
    headers: frozenset[str] = frozenset()


OUTCOMES: Final = {
    Fault.RATE_LIMITED: Outcome(429, 0, again=200),
    Fault.RATE_LIMITED_RETRY_AFTER: Outcome(
        429, 0, again=200, headers=frozenset({"retry-after"})
    ),
    # A 500 is stored under its key: a repetition reveals nothing new.
    Fault.ERROR_BEFORE: Outcome(500, 0, again=500, made_again=0),
    Fault.ERROR_AFTER: Outcome(500, 1, again=500),
    Fault.TIMEOUT_BEFORE: Outcome(httpx.ReadTimeout, 0, again=200),
    Fault.TIMEOUT_AFTER: Outcome(httpx.ReadTimeout, 1, again=200),
    Fault.SLOW: Outcome(200, 1, again=200),
    Fault.RESET: Outcome(httpx.RemoteProtocolError, 1, again=200),
    Fault.OVERTAKE: Outcome(200, 1, again=200),
}


@pytest.mark.parametrize("fault", CALL_FAULTS)
def test_a_fault_of_a_call_says_what_is_true_afterwards(
    sandbox: Sandbox, client: httpx.Client, fault: Fault
) -> None:
    """
    Executed or not, a repetition with the same key never creates a second customer; a
    new key always creates one more.
    """
    sandbox.plan(fault, CALL)
    expected, heard = OUTCOMES[fault], hearing(sandbox)
    waits = expected.seen is httpx.ReadTimeout

    seen: int | type[Exception]
    headers = httpx.Headers()
    try:
        answer = create(client, "once", timeout=PATIENCE_S if waits else WAIT_S_MAX)
        seen, headers = answer.status_code, answer.headers
    except httpx.TransportError as error:
        seen = type(error)

    assert not expected.made or heard.wait(WAIT_S_MAX)
    assert (seen, made(sandbox)) == (expected.seen, expected.made)
    assert headers.keys() & {"retry-after"} == expected.headers
    again = settled(client, "once")
    assert (again.status_code, made(sandbox)) == (expected.again, expected.made_again)
    was_carried_out = expected.made or expected.seen == 500
    assert ("idempotent-replayed" in again.headers) is bool(was_carried_out)
    assert create(client, "another").status_code == 200
    assert made(sandbox) == expected.made_again + 1
    assert sandbox.state()["chaos"]["planned"] == 0


def test_a_slow_answer_comes_in_pieces_and_whole(
    sandbox: Sandbox, client: httpx.Client
) -> None:
    """
    It takes longer than the pauses between its pieces, and is the usual answer.
    """
    sandbox.plan("slow", CALL)

    answer = create(client, "once")

    assert answer.elapsed.total_seconds() > 0.5
    assert answer.json()["object"] == "customer"
    assert answer.content == create(client, "once").content


def test_a_webhook_may_overtake_the_answer_that_it_tells_of(
    sandbox: Sandbox, client: httpx.Client
) -> None:
    """
    The call that caused a webhook is answered only after the webhook is.
    """
    sandbox.plan("overtake", CALL)
    with receiving() as receiver, ThreadPoolExecutor() as pool:
        sandbox.deliver_to(receiver.url, f"whsec_{'a' * 32}")
        receiver.hold()

        call = pool.submit(create, client, "once")
        receiver.wait_for_one()

        assert receiver.types == ["customer.created"]
        assert not call.done()
        receiver.let_go()
        answer = call.result(WAIT_S_MAX).json()
        assert answer == receiver.received[0].object


def test_a_lost_answer_does_not_lose_its_webhook(
    sandbox: Sandbox, client: httpx.Client
) -> None:
    """
    The webhook reports what was created while the client lost the answer.
    """
    with receiving() as receiver:
        sandbox.deliver_to(receiver.url, f"whsec_{'a' * 32}")
        for fault in ("timeout_after", "reset", "error_after"):
            sandbox.plan(fault, CALL)
            try:
                patience = PATIENCE_S if fault == "timeout_after" else WAIT_S_MAX
                lost = create(client, fault, timeout=patience).status_code
            except httpx.TransportError:
                lost = 500
            receiver.wait_for_one()
            assert lost == 500
            assert receiver.received[-1].event["request"]["idempotency_key"] == fault
        assert len(receiver.received) == 3


def test_a_fault_meets_the_calls_that_it_was_planned_for(
    sandbox: Sandbox, client: httpx.Client
) -> None:
    """
    By method and path, after the calls that it lets pass, and as often as configured.
    """
    sandbox.plan("error_before", "POST /v1/customers/*", skip=1, times=2)
    ada = create(client, "ada").json()["id"]

    statuses = [
        client.post(f"{CUSTOMERS}/{ada}", data={"name": name}).status_code
        for name in ("Bob", "Cid", "Dan", "Eve")
    ]

    assert statuses == [200, 500, 500, 200]
    assert client.get(f"{CUSTOMERS}/{ada}").json()["name"] == "Eve"
    sandbox.plan("rate_limited", times=100)
    sandbox.calm()
    assert client.get(CUSTOMERS).status_code == 200


def test_chaos_at_a_rate_never_makes_two_of_one_key(
    sandbox: Sandbox, client: httpx.Client
) -> None:
    """
    With a fault in half of all calls, a client that keeps its key gets one customer
    each time.
    """
    sandbox.chaos(rate_limited=0.2, error_after=0.1, reset=0.2, error_before=0.1)
    seen = set[object]()

    for number in range(30):
        for _ in range(10):
            try:
                seen.add(create(client, str(number)).status_code)
            except httpx.TransportError as error:
                seen.add(type(error))

    assert seen == {200, 429, 500, httpx.RemoteProtocolError}
    sandbox.calm()
    answers = [create(client, str(number)) for number in range(30)]
    assert {it.headers["idempotent-replayed"] for it in answers} == {"true"}
    keys = [
        event.cause.idempotency_key
        for event in sandbox.engine.world.events.values()
        if event.type == "customer.created"
    ]
    assert len(keys) == len(set(keys)) == made(sandbox)


@pytest.mark.anyio
async def test_a_key_that_is_in_use_is_a_conflict(sandbox: Sandbox) -> None:
    """
    While the first request is running, a second with its key is refused, and one with
    another key is not; afterwards the second gets the first one's answer.
    """
    heard = hearing(sandbox)
    sandbox.plan("timeout_after", CALL)
    async with httpx.AsyncClient(
        base_url=sandbox.url,
        headers=bearer(sandbox.api_key),
        timeout=WAIT_S_MAX,
        verify=TLS,
    ) as client:
        headers = {"Idempotency-Key": "once"}
        first = asyncio.create_task(client.post(CUSTOMERS, headers=headers))
        assert await asyncio.to_thread(heard.wait, WAIT_S_MAX)

        second = await client.post(CUSTOMERS, headers=headers)
        assert second.status_code == 409
        error = second.json()["error"]
        assert (error["type"], error["code"]) == (
            "idempotency_error",
            "idempotency_key_in_use",
        )
        other = await client.post(CUSTOMERS, headers={"Idempotency-Key": "other"})
        assert other.status_code == 200
        assert not first.done()

        first.cancel()
        await asyncio.wait([first])
        third, tries = second, 0
        while third.status_code == 409 and tries < TRIES_MAX:
            third, tries = await client.post(CUSTOMERS, headers=headers), tries + 1
        assert third.headers["idempotent-replayed"] == "true"
        assert made(sandbox) == 2
