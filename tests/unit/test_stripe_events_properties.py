"""Properties of reading events of Stripe: any body gives an event or a refusal."""

from hypothesis import example, given
from hypothesis import strategies as st

from payments_adapters.stripe import translate
from payments_adapters.stripe.api_shapes import API_VERSION
from payments_core import GatewayEvent, Money, Payment
from payments_core.events import UNREADABLE, QuarantineNeeded, Report, SyncNeeded
from payments_sandbox.api_versions import ACACIA
from support.stripe_bodies import (
    CARD_TYPES,
    CHARGE_TYPES,
    DISPUTE_TYPES,
    OWED_TYPES,
    PAYLOADS,
    REFUND_TYPES,
    SUBSCRIPTION_TYPES,
    charge,
    event_body,
    followed,
    report_of,
)

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
types = st.sampled_from([*CHARGE_TYPES, *DISPUTE_TYPES, *REFUND_TYPES, "x"])
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


def is_readable(event: GatewayEvent) -> bool:
    """Return whether the event was read; any other has no effect."""
    assert event.body
    return not isinstance(event.report, QuarantineNeeded)


@given(st.binary(max_size=4096) | st.text().map(str.encode))
@example(b"\xff")
@example(b"[" * 100_000)
@example(b'{"\\ud800')
@example(b'{"id":"\\u0000"}')
def test_p14_any_bytes_give_an_event(body: bytes) -> None:
    """
    It is stored byte for byte, and the same bytes are the same event.
    """
    found = translate(body)

    assert found.body == body
    assert found.id.isprintable()
    assert found == translate(body)


@given(
    st.sampled_from(["charge_succeeded", "charge_failed"]),
    st.lists(st.tuples(st.integers(min_value=0), st.binary(max_size=6)), max_size=4),
)
def test_p14_a_real_body_with_bytes_changed_gives_an_event(
    name: str, changes: list[tuple[int, bytes]]
) -> None:
    """
    It is stored byte for byte.
    """
    body = (PAYLOADS / f"{name}.json").read_bytes()
    for position, inserted in changes:
        place = position % len(body)
        body = body[:place] + inserted + body[place + len(inserted) // 2 :]

    assert translate(body).body == body


@given(types, kinds, st.dictionaries(field_names, json_values, max_size=4))
def test_p14_any_value_in_any_field_gives_an_event(
    type_: str, kind: str, fields: dict[str, object]
) -> None:
    """
    Right names with wrong values are the most likely to break a reader.
    """
    thing = {**charge(), "charge": "ch_1", "object": kind} | fields

    found = translate(event_body(thing, type_))

    # A number that JSON does not know is in no event at all.
    assert found.type in {type_, UNREADABLE}
    if is_readable(found):
        assert found.object_id == thing.get("id")


@given(
    billing_types,
    st.sampled_from([API_VERSION, ACACIA, None]),
    st.dictionaries(billing_names, json_values, max_size=4),
)
def test_p14_any_value_in_any_field_of_billing_gives_an_event(
    type_: str, version: str | None, fields: dict[str, object]
) -> None:
    """
    In place of the right ones; and one that is not refused is a report of ours.
    """
    thing = {**followed(type_), **fields}

    found = translate(event_body(thing, type_, api_version=version))

    assert isinstance(found.report, Report | None)
    hash(found.report)


nested = st.recursive(
    json_values,
    lambda inner: st.dictionaries(billing_names, inner | st.lists(inner), max_size=4),
    max_leaves=12,
)


@given(billing_types, st.dictionaries(billing_names, nested, max_size=6))
def test_p14_any_object_gives_an_event(type_: str, fields: dict[str, object]) -> None:
    """
    However it is nested.
    """
    thing = {"id": "x_1", **fields, "object": followed(type_)["object"]}

    found = translate(event_body(thing, type_, api_version=API_VERSION))

    # A number that JSON does not know is in no event at all.
    assert found.type in {type_, UNREADABLE}


@given(field_names, st.integers(0, 3))
def test_a_refusal_never_repeats_the_input(field: str, nesting: int) -> None:
    """
    Any text that follows it in a log is not repeated either.
    """
    value: object = "canary" * 100
    for _ in range(nesting):
        value = {"id": value, "email": value, "user_id": value, "canary": value}

    found = translate(event_body(charge(**{field: value})))

    if isinstance(found.report, SyncNeeded | QuarantineNeeded):
        assert "canary" not in found.report.reason


@given(billing_types, billing_names, st.integers(0, 3))
def test_a_refusal_of_billing_never_repeats_the_input(
    type_: str, field: str, nesting: int
) -> None:
    """
    A reason does not repeat it either: it goes into logs.
    """
    value: object = "canary" * 100
    for _ in range(nesting):
        value = {"id": value, "data": [value], "subscription_details": value}
    thing = {**followed(type_), field: value}

    found = translate(event_body(thing, type_, api_version=API_VERSION))

    if isinstance(found.report, SyncNeeded | QuarantineNeeded):
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
    Amounts are read to the last unit; every report is consistent in itself.
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
