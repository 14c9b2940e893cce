"""Questions of support, each answered by the explanation alone.

The questions were written first: docs/explanation.md. Each case happens in the sandbox,
or is given by facts if it needs a bank's answer that the sandbox does not give.
"""

import re
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Final

import attrs
import pytest

from payments_core.by_hand import ByHand
from payments_core.errors import PaymentsError
from payments_core.explanation import OPERATORS_ACTIONS
from payments_core.explanation import AccessCode as Access
from payments_core.explanation import ActionKind as Do
from payments_core.explanation import CauseCode as Because
from payments_core.explanation import FactKind as Fact
from payments_core.explanation import StepKind as Next
from payments_core.facts import LinkDecided, PaymentReported, SourcedFacts
from payments_core.identity import CustomerId
from payments_core.money import Money
from payments_core.payment import Payment, PaymentId, PaymentState
from support.deployment import ADA, Deployment
from support.sandbox import Refused
from support.support_story import A_DAY, A_MONTH, Story

EMAIL: Final = f"{ADA}@example.com"
PAGE: Final = Path(__file__).parents[2] / "docs" / "explanation.md"

pytestmark = pytest.mark.anyio

Scene = Callable[[Story], Awaitable[None]]


async def nothing(_: Story) -> None:
    """Do nothing."""


async def bought(story: Story) -> None:
    await story.card()
    await story.buy()


async def bought_twice(story: Story) -> None:
    await bought(story)
    await story.later(A_DAY)
    await story.buy()


async def bought_long_ago(story: Story) -> None:
    await bought(story)
    await story.later(A_MONTH + 5 * A_DAY)


async def bought_a_month_ago(story: Story) -> None:
    await bought(story)
    await story.later(A_MONTH)


async def declined_once(story: Story) -> None:
    await story.card()
    await story.decline()
    with suppress(Refused):
        await story.buy()
    await story.deployment.hear()


async def asked_to_confirm_once(story: Story) -> None:
    await story.card()
    await tell(story, state=PaymentState.FAILED, failure_code="authentication_required")


async def contradicted(story: Story) -> None:
    await story.card()
    for state in (PaymentState.SUCCEEDED, PaymentState.FAILED):
        await tell(story, state=state)


async def pending(story: Story) -> None:
    await story.card()
    await tell(story, state=PaymentState.PENDING)


async def tell(
    story: Story, *, state: PaymentState, failure_code: str | None = None
) -> None:
    payment = Payment(
        id=PaymentId("ch_told"),
        state=state,
        amount=Money(500, "eur"),
        created_at=story.deployment.clock.now.replace(microsecond=0),
        customer_id=CustomerId(story.customer),
        failure_code=failure_code,
    )
    await story.deployment.record([SourcedFacts(facts=(PaymentReported(payment),))])


async def refunded(story: Story) -> None:
    await bought(story)
    await story.refund()


async def refunded_in_part(story: Story) -> None:
    await bought(story)
    await story.refund(amount=100)


async def disputed(story: Story) -> None:
    await story.card("pm_card_createDispute")
    await story.buy()


async def dispute_lost(story: Story) -> None:
    await disputed(story)
    await story.settle_dispute("losing_evidence")


async def dispute_won(story: Story) -> None:
    await disputed(story)
    await story.settle_dispute("winning_evidence")


async def subscribed(story: Story) -> None:
    await story.subscribe()


async def renewal_declined(story: Story) -> None:
    await story.subscribe()
    await story.decline()
    await story.later(A_MONTH)


async def renewal_declined_for_days(story: Story) -> None:
    await renewal_declined(story)
    await story.later(6 * A_DAY)


async def canceled_by_the_bank(story: Story) -> None:
    await renewal_declined(story)
    await story.later(60 * A_DAY)


async def confirmation_open(story: Story) -> None:
    await story.card()
    await story.start(payment_method="pm_card_authenticationRequired")


async def confirmation_missed(story: Story) -> None:
    await confirmation_open(story)
    await story.later(2 * A_DAY)


async def in_trial(story: Story) -> None:
    await story.subscribe(trial_days=7)


async def trial_without_card_over(story: Story) -> None:
    await story.start(trial_days=7)
    await story.later(9 * A_DAY)


async def trial_declined(story: Story) -> None:
    await in_trial(story)
    await story.decline()
    await story.later(9 * A_DAY)


async def trial_ended(story: Story) -> None:
    await in_trial(story)
    await story.cancel(at_period_end=False)


async def trial_paused(story: Story) -> None:
    await story.start(trial_days=7)
    story.api.post(
        f"subscriptions/{story.subscription['id']}",
        trial_settings={"end_behavior": {"missing_payment_method": "pause"}},
    )
    await story.later(9 * A_DAY)


async def end_planned(story: Story) -> None:
    await story.subscribe()
    await story.cancel(at_period_end=True)


async def ended(story: Story) -> None:
    await end_planned(story)
    await story.later(A_MONTH + 5 * A_DAY)


async def ended_at_once(story: Story) -> None:
    await story.subscribe()
    await story.cancel(at_period_end=False)


async def subscription_refunded(story: Story) -> None:
    await story.subscribe()
    await story.refund()


async def upgrade_held(story: Story) -> None:
    await story.subscribe()
    await story.decline()
    with suppress(PaymentsError):
        await story.upgrade()


async def upgrade_refunded(story: Story) -> None:
    await story.subscribe()
    await story.later(5 * A_DAY)
    await story.upgrade()
    await story.refund()


async def renewal_not_heard(story: Story) -> None:
    """Its events are in flight, or lost."""
    await story.subscribe()
    await story.deployment.advance(A_MONTH)


async def unlinked(story: Story) -> None:
    """The payment names another, unknown user, and Ada's e-mail."""
    stranger = story.api.post("customers", email=EMAIL)["id"]
    card = story.api.give_card(stranger, "pm_card_visa")
    await story.buy_as(
        stranger,
        card,
        metadata={"user_id": "bob"},
        receipt_email=EMAIL,
    )


async def quarantined(story: Story) -> None:
    """Ada's customer pays, and the payment names another user."""
    await story.card()
    await story.buy(metadata={"user_id": "bob"})


async def linked_by_hand(story: Story) -> None:
    await unlinked(story)
    by_hand = ByHand(by="root", reason="she sent the receipt")
    fact = LinkDecided(payment_id=PaymentId(story.charge), user_id=ADA, by_hand=by_hand)
    await story.deployment.record([SourcedFacts(facts=(fact,))])


@attrs.frozen(kw_only=True)
class Question:
    """The question, what happened before, and what the explanation must say."""

    asked: str
    scene: Scene
    entitled: bool
    cause: Because
    access: Access
    facts: Sequence[Fact] = ()
    steps: Sequence[Next] = ()
    actions: Sequence[Do] = ()


QUESTIONS: Final = (
    Question(
        asked="She says that she paid, and nothing is here.",
        scene=nothing,
        entitled=False,
        cause=Because.NOTHING_KNOWN,
        access=Access.NOTHING_PAID,
        actions=[Do.FIND_PAYMENT, Do.SUBSCRIBE],
    ),
    Question(
        asked="Until when is a single payment good?",
        scene=bought,
        entitled=True,
        cause=Because.PREPAID_MONTH,
        access=Access.PAID,
        facts=[Fact.PAYMENT_SUCCEEDED],
        steps=[Next.ACCESS_ENDS],
    ),
    Question(
        asked="She paid twice: did both count?",
        scene=bought_twice,
        entitled=True,
        cause=Because.PREPAID_MONTH,
        access=Access.PAID,
        facts=[Fact.PAYMENT_SUCCEEDED, Fact.PAYMENT_SUCCEEDED],
    ),
    Question(
        asked="Her month is over: why has she access still?",
        scene=bought_a_month_ago,
        entitled=True,
        cause=Because.PREPAID_MONTH,
        access=Access.GRACE,
        steps=[Next.ACCESS_ENDS],
    ),
    Question(
        asked="The status is paid: why has she no access?",
        scene=bought_long_ago,
        entitled=False,
        cause=Because.PERIOD_OVER,
        access=Access.GRACE_OVER,
        actions=[Do.SUBSCRIBE],
    ),
    Question(
        asked="A single payment was declined.",
        scene=declined_once,
        entitled=False,
        cause=Because.PAYMENT_DECLINED,
        access=Access.NOTHING_PAID,
        facts=[Fact.PAYMENT_FAILED],
        actions=[Do.UPDATE_CARD],
    ),
    Question(
        asked="The bank wants 3-D Secure for a payment without the payer.",
        scene=asked_to_confirm_once,
        entitled=False,
        cause=Because.AUTHENTICATION_REQUIRED,
        access=Access.NOTHING_PAID,
        facts=[Fact.PAYMENT_FAILED],
        actions=[Do.AUTHENTICATE],
    ),
    Question(
        asked="A bank debit is under way.",
        scene=pending,
        entitled=False,
        cause=Because.PAYMENT_PENDING,
        access=Access.NOTHING_PAID,
        facts=[Fact.PAYMENT_PENDING],
    ),
    Question(
        asked="Two reports of a payment contradict each other.",
        scene=contradicted,
        entitled=True,
        cause=Because.PAYMENT_CONTRADICTED,
        access=Access.PAID,
        facts=[Fact.PAYMENT_CONTRADICTED],
        steps=[Next.SYNC],
    ),
    Question(
        asked="Her payment was refunded.",
        scene=refunded,
        entitled=False,
        cause=Because.REFUNDED,
        access=Access.NOTHING_PAID,
        facts=[Fact.PAYMENT_REFUNDED],
        actions=[Do.SUBSCRIBE],
    ),
    Question(
        asked="A part was refunded: is she still paid?",
        scene=refunded_in_part,
        entitled=True,
        cause=Because.PREPAID_MONTH,
        access=Access.PAID,
        facts=[Fact.PAYMENT_PARTIALLY_REFUNDED],
    ),
    Question(
        asked="She disputes the payment at her bank.",
        scene=disputed,
        entitled=True,
        cause=Because.DISPUTED,
        access=Access.PAID,
        facts=[Fact.DISPUTE_OPEN],
        actions=[Do.ANSWER_DISPUTE],
    ),
    Question(
        asked="We lost the dispute.",
        scene=dispute_lost,
        entitled=False,
        cause=Because.DISPUTE_LOST,
        access=Access.NOTHING_PAID,
        facts=[Fact.DISPUTE_LOST],
    ),
    Question(
        asked="We won the dispute: does she have her month?",
        scene=dispute_won,
        entitled=True,
        cause=Because.PREPAID_MONTH,
        access=Access.PAID,
        facts=[Fact.DISPUTE_WON],
    ),
    Question(
        asked="When is she charged next?",
        scene=subscribed,
        entitled=True,
        cause=Because.PAID_PERIOD,
        access=Access.PAID,
        facts=[Fact.SUBSCRIPTION_BEGAN, Fact.PERIOD_PAID],
        steps=[Next.RENEWAL],
    ),
    Question(
        asked="Her renewal was declined: until when has she access?",
        scene=renewal_declined,
        entitled=True,
        cause=Because.PAYMENT_DECLINED,
        access=Access.GRACE,
        facts=[Fact.PAYMENT_FAILED],
        steps=[Next.PAYMENT_RETRIED, Next.ACCESS_ENDS],
        actions=[Do.UPDATE_CARD],
    ),
    Question(
        asked="Why was she locked out after a declined renewal?",
        scene=renewal_declined_for_days,
        entitled=False,
        cause=Because.PAYMENT_DECLINED,
        access=Access.GRACE_OVER,
        facts=[Fact.PERIOD_PAID, Fact.PAYMENT_FAILED],
        steps=[Next.PAYMENT_RETRIED],
        actions=[Do.UPDATE_CARD],
    ),
    Question(
        asked="Her bank declined for so long that Stripe canceled.",
        scene=canceled_by_the_bank,
        entitled=False,
        cause=Because.SUBSCRIPTION_ENDED,
        access=Access.GRACE_OVER,
        facts=[Fact.PAYMENT_FAILED, Fact.SUBSCRIPTION_ENDED],
        actions=[Do.SUBSCRIBE],
    ),
    Question(
        asked="She subscribed, and 3-D Secure is open.",
        scene=confirmation_open,
        entitled=False,
        cause=Because.FIRST_PAYMENT_AWAITED,
        access=Access.NOTHING_PAID,
        facts=[Fact.SUBSCRIPTION_BEGAN],
        steps=[Next.FIRST_PAYMENT_EXPIRES],
        actions=[Do.AUTHENTICATE],
    ),
    Question(
        asked="She never confirmed: where is her subscription?",
        scene=confirmation_missed,
        entitled=False,
        cause=Because.FIRST_PAYMENT_EXPIRED,
        access=Access.NOTHING_PAID,
        facts=[Fact.SUBSCRIPTION_ENDED],
        actions=[Do.SUBSCRIBE],
    ),
    Question(
        asked="When does her trial end, and what happens then?",
        scene=in_trial,
        entitled=True,
        cause=Because.TRIAL,
        access=Access.FREE,
        steps=[Next.FIRST_PAYMENT],
    ),
    Question(
        asked="Her trial ended, and there was no card.",
        scene=trial_without_card_over,
        entitled=False,
        cause=Because.PAYMENT_OVERDUE,
        access=Access.DATE_PASSED,
        actions=[Do.UPDATE_CARD],
    ),
    Question(
        asked="Her first payment after the trial was declined.",
        scene=trial_declined,
        entitled=False,
        cause=Because.PAYMENT_DECLINED,
        access=Access.DATE_PASSED,
        facts=[Fact.PAYMENT_FAILED],
        actions=[Do.UPDATE_CARD],
    ),
    Question(
        asked="She canceled in her trial.",
        scene=trial_ended,
        entitled=False,
        cause=Because.TRIAL_ENDED,
        access=Access.DATE_PASSED,
        facts=[Fact.SUBSCRIPTION_ENDED],
        actions=[Do.SUBSCRIBE],
    ),
    Question(
        asked="Her trial ended without a card, and the subscription is paused.",
        scene=trial_paused,
        entitled=False,
        cause=Because.SUBSCRIPTION_PAUSED,
        access=Access.DATE_PASSED,
        actions=[Do.RESUME],
    ),
    Question(
        asked="She canceled to the end of the period: what does she keep?",
        scene=end_planned,
        entitled=True,
        cause=Because.PAID_PERIOD,
        access=Access.PAID,
        steps=[Next.SUBSCRIPTION_ENDS],
    ),
    Question(
        asked="Her canceled subscription is over.",
        scene=ended,
        entitled=False,
        cause=Because.SUBSCRIPTION_ENDED,
        access=Access.GRACE_OVER,
        facts=[Fact.SUBSCRIPTION_ENDED],
        actions=[Do.SUBSCRIBE],
    ),
    Question(
        asked="She canceled at once: why has she access?",
        scene=ended_at_once,
        entitled=True,
        cause=Because.PAID_PERIOD,
        access=Access.PAID,
        facts=[Fact.SUBSCRIPTION_ENDED, Fact.PERIOD_PAID],
    ),
    Question(
        asked="We refunded her subscription: is she out?",
        scene=subscription_refunded,
        entitled=False,
        cause=Because.REFUNDED,
        access=Access.NOTHING_PAID,
        facts=[Fact.PAYMENT_REFUNDED],
        steps=[Next.RENEWAL],
    ),
    Question(
        asked="She upgraded, and has the old plan still.",
        scene=upgrade_held,
        entitled=True,
        cause=Because.PAID_PERIOD,
        access=Access.PAID,
        steps=[Next.CHANGE_EXPIRES],
    ),
    Question(
        asked="We refunded an upgrade: is her period gone?",
        scene=upgrade_refunded,
        entitled=True,
        cause=Because.PAID_PERIOD,
        access=Access.PAID,
        facts=[Fact.PERIOD_PAID, Fact.PAYMENT_REFUNDED],
    ),
    Question(
        asked="Stripe says that she renewed, and we do not know it.",
        scene=renewal_not_heard,
        entitled=True,
        cause=Because.PAID_PERIOD,
        access=Access.GRACE,
        steps=[Next.SYNC],
    ),
    Question(
        asked="She paid under her e-mail, and it is not linked.",
        scene=unlinked,
        entitled=False,
        cause=Because.UNLINKED,
        access=Access.NOTHING_PAID,
        facts=[Fact.PAYMENT_UNLINKED],
        actions=[Do.LINK_PAYMENT],
    ),
    Question(
        asked="Her payment names another user.",
        scene=quarantined,
        entitled=False,
        cause=Because.QUARANTINED,
        access=Access.NOTHING_PAID,
        facts=[Fact.EVENT_QUARANTINED],
        actions=[Do.DECIDE_EVENT],
    ),
    Question(
        asked="Who linked this payment to her, and why?",
        scene=linked_by_hand,
        entitled=True,
        cause=Because.PREPAID_MONTH,
        access=Access.PAID,
        facts=[Fact.DONE_BY_HAND],
    ),
)


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda it: it.scene.__name__)
async def test_the_explanation_alone_answers(question: Question) -> None:
    """
    The verdict, its first cause, the facts behind it, what is next, what can be done.
    """
    async with Deployment.opened() as deployment:
        await deployment.register()
        story = Story(deployment)
        await question.scene(story)

        found = await story.explained()

    account = await deployment.account()
    now = deployment.clock.now
    assert found.standing == account.standing(now=now, policy=deployment.policy)
    assert found.standing.entitled is question.entitled
    assert found.cause.code is question.cause
    assert found.access is question.access
    assert missing(question.facts, [it.kind for it in found.chain]) == []
    assert missing(question.steps, [it.kind for it in found.next]) == []
    assert missing(question.actions, [it.kind for it in found.actions]) == []


def missing(wanted: Sequence[object], found: Sequence[object]) -> list[object]:
    """Return what is expected and not found, as often as it is expected."""
    return list((Counter(wanted) - Counter(found)).elements())


def test_the_questions_are_written_down() -> None:
    """
    Each on its page, with the code that answers it: thirty at least.
    """
    asked = [(it.asked, it.cause.value) for it in QUESTIONS]

    written = re.findall(r"^\| (.+?) \| `(\w+)` \|", PAGE.read_text(), re.MULTILINE)

    assert written == asked
    assert len(asked) >= 30  # as was promised


async def test_a_user_is_not_told_what_may_be_anothers() -> None:
    """
    What is unlinked or quarantined, an operator's reason, and what an operator can do
    are shown only to callers who read all users.
    """
    private = {
        Fact.PAYMENT_UNLINKED,
        Fact.EVENT_QUARANTINED,
        Fact.DONE_BY_HAND,
        Fact.SUBSCRIPTION_UNLINKED,
    }
    for scene in (unlinked, quarantined, linked_by_hand):
        async with Deployment.opened() as deployment:
            await deployment.register()
            story = Story(deployment)
            await scene(story)

            told, own = await story.explained(), await story.explained_to_herself()
            read = await story.explained_to_a_reader()

        assert private & {it.kind for it in told.chain}
        assert not private & {it.kind for it in own.chain}
        assert read == told
        assert not OPERATORS_ACTIONS & {it.kind for it in own.actions}
        assert own.standing == told.standing


async def test_a_fact_names_the_events_that_told_it() -> None:
    """
    The charge's events, the first first, and not those of its invoice.
    """
    async with Deployment.opened() as deployment:
        await deployment.register()
        story = Story(deployment)
        await refunded(story)
        found = await story.explained()
        [charge] = deployment.engine.world.all("charge")
        told = [
            it.id
            for it in deployment.engine.world.events.values()
            if it.object["id"] == charge["id"]
        ]

    [fact] = found.chain
    assert fact.events == tuple(told)
    assert fact.amount == Money(500, "eur")


async def test_what_was_known_is_what_was_answered_then() -> None:
    """
    Before the first payment, in its month, in the grace, and after it.
    """
    async with Deployment.opened() as deployment:
        await deployment.register()
        story = Story(deployment)
        answered = [await story.answer()]
        deployment.clock.advance(timedelta(seconds=1))
        await bought(story)
        for _ in range(12):
            await story.later(3 * A_DAY)
            answered.append(await story.answer())

        for at, standing in answered:
            assert await story.known_at(at) == standing
    assert {it.entitled for _, it in answered} == {True, False}
