"""Events of Stripe: their signature, and the envelope around their objects.

Ids are those of the threat model.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

import pytest

from payments_adapters.stripe import StripeEvents, StripeSignatures, sign, translate
from payments_core import (
    GatewayEvent,
    Money,
    Payment,
    PaymentId,
    PaymentState,
)
from payments_core.errors import BadSignature
from payments_core.events import QuarantineNeeded
from support.stripe_bodies import (
    ABSENT,
    NOON,
    NOON_S,
    PAYLOADS,
    a_secret,
    charge,
    event_body,
    refusal_of,
    report_of,
)

SECRET: Final = a_secret("new")


# The bodies of the original brief


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
    A charge without a customer, paid before it is captured, with its own time.
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
            # A body of that age says that it paid no invoice.
            invoice_known=True,
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
    return StripeEvents(StripeSignatures((SECRET,), lambda: NOON), livemode=False)


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
    A body that Stripe did not sign is refused as such, whatever it contains.
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
    They are stored under the digest of the body, at the time of the signature.
    """
    body = event_body(charge(description="@")).replace(b"@", b"\xff")

    event = reader.read(body, sign(body, secret=SECRET, at=NOON))

    assert event.report == QuarantineNeeded("unreadable: body: not UTF-8")
    assert event.body == body


# The envelope


def test_a_type_that_is_not_followed_is_an_event_without_a_report() -> None:
    """
    The event is stored.
    """
    event = translate(event_body({"id": "in_1", "object": "invoice"}, "invoice.sent"))

    assert event.report is None
    assert event.key == ("evt_1", "invoice.sent")
    assert event.object_id == "in_1"


@pytest.mark.parametrize("type_", ["charge.teleported", "charge", "charge.", "Charge"])
def test_an_unknown_type_of_charge_is_kept_too(type_: str) -> None:
    """
    The type is unknown to us; the contents of the charge do not matter.
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
    Events from before 2014 have none.
    """
    event = translate(event_body(charge(), api_version=version))

    assert event.api_version == (None if version is ABSENT else version)


BAD_ENVELOPES: Final[Mapping[str, list[object]]] = {
    "request": [1, [], "r" * 256],
    "object": [ABSENT, "charge", "list", None, 1],
    "id": [ABSENT, None, "", "e" * 256, "e v", "e\n", "é", 1],
    "type": [ABSENT, None, "", "t" * 256, "a\n", "\x1b", []],
    "created": [ABSENT, None, "1", True, 1.0, -1, 2**64, 4_102_444_801],
    "livemode": [ABSENT, None, 0, "false"],
    "api_version": [1, "v" * 256],
    "account": [1, "a" * 256],
    "context": [1, "a" * 256],
    "data": [ABSENT, None, [], "x"],
    "request.idempotency_key": [1, "k" * 256],
    "data.object": [None, [], "ch_1", 1],
    "data.object.id": [1, "", "c" * 256],
}


@pytest.mark.parametrize(
    ("field", "value"),
    [(field, value) for field, values in BAD_ENVELOPES.items() for value in values],
)
def test_an_envelope_out_of_shape_is_malformed(field: str, value: object) -> None:
    """
    The refusal names the field; the check applies to every type of event.
    """
    if field == "data.object":
        body = event_body(value, "some.type")
    elif field == "data.object.id":
        body = event_body({"id": value}, "some.type")
    elif field == "request.idempotency_key":
        request = {"idempotency_key": value}
        body = event_body({"id": "x_1"}, "some.type", request=request)
    else:
        body = event_body({"id": "x_1"}, **{"type_": "some.type"} | {field: value})

    refusal = refusal_of(body)

    assert refusal.field == field
    assert refusal.reason


@pytest.mark.parametrize("created_s", [0, 4_102_444_800])
def test_the_limits_of_the_envelope_are_inside(created_s: int) -> None:
    """
    255 characters and both ends of the calendar are accepted.
    """
    event = translate(
        event_body({"id": "x" * 255}, "t" * 255, id="e" * 255, created=created_s)
    )

    assert int(event.created_at.timestamp()) == created_s
