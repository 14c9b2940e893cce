"""A sync of a user: the gateway's present state is recorded, but not too often."""

from collections.abc import AsyncIterator, Collection
from datetime import timedelta
from typing import Any

import attrs
import pytest

from payments_core.caller import ADMIN_SCOPE, READ_SCOPE
from payments_core.entitlement import PaymentStatus
from payments_core.errors import (
    AccountNotFound,
    GatewayOutcomeUnknown,
    GatewayUnavailable,
    Overloaded,
    SyncedRecently,
)
from payments_core.identity import UserId
from payments_core.job_key import JobKey, JobKind
from payments_core.jobs import SyncUser, sync_user
from payments_core.jobs.sync_user import (
    AGAIN_S,
    PAYMENTS_MAX,
    REMEMBERED_MAX,
    RUNNING_MAX,
    SET_UP_WITHIN,
    SYNC_EVERY_S,
)
from payments_core.payment import PaymentId
from payments_core.use_cases import GetPaymentStatus, Order, PaymentStatusView
from support.deployment import ADA, Break, Crash, caller_of
from support.drifts import DRIFTS, REPORTED_ONLY, K, kinds
from support.inprocess import Trouble
from support.profiles import PROVES
from support.reconciling import GOOD, OTHER, Story, told

pytestmark = pytest.mark.anyio

BOB = UserId("bob")
# `make prove` has all of them.
SOME = (
    "it was ended in the dashboard",
    "it could not be renewed",
    "its card was corrected",
    "another subscription",
)


@attrs.define
class Syncs:
    """The syncs of one process, by a clock of their own."""

    story: Story
    at: float = 0.0
    it: SyncUser = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.it = self.made()

    def made(self, **more: Any) -> SyncUser:
        deployment = self.story.deployment
        status = GetPaymentStatus(deployment.reach, deployment.clock, deployment.policy)
        return SyncUser(
            deployment.reach,
            self.story.reconcile,
            deployment.execute,
            status,
            monotonic=lambda: self.at,
            **{"within_s": 30.0, **more},
        )

    async def __call__(
        self, user: UserId = ADA, *, scopes: Collection[str] = ()
    ) -> PaymentStatusView:
        """Sync, once nothing prevents it any longer."""
        self.at += SYNC_EVERY_S
        return await self.it(user, caller=caller_of(user, scopes=scopes))


@pytest.fixture
async def story() -> AsyncIterator[Story]:
    async with told() as it:
        yield it


@pytest.fixture
def sync(story: Story) -> Syncs:
    return Syncs(story)


async def test_a_checkout_is_seen_before_its_webhooks_come(
    story: Story, sync: Syncs
) -> None:
    """
    The customer that the checkout made for the user is the user's, with the card and
    the subscription; the caller's first call registers the user.
    """
    made = story.api.customer(email="bob@example.com", metadata={"user_id": BOB})
    bought = story.api.subscribe(made["id"], story.deployment.basic)

    view = await sync(BOB)

    assert view.account.customer_id == made["id"]
    assert view.standing.payment_status is PaymentStatus.PAID
    assert view.standing.entitled
    assert [it.status for it in view.account.subscriptions] == ["active"]
    assert view.account.card is not None
    # It may have been made twice, which the worker handles.
    key = JobKey(JobKind.SUBSCRIPTION, bought["id"])
    assert key in story.deployment.database.tables.jobs


@pytest.mark.parametrize(
    "name",
    [
        it
        for it, (_, expected) in DRIFTS.items()
        # A payment that exists only here is found by a sweep of all.
        if expected and not expected & {K.PAYMENT_MISSING} and "nobody" not in it
        if PROVES or it in SOME
    ],
)
async def test_whatever_differs_is_recorded(
    story: Story, sync: Syncs, name: str
) -> None:
    """
    A reconciliation then finds only what it reports and does not repair.
    """
    deed, expected = DRIFTS[name]
    await deed(story)
    await story.deployment.hear([], apply_only=True)

    await sync()

    await story.deployment.work()
    left = await story.run.user(ADA, repairs=False)
    assert kinds([*left]) == expected & REPORTED_ONLY


async def test_what_is_right_costs_few_calls(story: Story, sync: Syncs) -> None:
    """
    The customer, its three lists, and the newest set-up.
    """
    story.deployment.line.reads.clear()

    await sync()

    assert sum(story.deployment.line.reads.values()) <= 6


async def test_an_open_operation_goes_on_now(story: Story, sync: Syncs) -> None:
    """
    One that a dead process left, and one that is not due yet; nothing is made twice.
    """
    deployment = story.deployment
    other = story.api.price(300)
    await deployment.hear()
    order = Order(product=other["product"])
    story.api.post(f"products/{other['product']}", default_price=other["id"])
    deployment.line.plan(Trouble.REPLY_LOST)
    begun = await deployment.start(ADA, order, caller=caller_of(ADA), key=None)
    assert begun.intent.open

    view = await sync()

    assert deployment.open_intents == []
    assert len(view.account.subscriptions) == 2
    assert len(deployment.subscriptions_of(ADA)) == 2


async def test_an_operation_that_another_process_runs_is_left_to_it(
    story: Story,
) -> None:
    """
    Until its lease has ended, whether the process is frozen or dead.
    """
    deployment = story.deployment
    deployment.restart(8, Break.CRASH)
    with pytest.raises(Crash):
        await deployment.end(
            ADA,
            (await deployment.account()).subscriptions[0].id,
            at_period_end=False,
            caller=caller_of(ADA),
            key=None,
        )
    deployment.restart()
    [open_] = deployment.open_intents

    await Syncs(story)()
    assert [it.id for it in deployment.open_intents] == [open_.id]

    deployment.clock.advance(timedelta(minutes=1))
    await Syncs(story)()
    assert deployment.open_intents == []


async def test_a_card_that_was_set_up_is_put_in_place(
    story: Story, sync: Syncs
) -> None:
    """
    Once: a card that replaces it later stays.
    """
    deployment = story.deployment
    await set_up(story, OTHER)

    view = await sync()

    assert view.account.card is not None
    assert view.account.card.brand == "mastercard"
    await deployment.update_card(ADA, GOOD, caller=caller_of(ADA), key=None)
    again = await sync()
    assert again.account.card is not None
    assert again.account.card.brand == "visa"


async def test_an_old_set_up_is_left_alone(story: Story, sync: Syncs) -> None:
    """
    It is unknown whether another card has replaced it since.
    """
    await set_up(story, OTHER)
    await story.deployment.advance(SET_UP_WITHIN + timedelta(seconds=1))

    view = await sync()

    assert view.account.card is not None
    assert view.account.card.brand == "visa"


async def set_up(story: Story, card: str) -> None:
    """Set a card up in the browser; its webhook is lost."""
    deployment = story.deployment
    executed = await deployment.set_up_card(ADA, caller=caller_of(ADA), key=None)
    assert executed.intent.outcome is not None
    secret = executed.intent.outcome.client_secret
    assert secret is not None
    id_, _, _ = secret.partition("_secret_")
    story.api.post(f"setup_intents/{id_}/confirm", payment_method=card)
    await deployment.hear([], apply_only=True)


async def test_a_user_without_a_customer_is_answered_as_known(
    story: Story, sync: Syncs
) -> None:
    """
    What has the user's e-mail and no owner is linked, and fetched.
    """
    guest = story.api.customer()["id"]
    charge = story.charge_guest(guest, "bob@example.com")
    await story.deployment.hear()
    await story.deployment.register(BOB)
    tables = story.deployment.database.tables
    kept = tables.payments[PaymentId(charge)]
    tables.put_payment(attrs.evolve(kept, user_id=None))
    story.api.post("refunds", charge=charge)
    await story.deployment.hear([], apply_only=True)

    view = await sync(BOB)

    assert view.account.customer_id is None
    assert view.standing.payment_status is PaymentStatus.REFUNDED


async def test_of_payments_without_the_customer_the_newest_are_fetched(
    story: Story, sync: Syncs
) -> None:
    """
    Each costs a call.
    """
    guest = story.api.customer()["id"]
    for _ in range(PAYMENTS_MAX + 2):
        story.charge_guest(guest, "bob@example.com")
    await story.deployment.register(BOB)
    await story.deployment.hear()
    story.deployment.line.reads.clear()

    await sync(BOB)

    assert story.deployment.line.reads["charges"] == PAYMENTS_MAX


async def test_a_customer_of_which_stripe_knows_nothing_changes_nothing(
    story: Story, sync: Syncs
) -> None:
    """
    A person must decide: a reconciliation reports it.
    """
    before = await story.deployment.account()
    story.deployment.engine.world.objects["customer"].clear()

    view = await sync()

    assert view.account == before


@pytest.mark.parametrize("scopes", [(), (READ_SCOPE,)])
async def test_others_may_not(story: Story, scopes: Collection[str]) -> None:
    """
    It costs calls: a caller who reads all users may not, either. An administrator may.
    """
    it = Syncs(story).it
    with pytest.raises(AccountNotFound):
        await it(ADA, caller=caller_of(BOB, scopes=scopes))
    admin = caller_of(BOB, scopes=[ADMIN_SCOPE])
    assert (await it(ADA, caller=admin)).account.user_id == ADA


async def test_one_at_a_time_and_not_too_often(sync: Syncs) -> None:
    """
    Each user separately; a refused caller learns when to retry.
    """
    await sync()
    ada = caller_of(ADA)

    for later, expected in ((0.0, 5), (1.5, 4), (3.4, 1)):
        sync.at += later
        with pytest.raises(SyncedRecently) as refused:
            await sync.it(ADA, caller=ada)
        assert refused.value.retry_after_s == expected
    await sync.it(BOB, caller=caller_of(BOB))
    sync.at += 0.1
    await sync.it(ADA, caller=ada)


async def test_two_do_not_run_at_once(sync: Syncs) -> None:
    """
    However long the first one takes: what it has read may be older than what the second
    one needs, so the second caller must retry.
    """
    it = sync.made(within_s=0.0)
    with pytest.raises(GatewayOutcomeUnknown):
        await it(ADA, caller=caller_of(ADA))

    sync.at += SYNC_EVERY_S * 2
    with pytest.raises(SyncedRecently) as refused:
        await it(ADA, caller=caller_of(ADA))
    assert refused.value.retry_after_s == 1
    await it.drain()


async def test_a_gateway_that_is_down_changes_nothing(
    story: Story, sync: Syncs
) -> None:
    """
    The next one may begin a second later: a failed one has sent requests, too.
    """
    before = await story.deployment.account()
    story.deployment.line.down = True
    for _ in range(2):
        with pytest.raises(GatewayUnavailable):
            await sync.it(ADA, caller=caller_of(ADA))
        with pytest.raises(SyncedRecently) as refused:
            await sync.it(ADA, caller=caller_of(ADA))
        assert refused.value.retry_after_s == AGAIN_S
        sync.at += AGAIN_S
    assert await story.deployment.account() == before

    story.deployment.line.down = False
    assert (await sync.it(ADA, caller=caller_of(ADA))).account == before


async def test_a_sync_goes_on_without_its_caller(story: Story) -> None:
    """
    A caller that gave up waiting reads the status; the process ends after the sync.
    """
    story.api.post("refunds", charge=story.paid)
    await story.deployment.hear([], apply_only=True)
    it = Syncs(story).made(within_s=0.0)

    with pytest.raises(GatewayOutcomeUnknown):
        await it(ADA, caller=caller_of(ADA))
    await it.drain()

    view = it.status.view(await story.deployment.account())
    assert view.standing.payment_status is PaymentStatus.REFUNDED


async def test_a_bug_that_one_thing_meets_is_told_and_the_rest_goes_on(
    story: Story,
) -> None:
    """
    It is reported once, by its id.
    """
    story.api.post("refunds", charge=story.paid)
    charge = story.charge()
    await story.deployment.hear([], apply_only=True)
    told_of = list[str]()
    syncs = Syncs(story)
    record = attrs.evolve(
        syncs.it.reconcile.record, on_bug=lambda subject, _: told_of.append(subject)
    )
    gateway: Any = _Buggy(story.deployment.asked, charge)
    reconcile = attrs.evolve(syncs.it.reconcile, record=record, gateway=gateway)
    it = SyncUser(syncs.it.reach, reconcile, syncs.it.execute, syncs.it.status)

    view = await it(ADA, caller=caller_of(ADA))

    assert told_of == [charge]
    assert view.account.subscriptions[0].paid_period is None


@attrs.frozen
class _Buggy:
    """A gateway on which our code meets a bug when it reads one charge."""

    gateway: Any
    charge: str

    def __getattr__(self, name: str) -> Any:
        return getattr(self.gateway, name)

    async def payment(self, id_: str) -> Any:
        if id_ == self.charge:
            raise ZeroDivisionError
        return await self.gateway.payment(id_)


async def test_only_so_many_run_at_once(
    sync: Syncs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    One more is told that too many are waiting.
    """
    monkeypatch.setattr(sync_user, "RUNNING_MAX", 1)
    it = sync.made(within_s=0.0)
    with pytest.raises(GatewayOutcomeUnknown):
        await it(ADA, caller=caller_of(ADA))
    with pytest.raises(Overloaded):
        await it(BOB, caller=caller_of(BOB))
    await it.drain()


async def test_only_so_many_are_remembered(
    sync: Syncs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    The oldest are forgotten first, and those users may be synced again.
    """
    assert REMEMBERED_MAX > RUNNING_MAX
    monkeypatch.setattr(sync_user, "REMEMBERED_MAX", 2)
    for number in range(3):
        user = UserId(f"user-{number}")
        await sync.it(user, caller=caller_of(user))
    assert [*sync.it._began] == ["user-1", "user-2"]
    await sync()
    assert [*sync.it._began] == [ADA]
