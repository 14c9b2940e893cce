"""What invoices in events of Stripe mean to us."""

from collections.abc import Callable
from datetime import timedelta
from typing import Final

import pytest

from payments_adapters.stripe.api_shapes import API_VERSION
from payments_core.events import Report, SyncNeeded
from payments_core.job_key import JobKey, JobKind
from payments_core.subscription import PaidPeriod
from payments_sandbox.api_versions import ACACIA
from support.stripe_bodies import (
    ABSENT,
    MONTH,
    NOON,
    NOON_S,
    OWED_TYPES,
    SUB_1,
    Fields,
    invoice,
    line,
    pinned_report,
    report_of,
)

# Subscriptions


def old_line(**fields: object) -> dict[str, object]:
    """Return a line in the form before 2025-03-31."""
    usual: dict[str, object] = {
        "type": "subscription",
        "proration": False,
        "subscription": "sub_1",
        "subscription_item": "si_1",
    }
    return line(**{"parent": ABSENT, **usual, **fields})


def old_invoice(*lines: dict[str, object], **fields: object) -> dict[str, object]:
    """Return an invoice in the form before 2025-03-31."""
    lines = lines or (old_line(),)
    return invoice(*lines, **{"parent": ABSENT, "subscription": "sub_1", **fields})


# Paid invoices


def paid(thing: object) -> Report | None:
    return pinned_report(thing, "invoice.paid")  # type: ignore[no-any-return]  # of any


@pytest.mark.parametrize("thing", [invoice(), old_invoice()], ids=["new", "old"])
def test_a_paid_invoice_is_a_term(thing: dict[str, object]) -> None:
    """
    From when until when, of which subscription.
    """
    assert paid(thing) == PaidPeriod(
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
    Also a free one, as in a trial, or one where only the invoice names the
    subscription.
    """
    report = paid(invoice(line(**fields)))

    assert isinstance(report, PaidPeriod)
    assert report.ends_at == NOON + timedelta(seconds=ends_s)


def of_item(item: str, **fields: object) -> dict[str, object]:
    """Return a line of an item, in the form since 2025-03-31."""
    details = {"subscription": "sub_1", "subscription_item": item}
    return line(parent={"subscription_item_details": details}, **fields)


@pytest.mark.parametrize("made", [of_item, None], ids=["new", "old"])
def test_a_period_is_of_one_item(
    made: Callable[..., dict[str, object]] | None,
) -> None:
    """
    The item, and what paid it.
    """
    thing = (
        invoice(made("si_7"), amount_paid=900)
        if made
        else old_invoice(old_line(subscription_item="si_7"), amount_paid=900)
    )
    report = paid(thing)

    assert isinstance(report, PaidPeriod)
    assert (report.item_id, report.amount_paid_minor) == ("si_7", 900)


def test_an_invoice_of_several_items_is_a_notice() -> None:
    """
    It does not say which item is ours: a yearly one does not lengthen a monthly one.
    """
    yearly = of_item("si_2", period={"start": NOON_S, "end": NOON_S + 12 * MONTH})
    assert paid(invoice(of_item("si_1"), yearly)) == SyncNeeded(
        JobKey(JobKind.SUBSCRIPTION, "sub_1"), "an invoice of several items was paid"
    )


@pytest.mark.parametrize("turned", [False, True])
def test_of_several_lines_the_one_that_ends_last_counts(*, turned: bool) -> None:
    """
    In whatever order they are listed.
    """
    later = {"start": NOON_S + 1, "end": NOON_S + 2 * MONTH}
    lines = [line(), line(period=later)][:: 1 - 2 * turned]
    report = paid(invoice(*lines))

    assert isinstance(report, PaidPeriod)
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
    However far its period reaches; alone it covers nothing, and the subscription is
    synced.
    """
    usual = paid(invoice())
    assert paid(invoice(other, line())) == usual

    assert paid(invoice(other)) == SyncNeeded(SUB_1, "an invoice of no period was paid")


@pytest.mark.parametrize("status", ["open", "draft", "void", "uncollectible", None])
def test_an_invoice_that_is_not_paid_is_no_term(status: str | None) -> None:
    """
    Whatever the type of the event.
    """
    report = paid(invoice(status=status))
    assert report == SyncNeeded(SUB_1, "an invoice of no period was paid")


@pytest.mark.parametrize("type_", ["invoice.paid", *OWED_TYPES])
@pytest.mark.parametrize("version", [API_VERSION, ACACIA])
@pytest.mark.parametrize("parent", [None, ABSENT, {}, {"quote_details": {}}])
def test_an_invoice_without_a_subscription_is_no_report(
    type_: str, version: str, parent: object
) -> None:
    """
    A one-off payment is reported by its charge.
    """
    thing = invoice(parent=parent)
    assert report_of(thing, type_, api_version=version) is None


@pytest.mark.parametrize("type_", ["invoice.paid", *OWED_TYPES])
def test_of_another_versions_invoice_only_the_owner_is_read(type_: str) -> None:
    """
    Its lines may have any form by then.
    """
    report = report_of(
        invoice(lines="elsewhere"), type_, api_version="2031-01-01.quince"
    )
    assert isinstance(report, SyncNeeded)
    assert report.job == SUB_1
