"""The life of the sandbox's subscriptions: begun, renewed, retried, tried, ended."""

from datetime import UTC, datetime
from typing import Any, Final

import pytest

from payments_service.sandbox.periods import DAY, HOUR, MINUTE
from support.sandbox import Api, Refused
from support.watched import (
    again,
    at,
    begin,
    count,
    fail_from_now_on,
    intent_of,
    latest,
    period,
    watched,
)

FAILING: Final = "pm_card_chargeCustomerFail"
ASKING: Final = "pm_card_authenticationRequired"
RETRIES_MAX: Final = 8


def item_of(subscription: Any) -> str:
    return str(subscription["items"]["data"][0]["id"])


# Begun


def test_a_good_card_makes_a_subscription_active_at_once(api: Api) -> None:
    """Invoice, charge and subscription are reported, each after what it rests on."""
    customer, price = api.customer()["id"], api.price()["id"]
    before = count(api)
    subscription = api.subscribe(customer, price)

    assert subscription["status"] == "active"
    assert period(subscription) == (api.now, at("2026-02-01"))
    assert subscription["billing_cycle_anchor"] == api.now
    assert api.types(before) == [
        "invoice.created",
        "customer.updated",
        "payment_intent.created",
        "invoice.finalized",
        "charge.succeeded",
        "payment_intent.succeeded",
        "invoice_payment.paid",
        "invoice.paid",
        "invoice.payment_succeeded",
        "customer.subscription.created",
    ]
    invoice = latest(api, subscription)
    assert invoice["billing_reason"] == "subscription_create"
    assert (invoice["status"], invoice["amount_paid"]) == ("paid", 900)
    assert invoice["attempt_count"] == 1


@pytest.mark.parametrize("behavior", ["allow_incomplete", "default_incomplete"])
def test_a_subscription_that_is_not_paid_is_incomplete(api: Api, behavior: str) -> None:
    """With `default_incomplete` nothing is tried; its invoice waits either way."""
    subscription = begin(api, FAILING, payment_behavior=behavior)
    invoice = latest(api, subscription)
    tried = behavior == "allow_incomplete"

    assert subscription["status"] == "incomplete"
    assert (invoice["status"], invoice["attempted"]) == ("open", tried)
    assert ("charge.failed" in api.types()) is tried
    assert ("invoice.payment_failed" in api.types()) is tried
    status = "requires_payment_method" if tried else "requires_confirmation"
    assert intent_of(api, invoice)["status"] == status


def test_error_if_incomplete_makes_nothing_of_a_decline(api: Api) -> None:
    """It answers 402, and there is neither subscription nor invoice."""
    customer, price = api.customer(FAILING)["id"], api.price()["id"]
    before = count(api)
    with pytest.raises(Refused) as refused:
        api.subscribe(customer, price, payment_behavior="error_if_incomplete")

    assert (refused.value.status, refused.value.type) == (402, "card_error")
    assert refused.value.code == "card_declined"
    assert api.get("subscriptions", status="all")["data"] == []
    assert api.get("invoices")["data"] == []
    assert count(api) == before


def test_pending_if_incomplete_is_for_updates_only(api: Api) -> None:
    """A new subscription has nothing that could be held back."""
    with pytest.raises(Refused) as refused:
        begin(api, payment_behavior="pending_if_incomplete")
    assert (refused.value.status, refused.value.param) == (400, "payment_behavior")


def test_without_any_card_nothing_begins(api: Api) -> None:
    """Unless it is said that the payment comes later."""
    with pytest.raises(Refused) as refused:
        begin(api, None)
    assert (refused.value.status, refused.value.code) == (400, "resource_missing")
    assert api.get("subscriptions", status="all")["data"] == []

    later = begin(api, None, payment_behavior="default_incomplete")
    assert later["status"] == "incomplete"


@pytest.mark.parametrize(
    ("amount", "card"), [(0, None), (0, FAILING), (0, "pm_card_visa")]
)
def test_what_costs_nothing_is_active_without_a_charge(
    api: Api, amount: int, card: str | None
) -> None:
    """Its invoice is paid, with no attempt and no payment intent."""
    customer = api.customer(card)["id"]
    subscription = api.subscribe(customer, api.price(amount)["id"])
    invoice = latest(api, subscription)

    assert subscription["status"] == "active"
    assert (invoice["status"], invoice["attempt_count"]) == ("paid", 0)
    assert api.get("charges")["data"] == []
    assert api.get("payment_intents")["data"] == []
    assert (subscription["pending_setup_intent"] is None) is (card is not None)


# The bank asks the holder


def test_a_holder_who_agrees_makes_it_active(api: Api) -> None:
    """Until then it is incomplete, and `invoice.payment_action_required` was sent."""
    subscription = begin(api, ASKING)
    intent = intent_of(api, latest(api, subscription))
    assert (subscription["status"], intent["status"]) == (
        "incomplete",
        "requires_action",
    )
    assert "invoice.payment_action_required" in api.types()
    assert api.get("charges")["data"] == []

    before = count(api)
    api.engine.authenticate(intent["id"])
    assert again(api, subscription)["status"] == "active"
    assert latest(api, subscription)["status"] == "paid"
    assert api.types(before) == [
        "charge.succeeded",
        "payment_intent.succeeded",
        "invoice_payment.paid",
        "invoice.paid",
        "invoice.payment_succeeded",
        "customer.subscription.updated",
    ]


def test_a_holder_who_refuses_leaves_it_incomplete(api: Api) -> None:
    """No charge is made; another card can still pay."""
    subscription = begin(api, ASKING)
    intent = intent_of(api, latest(api, subscription))
    refused = api.engine.authenticate(intent["id"], succeed=False)

    assert refused["status"] == "requires_payment_method"
    error = refused["last_payment_error"]
    assert error["code"] == "payment_intent_authentication_failure"
    assert again(api, subscription)["status"] == "incomplete"
    assert api.get("charges")["data"] == []

    api.post(f"payment_intents/{intent['id']}/confirm", payment_method="pm_card_visa")
    assert again(api, subscription)["status"] == "active"


@pytest.mark.parametrize("card", [ASKING, FAILING])
def test_what_is_not_paid_within_23_hours_expires(api: Api, card: str) -> None:
    """Not a minute earlier; its invoice is void, and it is over for good."""
    subscription = begin(api, card)
    api.advance(api.now + 23 * HOUR - MINUTE)
    assert again(api, subscription)["status"] == "incomplete"
    before = count(api)
    api.advance("1 minute")

    expired = again(api, subscription)
    assert expired["status"] == "incomplete_expired"
    assert expired["ended_at"] == api.now
    invoice = latest(api, subscription)
    assert invoice["status"] == "void"
    assert intent_of(api, invoice)["status"] == "canceled"
    assert api.types(before) == [
        "customer.subscription.updated",
        "payment_intent.canceled",
        "invoice.voided",
    ]
    before = count(api)
    api.advance("3 months")
    assert api.types(before) == []


def test_a_bank_that_agreed_once_lets_renewals_pass(api: Api) -> None:
    """`…OnSetup` asks while the card is kept, and not at every charge."""
    customer = api.customer(None)["id"]
    card = "pm_card_authenticationRequiredOnSetup"
    setup = api.post(
        "setup_intents", customer=customer, payment_method=card, confirm=True
    )
    assert setup["status"] == "requires_action"
    kept = api.engine.authenticate(setup["id"])
    subscription = api.subscribe(
        customer, api.price()["id"], default_payment_method=kept["payment_method"]
    )
    api.advance("2 months")

    assert again(api, subscription)["status"] == "active"
    assert len(api.get("charges")["data"]) == 2
    api.advance("1 hour")
    assert len(api.get("charges")["data"]) == 3


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
    """The first retry is planned within a day, and said on the invoice."""
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
    """Each at the time that was told, each counted, each with a charge that failed."""
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
    """The subscription is active again, with the period that it has had."""
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
    # Nothing is left of the retries.
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
    # By hand is not counted (the SDK on `attempt_count`).
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
    """Its invoice stays open, and nobody tries it again."""
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
    """They are not collected; the latest one paid by hand makes it active."""
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
    """Neither are its open invoices collected."""
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
    """The retries are counted and planned on, but the bank is not asked."""
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


# On trial


def test_a_trial_costs_nothing_and_says_three_days_before_that_it_ends(
    api: Api,
) -> None:
    """Then the first period is drafted, and collected an hour later."""
    subscription = begin(api, trial_period_days=14)
    start, end = api.now, api.now + 14 * DAY
    assert subscription["status"] == "trialing"
    assert (subscription["trial_start"], subscription["trial_end"]) == (start, end)
    assert period(subscription) == (start, end)
    assert latest(api, subscription)["amount_paid"] == 0
    assert api.get("charges")["data"] == []

    api.advance(end - 3 * DAY - 1)
    before = count(api)
    api.advance(end - 3 * DAY)
    assert api.types(before) == ["customer.subscription.trial_will_end"]

    api.advance(end)
    active = again(api, subscription)
    assert active["status"] == "active"
    assert period(active) == (end, at("2026-02-15"))
    assert api.get("charges")["data"] == []
    api.advance(end + HOUR)
    assert api.get("charges")["data"][0]["amount"] == 900
    assert api.types().count("customer.subscription.trial_will_end") == 1


def test_a_trial_of_less_than_three_days_says_so_at_once(api: Api) -> None:
    """Right after it is created."""
    begin(api, trial_end=api.now + 2 * DAY)
    assert api.types()[-2:] == [
        "customer.subscription.created",
        "customer.subscription.trial_will_end",
    ]


def test_a_trial_may_be_ended_at_once_or_moved(api: Api) -> None:
    """`trial_end=now` bills at once; a later end warns anew."""
    ended = begin(api, trial_period_days=14)
    path = f"subscriptions/{ended['id']}"
    api.advance("1 day")
    active = api.post(path, trial_end="now")
    assert (active["status"], active["trial_end"]) == ("active", api.now)
    assert latest(api, ended)["amount_paid"] == 900
    assert period(active)[0] == api.now

    moved = begin(api, trial_period_days=14)
    end = api.now + 30 * DAY
    trialing = api.post(f"subscriptions/{moved['id']}", trial_end=end)
    assert (trialing["status"], period(trialing)[1]) == ("trialing", end)
    before = count(api)
    api.advance(end - 3 * DAY - 1)
    assert "customer.subscription.trial_will_end" not in api.types(before)
    api.advance(end - 3 * DAY)
    assert "customer.subscription.trial_will_end" in api.types(before)


@pytest.mark.parametrize(
    ("missing", "status", "event"),
    [
        ("create_invoice", "active", "customer.subscription.updated"),
        ("cancel", "canceled", "customer.subscription.deleted"),
        ("pause", "paused", "customer.subscription.paused"),
    ],
)
def test_a_trial_that_ends_without_a_card_does_what_was_set(
    api: Api, missing: str, status: str, event: str
) -> None:
    """Invoiced and then past due, canceled, or paused."""
    behavior = {"end_behavior": {"missing_payment_method": missing}}
    subscription = begin(api, None, trial_period_days=7, trial_settings=behavior)
    assert subscription["status"] == "trialing"
    assert subscription["pending_setup_intent"]
    before = count(api)
    api.advance("7 days")

    assert again(api, subscription)["status"] == status
    assert event in api.types(before)
    api.advance("1 hour")
    later = "past_due" if status == "active" else status
    assert again(api, subscription)["status"] == later
    invoices = api.get("invoices")["data"]
    assert len(invoices) == (2 if status == "active" else 1)
    assert api.get("charges")["data"] == []


def test_what_is_paused_is_resumed_by_paying_its_next_period(api: Api) -> None:
    """From the moment at which it is resumed, unless the anchor is kept."""
    behavior = {"end_behavior": {"missing_payment_method": "pause"}}
    subscription = begin(api, None, trial_period_days=7, trial_settings=behavior)
    api.advance("10 days")
    before = count(api)
    api.advance("2 months")
    assert api.types(before) == []

    api.give_card(subscription["customer"], "pm_card_visa")
    before = count(api)
    resumed = api.post(f"subscriptions/{subscription['id']}/resume")
    assert resumed["status"] == "active"
    assert period(resumed)[0] == api.now == resumed["billing_cycle_anchor"]
    assert latest(api, subscription)["amount_paid"] == 900
    assert "customer.subscription.resumed" in api.types(before)
    api.advance(period(resumed)[1] + HOUR)
    assert len(api.get("charges")["data"]) == 2


def test_what_is_resumed_and_not_paid_stays_paused(api: Api) -> None:
    """Its invoice is void after 23 hours."""
    behavior = {"end_behavior": {"missing_payment_method": "pause"}}
    subscription = begin(api, None, trial_period_days=7, trial_settings=behavior)
    api.advance("10 days")
    api.give_card(subscription["customer"], FAILING)
    resumed = api.post(f"subscriptions/{subscription['id']}/resume")
    assert resumed["status"] == "paused"
    api.advance(api.now + 23 * HOUR - MINUTE)
    assert latest(api, subscription)["status"] == "open"
    api.advance("1 minute")
    assert latest(api, subscription)["status"] == "void"
    assert again(api, subscription)["status"] == "paused"


def test_a_card_given_to_the_setup_intent_pays_after_the_trial(api: Api) -> None:
    """It becomes the subscription's own."""
    subscription = begin(api, None, trial_period_days=7)
    setup = subscription["pending_setup_intent"]
    api.post(f"setup_intents/{setup}/confirm", payment_method="pm_card_visa")
    assert again(api, subscription)["default_payment_method"]
    assert again(api, subscription)["pending_setup_intent"] is None
    api.advance(api.now + 7 * DAY + HOUR)
    assert again(api, subscription)["status"] == "active"
    assert latest(api, subscription)["status"] == "paid"


# Ended


def test_cancel_at_period_end_ends_with_the_period(api: Api) -> None:
    """Until then it is active; nothing more is charged."""
    subscription = begin(api)
    _, end = period(subscription)
    api.advance("3 days")
    asked_at = api.now
    path = f"subscriptions/{subscription['id']}"
    planned = api.post(path, cancel_at_period_end=True)
    assert (planned["status"], planned["cancel_at"]) == ("active", end)
    assert planned["canceled_at"] == asked_at
    assert planned["cancellation_details"]["reason"] == "cancellation_requested"

    api.advance(end - 1)
    assert again(api, subscription)["status"] == "active"
    before = count(api)
    api.advance(end)
    ended = again(api, subscription)
    assert (ended["status"], ended["ended_at"]) == ("canceled", end)
    assert ended["canceled_at"] == asked_at
    assert api.types(before) == ["customer.subscription.deleted"]
    api.advance("2 months")
    assert len(api.get("charges")["data"]) == 1


@pytest.mark.parametrize("days", [10, 45])
def test_cancel_at_ends_at_its_moment(api: Api, days: int) -> None:
    """In this period or in a later one."""
    subscription = begin(api)
    end = api.now + days * DAY
    api.post(f"subscriptions/{subscription['id']}", cancel_at=end)
    api.advance(end - 1)
    assert again(api, subscription)["status"] == "active"
    api.advance(end)
    ended = again(api, subscription)
    assert (ended["status"], ended["ended_at"]) == ("canceled", end)
    before = count(api)
    api.advance("2 months")
    assert api.types(before) == []


@pytest.mark.parametrize(
    ("plan", "undo"),
    [
        ({"cancel_at_period_end": True}, {"cancel_at_period_end": False}),
        ({"cancel_at": at("2026-01-20")}, {"cancel_at": ""}),
        ({"cancel_at": at("2026-02-20")}, {"cancel_at": ""}),
    ],
)
def test_a_planned_end_can_be_taken_back(
    api: Api, plan: dict[str, Any], undo: dict[str, Any]
) -> None:
    """Nothing of it is left, and it is renewed."""
    subscription = begin(api)
    path = f"subscriptions/{subscription['id']}"
    api.post(path, **plan)
    kept = api.post(path, **undo)
    assert kept["cancel_at"] is kept["canceled_at"] is None
    assert kept["cancel_at_period_end"] is False
    assert kept["cancellation_details"]["reason"] is None
    api.advance("3 months")
    api.advance("1 hour")
    assert again(api, subscription)["status"] == "active"
    assert len(api.get("charges")["data"]) == 4


def test_a_planned_end_may_be_there_from_the_start(api: Api) -> None:
    """`cancel_at_period_end` of a trial means that nothing is ever paid."""
    subscription = begin(api, trial_period_days=7, cancel_at_period_end=True)
    assert subscription["cancel_at"] == api.now + 7 * DAY
    api.advance("2 months")
    assert again(api, subscription)["status"] == "canceled"
    assert api.get("charges")["data"] == []


def test_canceling_a_subscription_that_is_incomplete_voids_its_invoice(
    api: Api,
) -> None:
    """Nobody can pay for what never began."""
    subscription = begin(api, FAILING)
    canceled = api.delete(f"subscriptions/{subscription['id']}")
    assert canceled["status"] == "canceled"
    assert latest(api, subscription)["status"] == "void"


def test_a_planned_end_moves_with_the_period(api: Api) -> None:
    """`cancel_at_period_end` means the period that there is, also after a change."""
    subscription, yearly = begin(api), api.price(9_900, interval="year")["id"]
    path = f"subscriptions/{subscription['id']}"
    api.post(path, cancel_at_period_end=True)
    api.advance("10 days")
    changed = api.post(path, items=[{"id": item_of(subscription), "price": yearly}])
    end = period(changed)[1]
    assert (changed["cancel_at_period_end"], changed["cancel_at"]) == (True, end)
    api.advance(end - 1)
    assert again(api, subscription)["status"] == "active"
    api.advance(end)
    assert again(api, subscription)["status"] == "canceled"


def test_a_change_may_plan_the_end_as_well(api: Api) -> None:
    """Both are done, in one call."""
    subscription, end = begin(api), at("2026-01-20")
    api.post(
        f"subscriptions/{subscription['id']}",
        items=[{"id": item_of(subscription), "quantity": 2}],
        cancel_at=end,
    )
    api.advance(end)
    assert again(api, subscription)["status"] == "canceled"


def test_a_trial_that_is_cut_short_warns_once(api: Api) -> None:
    """Three days before its new end."""
    subscription = begin(api, trial_period_days=14)
    path = f"subscriptions/{subscription['id']}"
    api.post(path, trial_end=api.now + 12 * DAY)
    api.advance("20 days")
    assert api.types().count("customer.subscription.trial_will_end") == 1


def test_a_cancellation_may_give_back_what_is_left(api: Api) -> None:
    """`prorate` and `invoice_now`: it becomes the customer's credit."""
    subscription = begin(api)
    api.advance(at("2026-01-16T12:00:00"))
    api.delete(f"subscriptions/{subscription['id']}", prorate=True, invoice_now=True)
    customer = api.get(f"customers/{subscription['customer']}")
    assert customer["balance"] == -450
    assert again(api, subscription)["status"] == "canceled"


# Its cards


def test_the_subscriptions_card_goes_before_the_customers(api: Api) -> None:
    """Whatever the customer's own would have said."""
    customer = api.customer(FAILING)["id"]
    good = api.post("payment_methods/pm_card_mastercard/attach", customer=customer)
    subscription = api.subscribe(
        customer, api.price()["id"], default_payment_method=good["id"]
    )
    assert subscription["status"] == "active"
    assert api.get("charges")["data"][0]["payment_method"] == good["id"]


def test_a_confirmation_that_is_declined_can_be_tried_again(api: Api) -> None:
    """402, the invoice stays open, and the subscription incomplete."""
    subscription = begin(api, None, payment_behavior="default_incomplete")
    intent = intent_of(api, latest(api, subscription))["id"]
    path = f"payment_intents/{intent}/confirm"
    with pytest.raises(Refused) as refused:
        api.post(path, payment_method="pm_card_visa_chargeDeclinedInsufficientFunds")
    assert refused.value.decline_code == "insufficient_funds"
    assert again(api, subscription)["status"] == "incomplete"
    assert api.get(f"payment_intents/{intent}")["last_payment_error"]
    assert api.post(path, payment_method="pm_card_visa")["status"] == "succeeded"
    assert again(api, subscription)["status"] == "active"


# What time cannot do


@pytest.mark.parametrize("until", [-1, 4_102_444_801, "999999 weeks"])
def test_time_goes_forward_and_ends(api: Api, until: int | str) -> None:
    """Up to 2100: dates far beyond could not be written any more."""
    now = api.now
    with pytest.raises(ValueError, match=r"clock (only )?goes"):
        api.advance(until)
    assert api.now == now


@pytest.mark.parametrize("days", [-1, 0, 733])
def test_a_test_clock_goes_forward_and_not_too_far(api: Api, days: int) -> None:
    """Neither back nor to where it is, nor years at a time."""
    clock = api.post("test_helpers/test_clocks", frozen_time=api.now)["id"]
    path = f"test_helpers/test_clocks/{clock}/advance"
    with pytest.raises(Refused) as refused:
        api.post(path, frozen_time=api.now + days * DAY)
    assert (refused.value.status, refused.value.param) == (400, "frozen_time")


def test_nothing_of_a_refused_call_falls_due_later(api: Api) -> None:
    """Neither an expiry, nor a held change, nor a clock's step, nor a lost secret."""
    customer = api.customer(None)["id"]
    with pytest.raises(Refused):
        api.subscribe(customer, api.price()["id"])

    subscription = begin(api)
    fail_from_now_on(api, subscription)
    clock = api.post("test_helpers/test_clocks", frozen_time=api.now)["id"]
    mine = api.subscribe(api.customer(test_clock=clock)["id"], api.price()["id"])
    endpoint = api.post(
        "webhook_endpoints", url="http://127.0.0.1:9/", enabled_events=["charge.failed"]
    )["id"]
    held = {
        "items": [{"id": item_of(subscription), "quantity": 2}],
        "proration_behavior": "always_invoice",
        "payment_behavior": "pending_if_incomplete",
    }
    one = f"test_helpers/test_clocks/{clock}"
    # The expansion is looked at last: all else has been done by then.
    for method, path, params in (
        ("POST", f"subscriptions/{subscription['id']}", held),
        ("POST", f"{one}/advance", {"frozen_time": api.now + 40 * DAY}),
        ("DELETE", one, {}),
        ("DELETE", f"webhook_endpoints/{endpoint}", {}),
    ):
        with pytest.raises(Refused) as refused:
            api.call(method, path, {**params, "expand": ["nothing"]})
        assert refused.value.param == "expand"

    assert again(api, mine) == mine
    assert again(api, subscription)["pending_update"] is None
    api.post(f"{one}/advance", frozen_time=api.now + MINUTE)
    assert api.get(one)["frozen_time"] == api.now + MINUTE
    assert api.delete(f"webhook_endpoints/{endpoint}")["deleted"] is True
    api.advance("40 days")


def test_every_failure_says_when_the_next_attempt_is(api: Api) -> None:
    """The event itself: who reads null there knows that there is none, and no more."""
    subscription = begin(api)
    fail_from_now_on(api, subscription)
    api.advance("2 months")
    failures = [
        event.object
        for event in api.engine.world.events.values()
        if event.type == "invoice.payment_failed"
    ]
    planned = [it["next_payment_attempt"] for it in failures]
    assert len(planned) == 9
    assert [it["attempt_count"] for it in failures] == list(range(1, 10))
    assert planned[-1] is None
    assert all(planned[:-1])
    assert planned[:-1] == sorted(planned[:-1])


def test_a_first_payment_is_not_tried_again(api: Api) -> None:
    """An incomplete subscription waits for its customer, not for the clock."""
    subscription = begin(api, "pm_card_chargeCustomerFail")
    assert latest(api, subscription)["next_payment_attempt"] is None
    api.advance("22 hours")
    assert latest(api, subscription)["attempt_count"] == 1
