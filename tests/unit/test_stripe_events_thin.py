"""Thin events: which object changed, and what is synced because of it."""

import json
from datetime import UTC, datetime
from typing import Any, Final

import pytest

from payments_adapters.stripe import (
    FOLLOWED,
    NOT_FOLLOWED,
    UNKNOWN_TYPE,
    translate,
)
from payments_core.events import ObjectChanged, QuarantineNeeded, SyncNeeded
from payments_core.job_key import JobKey, JobKind
from support.stripe_bodies import ABSENT, refusal_of, without_absent

CREATED: Final = "2026-01-01T12:00:00.250Z"


def body_of(type_: str = "v1.charge.succeeded", **fields: Any) -> bytes:
    usual: dict[str, Any] = {
        "id": "evt_1",
        "object": "v2.core.event",
        "type": type_,
        "created": CREATED,
        "livemode": False,
        "context": None,
        "related_object": {
            "id": "ch_1",
            "type": "charge",
            "url": "/v1/charges/ch_1",
        },
    }
    return json.dumps(without_absent(usual | fields)).encode()


def related(kind: str, id_: str = "x_1") -> dict[str, str]:
    return {"id": id_, "type": kind, "url": f"/v1/{kind}s/{id_}"}


def test_a_thin_event_is_an_event_like_any_other() -> None:
    """
    With the key by which it is a duplicate, its time and its object.
    """
    reason = {"type": "request", "request": {"id": "r", "idempotency_key": "key"}}
    body = body_of(reason=reason)

    event = translate(body)

    assert event.key == ("evt_1", "v1.charge.succeeded")
    assert event.created_at == datetime(2026, 1, 1, 12, 0, 0, 250_000, UTC)
    assert (event.object_id, event.livemode) == ("ch_1", False)
    assert (event.api_version, event.request_key) == (None, "key")
    assert event.body is body


@pytest.mark.parametrize(
    ("type_", "kind", "job"),
    [
        ("v1.charge.succeeded", "charge", JobKind.PAYMENT),
        ("v1.charge.refunded", "charge", JobKind.PAYMENT),
        ("v1.customer.updated", "customer", JobKind.CUSTOMER),
        ("v1.customer.deleted", "customer", JobKind.CUSTOMER),
        ("v1.customer.subscription.updated", "subscription", JobKind.SUBSCRIPTION),
        ("v1.customer.subscription.deleted", "subscription", JobKind.SUBSCRIPTION),
    ],
)
def test_what_says_itself_what_to_sync_is_synced(
    type_: str, kind: str, job: JobKind
) -> None:
    """
    By the id of the object.
    """
    report = translate(body_of(type_, related_object=related(kind))).report

    assert report == SyncNeeded(JobKey(job, "x_1"), type_)


def test_a_card_of_the_older_api_names_its_customer_in_its_address() -> None:
    """
    Without one there is no customer to fetch.
    """
    type_, card = "v1.customer.source.updated", related("card", "card_1")
    address = card | {"url": "/v1/customers/cus_1/sources/card_1"}

    report = translate(body_of(type_, related_object=address)).report
    assert report == SyncNeeded(JobKey(JobKind.CUSTOMER, "cus_1"), type_)
    report = translate(body_of(type_, related_object=card)).report
    assert isinstance(report, QuarantineNeeded)


@pytest.mark.parametrize(
    ("type_", "kind", "word"),
    [
        ("v1.invoice.paid", "invoice", "invoice"),
        ("v1.refund.failed", "refund", "refund"),
        ("v1.charge.dispute.created", "dispute", "dispute"),
        ("v1.payment_method.attached", "payment_method", "card"),
        ("v1.setup_intent.succeeded", "setup_intent", "set_up"),
    ],
)
def test_what_does_not_is_read_first(type_: str, kind: str, word: Any) -> None:
    """
    An invoice, for example, names its subscription.
    """
    report = translate(body_of(type_, related_object=related(kind))).report

    assert report == ObjectChanged(word, "x_1")


@pytest.mark.parametrize("type_", sorted(FOLLOWED))
def test_every_type_that_is_followed_is_followed_as_a_thin_event(type_: str) -> None:
    """
    Without its object there is nothing to fetch.
    """
    report = translate(body_of(f"v1.{type_}", related_object=None)).report

    assert report == QuarantineNeeded("the event names no object")


@pytest.mark.parametrize(
    ("type_", "reason"),
    [
        ("v1.billing.meter.error_report_triggered", NOT_FOLLOWED),
        ("v1.invoice.sent", NOT_FOLLOWED),
        ("v2.core.account.updated", UNKNOWN_TYPE),
        ("charge.succeeded", UNKNOWN_TYPE),
        ("v1.v1.charge.succeeded", UNKNOWN_TYPE),
    ],
)
def test_any_other_type_is_kept_and_asks_for_nothing(type_: str, reason: str) -> None:
    """
    As for snapshots; nor is a type of theirs a type of thin events.
    """
    event = translate(body_of(type_))

    assert event.report is None
    assert event.ignored_because == reason


def test_t22_a_thin_event_of_another_account_is_kept_apart() -> None:
    """
    Whatever it is about.
    """
    for type_ in ("v1.charge.succeeded", "v1.anything"):
        report = translate(body_of(type_, context="acct_other")).report
        assert isinstance(report, QuarantineNeeded)


@pytest.mark.parametrize("kind", ["balance", "subscription"])
def test_another_object_than_the_type_promises_is_kept_apart(kind: str) -> None:
    """
    Nothing is fetched from Stripe, whatever it is.
    """
    report = translate(body_of(related_object=related(kind))).report

    assert report == QuarantineNeeded("the object is not a charge")


BAD: Final[list[tuple[str, Any]]] = [
    ("created", ABSENT),
    ("created", None),
    ("created", 1),
    ("created", "noon"),
    ("created", "2026-01-01T12:00:00"),
    ("created", "0001-01-01T00:00:00+01:00"),
    ("created", "9999-12-31T23:59:59Z"),
    ("livemode", ABSENT),
    ("livemode", 0),
    ("livemode", "false"),
    ("related_object", []),
    ("related_object", "ch_1"),
    ("related_object.id", {"id": 1, "type": "charge"}),
    ("related_object.type", {"id": "ch_1"}),
    ("context", 1),
    ("id", "e v"),
    ("type", ""),
]


@pytest.mark.parametrize(("field", "value"), BAD)
def test_a_thin_event_out_of_shape_names_its_field(field: str, value: object) -> None:
    """
    It is stored, and has no effect.
    """
    name = {"type": "type_"}.get(field, field.partition(".")[0])
    fields: dict[str, Any] = {"type_": "v1.x"} | {name: value}
    refusal = refusal_of(body_of(**fields))

    assert refusal.field == field
    assert refusal.reason
