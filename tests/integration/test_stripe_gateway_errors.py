"""Each Stripe error, and each transport fault, becomes one of our errors.

No warning is emitted: the transport is ours.
"""

import asyncio
import logging
from collections.abc import Mapping
from typing import Final

import attrs
import pytest
import stripe

from payments_adapters.stripe.gateway import StripeGateway
from payments_adapters.stripe.transport import Transport
from payments_core.errors import (
    GatewayMisconfigured,
    GatewayNotAttempted,
    GatewayObjectMissing,
    GatewayOutcomeUnknown,
    GatewayRefused,
    PaymentsError,
)
from payments_sandbox import Fault, Sandbox
from support.lying_stripe import CREATE, CUSTOMER, KEY, answer, failure_of, lying
from support.stripe_gateway import Place

pytestmark = pytest.mark.anyio
# Shorter than a slow answer of the sandbox; little time is lost without result.
DEADLINE_S: Final = 0.4
CARD_NUMBER: Final = "4242" * 4


# Transport faults


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (Fault.RATE_LIMITED, GatewayNotAttempted),
        (Fault.RATE_LIMITED_RETRY_AFTER, GatewayNotAttempted),
        (Fault.ERROR_BEFORE, "poisoned"),
        (Fault.ERROR_AFTER, "poisoned"),
        (Fault.TIMEOUT_BEFORE, "silent"),
        (Fault.TIMEOUT_AFTER, "silent"),
        (Fault.SLOW, "silent"),
        (Fault.RESET, "silent"),
    ],
)
async def test_each_fault_is_what_it_is(
    place: Place, fault: Fault, expected: object
) -> None:
    """
    Nothing was done, or the outcome is unknown; and whether the key can be reused.
    """
    hasty = StripeGateway(place.sandbox.api_key, base=place.sandbox.url, livemode=False)
    place.sandbox.plan(fault, "POST /v1/customers")
    async with hasty.opened(Transport(deadline_s=DEADLINE_S)):
        error = await failure_of(hasty)

    if isinstance(error, GatewayOutcomeUnknown):
        assert error.server_error_cached is (expected == "poisoned")
    else:
        assert isinstance(error, GatewayNotAttempted)
        assert expected is GatewayNotAttempted
    was_made = fault in {
        Fault.ERROR_AFTER,
        Fault.TIMEOUT_AFTER,
        Fault.SLOW,
        Fault.RESET,
    }
    assert bool(place.api("GET", "customers")["data"]) is was_made
    assert bool(await place.gateway.find(CREATE)) is was_made


async def test_a_key_that_carried_something_else_is_silence(place: Place) -> None:
    """
    Our request was not executed, but it is unknown which one was: no new key is used
    blindly.
    """
    await place.ask(CREATE, "key-1")
    with pytest.raises(GatewayOutcomeUnknown) as silence:
        await place.ask(attrs.evolve(CREATE, email="bob@example.com"), "key-1")
    assert not silence.value.server_error_cached


async def test_a_key_that_stripe_does_not_know_is_busy(sandbox: Sandbox) -> None:
    """
    Nothing was done; the key must be corrected by hand.
    """
    gateway = StripeGateway("sk_test_" + "y" * 16, base=sandbox.url, livemode=False)
    async with gateway.opened():
        with pytest.raises(GatewayNotAttempted):
            await gateway.price("price_1")


async def test_nobody_is_asked_without_a_key_or_when_it_is_closed(
    sandbox: Sandbox,
) -> None:
    """
    Nothing was done.
    """
    for key in (None, "", sandbox.api_key):
        gateway = StripeGateway(key, base=sandbox.url, livemode=False)
        with pytest.raises(GatewayNotAttempted):
            await gateway.price("price_1")
        async with gateway.opened():
            with pytest.raises((GatewayNotAttempted, GatewayObjectMissing)) as failure:
                await gateway.price("price_1")
        assert isinstance(failure.value, GatewayObjectMissing) is bool(key)
        assert KEY not in repr(gateway._client)


def test_it_is_opened_in_one_event_loop_after_the_other(sandbox: Sandbox) -> None:
    """
    A worker, a command and a server each have their own.
    """
    gateway = StripeGateway(sandbox.api_key, base=sandbox.url, livemode=False)

    async def ask() -> None:
        async with gateway.opened():
            with pytest.raises(GatewayObjectMissing):
                await gateway.price("price_1")

    for _ in range(2):
        asyncio.run(ask())


async def test_the_sdk_tells_nobody_of_us(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    """
    No telemetry, which writes into a home directory; no addresses and messages in the
    logs.
    """
    assert stripe.enable_telemetry is False
    with caplog.at_level(logging.DEBUG), pytest.raises(GatewayRefused):
        await place.ask(attrs.evolve(CREATE, email="not an e-mail"))
    assert "x-stripe-client-telemetry" not in place.asked[-1].headers
    told = [it.getMessage() for it in caplog.records if it.name.startswith("stripe")]
    assert told == []


# Answers that the sandbox does not give


@pytest.mark.parametrize("drips", [False, True])
@pytest.mark.parametrize(
    "begun", [b"", answer(CUSTOMER, content_length="9000000")], ids=["none", "some"]
)
async def test_an_answer_that_does_not_end_is_silence(
    begun: bytes, *, drips: bool
) -> None:
    """
    The deadline is for the whole exchange, even if bytes keep coming.
    """
    async with lying(begun, deadline_s=DEADLINE_S, holds=True, drips=drips) as it:
        assert isinstance(await failure_of(it[0]), GatewayOutcomeUnknown)


async def test_nobody_there_is_silence() -> None:
    """
    Nothing listens at the port.
    """
    async with lying() as (_, liar):
        pass
    gateway = StripeGateway(KEY, base=liar.url, livemode=False)
    async with gateway.opened():
        failure = await failure_of(gateway)
    assert isinstance(failure, GatewayOutcomeUnknown)
    assert failure.reason == "ConnectError"


# Each Stripe error: its status and text, our error, and our message.
Told = tuple[type[PaymentsError], Mapping[str, object]]
BUSY: Final[Told] = (GatewayNotAttempted, {})
OUTCOME_UNKNOWN: Final[Told] = (GatewayOutcomeUnknown, {"server_error_cached": False})
POISONED: Final[Told] = (GatewayOutcomeUnknown, {"server_error_cached": True})


def refused(code: str, field: str | None = None, **more: object) -> Told:
    usual = {"declined": False, "decline_code": None}
    return GatewayRefused, {"refusal_code": code, "field": field, **usual, **more}


def declined(code: str, decline_code: str) -> Told:
    return refused(code, "payment_method", declined=True, decline_code=decline_code)


INVALID: Final = "invalid_request_error"
ERRORS: Final[list[tuple[int, Mapping[str, object], Told]]] = [
    (
        402,
        {"type": "card_error", "code": "card_declined", "decline_code": "lost_card"},
        declined("card_declined", "lost_card"),
    ),
    (
        402,
        {"type": "card_error", "code": "expired_card"},
        declined("expired_card", "expired_card"),
    ),
    (402, {"type": "card_error"}, declined("card_error", "card_error")),
    (400, {"type": INVALID, "code": "parameter_unknown"}, refused("parameter_unknown")),
    (400, {"type": INVALID}, refused(INVALID)),
    (400, {"code": 7, "type": []}, refused("refused")),
    (404, {"code": "resource_missing", "param": "id"}, refused("resource_missing")),
    (410, {"code": "gone"}, refused("gone")),
    *(
        (
            400,
            {"code": "resource_missing", "param": param},
            refused("resource_missing", field),
        )
        for param, field in {
            "customer": "customer",
            "default_payment_method": "payment_method",
            "invoice_settings[default_payment_method]": "payment_method",
            "items[0][price]": "price",
            "items[0][quantity]": "quantity",
            "payment_method": "payment_method",
            "proration_date": "proration_date",
            "subscription_details[items][0][price]": "price",
            "trial_period_days": "trial_days",
            "email": None,
            "": None,
        }.items()
    ),
    (400, {"type": "idempotency_error"}, OUTCOME_UNKNOWN),
    (409, {"type": "idempotency_error"}, OUTCOME_UNKNOWN),
    (409, {"type": "idempotency_error", "code": "idempotency_key_in_use"}, BUSY),
    (409, {"type": INVALID, "code": "lock_timeout"}, BUSY),
    (409, {"type": "api_error"}, BUSY),
    (429, {"type": INVALID, "code": "rate_limit"}, BUSY),
    (429, {"type": INVALID, "code": "lock_timeout"}, BUSY),
    (400, {"type": INVALID, "code": "rate_limit"}, BUSY),
    (401, {"type": INVALID}, (GatewayMisconfigured, {"permission": False})),
    (403, {"type": INVALID}, (GatewayMisconfigured, {"permission": True})),
    (302, {"type": INVALID}, OUTCOME_UNKNOWN),
    *((status, {"type": "api_error"}, POISONED) for status in (500, 502, 503, 504)),
]


@pytest.mark.parametrize(("status", "error", "told"), ERRORS)
async def test_each_error_is_told_in_our_words(
    status: int, error: Mapping[str, object], told: Told
) -> None:
    """
    Refused, not now, or outcome unknown; the field name is ours, the codes are
    Stripe's.
    """
    async with lying(answer({"error": error}, status)) as (gateway, _):
        failure = await failure_of(gateway)
    kind, said = told
    assert type(failure) is kind
    assert {name: getattr(failure, name) for name in said} == dict(said)


@pytest.mark.parametrize("error", [None, [], "no", 7, [{}], {"payment_intent": 3}])
@pytest.mark.parametrize("status", [400, 402, 404, 409, 429, 500])
async def test_an_error_of_another_shape_is_never_a_no(
    status: int, error: object
) -> None:
    """
    The SDK fails on some of them; no other code does.
    """
    async with lying(answer({"error": error}, status)) as (gateway, _):
        failure = await failure_of(gateway)
    if isinstance(error, dict) and status in {400, 402, 404}:
        # It has the right shape, and no content.
        assert isinstance(failure, GatewayRefused)
    else:
        assert isinstance(failure, GatewayNotAttempted | GatewayOutcomeUnknown)


@pytest.mark.parametrize("status", [400, 402, 404, 409, 429, 500, 200])
async def test_no_error_carries_what_stripe_said(status: int) -> None:
    """
    Stripe's messages quote input: neither they nor the key, nor the request, are shown.
    """
    names = ("message", "code", "type", "decline_code", "param")
    said = dict.fromkeys(names, f"{CARD_NUMBER} is not it")
    async with lying(answer({"error": said, "id": CARD_NUMBER}, status)) as (
        gateway,
        _,
    ):
        failure: BaseException | None = await failure_of(gateway)
    while failure is not None:
        text = f"{failure!s} {failure!r} {vars(failure)}"
        for secret in (CARD_NUMBER, KEY, "ada@example.com"):
            assert secret not in text
        assert not isinstance(failure, stripe.StripeError)
        failure = failure.__cause__ or failure.__context__
