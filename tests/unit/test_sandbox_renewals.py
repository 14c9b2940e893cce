"""A subscription of the sandbox is renewed; what is not paid is retried."""

from datetime import UTC, datetime
from typing import Final

import pytest

from payments_sandbox.periods import DAY, HOUR
from support.sandbox import Api, Refused
from support.watched import (
    again,
    at,
    begin,
    count,
    fail_from_now_on,
    latest,
    period,
    watched,
)

RETRIES_MAX: Final = 8


# Renewed


def test_a_renewal_is_drafted_at_its_end_and_collected_an_hour_later(api: Api) -> None:
    """The period moves at once; the money follows."""
    subscription = begin(api)
    _, end = period(subscription)
    api.advance(end - 1)
    before = count(api)
    assert period(again(api, subscription))[1] == end

    api.advance(end)
    assert period(again(api, subscription)) == (end, at("2026-03-01"))
    draft = latest(api, subscription)
    assert (draft["status"], draft["billing_reason"]) == ("draft", "subscription_cycle")
    assert draft["automatically_finalizes_at"] == end + HOUR
    assert draft["amount_due"] == 900
    assert api.types(before) == ["invoice.created", "customer.subscription.updated"]

    api.advance(end + HOUR - 1)
    assert latest(api, subscription)["status"] == "draft"
    before = count(api)
    api.advance(end + HOUR)
    paid = latest(api, subscription)
    assert (paid["id"], paid["status"]) == (draft["id"], "paid")
    assert paid["status_transitions"]["paid_at"] == end + HOUR
    # The customer's next invoice number is a field of theirs.
    assert api.types(before) == [
        "customer.updated",
        "payment_intent.created",
        "invoice.finalized",
        "charge.succeeded",
        "payment_intent.succeeded",
        "invoice_payment.paid",
        "invoice.paid",
        "invoice.payment_succeeded",
    ]


@pytest.mark.parametrize(
    ("start", "ends"),
    [
        (
            "2026-01-31T09:30:00",
            "02-28 03-31 04-30 05-31 06-30 07-31 08-31 09-30 10-31 11-30 12-31 01-31",
        ),
        (
            "2027-12-30T23:59:59",
            "01-30 02-29 03-30 04-30 05-30 06-30 07-30 08-30 09-30 10-30 11-30 12-30",
        ),
    ],
)
def test_the_last_day_of_a_month_is_kept_over_a_year(start: str, ends: str) -> None:
    """Short months end a period early, and none is lost or charged twice."""
    with watched(start=lambda: at(start)) as api:
        subscription = begin(api)
        api.advance(api.now + 367 * DAY)
        invoices = api.get("invoices", limit=100)["data"][::-1]
        lines = [invoice["lines"]["data"][0]["period"] for invoice in invoices]

        found = [datetime.fromtimestamp(it["end"], UTC) for it in lines]
        assert " ".join(f"{end:%m-%d}" for end in found[:12]) == ends
        assert {f"{end:%H:%M:%S}" for end in found} == {start[-8:]}
        assert [it["start"] for it in lines[1:]] == [it["end"] for it in lines[:-1]]
        assert {invoice["status"] for invoice in invoices} == {"paid"}
        assert len(invoices) == 13
        assert again(api, subscription)["billing_cycle_anchor"] == at(start)


# Renewed, and not paid


def test_a_renewal_that_fails_is_past_due_and_retried(api: Api) -> None:
    """The first retry is planned within a day, and the invoice has its time."""
    subscription = begin(api)
    fail_from_now_on(api, subscription)
    _, end = period(subscription)
    api.advance(end + HOUR - 1)
    assert again(api, subscription)["status"] == "active"
    api.advance(end + HOUR)

    assert again(api, subscription)["status"] == "past_due"
    invoice = latest(api, subscription)
    assert (invoice["status"], invoice["attempt_count"]) == ("open", 1)
    assert api.now < invoice["next_payment_attempt"] <= api.now + DAY
    assert period(again(api, subscription))[0] == end


def test_a_retry_is_made_up_to_eight_times_in_two_weeks(api: Api) -> None:
    """Each at its planned time, each counted, each with a charge that failed."""
    subscription = begin(api)
    fail_from_now_on(api, subscription)
    api.advance(period(subscription)[1] + HOUR)
    failed_at, invoice = api.now, latest(api, subscription)
    for number in range(1, RETRIES_MAX + 1):
        due = invoice["next_payment_attempt"]
        assert api.now < due <= failed_at + 14 * DAY
        assert invoice["attempt_count"] == number
        api.advance(due - 1)
        assert latest(api, subscription)["attempt_count"] == number
        api.advance(due)
        invoice = latest(api, subscription)
    assert invoice["attempt_count"] == RETRIES_MAX + 1
    assert invoice["next_payment_attempt"] is None
    failed = [it for it in api.get("charges", limit=100)["data"] if not it["paid"]]
    assert len(failed) == RETRIES_MAX + 1
    assert api.types().count("invoice.payment_failed") == RETRIES_MAX + 1


def test_a_new_card_is_collected_from_at_the_next_retry(api: Api) -> None:
    """The subscription is active again, with the same period."""
    subscription = begin(api)
    fail_from_now_on(api, subscription)
    api.advance(period(subscription)[1] + 3 * DAY)
    assert again(api, subscription)["status"] == "past_due"
    due = latest(api, subscription)["next_payment_attempt"]
    api.give_card(subscription["customer"], "pm_card_mastercard")
    assert again(api, subscription)["status"] == "past_due"
    before = count(api)
    api.advance(due)

    recovered = again(api, subscription)
    assert recovered["status"] == "active"
    assert period(recovered) == (at("2026-02-01"), at("2026-03-01"))
    invoice = latest(api, subscription)
    assert (invoice["status"], invoice["next_payment_attempt"]) == ("paid", None)
    assert api.types(before)[-1] == "customer.subscription.updated"
    # No retries remain.
    before = count(api)
    api.advance("12 days")
    assert api.types(before) == []


def test_paying_by_hand_recovers_at_once(api: Api) -> None:
    """`pay` with another card, which does not become the default."""
    subscription = begin(api)
    failing = fail_from_now_on(api, subscription)
    api.advance(period(subscription)[1] + DAY)
    card = api.post(
        "payment_methods/pm_card_visa/attach", customer=subscription["customer"]
    )
    invoice = latest(api, subscription)
    with pytest.raises(Refused) as refused:
        api.post(f"invoices/{invoice['id']}/pay")
    assert (refused.value.status, refused.value.code) == (402, "card_declined")
    # A payment by hand is not counted (the SDK on `attempt_count`).
    assert again(api, invoice)["attempt_count"] == invoice["attempt_count"]

    paid = api.post(f"invoices/{invoice['id']}/pay", payment_method=card["id"])
    assert paid["status"] == "paid"
    assert again(api, subscription)["status"] == "active"
    customer = api.get(f"customers/{subscription['customer']}")
    assert customer["invoice_settings"]["default_payment_method"] == failing


@pytest.mark.parametrize(
    ("after_retries", "status"),
    [("cancel", "canceled"), ("unpaid", "unpaid"), ("past_due", "past_due")],
)
def test_after_all_retries_comes_what_the_account_has_set(
    after_retries: str, status: str
) -> None:
    """Its invoice stays open, and is not retried."""
    with watched(after_retries=after_retries) as api:
        subscription = begin(api)
        fail_from_now_on(api, subscription)
        api.advance(period(subscription)[1] + 15 * DAY)

        given_up = again(api, subscription)
        assert given_up["status"] == status
        invoice = latest(api, subscription)
        assert (invoice["status"], invoice["auto_advance"]) == ("open", False)
        reason = given_up["cancellation_details"]["reason"]
        assert reason == ("payment_failed" if status == "canceled" else None)
        assert (given_up["ended_at"] is None) is (status != "canceled")
        charges = len(api.get("charges", limit=100)["data"])
        api.advance(period(given_up)[1] - 1)
        assert len(api.get("charges", limit=100)["data"]) == charges


def test_what_is_unpaid_only_drafts_its_renewals() -> None:
    """They are not charged; a payment of the latest one by hand makes it active."""
    with watched(after_retries="unpaid") as api:
        subscription = begin(api)
        fail_from_now_on(api, subscription)
        api.advance("3 months")
        assert again(api, subscription)["status"] == "unpaid"
        draft = latest(api, subscription)
        assert (draft["status"], draft["auto_advance"]) == ("draft", False)

        api.give_card(subscription["customer"], "pm_card_visa")
        api.advance("1 day")
        assert again(api, draft)["status"] == "draft"
        api.post(f"invoices/{draft['id']}/pay")
        assert again(api, subscription)["status"] == "active"


def test_a_canceled_subscription_is_not_renewed(api: Api) -> None:
    """Its open invoices are not charged either."""
    subscription = begin(api)
    fail_from_now_on(api, subscription)
    api.advance(period(subscription)[1] + DAY)
    canceled = api.delete(f"subscriptions/{subscription['id']}")
    assert (canceled["status"], canceled["ended_at"]) == ("canceled", api.now)
    before = count(api)
    api.advance("3 months")
    assert api.types(before) == []


@pytest.mark.parametrize(
    ("why", "is_hard"),
    [("lost_card", True), ("stolen_card", True), ("insufficient_funds", False)],
)
def test_a_hard_decline_is_not_retried_before_there_is_a_new_card(
    api: Api, why: str, *, is_hard: bool
) -> None:
    """The retries are counted and planned further, but the bank is not asked."""
    subscription = begin(api)
    fail_from_now_on(api, subscription, why)
    api.advance(period(subscription)[1] + HOUR)
    invoice = latest(api, subscription)
    api.advance(invoice["next_payment_attempt"])

    retried = again(api, invoice)
    assert retried["attempt_count"] == 2
    assert retried["next_payment_attempt"] > api.now
    failed = [it for it in api.get("charges")["data"] if not it["paid"]]
    assert len(failed) == (1 if is_hard else 2)
    assert failed[0]["outcome"]["reason"] == why

    api.give_card(subscription["customer"], "pm_card_visa")
    api.advance(retried["next_payment_attempt"])
    assert again(api, invoice)["status"] == "paid"
    assert again(api, subscription)["status"] == "active"
