"""Values with every field set, each of its own moment and text, and with gaps.

So nothing can be taken for another, and nothing that is rounded or lost goes unseen.
"""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

import attrs

from contracts.examples import (
    ADA,
    CH_1,
    CUS_1,
    NOON,
    SUB_1,
    a_call,
    a_payment,
    a_report,
    a_subscription,
    a_term,
    an_account,
    an_intent,
    email_of,
)
from payments_core.account import PaymentAccount
from payments_core.card import Card
from payments_core.entitlement import PaymentEffect, PaymentSummary, PrepaidMonths
from payments_core.gateway import Answer
from payments_core.identity import Email
from payments_core.intent import (
    Intent,
    IntentId,
    IntentKind,
    IntentOutcome,
    IntentState,
    OperationParams,
    Refusal,
)
from payments_core.lease import Lease
from payments_core.money import AMOUNT_MINOR_MAX, Money
from payments_core.payment import (
    DisputeState,
    Payment,
    PaymentId,
    PaymentRecord,
    PaymentState,
)
from payments_core.subscription import (
    QUANTITY_MAX,
    PendingUpdate,
    Subscription,
    SubscriptionStatus,
)

DAY: Final = timedelta(days=1)
HOUR: Final = timedelta(hours=1)
CARD: Final = Card(id="pm_1", brand="vïsa", last4="4242", exp_month=12, exp_year=2030)

# Payments

FULL_PAYMENT: Final = Payment(
    id=CH_1,
    state=PaymentState.PARTIALLY_REFUNDED,
    dispute=DisputeState.OPEN,
    amount=Money(AMOUNT_MINOR_MAX, "jpy"),
    refunded_minor=AMOUNT_MINOR_MAX - 1,
    created_at=NOON,
    customer_id=CUS_1,
    metadata_user_id=ADA,
    email=email_of(ADA).key,
    invoice_id="in_1",
    subscription_id="sub_1",
    invoice_known=True,
    failure_code="schöner_Fehler_漢字_🧾",
)


def _without(name: str) -> Payment:
    nothing: dict[str, Any] = {name: None}
    return attrs.evolve(FULL_PAYMENT, **nothing)


def _records() -> dict[str, PaymentRecord]:
    variants = {
        "full": FULL_PAYMENT,
        "bare": Payment(id=CH_1),
        **{
            f"no {name}": _without(name)
            for name in (
                *("amount", "created_at", "customer_id", "metadata_user_id", "email"),
                *("invoice_id", "subscription_id", "failure_code"),
            )
        },
        "no invoice known": attrs.evolve(FULL_PAYMENT, invoice_known=False),
        **{it.value: attrs.evolve(FULL_PAYMENT, state=it) for it in PaymentState},
        **{
            f"dispute {it.value}": attrs.evolve(FULL_PAYMENT, dispute=it)
            for it in DisputeState
        },
    }
    records = {
        name: PaymentRecord(
            attrs.evolve(payment, id=PaymentId(f"ch {name}")),
            ADA,
            sequence=2**62,
            as_of=NOON,
        )
        for name, payment in variants.items()
    }
    return records | {
        "unlinked": PaymentRecord(attrs.evolve(FULL_PAYMENT, id=PaymentId("ch none"))),
        "by hand": PaymentRecord(
            attrs.evolve(FULL_PAYMENT, id=PaymentId("ch hand")), linked_by_hand=True
        ),
    }


RECORDS: Final = _records()

# Subscriptions

FULL_SUBSCRIPTION: Final = Subscription(
    report=attrs.evolve(
        a_report(SUB_1, SubscriptionStatus.PAST_DUE, user=ADA),
        product="prod_ü",
        price="price_漢字",
        quantity=QUANTITY_MAX,
        item_id="si_🧾",
        currency="jpy",
        created_at=NOON + 1 * DAY,
        period_start=NOON + 2 * DAY,
        period_end=NOON + 3 * DAY,
        trial_start=NOON + 4 * DAY,
        trial_end=NOON + 5 * DAY,
        cancel_at=NOON + 6 * DAY,
        cancel_at_period_end=True,
        ended_at=NOON + 7 * DAY,
        pinned_card="pm_1",
        latest_invoice_id="in_latest",
        pending=PendingUpdate(price="price_2", quantity=2, expires_at=NOON + 8 * DAY),
        intent_id="int_1",
    ),
    user_id=ADA,
    plan_changed_at=NOON + 11 * DAY,
    last_paid_period=a_term(
        starts_at=NOON + 9 * DAY, ends_at=NOON + 10 * DAY, invoice="in_paid"
    ),
    as_of=NOON + 11 * DAY,
    sequence=2**62,
)


def _report_of(**changes: Any) -> Subscription:
    report = attrs.evolve(FULL_SUBSCRIPTION.report, **changes)
    return attrs.evolve(FULL_SUBSCRIPTION, report=report)


def _named(name: str, subscription: Subscription) -> Subscription:
    """Return the subscription under an id of its own."""
    id_, term = f"sub {name}", subscription.last_paid_period
    return attrs.evolve(
        subscription,
        report=attrs.evolve(subscription.report, gateway_id=id_),
        last_paid_period=term and attrs.evolve(term, gateway_id=id_),
    )


SUBSCRIPTIONS: Final = {
    name: _named(name, it)
    for name, it in {
        "bare": a_subscription(),
        "full": FULL_SUBSCRIPTION,
        **{
            f"no {field}": _report_of(**{field: None})
            for field in (
                *("trial_start", "trial_end", "cancel_at", "ended_at", "pinned_card"),
                *("latest_invoice_id", "pending", "metadata_user_id", "intent_id"),
            )
        },
        "no term": attrs.evolve(FULL_SUBSCRIPTION, last_paid_period=None),
        "unlinked": attrs.evolve(FULL_SUBSCRIPTION, user_id=None),
        "by hand": attrs.evolve(FULL_SUBSCRIPTION, linked_by_hand=True),
        **{status.value: _report_of(status=status) for status in SubscriptionStatus},
        "only a price": _report_of(
            pending=PendingUpdate(price="price_2", quantity=None, expires_at=NOON)
        ),
        "only a quantity": _report_of(
            pending=PendingUpdate(price=None, quantity=2, expires_at=NOON)
        ),
        "far away": _report_of(
            created_at=datetime(1970, 1, 1, tzinfo=UTC),
            cancel_at=datetime(2100, 1, 1, tzinfo=UTC),
        ),
    }.items()
}

# Accounts

FULL_ACCOUNT: Final = attrs.evolve(
    an_account(customer=CUS_1).with_card(CARD, sequence=2**62),
    email=Email.of("  Zoë+漢字@BÜCHER.example. "),
    summary=PaymentSummary(
        PaymentEffect.of(FULL_PAYMENT),
        PrepaidMonths(datetime(2024, 2, 29, 23, tzinfo=UTC), 24),
        NOON + 12 * DAY,
        some_disputed=True,
    ),
)


def _beside(status: SubscriptionStatus) -> tuple[PaymentAccount, Subscription]:
    """Return an account whose payment says one thing, its subscription another."""
    user = f"beside-{status}"
    report = a_report(f"sub of {user}", status)
    subscription = a_subscription(report, owner=user, term=a_term(report.gateway_id))
    payment = a_payment(at=NOON - DAY, dispute=DisputeState.LOST)
    account = attrs.evolve(
        an_account(user),
        summary=PaymentSummary(PaymentEffect.of(payment, [subscription])),
        subscriptions=(subscription,),
    )
    return account, subscription


ACCOUNTS: Final = {
    "full": FULL_ACCOUNT,
    "bare": an_account("bare"),
    "without a card, once read": an_account("cardless").with_card(None, sequence=7),
    **{status.value: _beside(status)[0] for status in SubscriptionStatus},
}
THEIR_SUBSCRIPTIONS: Final = [_beside(status)[1] for status in SubscriptionStatus]

# Intents

REFUSAL: Final = Refusal(
    code="card_declined", reason="abgelehnt: 漢字", field="card", decline_code="lost"
)
ANSWER: Final = Answer(
    id="sub_1",
    at=NOON + 3 * HOUR,
    client_secret="seti_1_secret_🧾",
    card=CARD,
    subscription=FULL_SUBSCRIPTION.report,
    paid_period=FULL_SUBSCRIPTION.last_paid_period,
)
FULL_CALL: Final = attrs.evolve(
    a_call("start", IntentState.REFUSED, at=NOON + 1 * HOUR, generation=7),
    frozen=attrs.evolve(a_call().frozen, body='\x00 "\\ a=b&c=%C3%BC ü 漢字'),
    sequence=2**62,
    last_sent_at=NOON + 2 * HOUR,
    server_error_cached=True,
    answer=ANSWER,
    refusal=REFUSAL,
)
FULL_INTENT: Final = Intent(
    id=IntentId("int_ü"),
    user_id=ADA,
    kind=IntentKind.CHANGE_SUBSCRIPTION,
    subject="sub-漢字",
    wanted=OperationParams(
        payment_method="pm_1",
        product="prod_1",
        price="price_1",
        quantity=1_000_000,
        trial_days=14,
        cancel_at_period_end=False,
        proration_date=NOON + 4 * HOUR,
    ),
    state=IntentState.UNKNOWN,
    calls=(a_call("attach", IntentState.SUCCEEDED), FULL_CALL),
    outcome=IntentOutcome(
        customer_id="cus_1",
        subscription=FULL_SUBSCRIPTION.report,
        card=CARD,
        client_secret="pi_1_secret",
        requires_action=True,
        refusal=REFUSAL,
        decline=attrs.evolve(REFUSAL, decline_code="gestohlen: 漢字"),
    ),
    key="a key of the client's: ü",
    fingerprint="f" * 64,
    # A claim is due again when it has run out: no store has to tell these apart.
    lease=Lease(due_at=NOON + 8 * HOUR, attempts=9, fence=2**40, until=NOON + 7 * HOUR),
    created_at=NOON + 6 * HOUR,
    steps_version=2**20,
    writer="who wrote it: 漢字",
)


def _call_of(**changes: Any) -> Intent:
    return attrs.evolve(FULL_INTENT, calls=(attrs.evolve(FULL_CALL, **changes),))


def _answer_of(**changes: Any) -> Intent:
    return _call_of(answer=attrs.evolve(ANSWER, **changes))


def _alone(name: str, intent: Intent) -> Intent:
    """Return the intent with an id, a subject and a key of its own."""
    return attrs.evolve(
        intent,
        id=IntentId(f"int {name}"),
        subject=f"{intent.subject} {name}",
        key=intent.key and f"{intent.key} {name}",
    )


INTENTS: Final = {
    "no subject": attrs.evolve(FULL_INTENT, subject="", key=None),
    **{
        name: _alone(name, intent)
        for name, intent in {
            "bare": an_intent(),
            "full": FULL_INTENT,
            "not claimed": attrs.evolve(
                FULL_INTENT, lease=attrs.evolve(FULL_INTENT.lease, until=None)
            ),
            "an empty outcome": attrs.evolve(FULL_INTENT, outcome=IntentOutcome()),
            "no outcome": attrs.evolve(FULL_INTENT, outcome=None),
            "no key": attrs.evolve(FULL_INTENT, key=None),
            **{
                f"no {field.name} wanted": attrs.evolve(
                    FULL_INTENT,
                    wanted=attrs.evolve(FULL_INTENT.wanted, **{field.name: None}),
                )
                for field in attrs.fields(OperationParams)
            },
            "no answer": _call_of(answer=None),
            "no refusal": _call_of(refusal=None),
            "a bare refusal": _call_of(refusal=Refusal(code="", reason="")),
            **{
                f"no {name} answered": _answer_of(**{name: None})
                for name in ("client_secret", "card", "subscription", "paid_period")
            },
            **{
                f"to {kind}": attrs.evolve(FULL_INTENT, kind=kind)
                for kind in IntentKind
            },
            **{it.value: attrs.evolve(FULL_INTENT, state=it) for it in IntentState},
        }.items()
    },
}
