"""An erased user stays erased, whatever the gateway reports, in any order."""

import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

import attrs
import pytest
from typing_extensions import override

from payments_adapters.memory import (
    MemoryCheckpoints,
    MemoryErasures,
    MemoryPurgeStore,
    MemoryTokenStore,
)
from payments_core.by_hand import ByHand
from payments_core.checkpoints import LEASE
from payments_core.erasure import Erasure, pseudonym
from payments_core.errors import (
    AccountBusy,
    AccountErased,
    AccountInUse,
    AccountNotFound,
    InvalidValue,
    ScopeRequired,
    StoreUnavailable,
)
from payments_core.facts import SourcedFacts, UserRegistered
from payments_core.identity import Email, UserId
from payments_core.jobs import Purge
from payments_core.jobs.purge import CUT_OFF, PURGE
from payments_core.retention import Retention
from payments_core.use_cases import EraseAccount
from support.deployment import ADA, Deployment, admin, caller_of
from support.reconciling import OTHER, Story, no_wait, told

pytestmark = pytest.mark.anyio
BY_HAND = ByHand(by="operator", reason="asked for it")
EMAIL = "ada@example.com"


def erasing(deployment: Deployment, erasures: Any = None) -> EraseAccount:
    return EraseAccount(
        deployment.record,
        deployment.directory,
        erasures or MemoryErasures(deployment.database),
        deployment.clock,
        lambda: "1",
        no_wait,
    )


@pytest.fixture
async def story() -> AsyncIterator[Story]:
    """Lend a user who has paid twice, and has nothing any longer."""
    async with told() as it:
        refunded = it.charge(receipt_email=EMAIL)
        it.api.post("refunds", charge=refunded, amount=100)
        it.api.delete(it.subscription)
        await it.deployment.hear()
        yield it


def names_in(story: Story, customer: str, card: str) -> list[str]:
    """Return the names by which the erased user is still found, anywhere."""
    said = repr(story.deployment.database.tables)
    bodies = [
        it.event.body.decode()
        for it in story.deployment.database.tables.events.values()
    ]
    everything = " ".join([said, *bodies])
    names = (f"'{ADA}'", f'"{ADA}"', f"user {ADA}", EMAIL, customer, card)
    return [it for it in names if it in everything]


@pytest.mark.parametrize("seed", range(3))
async def test_nothing_comes_back_of_who_was_erased(story: Story, seed: int) -> None:
    """
    Not by the user's own events, again, in any order; by late ones, by back-fill, by a
    sweep; and the sweep finds nothing.
    """
    deployment = story.deployment
    draw = random.Random(seed)  # noqa: S311  # no secret
    customer, card = story.customer, story.card
    charge = story.deployment.engine.world.all("charge")[0]["id"]
    heard = [row.event for row in deployment.database.tables.events.values()]
    assert names_in(story, customer, card)

    erased = await erasing(deployment)(ADA, BY_HAND, caller=admin())
    # Some are about products and prices.
    assert len(heard) > erased.events > len(heard) / 2
    assert names_in(story, customer, card) == []
    money = payments_of(deployment, erased.pseudonym)
    assert money

    draw.shuffle(heard)
    deployment.database.tables = attrs.evolve(
        deployment.database.tables.copy(), events={}
    )
    await deployment.apply(heard)
    await deployment.work()
    assert names_in(story, customer, card) == []

    story.charge(receipt_email=EMAIL)
    story.api.post(f"customers/{customer}", name="Ada L.", description="of before")
    story.api.post(f"payment_methods/{OTHER}/attach", customer=customer)
    story.api.post("refunds", charge=charge, amount=1)
    await deployment.hear(apply_only=bool(seed % 2))
    await deployment.back_fill()
    await deployment.advance(timedelta(days=1))
    assert names_in(story, customer, card) == []
    fetched = gateway_calls(deployment)
    assert await story.sweep() == []
    assert await story.sweep(repairs=True) == []
    assert gateway_calls(deployment) == fetched
    assert names_in(story, customer, card) == []
    assert payments_of(deployment, erased.pseudonym) == money


def gateway_calls(deployment: Deployment) -> int:
    """Return how often single objects were fetched; no list is."""
    names = deployment.fuse.names.items()
    return sum(count for name, count in names if name.startswith("StripeGateway."))


def payments_of(deployment: Deployment, user: UserId) -> Any:
    return sorted(
        (it.payment.id, it.payment.amount, it.payment.refunded_minor)
        for it in deployment.database.tables.payments_of([user])
    )


async def test_who_was_erased_is_erased_once(story: Story) -> None:
    """
    By id or by e-mail: it was done. A user who never existed is not found.
    """
    erase = erasing(story.deployment)
    await erase(Email.of(EMAIL), BY_HAND, caller=admin())
    for user in (ADA, Email.of(EMAIL)):
        with pytest.raises(AccountErased):
            await erase(user, BY_HAND, caller=admin())
        with pytest.raises(AccountErased):
            await erase.what_is_open(user, caller=admin())
    with pytest.raises(AccountNotFound):
        await erase(UserId("bob"), BY_HAND, caller=admin())
    (_, change) = story.deployment.database.tables.changes_by_hand[-1]
    assert (change.action, change.decided) == ("erase_account", BY_HAND)
    assert change.subject == change.user_id != ADA


async def test_an_erasure_that_was_cut_off_goes_on(story: Story) -> None:
    """
    Before its events were searched; it has the same pseudonym.
    """
    deployment, customer, card = story.deployment, story.customer, story.card
    begun = erasing(deployment)

    async def die(_: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await attrs.evolve(begun, sleep=die)(ADA, BY_HAND, caller=admin())
    (whose,) = deployment.database.tables.erasures
    assert await begun.what_is_open(ADA, caller=admin()) == (whose, ())

    done = await begun(Email.of(EMAIL), BY_HAND, caller=admin())

    assert (done.pseudonym, done.events > 0) == (whose, True)
    assert names_in(story, customer, card) == []


async def test_a_purge_finishes_an_erasure_that_was_cut_off(story: Story) -> None:
    """
    An hour after it began, in whichever process has the turn: no new request is needed.
    """
    deployment, customer, card = story.deployment, story.customer, story.card
    database = deployment.database

    async def die(_: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await attrs.evolve(erasing(deployment), sleep=die)(ADA, BY_HAND, caller=admin())
    purge = Purge(
        MemoryPurgeStore(database, MemoryTokenStore()),
        MemoryErasures(database),
        MemoryCheckpoints(database),
        deployment.clock,
        deployment.system_clock,
        Retention(),
    )
    assert await purge()
    assert database.tables.erasures
    await deployment.advance(CUT_OFF + timedelta(seconds=1))

    assert await purge()

    assert not database.tables.erasures
    assert names_in(story, customer, card) == []


FAILING, WELL = pseudonym("1"), pseudonym("2")


@attrs.frozen
class OneFails(MemoryErasures):
    """Of two interrupted erasures, the first one meets an error."""

    error: Exception
    meanwhile: Callable[[], Awaitable[object]]
    finished: list[UserId] = attrs.field(factory=list)

    @override
    async def left(self, before: datetime) -> Sequence[UserId]:
        return [FAILING, WELL]

    @override
    async def finish(self, pseudonym: UserId) -> int:
        if pseudonym == FAILING:
            await self.meanwhile()
            raise self.error
        self.finished.append(pseudonym)
        return 0


@pytest.mark.parametrize("error", [ArithmeticError(), StoreUnavailable()])
async def test_an_erasure_that_fails_holds_up_no_other_one(
    story: Story, error: Exception
) -> None:
    """
    A bug, or a database that does not answer it in time. The turn has noted its end by
    then: no other process takes it, however long it takes.
    """
    database, deployment = story.deployment.database, story.deployment
    turns, began_at = list[bool](), deployment.clock()

    async def take_another() -> None:
        deployment.system_clock.now += LEASE + timedelta(seconds=1)
        another = attrs.evolve(purge, erasures=MemoryErasures(database))
        turns.append(await another())

    erasures = OneFails(database, error, take_another)
    purge = Purge(
        MemoryPurgeStore(database, MemoryTokenStore()),
        erasures,
        MemoryCheckpoints(database),
        deployment.clock,
        deployment.system_clock,
        Retention(),
    )
    with pytest.raises(ExceptionGroup) as caught:
        await purge()

    assert caught.value.exceptions == (error,)
    assert turns == [False]
    assert erasures.finished == [WELL]
    assert database.loops[PURGE].reached_at == began_at


async def registered(deployment: Deployment, user: UserId, email: str) -> None:
    fact = UserRegistered(user_id=user, email=Email.of(email))
    await deployment.record.one(SourcedFacts(facts=(fact,)))


async def test_by_an_e_mail_whoever_has_it_now_is_erased(story: Story) -> None:
    """
    Also while the erasure of the former holder is not finished.
    """
    deployment = story.deployment
    begun = erasing(deployment)
    assert await begun.erasures.begin(
        await deployment.account(ADA),
        Erasure(
            user_id=ADA,
            pseudonym=pseudonym("0"),
            decided=BY_HAND,
            at=deployment.clock(),
        ),
    )
    bob = UserId("bob")
    await registered(deployment, bob, EMAIL)
    assert await begun.what_is_open(Email.of(EMAIL), caller=admin()) == (bob, [])
    done = await begun(Email.of(EMAIL), BY_HAND, caller=admin())

    assert done.pseudonym == pseudonym("1")
    assert await deployment.directory.find(bob) is None
    assert (await begun(ADA, BY_HAND, caller=admin())).pseudonym == pseudonym("0")


async def test_what_is_open_is_named_and_nothing_is_done() -> None:
    """
    A subscription that is not over; a caller who is no administrator; a reason that
    names the user.
    """
    async with told() as story:
        erase = erasing(story.deployment)
        before = story.deployment.database.tables
        with pytest.raises(AccountInUse) as refused:
            await erase(ADA, BY_HAND, caller=admin())
        assert len(refused.value.open) == 1
        whose, found = await erase.what_is_open(ADA, caller=admin())
        assert (whose, tuple(found)) == (ADA, refused.value.open)
        with pytest.raises(ScopeRequired):
            await erase(ADA, BY_HAND, caller=caller_of(ADA))
        with pytest.raises(ScopeRequired):
            await erase.what_is_open(ADA, caller=caller_of(ADA))
        for email in ("lovelace@example.com", "countess@example.com"):
            await registered(story.deployment, ADA, email)
        before = story.deployment.database.tables
        for reason in (
            "for Ada",
            f"erase {ADA}.",
            f"the user's id:{ADA}/2",
            "it was <Countess@example.com>",
            "it was lovelace@example.com",
            f"of {story.customer}",
        ):
            with pytest.raises(InvalidValue):
                await erase(ADA, ByHand.of("o", reason), caller=admin())
        assert story.deployment.database.tables == before
        # Inside a word it is not a name.
        with pytest.raises(AccountInUse):
            await erase(ADA, ByHand.of("o", "an adamant one asked"), caller=admin())


async def test_what_was_unlinked_stands_against_it_too() -> None:
    """
    A subscription that is not over is the user's, though a person unlinked it.
    """
    async with told() as story:
        database = story.deployment.database
        tables = database.tables.copy()
        (one,) = [tables.subscriptions[it] for it in tables.subscriptions_of[ADA]]
        tables.put_subscription(attrs.evolve(one, user_id=None, linked_by_hand=True))
        database.tables = tables
        erase = erasing(story.deployment)
        open_ = f"subscription {one.gateway_id} is {one.status}"

        with pytest.raises(AccountInUse) as refused:
            await erase(ADA, BY_HAND, caller=admin())

        assert refused.value.open == (open_,)
        assert await erase.what_is_open(ADA, caller=admin()) == (ADA, [open_])
        assert database.tables is tables


async def test_what_changes_meanwhile_is_looked_at_again(story: Story) -> None:
    """
    After longer and longer waits, and not for ever.
    """
    waits = list[float]()

    async def wait(seconds: float) -> None:
        waits.append(seconds)

    @attrs.frozen
    class Changing(MemoryErasures):
        tries: list[int] = attrs.field(factory=list)
        until: Callable[[int], bool] = lambda count: count > 2

        @override
        async def begin(self, *given: Any) -> bool:
            self.tries.append(1)
            if not self.until(len(self.tries)):
                return False
            return await MemoryErasures.begin(self, *given)

    database = story.deployment.database
    never = Changing(database, until=lambda _: False)
    erase = attrs.evolve(erasing(story.deployment, never), sleep=wait)
    with pytest.raises(AccountBusy):
        await erase(ADA, BY_HAND, caller=admin())
    assert waits == sorted({*waits})
    assert len(waits) == len(never.tries) - 1 > 2
    later = Changing(database)
    await erasing(story.deployment, later)(ADA, BY_HAND, caller=admin())
    assert len(later.tries) == 3
