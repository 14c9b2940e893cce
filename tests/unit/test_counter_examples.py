"""Counter-examples that were once found; each failed before its fix."""

import asyncio

import attrs
import pytest

from contracts.examples import (
    ADA,
    APPLIED,
    BOB,
    CUS_1,
    a_payment,
    a_token,
    an_account,
    an_event,
    email_of,
)
from contracts.faults import unheard_of
from contracts.worlds import World, a_world
from payments_adapters.memory import MemoryAccountDirectory
from payments_core import Caller, Money, PaymentState, Policy
from payments_core.errors import AccountNotFound
from payments_core.use_cases import GetAuthorizedAccount, GetPaymentStatus
from payments_service.ingest_queue import IngestQueue

pytestmark = pytest.mark.anyio


async def test_t23_registering_takes_no_payment_of_anothers_customer() -> None:
    """
    The binding wins over metadata at registration too, in either order.
    """
    world = World()
    await world.deliver([an_event(report=a_payment(user=ADA, customer=CUS_1))])
    await world.register(BOB, email_of(BOB), CUS_1)
    await world.register(ADA, email_of(ADA))
    assert world.owner("ch_1") is None


async def test_p10_a_report_without_its_customer_does_not_fail_for_ever() -> None:
    """
    The customer of the payment is known; so its holder must be, too.
    """
    world = await a_world(an_account(ADA))
    report = a_payment(customer=CUS_1, email=email_of(ADA))
    await world.deliver([an_event("evt_1", report)])
    await world.register(BOB, email_of(BOB), CUS_1)
    (receipt,) = await world.deliver([an_event("evt_2", a_payment(user=ADA))])
    assert not receipt.duplicate


async def test_an_old_token_does_not_rename_an_account_back() -> None:
    """
    Only the first call of a user registers it.
    """
    world = await a_world(an_account(ADA))
    await world.register(ADA, email_of("countess"))
    directory = MemoryAccountDirectory(world.database)
    get = GetPaymentStatus(
        GetAuthorizedAccount(directory, world.register), world.clock, Policy()
    )
    old = Caller(attrs.evolve(a_token(), email=email_of(ADA)))
    with pytest.raises(AccountNotFound):
        await get(email_of(ADA), caller=old)
    assert world.account().email == email_of("countess")


def test_p08_a_doubt_about_a_free_payment_takes_nothing_back() -> None:
    """
    Zero of zero is not a refund: nothing was refunded.
    """
    free = attrs.evolve(a_payment(), amount=Money(0, "eur"))
    failed = attrs.evolve(free, state=PaymentState.FAILED)
    assert free.money_stayed
    assert free.merge(failed).money_stayed


async def test_of_two_bodies_under_one_key_the_first_counts() -> None:
    """
    In one batch as in two.
    """
    world = await a_world(an_account(ADA))
    await world.apply(
        [an_event("evt_1", a_payment("ch_1")), an_event("evt_1", a_payment("ch_2"))]
    )
    assert set(world.database.tables.payments) == {"ch_1"}


async def test_a_listener_that_fails_keeps_nobody_waiting() -> None:
    """
    An error in `on_failure` does not affect the caller.
    """
    world = await a_world(an_account(ADA))

    def listen(*_: object) -> None:
        raise ValueError

    heard: list[dict[str, object]] = []
    loop = asyncio.get_running_loop()
    before = loop.get_exception_handler()
    loop.set_exception_handler(lambda _, context: heard.append(context))
    ingest = IngestQueue(world.record, listen)
    try:
        async with asyncio.timeout(5):
            receipt = await ingest(an_event(report=unheard_of(a_payment(user=ADA))))
        await ingest.drain()
    finally:
        loop.set_exception_handler(before)
    assert not receipt.duplicate
    assert receipt.outcome != APPLIED
    assert [type(context["exception"]) for context in heard] == [ValueError]


async def test_registering_returns_the_account_as_it_is_kept() -> None:
    """
    Its version included, so the returned account can be saved.
    """
    world = World()
    assert await world.register(ADA, email_of(ADA)) == world.account()
