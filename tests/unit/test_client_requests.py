"""The client's requests: what is sent, what is retried, and what errors say."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from payments_client import (
    ClientError,
    FeatureAccess,
    KeysAt,
    NotAllowed,
    NotAuthenticated,
    NotFound,
    PaymentsClient,
    RateLimited,
    Refused,
    Unavailable,
)
from payments_client.client import RETRIES_MAX, RETRY_AFTER_MAX_S

pytestmark = pytest.mark.anyio

BASE = "http://payments.test/payments-gateway/api"
STATUS = {
    "user_id": "ada",
    "email": "ada@example.com",
    "payment_status": "paid",
    "payment_expire_date": "2026-12-28T00:00:00Z",
    "entitled": True,
    "card": {"brand": "visa", "last4": "4242", "exp_month": 12, "exp_year": 2030},
    "subscriptions": [],
}

Answer = Callable[[httpx.Request], httpx.Response]


class Service:
    """Gives its answers one after the other, then the last one for ever."""

    def __init__(self, *answers: httpx.Response | Exception) -> None:
        self.answers = [*answers]
        self.requests: list[httpx.Request] = []
        self.slept: list[float] = []

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        left = self.answers
        answer = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)

    def client(self, *tokens: Any, **more: Any) -> PaymentsClient:
        transport = httpx.MockTransport(self)
        [token] = tokens or ["t"]
        return PaymentsClient(
            BASE, token, transport=transport, sleep=self.sleep, **more
        )


def ok(body: Any) -> httpx.Response:
    return httpx.Response(200, json=body)


def problem(status: int, code: str, **headers: str) -> httpx.Response:
    body = {
        "type": f"urn:payments-gateway:problem:{code}",
        "status": status,
        "detail": "it is so",
        "code": code,
        "request_id": "r1",
        "errors": [{"pointer": "/user", "reason": "no e-mail"}],
    }
    told = {"content-type": "application/problem+json", **headers}
    return httpx.Response(status, json=body, headers=told)


async def test_a_status_is_read_with_its_types() -> None:
    """
    Unknown fields of a later service are ignored.
    """
    told = {**STATUS, "mood": "good", "card": {**STATUS["card"], "wallet": None}}  # type: ignore[dict-item]  # a literal's
    service = Service(ok(told))
    async with service.client() as client:
        status = await client.payment_status("ada/b@example.com")

    assert (status.payment_status, status.entitled) == ("paid", True)
    assert status.payment_expire_date == datetime(2026, 12, 28, tzinfo=UTC)
    assert status.card is not None
    assert status.card.last4 == "4242"
    [request] = service.requests
    assert request.headers["authorization"] == "Bearer t"
    # One segment of the path, whatever it contains.
    assert request.url.raw_path.decode() == (
        "/payments-gateway/api/users/ada%2Fb%40example.com/payment-status"
    )


async def test_a_feature_is_asked_for_by_its_name() -> None:
    """
    Encoded in the query.
    """
    service = Service(ok({"user_id": "ada", "feature": "a&b", "granted": True}))
    found = await service.client().feature("ada", "a&b")
    assert found == FeatureAccess(feature="a&b", granted=True)
    assert dict(service.requests[0].url.params) == {"feature": "a&b"}


async def test_all_access_is_read() -> None:
    """
    By feature and by product, with the reason.
    """
    until, because = "2026-12-28T00:00:00Z", {"kind": "paid_period", "id": "in_1"}
    given = {"granted": True, "until": until, "product": "pro", "because": because}
    body = {
        "user_id": "ada",
        "entitled": True,
        "entitled_until": until,
        "catalogue": "abc",
        "products": [given],
        "features": [{"feature": "reports", **given}],
    }
    found = await Service(ok(body)).client().access("ada")
    [feature] = found.features
    assert (feature.feature, feature.granted, feature.product) == (
        "reports",
        True,
        "pro",
    )
    assert feature.because is not None
    assert feature.because.id == "in_1"
    assert found.products[0].until == datetime(2026, 12, 28, tzinfo=UTC)


@pytest.mark.parametrize("is_async", [False, True])
async def test_a_token_may_be_made_for_each_request(*, is_async: bool) -> None:
    """
    By a function or a coroutine function, because tokens expire.
    """
    made = iter(["one", "two"])

    async def later() -> str:
        return next(made)

    service = Service(ok(STATUS))
    client = service.client(later if is_async else lambda: next(made))
    await client.payment_status("ada")
    await client.payment_status("ada")
    sent = [it.headers["authorization"] for it in service.requests]
    assert sent == ["Bearer one", "Bearer two"]


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, Refused),
        (401, NotAuthenticated),
        (403, NotAllowed),
        (404, NotFound),
        (409, Refused),
        (429, RateLimited),
    ],
)
async def test_a_problem_is_an_error_with_its_code(
    status: int, kind: type[Refused]
) -> None:
    """
    And the field, and the id by which the service logged it. It is sent once.
    """
    service = Service(problem(status, "its_code", **{"retry-after": "4"}))
    with pytest.raises(kind) as refused:
        await service.client().payment_status("ada")
    error = refused.value
    assert type(error) is kind
    assert (error.status, error.code) == (status, "its_code")
    assert (error.field, error.request_id) == ("/user", "r1")
    assert error.retry_after_s == 4
    assert str(error) == "its_code: it is so"
    assert len(service.requests) == 1


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(200, text="<html>"),
        httpx.Response(200, json={"user_id": 1}),
        httpx.Response(200, content=b'{"user_id": "\xff"}'),
        httpx.Response(302, headers={"location": "http://other.test"}),
        httpx.Response(418, text="a proxy's"),
        httpx.Response(
            409, text="{", headers={"content-type": "application/problem+json"}
        ),
        httpx.Response(500, text="a proxy's"),
        problem(500, "internal_error"),
    ],
)
async def test_an_answer_of_no_use_is_none(answer: httpx.Response) -> None:
    """
    From a proxy, or of another shape; nothing is retried.
    """
    service = Service(answer)
    with pytest.raises(Unavailable) as error:
        await service.client().payment_status("ada")
    assert error.value.status == answer.status_code
    assert len(service.requests) == 1


@pytest.mark.parametrize("status", [401, 403, 404])
async def test_a_refusal_of_a_proxy_is_one(status: int) -> None:
    """
    It has no code, and the reason is the status.
    """
    with pytest.raises(Refused) as error:
        await Service(httpx.Response(status)).client().payment_status("ada")
    assert (error.value.status, error.value.code) == (status, "")


@pytest.mark.parametrize(
    "fault",
    [
        httpx.ConnectError("refused"),
        httpx.ConnectTimeout("slow"),
        httpx.ReadError("reset"),
        httpx.RemoteProtocolError("cut off"),
        problem(503, "account_busy", **{"retry-after": "1"}),
    ],
)
async def test_a_reading_is_made_again_a_few_times(fault: Any) -> None:
    """
    If the connection failed, or if the service says when to retry.
    """
    service = Service(*[fault] * RETRIES_MAX, ok(STATUS))
    await service.client().payment_status("ada")
    assert len(service.requests) == RETRIES_MAX + 1
    assert service.slept == sorted(service.slept)

    service = Service(*[fault] * (RETRIES_MAX + 1), ok(STATUS))
    with pytest.raises(Unavailable):
        await service.client().payment_status("ada")
    assert len(service.requests) == RETRIES_MAX + 1


@pytest.mark.parametrize(
    "fault",
    [
        httpx.ReadTimeout("slow"),
        problem(503, "busy"),
        problem(503, "busy", **{"retry-after": str(int(RETRY_AFTER_MAX_S) + 1)}),
        problem(503, "busy", **{"retry-after": "Sat, 28 Nov 2026 10:00:00 GMT"}),
        problem(504, "abandoned", **{"retry-after": "1"}),
    ],
)
async def test_a_reading_is_not_made_again_without_a_reason(fault: Any) -> None:
    """
    Not after a time-out, nor if the answer says no time, or a long one.
    """
    service = Service(fault, ok(STATUS))
    with pytest.raises(Unavailable):
        await service.client().payment_status("ada")
    assert len(service.requests) == 1


@pytest.mark.parametrize(
    "fault",
    [
        httpx.ConnectError("refused"),
        problem(503, "gateway_busy", **{"retry-after": "1"}),
    ],
)
async def test_a_sync_is_never_made_again(fault: Any) -> None:
    """
    It costs calls: the application decides.
    """
    service = Service(fault, ok(STATUS))
    client = service.client()
    with pytest.raises(Unavailable):
        await client.sync("ada")
    assert (await client.sync("ada")).entitled
    assert [it.method for it in service.requests] == ["POST", "POST"]
    assert service.requests[0].url.path.endswith("/users/ada/sync")


async def test_a_request_ends_by_its_deadline() -> None:
    """
    However slowly its answer arrives.
    """

    async def half() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.Event().wait()

    service = Service(httpx.Response(200, content=half()))
    with pytest.raises(Unavailable) as error:
        await service.client(timeout_s=0.01).payment_status("ada")
    assert error.value.status is None
    assert len(service.requests) == 1


async def test_a_page_of_the_feed_says_what_is_wanted() -> None:
    """
    Without a place it is read from the beginning; the time-out is longer than the wait.
    """
    service = Service(ok({"changes": [], "next": "7", "has_more": False}))
    client = service.client()
    assert (await client.feed(latest=True)).next == "7"
    await client.feed("7", limit=5, wait_s=20)
    first, second = (dict(it.url.params) for it in service.requests)
    assert first == {"limit": "1000", "wait_s": "0", "latest": "true"}
    assert second == {"after": "7", "limit": "5", "wait_s": "20"}
    assert service.requests[1].extensions["timeout"]["read"] > 20


@pytest.mark.parametrize("code", ["not_found", None])
async def test_a_wrong_address_is_hinted_at(code: str | None) -> None:
    """
    No route of the service gives such an answer, or another program answers.
    """
    answer = problem(404, code) if code else httpx.Response(404, text="none")
    with pytest.raises(NotFound, match="base_url ends with /payments-gateway/api"):
        await Service(answer).client().payment_status("ada")
    with pytest.raises(NotFound) as known:
        await Service(problem(404, "account_not_found")).client().access("ada")
    assert "base_url" not in str(known.value)


@pytest.mark.parametrize(
    "base_url",
    [
        "",
        "payments.test/payments-gateway/api",
        "ftp://payments.test",
        "http://",
        "https:///api",
        "http://payments.test:none",
        "http://user:hidden@",
    ],
)
def test_what_is_no_address_is_refused(base_url: str) -> None:
    """
    When the client is made, with the name of the parameter.
    """
    with pytest.raises(ValueError, match=r"^base_url ") as error:
        PaymentsClient(base_url, "t")
    assert "hidden" not in str(error.value)
    with pytest.raises(ValueError, match=r"^url "):
        KeysAt(base_url)


@pytest.mark.parametrize("token", ["", " \n"])
def test_an_empty_token_is_refused(token: str) -> None:
    """
    For example, an environment variable that is set and empty.
    """
    with pytest.raises(ValueError, match=r"^token is empty$"):
        PaymentsClient(BASE, token)


def caused(error: Exception, cause: BaseException) -> Exception:
    error.__cause__ = cause
    return error


UNTRUSTED = ssl.SSLCertVerificationError(1, "failed")
UNTRUSTED.verify_message = "self-signed"


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (
            caused(httpx.ConnectError("x"), ConnectionRefusedError(111, "refused")),
            "cannot be reached: connection refused",
        ),
        (
            caused(
                httpx.ConnectError("x"),
                ExceptionGroup("all", [OSError(113, "No route to host")]),
            ),
            "cannot be reached: no route to host",
        ),
        (
            caused(httpx.ConnectError("x"), socket.gaierror(-2, "unknown")),
            "cannot be reached: the host name cannot be resolved",
        ),
        (
            caused(httpx.ConnectError("x"), UNTRUSTED),
            "cannot be reached: its certificate is not trusted: self-signed",
        ),
        (
            caused(httpx.ConnectError("x"), ssl.SSLError(1, "wrong version")),
            "cannot be reached: a TLS connection cannot be made",
        ),
        (httpx.ConnectError("x"), "cannot be reached: no connection"),
        (httpx.ConnectTimeout("x"), "cannot be reached: no connection in time"),
        (httpx.ReadTimeout("x"), "does not answer in time"),
        (httpx.ReadError("x"), "does not answer: the connection was cut off"),
        (
            httpx.UnsupportedProtocol("x"),
            "cannot be called: the request cannot be sent",
        ),
        (httpx.Response(502), "answered HTTP 502"),
        (problem(500, "internal_error"), "answered internal_error: it is so"),
    ],
)
async def test_no_answer_says_from_where_and_why(fault: Any, reason: str) -> None:
    """
    In plain words, with the address, and without a password or a token.
    """
    service = Service(fault)
    client = PaymentsClient(
        "http://user:hidden@payments.test:8000/payments-gateway/api",
        "hidden-too",
        transport=httpx.MockTransport(service),
        retries_max=0,
    )
    with pytest.raises(Unavailable) as error:
        await client.payment_status("ada")
    assert str(error.value) == f"http://payments.test:8000 {reason}"


@pytest.mark.parametrize("wrong", [None, 7])
async def test_a_user_that_is_no_text_is_a_mistake(wrong: Any) -> None:
    """
    It names the parameter.
    """
    with pytest.raises(TypeError, match="user is not a str"):
        await Service(ok(STATUS)).client().payment_status(wrong)


@pytest.mark.parametrize("user", ["", ".", ".."])
async def test_no_user_is_no_path(user: str) -> None:
    """
    It would be a request to another route.
    """
    service = Service(ok(STATUS))
    with pytest.raises(ValueError, match="user is empty"):
        await service.client().payment_status(user)
    assert service.requests == []


def test_every_error_is_one_of_ours() -> None:
    """
    An application catches one class.
    """
    for kind in (NotAllowed, NotAuthenticated, NotFound, RateLimited, Unavailable):
        assert issubclass(kind, ClientError)


@pytest.mark.parametrize(
    "answer",
    [
        httpx.DecodingError("Error -3 while decompressing data"),
        httpx.Response(200, content=b'{"keys":' + b"[" * 100_000),
    ],
    ids=["a broken encoding", "nested too deeply"],
)
async def test_an_answer_that_cannot_be_read_is_none(
    answer: httpx.Response | Exception,
) -> None:
    """
    For a guarded route it counts as no answer, and no error of a library is raised.
    """
    service = Service(answer)
    transport = httpx.MockTransport(service)
    async with PaymentsClient(BASE, "token", transport=transport) as client:
        with pytest.raises(Unavailable):
            await client.feature("ada", "reports")
    with pytest.raises(Unavailable):
        await KeysAt(f"{BASE}/keys", transport=transport).keys()
