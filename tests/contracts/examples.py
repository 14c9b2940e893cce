"""The people, payments and events that the tests tell their stories about."""

from datetime import UTC, datetime, timedelta

import attrs

from payments_core.account import Email, PaymentAccount, UserId
from payments_core.events import (
    Doubt,
    EventKey,
    EventState,
    GatewayEvent,
    Outcome,
)
from payments_core.money import Money
from payments_core.payment import (
    CustomerId,
    DisputeState,
    Payment,
    PaymentId,
    PaymentState,
)
from payments_core.ports import Findings, PaymentRecord
from payments_core.revocation import Token

# Not a whole second: a store that rounds is caught.
NOON = datetime(2026, 1, 31, 12, 0, 0, 123_456, tzinfo=UTC)
APPLIED = Outcome(EventState.APPLIED)

ADA, BOB = UserId("ada"), UserId("bob")
CUS_1, CUS_2 = CustomerId("cus_1"), CustomerId("cus_2")
CH_1, CH_2 = PaymentId("ch_1"), PaymentId("ch_2")


def email_of(user: str) -> Email:
    return Email.of(f"{user}@exämple.org")


def an_account(
    user: str = ADA, *, customer: CustomerId | None = None
) -> PaymentAccount:
    return PaymentAccount(
        user_id=UserId(user), email=email_of(user), customer_id=customer
    )


def a_payment(  # noqa: PLR0913  # each a column of the story
    id_: str = CH_1,
    state: PaymentState = PaymentState.SUCCEEDED,
    *,
    at: datetime = NOON,
    user: str | None = None,
    customer: CustomerId | None = None,
    email: Email | None = None,
    dispute: DisputeState = DisputeState.NONE,
) -> Payment:
    refunded = {PaymentState.REFUNDED: 1_000, PaymentState.PARTIALLY_REFUNDED: 400}
    return Payment(
        id=PaymentId(id_),
        state=state,
        dispute=dispute,
        amount=Money(1_000, "eur"),
        refunded_minor=refunded.get(state, 0),
        created_at=at,
        claimed_by=user,
        customer_id=customer,
        email=email.key if email else None,
    )


def a_record(
    payment: Payment | None = None, *, owner: str | None = None
) -> PaymentRecord:
    return PaymentRecord(
        payment=payment or a_payment(), user_id=UserId(owner) if owner else None
    )


def an_event(
    id_: str = "evt_1",
    report: Payment | Doubt | None = None,
    *,
    type_: str = "charge.succeeded",
    body: bytes = b"{}",
) -> GatewayEvent:
    return GatewayEvent(
        id=id_,
        type=type_,
        created_at=NOON + timedelta(seconds=1),
        livemode=False,
        api_version=None,
        object_id=report.id if isinstance(report, Payment) else None,
        report=report,
        body=body,
    )


def key_of(id_: str, type_: str = "charge.succeeded") -> EventKey:
    return EventKey(id_, type_)


def a_token(
    jti: str = "jti_1",
    *,
    user: str = ADA,
    issuer: str = "https://users.example",
    issued_at: datetime = NOON,
) -> Token:
    return Token(
        issuer=issuer,
        jti=jti,
        user_id=UserId(user),
        issued_at=issued_at,
        expires_at=issued_at + timedelta(hours=1),
    )


def unversioned(value: PaymentAccount | PaymentRecord) -> object:
    """Return what was kept, without how often."""
    return attrs.evolve(value, version=0)


def is_empty(found: Findings) -> bool:
    return not (found.known or found.accounts or found.payments)
