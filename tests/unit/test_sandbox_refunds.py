"""Refunds and disputes in the sandbox."""

from typing import Any

import pytest

from support.sandbox import Api, Refused
from support.sandbox_changes import begin
from support.watched import again, count, latest


def pay(api: Api, card: str = "pm_card_visa", amount: int = 1_000) -> Any:
    """Charge a card once; return the charge."""
    intent = api.post(
        "payment_intents",
        amount=amount,
        currency="eur",
        payment_method=card,
        confirm=True,
    )
    return api.get(f"charges/{intent['latest_charge']}")


def test_a_charge_is_refunded_in_parts_and_then_whole(api: Api) -> None:
    """Only then is it `refunded`."""
    charge = pay(api)
    before = count(api)
    part = api.post("refunds", charge=charge["id"], amount=400)
    assert (part["status"], part["amount"]) == ("succeeded", 400)
    partly = again(api, charge)
    assert (partly["amount_refunded"], partly["refunded"]) == (400, False)
    assert api.types(before) == ["refund.created", "charge.refunded"]

    rest = api.post("refunds", payment_intent=charge["payment_intent"])
    assert rest["amount"] == 600
    whole = again(api, charge)
    assert (whole["amount_refunded"], whole["refunded"]) == (1_000, True)
    assert whole["status"] == "succeeded"


def test_a_refund_of_a_subscription_does_not_end_it(api: Api) -> None:
    """The invoice stays paid."""
    subscription = begin(api)
    (charge,) = api.get("charges")["data"]
    api.post("refunds", charge=charge["id"], reason="requested_by_customer")
    assert again(api, subscription)["status"] == "active"
    assert latest(api, subscription)["status"] == "paid"


def test_a_refund_may_fail_after_it_succeeded(api: Api) -> None:
    """The money stays: the charge is not refunded, and each change is reported."""
    charge = pay(api, "pm_card_refundFail")
    refund = api.post("refunds", charge=charge["id"])
    assert refund["status"] == "succeeded"
    assert again(api, charge)["refunded"] is True
    before = count(api)

    api.advance("1 hour")

    failed = again(api, refund)
    assert (failed["status"], failed["failure_reason"]) == (
        "failed",
        "expired_or_canceled_card",
    )
    assert failed["failure_balance_transaction"].startswith("txn_")
    kept = again(api, charge)
    assert (kept["amount_refunded"], kept["refunded"]) == (0, False)
    assert api.types(before) == [
        "refund.updated",
        "charge.refund.updated",
        "refund.failed",
        "charge.updated",
    ]
    api.advance("1 month")
    assert len(api.types(before)) == 4


def test_of_two_refunds_that_fail_each_takes_back_its_own(api: Api) -> None:
    """In between, the rest may be refunded again."""
    charge = pay(api, "pm_card_refundFail")
    api.post("refunds", charge=charge["id"], amount=400)
    api.advance("2 minutes")
    api.post("refunds", charge=charge["id"], amount=600)
    assert again(api, charge)["refunded"] is True
    api.advance("3 minutes")
    partly = again(api, charge)
    assert (partly["amount_refunded"], partly["refunded"]) == (600, False)
    third = api.post("refunds", charge=charge["id"], amount=400)
    api.advance("3 minutes")
    assert again(api, charge)["amount_refunded"] == 400
    assert again(api, third)["status"] == "succeeded"
    api.advance("1 hour")
    assert again(api, charge)["amount_refunded"] == 0


def test_a_refund_may_be_pending_before_it_succeeds(api: Api) -> None:
    """It counts from the start: a pending amount cannot be refunded again."""
    charge = pay(api, "pm_card_pendingRefund")
    before = count(api)
    refund = api.post("refunds", charge=charge["id"])
    assert (refund["status"], refund["pending_reason"]) == ("pending", "processing")
    assert again(api, charge)["refunded"] is True
    with pytest.raises(Refused) as refused:
        api.post("refunds", charge=charge["id"])
    assert refused.value.code == "charge_already_refunded"

    api.advance("1 hour")

    done = again(api, refund)
    assert (done["status"], done["pending_reason"]) == ("succeeded", None)
    assert again(api, charge)["refunded"] is True
    assert api.types(before) == [
        "refund.created",
        "charge.refunded",
        "refund.updated",
        "charge.refund.updated",
    ]


def test_a_refund_ends_on_the_clock_of_its_customer(api: Api) -> None:
    """A test clock that does not move leaves it as it is."""
    clock = api.post("test_helpers/test_clocks", frozen_time=api.now)["id"]
    customer = api.customer("pm_card_refundFail", test_clock=clock)
    api.subscribe(customer["id"], api.price()["id"])
    (charge,) = api.get("charges")["data"]
    refund = api.post("refunds", payment_intent=charge["payment_intent"])
    api.advance("1 month")
    assert again(api, refund)["status"] == "succeeded"
    path = f"test_helpers/test_clocks/{clock}"
    at = api.get(path)["frozen_time"]
    api.post(f"{path}/advance", frozen_time=at + 3600)
    assert again(api, refund)["status"] == "failed"


def test_a_dispute_comes_right_after_its_charge(api: Api) -> None:
    """It waits for evidence, and the money cannot be refunded meanwhile."""
    before = count(api)
    charge = pay(api, "pm_card_createDispute")
    (dispute,) = api.get("disputes", charge=charge["id"])["data"]
    assert charge["disputed"] is True
    assert (dispute["status"], dispute["reason"]) == ("needs_response", "fraudulent")
    assert dispute["evidence_details"]["due_by"] > api.now
    assert api.types(before)[-2:] == [
        "charge.dispute.created",
        "charge.dispute.funds_withdrawn",
    ]
    with pytest.raises(Refused) as refused:
        api.post("refunds", charge=charge["id"])
    assert (refused.value.status, refused.value.code) == (400, "charge_disputed")


@pytest.mark.parametrize(
    ("evidence", "status", "returned"),
    [
        ("winning_evidence", "won", ["charge.dispute.funds_reinstated"]),
        ("losing_evidence", "lost", []),
    ],
)
def test_evidence_decides_a_dispute(
    api: Api, evidence: str, status: str, returned: list[str]
) -> None:
    """By the words of Stripe's test mode; a win returns the money."""
    charge = pay(api, "pm_card_createDispute")
    (dispute,) = api.get("disputes", charge=charge["id"])["data"]
    path, before = f"disputes/{dispute['id']}", count(api)
    closed = api.post(path, evidence={"uncategorized_text": evidence})
    assert closed["status"] == status
    assert api.types(before) == [
        "charge.dispute.updated",
        "charge.dispute.closed",
        *returned,
    ]
    with pytest.raises(Refused) as refused:
        api.post(path, evidence={"uncategorized_text": "more"})
    assert refused.value.status == 400


def test_evidence_may_be_staged_before_it_is_submitted(api: Api) -> None:
    """Other words leave it under review."""
    charge = pay(api, "pm_card_createDispute")
    (dispute,) = api.get("disputes", charge=charge["id"])["data"]
    path = f"disputes/{dispute['id']}"
    staged = api.post(path, evidence={"customer_name": "Ada"}, submit=False)
    assert staged["status"] == "needs_response"
    assert staged["evidence_details"]["has_evidence"] is True
    assert staged["evidence_details"]["submission_count"] == 0
    submitted = api.post(path, evidence={"uncategorized_text": "She had it."})
    assert submitted["status"] == "under_review"
    assert submitted["evidence"]["customer_name"] == "Ada"
    assert submitted["evidence_details"]["submission_count"] == 1


def test_staged_evidence_can_be_submitted_alone(api: Api) -> None:
    """`submit` without more evidence sends the staged evidence."""
    charge = pay(api, "pm_card_createDispute")
    (dispute,) = api.get("disputes", charge=charge["id"])["data"]
    path = f"disputes/{dispute['id']}"
    api.post(path, evidence={"uncategorized_text": "winning_evidence"}, submit=False)
    assert api.post(path, submit=True)["status"] == "won"


def test_a_dispute_can_be_given_up_and_an_inquiry_refunded(api: Api) -> None:
    """Closing one loses it; an inquiry has taken no money yet."""
    charge = pay(api, "pm_card_createDispute")
    (dispute,) = api.get("disputes", charge=charge["id"])["data"]
    assert api.post(f"disputes/{dispute['id']}/close")["status"] == "lost"

    charge = pay(api, "pm_card_createDisputeInquiry")
    (inquiry,) = api.get("disputes", charge=charge["id"])["data"]
    assert inquiry["status"] == "warning_needs_response"
    assert inquiry["is_charge_refundable"] is True
    assert api.post("refunds", charge=charge["id"])["amount"] == 1_000
