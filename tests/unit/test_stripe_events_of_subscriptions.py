"""What a subscription in an event of Stripe means to us."""

from datetime import timedelta
from typing import Any

import attrs
import pytest
import stripe

from payments_adapters.stripe import translate
from payments_adapters.stripe.api_shapes import API_VERSION
from payments_core import CustomerId
from payments_core.events import SyncNeeded
from payments_core.subscription import (
    PendingUpdate,
    SubscriptionReport,
    SubscriptionStatus,
)
from payments_sandbox.api_versions import ACACIA, NEWEST
from support.stripe_bodies import (
    ABSENT,
    NOON,
    NOON_S,
    SUB_1,
    SUBSCRIPTION_TYPES,
    Fields,
    event_body,
    invoice,
    item,
    pinned_report,
    refusal_of,
    report_of,
    subscription,
)


def test_the_pin_is_the_sdks_own_version() -> None:
    """
    The version that we request, that we read and that the SDK is typed for are the
    same.
    """
    assert stripe.api_version == API_VERSION == NEWEST


@pytest.mark.parametrize("type_", SUBSCRIPTION_TYPES)
def test_a_subscription_is_a_report(type_: str) -> None:
    """
    Of whichever type: the object has the state just afterwards.
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
        ({"default_source": "card_1"}, {"pinned_card": "card_1"}),
        (
            {"default_source": "card_1", "default_payment_method": "pm_1"},
            {"pinned_card": "pm_1"},
        ),
        ({"latest_invoice": "in_1"}, {"latest_invoice_id": "in_1"}),
        ({"latest_invoice": invoice()}, {"latest_invoice_id": "in_1"}),
        ({"metadata": {"user_id": "ada"}}, {"metadata_user_id": "ada"}),
        ({"metadata": {"intent_id": "i-1"}}, {"intent_id": "i-1"}),
        ({"metadata": {"user_id": "", "intent_id": ""}}, {}),
        ({"metadata": None, "pending_update": None, "latest_invoice": None}, {}),
    ],
)
def test_what_else_a_subscription_says(
    fields: Fields, expected: dict[str, Any]
) -> None:
    """
    A missing field is None; an expanded object is its id.
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
    Its price, its quantity and its period; an item that was added later is not ours.
    """
    items = [
        item(id="si_2", created=NOON_S + 9, quantity=9, current_period_end=NOON_S + 1),
        item(),
    ]
    report = pinned_report(subscription(items={"data": items[:: 1 - 2 * turned]}))

    assert (report.item_id, report.quantity) == ("si_1", 2)
    assert report.period_end == NOON + timedelta(days=31)


def priced(interval: str | None, count: int = 1, **fields: object) -> dict[str, object]:
    """Return an item with a price that is due every so often."""
    recurring = {"interval": interval, "interval_count": count} if interval else None
    price = {"id": "price_1", "object": "price", "product": "prod_1"}
    return item(price=price | {"recurring": recurring}, **fields)


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize(
    ("one", "other", "metadata", "own"),
    [
        # The older one is paid for a year at a time.
        (("year",), ("month",), {}, "si_2"),
        (("month", 3), ("week", 9), {}, "si_2"),
        (("month",), ("day", 31), {}, "si_1"),
        (("month",), ("month",), {}, "si_1"),
        # An unknown interval is no longer than any.
        (("month",), ("fortnight",), {}, "si_2"),
        (("month",), (None,), {}, "si_2"),
        # Of a subscription that we made it is the item that we made, whatever was
        # added.
        (("year",), ("month",), {"intent_id": "int-1"}, "si_1"),
    ],
)
def test_of_several_items_made_elsewhere_it_is_the_one_that_is_due_most_often(
    one: Any, other: Any, metadata: dict[str, str], own: str, *, turned: bool
) -> None:
    """
    Whichever comes first, and however far its period reaches at present.
    """
    items = [
        priced(*one, id="si_1", created=NOON_S),
        priced(*other, id="si_2", created=NOON_S + 1),
    ]
    told = {"items": {"data": items[:: 1 - 2 * turned]}, "metadata": metadata}

    assert pinned_report(subscription(**told)).item_id == own


def test_of_several_items_the_oldest_is_ours_whatever_it_is_called() -> None:
    """
    Ids do not tell when they were made.
    """
    items = [item(id="si_1", created=NOON_S + 9), item(id="si_2", created=NOON_S)]
    assert pinned_report(subscription(items={"data": items})).item_id == "si_2"


def test_of_two_items_made_in_one_second_it_is_always_the_same() -> None:
    """
    The order of a list does not matter.
    """
    items = [item(id="si_2"), item(id="si_1")]
    for told in (items, items[::-1]):
        assert pinned_report(subscription(items={"data": told})).item_id == "si_1"


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

    assert report == SyncNeeded(SUB_1, reason)


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
    An endpoint of a later version must not be refused for days, and then disabled.
    """
    report = report_of(
        subscription(**{field: [{"is": "new"}]}),
        SUBSCRIPTION_TYPES[0],
        api_version="2031-01-01.quince",
    )

    assert report == SyncNeeded(SUB_1, "another API version")


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
    Monthly versions of one name are compatible; any other may differ in meaning.
    """
    report = report_of(
        subscription(), "customer.subscription.updated", api_version=version
    )

    assert isinstance(report, SubscriptionReport) is is_ours
    assert is_ours or report == SyncNeeded(SUB_1, "another API version")


@pytest.mark.parametrize("status", ["canceled", "incomplete_expired"])
@pytest.mark.parametrize("version", [None, ACACIA, "2031-01-01.quince"])
def test_the_end_is_told_by_any_version(status: str, version: str | None) -> None:
    """
    It takes precedence over everything else: there is nothing to wait for.
    """
    report = report_of(
        subscription(status=status),
        "customer.subscription.deleted",
        api_version=version,
    )

    assert isinstance(report, SubscriptionReport)
    assert report.is_terminal
