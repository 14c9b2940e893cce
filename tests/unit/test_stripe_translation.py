"""What Stripe's bodies mean to us. Ids are those of the threat model."""

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import attrs
import pytest
import stripe
from hypothesis import example, given
from hypothesis import strategies as st

from payments_adapters.stripe import StripeEvents, StripeSignatures, sign, translate
from payments_adapters.stripe.objects import API_VERSION
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
from payments_core.events import Notice, Report
from payments_core.job import JobKey, JobKind
from payments_core.subscription import (
    PaidTerm,
    PendingUpdate,
    SubscriptionReport,
    SubscriptionStatus,
)
from payments_sandbox.generations import ACACIA, BASIL, NEWEST, render
from payments_sandbox.resources.endpoints import shown
from payments_sandbox.world import Event
from support.sandbox import Api

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
SUBSCRIPTION_TYPES: Final = [
    f"customer.subscription.{what}"
    for what in (
        "created",
        "deleted",
        "paused",
        "pending_update_applied",
        "pending_update_expired",
        "resumed",
        "trial_will_end",
        "updated",
    )
]
OWED_TYPES: Final = ["invoice.payment_action_required", "invoice.payment_failed"]
CARD_TYPES: Final = ["payment_method.automatically_updated", "setup_intent.succeeded"]
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
) -> Report | None:
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
    event = translate(event_body({"id": "in_1", "object": "invoice"}, "invoice.sent"))

    assert event.report is None
    assert event.key == ("evt_1", "invoice.sent")
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
    "type_",
    [
        *CHARGE_TYPES,
        *DISPUTE_TYPES,
        "charge.refund.updated",
        *SUBSCRIPTION_TYPES,
        "invoice.paid",
        *OWED_TYPES,
        *CARD_TYPES,
    ],
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
    unclear = doubt_of(charge(status="teleported"), account="acct_other")
    assert unclear == doubt


@pytest.mark.parametrize(
    "fields", [{"account": "acct_other"}, {"livemode": True}], ids=["account", "mode"]
)
@pytest.mark.parametrize(
    "type_", [*SUBSCRIPTION_TYPES, "invoice.paid", *OWED_TYPES, *CARD_TYPES]
)
def test_t22_nothing_of_anybody_elses_is_looked_up(type_: str, fields: Fields) -> None:
    """
    Neither subscription nor card: what is not ours is not asked for with our key.
    """
    thing = followed(type_)
    assert report_of(thing, type_, api_version=API_VERSION) is not None

    doubt = doubt_of(thing, type_, api_version=API_VERSION, **fields)

    assert doubt.payment_id is None


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


# Subscriptions

SUB_1: Final = JobKey(JobKind.SUBSCRIPTION, "sub_1")
MONTH: Final = 31 * 86_400
GENERATIONS: Final = (
    ACACIA,
    BASIL,
    "2025-09-30.clover",
    "2026-03-25.dahlia",
    NEWEST,
)


def item(**fields: object) -> dict[str, object]:
    usual: dict[str, object] = {
        "id": "si_1",
        "object": "subscription_item",
        "created": NOON_S,
        "price": {"id": "price_1", "object": "price", "product": "prod_1"},
        "quantity": 2,
        "current_period_start": NOON_S,
        "current_period_end": NOON_S + MONTH,
    }
    return without_absent(usual | fields)


def subscription(**fields: object) -> dict[str, object]:
    usual: dict[str, object] = {
        "id": "sub_1",
        "object": "subscription",
        "customer": "cus_1",
        "status": "active",
        "created": NOON_S,
        "currency": "eur",
        "livemode": False,
        "items": {"object": "list", "data": [item()]},
    }
    return without_absent(usual | fields)


def line(**fields: object) -> dict[str, object]:
    usual: dict[str, object] = {
        "id": "il_1",
        "object": "line_item",
        "amount": 900,
        "period": {"start": NOON_S, "end": NOON_S + MONTH},
        "parent": {
            "type": "subscription_item_details",
            "subscription_item_details": {"proration": False, "subscription": "sub_1"},
        },
    }
    return without_absent(usual | fields)


def old_line(**fields: object) -> dict[str, object]:
    """Return a line as it was before 2025-03-31."""
    usual: dict[str, object] = {
        "type": "subscription",
        "proration": False,
        "subscription": "sub_1",
        "subscription_item": "si_1",
    }
    return line(**{"parent": ABSENT, **usual, **fields})


def invoice(*lines: dict[str, object], **fields: object) -> dict[str, object]:
    usual: dict[str, object] = {
        "id": "in_1",
        "object": "invoice",
        "status": "paid",
        "livemode": False,
        "parent": {
            "type": "subscription_details",
            "subscription_details": {"subscription": "sub_1"},
        },
        "lines": {"object": "list", "data": list(lines or [line()])},
    }
    return without_absent(usual | fields)


def old_invoice(*lines: dict[str, object], **fields: object) -> dict[str, object]:
    """Return an invoice as it was before 2025-03-31."""
    lines = lines or (old_line(),)
    return invoice(*lines, **{"parent": ABSENT, "subscription": "sub_1", **fields})


def followed(type_: str) -> dict[str, Any]:
    """Return an object from which an event of a billing type gives a report."""
    if type_ in SUBSCRIPTION_TYPES:
        return subscription()
    if type_.startswith("invoice."):
        return invoice()
    if type_ == "setup_intent.succeeded":
        return {
            "id": "seti_1",
            "object": "setup_intent",
            "livemode": False,
            "metadata": {"intent_id": "intent-1"},
        }
    return {
        "id": "pm_1",
        "object": "payment_method",
        "customer": "cus_1",
        "livemode": False,
    }


def pinned_report(thing: object, type_: str = "customer.subscription.updated") -> Any:
    return report_of(thing, type_, api_version=API_VERSION)


def test_the_pin_is_the_sdks_own_version() -> None:
    """
    What we ask for, what we read and what the SDK is typed for are one.
    """
    assert stripe.api_version == API_VERSION == NEWEST


@pytest.mark.parametrize("type_", SUBSCRIPTION_TYPES)
def test_a_subscription_is_a_report(type_: str) -> None:
    """
    Of whichever type: the object is as it was just afterwards.
    """
    event = translate(event_body(subscription(), type_, api_version=API_VERSION))

    assert event.object_id == "sub_1"
    assert event.report == SubscriptionReport(
        gateway_id="sub_1",
        customer_id=CustomerId("cus_1"),
        status=SubscriptionStatus.ACTIVE,
        product="prod_1",
        price="price_1",
        quantity=2,
        item_id="si_1",
        currency="eur",
        created_at=NOON,
        period_start=NOON,
        period_end=NOON + timedelta(days=31),
    )


@pytest.mark.parametrize("status", SubscriptionStatus)
def test_every_status_is_known(status: SubscriptionStatus) -> None:
    """
    All eight of them.
    """
    assert pinned_report(subscription(status=status.value)).status is status


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"customer": {"id": "cus_1", "deleted": True}}, {}),
        ({"trial_start": NOON_S}, {"trial_start": NOON}),
        ({"trial_end": NOON_S}, {"trial_end": NOON}),
        ({"cancel_at": NOON_S}, {"cancel_at": NOON}),
        ({"cancel_at_period_end": True}, {"cancel_at_period_end": True}),
        ({"ended_at": NOON_S}, {"ended_at": NOON}),
        ({"default_payment_method": "pm_1"}, {"pinned_card": "pm_1"}),
        ({"default_payment_method": {"id": "pm_1"}}, {"pinned_card": "pm_1"}),
        ({"latest_invoice": "in_1"}, {"latest_invoice_id": "in_1"}),
        ({"latest_invoice": invoice()}, {"latest_invoice_id": "in_1"}),
        ({"metadata": {"user_id": "ada"}}, {"claimed_by": "ada"}),
        ({"metadata": {"intent_id": "i-1"}}, {"intent_id": "i-1"}),
        ({"metadata": {"user_id": "", "intent_id": ""}}, {}),
        ({"metadata": None, "pending_update": None, "latest_invoice": None}, {}),
    ],
)
def test_what_else_a_subscription_says(
    fields: Fields, expected: dict[str, Any]
) -> None:
    """
    What it does not say is None; an object that came whole is its id.
    """
    usual = pinned_report(subscription())
    assert pinned_report(subscription(**fields)) == attrs.evolve(usual, **expected)


@pytest.mark.parametrize(
    ("items", "pending"),
    [
        (None, PendingUpdate(price=None, quantity=None, expires_at=NOON)),
        ([], PendingUpdate(price=None, quantity=None, expires_at=NOON)),
        (
            [{"id": "si_1", "price": {"id": "price_2"}, "quantity": 3}],
            PendingUpdate(price="price_2", quantity=3, expires_at=NOON),
        ),
        (
            [{"id": "si_2", "price": "price_3"}, {"id": "si_1", "price": "price_2"}],
            PendingUpdate(price="price_2", quantity=None, expires_at=NOON),
        ),
    ],
)
def test_a_held_change_is_that_of_our_item(
    items: object, pending: PendingUpdate
) -> None:
    """
    Until when it waits, and for what.
    """
    held = {"expires_at": NOON_S, "subscription_items": items}
    assert pinned_report(subscription(pending_update=held)).pending == pending


@pytest.mark.parametrize("turned", [False, True])
def test_of_several_items_the_first_made_is_ours(*, turned: bool) -> None:
    """
    Its price, its quantity and its period; what somebody added is not ours.
    """
    items = [
        item(id="si_2", created=NOON_S + 9, quantity=9, current_period_end=NOON_S + 1),
        item(),
    ]
    report = pinned_report(subscription(items={"data": items[:: 1 - 2 * turned]}))

    assert (report.item_id, report.quantity) == ("si_1", 2)
    assert report.period_end == NOON + timedelta(days=31)


def test_an_item_without_a_quantity_is_one() -> None:
    """
    A metered price has none.
    """
    items = {"data": [item(quantity=None)]}
    assert pinned_report(subscription(items=items)).quantity == 1


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"status": "teleported"}, "the subscription has an unknown status"),
        ({"status": ""}, "the subscription has an unknown status"),
        ({"items": {"data": []}}, "the subscription has no items"),
        (
            {"items": {"data": [item(current_period_end=ABSENT)]}},
            "the subscription has no period",
        ),
        ({"customer": "ann@example.com"}, "the customer's id is not readable"),
    ],
)
@pytest.mark.parametrize("version", [API_VERSION, ACACIA, None])
def test_an_unclear_subscription_is_looked_up(
    fields: Fields, reason: str, version: str | None
) -> None:
    """
    Whatever version rendered it: no report is a guess.
    """
    report = report_of(
        subscription(**fields), "customer.subscription.updated", api_version=version
    )

    assert report == Notice(SUB_1, reason)


@pytest.mark.parametrize("field", ["id", "customer", "status", "currency", "items"])
@pytest.mark.parametrize("value", [ABSENT, None, 1])
def test_a_subscription_out_of_shape_is_malformed(field: str, value: object) -> None:
    """
    Of our version: the refusal names the field.
    """
    body = event_body(
        subscription(**{field: value}), SUBSCRIPTION_TYPES[0], api_version=API_VERSION
    )

    assert refusal_of(body).field == f"data.object.{field}"


@pytest.mark.parametrize("field", ["customer", "status", "currency", "items"])
def test_another_versions_shape_is_no_fault_of_the_event(field: str) -> None:
    """
    An endpoint of a version to come must not be refused for days, and switched off.
    """
    report = report_of(
        subscription(**{field: [{"is": "new"}]}),
        SUBSCRIPTION_TYPES[0],
        api_version="2031-01-01.quince",
    )

    assert report == Notice(SUB_1, "another API version")


@pytest.mark.parametrize(
    ("version", "is_ours"),
    [
        (API_VERSION, True),
        ("2026-12-16.endive", True),
        ("2026-10-28.endivia", False),
        ("endive", False),
        ("2026-06-24.dahlia", False),
        ("2024-06-20", False),
        (None, False),
        (ABSENT, False),
    ],
)
def test_only_our_releases_payloads_are_taken(
    version: object, *, is_ours: bool
) -> None:
    """
    Monthly versions of one name are compatible; any other may mean something else.
    """
    report = report_of(
        subscription(), "customer.subscription.updated", api_version=version
    )

    assert isinstance(report, SubscriptionReport) is is_ours
    assert is_ours or report == Notice(SUB_1, "another API version")


@pytest.mark.parametrize("status", ["canceled", "incomplete_expired"])
@pytest.mark.parametrize("version", [None, ACACIA, "2031-01-01.quince"])
def test_the_end_is_told_by_any_version(status: str, version: str | None) -> None:
    """
    It absorbs everything else: there is nothing to wait for.
    """
    report = report_of(
        subscription(status=status),
        "customer.subscription.deleted",
        api_version=version,
    )

    assert isinstance(report, SubscriptionReport)
    assert report.terminal


# As the sandbox renders them

World = tuple[Api, Sequence[Event]]


def in_version(api: Api, happened: Event, version: str, *, named: str = "") -> bytes:
    """Return an event as an endpoint of this version gets it, or one so named."""
    world = api.engine.world
    whole = shown(world, happened)
    thing = render(world, happened.object, version, happened.links)
    data = {**whole["data"], "object": thing}
    return json.dumps({**whole, "api_version": named or version, "data": data}).encode()


def lived(api: Api) -> Sequence[Event]:
    """Let subscriptions go through all that we follow; return what happened."""
    plain, dearer = api.price(900), api.price(1900)
    customer = api.customer(None)
    trial = api.subscribe(
        customer["id"],
        plain["id"],
        trial_period_days=7,
        trial_settings={"end_behavior": {"missing_payment_method": "pause"}},
        metadata={"user_id": "ada", "intent_id": "intent-1"},
    )
    api.advance("8 days")
    good = api.give_card(customer["id"], "pm_card_visa")
    api.post(f"subscriptions/{trial['id']}/resume")
    bad = api.give_card(customer["id"], "pm_card_chargeCustomerFail")
    for pays in (True, False):
        held = api.post(
            f"subscriptions/{trial['id']}",
            items=[{"id": trial["items"]["data"][0]["id"], "price": dearer["id"]}],
            payment_behavior="pending_if_incomplete",
            proration_behavior="always_invoice",
        )
        if pays:
            path = f"invoices/{held['latest_invoice']}/pay"
            api.post(path, payment_method=good)
            plain, dearer = dearer, plain
            api.advance("1 day")
            dearer = api.price(2900)
    api.advance("1 day")
    api.engine.set_card(bad, declines="lost_card")
    api.advance("2 months")
    api.subscribe(api.customer("pm_card_authenticationRequired")["id"], plain["id"])
    api.advance("1 day")
    return list(api.engine.world.events.values())


@pytest.fixture(scope="module")
def world() -> World:
    api = Api.begin()
    return api, lived(api)


def of_types(world: World, *types: str) -> list[Event]:
    return [event for event in world[1] if event.type in types]


@pytest.mark.parametrize("type_", SUBSCRIPTION_TYPES)
@pytest.mark.parametrize("version", GENERATIONS)
def test_a_subscription_says_the_same_in_every_generation(
    world: World, type_: str, version: str
) -> None:
    """
    Where the period is, and what came and went, does not change the report.
    """
    happened = of_types(world, type_)
    assert happened
    for event in happened:
        newest = translate(in_version(world[0], event, NEWEST)).report
        assert isinstance(newest, SubscriptionReport)
        assert newest.gateway_id == event.object["id"]

        as_ours = in_version(world[0], event, version, named=API_VERSION)
        assert translate(as_ours).report == newest

        found = translate(in_version(world[0], event, version)).report
        if newest.terminal or version == NEWEST:
            assert found == newest
        else:
            key = attrs.evolve(SUB_1, subject=newest.gateway_id)
            assert found == Notice(key, "another API version")


@pytest.mark.parametrize("version", GENERATIONS)
def test_a_paid_invoice_says_the_same_in_every_generation(
    world: World, version: str
) -> None:
    """
    Whose it is, what it covers, and that a proration covers nothing.
    """
    terms, owners = set(), set()
    for event in of_types(world, "invoice.paid"):
        newest = translate(in_version(world[0], event, NEWEST)).report
        as_ours = in_version(world[0], event, version, named=API_VERSION)
        assert translate(as_ours).report == newest
        terms.add(type(newest))
        found = translate(in_version(world[0], event, version)).report
        if version != NEWEST:
            assert isinstance(found, Notice)
            owners.add(found.job.kind)
    assert terms == {PaidTerm, Notice}
    assert owners <= {JobKind.SUBSCRIPTION}


@pytest.mark.parametrize("type_", OWED_TYPES)
@pytest.mark.parametrize("version", GENERATIONS)
def test_an_owed_invoice_is_a_notice_in_every_generation(
    world: World, type_: str, version: str
) -> None:
    """
    What it means for the subscription is looked up.
    """
    happened = of_types(world, type_)
    assert happened
    for event in happened:
        details = event.object["parent"]["subscription_details"]
        key = JobKey(JobKind.SUBSCRIPTION, details["subscription"])
        found = translate(in_version(world[0], event, version)).report
        assert found == Notice(key, type_)


# Paid invoices


def paid(thing: object) -> Report | None:
    return pinned_report(thing, "invoice.paid")  # type: ignore[no-any-return]  # of any


@pytest.mark.parametrize("thing", [invoice(), old_invoice()], ids=["new", "old"])
def test_a_paid_invoice_is_a_term(thing: dict[str, object]) -> None:
    """
    From when until when, of which subscription.
    """
    assert paid(thing) == PaidTerm(
        gateway_id="sub_1",
        invoice_id="in_1",
        starts_at=NOON,
        ends_at=NOON + timedelta(days=31),
    )


@pytest.mark.parametrize(
    ("fields", "ends_s"),
    [
        ({"amount": 0}, MONTH),
        ({"parent": {"subscription_item_details": {"subscription": None}}}, MONTH),
        ({"parent": {"subscription_item_details": {}}}, MONTH),
    ],
)
def test_a_line_of_an_item_covers_its_period(fields: Fields, ends_s: int) -> None:
    """
    Be it free, as in a trial, or the invoice's alone to say whose it is.
    """
    report = paid(invoice(line(**fields)))

    assert isinstance(report, PaidTerm)
    assert report.ends_at == NOON + timedelta(seconds=ends_s)


@pytest.mark.parametrize("turned", [False, True])
def test_of_several_lines_the_one_that_ends_last_counts(*, turned: bool) -> None:
    """
    In whatever order they are printed.
    """
    later = {"start": NOON_S + 1, "end": NOON_S + 2 * MONTH}
    lines = [line(), line(period=later)][:: 1 - 2 * turned]
    report = paid(invoice(*lines))

    assert isinstance(report, PaidTerm)
    assert report.starts_at == NOON + timedelta(seconds=1)
    assert report.ends_at == NOON + timedelta(days=62)


FAR: Final = {"start": NOON_S, "end": NOON_S + 99 * MONTH}
NO_TERMS: Final = {
    "a proration": line(
        period=FAR,
        parent={
            "subscription_item_details": {"proration": True, "subscription": "sub_1"}
        },
    ),
    "added by hand": line(
        period=FAR,
        subscription="sub_1",
        parent={
            "subscription_item_details": None,
            "invoice_item_details": {"proration": False, "subscription": "sub_1"},
        },
    ),
    "another subscription's": line(
        period=FAR, parent={"subscription_item_details": {"subscription": "sub_2"}}
    ),
    "nobody's": line(period=FAR, parent={}),
    "an old proration": old_line(period=FAR, proration=True),
    "added by hand, old": old_line(period=FAR, type="invoiceitem"),
    "another's, old": old_line(period=FAR, subscription="sub_2"),
}


@pytest.mark.parametrize("other", NO_TERMS.values(), ids=NO_TERMS)
def test_what_is_no_term_does_not_lengthen_one(other: dict[str, object]) -> None:
    """
    However far its period reaches; alone it covers nothing, and we look.
    """
    usual = paid(invoice())
    assert paid(invoice(other, line())) == usual

    assert paid(invoice(other)) == Notice(SUB_1, "an invoice of no term was paid")


@pytest.mark.parametrize("status", ["open", "draft", "void", "uncollectible", None])
def test_an_invoice_that_is_not_paid_is_no_term(status: str | None) -> None:
    """
    Whatever the type of the event says.
    """
    report = paid(invoice(status=status))
    assert report == Notice(SUB_1, "an invoice of no term was paid")


@pytest.mark.parametrize("type_", ["invoice.paid", *OWED_TYPES])
@pytest.mark.parametrize("version", [API_VERSION, ACACIA])
@pytest.mark.parametrize("parent", [None, ABSENT, {}, {"quote_details": {}}])
def test_an_invoice_without_a_subscription_is_no_report(
    type_: str, version: str, parent: object
) -> None:
    """
    A one-off payment is its charge.
    """
    thing = invoice(parent=parent)
    assert report_of(thing, type_, api_version=version) is None


@pytest.mark.parametrize("type_", ["invoice.paid", *OWED_TYPES])
def test_of_another_versions_invoice_only_the_owner_is_read(type_: str) -> None:
    """
    Its lines may be anything by then.
    """
    report = report_of(
        invoice(lines="elsewhere"), type_, api_version="2031-01-01.quince"
    )
    assert isinstance(report, Notice)
    assert report.job == SUB_1


# Cards


@pytest.mark.parametrize(
    ("metadata", "is_ours"),
    [
        ({"intent_id": "intent-1"}, True),
        ({"intent_id": ""}, False),
        ({"user_id": "ada"}, False),
        ({}, False),
        (None, False),
        (ABSENT, False),
    ],
)
@pytest.mark.parametrize("version", GENERATIONS)
def test_a_card_that_we_had_set_up_is_a_notice(
    metadata: object, version: str, *, is_ours: bool
) -> None:
    """
    What others set up has purposes of its own.
    """
    thing = without_absent({**followed("setup_intent.succeeded"), "metadata": metadata})
    report = report_of(thing, "setup_intent.succeeded", api_version=version)

    key = JobKey(JobKind.SET_UP, "seti_1")
    assert report == (Notice(key, "a card was set up") if is_ours else None)


@pytest.mark.parametrize("customer", ["cus_1", {"id": "cus_1"}, None, ABSENT])
def test_a_renewed_card_is_a_notice_of_its_customer(customer: object) -> None:
    """
    Nobody's card is nobody's business.
    """
    type_ = "payment_method.automatically_updated"
    thing = without_absent({**followed(type_), "customer": customer})

    key = JobKey(JobKind.CUSTOMER, "cus_1")
    wanted = (
        Notice(key, "the card was renewed")
        if customer in ("cus_1", {"id": "cus_1"})
        else None
    )
    assert report_of(thing, type_) == wanted


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
billing_types = st.sampled_from(
    [*SUBSCRIPTION_TYPES, "invoice.paid", *OWED_TYPES, *CARD_TYPES]
)
billing_names = st.sampled_from(
    [
        *("id", "customer", "status", "created", "currency", "items", "livemode"),
        *("current_period_start", "current_period_end", "trial_start", "trial_end"),
        *("cancel_at", "cancel_at_period_end", "ended_at", "default_payment_method"),
        *("latest_invoice", "pending_update", "metadata", "data", "price", "product"),
        *("quantity", "subscription_items", "expires_at", "lines", "period", "start"),
        *("end", "parent", "subscription_details", "subscription", "type"),
        *("subscription_item_details", "proration", "user_id", "intent_id"),
    ]
)


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


@given(
    billing_types,
    st.sampled_from([API_VERSION, ACACIA, None]),
    st.dictionaries(billing_names, json_values, max_size=4),
)
def test_p14_any_value_in_any_field_of_billing_gives_an_event_or_a_refusal(
    type_: str, version: str | None, fields: dict[str, object]
) -> None:
    """
    In place of the right ones; and one that we do not refuse is a report of ours.
    """
    thing = {**followed(type_), **fields}

    found = event_or_refusal(event_body(thing, type_, api_version=version))

    if isinstance(found, GatewayEvent):
        assert isinstance(found.report, Report | None)
        hash(found.report)


nested = st.recursive(
    json_values,
    lambda inner: st.dictionaries(billing_names, inner | st.lists(inner), max_size=4),
    max_leaves=12,
)


@given(billing_types, st.dictionaries(billing_names, nested, max_size=6))
def test_p14_any_object_gives_an_event_or_a_refusal(
    type_: str, fields: dict[str, object]
) -> None:
    """
    Whatever is nested in whatever.
    """
    thing = {"id": "x_1", **fields, "object": followed(type_)["object"]}

    found = event_or_refusal(event_body(thing, type_, api_version=API_VERSION))

    assert isinstance(found, GatewayEvent | MalformedEvent)


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


@given(billing_types, billing_names, st.integers(0, 3))
def test_a_refusal_of_billing_never_repeats_the_input(
    type_: str, field: str, nesting: int
) -> None:
    """
    A reason neither: it goes into logs.
    """
    value: object = "canary" * 100
    for _ in range(nesting):
        value = {"id": value, "data": [value], "subscription_details": value}
    thing = {**followed(type_), field: value}

    found = event_or_refusal(event_body(thing, type_, api_version=API_VERSION))

    if isinstance(found, MalformedEvent):
        assert "canary" not in f"{found!r} {found.field} {found.__context__!r}"
    elif isinstance(found.report, Doubt | Notice):
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
