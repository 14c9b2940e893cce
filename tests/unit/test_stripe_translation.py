"""What Stripe's bodies mean to us. Ids are those of the threat model."""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from payments_adapters.stripe import StripeEvents, StripeSignatures, sign, translate
from payments_core import (
    CustomerId,
    DisputeState,
    Doubt,
    GatewayEvent,
    Money,
    Payment,
    PaymentId,
    PaymentState,
)
from payments_core.errors import BadSignature, MalformedEvent

PAYLOADS: Final = Path(__file__).parents[1] / "payloads"
NOON: Final = datetime(2026, 1, 1, 12, tzinfo=UTC)
NOON_S: Final = int(NOON.timestamp())
SECRET: Final = "whsec_" + "k" * 32
CH_1: Final = PaymentId("ch_1")
ABSENT: Final = object()

Fields = Mapping[str, object]

CHARGE_TYPES: Final = [
    f"charge.{what}"
    for what in (
        "captured",
        "expired",
        "failed",
        "pending",
        "refunded",
        "succeeded",
        "updated",
    )
]
DISPUTE_TYPES: Final = [
    f"charge.dispute.{what}"
    for what in ("closed", "created", "funds_reinstated", "funds_withdrawn", "updated")
]


def without_absent(fields: Fields) -> dict[str, object]:
    return {name: value for name, value in fields.items() if value is not ABSENT}


def charge(**fields: object) -> dict[str, object]:
    usual: dict[str, object] = {
        "id": "ch_1",
        "object": "charge",
        "amount": 100,
        "currency": "eur",
        "created": NOON_S,
        "status": "succeeded",
        "amount_refunded": 0,
        "refunded": False,
        "disputed": False,
    }
    return without_absent(usual | fields)


def dispute(**fields: object) -> dict[str, object]:
    usual = {"id": "dp_1", "object": "dispute", "charge": "ch_1", "status": "lost"}
    return without_absent(usual | fields)


def refund(**fields: object) -> dict[str, object]:
    usual = {"id": "re_1", "object": "refund", "charge": "ch_1", "status": "succeeded"}
    return without_absent(usual | fields)


def event_body(
    thing: object, type_: object = "charge.succeeded", **fields: object
) -> bytes:
    usual: dict[str, object] = {
        "id": "evt_1",
        "object": "event",
        "type": type_,
        "created": NOON_S,
        "livemode": False,
        "data": {"object": thing},
    }
    return json.dumps(without_absent(usual | fields)).encode()


def report_of(
    thing: object, type_: str = "charge.succeeded", **fields: object
) -> Payment | Doubt | None:
    return translate(event_body(thing, type_, **fields)).report


def payment_of(
    thing: object, type_: str = "charge.succeeded", **fields: object
) -> Payment:
    report = report_of(thing, type_, **fields)
    assert isinstance(report, Payment)
    return report


def doubt_of(thing: object, type_: str = "charge.succeeded", **fields: object) -> Doubt:
    report = report_of(thing, type_, **fields)
    assert isinstance(report, Doubt)
    return report


def refusal_of(body: bytes) -> MalformedEvent:
    with pytest.raises(MalformedEvent) as refusal:
        translate(body)
    return refusal.value


# The brief's own bodies


@pytest.mark.parametrize(
    ("name", "state", "created_s"),
    [
        ("charge_succeeded", PaymentState.SUCCEEDED, 1587999301),
        ("charge_failed", PaymentState.FAILED, 1587998901),
    ],
)
def test_the_briefs_bodies_are_read(
    name: str, state: PaymentState, created_s: int
) -> None:
    """
    Nobody's charge, paid before it is captured, with a time of its own.
    """
    body = (PAYLOADS / f"{name}.json").read_bytes()

    assert translate(body) == GatewayEvent(
        id="evt_00000000000000",
        type=name.replace("_", "."),
        created_at=datetime(2012, 1, 18, 2, 24, 38, tzinfo=UTC),
        livemode=False,
        api_version=None,
        object_id="ch_00000000000000",
        report=Payment(
            id=PaymentId("ch_00000000000000"),
            state=state,
            amount=Money(100, "eur"),
            created_at=datetime.fromtimestamp(created_s, UTC),
        ),
        body=body,
    )


def test_the_briefs_bodies_share_an_id_but_not_a_key() -> None:
    """
    Both samples are `evt_00000000000000`; the second is no duplicate of the first.
    """
    bodies = [path.read_bytes() for path in PAYLOADS.glob("charge_*.json")]

    assert len(bodies) == len({translate(body).key for body in bodies}) == 2


# Reading a delivery


@pytest.fixture
def reader() -> StripeEvents:
    return StripeEvents(StripeSignatures((SECRET,), lambda: NOON))


def test_a_signed_event_is_verified_and_translated(reader: StripeEvents) -> None:
    """
    The event keeps the very bytes that were signed.
    """
    body = event_body(charge())

    event = reader.read(body, sign(body, secret=SECRET, at=NOON))

    assert event == translate(body)
    assert event.body is body


@pytest.mark.parametrize("body", [b"", b"\xff", b"[" * 100_000, event_body(charge())])
def test_t01_nothing_is_parsed_before_the_signature_holds(
    reader: StripeEvents, body: bytes
) -> None:
    """
    A stranger's body is refused as a stranger's, whatever is in it.
    """
    with pytest.raises(BadSignature):
        reader.read(body, f"t={NOON_S},v1={'0' * 64}")


def test_t03_the_same_bytes_are_the_same_event(reader: StripeEvents) -> None:
    """
    A retry has a new signature and the old key.
    """
    body = event_body(charge())
    first, second = (
        reader.read(body, sign(body, secret=SECRET, at=NOON.replace(second=second)))
        for second in (0, 59)
    )

    assert first == second


def test_t13_signed_bytes_that_are_not_utf_8_are_malformed(
    reader: StripeEvents,
) -> None:
    """
    They are refused as a body, not as a signature, and they do not leak.
    """
    body = event_body(charge(description="@")).replace(b"@", b"\xff")

    with pytest.raises(MalformedEvent, match="not UTF-8") as refusal:
        reader.read(body, sign(body, secret=SECRET, at=NOON))
    # A UnicodeDecodeError would carry the whole body into whatever logs it.
    assert refusal.value.__context__ is None


# The envelope


def test_an_unknown_type_is_an_event_without_a_report() -> None:
    """
    Stripe adds types; one that we do not follow is kept.
    """
    event = translate(event_body({"id": "in_1", "object": "invoice"}, "invoice.paid"))

    assert event.report is None
    assert event.key == ("evt_1", "invoice.paid")
    assert event.object_id == "in_1"


@pytest.mark.parametrize("type_", ["charge.teleported", "charge", "charge.", "Charge"])
def test_an_unknown_type_of_charge_is_kept_too(type_: str) -> None:
    """
    It is the type that we do not know; what is in the charge does not matter.
    """
    assert report_of(charge(amount=ABSENT), type_) is None


def test_an_object_without_an_id_is_taken() -> None:
    """
    A balance has none.
    """
    event = translate(event_body({"object": "balance"}, "balance.available"))

    assert event.object_id is None


@pytest.mark.parametrize("version", [None, "2014-11-05", "2026-06-24.dahlia", ABSENT])
def test_any_api_version_is_taken(version: object) -> None:
    """
    Events of before 2014 have none.
    """
    event = translate(event_body(charge(), api_version=version))

    assert event.api_version == (None if version is ABSENT else version)


BAD_ENVELOPES: Final[Mapping[str, list[object]]] = {
    "object": [ABSENT, "charge", "list", None, 1],
    "id": [ABSENT, None, "", "e" * 256, "e v", "e\n", "é", 1],
    "type": [ABSENT, None, "", "t" * 256, "a\n", "\x1b", []],
    "created": [ABSENT, None, "1", True, 1.0, -1, 2**64, 4_102_444_801],
    "livemode": [ABSENT, None, 0, "false"],
    "api_version": [1, "v" * 256],
    "account": [1, "a" * 256],
    "data": [ABSENT, None, [], "x"],
    "data.object": [None, [], "ch_1", 1],
    "data.object.id": [1, "", "c" * 256],
}


@pytest.mark.parametrize(
    ("field", "value"),
    [(field, value) for field, values in BAD_ENVELOPES.items() for value in values],
)
def test_an_envelope_out_of_shape_is_malformed(field: str, value: object) -> None:
    """
    The refusal names the field; every type of event is held to it.
    """
    if field == "data.object":
        body = event_body(value, "some.type")
    elif field == "data.object.id":
        body = event_body({"id": value}, "some.type")
    else:
        body = event_body({"id": "x_1"}, **{"type_": "some.type"} | {field: value})

    refusal = refusal_of(body)

    assert refusal.field == field
    assert refusal.reason


@pytest.mark.parametrize("created_s", [0, 4_102_444_800])
def test_the_limits_of_the_envelope_are_inside(created_s: int) -> None:
    """
    255 characters and both ends of the calendar are taken.
    """
    event = translate(
        event_body({"id": "x" * 255}, "t" * 255, id="e" * 255, created=created_s)
    )

    assert int(event.created_at.timestamp()) == created_s


def test_a_thin_event_is_malformed() -> None:
    """
    Events of the v2 API carry no object; they belong to another kind of endpoint.
    """
    body = json.dumps(
        {
            "id": "evt_1",
            "object": "v2.core.event",
            "type": "v1.billing.meter.error_report_triggered",
            "created": "2026-01-01T12:00:00.000Z",
            "livemode": False,
            "related_object": {"id": "mtr_1", "type": "billing.meter"},
        }
    ).encode()

    assert refusal_of(body).field == "object"


# Hostile JSON


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
    Empty, cut, doubled, of another encoding: an answer, not an accident.
    """
    assert refusal_of(body).reason


@pytest.mark.parametrize("depth", [2_000, 100_000])
@pytest.mark.parametrize("brackets", [b"[]", b"[", b'{"a":'])
def test_t16_deep_nesting_is_malformed(depth: int, brackets: bytes) -> None:
    """
    In a field that nobody reads, closed or not.
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
    The body is kept, and whoever reads it later must be able to.
    """
    body = event_body(charge(unread="@")).replace(b'"@"', number)

    assert refusal_of(body).reason == "not JSON"


def test_t18_the_largest_exact_amount_is_taken() -> None:
    """
    The limit is on the limit, not beside it.
    """
    assert payment_of(charge(amount=2**53 - 1)).amount == Money(2**53 - 1, "eur")
    assert payment_of(charge(amount=0)).amount == Money(0, "eur")


@pytest.mark.parametrize(
    "currency", ["EUR", "Eur", "eu", "euro", "", "€€€", "eur\n", "e r", None, 978]
)
def test_t18_a_currency_is_three_lower_case_letters(currency: object) -> None:
    """
    Stripe writes them so; anything else is not Stripe's.
    """
    assert refusal_of(event_body(charge(currency=currency))).field == (
        "data.object.currency"
    )


@pytest.mark.parametrize(
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
@pytest.mark.parametrize("place", ["read", "unread", "key"])
def test_t19_a_nul_in_any_text_is_malformed(text: bytes, place: str) -> None:
    """
    Postgres takes none; the place of the text does not matter.
    """
    fields: dict[str, dict[str, object]] = {
        "read": {"failure_code": "@"},
        "unread": {"description": "@"},
        "key": {"@": 1},
    }
    body = event_body(charge(**fields[place])).replace(b"@", text)

    assert refusal_of(body).reason == "a text holds a NUL character"


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
    Lone surrogates, raw control characters, broken UTF-8: read or not.
    """
    fields: dict[str, object] = {"@": 1} if place == "a key" else {place: "@"}
    body = event_body(charge(**fields)).replace(b"@", text)

    assert refusal_of(body).field == ""


@pytest.mark.parametrize(
    "text", ["\u2028\u2029", "\U0001f600", "\x7f", "é", "x" * 1_000_000]
)
def test_t19_any_other_text_may_stand_where_nobody_reads(text: str) -> None:
    """
    Line separators, emoji, a megabyte: kept as they came.
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


# Charges


@pytest.mark.parametrize("type_", CHARGE_TYPES)
@pytest.mark.parametrize(
    "generation",
    [
        # 2016: no `disputed`, no `billing_details`.
        {
            "disputed": ABSENT,
            "dispute": None,
            "invoice": "in_1",
            "destination": None,
            "source": {"id": "card_1", "object": "card"},
        },
        # The brief's, 2020.
        {"invoice": None, "billing_details": {"email": None}, "metadata": {}},
        # acacia, with everything expanded.
        {
            "customer": {"id": "cus_1", "object": "customer"},
            "invoice": {"id": "in_1", "object": "invoice"},
        },
        # basil and later: no invoice.
        {"customer": "cus_1", "payment_intent": "pi_1", "livemode": False},
    ],
)
def test_every_type_of_charge_event_is_read_in_every_generation(
    type_: str, generation: Fields
) -> None:
    """
    The same charge is the same payment, whoever rendered it.
    """
    report = payment_of(charge(**generation), type_)

    assert report.id == CH_1
    assert report.amount == Money(100, "eur")
    assert report.created_at == NOON
    assert report.dispute is DisputeState.NONE


@pytest.mark.parametrize("status", ["pending", "succeeded", "failed"])
@pytest.mark.parametrize("type_", sorted({*CHARGE_TYPES} - {"charge.expired"}))
def test_the_status_gives_the_state_whatever_the_type(type_: str, status: str) -> None:
    """
    The snapshot is the fact; the type is only the occasion.
    """
    assert payment_of(charge(status=status), type_).state == status


@pytest.mark.parametrize("status", ["paid", "", "SUCCEEDED", "succeeded ", ABSENT])
def test_an_unknown_status_is_a_doubt(status: object) -> None:
    """
    Somebody has to ask the gateway.
    """
    doubt = doubt_of(charge(status=status))

    assert doubt == Doubt(CH_1, "the charge has an unknown status")


@pytest.mark.parametrize(
    ("fields", "state", "refunded_minor"),
    [
        ({}, PaymentState.SUCCEEDED, 0),
        ({"amount": 0}, PaymentState.SUCCEEDED, 0),
        ({"amount_refunded": 1}, PaymentState.PARTIALLY_REFUNDED, 1),
        ({"amount_refunded": 99}, PaymentState.PARTIALLY_REFUNDED, 99),
        ({"amount_refunded": 100}, PaymentState.REFUNDED, 100),
        ({"amount_refunded": 100, "refunded": True}, PaymentState.REFUNDED, 100),
        ({"amount_refunded": ABSENT, "refunded": True}, PaymentState.REFUNDED, 100),
        ({"amount": 0, "refunded": True}, PaymentState.REFUNDED, 0),
        ({"status": "pending", "refunded": True}, PaymentState.REFUNDED, 100),
    ],
)
def test_refunds_are_read_from_the_charge(
    fields: Fields, state: PaymentState, refunded_minor: int
) -> None:
    """
    In part, or in full: by the flag or by the amount.
    """
    report = payment_of(charge(**fields), "charge.refunded")

    assert (report.state, report.refunded_minor) == (state, refunded_minor)


@pytest.mark.parametrize(
    "fields",
    [
        {"amount_refunded": 101},
        {"status": "failed", "amount_refunded": 1},
        {"status": "failed", "refunded": True},
        {"status": "pending", "amount_refunded": 1},
    ],
)
def test_an_impossible_refund_is_a_doubt(fields: Fields) -> None:
    """
    More than was charged, or of money that was never taken.
    """
    assert doubt_of(charge(**fields), "charge.refunded").payment_id == CH_1


@pytest.mark.parametrize("status", ["succeeded", "pending"])
def test_an_expired_authorisation_counts_as_refunded_in_full(status: str) -> None:
    """
    Nobody captured it in time; the money stays with the payer.
    """
    report = payment_of(charge(status=status, captured=False), "charge.expired")

    assert (report.state, report.refunded_minor) == (PaymentState.REFUNDED, 100)


def test_a_failed_authorisation_cannot_expire() -> None:
    """
    The type and the status contradict each other.
    """
    assert doubt_of(charge(status="failed"), "charge.expired").payment_id == CH_1


@pytest.mark.parametrize(
    "fields",
    [
        {"disputed": True},
        {"disputed": ABSENT, "dispute": "dp_1"},
        {"disputed": ABSENT, "dispute": {"id": "dp_1", "object": "dispute"}},
    ],
)
def test_a_disputed_charge_has_an_open_dispute(fields: Fields) -> None:
    """
    Older generations name the dispute instead of saying so.
    """
    assert payment_of(charge(**fields)).dispute is DisputeState.OPEN


@pytest.mark.parametrize(
    ("customer", "expected"),
    [
        (None, None),
        (ABSENT, None),
        ("cus_1", "cus_1"),
        ({"id": "cus_1", "object": "customer", "email": "a@b.c"}, "cus_1"),
        ({"id": "cus_1", "object": "customer", "deleted": True}, "cus_1"),
    ],
)
def test_a_customer_comes_as_nothing_an_id_or_whole(
    customer: object, expected: str | None
) -> None:
    """
    A customer that was deleted is still the one who paid.
    """
    report = payment_of(charge(customer=customer))

    assert report.customer_id == (CustomerId(expected) if expected else None)


@pytest.mark.parametrize("customer", [1, True, [], "", {}, {"id": 1}, {"id": None}])
def test_a_customer_of_another_shape_is_malformed(customer: object) -> None:
    """
    The refusal names the field, or the one inside it.
    """
    assert refusal_of(event_body(charge(customer=customer))).field.startswith(
        "data.object.customer"
    )


def test_a_customer_id_that_we_cannot_read_is_a_doubt() -> None:
    """
    Long ago merchants could choose them; such a payment is kept, not guessed at.
    """
    assert doubt_of(charge(customer="ann@example.com")).payment_id == CH_1


@pytest.mark.parametrize(
    ("invoice", "expected"),
    [(None, None), (ABSENT, None), ("in_1", "in_1"), ({"id": "in_1"}, "in_1")],
)
def test_an_invoice_comes_as_nothing_an_id_or_whole(
    invoice: object, expected: str | None
) -> None:
    """
    Since 2025-03-31 a charge does not name it.
    """
    assert payment_of(charge(invoice=invoice)).invoice_id == expected


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        (ABSENT, None),
        (None, None),
        ({}, None),
        ({"user_id": ""}, None),
        ({"order": "7"}, None),
        ({"user_id": "user-1"}, "user-1"),
        ({"user_id": "u" * 500}, "u" * 500),
    ],
)
def test_metadata_names_the_user(metadata: object, expected: str | None) -> None:
    """
    We set it; what is not there claims nothing.
    """
    assert payment_of(charge(metadata=metadata)).claimed_by == expected


@pytest.mark.parametrize("user", [1, True, ["user-1"], {}, "u" * 501])
def test_metadata_of_another_shape_is_malformed(user: object) -> None:
    """
    Stripe's metadata are texts of at most 500 characters.
    """
    body = event_body(charge(metadata={"user_id": user}))

    assert refusal_of(body).field == "data.object.metadata.user_id"


@pytest.mark.parametrize(
    ("receipt", "billing", "expected"),
    [
        (None, ABSENT, None),
        (ABSENT, None, None),
        (None, {}, None),
        (None, {"email": None}, None),
        ("Ann@Example.com", {"email": "bob@example.com"}, "ann@example.com"),
        (None, {"email": " Bob@Example.com. "}, "bob@example.com"),
        ("", {"email": "bob@example.com"}, "bob@example.com"),
        ("not an e-mail", None, None),
        ("a@b" * 100, None, None),
        ("a@" + "b" * 100_000, None, None),
    ],
)
def test_the_receipts_email_goes_before_the_billing_one(
    receipt: object, billing: object, expected: str | None
) -> None:
    """
    Kept as the key of the person; what is no e-mail is nobody's.
    """
    report = payment_of(charge(receipt_email=receipt, billing_details=billing))

    assert report.email == expected


def test_a_decline_says_why() -> None:
    """
    The code is Stripe's.
    """
    report = payment_of(charge(status="failed", failure_code="card_declined"))

    assert report.failure_code == "card_declined"


@pytest.mark.parametrize("field", ["id", "amount", "currency", "created"])
def test_a_charge_without_its_core_is_malformed(field: str) -> None:
    """
    No generation ever left these out.
    """
    refusal = refusal_of(event_body(charge(**{field: ABSENT})))

    assert (refusal.field, refusal.reason) == (f"data.object.{field}", "missing")


@pytest.mark.parametrize(
    "type_", [*CHARGE_TYPES, *DISPUTE_TYPES, "charge.refund.updated"]
)
@pytest.mark.parametrize("kind", ["payment_intent", "", "Charge", ABSENT])
def test_another_object_than_the_type_promises_is_a_doubt(
    type_: str, kind: object
) -> None:
    """
    It is not read at all: its fields would mean something else.
    """
    thing = without_absent({"id": "pi_1", "object": kind, "status": 1, "amount": -1})

    assert doubt_of(thing, type_).payment_id is None


# Modes and accounts


@pytest.mark.parametrize("livemode", [True, False])
def test_t21_the_mode_is_the_events(*, livemode: bool) -> None:
    """
    Whether it is ours is for the core to say.
    """
    event = translate(event_body(charge(livemode=livemode), livemode=livemode))

    assert event.livemode is livemode
    assert isinstance(event.report, Payment)


@pytest.mark.parametrize("livemode", [True, False])
@pytest.mark.parametrize(
    ("thing", "type_"),
    [(charge, "charge.succeeded"), (dispute, "charge.dispute.closed")],
)
def test_t21_an_object_of_the_other_mode_is_a_doubt(
    thing: Callable[..., object], type_: str, *, livemode: bool
) -> None:
    """
    Test money never pays in live mode, nor the reverse.
    """
    doubt = doubt_of(thing(livemode=not livemode), type_, livemode=livemode)

    assert doubt == Doubt(CH_1, "livemode of event and object differ")


def test_t22_an_event_of_a_connected_account_is_a_doubt() -> None:
    """
    Somebody else's money does not move our accounts.
    """
    doubt = doubt_of(charge(), account="acct_other")

    assert doubt == Doubt(CH_1, "the event is of a connected account")
    assert payment_of(charge(), account=None).id == CH_1


# Disputes and refunds


@pytest.mark.parametrize("type_", DISPUTE_TYPES)
@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("needs_response", DisputeState.OPEN),
        ("under_review", DisputeState.OPEN),
        ("warning_needs_response", DisputeState.OPEN),
        ("warning_under_review", DisputeState.OPEN),
        ("appeal_needs_response", DisputeState.OPEN),
        ("appeal_under_review", DisputeState.OPEN),
        ("warning_closed", DisputeState.WON),
        ("prevented", DisputeState.WON),
        ("won", DisputeState.WON),
        ("lost", DisputeState.LOST),
    ],
)
def test_a_dispute_is_a_report_about_its_charge(
    type_: str, status: str, state: DisputeState
) -> None:
    """
    The charge was paid, or there would be nothing to dispute.
    """
    event = translate(event_body(dispute(status=status), type_))

    assert event.object_id == "dp_1"
    assert event.report == Payment(id=CH_1, state=PaymentState.SUCCEEDED, dispute=state)


def test_a_dispute_may_carry_its_whole_charge() -> None:
    """
    Only the id of it counts.
    """
    report = payment_of(dispute(charge=charge(amount=7)), "charge.dispute.created")

    assert (report.id, report.amount) == (CH_1, None)


@pytest.mark.parametrize(
    ("fields", "payment_id"),
    [
        ({"status": "charge_refunded"}, CH_1),
        ({"status": ABSENT}, CH_1),
        ({"charge": None}, None),
        ({"charge": ABSENT}, None),
    ],
)
def test_an_unclear_dispute_is_a_doubt(
    fields: Fields, payment_id: PaymentId | None
) -> None:
    """
    An unknown status, or nobody's charge.
    """
    doubt = doubt_of(dispute(**fields), "charge.dispute.updated")

    assert doubt.payment_id == payment_id


@pytest.mark.parametrize("status", ["succeeded", "pending", "requires_action"])
def test_a_refund_on_its_way_reports_nothing_new(status: str) -> None:
    """
    The amounts come with `charge.refunded`.
    """
    assert report_of(refund(status=status), "charge.refund.updated") is None


@pytest.mark.parametrize("status", ["failed", "canceled"])
@pytest.mark.parametrize("reference", ["ch_1", charge()])
def test_a_refund_that_failed_is_a_doubt(status: str, reference: object) -> None:
    """
    Refunded amounts only grow by merging; this one has to be fetched.
    """
    thing = refund(status=status, charge=reference)

    assert doubt_of(thing, "charge.refund.updated") == Doubt(CH_1, "a refund failed")


@pytest.mark.parametrize("status", ["teleported", None, ABSENT])
def test_a_refund_of_unknown_status_is_a_doubt(status: object) -> None:
    """
    Also where no charge is named.
    """
    thing = refund(status=status, charge=None)

    assert doubt_of(thing, "charge.refund.updated").payment_id is None


# Properties

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)
field_names = st.sampled_from(
    [
        *charge(),
        *("customer", "invoice", "metadata", "billing_details", "receipt_email"),
        *("livemode", "dispute", "charge", "failure_code"),
    ]
)
types = st.sampled_from([*CHARGE_TYPES, *DISPUTE_TYPES, "charge.refund.updated", "x"])
kinds = st.sampled_from(["charge", "dispute", "refund"])


def event_or_refusal(body: bytes) -> GatewayEvent | MalformedEvent:
    try:
        return translate(body)
    except MalformedEvent as refusal:
        return refusal


@given(st.binary(max_size=4096) | st.text().map(str.encode))
@example(b"\xff")
@example(b"[" * 100_000)
@example(b'{"\\ud800')
@example(b'{"id":"\\u0000"}')
def test_p14_any_bytes_give_an_event_or_a_refusal(body: bytes) -> None:
    """
    Nothing else ever comes out.
    """
    assert isinstance(event_or_refusal(body), GatewayEvent | MalformedEvent)


@given(
    st.sampled_from(["charge_succeeded", "charge_failed"]),
    st.lists(st.tuples(st.integers(min_value=0), st.binary(max_size=6)), max_size=4),
)
def test_p14_a_real_body_with_bytes_changed_gives_an_event_or_a_refusal(
    name: str, changes: list[tuple[int, bytes]]
) -> None:
    """
    What is taken is kept byte for byte.
    """
    body = (PAYLOADS / f"{name}.json").read_bytes()
    for position, inserted in changes:
        place = position % len(body)
        body = body[:place] + inserted + body[place + len(inserted) // 2 :]

    found = event_or_refusal(body)

    assert isinstance(found, MalformedEvent) or found.body == body


@given(types, kinds, st.dictionaries(field_names, json_values, max_size=4))
def test_p14_any_value_in_any_field_gives_an_event_or_a_refusal(
    type_: str, kind: str, fields: dict[str, object]
) -> None:
    """
    Right names with wrong values are where a reader trips.
    """
    thing = {**charge(), "charge": "ch_1", "object": kind} | fields

    found = event_or_refusal(event_body(thing, type_))

    if isinstance(found, GatewayEvent):
        assert found.type == type_
        assert found.object_id == thing.get("id")


@given(field_names, st.integers(0, 3))
def test_a_refusal_never_repeats_the_input(field: str, nesting: int) -> None:
    """
    Neither does what a logger could follow from it.
    """
    value: object = "canary" * 100
    for _ in range(nesting):
        value = {"id": value, "email": value, "user_id": value, "canary": value}

    found = event_or_refusal(event_body(charge(**{field: value})))

    if isinstance(found, MalformedEvent):
        assert "canary" not in f"{found!r} {found.field} {found.__context__!r}"
    elif isinstance(found.report, Doubt):
        assert "canary" not in found.report.reason


@given(
    amount=st.integers(0, 2**53 - 1),
    share=st.floats(0, 1),
    status=st.sampled_from(["pending", "succeeded", "failed"]),
    refunded=st.booleans(),
)
def test_p14_a_charge_survives_the_way_through_json(
    amount: int, share: float, status: str, *, refunded: bool
) -> None:
    """
    Amounts come out to the last unit; a report that exists is consistent in itself.
    """
    returned = min(int(amount * share), amount)
    report = report_of(
        charge(
            amount=amount, amount_refunded=returned, status=status, refunded=refunded
        )
    )

    if isinstance(report, Payment):
        assert report.amount == Money(amount, "eur")
        assert returned <= report.refunded_minor <= amount
        assert report.merge(report) == report
    else:
        assert status != "succeeded"
