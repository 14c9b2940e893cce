"""HTTP's own rules for every route: methods, hosts, repeated headers."""

import json
import re
import socket
from contextlib import closing
from typing import Any, Final

import httpx
import pytest

from support.plain_http import TLS
from support.service import PREFIX, ServiceProcess

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PURGE"]
READ = {"GET", "HEAD", "OPTIONS"}
ALLOWED = {
    "/users": READ,
    "/users/a": {"PUT", "OPTIONS"},
    "/feed": READ,
    "/users/a/payments": READ,
    "/users/a/timeline": READ,
    "/users/a/payment-status": READ,
    "/users/a/explanation": READ,
    "/users/a/access": READ,
    "/catalogue": READ,
    "/users/a/card-setup": {"POST", "OPTIONS"},
    "/users/a/card": {"PUT", "OPTIONS"},
    "/users/a/subscriptions": READ | {"POST"},
    "/users/a/subscriptions/sub_1": READ | {"PATCH", "DELETE"},
    "/users/a/subscriptions/sub_1/preview": {"POST", "OPTIONS"},
    "/users/a/tokens/invalidate": {"POST", "OPTIONS"},
    "/intents/x": READ | {"DELETE"},
    "/payments/ch_1/link": READ | {"POST"},
    "/payments/ch_1/unlink": {"POST", "OPTIONS"},
    "/tokens/invalidate": {"POST", "OPTIONS"},
    "/tokens/invalidated": READ,
    "/users/a/access-pass": {"POST", "OPTIONS"},
    "/.well-known/jwks.json": READ,
    "/openapi.json": READ,
    "/webhooks/charge/succeeded": {"POST", "OPTIONS"},
    "/webhooks/charge/failed": {"POST", "OPTIONS"},
    "/webhooks/stripe": {"POST", "OPTIONS"},
}
# The parts of these paths that a caller supplies.
GIVEN = re.compile(r"/(a|sub_1|x|ch_1)\b")
OPS = ["/livez", "/readyz", "/metrics"]


def allowed_by(answer: httpx.Response) -> set[str]:
    return set(answer.headers["allow"].split(", "))


def assert_complete(answer: httpx.Response) -> None:
    """Assert the headers of every answer."""
    assert answer.headers["x-request-id"]
    assert answer.headers["cache-control"]
    assert answer.headers["x-content-type-options"] == "nosniff"


# Methods


@pytest.mark.parametrize(("path", "methods"), ALLOWED.items())
def test_t20_a_route_says_which_methods_it_has(
    service: ServiceProcess, path: str, methods: set[str]
) -> None:
    """
    OPTIONS needs no token and lists all methods, HEAD included; any other method is 405
    with the same `Allow`, and no listed method is.
    """
    answers = {
        method: httpx.request(method, service.url + path, verify=TLS)
        for method in METHODS
    }

    assert answers["OPTIONS"].status_code == 204
    for method, answer in answers.items():
        assert_complete(answer)
        assert (answer.status_code != 405) is (method in methods), method
        if answer.status_code == 405 or method == "OPTIONS":
            assert allowed_by(answer) == methods
        if answer.status_code == 405 and method != "HEAD":
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.json()["code"] == "method_not_allowed"


@pytest.mark.parametrize("path", OPS)
def test_t20_the_ops_port_says_so_too(service: ServiceProcess, path: str) -> None:
    """
    Probes and scrapes are reads.
    """
    url = service.ops_url + path

    options = httpx.request("OPTIONS", url, verify=TLS)
    post = httpx.post(url, verify=TLS)

    assert (options.status_code, post.status_code) == (204, 405)
    assert allowed_by(options) == allowed_by(post) == READ
    assert_complete(options)
    assert_complete(post)


def headers_of(answer: httpx.Response) -> dict[str, str]:
    own = {"date", "x-request-id"}
    return {name: value for name, value in answer.headers.items() if name not in own}


def test_t20_head_is_get_without_its_body(service: ServiceProcess) -> None:
    """
    The same status and headers, for 200, 304, 400, 401, 404 and on the ops port; the
    connection can be used again.
    """
    token = service.world.token("head", email="head@example.com")
    authorized = {"Authorization": f"Bearer {token}"}
    status = f"{service.url}/users/head/payment-status"
    with httpx.Client(verify=TLS, timeout=30) as client:
        tag = client.get(status, headers=authorized).headers["etag"]
        asked: list[tuple[str, dict[str, str]]] = [
            (status, authorized),
            (status, authorized | {"If-None-Match": tag}),
            (f"{service.url}/intents/x", authorized),
            (status, {}),
            (f"{service.url}/nothing", {}),
            (f"{service.ops_url}/livez", {}),
        ]
        told = [
            (client.get(url, headers=given), client.head(url, headers=given))
            for url, given in asked
        ]

    assert [got.status_code for got, _ in told] == [200, 304, 404, 401, 404, 200]
    kept = [got.headers["cache-control"] for got, _ in told]
    assert kept == ["private, no-cache"] * 2 + ["no-store"] * 4
    for got, head in told:
        assert head.status_code == got.status_code
        assert head.content == b""
        assert_complete(head)
        assert headers_of(head) == headers_of(got)


# Hosts


def raw(service: ServiceProcess, port: str, head: bytes) -> tuple[int, bytes]:
    """Send a request without a body; return the status and the rest of the header."""
    return exchanged(service, port, head + b"Connection: close\r\n\r\n")


def exchanged(service: ServiceProcess, port: str, request: bytes) -> tuple[int, bytes]:
    """Send a request as it is; return the status and the rest of the header."""
    address = ("127.0.0.1", getattr(service, port))
    with closing(socket.create_connection(address, 30)) as connection:
        connection.sendall(request)
        answer = b""
        while piece := connection.recv(65_536):
            answer += piece
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), body


@pytest.mark.parametrize("port", ["port", "ops_port"])
@pytest.mark.parametrize(
    ("version", "hosts", "is_taken"),
    [
        (b"1.1", b"Host: a\r\n", True),
        (b"1.1", b"Host:\r\n", True),
        (b"1.1", b"Host: [::1]:8000\r\n", True),
        (b"1.0", b"", True),
        (b"1.0", b"Host: a\r\n", True),
        (b"1.1", b"", False),
        (b"1.1", b"Host: a\r\nHost: a\r\n", False),
        (b"1.1", b"Host: a\r\nhost: b\r\n", False),
        (b"1.0", b"Host: a\r\nHost: b\r\n", False),
        (b"1.1", b"Host: a/b\r\n", False),
        (b"1.1", b"Host: a b\r\n", False),
    ],
)
def test_t56_a_request_has_one_host(
    service: ServiceProcess, port: str, version: bytes, hosts: bytes, *, is_taken: bool
) -> None:
    """
    None or two are 400 (RFC 9112, section 3.2), before any other check: a proxy might
    have read another one.
    """
    path = b"/livez" if port == "ops_port" else f"{PREFIX}/intents/x".encode()

    status, body = raw(service, port, b"GET %s HTTP/%s\r\n%s" % (path, version, hosts))

    if is_taken:
        assert status == (200 if port == "ops_port" else 401)
    else:
        assert status == 400
        assert json.loads(body)["status"] == 400


# Forbidden names


@pytest.mark.parametrize("user", [".", "..", "%2e", "%2E%2e", ".%2E"])
def test_t57_a_dot_segment_is_no_user(service: ServiceProcess, user: str) -> None:
    """
    Clients and proxies remove it from a path: its user could never be read.
    """
    admin = service.world.admin()
    content = '{"email": "dot@example.com"}'
    request = (
        f"PUT {PREFIX}/users/{user} HTTP/1.1\r\nHost: a\r\n"
        f"Authorization: Bearer {admin}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(content)}\r\nConnection: close\r\n\r\n{content}"
    )

    status, body = exchanged(service, "port", request.encode())

    assert (status, json.loads(body)["code"]) == (400, "invalid_value")


@pytest.mark.parametrize(
    "path", ["//payments-gateway/api/feed", f"{PREFIX}//feed", f"{PREFIX}/feed//"]
)
def test_t57_a_doubled_slash_is_no_path_of_ours(
    service: ServiceProcess, path: str
) -> None:
    """
    A proxy sees another path, and so would the limits of requests in flight.
    """
    request = (
        f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
        f"Authorization: Bearer {service.world.admin()}\r\n\r\n"
    )
    status, body = exchanged(service, "port", request.encode())

    assert (status, json.loads(body)["code"]) == (404, "not_found")


# Duplicates


def put(service: ServiceProcess, user: str, content: bytes, **more: Any) -> Any:
    headers = [
        ("Authorization", f"Bearer {service.world.admin()}"),
        *more.get("headers", [("Content-Type", "application/json")]),
    ]
    return httpx.put(
        f"{service.url}/users/{user}", content=content, headers=headers, verify=TLS
    )


@pytest.mark.parametrize(
    ("content", "pointers"),
    [
        (b'{"email": "a@example.com", "email": "b@example.com"}', ["/email"]),
        (b'{"email": "a@example.com", "email": "a@example.com"}', ["/email"]),
        (b'{"email": "a@example.com", "\\u0065mail": "b@example.com"}', ["/email"]),
        (b'{"email": "a@example.com", "x": {"y": 1, "y": 2}}', [""]),
        (b'{"email": "a@example.com", "x": [{"y": 1, "y": 2}]}', [""]),
    ],
)
def test_t17_a_name_that_occurs_twice_is_refused(
    service: ServiceProcess, content: bytes, pointers: list[str]
) -> None:
    """
    In callers' bodies, at any depth and in any spelling: a proxy might use the other
    value.
    """
    answer = put(service, "twice", content)

    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_body")
    assert [it["pointer"] for it in answer.json()["errors"]] == pointers
    assert "example.com" not in answer.text


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbf{}",
        '{"email": "a@example.com"}'.encode("utf-16"),
        b'{"email": NaN}',
        b'{"email": "\\ud800"}',
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"email": ' + b"1" * 100_000 + b"}",
    ],
)
def test_t16_what_one_parser_refuses_is_refused(
    service: ServiceProcess, content: bytes
) -> None:
    """
    Two readers parse a body; neither answers anything but 400.
    """
    answer = put(service, "odd", content)

    assert answer.status_code == 400
    assert answer.json()["code"] in {"invalid_json", "invalid_body"}


@pytest.mark.parametrize(
    "headers",
    [
        [("Content-Type", "text/plain"), ("Content-Type", "application/json")],
        [("Content-Type", "application/json"), ("Content-Type", "text/plain")],
        [
            ("Content-Type", "application/json"),
            ("Content-Encoding", "gzip"),
            ("Content-Encoding", "identity"),
        ],
    ],
)
@pytest.mark.parametrize("is_webhook", [False, True])
def test_t15_t20_a_header_that_occurs_twice_has_no_one_value(
    service: ServiceProcess, headers: list[tuple[str, str]], *, is_webhook: bool
) -> None:
    """
    Neither the first nor the last of two content types, or encodings, is used.
    """
    if is_webhook:
        url = f"{service.url}/webhooks/stripe"
        answer = httpx.post(url, content=b"{}", headers=headers, verify=TLS)
    else:
        answer = put(service, "headers", b"{}", headers=headers)

    assert answer.status_code == 415


@pytest.mark.parametrize(
    ("method", "path", "field"),
    [
        ("GET", "/tokens/invalidated?limit=1&limit=2", "limit"),
        ("GET", "/users/a/explanation?at=1&at=1", "at"),
        ("GET", "/users/a/access?feature=a&feature=b", "feature"),
        ("GET", "/tokens/invalidated?cursor=&cursor=e30", "cursor"),
        ("DELETE", "/users/a/subscriptions/s?when=now&when=now", "when"),
        # A mistake in `when` would end it now.
        ("DELETE", "/users/a/subscriptions/s?wen=period_end", "query"),
        ("GET", "/users/a/payment-status?limit=1", "query"),
    ],
)
def test_a_field_of_a_query_that_occurs_twice_or_is_unknown_is_refused(
    service: ServiceProcess, method: str, path: str, field: str
) -> None:
    """
    As in a body; an unknown field's name is not echoed.
    """
    answer = service.call(method, path, service.world.admin())

    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_value")
    assert answer.json()["errors"][0]["pointer"] == f"/{field}"


# A NUL, bytes that are not UTF-8, a lone surrogate, and more than any of our numbers.
NO_VALUE: Final = ("a%00", "%FF", "%ED%A0%80", str(2**63), "9" * 5_000)


@pytest.mark.parametrize("value", NO_VALUE, ids=["NUL", "byte", "half", "bigint", "9s"])
def test_t19_no_path_and_no_query_holds_what_postgres_does_not_take(
    service: ServiceProcess, value: str
) -> None:
    """
    On every route the error is the caller's, and the answer says so.
    """
    token = service.world.admin()
    asked = [
        (method, GIVEN.sub(f"/{value}", path))
        for path, methods in ALLOWED.items()
        if GIVEN.search(path)
        for method in methods - {"HEAD", "OPTIONS"}
    ]
    # Of two of them the user is known.
    asked += [
        (method, path.replace(f"/{value}", "/a", 1))
        for method, path in asked
        if path.count(value) > 1
    ]
    asked += [
        ("GET", f"/tokens/invalidated?cursor={value}"),
        ("GET", f"/tokens/invalidated?limit={value}"),
        ("GET", f"/users?status={value}"),
        ("GET", f"/users?email={value}"),
        ("GET", f"/users?cursor={value}"),
        ("GET", f"/users?{value}=a"),
        ("GET", f"/users/a/explanation?at={value}"),
        ("GET", f"/users/a/access?feature={value}"),
        ("DELETE", f"/users/a/subscriptions/s?when={value}"),
    ]

    for method, path in asked:
        answer = service.call(method, path, token, {})
        if answer.status_code == 200 and path == f"/users/{value}/tokens/invalidate":
            assert value.isdigit()  # A user may be called so, and need not be known.
            continue
        assert 400 <= answer.status_code < 500, (method, path, answer.text)
        assert answer.headers["content-type"] == "application/problem+json"
