"""A year of 200 users: whatever arrives, and however, we know the truth.

The sandbox is the truth. Its events come doubled, shuffled, days late, and one in
twenty not at all, where a later one about the same thing exists. Users change plans,
subscribe to a second product, cancel, let trials pass, and have cards that fail and are
replaced. Beside us money is given back, or is not after all, things are sold once,
items are added, cards are changed, and customers are deleted.
"""

import random
from collections import deque
from collections.abc import Callable
from datetime import timedelta

import pytest

from payments_core.identity import UserId
from support.crowd import Crowd, Post, catch_up, compare, work
from support.deployment import BEGINNING, Deployment
from support.profiles import PROVES

USERS = 200
DAYS = 366
# By the seed; and one on thin events alone.
YEARS = [(seed, False) for seed in range(5 if PROVES else 1)] + [(0, True)] * PROVES
# Each kind of deed is done at least once.
DEEDS = 11


async def _year(seed: int, *, thin_events: bool) -> tuple[Deployment, Post, Crowd, int]:
    dice = random.Random(seed)  # noqa: S311  # a seed's
    checked = 0
    async with Deployment.opened(seed=seed) as deployment:
        other = deployment.api.price(500)["id"]
        post = Post(deployment, dice, thin_events)
        crowd = Crowd(deployment, dice, other)
        coming = deque(UserId(f"user-{number}") for number in range(USERS))
        month = BEGINNING.month
        for day in range(DAYS):
            for _ in range(min(len(coming), 4)):
                await crowd.arrive(coming.popleft())
            await crowd.live_a_day()
            await deployment.advance(timedelta(days=1))
            post.collect(day)
            await post.deliver(day)
            await work(deployment)
            if deployment.clock.now.month != month:
                month = deployment.clock.now.month
                await catch_up(deployment, post, day)
                checked += await compare(deployment, crowd.owners, (seed, day))
        return deployment, post, crowd, checked


@pytest.mark.anyio
@pytest.mark.starts_first
@pytest.mark.parametrize(("seed", "thin_events"), YEARS)
async def test_p01_p26_p27_a_year_of_subscriptions_is_known_at_every_months_end(
    seed: int,
    thin_events: bool,  # noqa: FBT001  # a column
    record_property: Callable[[str, object], None],
) -> None:
    """
    For every user the status, the date and the entitlement are the gateway's truth;
    also if all that events say is which object changed.
    """
    deployment, post, crowd, checked = await _year(seed, thin_events=thin_events)
    looks, reads = deployment.looks, deployment.line.reads.total()
    record_property(
        "figure",
        f"a year of {USERS} users (seed {seed}{', thin' * thin_events}): "
        f"{checked} standings compared, "
        f"{post.delivered} deliveries, {post.dropped} events dropped, "
        f"{looks} looks: {looks / post.delivered:.2f} a delivery; "
        f"{reads} GETs in all, what users asked for included",
    )
    assert checked > USERS
    assert post.dropped
    assert len(crowd.done) == DEEDS, crowd.done
