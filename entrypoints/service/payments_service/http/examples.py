"""Example answers of the OpenAPI document, of one user in one year."""

from collections.abc import Mapping
from datetime import datetime
from typing import Final

import msgspec

from payments_core.access import GrantKind
from payments_core.access_pass import PublishedKey
from payments_core.by_hand import ActionByHand
from payments_core.entitlement import PaymentStatus
from payments_core.events import EventState
from payments_core.explanation import AccessCode, CauseCode, FactKind, StepKind
from payments_core.intent import IntentKind, IntentState
from payments_core.payment import DisputeState, PaymentState
from payments_core.subscription import SubscriptionStatus
from payments_service.http.schemas import (
    AccessPassOut,
    CutOffOut,
    KeySetOut,
    ReceiptOut,
    ReceiptOutcome,
    RevocationOut,
    RevocationsOut,
    TokenInvalidatedOut,
)
from payments_service.presentation.access import (
    CatalogueOut,
    CatalogueProductOut,
    FeatureAccessOut,
    FeatureItemOut,
    ProductAccessOut,
    UserAccessOut,
)
from payments_service.presentation.explanation import (
    CAUSES,
    FACTS,
    STEPS,
    AccessOut,
    CauseOut,
    ExplanationOut,
    FactOut,
    StepOut,
)
from payments_service.presentation.feed import ChangeOut, FeedOut, GrantOut
from payments_service.presentation.lists import (
    EventItemOut,
    PaymentItemOut,
    PaymentOut,
    PaymentsOut,
    StatusItemOut,
    TimelineOut,
    UserOut,
    UsersOut,
)
from payments_service.presentation.schemas import (
    BecauseOut,
    CardOut,
    CardOutcome,
    CardSetUpOut,
    CardUpdatedOut,
    DecidedOut,
    IntentOut,
    KnownSubscriptionOut,
    MoneyOut,
    PaymentLinkOut,
    PaymentStatusOut,
    PreviewLineOut,
    PreviewOut,
    SubscribedOut,
    SubscriptionsOut,
)

_BEGIN: Final = datetime.fromisoformat("2026-05-01T09:30:00Z")
_END: Final = datetime.fromisoformat("2026-06-01T09:30:00Z")
_CARD: Final = CardOut("visa", "4242", 12, 2030)
_SUBSCRIBED: Final = SubscribedOut(
    id="sub-1PqX9b",
    status=SubscriptionStatus.ACTIVE,
    product="prod_basic",
    price="price_basic",
    quantity=1,
    currency="eur",
    created_at=_BEGIN,
    current_period_start=_BEGIN,
    current_period_end=_END,
    trial_end=None,
    cancel_at_period_end=False,
    cancel_at=None,
    ended_at=None,
    pending_update=None,
)
_KNOWN: Final = msgspec.convert(
    msgspec.to_builtins(_SUBSCRIBED) | {"paid_through": _END}, KnownSubscriptionOut
)
_PAID: Final = PaymentStatus.PAID
_PAYMENT: Final = PaymentOut(
    id="ch_1",
    state=PaymentState.SUCCEEDED,
    amount=MoneyOut(900, "eur"),
    refunded_minor=0,
    dispute=DisputeState.NONE,
    created_at=_BEGIN,
    invoice="in_1",
    subscription="sub-1PqX9b",
    failure_code=None,
    linked_by_hand=False,
)
_BECAUSE: Final = BecauseOut(GrantKind.PAID_PERIOD, "in_1")
_ANSWERS: Final[tuple[msgspec.Struct, ...]] = (
    AccessPassOut("eyJhbGciOiJFZERTQSJ9.e30.c2lnbmF0dXJl", _BEGIN),
    KeySetOut(
        [PublishedKey(kid="2026-05", x="11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo")]
    ),
    PaymentStatusOut(
        user_id="ada",
        email="ada@example.com",
        payment_status=PaymentStatus.PAID,
        payment_expire_date=_END,
        entitled=True,
        card=_CARD,
        subscriptions=[_KNOWN],
    ),
    UserAccessOut(
        user_id="ada",
        entitled=True,
        entitled_until=_END,
        catalogue="2f3d06cbd6b4",
        products=[
            ProductAccessOut("prod_basic", granted=True, until=_END, because=_BECAUSE)
        ],
        features=[
            FeatureItemOut(
                "reports",
                granted=True,
                until=_END,
                product="prod_basic",
                because=_BECAUSE,
            )
        ],
    ),
    FeatureAccessOut(
        "ada",
        "reports",
        granted=True,
        until=_END,
        product="prod_basic",
        because=_BECAUSE,
    ),
    CatalogueOut(
        version="2f3d06cbd6b4",
        products=[
            CatalogueProductOut(
                product="prod_basic",
                name="Basic",
                prices=["price_basic"],
                features=["reports"],
                price_features={},
                trial_days=14,
                grace_s=259_200,
            )
        ],
        prepaid=None,
    ),
    ExplanationOut(
        user_id="ada",
        at=_BEGIN,
        payment_status=PaymentStatus.PAID,
        payment_expire_date=_END,
        entitled=True,
        entitled_until=_END,
        cause=CauseOut(
            CauseCode.PAID_PERIOD, CAUSES[CauseCode.PAID_PERIOD], _BEGIN, ["in_1"], None
        ),
        access=AccessOut.of(AccessCode.PAID),
        chain=[
            FactOut(
                at=_BEGIN,
                kind=FactKind.PERIOD_PAID,
                text=FACTS[FactKind.PERIOD_PAID],
                objects=["in_1", "sub_1PqX9b"],
                amount=MoneyOut(900, "eur"),
                until=_END,
                failure_code=None,
                detail=None,
                events=["evt_1"],
            )
        ],
        next=[StepOut(_END, StepKind.RENEWAL, STEPS[StepKind.RENEWAL], ["sub_1PqX9b"])],
        actions=[],
        recorded=None,
    ),
    UsersOut(
        [
            UserOut(
                user_id="ada",
                email="ada@example.com",
                payment_status=_PAID,
                payment_expire_date=_END,
                entitled=True,
                customer_id="cus_1",
                products=["prod_basic"],
            )
        ],
        None,
    ),
    PaymentsOut([_PAYMENT], None),
    TimelineOut(
        [
            StatusItemOut(_BEGIN, _PAID, _END, "payment ch_1 succeeded", ["evt_1"]),
            EventItemOut(
                _BEGIN,
                "evt_1",
                "charge.succeeded",
                _BEGIN,
                EventState.APPLIED,
                None,
                "ch_1",
            ),
            PaymentItemOut(_BEGIN, _PAYMENT),
        ],
        None,
    ),
    FeedOut(
        changes=[
            ChangeOut(
                position=12,
                user_id="ada",
                version=4,
                at=_BEGIN,
                payment_status=_PAID,
                payment_expire_date=_END,
                entitled_until=_END,
                grants=[GrantOut("prod_basic", "price_basic", _END, _BECAUSE)],
                cause="payment ch_1 succeeded",
            )
        ],
        next="12",
        has_more=False,
        catalogue="none",
    ),
    CardSetUpOut("seti_1PqX_secret_example"),
    CardUpdatedOut(CardOutcome.UPDATED, _CARD),
    _SUBSCRIBED,
    _KNOWN,
    SubscriptionsOut([_KNOWN]),
    PreviewOut(
        MoneyOut(900, "eur"),
        _BEGIN,
        [PreviewLineOut("1 Basic, for the rest of the period", 900)],
    ),
    IntentOut(
        "5f0c6f1f-9d1b-4c35-8a2e-000000000001",
        IntentKind.START_SUBSCRIPTION,
        IntentState.SUCCEEDED,
        _BEGIN,
        _SUBSCRIBED,
        None,
    ),
    PaymentLinkOut(
        payment_id="ch_1PqX9b",
        user_id="ada",
        linked_by_hand=True,
        decided=[
            DecidedOut(
                _BEGIN, ActionByHand.LINK_PAYMENT, "ada", "admin", "by telephone"
            )
        ],
    ),
    TokenInvalidatedOut(),
    CutOffOut("ada", _BEGIN),
    RevocationsOut(
        [RevocationOut("https://users.example.com", "b4c1", "ada", _END, _BEGIN)], None
    ),
    ReceiptOut(ReceiptOutcome.APPLIED),
)
# By the name of their class.
EXAMPLES: Final[Mapping[str, msgspec.Struct]] = {
    type(answer).__name__: answer for answer in _ANSWERS
}
