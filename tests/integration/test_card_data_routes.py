"""Card data is detected over HTTP wherever it could be stored or sent on."""

import base64
import itertools
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from litestar import Litestar
from litestar.routes import HTTPRoute

from payments_adapters.jwt import KeySet, issue
from payments_core import Email, UserId
from payments_core.caller import ADMIN_SCOPE
from payments_service.container import build_container
from payments_service.http.app import create_app
from payments_service.http.requests import HttpRequest, no_body
from payments_service.settings import Settings
from support import databases
from support.events import SUCCEEDED, event
from support.plain_http import TLS
from support.service import AUDIENCE, ISSUER, ServiceProcess, World

CARD = "4242424242424242"
IN_BASE64 = base64.urlsafe_b64encode(f'["users","{CARD}"]'.encode()).decode()


def token_of(world: World, user: str, jti: str, scopes: tuple[str, ...] = ()) -> str:
    return issue(
        KeySet.from_jwks(world.jwks),
        issuer=ISSUER,
        audience=AUDIENCE,
        user_id=UserId(user),
        email=Email.of(f"{user}@example.com"),
        scopes=scopes,
        at=datetime.now(UTC),
        lifetime=timedelta(hours=1),
        jti=jti,
    )


def asks(service: ServiceProcess, user: str, token: str) -> int:
    return service.call("GET", f"/users/{user}/payment-status", token).status_code


def code_of(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


def kept(service: ServiceProcess, table: str) -> int:
    """Return how many rows of a table contain the number."""
    sql = f"select 1 from {table} t where t::text like $1"  # noqa: S608  # ours
    url = service.world.database_url
    return len(databases.run(databases.fetch(url, sql, f"%{CARD}%")))


# Ids and tokens


def test_t47_t58_a_token_dies_whatever_digits_it_is_called_by(
    service: ServiceProcess,
) -> None:
    """
    The users service chose the token's id: it is revoked by its text and by its name.
    """
    world = service.world
    admin = world.admin()
    first = token_of(world, "digits", CARD)
    second = token_of(world, "digits", f"{CARD}-5555555555554444")
    assert [asks(service, "digits", it) for it in (first, second)] == [200, 200]

    killed = service.call("POST", "/tokens/invalidate", first, {"token": first})
    by_name = {
        "issuer": ISSUER,
        "jti": f"{CARD}-5555555555554444",
        "expires_at": "2030-01-01T00:00:00Z",
    }
    named = service.call("POST", "/tokens/invalidate", admin, by_name)

    assert (killed.status_code, named.status_code) == (200, 200)
    assert [asks(service, "digits", it) for it in (first, second)] == [401, 401]


def test_t58_the_list_goes_on_behind_a_token_that_is_called_by_digits(
    service: ServiceProcess,
) -> None:
    """
    A cursor contains the id of the last row, in base64.
    """
    admin = service.world.admin()
    for number in (CARD, "9999"):
        body = {
            "issuer": "zz-digits",
            "jti": number,
            "expires_at": "2030-01-01T00:00:00Z",
        }
        assert service.call("POST", "/tokens/invalidate", admin, body).is_success

    found, cursor = [], ""
    for _ in itertools.count():
        path = f"/tokens/invalidated?limit=1{cursor and '&cursor=' + cursor}"
        page = service.call("GET", path, admin).raise_for_status().json()
        found += [it["jti"] for it in page["items"] if it["issuer"] == "zz-digits"]
        if (cursor := page["next_cursor"]) is None:
            break

    assert found == [CARD, "9999"]


def test_t58_a_user_may_be_called_by_digits(service: ServiceProcess) -> None:
    """
    In a path, in a body that names a user, and in their own token.
    """
    admin = service.world.admin()
    charge = event(SUCCEEDED, "digits", customer=None)
    assert service.post_event(charge).json() == {"outcome": "applied"}
    payment = charge["data"]["object"]["id"]
    body = {"user_id": CARD, "reason": "seen on the receipt"}

    service.register(CARD, f"{CARD[:4]}@example.com")
    read = service.call("GET", f"/users/{CARD}/payment-status", admin)
    linked = service.call("POST", f"/payments/{payment}/link", admin, body)
    own = service.world.token(CARD)
    died = service.call("POST", f"/users/{CARD}/tokens/invalidate", own)

    assert (read.status_code, read.json()["user_id"]) == (200, CARD)
    assert (linked.status_code, linked.json()["user_id"]) == (200, CARD)
    assert died.status_code == 200


def test_t58_the_reason_beside_an_id_is_judged(service: ServiceProcess) -> None:
    """
    It would be stored; card data instead of an id is refused too.
    """
    admin = service.world.admin()
    link = "/payments/ch_unknown/link"
    reason = {"user_id": "ada", "reason": f"card {CARD}"}
    deeper = {"token": {"number": CARD}}

    answers = [
        service.call("POST", link, admin, reason),
        service.call("POST", "/tokens/invalidate", admin, deeper),
        service.call("POST", "/tokens/invalidate", admin, {CARD: "x"}),
    ]

    assert [code_of(it) for it in answers] == [(422, "card_data_refused")] * 3
    assert all(CARD not in it.text for it in answers)


# Headers and queries


def test_t58_of_headers_only_an_idempotency_key_is_judged(
    service: ServiceProcess,
) -> None:
    """
    No other header is stored or sent on; a request id with such digits is replaced.
    """
    token = token_of(service.world, "headers", "headers")
    url = f"{service.url}/users/headers"
    authorized = {"Authorization": f"Bearer {token}"}

    other = httpx.get(
        f"{url}/payment-status",
        headers={**authorized, "X-Trace": CARD, "X-Request-Id": CARD},
        verify=TLS,
    )
    key = httpx.post(
        f"{url}/card-setup",
        headers={**authorized, "Idempotency-Key": CARD},
        verify=TLS,
    )

    assert other.status_code == 200
    assert other.headers["x-request-id"] != CARD
    assert code_of(key) == (422, "card_data_refused")
    assert kept(service, "intents") == 0


@pytest.mark.parametrize(
    ("query", "is_refused"),
    [
        (f"limit={CARD}", True),
        (f"{CARD}", True),
        ("q=my+card+is+4242+4242+4242+4242", True),
        ("a=4242&b=4242&c=4242&d=4242", True),
        ("a=4242&a=4242&a=4242&a=4242", True),
        (f"q={IN_BASE64}", True),
        ("cvc=", True),
        (f"cursor={IN_BASE64}", False),
        ("limit=10", False),
    ],
)
def test_t58_a_query_is_judged_but_for_its_cursor(
    service: ServiceProcess, query: str, *, is_refused: bool
) -> None:
    """
    Queries are written to the logs of proxies.
    """
    answer = service.call("GET", f"/tokens/invalidated?{query}", service.world.admin())

    assert (answer.status_code == 422) is is_refused
    if is_refused:
        assert answer.json()["errors"][0]["pointer"] == "/query"
        assert CARD not in answer.text


# Every body


WITHOUT_BODY = [
    ("GET", "/users/bodies/payment-status"),
    ("HEAD", "/users/bodies/payment-status"),
    ("GET", "/users/bodies/subscriptions"),
    ("GET", "/users/bodies/subscriptions/sub_1"),
    ("DELETE", "/users/bodies/subscriptions/sub_1"),
    ("POST", "/users/bodies/card-setup"),
    ("POST", "/users/bodies/tokens/invalidate"),
    ("GET", "/tokens/invalidated"),
    ("GET", "/users"),
    ("GET", "/users/bodies/payments"),
    ("GET", "/users/bodies/timeline"),
    ("GET", "/payments/ch_1/link"),
    ("GET", "/intents/00000000-0000-0000-0000-000000000000"),
]


@pytest.mark.parametrize(("method", "path"), WITHOUT_BODY)
@pytest.mark.parametrize("is_chunked", [False, True])
def test_t58_a_route_that_reads_no_body_refuses_one(
    service: ServiceProcess, method: str, path: str, *, is_chunked: bool
) -> None:
    """
    Whatever else is in the body; nothing is done.
    """
    content: Any = f'{{"number": "{CARD}"}}'.encode()
    token = token_of(service.world, "bodies", "bodies", (ADMIN_SCOPE,))

    answer = httpx.request(
        method,
        service.url + path,
        content=iter([content]) if is_chunked else content,
        headers={"Authorization": f"Bearer {token}"},
        verify=TLS,
    )

    assert answer.status_code == 400
    assert method == "HEAD" or answer.json()["code"] == "invalid_body"
    assert asks(service, "bodies", token) == 200


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/metrics"])
def test_t58_the_ops_port_takes_no_body(service: ServiceProcess, path: str) -> None:
    """
    As on every route that reads no body.
    """
    answer = httpx.request(
        "GET", service.ops_url + path, content=CARD.encode(), verify=TLS
    )

    assert code_of(answer) == (400, "invalid_body")


@pytest.mark.parametrize("content", [b"", b"{}", b" {\n} "])
def test_an_empty_body_is_none(service: ServiceProcess, content: bytes) -> None:
    """
    Clients send one without being told to.
    """
    user = f"empty{len(content)}"
    token = token_of(service.world, user, "empty")

    answer = httpx.request(
        "GET",
        f"{service.url}/users/{user}/payment-status",
        content=content,
        headers={
            "Authorization": f"Bearer {token}",
            "Content-Length": str(len(content)),
        },
        verify=TLS,
    )

    assert answer.status_code == 200


def test_t58_every_route_of_callers_judges_its_body_or_refuses_one() -> None:
    """
    A new route, too.
    """
    settings = Settings.from_env(World("postgresql://nobody@127.0.0.1:1/no").env(0, 0))
    app = create_app(build_container(settings)).app
    assert isinstance(app, Litestar)

    handlers = [
        handler
        for route in app.routes
        if isinstance(route, HTTPRoute)
        for handler in route.route_handlers
        if handler.http_methods != {"OPTIONS"}
    ]

    assert len(handlers) > 10
    for handler in handlers:
        hook = handler.resolve_before_request()
        reads = "data" in handler.parsed_fn_signature.parameters
        assert reads is not (hook is no_body), handler.handler_name
        assert handler.resolve_request_class() is HttpRequest
