"""Requests that the sandbox refuses: keys, versions, bodies, searches, pages.

Over real HTTP with a plain client, which hides and repeats nothing.
"""

import base64
from collections.abc import Iterator
from typing import Final

import httpx
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from payments_sandbox import Sandbox
from payments_sandbox.api import BODY_BYTES_MAX
from payments_sandbox.api_versions import NEWEST
from support.plain_http import TLS
from support.sandbox_http import CUSTOMERS, client_of, made

FORM: Final = "application/x-www-form-urlencoded"


# One sandbox for all tests that send what no client of Stripe would; so it is not
# checked.
@pytest.fixture(scope="module")
def steady() -> Iterator[Sandbox]:
    with Sandbox(seed=7) as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def asker(steady: Sandbox) -> Iterator[httpx.Client]:
    with client_of(steady) as client:
        yield client


def assert_refused(answer: httpx.Response, status: int = 400) -> None:
    """Assert an error in Stripe's format."""
    assert (answer.status_code, answer.headers["content-type"]) == (
        status,
        "application/json",
    ), answer.text[:200]
    error = answer.json()["error"]
    assert error["type"] == "invalid_request_error"
    assert error["message"]
    assert answer.headers["request-id"].startswith("req_")


# Authentication and versions


def test_only_the_sandboxes_own_key_is_taken(
    steady: Sandbox, asker: httpx.Client
) -> None:
    """
    Bearer or Basic, with the one key; without one, with a wrong or a live key the
    answer is 401 and does not repeat the key.
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
    with httpx.Client(base_url=steady.url, verify=TLS) as nobody:
        assert_refused(nobody.post(CUSTOMERS), 401)
        assert_refused(nobody.get("/v1/nothing"), 401)


def test_an_unknown_version_is_refused(steady: Sandbox, asker: httpx.Client) -> None:
    """
    The sandbox refuses a version that it cannot render; without a version it uses the
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
    Never a 500, never ignored, and it has no effect.
    """
    body, kind = BODIES[name]
    before = made(steady), len(steady.events())

    answer = asker.post(CUSTOMERS, content=body, headers={"Content-Type": kind})

    assert_refused(answer)
    assert (made(steady), len(steady.events())) == before
    assert len(answer.content) < 2_000


def test_a_body_of_any_length_is_read_to_its_end(asker: httpx.Client) -> None:
    """
    Too long even without a declared length: refused as too long, and the connection can
    be used for the next request.
    """
    pieces = (b"x" * 65_536 for _ in range(40))

    answer = asker.post(CUSTOMERS, content=pieces)

    assert_refused(answer)
    assert str(BODY_BYTES_MAX) in answer.json()["error"]["message"]
    assert asker.get(CUSTOMERS).status_code == 200


def test_parameters_have_one_place(asker: httpx.Client) -> None:
    """
    A POST takes them in its body, a GET in its query; an unknown address, or one that
    exists with another method only, is a 404.
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
    Whatever the bytes: the request is executed, or refused as Stripe does.
    """
    answer = asker.post(CUSTOMERS, content=body, headers={"Content-Type": FORM})

    assert answer.status_code in (200, 400)
    assert answer.json()["object" if answer.status_code == 200 else "error"]
