"""Linking a payment by hand: who may, and what is fetched from the gateway."""

from datetime import timedelta

import attrs
import pytest

from contracts.examples import (
    ADA,
    BOB,
    CH_1,
    CUS_2,
    NOON,
    SUB_1,
    a_payment,
    a_record,
    a_subscription,
    an_account,
)
from payments_adapters.memory import (
    FixedClock,
    MemoryAuditLog,
    MemoryDatabase,
    MemoryGateway,
    MemoryLedger,
    MemoryPaymentDirectory,
)
from payments_core.caller import ADMIN_SCOPE, Caller
from payments_core.errors import (
    PaymentLinked,
    PaymentNotFound,
    PaymentOfSubscription,
    ScopeRequired,
)
from payments_core.identity import UserId
from payments_core.payment import PaymentId
from payments_core.policy import Policy
from payments_core.tokens import Token
from payments_core.use_cases import LinkPayment, ReadPaymentLink, RecordFacts
from support.deciding import Kept
from support.reconciling import told

pytestmark = pytest.mark.anyio

CLOCK = FixedClock(NOON)
PAYMENT = PaymentId(CH_1)


def caller(*scopes: str) -> Caller:
    token = Token(
        issuer="users",
        jti="jti",
        user_id=UserId("root"),
        issued_at=NOON,
        expires_at=NOON + timedelta(minutes=5),
        scopes=frozenset(scopes),
    )
    return Caller(token)


ROOT = caller(ADMIN_SCOPE)


@attrs.define
class Links:
    database: MemoryDatabase = attrs.field(
        factory=lambda: Kept.of(an_account(ADA)).database
    )
    gateway: MemoryGateway = attrs.field(factory=lambda: MemoryGateway(CLOCK))

    @property
    def read(self) -> ReadPaymentLink:
        return ReadPaymentLink(
            MemoryPaymentDirectory(self.database), MemoryAuditLog(self.database)
        )

    @property
    def link(self) -> LinkPayment:
        record = RecordFacts(MemoryLedger(self.database), CLOCK, CLOCK, Policy())
        return LinkPayment(record, self.gateway, self.read)


async def test_a_payment_that_was_never_kept_is_asked_of_the_gateway() -> None:
    """
    In its state there; if it does not exist there either it is not found, and nothing
    changes.
    """
    links = Links()
    with pytest.raises(PaymentNotFound):
        await links.link(PAYMENT, ADA, "seen", caller=ROOT)
    assert not links.database.tables.payments
    links.gateway.objects.payments[PAYMENT] = a_payment(user="somebody")

    linked = await links.link(PAYMENT, ADA, "seen", caller=ROOT)

    assert (linked.record.user_id, linked.record.linked_by_hand) == (ADA, True)
    assert [it.change.decided.by for it in linked.changes] == ["root"]
    assert await links.read(PAYMENT, caller=ROOT) == linked


async def test_what_nobody_knows_cannot_be_unlinked() -> None:
    """
    No request is sent to the gateway: there would be nothing to unlink.
    """
    links = Links()
    links.gateway.objects.payments[PAYMENT] = a_payment()
    with pytest.raises(PaymentNotFound):
        await links.link(PAYMENT, None, "why", caller=ROOT)
    assert not links.database.tables.payments


@pytest.mark.parametrize("paid_for", [None, SUB_1])
@pytest.mark.parametrize("known", [True, False], ids=["known", "asked for"])
async def test_a_payment_that_the_gateway_has_not_is_taken_away(
    paid_for: str | None, *, known: bool
) -> None:
    """
    It is no money at all, whatever subscription it names. To link it stays refused.
    """
    invented = attrs.evolve(a_payment(), subscription_id=paid_for, invoice_known=known)
    links = Links(
        Kept.of(
            an_account(ADA), a_subscription(owner=ADA), a_record(invented, owner=ADA)
        ).database
    )
    assert await links.link.check(PAYMENT, None, caller=ROOT) is not None

    taken = await links.link(PAYMENT, None, "invented", caller=ROOT)

    assert (taken.record.user_id, taken.record.linked_by_hand) == (None, True)
    assert [it.change.user_id for it in taken.changes] == [ADA]
    if not known:
        with pytest.raises(PaymentNotFound):
            await links.link(PAYMENT, ADA, "why", caller=ROOT)


async def test_only_an_administrator_links_or_reads() -> None:
    """
    Other callers may not, even for themselves.
    """
    links = Links()
    links.gateway.objects.payments[PAYMENT] = a_payment()
    for work in (
        links.link(PAYMENT, ADA, "mine", caller=caller()),
        links.read(PAYMENT, caller=caller()),
    ):
        with pytest.raises(ScopeRequired):
            await work


@pytest.mark.parametrize("known", [True, False], ids=["known", "asked for"])
async def test_a_subscriptions_own_money_stays_whose_the_subscription_is(
    *, known: bool
) -> None:
    """
    Otherwise its refund would take nothing back. A mistaken owner may lose it, to the
    owner of the subscription.
    """
    paid = attrs.evolve(
        a_payment(), invoice_id="in_1", subscription_id=SUB_1, invoice_known=known
    )
    database = Kept.of(
        an_account(ADA),
        an_account(BOB, customer=CUS_2),
        a_subscription(owner=ADA),
        a_record(paid if known else a_payment(), owner=ADA),
    ).database
    links = Links(database)
    links.gateway.objects.payments[PAYMENT] = paid
    with pytest.raises(PaymentOfSubscription) as refusal:
        await links.link(PAYMENT, None, "why", caller=ROOT)
    assert refusal.value.user_id == ADA

    record = database.tables.payments[PAYMENT]
    moved = database.tables.copy()
    moved.put_payment(attrs.evolve(record, user_id=BOB))
    database.tables = moved
    taken = await links.link(PAYMENT, None, "a mistake", caller=ROOT)
    assert taken.record.user_id is None
    with pytest.raises(PaymentOfSubscription):
        await links.link(PAYMENT, BOB, "why", caller=ROOT)
    linked = await links.link(PAYMENT, ADA, "it is hers", caller=ROOT)
    assert linked.record.user_id == ADA


async def test_what_would_be_linked_is_checked_and_nothing_is_saved() -> None:
    """
    As it would be done: by what is stored, else by a request to the gateway.
    """
    async with told() as story:
        it = story.deployment
        read = ReadPaymentLink(
            MemoryPaymentDirectory(it.database), MemoryAuditLog(it.database)
        )
        link, paid = LinkPayment(it.record, it.asked, read), PaymentId(story.paid)
        kept = await read(paid, caller=ROOT)
        assert await link.check(paid, ADA, caller=ROOT) == kept
        with pytest.raises(PaymentOfSubscription):
            await link.check(paid, None, caller=ROOT)
        await it.register(BOB)
        with pytest.raises(PaymentLinked):
            await link.check(paid, BOB, caller=ROOT)
        linked = await link(paid, ADA, "asked for", caller=ROOT)
        assert await link.check(paid, ADA, caller=ROOT) == linked

        elsewhere = PaymentId(story.charge())
        with pytest.raises(PaymentLinked) as refusal:
            await link.check(elsewhere, BOB, caller=ROOT)
        assert refusal.value.user_id == ADA
        assert await link.check(elsewhere, ADA, caller=ROOT) is None
        assert elsewhere not in it.database.tables.payments
        for missing, user in ((elsewhere, None), (PaymentId("ch_missing"), ADA)):
            with pytest.raises(PaymentNotFound):
                await link.check(missing, user, caller=ROOT)
