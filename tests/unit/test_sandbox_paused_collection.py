"""Subscriptions of the sandbox with paused collection: renewed, and not charged."""

from typing import Any

import pytest

from payments_sandbox.periods import DAY
from support.sandbox import Api, Refused
from support.sandbox_changes import change, item
from support.watched import FAILING, again, begin, count, intent_of, latest, period


def pause(api: Api, subscription: Any, behavior: str, **more: Any) -> Any:
    wanted = {"behavior": behavior, **more}
    return change(api, subscription, pause_collection=wanted)


def renew(api: Api) -> None:
    api.advance("1 month")
    api.advance("1 hour")


def charges(api: Api) -> int:
    return len(api.get("charges", limit=100)["data"])


@pytest.mark.parametrize(
    ("behavior", "status", "events"),
    [
        ("keep_as_draft", "draft", ["invoice.created"]),
        (
            "mark_uncollectible",
            "uncollectible",
            ["invoice.finalized", "invoice.marked_uncollectible"],
        ),
        ("void", "void", ["invoice.finalized", "invoice.voided"]),
    ],
)
def test_a_renewal_while_collection_is_paused_charges_nothing(
    api: Api, behavior: str, status: str, events: list[str]
) -> None:
    """The period continues and the status stays; the invoice ends as requested."""
    subscription = begin(api)
    before = count(api)
    paused = pause(api, subscription, behavior)
    assert paused["pause_collection"] == {"behavior": behavior, "resumes_at": None}
    assert paused["status"] == "active"
    assert api.types(before) == ["customer.subscription.updated"]
    before = count(api)

    renew(api)

    renewed, invoice = again(api, subscription), latest(api, subscription)
    assert renewed["status"] == "active"
    assert period(renewed)[0] == period(subscription)[1]
    assert (invoice["status"], invoice["auto_advance"]) == (status, False)
    assert invoice["amount_due"] == 900
    assert charges(api) == 1
    happened = api.types(before)
    assert [it for it in happened if it in events] == events
    assert "invoice.paid" not in happened
    api.advance("20 days")
    assert latest(api, subscription) == invoice


def test_collection_goes_on_when_the_pause_is_unset(api: Api) -> None:
    """From the next invoice on; an invoice kept as a draft stays one."""
    subscription = begin(api)
    pause(api, subscription, "keep_as_draft")
    renew(api)
    draft = latest(api, subscription)
    resumed = change(api, subscription, pause_collection="")
    assert resumed["pause_collection"] is None
    renew(api)
    assert latest(api, subscription)["status"] == "paid"
    assert charges(api) == 2
    assert api.get(f"invoices/{draft['id']}") == draft

    assert api.post(f"invoices/{draft['id']}/pay")["status"] == "paid"
    assert charges(api) == 3


@pytest.mark.parametrize(("days", "status"), [(31, "paid"), (32, "void")])
def test_collection_goes_on_by_itself_at_resumes_at(
    api: Api, days: int, status: str
) -> None:
    """A renewal in that second is charged; the end of the pause is reported."""
    subscription = begin(api)
    moment = api.now + days * DAY
    pause(api, subscription, "void", resumes_at=moment)
    api.advance(moment - 1)
    assert again(api, subscription)["pause_collection"]["resumes_at"] == moment
    before = count(api)
    api.advance(moment)
    assert again(api, subscription)["pause_collection"] is None
    assert "customer.subscription.updated" in api.types(before)
    api.advance("1 hour")
    assert latest(api, subscription)["status"] == status


def test_a_pause_that_was_set_anew_ends_when_the_new_one_says(api: Api) -> None:
    """The time of the first pause no longer applies."""
    subscription = begin(api)
    pause(api, subscription, "void", resumes_at=api.now + 2 * DAY)
    pause(api, subscription, "void", resumes_at=api.now + 5 * DAY)
    api.advance("3 days")
    assert again(api, subscription)["pause_collection"] is not None
    api.advance("2 days")
    assert again(api, subscription)["pause_collection"] is None


def test_what_was_invoiced_before_the_pause_is_still_collected(api: Api) -> None:
    """A renewal that was drafted, and retries of one that failed."""
    subscription = begin(api)
    api.advance("1 month")
    pause(api, subscription, "void")
    api.advance("1 hour")
    assert latest(api, subscription)["status"] == "paid"


def test_a_change_while_collection_is_paused_is_made_and_not_charged(api: Api) -> None:
    """Its invoice is handled as a renewal's."""
    subscription = begin(api)
    pause(api, subscription, "void")
    changed = change(
        api,
        subscription,
        items=item(subscription, quantity=3),
        proration_behavior="always_invoice",
        payment_behavior="pending_if_incomplete",
    )
    assert changed["items"]["data"][0]["quantity"] == 3
    assert changed["pending_update"] is None
    assert latest(api, subscription)["status"] == "void"
    assert charges(api) == 1


def test_a_trial_that_ends_while_collection_is_paused_is_not_charged(api: Api) -> None:
    """It is active then, like any other."""
    subscription = begin(api, trial_period_days=7)
    pause(api, subscription, "mark_uncollectible")
    api.advance("8 days")
    assert again(api, subscription)["status"] == "active"
    assert latest(api, subscription)["status"] == "uncollectible"
    assert charges(api) == 0


def test_an_invoice_of_nothing_is_paid_while_collection_is_paused(api: Api) -> None:
    """Nothing is written off."""
    subscription = begin(api)
    api.post(f"customers/{subscription['customer']}", balance=-5_000)
    pause(api, subscription, "void")
    renew(api)
    assert latest(api, subscription)["status"] == "paid"


def test_an_invoice_is_written_off_and_can_be_paid_later(api: Api) -> None:
    """By hand, with `mark_uncollectible`; only an open invoice."""
    subscription = begin(api, FAILING)
    path = f"invoices/{subscription['latest_invoice']}"
    written_off = api.post(f"{path}/mark_uncollectible")
    assert written_off["status"] == "uncollectible"
    assert written_off["status_transitions"]["marked_uncollectible_at"] == api.now
    with pytest.raises(Refused) as refused:
        api.post(f"{path}/mark_uncollectible")
    assert refused.value.status == 400
    intent = intent_of(api, written_off)["id"]
    api.post(f"payment_intents/{intent}/confirm", payment_method="pm_card_visa")
    assert api.get(path)["status"] == "paid"
    assert again(api, subscription)["status"] == "active"


@pytest.mark.parametrize(
    ("wanted", "code", "param"),
    [
        (
            {"resumes_at": 4_000_000_000},
            "parameter_missing",
            "pause_collection[behavior]",
        ),
        ({"behavior": "forget"}, None, "pause_collection[behavior]"),
        (
            {"behavior": "void", "resumes_at": 1_767_225_600},
            None,
            "pause_collection[resumes_at]",
        ),
    ],
)
def test_a_pause_that_cannot_be_is_refused(
    api: Api, wanted: dict[str, Any], code: str | None, param: str
) -> None:
    """Without a behaviour, with an unknown one, or until a time in the past."""
    subscription = begin(api)
    with pytest.raises(Refused) as refused:
        change(api, subscription, pause_collection=wanted)
    assert (refused.value.code, refused.value.param) == (code, param)
    assert again(api, subscription)["pause_collection"] is None
