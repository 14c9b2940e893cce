"""Which version an answer shows, and how long it stays the same."""

from datetime import timedelta

import pytest

from contracts.examples import ADA, BOB, NOON, a_payment, a_token, email_of
from contracts.worlds import World, events_of
from payments_adapters.memory import MemoryAccountDirectory
from payments_core.account_version import AnswerVersion
from payments_core.caller import Caller
from payments_core.errors import AccountNotFound
from payments_core.policy import DEFAULT_POLICY
from payments_core.use_cases import CheckAnswer, GetAuthorizedAccount, GetPaymentStatus

DAY = timedelta(days=1)
A_MICROSECOND = timedelta(microseconds=1)
ENDS = [NOON + DAY, NOON - DAY, NOON, NOON + 2 * DAY, NOON - 2 * DAY]


def test_an_answer_holds_from_the_last_end_up_to_the_next() -> None:
    """
    At an end access is over: that moment belongs to the time after it.
    """
    shown = AnswerVersion.of(7, ENDS, NOON)

    assert shown == AnswerVersion(7, NOON, NOON + DAY)
    assert shown.holds(7, NOON)
    assert shown.holds(7, NOON + DAY - A_MICROSECOND)
    assert not shown.holds(7, NOON + DAY)
    # A clock that was set back.
    assert not shown.holds(7, NOON - A_MICROSECOND)
    assert not shown.holds(8, NOON)
    assert not shown.holds(6, NOON)


def test_where_nothing_ends_an_answer_holds_for_good() -> None:
    """
    Until the account has another version.
    """
    shown = AnswerVersion.of(1, (), NOON)

    assert shown.holds(1, NOON + 10_000 * DAY)
    assert not shown.holds(2, NOON)


@pytest.mark.anyio
async def test_an_answer_is_checked_without_loading_the_account() -> None:
    """
    It holds until a payment changes the account, or access ends. Another user's account
    does not exist to the caller, and nothing is known of a missing one.
    """
    world = World()
    for user in (ADA, BOB):
        await world.register(user, email_of(user))
    directory, caller = MemoryAccountDirectory(world.database), Caller(a_token())
    check = CheckAnswer(directory, world.clock)
    reach = GetAuthorizedAccount(directory, world.register)
    status = GetPaymentStatus(reach, world.clock, DEFAULT_POLICY)

    unpaid = (await status(ADA, caller=caller)).version
    assert await check(ADA, unpaid, caller=caller) == ADA
    assert await check(email_of(ADA), unpaid, caller=caller) == ADA
    await world.deliver(events_of([a_payment("ch_1", at=NOON, user=ADA)]))
    assert await check(ADA, unpaid, caller=caller) is None

    paid = (await status(ADA, caller=caller)).version
    assert await check(ADA, paid, caller=caller) == ADA
    world.clock.advance(365 * DAY)
    assert await check(ADA, paid, caller=caller) is None
    with pytest.raises(AccountNotFound):
        await check(BOB, unpaid, caller=caller)
    eve = Caller(a_token(user="eve"))
    assert await check(eve.user_id, unpaid, caller=eve) is None
