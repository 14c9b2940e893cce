"""The network between a client and the sandbox: what goes wrong there, and is refused.

Over real HTTP and by a plain client: nothing here hides or repeats anything.
"""

import asyncio
import base64
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import attrs
import httpx
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from litestar import Litestar

from payments_sandbox import Fault, Sandbox
from payments_sandbox.api import BODY_BYTES_MAX, ApiRequest, ApiResponse
from payments_sandbox.chaos import CALL_FAULTS
from payments_sandbox.generations import NEWEST
from support.receiver import receiving
from support.sandbox import conforming

CUSTOMERS: Final = "/v1/customers"
CALL: Final = f"POST {CUSTOMERS}"
WAIT_S_MAX: Final = 30.0
# For an answer that does not come; one that comes has all the time.
PATIENCE_S: Final = 0.3
TRIES_MAX: Final = 10_000
FORM: Final = "application/x-www-form-urlencoded"


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with conforming(seed=7) as sandbox:
        yield sandbox


@pytest.fixture
def client(sandbox: Sandbox) -> Iterator[httpx.Client]:
    with client_of(sandbox) as client:
        yield client


# One for all who ask for what no client of Stripe's would; so it is not checked.
@pytest.fixture(scope="module")
def steady() -> Iterator[Sandbox]:
    with Sandbox(seed=7) as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def asker(steady: Sandbox) -> Iterator[httpx.Client]:
    with client_of(steady) as client:
        yield client


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def client_of(sandbox: Sandbox) -> httpx.Client:
    return httpx.Client(
        base_url=sandbox.url, headers=bearer(sandbox.api_key), timeout=WAIT_S_MAX
    )


def create(client: httpx.Client, key: str, **options: Any) -> httpx.Response:
    """Ask for a customer, by an idempotency key."""
    headers = {"Idempotency-Key": key}
    return client.post(CUSTOMERS, data={"name": "Ada"}, headers=headers, **options)


def settled(client: httpx.Client, key: str) -> httpx.Response:
    """Ask again, until the first request with this key is over."""
    for _ in range(TRIES_MAX):
        if (answer := create(client, key)).status_code != 409:
            return answer
    raise AssertionError("the first request is never over")


def hearing(sandbox: Sandbox) -> threading.Event:
    """Return what is set as soon as the sandbox has carried a call out."""
    heard, conformance = threading.Event(), sandbox.engine.watch

    def watch(request: ApiRequest, response: ApiResponse) -> None:
        conformance(request, response)
        heard.set()

    sandbox.engine.watch = watch
    return heard


def made(sandbox: Sandbox) -> int:
    return len(sandbox.objects("customer"))


def assert_refused(answer: httpx.Response, status: int = 400) -> None:
    """Assert an error as Stripe writes them."""
    assert (answer.status_code, answer.headers["content-type"]) == (
        status,
        "application/json",
    ), answer.text[:200]
    error = answer.json()["error"]
    assert error["type"] == "invalid_request_error"
    assert error["message"]
    assert answer.headers["request-id"].startswith("req_")


# Calls that meet a fault


@attrs.frozen
class Outcome:
    """What a client sees, how many customers there are then, and the same later on.

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
    # A 500 is kept under its key: asking again tells nothing new.
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
    Whether it was made or not, asking again with the same key never makes two; a new
    key always makes one more.
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
    It takes longer than the pauses between its pieces, and is the answer of always.
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
    As long as the webhook is not answered, the call that caused it is not either.
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
    Of what was made while nobody heard of it, the webhook tells.
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
    By method and path, after those that it lets pass, and as often as it was told.
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
    With a fault in half of all calls, whoever keeps to the key gets one customer each.
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
    While the first request is under way the second one with its key is refused, and
    one with another key is not; afterwards it gets the first one's answer.
    """
    heard = hearing(sandbox)
    sandbox.plan("timeout_after", CALL)
    async with httpx.AsyncClient(
        base_url=sandbox.url, headers=bearer(sandbox.api_key), timeout=WAIT_S_MAX
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


# Who may ask, and in which version


def test_only_the_sandboxes_own_key_is_taken(
    steady: Sandbox, asker: httpx.Client
) -> None:
    """
    Bearer or Basic, with the one key; none, a wrong and a live one are 401, and the
    answer does not repeat them.
    """
    key = steady.api_key
    basic = base64.b64encode(f"{key}:".encode()).decode()
    for good in (f"Bearer {key}", f"bearer {key}", f"Basic {basic}"):
        answer = asker.get(CUSTOMERS, headers={"Authorization": good})
        assert answer.status_code == 200, good
    live = key.replace("test", "live")
    for bad in (
        "",
        "Bearer",
        key,
        f"Bearer {key[:-1]}",
        f"Bearer {key}x",
        f"Bearer {live}",
        f"Basic {base64.b64encode(live.encode()).decode()}",
        "Basic nonsense!",
        "Basic /////w==",
        f"Digest {key}x",
    ):
        answer = asker.get(CUSTOMERS, headers={"Authorization": bad})
        assert_refused(answer, 401)
        assert key[8:] not in answer.text
    with httpx.Client(base_url=steady.url) as nobody:
        assert_refused(nobody.post(CUSTOMERS), 401)
        assert_refused(nobody.get("/v1/nothing"), 401)


def test_an_unknown_version_is_refused(steady: Sandbox, asker: httpx.Client) -> None:
    """
    What the sandbox cannot render it does not pretend to; without a version it is the
    newest.
    """
    count = made(steady)
    for version in (
        "2019-12-03",
        "2026-10-28",
        "2026-10-28.fantasia",
        "2099-01-01.endive",
        "2025-03-31.basil; preview=v1",
        "x" * 5000,
    ):
        answer = asker.post(CUSTOMERS, headers={"Stripe-Version": version})
        assert_refused(answer)
    assert made(steady) == count
    assert asker.get(CUSTOMERS).headers["stripe-version"] == NEWEST
    old = asker.get(CUSTOMERS, headers={"Stripe-Version": "2025-03-31.basil"})
    assert old.headers["stripe-version"] == "2025-03-31.basil"


# Bodies that cannot be read

BODIES: Final[dict[str, tuple[bytes, str]]] = {
    "JSON": (b'{"name": "Ada"}', "application/json"),
    "a file": (b"--x\r\n", "multipart/form-data; boundary=x"),
    "too long": (b"name=" + b"x" * BODY_BYTES_MAX, FORM),
    "not UTF-8": (b"name=\xff\xfe", FORM),
    "not UTF-8, escaped": (b"name=%ff%fe", FORM),
    "a surrogate, escaped": (b"name=%ed%a0%80", FORM),
    "nested deeply": (b"metadata" + b"[x]" * 10_000 + b"=1", FORM),
    "nested a little too deeply": (b"metadata" + b"[x]" * 8 + b"=1", FORM),
    "10,000 fields": (b"&".join(b"metadata[%d]=1" % it for it in range(10_000)), FORM),
    "900 unknown names": (b"&".join(b"x%d=1" % it for it in range(900)), FORM),
    "no name": (b"=1", FORM),
    "a bracket too many": (b"metadata[x]]=1", FORM),
    "a bracket too few": (b"metadata[x=1", FORM),
    "a text and a hash": (b"metadata=1&metadata[x]=1", FORM),
    "a hash and a text": (b"metadata[x]=1&metadata=1", FORM),
    "a hash where a text is": (b"name[x]=1", FORM),
    "a list where a text is": (b"name[]=1", FORM),
    "a text where a hash is": (b"address=1", FORM),
    "a digit of another script": ("expand[²]=1".encode(), FORM),
    "an index of 5,000 digits": (b"expand[" + b"9" * 5_000 + b"]=1", FORM),
    "a number of 5,000 digits": (b"balance=" + b"9" * 5_000, FORM),
    "more than an int": (b"balance=9223372036854775808", FORM),
    "not a number": (b"balance=NaN", FORM),
    "an unknown name": (b"nmae=Ada", FORM),
    "a backtick": (b"%60=1", FORM),
    "what cannot be expanded": (b"expand[]=id", FORM),
    "expanded for ever": (b"expand[]=" + b"data." * 5_000, FORM),
}


@pytest.mark.parametrize("name", BODIES)
def test_a_body_that_cannot_be_read_is_a_400(
    steady: Sandbox, asker: httpx.Client, name: str
) -> None:
    """
    Never a 500, never ignored, and nothing is made of it.
    """
    body, kind = BODIES[name]
    before = made(steady), len(steady.events())

    answer = asker.post(CUSTOMERS, content=body, headers={"Content-Type": kind})

    assert_refused(answer)
    assert (made(steady), len(steady.events())) == before
    assert len(answer.content) < 2_000


def test_a_body_of_any_length_is_read_to_its_end(asker: httpx.Client) -> None:
    """
    Too long even without saying how long: refused as too long, and the connection is
    good for the next request.
    """
    pieces = (b"x" * 65_536 for _ in range(40))

    answer = asker.post(CUSTOMERS, content=pieces)

    assert_refused(answer)
    assert str(BODY_BYTES_MAX) in answer.json()["error"]["message"]
    assert asker.get(CUSTOMERS).status_code == 200


def test_parameters_have_one_place(asker: httpx.Client) -> None:
    """
    A POST takes them in its body, a GET in its query; an address that is unknown, or
    known with another method only, is a 404.
    """
    assert_refused(asker.post(f"{CUSTOMERS}?name=Ada"))
    assert_refused(asker.get(f"{CUSTOMERS}?limit=0"))
    assert_refused(asker.get(f"{CUSTOMERS}?limit=1&limitt=1"))
    for method, path in (
        ("GET", "/v1/"),
        ("GET", "/v1/nothing"),
        ("PUT", CUSTOMERS),
        ("PATCH", CUSTOMERS),
        ("DELETE", CUSTOMERS),
        ("POST", "/v1/customers/search"),
        ("GET", "/v1/customers/%00%ff%2f..%2f"),
    ):
        assert_refused(asker.request(method, path), 404)


QUERIES: Final = (
    "",
    "nonsense",
    "email",
    "email:",
    "planet:'Earth'",
    "metadata:'x'",
    "email['x']:'y'",
    "created>soon",
    "created>²",
    "email:'a' OR email:'b' AND email:'c'",
    "email:'a' XOR",
    'email:"' + "\\" * 1_000,
    "email:'" + "\\'" * 500,
    "x" * 3_000,
)


@pytest.mark.parametrize("query", QUERIES, ids=range(len(QUERIES)))
def test_a_search_that_cannot_be_read_is_a_400(asker: httpx.Client, query: str) -> None:
    """
    At once: no query keeps the sandbox busy.
    """
    assert_refused(asker.get(f"{CUSTOMERS}/search", params={"query": query}))


def test_a_page_that_is_no_page_is_a_400(asker: httpx.Client) -> None:
    for page in ("x", "-1", "²", "9" * 5_000):
        params = {"query": "email:'a'", "page": page}
        assert_refused(asker.get(f"{CUSTOMERS}/search", params=params))


_PIECES: Final = st.sampled_from(
    [
        *(
            "name",
            "metadata",
            "expand",
            "balance",
            "address",
            "email",
            "invoice_settings",
        ),
        *(
            "[",
            "]",
            "[]",
            "[0]",
            "[x]",
            "=",
            "&",
            "+",
            "%",
            "%00",
            "%ff",
            "%c3%a9",
            "²",
        ),
        *(
            "0",
            "1",
            "-1",
            "1e3",
            "true",
            "null",
            "\\",
            "`",
            "'",
            '"',
            "\n",
            "é",
            ".",
            " ",
        ),
    ]
)
SOUP: Final = st.lists(_PIECES, max_size=12).map("".join).map(str.encode)


@given(body=st.binary(max_size=60) | SOUP)
@example(body=b"expand[\xc2\xb2]=1")
@settings(max_examples=150)
def test_no_body_is_a_500(asker: httpx.Client, body: bytes) -> None:
    """
    Whatever the bytes: they are carried out, or refused as Stripe does.
    """
    answer = asker.post(CUSTOMERS, content=body, headers={"Content-Type": FORM})

    assert answer.status_code in (200, 400)
    assert answer.json()["object" if answer.status_code == 200 else "error"]


# What only the owner may do


def test_every_control_needs_the_key(sandbox: Sandbox, client: httpx.Client) -> None:
    """
    Without it nothing can be read or changed, at no address; with it, all of them
    answer.
    """
    control = sandbox.app._control
    assert isinstance(control, Litestar)
    asked = [
        (method, route.path)
        for route in control.routes
        for method in getattr(route, "methods", ())
        if method != "OPTIONS"
    ]
    assert ("POST", "/_sandbox/reset") in asked
    assert len(asked) >= 10
    create(client, "before")
    before = sandbox.state()

    with httpx.Client(base_url=sandbox.url) as nobody:
        for method, path in asked:
            for headers in (
                {},
                bearer("sk_test_wrong"),
                {"Authorization": f"Basic {sandbox.api_key}"},
                {"Authorization": sandbox.api_key},
            ):
                answer = nobody.request(method, path, json={}, headers=headers)
                assert answer.status_code == 401, (method, path)
                assert sandbox.api_key not in answer.text
    assert sandbox.state() == before
    for method, path in asked:
        answer = client.request(method, path, json={})
        assert answer.status_code in (200, 400), (method, path)


def test_a_control_refuses_what_it_does_not_know(
    sandbox: Sandbox, client: httpx.Client
) -> None:
    """
    A mistake is a 400 or 404 with a sentence, and nothing happens.
    """
    before = sandbox.state()
    for path, body in (
        ("advance", {"until": "1 fortnight"}),
        ("advance", {"until": sandbox.engine.now - 1}),
        ("advance", {"until": True}),
        ("chaos", {"rates": {"slow": 1.5}}),
        ("chaos", {"rates": {"earthquake": 1}}),
        ("chaos", {"plans": [{"fault": "slow", "times": 0}]}),
        ("chaos", {"clam": True}),
        ("trigger", {"type": "moon.landed", "user": "ada"}),
        ("authenticate", {"intent": "pi_nothing"}),
        ("card", {"payment_method": "pm_nothing"}),
        ("roll-secret", {"endpoint": "we_nothing"}),
    ):
        answer = client.post(f"/_sandbox/{path}", json=body)
        assert answer.status_code in (400, 404), (path, body, answer.text)
        assert answer.json()["error"]["message"]
    assert client.get("/_sandbox/nothing").status_code == 404
    assert client.get("/").status_code == 404
    assert sandbox.state() == before


def test_the_controls_do_what_the_sandbox_does(
    sandbox: Sandbox, client: httpx.Client
) -> None:
    """
    Time, triggers, cards, chaos and the log, over HTTP.
    """

    def control(path: str, **body: Any) -> Any:
        answer = client.post(f"/_sandbox/{path}", json=body)
        return answer.raise_for_status().json()

    happened = control("trigger", type="customer.subscription.created", user="ada")
    assert "invoice.paid" in happened["events"]
    now = sandbox.engine.now
    assert control("advance", until="1 day") == {"now": now + 86_400}
    [card] = sandbox.objects("payment_method")
    control("card", payment_method=card["id"], declines="lost_card")
    control("advance", until="2 months")
    assert sandbox.objects("charge")[-1]["failure_code"] == "card_declined"
    planned = control("chaos", plans=[{"fault": "rate_limited", "matches": "GET *"}])
    assert planned["planned"] == 1
    assert client.get(CUSTOMERS).status_code == 429
    log = client.get("/_sandbox/events", params={"kind": "charge.failed"}).json()
    assert {it["type"] for it in log} == {"charge.failed"}
    assert control("reset")["objects"] == {}
    assert sandbox.objects("charge") == []
