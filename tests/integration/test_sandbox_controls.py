"""`/_sandbox`: wrong requests of its owner are refused, with the place of the error."""

import http.client
from urllib.parse import urlsplit

import pytest

from support.wire import Wire


@pytest.mark.parametrize(
    ("name", "fields", "wrong"),
    [
        ("advance", {}, "until"),
        ("advance", {"until": ["1 month"]}, "until"),
        ("advance", {"until": "1 month", "twice": True}, "twice"),
        ("authenticate", {"succeed": True}, "intent"),
        ("authenticate", {"intent": "pi_1", "succeed": "no"}, "succeed"),
        ("card", {"declines": None}, "payment_method"),
        ("chaos", {"rates": {"slow": 1.5}}, "rates"),
        ("chaos", {"seed": 8, "rates": {"rain": 1}}, "rates"),
        ("chaos", {"plans": [{"fault": "rain"}]}, "plans[0].fault"),
        ("chaos", {"plans": [{"fault": "slow", "times": 0}]}, "plans[0].times"),
        ("reset", {"seed": "x"}, "seed"),
        ("roll-secret", {"endpoint": "we_1", "keep_s": -1}, "keep_s"),
        ("trigger", {"type": "charge.succeeded"}, "user"),
        ("trigger", {"type": "charge.succeeded", "user": 7}, "user"),
    ],
)
def test_a_control_that_is_told_nonsense_names_the_field(
    wire: Wire, name: str, fields: dict[str, object], wrong: str
) -> None:
    """
    The answer names the field; nothing is done, not even the rest of the request.
    """
    before = wire.sandbox.state()

    refused = wire.control(name, **fields)

    assert refused.status_code == 400
    [field] = refused.json()["error"]["fields"]
    assert field["key"].startswith(wrong) or f"`{wrong}`" in field["message"]
    assert wire.sandbox.state() == before


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"\xff",
        b"null",
        b"[" * 100_000,
        b'{"until":' * 100_000,
        b'{"until": 1e999}',
    ],
    ids=range(8),
)
def test_a_control_that_is_told_no_json_says_so(wire: Wire, body: bytes) -> None:
    """
    However deeply it is nested: the caller's mistake is a 400.
    """
    refused = wire.send("/_sandbox/advance", body, {"content-type": "application/json"})

    assert refused.status_code == 400
    assert refused.json()["error"]["message"]


def test_a_client_that_hangs_up_in_its_request_makes_nothing(wire: Wire) -> None:
    """
    Half a request is no request, and the next one is served.
    """
    connection = http.client.HTTPConnection(urlsplit(wire.sandbox.url).netloc)
    connection.putrequest("POST", "/v1/customers")
    connection.putheader("Authorization", f"Bearer {wire.sandbox.api_key}")
    connection.putheader("Content-Length", "1000")
    connection.endheaders(b"name=Ada")
    connection.close()

    wire.post("customers", name="Bob")
    assert [it["name"] for it in wire.sandbox.objects("customer")] == ["Bob"]
