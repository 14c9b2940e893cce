"""What a charge in an event of Stripe means to us."""

import pytest

from payments_core import CustomerId, DisputeState, Money, PaymentState, SyncNeeded
from payments_core.job_key import JobKey, JobKind
from support.stripe_bodies import (
    ABSENT,
    CARD_TYPES,
    CH_1,
    CHARGE_TYPES,
    DISPUTE_TYPES,
    NOON,
    OWED_TYPES,
    REFUND_TYPES,
    SUBSCRIPTION_TYPES,
    Fields,
    charge,
    doubt_of,
    event_body,
    payment_of,
    quarantine_of,
    refusal_of,
    without_absent,
)


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
        # The original brief's, 2020.
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
    The same charge is the same payment, whatever version rendered it.
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
    The snapshot is the fact; the type only says why it was sent.
    """
    assert payment_of(charge(status=status), type_).state == status


@pytest.mark.parametrize("status", ["paid", "", "SUCCEEDED", "succeeded ", ABSENT])
def test_an_unknown_status_is_a_doubt(status: object) -> None:
    """
    The payment is fetched from the gateway.
    """
    doubt = doubt_of(charge(status=status))

    assert doubt == SyncNeeded.of_payment(CH_1, "the charge has an unknown status")


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
    assert doubt_of(charge(**fields), "charge.refunded").job == JobKey(
        JobKind.PAYMENT, CH_1
    )


@pytest.mark.parametrize("status", ["succeeded", "pending"])
def test_an_expired_authorisation_counts_as_refunded_in_full(status: str) -> None:
    """
    It was not captured in time; the money stays with the payer.
    """
    report = payment_of(charge(status=status, captured=False), "charge.expired")

    assert (report.state, report.refunded_minor) == (PaymentState.REFUNDED, 100)


def test_a_failed_authorisation_cannot_expire() -> None:
    """
    The type and the status contradict each other.
    """
    assert doubt_of(charge(status="failed"), "charge.expired").job == JobKey(
        JobKind.PAYMENT, CH_1
    )


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
    Older versions name the dispute instead of a flag.
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
    A deleted customer is still the one who paid.
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
    Long ago merchants could choose them; such a payment is stored, without a guess.
    """
    assert doubt_of(charge(customer="ann@example.com")).job == JobKey(
        JobKind.PAYMENT, CH_1
    )


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
    We set it; a missing entry names nobody.
    """
    assert payment_of(charge(metadata=metadata)).metadata_user_id == expected


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
    It is stored as the key of the person; an invalid e-mail names nobody.
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
    No version ever left these out.
    """
    refusal = refusal_of(event_body(charge(**{field: ABSENT})))

    assert (refusal.field, refusal.reason) == (f"data.object.{field}", "missing")


@pytest.mark.parametrize(
    "type_",
    [
        *CHARGE_TYPES,
        *DISPUTE_TYPES,
        *REFUND_TYPES,
        *SUBSCRIPTION_TYPES,
        "invoice.paid",
        *OWED_TYPES,
        *CARD_TYPES,
    ],
)
@pytest.mark.parametrize("kind", ["payment_intent", "", "Charge", ABSENT])
def test_another_object_than_the_type_promises_is_kept_apart(
    type_: str, kind: object
) -> None:
    """
    It is not read at all: its fields would have another meaning.
    """
    thing = without_absent({"id": "pi_1", "object": kind, "status": 1, "amount": -1})

    assert quarantine_of(thing, type_).reason.startswith("the object is not a ")
