"""No process runs for days or weeks: afterwards the state is as if one had.

The gateway tries to deliver for three days, lists events for thirty, and continues
meanwhile: renewals, cards that fail, and changes in the dashboard and the portal. A
second deployment in the same world receives every event.
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
# For so long every event is received, before.
DAYS_BEFORE: Final = 10
ACTIVITY: Final = 0.3
# For so long the gateway tries to deliver.
TRIED_DAYS: Final = 3

pytestmark = pytest.mark.anyio


async def _begun(deployment: Deployment, dice: random.Random) -> tuple[Crowd, Post]:
    """Create users with some history, of which every event is received."""
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
    # As the worker of every deployment does: the next pass continues from here.
    await deployment.back_fill()
    return crowd, post


async def _away(crowd: Crowd, there: Post, here: Post, days: int) -> int:
    """Let days pass in which only `there` receives events; return what is lost."""
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
    """Return what people see of all users, and what is stored of their payments."""
    now, policy, seen = deployment.clock.now, deployment.policy, dict[UserId, Any]()
    for user in users:
        account = await deployment.account(user)
        # A card that is detached also leaves ended subscriptions, which no event
        # reports; it pays nothing there.
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
    After four days back-fill finds everything. After forty a sweep finds the rest,
    though events of the first ten can no longer be received.
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
