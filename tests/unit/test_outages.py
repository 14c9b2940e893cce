"""Nobody is there for days or weeks: afterwards all is as if somebody had been.

The gateway tries to deliver for three days, lists events for thirty, and goes on
meanwhile: renewals, cards that fail, and what is done in the dashboard and the portal.
Beside who is out there is somebody in the same world who hears of everything.
"""

import copy
import random
from datetime import timedelta
from typing import Any, Final

import attrs
import pytest

from payments_core.back_fill import KEPT_FOR
from payments_core.identity import UserId
from support.crowd import Crowd, Post, catch_up, compare, work
from support.deployment import Deployment
from support.profiles import PROVES
from support.reconciling import reconciling

USERS_A_DAY: Final = 8 if PROVES else 2
SEEDS: Final = 8 if PROVES else 1
# For so long all is heard, before.
DAYS_BEFORE: Final = 10
ACTIVITY: Final = 0.3
# For so long the gateway tries to deliver.
TRIED_DAYS: Final = 3

pytestmark = pytest.mark.anyio


async def _begun(deployment: Deployment, dice: random.Random) -> tuple[Crowd, Post]:
    """Let users come and live, all of which is heard."""
    crowd = Crowd(deployment, dice, deployment.api.price(500)["id"])
    post = Post(deployment, dice, needless_lost=0.0)
    for day in range(DAYS_BEFORE):
        for number in range(USERS_A_DAY):
            await crowd.arrive(UserId(f"user-{day}-{number}"))
        await crowd.do([it for it in crowd.users if dice.random() < ACTIVITY])
        await deployment.advance(timedelta(days=1))
        post.collect(day)
        await post.deliver(day)
        await work(deployment)
    await catch_up(deployment, post, DAYS_BEFORE)
    # As the worker of every deployment does: the next pass goes on from here.
    await deployment.back_fill()
    return crowd, post


async def _away(crowd: Crowd, there: Post, here: Post, days: int) -> int:
    """Let days pass of which only `there` hears; return what is lost for good."""
    deployment, lost = crowd.deployment, 0
    for day in range(DAYS_BEFORE, DAYS_BEFORE + days):
        users = [it for it in crowd.users if crowd.dice.random() < ACTIVITY]
        await crowd.do(users, elsewhere=True)
        await deployment.advance(timedelta(days=1))
        there.collect(day)
        await there.deliver(day)
        await work(there.deployment)
        if day < DAYS_BEFORE + days - TRIED_DAYS:
            lost += here.give_up()
    return lost


async def _seen(deployment: Deployment, users: list[UserId]) -> Any:
    """Return what people see of everybody, and what is kept of their payments."""
    now, policy, seen = deployment.clock.now, deployment.policy, dict[UserId, Any]()
    for user in users:
        account = await deployment.account(user)
        # A card that is detached goes from what has ended as well, of which no event
        # tells; it pays nothing there.
        reports = {
            it.gateway_id: attrs.evolve(it.report, pinned_card=it.report.own_card)
            for it in account.subscriptions
        }
        standing = account.standing(now=now, policy=policy)
        seen[user] = (standing, account.card, reports)
    records = deployment.database.tables.payments.values()
    return seen, {it.payment.id: (it.user_id, it.payment.state) for it in records}


@pytest.mark.parametrize("seed", range(SEEDS))
@pytest.mark.parametrize("days", [4, 40])
async def test_p27_f40_after_an_outage_all_is_as_without_it(
    seed: int, days: int
) -> None:
    """
    Of four days back-fill finds all. Of forty a sweep finds the rest, though nobody is
    heard any more of what happened in the first ten.
    """
    dice = random.Random(seed)  # noqa: S311  # a seed's
    async with Deployment.opened(seed=seed) as here, reconciling(here) as story:
        crowd, post = await _begun(here, dice)
        there = attrs.evolve(here, database=copy.deepcopy(here.database))
        other = attrs.evolve(post, deployment=there)
        assert await _away(crowd, other, post, days)
        await catch_up(there, other, DAYS_BEFORE + days)
        assert await _seen(here, crowd.users) != await _seen(there, crowd.users)

        await catch_up(here, post, DAYS_BEFORE + days)
        while await here.back_fill():
            continue
        await work(here)
        findings = await story.sweep(repairs=True)
        await work(here)
        assert await _seen(here, crowd.users) == await _seen(there, crowd.users)
        assert bool(findings) is (timedelta(days=days) > KEPT_FOR)
        await compare(here, crowd.owners, (seed, days))
        assert await story.sweep() == []
