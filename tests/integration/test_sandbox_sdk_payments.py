"""The real SDK against the sandbox: customers, their cards, and single payments.

Each test is a story of its own; the last one runs all of them against one sandbox.
"""

from typing import Final

import pytest
import stripe

from support.sdk_client import (
    FAILING,
    GOOD,
    SDK_MARKS,
    SdkClient,
    Story,
    addresses,
    answers_to,
    whole,
)

pytestmark = SDK_MARKS


async def test_a_customer_is_kept_found_changed_and_deleted(sdk: SdkClient) -> None:
    """
    A customer is found by id, by e-mail and by search; a deleted one is a stub.
    """
    customers = sdk.v1.customers
    made = await customers.create_async(
        {
            "email": "ada@example.com",
            "name": "Ada",
            "metadata": {"user_id": "ada", "2026": "x"},
            "address": {"city": "London", "country": "GB"},
        }
    )
    assert (made.id[:4], made.created, made.livemode) == ("cus_", sdk.now, False)
    assert whole(made.address).city == "London"
    assert (await customers.retrieve_async(made.id)).to_dict() == made.to_dict()

    changed = await customers.update_async(
        made.id, {"address": "", "metadata": {"plan": "basic", "2026": ""}}
    )
    assert changed.address is None
    assert whole(changed.metadata).to_dict() == {"user_id": "ada", "plan": "basic"}

    listed = await customers.list_async({"email": "ada@example.com"})
    query = "email:'ADA@example.com' AND metadata['user_id']:'ada' -name:'Bob'"
    searched = await customers.search_async({"query": query})
    assert [it.id for it in listed.data] == [it.id for it in searched.data] == [made.id]

    assert (await customers.delete_async(made.id)).deleted is True
    assert (await customers.retrieve_async(made.id)).deleted is True
    assert not (await customers.list_async({"email": "ada@example.com"})).data
    assert sdk.happened(made.id) == [
        "customer.created",
        "customer.updated",
        "customer.deleted",
    ]


async def test_a_card_is_made_of_a_token_attached_changed_and_detached(
    sdk: SdkClient,
) -> None:
    """
    A card belongs to one customer at a time, and only an attached card can be changed.
    """
    methods, customer = sdk.v1.payment_methods, await sdk.customer(None)
    card = await methods.create_async({"type": "card", "card": {"token": "tok_visa"}})
    assert whole(card.card).last4 == "4242"
    with pytest.raises(stripe.InvalidRequestError, match="save this PaymentMethod"):
        await methods.update_async(card.id, {"card": {"exp_year": 2040}})

    attached = await methods.attach_async(card.id, {"customer": customer.id})
    assert attached.customer == customer.id
    changed = await methods.update_async(
        card.id, {"card": {"exp_month": 2}, "billing_details": {"name": "Ada"}}
    )
    assert (whole(changed.card).exp_month, changed.billing_details.name) == (2, "Ada")
    assert (await methods.retrieve_async(card.id)).to_dict() == changed.to_dict()

    of_customer = sdk.v1.customers.payment_methods
    everywhere = [
        await methods.list_async({"customer": customer.id, "type": "card"}),
        await of_customer.list_async(customer.id),
    ]
    assert [[it.id for it in page.data] for page in everywhere] == [[card.id]] * 2
    found = await of_customer.retrieve_async(customer.id, card.id)
    assert found.to_dict() == changed.to_dict()

    other = await sdk.customer(None)
    with pytest.raises(stripe.InvalidRequestError, match="already been attached"):
        await methods.attach_async(card.id, {"customer": other.id})
    assert (await methods.detach_async(card.id)).customer is None
    assert not (await of_customer.list_async(customer.id)).data


async def test_a_setup_intent_keeps_a_card_once_its_holder_agrees(
    sdk: SdkClient,
) -> None:
    """
    The bank's authentication decides: refused, no card is stored; accepted, the card is
    attached and can be charged off-session.
    """
    setups, customer = sdk.v1.setup_intents, await sdk.customer(None)
    intent = await setups.create_async({"customer": customer.id})
    intent = await setups.update_async(intent.id, {"metadata": {"for": "a card"}})
    assert intent.status == "requires_payment_method"
    on_setup = "pm_card_authenticationRequiredOnSetup"

    asked = await setups.confirm_async(intent.id, {"payment_method": on_setup})
    assert asked.status == "requires_action"
    sdk.sandbox.authenticate(intent.id, succeed=False)
    refused = await setups.retrieve_async(intent.id)
    assert refused.status == "requires_payment_method"
    error = whole(refused.last_setup_error)
    assert error.code == "setup_intent_authentication_failure"
    assert not (await sdk.v1.customers.payment_methods.list_async(customer.id)).data

    await setups.confirm_async(intent.id, {"payment_method": on_setup})
    sdk.sandbox.authenticate(intent.id)
    kept = await setups.retrieve_async(intent.id, {"expand": ["payment_method"]})
    card = whole(kept.payment_method)
    assert (kept.status, card.customer) == ("succeeded", customer.id)
    [listed] = (await setups.list_async({"customer": customer.id})).data
    assert listed.id == intent.id

    paid = await sdk.v1.payment_intents.create_async(
        {
            "amount": 900,
            "currency": "eur",
            "customer": customer.id,
            "payment_method": card.id,
            "confirm": True,
            "off_session": True,
        }
    )
    assert paid.status == "succeeded"

    given_up = await setups.create_async({"customer": customer.id})
    canceled = await setups.cancel_async(given_up.id)
    assert canceled.status == "canceled"
    with pytest.raises(stripe.InvalidRequestError) as late:
        await setups.confirm_async(given_up.id, {"payment_method": GOOD})
    assert late.value.code == "setup_intent_unexpected_state"


async def test_a_payment_intent_is_paid_or_canceled_once(sdk: SdkClient) -> None:
    """
    An intent can be changed until it is paid; a decline leaves it open, with the failed
    charge.
    """
    intents, customer = sdk.v1.payment_intents, await sdk.customer(None)
    intent = await intents.create_async(
        {"amount": 500, "currency": "eur", "customer": customer.id}
    )
    intent = await intents.update_async(intent.id, {"amount": 700})
    found = await intents.retrieve_async(intent.id)
    assert (found.amount, found.status) == (700, "requires_payment_method")

    with pytest.raises(stripe.CardError) as declined:
        await intents.confirm_async(intent.id, {"payment_method": FAILING})
    assert whole(declined.value.error).decline_code == "generic_decline"
    paid = await intents.confirm_async(
        intent.id, {"payment_method": GOOD, "expand": ["latest_charge"]}
    )
    assert (paid.status, paid.amount_received) == ("succeeded", 700)

    charges = sdk.v1.charges
    tries = (await charges.list_async({"payment_intent": intent.id})).data
    assert [it.status for it in tries] == ["succeeded", "failed"]
    assert tries[0].id == whole(paid.latest_charge).id
    noted = await charges.update_async(tries[0].id, {"metadata": {"order": "7"}})
    assert (await charges.retrieve_async(noted.id)).metadata["order"] == "7"

    other = await intents.create_async({"amount": 500, "currency": "eur"})
    canceled = await intents.cancel_async(
        other.id, {"cancellation_reason": "abandoned"}
    )
    assert canceled.status == "canceled"
    [listed] = (await intents.list_async({"customer": customer.id})).data
    assert listed.id == intent.id
    with pytest.raises(stripe.InvalidRequestError):
        await intents.cancel_async(intent.id)


async def test_a_charge_is_refunded_up_to_its_amount(sdk: SdkClient) -> None:
    """
    Refunds add up to at most the charge.
    """
    refunds, charge = sdk.v1.refunds, await sdk.charged(amount=900)
    part = await refunds.create_async({"charge": charge.id, "amount": 300})
    assert (part.status, part.amount) == ("succeeded", 300)
    with pytest.raises(stripe.InvalidRequestError) as too_much:
        await refunds.create_async({"charge": charge.id, "amount": 601})
    assert too_much.value.param == "amount"
    rest = await refunds.create_async({"payment_intent": str(charge.payment_intent)})
    assert rest.amount == 600
    with pytest.raises(stripe.InvalidRequestError) as twice:
        await refunds.create_async({"charge": charge.id})
    assert twice.value.code == "charge_already_refunded"

    noted = await refunds.update_async(part.id, {"metadata": {"why": "late"}})
    assert (await refunds.retrieve_async(part.id)).to_dict() == noted.to_dict()
    listed = (await refunds.list_async({"charge": charge.id})).data
    assert [it.id for it in listed] == [rest.id, part.id]
    found = await sdk.v1.charges.retrieve_async(charge.id, {"expand": ["refunds"]})
    assert (found.refunded, found.amount_refunded) == (True, 900)
    assert len(whole(found.refunds).data) == 2


async def test_a_dispute_is_won_or_lost_by_its_evidence(sdk: SdkClient) -> None:
    """
    The evidence texts of Stripe's test mode decide; a closed dispute is lost, and
    final.
    """
    disputes = sdk.v1.disputes

    async def disputed() -> stripe.Dispute:
        charge = await sdk.charged("pm_card_createDispute")
        [found] = (await disputes.list_async({"charge": charge.id})).data
        return found

    won, lost, closed = [await disputed() for _ in range(3)]
    assert (won.status, won.reason) == ("needs_response", "fraudulent")
    for it, words, verdict in (
        (won, "winning_evidence", "won"),
        (lost, "losing_evidence", "lost"),
    ):
        draft = await disputes.update_async(
            it.id, {"evidence": {"customer_name": "Ada"}, "submit": False}
        )
        assert draft.status == "needs_response"
        answered = await disputes.update_async(
            it.id, {"evidence": {"uncategorized_text": words}}
        )
        assert answered.status == verdict
        happened = sdk.happened(it.id)
        assert "charge.dispute.closed" in happened
        # The money is returned to the winner only.
        returned = "charge.dispute.funds_reinstated" in happened
        assert returned is (verdict == "won")
    assert (await disputes.close_async(closed.id)).status == "lost"
    with pytest.raises(stripe.InvalidRequestError, match="already closed"):
        await disputes.close_async(won.id)
    charge = await sdk.v1.charges.retrieve_async(
        str((await disputes.retrieve_async(won.id)).charge)
    )
    assert charge.disputed is True


async def test_events_are_read_by_type_time_and_cursor(sdk: SdkClient) -> None:
    """
    The newest is first; a cursor keeps its place, whatever filters are used; after 30
    days an event is deleted.
    """
    events = sdk.v1.events
    first = await sdk.customer(None)
    sdk.sandbox.advance("1 hour")
    since, second = sdk.now, await sdk.customer(None)
    charge = await sdk.charged()

    made = await events.list_async({"type": "customer.created", "limit": 2})
    assert [it.data.object["id"] for it in made.data] == [charge.customer, second.id]
    later = await events.list_async({"created": {"gte": since}, "limit": 100})
    assert {it.created for it in later.data} == {since}
    # No more of them: a renewal of an older subscription may be due in this second too.
    kinds = await events.list_async(
        {
            "types": ["charge.*", "customer.created"],
            "created": {"gte": since},
            "limit": 3,
        }
    )
    assert [it.type for it in kinds.data] == [
        "charge.succeeded",
        "customer.created",
        "customer.created",
    ]
    # Those before this one, which has another type.
    newest = later.data[0]
    assert newest.type == "payment_intent.succeeded"
    older = await events.list_async(
        {"type": "charge.succeeded", "starting_after": newest.id, "limit": 1}
    )
    assert older.data[0].data.object["id"] == charge.id

    [event] = [
        it
        for it in sdk.sandbox.events("customer.created")
        if it["object_id"] == first.id
    ]
    found = await events.retrieve_async(event["id"])
    assert (found.type, found.data.object["id"]) == ("customer.created", first.id)
    sdk.sandbox.advance("30 days")
    with pytest.raises(stripe.InvalidRequestError) as gone:
        await events.retrieve_async(event["id"])
    assert gone.value.http_status == 404


async def test_an_endpoint_is_registered_with_a_secret_told_once(
    sdk: SdkClient,
) -> None:
    """
    The signing secret is in the answer to the registration, and nowhere else.
    """
    endpoints = sdk.v1.webhook_endpoints
    made = await endpoints.create_async(
        {
            # Nothing listens there, and no event of that type happens.
            "url": "https://example.invalid/webhooks",
            "enabled_events": ["customer.tax_id.created"],
            "api_version": "2025-03-31.basil",
        }
    )
    assert str(made.secret).startswith("whsec_")
    assert made.api_version == "2025-03-31.basil"
    found = await endpoints.retrieve_async(made.id)
    assert "secret" not in found.to_dict()
    off = await endpoints.update_async(made.id, {"disabled": True})
    assert off.status == "disabled"
    assert made.id in {it.id for it in (await endpoints.list_async()).data}
    assert (await endpoints.delete_async(made.id)).deleted is True
    assert made.id not in {it.id for it in (await endpoints.list_async()).data}
    with pytest.raises(stripe.InvalidRequestError) as bad:
        await endpoints.create_async(
            {"url": "ftp://example.com", "enabled_events": ["*"]}
        )
    assert bad.value.param == "url"
    account = await sdk.v1.accounts.retrieve_current_async()
    assert (account.id[:5], account.charges_enabled) == ("acct_", True)


async def test_an_event_destination_is_registered_changed_and_deleted(
    sdk: SdkClient,
) -> None:
    """
    It sends thin events; its secret is returned once, if the request includes it.
    """
    destinations = sdk.v2.core.event_destinations
    made = await destinations.create_async(
        {
            "name": "thin",
            "type": "webhook_endpoint",
            "event_payload": "thin",
            "enabled_events": ["v1.customer.tax_id.created"],
            "webhook_endpoint": {"url": "https://example.invalid/webhooks"},
            "include": ["webhook_endpoint.signing_secret"],
        }
    )
    assert made.webhook_endpoint is not None
    assert str(made.webhook_endpoint.signing_secret).startswith("whsec_")
    changed = await destinations.update_async(made.id, {"name": "other"})
    assert changed.name == "other"
    assert (await destinations.disable_async(made.id)).status == "disabled"
    assert (await destinations.enable_async(made.id)).status == "enabled"
    found = await destinations.retrieve_async(made.id)
    assert found.webhook_endpoint is not None
    assert found.webhook_endpoint.signing_secret is None
    assert made.id in {it.id for it in (await destinations.list_async()).data}
    assert (await destinations.delete_async(made.id)).id == made.id
    assert made.id not in {it.id for it in (await destinations.list_async()).data}


STORIES: Final[tuple[Story, ...]] = (
    test_a_customer_is_kept_found_changed_and_deleted,
    test_a_card_is_made_of_a_token_attached_changed_and_detached,
    test_a_setup_intent_keeps_a_card_once_its_holder_agrees,
    test_a_payment_intent_is_paid_or_canceled_once,
    test_a_charge_is_refunded_up_to_its_amount,
    test_a_dispute_is_won_or_lost_by_its_evidence,
    test_events_are_read_by_type_time_and_cursor,
    test_an_endpoint_is_registered_with_a_secret_told_once,
    test_an_event_destination_is_registered_changed_and_deleted,
)


async def test_together_they_call_every_address_of_payments(sdk: SdkClient) -> None:
    """
    Run one after the other against one sandbox the stories hold as well, and together
    they get a good answer from every method and path of this area.
    """
    called, theirs = await answers_to(sdk, STORIES), addresses("payments")

    assert called >= theirs
    assert len(theirs) >= 45
