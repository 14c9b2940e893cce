"""Input that pretends to be another user, SQL, or a part of an answer."""

import json
import re
import socket
from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Any, Final
from urllib.parse import quote

import httpx
import pytest

from payments_service.http import bodies
from payments_service.http.problems import HttpProblem
from payments_service.http.requests import decoded
from support import databases
from support.openapi_calls import DOCUMENT, Operation, operations
from support.plain_http import TLS
from support.service_with_sandbox import Payer, ServiceWithSandbox

MARK: Final = "hostile7Qx"
# Fragments of SQL, HTTP, logs and formats; none is an e-mail or an id.
HOSTILE: Final = (
    f"{MARK}'; drop table payment_accounts; --",
    f"' or 1=1) union select '{MARK}' --",
    f"{MARK}\r\nX-Injected: 1\r\n\r\n",
    f"{MARK}\nX-Injected: 1\0",
    f"{MARK} %s {{0.__class__}} $1",
)
CALLS: Final = [it for it in operations() if not it.is_open]
NOBODY: Final = {
    "user": "nobody",
    "subscription": "sub-none",
    "intent": "none",
    "payment": "ch_none",
}
ANOTHER: Final = ("X-User-Id", "X-Forwarded-User", "X-Remote-User", "X-Original-URL")


@pytest.fixture(scope="module")
def bob(stack: ServiceWithSandbox) -> Payer:
    payer = stack.user()
    payer.subscribed()
    return payer


@pytest.fixture(scope="module")
def client(stack: ServiceWithSandbox) -> Iterator[httpx.Client]:
    with httpx.Client(
        base_url=stack.service.url, verify=TLS, timeout=30, trust_env=False
    ) as client:
        yield client


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


# Identity


def test_t43_nothing_but_the_token_says_who_calls(
    stack: ServiceWithSandbox, bob: Payer, client: httpx.Client
) -> None:
    """
    Another user in headers does not change an answer; in a query or a body the unknown
    name is refused.
    """
    eve = stack.user()
    own = {"payment-status": eve.status["user_id"], "subscriptions": None}
    headers = dict.fromkeys(ANOTHER, bob.id) | {"Cookie": f"user_id={bob.id}"}

    for path in own:
        plain = client.get(f"/users/{eve.id}/{path}", headers=bearer(eve.token))
        dressed = client.get(
            f"/users/{eve.id}/{path}", headers=headers | bearer(eve.token)
        )
        assert plain.status_code == dressed.status_code == 200
        assert plain.content == dressed.content
        refused = client.get(
            f"/users/{bob.id}/{path}", headers=headers | bearer(eve.token)
        )
        assert refused.status_code == 404
        for name in ("as", "user_id", "sub"):
            asked = client.get(
                f"/users/{eve.id}/{path}?{name}={bob.id}", headers=bearer(eve.token)
            )
            assert asked.status_code == 400
    for field in ("user_id", "user", "sub", "customer"):
        body = {"payment_method": "pm_card_visa", field: bob.id}
        sent = client.put(f"/users/{eve.id}/card", json=body, headers=bearer(eve.token))
        assert (sent.status_code, sent.json()["code"]) == (400, "invalid_body")


SHAPES: Final = (
    bodies.UserIn,
    bodies.LinkIn,
    bodies.UnlinkIn,
    bodies.CardIn,
    bodies.OrderIn,
    bodies.ChangeIn,
    bodies.PreviewIn,
    bodies.TokenIn,
)


def output_fields() -> set[str]:
    """Return each field of the service's answer."""
    schemas = DOCUMENT["components"]["schemas"]
    outputs = {name: it for name, it in schemas.items() if not name.endswith("In")}
    return {field for it in outputs.values() for field in it.get("properties", ())}


@pytest.mark.parametrize("shape", SHAPES, ids=lambda it: it.__name__)
def test_t45_no_field_of_an_answer_is_taken_in_a_body(shape: type[bodies.Body]) -> None:
    """
    Statuses, roles, amounts and gateway ids are decided by the service; this test knows
    the shape of every body.
    """
    known = set(shape.__struct_fields__)
    refused = output_fields() - known
    [example, *_] = shape.examples()
    body = {field: getattr(example, field) for field in shape.__struct_fields__}
    given = {name: it for name, it in body.items() if isinstance(it, str | int)}

    assert {"payment_status", "entitled", "status", "livemode"} & refused
    assert set(SHAPES) == set(bodies.Body.__subclasses__()) | {bodies.PreviewIn}
    for field in refused:
        with pytest.raises(HttpProblem) as raised:
            decoded(json.dumps({**given, field: "x"}).encode(), shape)
        assert raised.value.status == 400


def test_t46_an_answer_has_what_its_schema_names_and_nothing_raw() -> None:
    """
    Each object of the document names its fields; the only secret is the `client_secret`
    that its payer needs in the browser; a card has at most its last four digits.
    """
    schemas = DOCUMENT["components"]["schemas"]
    fields = {name: it.get("properties", {}) for name, it in schemas.items()}
    objects = [name for name, it in schemas.items() if it.get("type") == "object"]
    holders = {name for name, it in fields.items() if "client_secret" in it}

    assert [name for name in objects if not fields[name]] == []
    assert holders == {"CardSetUpOut", "CardUpdatedOut", "SubscribedOut"}
    secret = re.compile(
        r"secret|api_key|password|number|cvc|fingerprint|raw|body|token"
    )
    told = {field for field in output_fields() if secret.search(field)}
    assert told == {"client_secret"}


# Content


def places(operation: Operation) -> Iterator[tuple[str, str]]:
    """Yield the places where an operation takes text: kind and name."""
    for it in operation.told.get("parameters", ()):
        yield it["in"], it["name"]
    for body in operation.bodies({}):
        if isinstance(body, dict):
            yield from (
                ("body", name) for name, it in body.items() if isinstance(it, str)
            )


def sent(
    client: httpx.Client,
    operation: Operation,
    place: tuple[str, str],
    text: str,
    token: str,
) -> httpx.Response:
    kind, name = place
    ids = {**NOBODY, **({name: quote(text, safe="")} if kind == "path" else {})}
    query = {name: text} if kind == "query" else {}
    headers: dict[bytes, bytes] = {b"Authorization": f"Bearer {token}".encode()}
    if kind == "header":
        # Input that no client can send is sent below.
        headers[name.encode()] = re.sub(r"[\r\n\0]", "", text).encode()
    body: Any = operation.bodies({})[0]
    if kind == "body":
        body = next(it for it in operation.bodies({}) if name in it)
        body = {**body, name: text}
    return client.request(
        operation.method, operation.at(ids), params=query, headers=headers, json=body
    )


def test_t54_t55_a_hostile_text_is_a_text_wherever_it_stands(
    stack: ServiceWithSandbox, client: httpx.Client
) -> None:
    """
    In each part of a path, field of a query, header and field of a body: it is refused
    or not found, nothing of it is returned, no header is added, nothing is changed.
    """
    token, called = stack.world.admin(), 0
    before = databases.digest(stack.world.database_url)

    for operation in CALLS:
        for place in dict.fromkeys(places(operation)):
            for text in HOSTILE:
                answer = sent(client, operation, place, text, token)
                where = (operation.id, place, text, answer.text)
                assert answer.status_code < 500, where
                assert MARK not in answer.text, where
                assert MARK not in str(answer.headers), where
                assert "x-injected" not in answer.headers, where
                called += 1

    assert called > 4 * len(CALLS)
    assert databases.digest(stack.world.database_url) == before


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n ", b"\0"])
@pytest.mark.parametrize("name", ["Idempotency-Key", "If-None-Match", "X-Request-Id"])
def test_t55_no_line_of_an_answer_is_a_callers(
    stack: ServiceWithSandbox, bob: Payer, name: str, end: bytes
) -> None:
    """
    Whatever breaks a line in a header is refused, or is not part of a value.
    """
    request = (
        b"GET /payments-gateway/api/users/%s/payment-status HTTP/1.1\r\nHost: a\r\n"
        b"Authorization: Bearer %s\r\nConnection: close\r\n%s: a%sX-Injected: 1\r\n\r\n"
    ) % (bob.id.encode(), bob.token.encode(), name.encode(), end)

    with closing(
        socket.create_connection(("127.0.0.1", stack.service.port), 30)
    ) as connection:
        connection.sendall(request)
        answer = b""
        while piece := connection.recv(65_536):
            answer += piece

    head, _, _ = answer.partition(b"\r\n\r\n")
    assert int(head.split()[1]) in {200, 400}
    assert b"injected" not in answer.lower()
    assert b"\n" not in head.replace(b"\r\n", b"")


# Effects


def rows_of(stack: ServiceWithSandbox, user: str) -> Mapping[str, list[str]]:
    """Return all rows of a user, by their tables."""
    url = stack.world.database_url
    tables = databases.run(
        databases.fetch(
            url,
            "select table_name from information_schema.columns"
            " where column_name = 'user_id' and table_schema = 'public' order by 1",
        )
    )
    return {
        table: [
            str(row[0])
            for row in databases.run(
                databases.fetch(
                    url,
                    f"select t::text from {table} t where user_id = $1 order by 1",  # noqa: S608  # our own names
                    user,
                )
            )
        ]
        for (table,) in tables
    }


def test_p34_what_another_calls_leaves_a_users_rows_bit_for_bit(
    stack: ServiceWithSandbox, bob: Payer, client: httpx.Client
) -> None:
    """
    Eve calls each operation, about Bob and about herself, with Bob's values in it.
    """
    [(subscription,)] = bob.stored("id from subscriptions", by="id")
    [*_, intent] = bob.stored("id from intents", by="created_at")
    [charge] = bob.charges
    his = {
        "user": bob.id,
        "subscription": str(subscription),
        "intent": str(intent[0]),
        "payment": charge["id"],
    }
    named = {
        "user_id": bob.id,
        "email": f"{bob.id}@example.com",
        "customer_id": bob.customers[0]["id"],
        "payment_method": bob.card,
        "product": stack.product,
    }
    eve = stack.user()
    eve.subscribed()
    before = rows_of(stack, bob.id)
    answers = set[int]()

    for operation in CALLS:
        for ids in (his, {**his, "user": eve.id}):
            for body in operation.bodies(named):
                answer = client.request(
                    operation.method,
                    operation.at(ids),
                    json=body,
                    headers=bearer(eve.token),
                )
                assert answer.status_code < 500, (operation.id, answer.text)
                answers.add(answer.status_code)
    stack.settle()

    assert {200, 403, 404} <= answers
    assert {name for name, rows in before.items() if rows} >= {
        "payment_accounts",
        "payments",
        "subscriptions",
        "intents",
    }
    assert rows_of(stack, bob.id) == before
    assert bob.standing == ("paid", True)


def test_t79_no_metric_names_anybody(stack: ServiceWithSandbox, bob: Payer) -> None:
    """
    Labels are kinds, states and routes: no id, no e-mail, and no path of a request.
    """
    known = [
        bob.id,
        *(
            it["id"]
            for kind in ("customer", "charge", "subscription")
            for it in stack.objects(kind)
        ),
    ]

    text = httpx.get(f"{stack.service.ops_url}/metrics", timeout=30, verify=TLS).text

    assert "payments_" in text
    assert [it for it in known if it in text] == []
    labels = re.findall(r'="([^"]*)"', text)
    assert "/payments-gateway/api/users/{user}/payment-status" in labels
    paths = [it.replace("/users/{user}", "") for it in labels]
    assert [it for it in paths if "@" in it or "/users/" in it] == []
    assert [it for it in labels if re.search(r"[0-9a-f]{8}-[0-9a-f]{4}", it)] == []
