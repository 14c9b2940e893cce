"""The real SDK against the sandbox: rules of every call."""

from typing import Any

import pytest
import stripe

from payments_sandbox import Sandbox
from support.sdk_client import FAILING, SDK_MARKS, SdkClient, opened, whole

pytestmark = SDK_MARKS


async def test_a_list_is_read_to_its_end_and_back(sdk: SdkClient) -> None:
    """
    Auto-pagination returns every object once, for any page size: by cursor forwards and
    backwards, and through a search.
    """
    made = [
        (await sdk.v1.customers.create_async({"name": "One of 7"})).id for _ in range(7)
    ]
    newest_first, size = made[::-1], 3

    pages = await sdk.v1.customers.list_async({"limit": size})
    assert [it.id async for it in pages.auto_paging_iter()] == newest_first
    back = await sdk.v1.customers.list_async({"limit": size, "ending_before": made[0]})
    assert [it.id async for it in back.auto_paging_iter()] == made[1:]
    found = await sdk.v1.customers.search_async(
        {"query": "name:'One of 7'", "limit": size}
    )
    assert [it.id async for it in found.auto_paging_iter()] == newest_first
    assert sdk.calls.count("GET /v1/customers 200") == 3 + 2
    assert sdk.calls.count("GET /v1/customers/search 200") == 3


async def test_a_cursor_that_names_nothing_is_refused(sdk: SdkClient) -> None:
    """
    An unknown cursor, or two at once, is an error: an empty page would hide it.
    """
    made = await sdk.customer(None)
    for cursors in (
        {"starting_after": "cus_nothing"},
        {"ending_before": "cus_nothing"},
        {"starting_after": made.id, "ending_before": made.id},
    ):
        wanted: Any = cursors
        with pytest.raises(stripe.InvalidRequestError) as refused:
            await sdk.v1.customers.list_async(wanted)
        assert refused.value.param in cursors


async def test_a_mistake_is_an_error_of_its_class(sdk: SdkClient) -> None:
    """
    The exception class says whose error it is; the parameter and the code say where.
    """
    customers = sdk.v1.customers
    with pytest.raises(stripe.InvalidRequestError) as missing:
        await customers.retrieve_async("cus_nobody")
    assert (missing.value.http_status, missing.value.code) == (404, "resource_missing")
    unknown: Any = {"address": {"planet": "Earth"}}
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await customers.create_async(unknown)
    assert refused.value.param == "address[planet]"
    assert refused.value.code == "parameter_unknown"
    assert refused.value.request_id is not None
    with pytest.raises(stripe.AuthenticationError) as stranger:
        await customers.create_async({}, {"api_key": "sk_test_wrong"})
    assert stranger.value.http_status == 401
    with pytest.raises(stripe.CardError) as declined:
        await sdk.v1.payment_methods.attach_async(
            "pm_card_visa_chargeDeclinedInsufficientFunds",
            {"customer": (await sdk.customer(None)).id},
        )
    assert declined.value.code == "card_declined"
    assert whole(declined.value.error).decline_code == "insufficient_funds"
    sdk.sandbox.plan("rate_limited")
    with pytest.raises(stripe.RateLimitError):
        await customers.list_async()
    sdk.sandbox.plan("error_before")
    with pytest.raises(stripe.APIError) as failed:
        await customers.create_async()
    assert (type(failed.value), failed.value.http_status) == (stripe.APIError, 500)
    assert [it["id"] for it in sdk.sandbox.objects("customer")] != []


async def test_a_key_is_one_operation_for_a_day(sdk: SdkClient) -> None:
    """
    The same key and parameters: the same answer. Other parameters: an error. A day
    later: a new operation. A decline is stored too; a refused parameter is not.
    """
    customers, once = sdk.v1.customers, {"idempotency_key": "once"}
    key: Any = once
    wrong: Any = {"nonsense": "x"}
    with pytest.raises(stripe.InvalidRequestError):
        await customers.create_async(wrong, key)
    made = await customers.create_async({"name": "Ada"}, key)
    again = await customers.create_async({"name": "Ada"}, key)
    assert again.to_dict() == made.to_dict()
    replayed = whole(again.last_response).headers
    assert replayed is not None
    assert replayed["idempotent-replayed"] == "true"
    with pytest.raises(stripe.IdempotencyError):
        await customers.create_async({"name": "Bob"}, key)
    assert len(sdk.sandbox.objects("customer")) == 1

    method = await sdk.v1.payment_methods.attach_async(FAILING, {"customer": made.id})
    pay: Any = {
        "amount": 900,
        "currency": "eur",
        "customer": made.id,
        "payment_method": method.id,
        "confirm": True,
    }
    pay_once: Any = {"idempotency_key": "pay"}
    for _ in range(2):
        with pytest.raises(stripe.CardError):
            await sdk.v1.payment_intents.create_async(pay, pay_once)
        # The card is good now, but a stored decline is repeated all the same.
        sdk.sandbox.set_card(method.id, declines=None)
    assert len(sdk.sandbox.objects("charge")) == 1

    sdk.sandbox.advance("1 day")
    later = await customers.create_async({"name": "Ada"}, key)
    assert later.id != made.id


@pytest.mark.parametrize("fault", ["error_after", "error_before", "reset"])
async def test_the_sdks_own_retries_never_make_two(
    sandbox: Sandbox, fault: str
) -> None:
    """
    The SDK retries a POST with the same key. If the answer was lost, the SDK gets it
    now; a stored 500 is repeated, and ends the retries. Two objects are never created.
    """
    async with opened(sandbox, max_network_retries=2) as sdk:
        sdk.sandbox.plan(fault, "POST /v1/customers")
        if fault == "reset":
            made = await sdk.v1.customers.create_async({"name": "Ada"})
            assert whole(made.last_response).headers["idempotent-replayed"] == "true"
            tries = 2
        else:
            with pytest.raises(stripe.APIError) as failed:
                await sdk.v1.customers.create_async({"name": "Ada"})
            assert failed.value.http_status == 500
            tries = 3

        assert len(sdk.calls) == tries
        assert len(sdk.sandbox.objects("customer")) == (fault != "error_before")


async def test_a_get_is_tried_until_it_succeeds(sandbox: Sandbox) -> None:
    """
    Reads have no key and store nothing: after two 500s the third try succeeds.
    """
    async with opened(sandbox, max_network_retries=2) as sdk:
        sdk.sandbox.plan("error_before", "GET /v1/customers", times=2)

        page = await sdk.v1.customers.list_async()

        assert page.data == []
        assert [it[-3:] for it in sdk.calls] == ["500", "500", "200"]
