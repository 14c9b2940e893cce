"""Changes at the gateway or here that nothing reported, and the resulting drift."""

from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import Any, Final

import attrs
import pytest

from payments_core.drift import DriftKind
from payments_core.jobs import Finding
from payments_core.money import Money
from payments_core.payment import DisputeState, PaymentState
from payments_core.subscription import SubscriptionStatus
from support.deployment import BEGINNING
from support.reconciling import OTHER, Story

A_MONTH: Final = timedelta(days=32)

Deed = Callable[[Story], Awaitable[object]]
K = DriftKind


def asked(path: Callable[[Story], str], **params: Any) -> Deed:
    """Return a function that changes the gateway without any webhook."""

    async def deed(story: Story) -> None:
        story.api.post(path(story), **params)

    return deed


def of_subscription(**params: Any) -> Deed:
    return asked(lambda story: story.subscription, **params)


async def cancel(story: Story) -> None:
    story.api.delete(story.subscription)


async def plan(story: Story) -> None:
    until = int((BEGINNING + timedelta(days=20)).timestamp())
    story.api.post(story.subscription, cancel_at=until)


async def change_quantity(story: Story) -> None:
    [item] = story.api.get(story.subscription)["items"]["data"]
    items = [{"id": item["id"], "quantity": 3}]
    story.api.post(story.subscription, items=items)


async def change_price(story: Story) -> None:
    [item] = story.api.get(story.subscription)["items"]["data"]
    items = [{"id": item["id"], "price": story.deployment.pro}]
    story.api.post(story.subscription, items=items)


async def hold_change(story: Story) -> None:
    story.deployment.decline(story.card)
    [item] = story.api.get(story.subscription)["items"]["data"]
    story.api.post(
        story.subscription,
        items=[{"id": item["id"], "quantity": 3}],
        payment_behavior="pending_if_incomplete",
        proration_behavior="always_invoice",
    )


async def add_item(story: Story) -> None:
    other = story.api.price(100)["id"]
    story.api.post(story.subscription, items=[{"price": other}])


async def pin_other(story: Story) -> None:
    made = story.api.post(f"payment_methods/{OTHER}/attach", customer=story.customer)
    story.api.post(story.subscription, default_payment_method=made["id"])


async def choose_other(story: Story) -> None:
    story.api.give_card(story.customer, OTHER)


async def detach(story: Story) -> None:
    story.api.post(f"payment_methods/{story.card}/detach")


async def correct_card(story: Story) -> None:
    story.api.post(f"payment_methods/{story.card}", card={"exp_year": 2044})


async def correct_pinned(story: Story) -> None:
    """Correct the card that pays, while another is the default by now."""
    own = story.card
    story.api.give_card(story.customer, OTHER)
    await story.deployment.hear()
    story.api.post(f"payment_methods/{own}", card={"exp_year": 2044})


async def correct_pinned_and_plan(story: Story) -> None:
    """Correct it if the subscription has changed as well."""
    await correct_pinned(story)
    story.api.post(story.subscription, cancel_at_period_end=True)


async def renew(story: Story) -> None:
    await story.deployment.advance(A_MONTH)


async def fail_to_renew(story: Story) -> None:
    story.deployment.decline(story.card)
    await story.deployment.advance(A_MONTH)


async def subscribe_elsewhere(story: Story) -> None:
    other = story.api.price(300)["id"]
    story.api.subscribe(story.customer, other)


async def subscribe_nobody(story: Story) -> None:
    other = story.api.customer()
    story.api.subscribe(other["id"], story.deployment.basic)


async def begin_trial(story: Story) -> None:
    until = int((BEGINNING + timedelta(days=40)).timestamp())
    story.api.post(story.subscription, trial_end=until, proration_behavior="none")


async def sell_once(story: Story) -> None:
    story.charge()


async def sell_in_vain(story: Story) -> None:
    story.deployment.decline(story.card)
    with pytest.raises(Exception, match="402"):
        story.charge()


def refund(**params: Any) -> Deed:
    async def deed(story: Story) -> None:
        story.api.post("refunds", charge=story.paid, **params)

    return deed


async def fail_refund(story: Story) -> None:
    """Refund once with a webhook, and once without."""
    card = story.api.give_card(story.customer, "pm_card_refundFail")
    intent = story.api.post(
        "payment_intents",
        amount=500,
        currency="eur",
        customer=story.customer,
        payment_method=card,
        confirm=True,
        off_session=True,
    )
    story.api.post("refunds", charge=intent["latest_charge"])
    await story.deployment.hear()
    await story.deployment.advance(timedelta(days=10))


def sell_disputed(story: Story) -> str:
    card = story.api.give_card(story.customer, "pm_card_createDispute")
    intent = story.api.post(
        "payment_intents",
        amount=500,
        currency="eur",
        customer=story.customer,
        payment_method=card,
        confirm=True,
        off_session=True,
    )
    return str(intent["latest_charge"])


async def dispute(story: Story) -> None:
    """Sell, with a webhook, and at once lose a dispute, without one."""
    sell_disputed(story)
    cards = ["payment_method.attached", "customer.updated"]
    await story.deployment.hear(["charge.succeeded", *cards])


def settled(evidence: str) -> Deed:
    async def deed(story: Story) -> None:
        charge = sell_disputed(story)
        await story.deployment.hear()
        [disputed] = story.api.get("disputes", charge=charge)["data"]
        story.api.post(
            f"disputes/{disputed['id']}",
            evidence={"uncategorized_text": evidence},
            submit=True,
        )

    return deed


def spoilt_payment(**fields: Any) -> Deed:
    async def deed(story: Story) -> None:
        await story.spoil_payment(**fields)

    return deed


def spoilt_subscription(**fields: Any) -> Deed:
    async def deed(story: Story) -> None:
        await story.spoil_subscription(**fields)

    return deed


async def lose_subscription(story: Story) -> None:
    """Lose it here, as in a database that was restored from a backup."""
    tables = story.deployment.database.tables
    tables.subscriptions.clear()
    tables.subscriptions_of.clear()
    tables.periods.clear()
    tables.invoices_of.clear()


async def lose_period(story: Story) -> None:
    tables = story.deployment.database.tables
    tables.periods.clear()
    tables.invoices_of.clear()
    [kept] = tables.subscriptions.values()
    tables.subscriptions[kept.gateway_id] = attrs.evolve(kept, last_paid_period=None)


async def spoil_period(story: Story) -> None:
    """Store a smaller amount for a period than was paid."""
    tables = story.deployment.database.tables
    [period] = tables.periods.values()
    tables.put_period(attrs.evolve(period, amount_paid_minor=1))


async def lose_payment(story: Story) -> None:
    tables = story.deployment.database.tables
    tables.payments.clear()
    tables.payments_by.clear()


async def unlink_subscription(story: Story) -> None:
    tables = story.deployment.database.tables
    [kept] = tables.subscriptions.values()
    tables.subscriptions[kept.gateway_id] = attrs.evolve(kept, user_id=None)


async def unlink_payment(story: Story) -> None:
    tables = story.deployment.database.tables
    [record] = tables.payments.values()
    tables.put_payment(attrs.evolve(record, user_id=None))


async def invent_payment(story: Story) -> None:
    story.invent_payment()


async def invent_subscription(story: Story) -> None:
    story.invent_subscription()


async def contradict(story: Story) -> None:
    """Sell to one user's customer an object whose metadata name another user."""
    story.charge(metadata={"user_id": "eve"})


NEVER: Final = BEGINNING - timedelta(days=300)
# The change, and the resulting drift.
DRIFTS: Final[Mapping[str, tuple[Deed, set[DriftKind]]]] = {
    "it was ended in the dashboard": (
        cancel,
        {K.SUBSCRIPTION_STATUS, K.SUBSCRIPTION_END},
    ),
    "its end was planned": (
        of_subscription(cancel_at_period_end=True),
        {K.SUBSCRIPTION_END},
    ),
    "its end was planned for a day": (plan, {K.SUBSCRIPTION_END}),
    "another quantity": (change_quantity, {K.SUBSCRIPTION_PLAN}),
    "another price": (change_price, {K.SUBSCRIPTION_PLAN}),
    "a change that waits": (
        hold_change,
        {K.SUBSCRIPTION_PENDING_CHANGE, K.SUBSCRIPTION_DETAILS, K.PAYMENT_UNKNOWN},
    ),
    "its metadata": (
        of_subscription(metadata={"intent_id": "other"}),
        {K.SUBSCRIPTION_DETAILS},
    ),
    "an item that is not ours": (add_item, set()),
    "a card of its own": (pin_other, {K.SUBSCRIPTION_CARD}),
    "another default, which does not pay": (choose_other, set()),
    "its card was detached": (detach, {K.SUBSCRIPTION_CARD}),
    "its card was corrected": (correct_card, {K.CARD}),
    "its card was corrected, and is not the default": (correct_pinned, {K.CARD}),
    "its card was corrected, and its end was planned": (
        correct_pinned_and_plan,
        {K.CARD, K.SUBSCRIPTION_END},
    ),
    "it was renewed": (
        renew,
        {
            K.SUBSCRIPTION_PERIOD,
            K.SUBSCRIPTION_DETAILS,
            K.PERIOD_UNKNOWN,
            K.PAYMENT_UNKNOWN,
        },
    ),
    "it could not be renewed": (
        fail_to_renew,
        {
            K.SUBSCRIPTION_STATUS,
            K.SUBSCRIPTION_PERIOD,
            K.SUBSCRIPTION_DETAILS,
            K.PAYMENT_UNKNOWN,
        },
    ),
    "another subscription": (
        subscribe_elsewhere,
        {K.SUBSCRIPTION_UNKNOWN, K.PAYMENT_UNKNOWN},
    ),
    "a subscription of nobody": (
        subscribe_nobody,
        {K.SUBSCRIPTION_UNKNOWN, K.PAYMENT_UNKNOWN},
    ),
    "a trial": (
        begin_trial,
        {
            K.SUBSCRIPTION_STATUS,
            K.SUBSCRIPTION_TRIAL,
            K.SUBSCRIPTION_PERIOD,
            K.SUBSCRIPTION_DETAILS,
            K.PERIOD_UNKNOWN,
        },
    ),
    "something was sold once": (sell_once, {K.PAYMENT_UNKNOWN}),
    "something could not be sold": (sell_in_vain, {K.PAYMENT_UNKNOWN}),
    "a refund in full": (refund(), {K.PAYMENT_REFUND}),
    "a refund in part": (refund(amount=100), {K.PAYMENT_REFUND}),
    "a refund that failed": (fail_refund, {K.PAYMENT_REFUND}),
    "a dispute": (dispute, {K.PAYMENT_DISPUTE}),
    "a dispute that was won": (settled("winning_evidence"), {K.PAYMENT_DISPUTE}),
    "a dispute that was lost": (settled("losing_evidence"), {K.PAYMENT_DISPUTE}),
    "a subscription is lost here": (lose_subscription, {K.SUBSCRIPTION_UNKNOWN}),
    "a paid period is lost here": (lose_period, {K.PERIOD_UNKNOWN}),
    "a payment is lost here": (lose_payment, {K.PAYMENT_UNKNOWN}),
    "a subscription has lost its user": (unlink_subscription, {K.SUBSCRIPTION_OWNER}),
    "another status here": (
        spoilt_subscription(status=SubscriptionStatus.PAST_DUE),
        {K.SUBSCRIPTION_STATUS},
    ),
    "another period here": (
        spoilt_subscription(period_end=BEGINNING + timedelta(days=400)),
        {K.SUBSCRIPTION_PERIOD},
    ),
    "another currency here": (
        spoilt_subscription(currency="usd"),
        {K.SUBSCRIPTION_DETAILS},
    ),
    "a planned end here": (
        spoilt_subscription(cancel_at_period_end=True),
        {K.SUBSCRIPTION_END},
    ),
    "a trial here": (
        spoilt_subscription(trial_start=NEVER, trial_end=NEVER),
        {K.SUBSCRIPTION_TRIAL},
    ),
    "a payment that failed here": (
        spoilt_payment(state=PaymentState.FAILED),
        {K.PAYMENT_STATE},
    ),
    "a payment that is pending here": (
        spoilt_payment(state=PaymentState.PENDING),
        {K.PAYMENT_STATE},
    ),
    "a payment that is in doubt here": (
        spoilt_payment(state=PaymentState.CONTRADICTED),
        {K.PAYMENT_STATE},
    ),
    "a dispute that nobody has": (
        spoilt_payment(dispute=DisputeState.OPEN),
        {K.PAYMENT_DISPUTE},
    ),
    "a refund that nobody made": (
        spoilt_payment(state=PaymentState.REFUNDED, refunded_minor=900),
        {K.PAYMENT_REFUND},
    ),
    "a payment has lost its user": (unlink_payment, {K.PAYMENT_OWNER}),
    "another amount here": (
        spoilt_payment(amount=Money(10**6, "eur")),
        {K.PAYMENT_DETAILS},
    ),
    "another state and amount here": (
        spoilt_payment(
            state=PaymentState.FAILED, amount=Money(1, "eur"), failure_code="any"
        ),
        {K.PAYMENT_STATE, K.PAYMENT_DETAILS},
    ),
    "another invoice here": (
        spoilt_payment(
            state=PaymentState.FAILED, invoice_id="in_other", invoice_known=True
        ),
        {K.PAYMENT_STATE, K.PAYMENT_INVOICE},
    ),
    "another period of an invoice here": (spoil_period, {K.PERIOD_DETAILS}),
    "a charge of two users": (contradict, {K.OWNER_CONFLICT}),
    "a payment that is invented": (invent_payment, {K.PAYMENT_MISSING}),
    "a subscription that is invented": (invent_subscription, {K.SUBSCRIPTION_MISSING}),
}
REPORTED_ONLY: Final = {
    K.OWNER_CONFLICT,
    K.PAYMENT_MISSING,
    K.SUBSCRIPTION_MISSING,
}


# For these the gateway reports the time of the change.
TIMED: Final = frozenset(
    {
        "it was ended in the dashboard",
        "a change that waits",
        "it was renewed",
        "it could not be renewed",
        "another subscription",
        "a subscription of nobody",
        "a trial",
        "something was sold once",
        "something could not be sold",
        "a refund in full",
        "a refund in part",
        "a charge of two users",
    }
)
INVENTED: Final = frozenset(
    {"a payment that is invented", "a subscription that is invented"}
)
# Nothing happened at the gateway to objects that were known to be right.
OURS: Final = (
    "another status here",
    "another period here",
    "another currency here",
    "a planned end here",
    "a trial here",
    "a subscription has lost its user",
)


def kinds(findings: list[Finding]) -> set[DriftKind]:
    return {it.drift.kind for it in findings}
