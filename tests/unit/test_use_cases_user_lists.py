"""Who may list users, payments and timelines, and what is shown then."""

from datetime import timedelta
from typing import Final

import attrs
import pytest

from contracts.examples import (
    ADA,
    BOB,
    NOON,
    a_payment,
    a_record,
    a_report,
    a_subscription,
    an_account,
    email_of,
)
from contracts.timelines import retried
from payments_adapters.memory import (
    FixedClock,
    MemoryAccountDirectory,
    MemoryDatabase,
    MemoryLedger,
    MemoryPaymentDirectory,
    MemoryTimelines,
    MemoryUserList,
)
from payments_core.entitlement import PaymentSummary
from payments_core.errors import AccountNotFound, ScopeRequired
from payments_core.payment import Payment
from payments_core.policy import Policy
from payments_core.subscription import SubscriptionStatus
from payments_core.timeline import TimelineKind, place_of
from payments_core.use_cases import (
    GetAuthorizedAccount,
    GetPaymentStatus,
    ListPayments,
    ListUsers,
    ReadTimeline,
    RecordFacts,
    RegisterUser,
)
from payments_core.user_list import EVERYBODY
from support.deployment import admin, caller_of

pytestmark = pytest.mark.anyio

DAY: Final = timedelta(days=1)


@attrs.define
class Lists:
    """The use cases over one database in memory."""

    database: MemoryDatabase = attrs.field(factory=MemoryDatabase)
    clock: FixedClock = attrs.field(factory=lambda: FixedClock(NOON))

    def __attrs_post_init__(self) -> None:
        clock, policy = self.clock, Policy()
        record = RecordFacts(MemoryLedger(self.database), clock, clock, policy)
        register = RegisterUser(record)
        directory = MemoryAccountDirectory(self.database)
        self.reach = GetAuthorizedAccount(directory, register)
        self.status = GetPaymentStatus(self.reach, clock, policy)

    reach: GetAuthorizedAccount = attrs.field(init=False)
    status: GetPaymentStatus = attrs.field(init=False)

    @property
    def users(self) -> ListUsers:
        return ListUsers(MemoryUserList(self.database), self.status)

    @property
    def payments(self) -> ListPayments:
        return ListPayments(self.reach, MemoryPaymentDirectory(self.database))

    @property
    def timeline(self) -> ReadTimeline:
        return ReadTimeline(self.reach, MemoryTimelines(self.database))

    def pay(self, *payments: Payment, user: str = ADA) -> None:
        tables = self.database.tables
        account = an_account(user)
        summary = PaymentSummary.replay(payments)
        tables.put_account(attrs.evolve(account, summary=summary))
        for it in payments:
            tables.put_payment(a_record(it, owner=user))


async def test_t42_only_an_administrator_lists_users() -> None:
    """
    The list of users is for nobody else.
    """
    lists = Lists()
    lists.pay(a_payment())
    with pytest.raises(ScopeRequired):
        await lists.users(EVERYBODY, caller=caller_of(ADA))
    (found,) = (await lists.users(EVERYBODY, caller=admin())).users
    assert found.account.user_id == ADA


async def test_whether_a_listed_user_may_enter_is_what_the_clock_says() -> None:
    """
    It is not in a list by itself, and not stored.
    """
    lists = Lists()
    lists.pay(a_payment())
    for days, entitled in ((0, True), (60, False)):
        lists.clock.now = NOON + days * DAY
        (found,) = (await lists.users(EVERYBODY, caller=admin())).users
        assert found.standing.entitled is entitled


async def test_t41_what_another_paid_and_did_does_not_exist() -> None:
    """
    A caller reads their own, an administrator anybody's.
    """
    lists = Lists()
    lists.pay(a_payment("ch_1"))
    lists.pay(a_payment("ch_2"), user=BOB)
    for one in (lists.payments, lists.timeline):
        for user in (BOB, email_of(BOB), "nobody"):
            with pytest.raises(AccountNotFound):
                await one(user, caller=caller_of(ADA))  # type: ignore[arg-type]  # an id
    for caller in (caller_of(BOB), admin()):
        page = await lists.payments(BOB, caller=caller)
        assert [it.payment.id for it in page.payments] == ["ch_2"]
        items = (await lists.timeline(email_of(BOB), caller=caller)).items
        assert [place_of(it).id for it in items] == ["ch_2"]


@pytest.mark.parametrize("limit", [1, 2, 3, 5, 6])
async def test_lives_of_subscriptions_are_among_what_happened(limit: int) -> None:
    """
    In pages, too: none is shown twice or left out.
    """
    lists = Lists()
    lists.pay(*(a_payment(f"ch_{day}", at=NOON + day * DAY) for day in range(3)))
    lists.database.tables.add_by_hand(NOON + DAY, [retried(ADA)])
    ended = a_report(
        "sub_1", SubscriptionStatus.CANCELED, at=NOON, ended_at=NOON + 2 * DAY
    )
    lists.database.tables.put_subscription(a_subscription(ended, owner=ADA))

    kinds, after = list[TimelineKind](), None
    while True:
        page = await lists.timeline(ADA, limit=limit, after=after, caller=admin())
        assert len(page.items) <= limit
        kinds += [place_of(it).kind for it in page.items]
        after = page.after
        if after is None:
            break

    assert kinds == [
        *(TimelineKind.SUBSCRIPTION_ENDED, TimelineKind.PAYMENT),
        *(TimelineKind.PAYMENT, TimelineKind.BY_HAND),
        *(TimelineKind.SUBSCRIPTION_BEGAN, TimelineKind.PAYMENT),
    ]
