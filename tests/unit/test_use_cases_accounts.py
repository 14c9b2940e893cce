from collections.abc import Awaitable, Callable
from datetime import timedelta

import attrs
import pytest

from contracts.examples import (
    ADA,
    BOB,
    CH_1,
    CUS_1,
    CUS_2,
    NOON,
    a_payment,
    a_token,
    an_account,
    an_event,
    email_of,
)
from contracts.stores import first_page
from contracts.worlds import World, a_world
from payments_adapters.memory import MemoryAccountDirectory
from payments_core import (
    Caller,
    Email,
    Payment,
    PaymentStatus,
    Policy,
)
from payments_core.account import PaymentAccount
from payments_core.account_version import AccountVersion
from payments_core.caller import ADMIN_SCOPE
from payments_core.errors import (
    AccountNotFound,
    CustomerTaken,
    EmailTaken,
)
from payments_core.identity import CustomerId, UserId
from payments_core.job_key import JobKey, JobKind
from payments_core.ports import AccountDirectory
from payments_core.use_cases import GetAuthorizedAccount, GetPaymentStatus

pytestmark = pytest.mark.anyio

EVE = UserId("eve")


def status_of(world: World) -> GetPaymentStatus:
    directory = MemoryAccountDirectory(world.database)
    return GetPaymentStatus(
        GetAuthorizedAccount(directory, world.register), world.clock, Policy()
    )


def caller(
    user: str = ADA, *, email: Email | None = None, admin: bool = False
) -> Caller:
    scopes = frozenset({ADMIN_SCOPE} if admin else ())
    return Caller(attrs.evolve(a_token(user=user), email=email, scopes=scopes))


async def test_registering_opens_an_account() -> None:
    """
    With the given id, e-mail and customer, and no payments.
    """
    world = World()
    account = await world.register(ADA, email_of(ADA), CUS_1)

    ada = attrs.evolve(
        an_account(ADA, customer=CUS_1),
        email_since=NOON.replace(microsecond=0),
        version=1,
    )
    assert account == world.account() == ada


async def test_registering_again_changes_nothing() -> None:
    """
    Not even a version; a bound customer stays bound.
    """
    world = await a_world(an_account(ADA, customer=CUS_1))
    before = world.account()

    assert await world.register(ADA, email_of(ADA)) == before
    assert await world.register(ADA, email_of(ADA), CUS_1) == before
    assert world.account() == before


async def test_registering_with_another_email_renames() -> None:
    """
    The id is the identity; payments stay, and the old e-mail is free.
    """
    world = await a_world(an_account(ADA))
    await world.deliver([an_event(report=a_payment(user=ADA))])
    paid = world.account().summary
    await world.register(ADA, email_of("countess"))
    await world.register(BOB, email_of(ADA))

    assert world.account().email == email_of("countess")
    assert world.account().summary == paid
    assert world.account(BOB).email == email_of(ADA)


async def test_another_users_email_is_taken_in_any_spelling() -> None:
    """
    For a new user and for a known one; no account changes.
    """
    world = await a_world()
    before = world.database.tables
    for user in (EVE, BOB):
        with pytest.raises(EmailTaken):
            await world.register(user, Email.of("ADA@EXÄMPLE.org."))
    assert world.database.tables == before


async def test_p21_a_customer_is_bound_to_one_user_once() -> None:
    """
    Another user's customer, and a second customer for one user: both are refused.
    """
    world = await a_world()
    before = world.database.tables
    for user, customer in ((ADA, CUS_2), (EVE, CUS_2), (BOB, CUS_1)):
        with pytest.raises(CustomerTaken):
            await world.register(user, email_of(user), customer)
    assert world.database.tables == before


@pytest.mark.parametrize(
    "report",
    [
        a_payment(user=ADA),
        a_payment(customer=CUS_1),
        a_payment(email=email_of(ADA)),
        a_payment(user=ADA, customer=CUS_1, email=email_of(BOB)),
    ],
    ids=["metadata", "customer", "e-mail", "all"],
)
async def test_a_payment_waits_for_its_account(report: Payment) -> None:
    """
    Unlinked when it arrives, it is linked by itself when its user registers, and
    counts.
    """
    world = await a_world(an_account(EVE))
    await world.deliver([an_event(report=report)])
    assert world.owner(CH_1) is None
    (unlinked,) = await first_page(world.log, unlinked=True)
    account = await world.register(ADA, email_of(ADA), CUS_1)

    assert world.owner(CH_1) == ADA
    assert account.standing(now=NOON, policy=Policy()).entitled
    assert account.summary == world.account().summary
    assert not await first_page(world.log, unlinked=True)
    assert unlinked.user_id is None


async def test_a_customer_bound_later_brings_its_payments() -> None:
    """
    They are older than the latest one, so everything is replayed.
    """
    world = await a_world(an_account(ADA))
    older = a_payment("ch_0", customer=CUS_1, at=NOON - timedelta(days=1))
    await world.deliver(
        [an_event("evt_1", older), an_event("evt_2", a_payment(user=ADA))]
    )
    account = await world.register(ADA, email_of(ADA), CUS_1)

    assert world.owner("ch_0") == ADA
    assert account.summary.prepaid is not None
    assert account.summary.prepaid.months == 2


async def test_registering_takes_no_payment_that_names_another() -> None:
    """
    An e-mail is the weakest key: metadata of a user who does not exist yet takes
    precedence.
    """
    world = World()
    await world.deliver([an_event(report=a_payment(user=BOB, email=email_of(ADA)))])
    await world.register(ADA, email_of(ADA))
    assert world.owner(CH_1) is None
    await world.register(BOB, email_of(BOB))
    assert world.owner(CH_1) == BOB


async def test_t23_registering_quarantines_no_account() -> None:
    """
    An unlinked payment whose keys disagree stays unlinked; registering succeeds.
    """
    world = World()
    await world.deliver([an_event(report=a_payment(user=ADA, customer=CUS_2))])
    account = await world.register(BOB, email_of(BOB), CUS_2)

    assert account.customer_id == CUS_2
    assert world.owner(CH_1) is None


async def test_the_first_call_of_a_user_registers_it() -> None:
    """
    Its token has the e-mail; the path may have the id or that e-mail.
    """
    for path in (ADA, email_of(ADA)):
        world = World()
        await world.deliver([an_event(report=a_payment(email=email_of(ADA)))])
        view = await status_of(world)(path, caller=caller(email=email_of(ADA)))

        assert world.account().email == email_of(ADA)
        assert view.standing.payment_status is PaymentStatus.PAID


@attrs.define
class _Behind:
    """A directory whose first answer shows the state before a call."""

    directory: AccountDirectory
    register: Callable[[], Awaitable[object]]
    asked: int = 0

    async def find(self, user: UserId | Email) -> PaymentAccount | None:
        found = await self.directory.find(user)
        self.asked += 1
        if self.asked == 1:
            await self.register()
        return found

    async def version_of(self, user: UserId | Email) -> AccountVersion | None:
        return await self.directory.version_of(user)

    async def owner_of_customer(self, customer_id: CustomerId) -> UserId | None:
        return await self.directory.owner_of_customer(customer_id)


@pytest.mark.parametrize("path", [ADA, email_of(ADA)])
async def test_of_two_first_calls_at_once_both_find_the_user(
    path: UserId | Email,
) -> None:
    """
    The later one sees what the other one registered.
    """
    world = World()
    status = status_of(world)

    async def other_call() -> object:
        return await status(ADA, caller=caller(email=email_of(ADA)))

    behind = _Behind(status.reach.directory, other_call)
    reach = attrs.evolve(status.reach, directory=behind)
    late = attrs.evolve(status, reach=reach)
    view = await late(path, caller=caller(email=email_of(ADA)))

    assert view.account == world.account()


async def test_the_status_is_what_the_clock_says_now() -> None:
    """
    The same account is entitled today and not in a year.
    """
    world = await a_world()
    await world.deliver([an_event(report=a_payment(user=ADA))])
    today = await status_of(world)(ADA, caller=caller())
    world.clock.advance(timedelta(days=365))
    later = await status_of(world)(ADA, caller=caller())

    assert today.account == later.account == world.account()
    assert (today.standing.entitled, later.standing.entitled) == (True, False)


@pytest.mark.parametrize("path", [BOB, email_of(BOB), EVE, email_of(EVE)])
async def test_another_users_account_is_not_found(path: UserId | Email) -> None:
    """
    Whether or not it exists, the answer is the same, and no user is registered.
    """
    world = await a_world()
    before = world.database.tables
    with pytest.raises(AccountNotFound):
        await status_of(world)(path, caller=caller(email=email_of(ADA)))
    assert world.database.tables == before


async def test_a_user_whose_token_has_no_email_is_not_registered() -> None:
    """
    An account needs one.
    """
    world = World()
    with pytest.raises(AccountNotFound):
        await status_of(world)(ADA, caller=caller())
    assert not world.database.tables.accounts


async def test_a_new_user_with_anothers_email_is_told_that_it_is_taken() -> None:
    """
    By its id; by that e-mail it finds another's account, so nothing is found.
    """
    world = await a_world()
    eve = caller(EVE, email=email_of(ADA))
    with pytest.raises(EmailTaken):
        await status_of(world)(EVE, caller=eve)
    with pytest.raises(AccountNotFound):
        await status_of(world)(email_of(ADA), caller=eve)


async def test_an_administrator_sees_everybody_and_registers_nobody() -> None:
    """
    By id and by e-mail; a missing user is not found.
    """
    world = await a_world()
    status, admin = status_of(world), caller("root", email=email_of("r"), admin=True)
    for path in (BOB, email_of(BOB)):
        assert (await status(path, caller=admin)).account == world.account(BOB)
    with pytest.raises(AccountNotFound):
        await status(EVE, caller=admin)


async def test_a_bound_customer_is_looked_at_once() -> None:
    """
    It may have a card and subscriptions from before this service.
    """
    world = World()
    for _ in range(2):
        await world.register(ADA, email_of(ADA), CUS_1)
    assert list(world.database.tables.jobs) == [JobKey(JobKind.CUSTOMER, CUS_1)]
    assert next(iter(world.database.tables.jobs.values())).requests == 1
