"""What disputes and refunds in events of Stripe mean to us; modes and accounts."""

from collections.abc import Callable
from typing import Any

import pytest

from payments_adapters.stripe import translate
from payments_adapters.stripe.api_shapes import API_VERSION
from payments_core import DisputeState, Payment, PaymentState, SyncNeeded
from support.stripe_bodies import (
    ABSENT,
    CARD_TYPES,
    CH_1,
    DISPUTE_TYPES,
    OWED_TYPES,
    REFUND_TYPES,
    SUBSCRIPTION_TYPES,
    Fields,
    charge,
    doubt_of,
    event_body,
    followed,
    payment_of,
    quarantine_of,
    report_of,
    without_absent,
)


def dispute(**fields: object) -> dict[str, object]:
    usual = {"id": "dp_1", "object": "dispute", "charge": "ch_1", "status": "lost"}
    return without_absent(usual | fields)


def refund(**fields: object) -> dict[str, object]:
    usual = {"id": "re_1", "object": "refund", "charge": "ch_1", "status": "succeeded"}
    return without_absent(usual | fields)


# Modes and accounts


@pytest.mark.parametrize("livemode", [True, False])
def test_t21_the_mode_is_the_events(*, livemode: bool) -> None:
    """
    Whether it is ours is decided by the core.
    """
    event = translate(event_body(charge(livemode=livemode), livemode=livemode))

    assert event.livemode is livemode
    assert isinstance(event.report, Payment)


@pytest.mark.parametrize("livemode", [True, False])
@pytest.mark.parametrize(
    ("thing", "type_"),
    [(charge, "charge.succeeded"), (dispute, "charge.dispute.closed")],
)
def test_t21_an_object_of_the_other_mode_is_kept_apart(
    thing: Callable[..., object], type_: str, *, livemode: bool
) -> None:
    """
    Test money never pays in live mode, nor the reverse.
    """
    found = quarantine_of(thing(livemode=not livemode), type_, livemode=livemode)

    assert found.reason == "livemode of event and object differ"


@pytest.mark.parametrize(
    ("field", "whose"),
    [("account", "a connected account"), ("context", "an account of an organisation")],
)
def test_t22_an_event_of_another_account_is_kept_apart(field: str, whose: str) -> None:
    """
    Another account's money does not change our accounts, whatever the event reports.
    """
    others: dict[str, Any] = {field: "acct_other"}
    found = quarantine_of(charge(), **others)

    assert found.reason == f"the event is of {whose}"
    others[field] = None
    assert payment_of(charge(), **others).id == CH_1
    others[field] = "acct_other"
    for thing, type_ in ((charge(status="teleported"), "charge.failed"), ({}, "x.y")):
        assert quarantine_of(thing, type_, **others) == found


@pytest.mark.parametrize(
    "fields",
    [{"account": "acct_other"}, {"context": "acct_other"}, {"livemode": True}],
    ids=["account", "context", "mode"],
)
@pytest.mark.parametrize(
    "type_", [*SUBSCRIPTION_TYPES, "invoice.paid", *OWED_TYPES, *CARD_TYPES]
)
def test_t22_nothing_of_anybody_elses_is_looked_up(type_: str, fields: Fields) -> None:
    """
    Neither subscription nor card: objects of another account are not fetched with our
    key.
    """
    thing = followed(type_)
    assert report_of(thing, type_, api_version=API_VERSION) is not None

    found = quarantine_of(thing, type_, api_version=API_VERSION, **fields)

    assert found.reason


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
    Only its id counts.
    """
    report = payment_of(dispute(charge=charge(amount=7)), "charge.dispute.created")

    assert (report.id, report.amount) == (CH_1, None)


@pytest.mark.parametrize("status", ["charge_refunded", ABSENT])
def test_a_dispute_of_unknown_status_is_a_doubt(status: object) -> None:
    """
    Its charge is fetched.
    """
    doubt = doubt_of(dispute(status=status), "charge.dispute.updated")

    assert doubt == SyncNeeded.of_payment(CH_1, doubt.reason)


@pytest.mark.parametrize("of", [None, ABSENT])
def test_a_dispute_of_no_charge_is_kept_apart(of: object) -> None:
    """
    There is nothing to fetch.
    """
    found = quarantine_of(dispute(charge=of), "charge.dispute.updated")

    assert found.reason == "the dispute names no charge"


@pytest.mark.parametrize("type_", REFUND_TYPES)
@pytest.mark.parametrize("status", ["succeeded", "pending", "requires_action"])
def test_a_refund_on_its_way_reports_nothing_new(status: str, type_: str) -> None:
    """
    The amounts come with `charge.refunded`.
    """
    assert report_of(refund(status=status), type_) is None


@pytest.mark.parametrize("type_", REFUND_TYPES)
@pytest.mark.parametrize("status", ["failed", "canceled"])
@pytest.mark.parametrize("reference", ["ch_1", charge()])
def test_a_refund_that_failed_is_a_doubt(
    status: str, reference: object, type_: str
) -> None:
    """
    Refunded amounts only grow by merging; this charge must be fetched.
    """
    thing = refund(status=status, charge=reference)

    assert doubt_of(thing, type_) == SyncNeeded.of_payment(CH_1, "a refund failed")


@pytest.mark.parametrize("status", ["teleported", None, ABSENT])
def test_a_refund_of_unknown_status_is_a_doubt(status: object) -> None:
    """
    Its charge has the result.
    """
    doubt = doubt_of(refund(status=status), "charge.refund.updated")

    assert doubt == SyncNeeded.of_payment(CH_1, "the refund has an unknown status")


@pytest.mark.parametrize("type_", REFUND_TYPES)
@pytest.mark.parametrize("status", ["failed", "canceled", "teleported"])
def test_a_refund_of_no_charge_is_kept_apart(status: str, type_: str) -> None:
    """
    There is nothing to fetch, and the event waits for nothing.
    """
    found = quarantine_of(refund(status=status, charge=None), type_)

    assert found.reason == "the refund names no charge"
