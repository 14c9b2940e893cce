"""Signed bodies that are not JSON, or exceed our limits. Ids are the threat model's."""

import json
import sys
from typing import Final

import pytest

from payments_adapters.stripe import translate
from payments_core import (
    Money,
    Payment,
    PaymentState,
)
from payments_core.events import QuarantineNeeded
from support.stripe_bodies import charge, event_body, payment_of, refusal_of

# The depth limit of a reader written in C is the interpreter's: 1,000 calls until 3.11,
# and ten times as many since.
DEEP: Final = 2_000 if sys.version_info < (3, 12) else 20_000


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"{",
        b"{}",
        b"[]",
        b"null",
        b"1",
        b'"event"',
        b"\xff",
        b"\xef\xbb\xbf" + event_body(charge()),
        event_body(charge()).decode().encode("utf-16"),
        event_body(charge()) + b"{}",
        event_body(charge())[:-1],
        event_body(charge()).replace(b'"', b"'"),
        event_body(charge()) + b"\x00",
    ],
)
def test_t16_what_is_not_one_json_object_is_malformed(body: bytes) -> None:
    """
    Empty, cut, doubled, in another encoding: a refusal, not a crash.
    """
    assert refusal_of(body).reason


@pytest.mark.parametrize("depth", [DEEP, 100_000])
@pytest.mark.parametrize("brackets", [b"[]", b"[", b'{"a":'])
def test_t16_deep_nesting_is_malformed(depth: int, brackets: bytes) -> None:
    """
    In a field that is not read, closed or not.
    """
    nest = brackets[:1] * depth + brackets[1:] * depth
    if brackets.startswith(b"{"):
        nest = brackets * depth + b"1" + b"}" * depth
    body = event_body(charge(description="@")).replace(b'"@"', nest)

    assert refusal_of(body).field == ""


def test_t16_shallow_nesting_is_taken() -> None:
    """
    Ten levels are what a real event may have.
    """
    nest = b"[" * 10 + b"]" * 10

    assert translate(event_body(charge(more="@")).replace(b'"@"', nest)).report


def test_t17_of_a_key_that_comes_twice_the_last_one_counts() -> None:
    """
    For us as for `json.loads`: no two readers see two different events.
    """
    first, second = event_body(charge(), id="evt_1"), event_body(charge(id="ch_2"))
    body = first[:-1] + b", " + second.replace(b"evt_1", b"evt_2")[1:]

    event, read = translate(body), json.loads(body)

    assert event.id == read["id"] == "evt_2"
    assert event.object_id == read["data"]["object"]["id"] == "ch_2"
    assert isinstance(event.report, Payment)
    assert event.report.id == "ch_2"


@pytest.mark.parametrize("field", ["amount", "amount_refunded", "created"])
@pytest.mark.parametrize(
    "number",
    [
        b"NaN",
        b"Infinity",
        b"-Infinity",
        b"1e400",
        b"9" * 5_000,
        b"1.0",
        b"1e2",
        b"true",
        b"null",
        b'"100"',
        b"-1",
        b"01",
        b"+1",
        b"0x10",
        b"9007199254740992",
        b"%d" % 2**63,
        b"%d" % 2**70,
        b"%d" % -(2**70),
    ],
)
def test_t18_a_number_that_is_no_amount_is_malformed(field: str, number: bytes) -> None:
    """
    Whole, not negative, exact in every JSON reader: nothing else is money or time.
    """
    body = event_body(charge(**{field: "@"})).replace(b'"@"', number)

    assert refusal_of(body).field in {f"data.object.{field}", ""}


@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"-Infinity", b"01"])
def test_t18_what_json_does_not_know_is_malformed_where_nobody_reads(
    number: bytes,
) -> None:
    """
    The body is stored, and later readers must be able to read it.
    """
    body = event_body(charge(unread="@")).replace(b'"@"', number)

    assert refusal_of(body).reason == "not JSON"


def test_t18_the_largest_exact_amount_is_taken() -> None:
    """
    Exactly at the limit.
    """
    assert payment_of(charge(amount=2**53 - 1)).amount == Money(2**53 - 1, "eur")
    assert payment_of(charge(amount=0)).amount == Money(0, "eur")


@pytest.mark.parametrize(
    "currency", ["EUR", "Eur", "eu", "euro", "", "€€€", "eur\n", "e r", None, 978]
)
def test_t18_a_currency_is_three_lower_case_letters(currency: object) -> None:
    """
    Stripe writes them in lower case; anything else is not Stripe's.
    """
    assert refusal_of(event_body(charge(currency=currency))).field == (
        "data.object.currency"
    )


NULS: Final = pytest.mark.parametrize(
    "text",
    [
        rb"\u0000",
        rb"a\u0000b",
        rb"\\\u0000",
        rb"\\\\\u0000",
        rb"\n\u0000",
        rb"\\u0000\u0000",
    ],
)


@NULS
@pytest.mark.parametrize("field", ["failure_code", "id", "metadata.user_id"])
def test_t19_a_nul_in_a_text_that_is_read_is_not_believed(
    text: bytes, field: str
) -> None:
    """
    Postgres does not store it.
    """
    name, _, inner = field.partition(".")
    thing = charge(**{name: {inner: "@"} if inner else "@"})
    body = event_body(thing).replace(b"@", text)

    event = translate(body)
    assert event.report == QuarantineNeeded(
        "unreadable: a text that is read holds a NUL character"
    )
    assert event.key == ("evt_1", "charge.succeeded")
    assert event.object_id == (None if field == "id" else "ch_1")


@NULS
@pytest.mark.parametrize("place", ["description", "@", "metadata"])
def test_t19_a_nul_in_a_text_that_nobody_reads_does_not_matter(
    text: bytes, place: str
) -> None:
    """
    A payment is not lost because of it; the body is stored as bytes.
    """
    fields = {"metadata": {"note": "@"}} if place == "metadata" else {place: "@"}
    body = event_body(charge(**fields)).replace(b"@", text)

    assert translate(body).report == payment_of(charge())


@pytest.mark.parametrize("field", ["id", "type", "api_version"])
def test_t19_a_nul_in_the_envelope_is_kept_out(field: str) -> None:
    """
    The event's id is then made of its digest, or of what can be read.
    """
    body = event_body(charge(), **{"type_": "charge.failed"} | {field: "a\0"})
    event = translate(body)

    assert isinstance(event.report, QuarantineNeeded)
    assert "\0" not in f"{event.id}{event.type}{event.api_version}"


@pytest.mark.parametrize("text", [rb"\\u0000", rb"\\\\u0000", b"u0000"])
def test_t19_an_escaped_backslash_before_u0000_is_not_a_nul(text: bytes) -> None:
    """
    Six characters that only look like one.
    """
    body = event_body(charge(description="@")).replace(b"@", text)

    assert translate(body).report


@pytest.mark.parametrize(
    "text",
    [
        rb"\ud800",
        rb"\udc00",
        rb"\ud800\u0041 and more",
        rb"\udc00\ud800 and more",
        rb"\x00",
        rb"\uZZZZ",
        b"\x00",
        b"\x01",
        b"\n",
        b"\x1f",
        b"\xff",
        b"\xc0\x80",
        b"\xed\xa0\x80",
        b"\xf4\x90\x80\x80",
        b"\xe2\x82",
    ],
)
@pytest.mark.parametrize("place", ["failure_code", "description", "a key"])
def test_t19_text_that_is_no_text_is_malformed(text: bytes, place: str) -> None:
    """
    Lone surrogates, raw control characters, broken UTF-8: in fields that are read or
    not.
    """
    fields: dict[str, object] = {"@": 1} if place == "a key" else {place: "@"}
    body = event_body(charge(**fields)).replace(b"@", text)

    assert refusal_of(body).field == ""


@pytest.mark.parametrize(
    "text", ["\u2028\u2029", "\U0001f600", "\x7f", "é", "x" * 1_000_000]
)
def test_t19_any_other_text_may_stand_where_nobody_reads(text: str) -> None:
    """
    Line separators, emoji, a megabyte: stored as received.
    """
    assert payment_of(charge(description=text)).state is PaymentState.SUCCEEDED


@pytest.mark.parametrize(
    ("field", "length_max"),
    [("id", 255), ("failure_code", 255), ("invoice", 255), ("customer", 255)],
)
def test_t19_a_text_that_is_read_has_a_limit(field: str, length_max: int) -> None:
    """
    One character more is malformed.
    """
    assert payment_of(charge(**{field: "x" * length_max})).amount == Money(100, "eur")
    refusal = refusal_of(event_body(charge(**{field: "x" * (length_max + 1)})))
    assert refusal.field == f"data.object.{field}"


@pytest.mark.parametrize(
    ("data", "object_id"),
    [
        ({"object": {"object": "charge", "id": "ch_1", "amount": -1}}, "ch_1"),
        ({"object": {"id": 7}}, None),
        ({"object": {"id": ""}}, None),
        ({"object": "ch_1"}, None),
        ([], None),
    ],
)
def test_what_cannot_be_read_names_its_object_if_it_can(
    data: object, object_id: str | None
) -> None:
    """
    A search for the object finds the quarantined event.
    """
    body = json.dumps(json.loads(event_body(charge())) | {"data": data}).encode()

    assert refusal_of(body)
    assert translate(body).object_id == object_id
