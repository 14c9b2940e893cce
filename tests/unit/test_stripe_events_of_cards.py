"""What events of Stripe report of customers' cards."""

from collections.abc import Mapping
from typing import Any

import pytest

from payments_adapters.stripe import translate
from payments_core.card import Card
from payments_core.events import CardChange, CardReported, Report, SyncNeeded
from payments_core.identity import CustomerId
from payments_core.job_key import JobKey, JobKind
from support.stripe_bodies import (
    ABSENT,
    GENERATIONS,
    METHOD_TYPES,
    event_body,
    followed,
    report_of,
    without_absent,
)

CUS_1 = CustomerId("cus_1")
THEIRS = JobKey(JobKind.CUSTOMER, CUS_1)
VISA = Card(id="pm_1", brand="visa", last4="4242", exp_month=12, exp_year=2034)
Before = Mapping[str, object] | None


def changed(before: object, type_: str = "customer.updated", **fields: Any) -> Report:
    """Return an event's report of an object, given its previous values."""
    thing = without_absent(followed(type_) | fields)
    data = without_absent({"object": thing, "previous_attributes": before})
    report = report_of(thing, type_, data=data)
    assert report is not None
    return report


def default(card_id: str | None) -> CardReported:
    return CardReported(
        customer_id=CUS_1,
        change=CardChange.DEFAULT,
        card_id=card_id,
        reason="customer.updated",
    )


@pytest.mark.parametrize(
    ("chosen", "source", "card_id"),
    [
        ("pm_2", None, "pm_2"),
        ({"id": "pm_2"}, None, "pm_2"),
        ("pm_2", "card_1", "pm_2"),
        (None, "card_1", "card_1"),
        (None, {"id": "card_1"}, "card_1"),
        (None, None, None),
        (ABSENT, ABSENT, None),
    ],
)
@pytest.mark.parametrize(
    "before",
    [
        {"invoice_settings": {"default_payment_method": None}},
        {"invoice_settings": {"default_payment_method": "pm_1"}, "name": "Ada"},
        {"default_source": None},
        {"default_source": "card_2", "invoice_settings": {"footer": None}},
    ],
)
def test_another_default_card_is_reported(
    before: Before, chosen: object, source: object, card_id: str | None
) -> None:
    """
    A payment method takes precedence over a source of the older API.
    """
    settings = without_absent({"default_payment_method": chosen})
    report = changed(before, invoice_settings=settings, default_source=source)

    assert report == default(card_id)


@pytest.mark.parametrize(
    "before",
    [
        {},
        {"balance": 0, "email": None},
        {"invoice_settings": {"footer": None}},
        {"invoice_settings": {}},
        {"invoice_settings": None},
        None,
        ABSENT,
    ],
)
def test_a_customer_who_changes_otherwise_is_not_reported(before: object) -> None:
    """
    Customers change often: another address, another balance, another footer.
    """
    thing = followed("customer.updated")
    data = without_absent({"object": thing, "previous_attributes": before})

    assert report_of(thing, "customer.updated", data=data) is None


@pytest.mark.parametrize("settings", [None, ABSENT])
def test_a_customer_without_settings_has_no_default(settings: object) -> None:
    """
    Older events have none.
    """
    before = {"default_source": "card_1"}

    assert changed(before, invoice_settings=settings) == default(None)


@pytest.mark.parametrize("customer", ["cus_1", {"id": "cus_1"}])
@pytest.mark.parametrize("type_", METHOD_TYPES)
@pytest.mark.parametrize("version", GENERATIONS)
def test_a_card_is_reported_as_it_is(
    version: str, type_: str, customer: object
) -> None:
    """
    Brand, last four digits and expiry: whether that is new is decided elsewhere.
    """
    thing = followed(type_) | {"customer": customer}
    is_attached = type_ == "payment_method.attached"

    assert report_of(thing, type_, api_version=version) == CardReported(
        customer_id=CUS_1,
        change=CardChange.ATTACHED if is_attached else CardChange.CHANGED,
        card_id="pm_1",
        card=VISA,
        reason=type_,
    )


@pytest.mark.parametrize(
    "fields",
    [
        {"customer": None},
        {"customer": ABSENT},
        {"customer": "not an id"},
        {"card": None},
        {"card": ABSENT},
    ],
    ids=["null", "absent", "no id", "no card", "absent card"],
)
@pytest.mark.parametrize("type_", METHOD_TYPES)
def test_what_is_nobodys_or_no_card_is_not_reported(
    type_: str, fields: dict[str, object]
) -> None:
    """
    A card may have been detached again by now; a bank account is never shown.
    """
    assert report_of(without_absent(followed(type_) | fields), type_) is None


@pytest.mark.parametrize(
    "card", [{}, {**followed("payment_method.updated")["card"], "last4": None}]
)
@pytest.mark.parametrize("type_", METHOD_TYPES)
def test_a_card_that_cannot_be_read_is_asked_for(type_: str, card: object) -> None:
    """
    Its customer can be read, and the card is fetched in our own version.
    """
    report = report_of(followed(type_) | {"card": card}, type_)

    assert report == SyncNeeded(THEIRS, type_)


@pytest.mark.parametrize(
    ("before", "customer"),
    [
        ({"customer": "cus_1"}, None),
        ({"customer": {"id": "cus_1"}}, None),
        ({"customer": "cus_1"}, "cus_2"),
        (None, "cus_1"),
        (ABSENT, "cus_1"),
    ],
)
def test_a_detached_card_is_reported_of_whose_it_was(
    before: object, customer: object
) -> None:
    """
    It has no customer by then: the event names its previous customer.
    """
    type_ = "payment_method.detached"

    assert changed(before, type_, customer=customer) == CardReported(
        customer_id=CUS_1, change=CardChange.DETACHED, card_id="pm_1", reason=type_
    )


@pytest.mark.parametrize("before", [{}, {"customer": None}, None, ABSENT])
def test_a_detached_card_that_was_nobodys_is_not_reported(before: object) -> None:
    """
    There is no customer whose card could be fetched.
    """
    type_ = "payment_method.detached"
    thing = followed(type_)
    data = without_absent({"object": thing, "previous_attributes": before})

    assert report_of(thing, type_, data=data) is None


@pytest.mark.parametrize(
    ("kind", "customer", "is_asked"),
    [
        ("card", "cus_1", True),
        ("card", None, False),
        ("bank_account", "cus_1", False),
        ("source", "cus_1", False),
    ],
)
@pytest.mark.parametrize(
    "type_", ["customer.source.deleted", "customer.source.updated"]
)
def test_a_card_of_the_older_api_that_changed_is_asked_for(
    type_: str, kind: str, customer: str | None, *, is_asked: bool
) -> None:
    """
    It has other names for the same brands, and may be gone.
    """
    thing = {"id": "card_1", "object": kind, "customer": customer, "brand": "Visa"}

    wanted = SyncNeeded(THEIRS, type_) if is_asked else None
    assert report_of(thing, type_) == wanted


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
    A set-up by others has a purpose of its own.
    """
    thing = without_absent({**followed("setup_intent.succeeded"), "metadata": metadata})
    report = report_of(thing, "setup_intent.succeeded", api_version=version)

    key = JobKey(JobKind.SET_UP, "seti_1")
    assert report == (SyncNeeded(key, "a card was set up") if is_ours else None)


@pytest.mark.parametrize(
    ("request_", "key"),
    [
        ({"id": "req_1", "idempotency_key": "intent-1.pin.1"}, "intent-1.pin.1"),
        ({"id": "req_1", "idempotency_key": None}, None),
        ({"id": None, "idempotency_key": None}, None),
        ({}, None),
        ("req_1", None),
        (None, None),
        (ABSENT, None),
    ],
)
def test_an_event_says_of_which_request_it_came(
    request_: object, key: str | None
) -> None:
    """
    By its idempotency key; for some events it is unknown, or there was none.
    """
    thing = followed("customer.updated")
    body = event_body(thing, "customer.updated", request=request_)

    assert translate(body).request_key == key


def test_a_deleted_customer_is_a_notice_of_itself() -> None:
    """
    The event causes a fetch, as always.
    """
    key = JobKey(JobKind.CUSTOMER, "cus_1")
    assert report_of(followed("customer.deleted"), "customer.deleted") == SyncNeeded(
        key, "the customer was deleted"
    )
