"""How an answer or a refusal is stored; and a run that cannot continue."""

import attrs
import pytest

from contracts.examples import (
    ADA,
    CUS_1,
    MONTH,
    NOON,
    a_call,
    a_report,
    a_term,
    an_account,
    an_intent,
)
from payments_adapters.memory import FixedClock, MemoryGateway
from payments_core.account import PaymentAccount
from payments_core.errors import GatewayOutcomeUnknown, GatewayRefused
from payments_core.facts import CustomerBound, PeriodPaid, SubscriptionObserved
from payments_core.gateway import Answer, CreateCustomer
from payments_core.intent import Intent, Step
from payments_core.operations.run import (
    OperationRun,
    customer_bound,
    observation_of,
    paid_by,
    refusal_of,
    refused,
)
from support.deployment import Deployment

ANSWERED = Answer(
    id="sub_1", at=NOON + MONTH, subscription=a_report(), paid_period=a_term()
)


async def never_saved(intent: Intent) -> Intent:
    raise AssertionError(intent)


async def saved(intent: Intent) -> Intent:
    return intent


def run_for(account: PaymentAccount, deployment: Deployment) -> OperationRun:
    clock = FixedClock(NOON)
    return OperationRun(
        an_intent(), account, 1, deployment.gateway, clock, clock, never_saved
    )


@pytest.mark.parametrize(
    "error",
    [
        GatewayRefused("card_declined", "no", decline_code="lost_card", declined=True),
        GatewayRefused("resource_missing", "no such price", field="price"),
    ],
    ids=["declined", "refused"],
)
def test_a_refusal_that_was_kept_is_raised_again_as_it_was(
    error: GatewayRefused,
) -> None:
    """
    A run that finds it in its intent ends like the run that received it.
    """
    again = refused(refusal_of(error))

    assert refusal_of(again) == refusal_of(error)
    for name in ("declined", "reason", "field", "decline_code"):
        assert getattr(again, name) == getattr(error, name)


def test_a_decline_is_kept_under_one_code_whatever_the_gateway_calls_it() -> None:
    """
    The bank's more specific reason is the decline code.
    """
    expired = GatewayRefused("expired_card", "it is", declined=True)

    assert refusal_of(expired).code == "card_declined"


def test_an_answer_is_observed_at_its_own_time_with_the_number_of_its_call() -> None:
    """
    The number was drawn before the call: what was learned since is newer.
    """
    call = attrs.evolve(a_call(), sequence=7)

    assert observation_of(ANSWERED, call) == SubscriptionObserved(
        report=a_report(), at=NOON + MONTH, sequence=7
    )
    assert paid_by(ANSWERED) == [PeriodPaid(a_term())]
    assert paid_by(attrs.evolve(ANSWERED, paid_period=None)) == []


def test_an_answer_without_its_subscription_is_none() -> None:
    """
    Then it is unknown what was done.
    """
    with pytest.raises(GatewayOutcomeUnknown):
        observation_of(attrs.evolve(ANSWERED, subscription=None), a_call())


@pytest.mark.anyio
async def test_a_customer_is_bound_to_the_user_of_the_run_and_needed_by_it() -> None:
    """
    An operation that needs a customer begins after there is one.
    """
    async with Deployment.opened() as deployment:
        run = run_for(an_account(), deployment)
        assert customer_bound(run, CUS_1, existed=True) == CustomerBound(
            user_id=ADA, customer_id=CUS_1, existed=True
        )
        with pytest.raises(RuntimeError):
            _ = run.customer_id
        assert run_for(an_account(customer=CUS_1), deployment).customer_id == CUS_1


@pytest.mark.anyio
async def test_a_call_that_was_answered_or_refused_is_not_made_again() -> None:
    """
    Its answer is in the intent: nothing is saved, and no request is sent to the
    gateway.
    """
    no = GatewayRefused("card_declined", "no", declined=True)
    request = object()
    async with Deployment.opened() as deployment:
        asked: list[object] = []
        deployment.engine.watch = lambda request, _: asked.append(request)
        for call in (a_call().answered(ANSWERED), a_call().refused(refusal_of(no))):
            run = run_for(an_account(), deployment)
            run.intent = run.intent.with_call(call)
            if call.answer is not None:
                found = await run.call("start", request)  # type: ignore[arg-type]
                assert found == (ANSWERED, call)
            else:
                with pytest.raises(GatewayRefused) as caught:
                    await run.call("start", request)  # type: ignore[arg-type]
                assert caught.value.declined
        assert asked == []


@pytest.mark.anyio
async def test_a_no_to_a_repetition_says_nothing_about_the_first_time() -> None:
    """
    What the first sending made is found, and is the answer: it is not reported as
    refused.
    """
    clock = FixedClock(NOON)
    gateway = MemoryGateway(clock)
    request = CreateCustomer(user_id=ADA, email="ada@x.org", intent_id="intent-1")
    run = OperationRun(an_intent(), an_account(), 1, gateway, clock, clock, saved)
    gateway.plan(GatewayOutcomeUnknown("no reply"), done=True)
    with pytest.raises(GatewayOutcomeUnknown):
        await run.call(Step.CREATE_CUSTOMER, request)

    gateway.plan(GatewayRefused("card_declined", "no", declined=True))
    answer, call = await run.call(Step.CREATE_CUSTOMER, request)

    assert gateway.objects.made == {answer.id: request}
    assert (call.answer, call.refusal) == (answer, None)


@pytest.mark.anyio
async def test_a_no_to_a_repetition_counts_where_nothing_was_made() -> None:
    """
    It is stored, so that the same run returns it again.
    """
    clock = FixedClock(NOON)
    gateway = MemoryGateway(clock)
    request = CreateCustomer(user_id=ADA, email="ada@x.org", intent_id="intent-1")
    run = OperationRun(an_intent(), an_account(), 1, gateway, clock, clock, saved)
    gateway.plan(GatewayOutcomeUnknown("no reply"))
    with pytest.raises(GatewayOutcomeUnknown):
        await run.call(Step.CREATE_CUSTOMER, request)

    gateway.plan(GatewayRefused("invalid", "no", field="email"))
    for _ in range(2):
        with pytest.raises(GatewayRefused):
            await run.call(Step.CREATE_CUSTOMER, request)
    assert len(gateway.sent) == 2
