"""The people, payments and events of the tests' examples."""

from datetime import UTC, datetime, timedelta

import attrs

from payments_core.account import PaymentAccount
from payments_core.events import EventKey, EventState, GatewayEvent, Outcome, Report
from payments_core.gateway import FrozenRequest
from payments_core.identity import CustomerId, Email, UserId
from payments_core.intent import Call, Intent, IntentId, IntentKind, IntentState
from payments_core.job import Job
from payments_core.job_key import JobKey, JobKind
from payments_core.lease import Lease
from payments_core.money import Money
from payments_core.now import Now
from payments_core.payment import (
    DisputeState,
    Payment,
    PaymentId,
    PaymentRecord,
    PaymentState,
)
from payments_core.subscription import (
    PaidPeriod,
    Subscription,
    SubscriptionReport,
    SubscriptionStatus,
)
from payments_core.tokens import Token

# Not a whole second, so that a store that rounds is caught.
NOON = datetime(2026, 1, 31, 12, 0, 0, 123_456, tzinfo=UTC)
# By both clocks.
NOW = Now(at=NOON, system=NOON)
APPLIED = Outcome(EventState.APPLIED)

ADA, BOB = UserId("ada"), UserId("bob")
CUS_1, CUS_2 = CustomerId("cus_1"), CustomerId("cus_2")
CH_1, CH_2 = PaymentId("ch_1"), PaymentId("ch_2")
SUB_1, SUB_2 = "sub_1", "sub_2"
MONTH = timedelta(days=30)


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
        metadata_user_id=user,
        customer_id=customer,
        email=email.key if email else None,
    )


def of_invoice(
    payment: Payment, invoice: str = "in_1", subscription: str = SUB_1
) -> Payment:
    """Return the payment as one that paid a subscription's invoice."""
    return attrs.evolve(
        payment,
        invoice_id=invoice,
        subscription_id=subscription,
        invoice_known=True,
    )


def a_record(
    payment: Payment | None = None, *, owner: str | None = None
) -> PaymentRecord:
    return PaymentRecord(
        payment=payment or a_payment(), user_id=UserId(owner) if owner else None
    )


def an_event(
    id_: str = "evt_1",
    report: Report | None = None,
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
        object_id=_object_of(report),
        report=report,
        body=body,
    )


def _object_of(report: Report | None) -> str | None:
    match report:
        case Payment():
            return report.id
        case SubscriptionReport() | PaidPeriod():
            return report.gateway_id
        case _:
            return None


def a_report(  # noqa: PLR0913  # each a column of the story
    id_: str = SUB_1,
    status: SubscriptionStatus = SubscriptionStatus.ACTIVE,
    *,
    at: datetime = NOON,
    ended_at: datetime | None = None,
    user: str | None = None,
    customer: CustomerId = CUS_1,
) -> SubscriptionReport:
    """Return a report of a subscription that began `at`, with monthly periods."""
    return SubscriptionReport(
        gateway_id=id_,
        customer_id=customer,
        status=status,
        product="prod_1",
        price="price_1",
        quantity=1,
        item_id="si_1",
        currency="eur",
        created_at=at,
        period_start=at,
        period_end=at + MONTH,
        ended_at=ended_at,
        metadata_user_id=user,
    )


def a_term(
    id_: str = SUB_1,
    *,
    starts_at: datetime = NOON,
    ends_at: datetime | None = None,
    invoice: str = "in_1",
    amount_minor: int | None = None,
) -> PaidPeriod:
    return PaidPeriod(
        gateway_id=id_,
        invoice_id=invoice,
        starts_at=starts_at,
        ends_at=starts_at + MONTH if ends_at is None else ends_at,
        amount_paid_minor=amount_minor,
    )


def a_subscription(
    report: SubscriptionReport | None = None,
    *,
    owner: str | None = None,
    term: PaidPeriod | None = None,
    as_of: datetime = NOON,
    sequence: int = 1,
) -> Subscription:
    return Subscription(
        report=report or a_report(),
        user_id=UserId(owner) if owner else None,
        last_paid_period=term,
        as_of=as_of,
        sequence=sequence,
    )


def in_trial(
    status: SubscriptionStatus = SubscriptionStatus.TRIALING,
    *,
    ended_at: datetime | None = None,
) -> Subscription:
    """Return a subscription that begins with a trial of two weeks, its invoice paid."""
    end = NOON + timedelta(days=14)
    report = a_report(status=status, ended_at=ended_at)
    return a_subscription(
        attrs.evolve(report, trial_start=NOON, trial_end=end, period_end=end),
        term=a_term(ends_at=end),
    )


def a_call(
    step: str = "start",
    state: IntentState = IntentState.SENT,
    *,
    at: datetime = NOON,
    generation: int = 1,
) -> Call:
    return Call(
        step=step,
        generation=generation,
        frozen=FrozenRequest(
            method="POST",
            path="/v1/subscriptions",
            body="a=b&c=%20",
            api_version="2026-02-25.clover",
        ),
        state=state,
        sequence=1,
        first_sent_at=at,
        last_sent_at=at,
    )


def an_intent(  # noqa: PLR0913  # each a column of the story
    id_: str = "int_1",
    state: IntentState = IntentState.NEW,
    *,
    user: str = ADA,
    kind: IntentKind = IntentKind.START_SUBSCRIPTION,
    subject: str = "prod_1",
    key: str | None = None,
    due_at: datetime = NOON,
) -> Intent:
    return Intent(
        id=IntentId(id_),
        user_id=UserId(user),
        kind=kind,
        subject=subject,
        state=state,
        key=key,
        fingerprint="f" * 64,
        lease=Lease(due_at=due_at),
        created_at=NOON,
    )


def a_job_key(subject: str = SUB_1, kind: JobKind = JobKind.SUBSCRIPTION) -> JobKey:
    return JobKey(kind, subject)


def a_job(
    subject: str = SUB_1,
    kind: JobKind = JobKind.SUBSCRIPTION,
    *,
    due_at: datetime = NOON,
    reason: str = "not known yet",
) -> Job:
    return Job.due(JobKey(kind, subject), reason, due_at)


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


def unversioned(
    value: PaymentAccount | PaymentRecord | Subscription | Intent,
) -> object:
    """Return what was saved, without its version."""
    return attrs.evolve(value, version=0)


def moments_in(value: object) -> list[datetime]:
    """Return every time that a value holds, however deeply nested."""
    if isinstance(value, datetime):
        return [value]
    inner: list[object] = list(value) if isinstance(value, tuple) else []
    if attrs.has(cls := type(value)):
        inner += [getattr(value, field.name) for field in attrs.fields(cls)]
    return [moment for part in inner for moment in moments_in(part)]
