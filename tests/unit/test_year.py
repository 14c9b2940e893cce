"""A year of many users: whatever arrives, and however, the true state is known.

The sandbox is the truth. Its events arrive doubled, shuffled, days late, and one in
twenty not at all, if a later one about the same thing exists. Users change plans,
subscribe to a second product, cancel, let trials pass, and have cards that fail and are
replaced. Outside this service money is refunded, or a refund fails, things are sold
once, items are added, cards are changed, and customers are deleted.
"""

import random
from collections import deque
from collections.abc import Callable
from datetime import timedelta
from enum import StrEnum

import pytest

from payments_core.identity import UserId
from support.crowd import Crowd, Post, catch_up, compare, work
from support.deployment import BEGINNING, Deployment
from support.profiles import PROVES

# In `make test` enough for each kind of deed.
USERS = 200 if PROVES else 80
DAYS = 366


class Way(StrEnum):
    """How events arrive."""

    SNAPSHOTS = "snapshots"
    THIN = "thin"
    # As snapshots, many of them lost, whatever their contents; back-fill finds those.
    LOST = "lost"


YEARS = [(seed, Way.SNAPSHOTS) for seed in range(5 if PROVES else 1)]
YEARS += [(0, Way.THIN), (0, Way.LOST)] * PROVES
# The share that is lost for good, and how often back-fill runs.
LOST = 0.5
BACK_FILL_DAYS = 4
# Each kind of deed is done at least once.
DEEDS = 11


async def _year(seed: int, way: Way) -> tuple[Deployment, Post, Crowd, int]:
    dice = random.Random(seed)  # noqa: S311  # a seed's
    checked = 0
    async with Deployment.opened(seed=seed) as deployment:
        other = deployment.api.price(500)["id"]
        post = Post(deployment, dice, thin_events=way is Way.THIN)
        if way is Way.LOST:
            post.lost = post.needless_lost = LOST
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
            if day % BACK_FILL_DAYS == 0:
                await _back_fill(deployment, way)
            await work(deployment)
            if deployment.clock.now.month != month:
                month = deployment.clock.now.month
                await catch_up(deployment, post, day)
                await _back_fill(deployment, way)
                await work(deployment)
                checked += await compare(deployment, crowd.owners, (seed, day))
        return deployment, post, crowd, checked


async def _back_fill(deployment: Deployment, way: Way) -> None:
    """Read on in the list of events, to its end."""
    while way is Way.LOST and await deployment.back_fill():
        continue


@pytest.mark.anyio
@pytest.mark.starts_first
@pytest.mark.parametrize(("seed", "way"), YEARS)
async def test_p01_p26_p27_a_year_of_subscriptions_is_known_at_every_months_end(
    seed: int,
    way: Way,
    record_property: Callable[[str, object], None],
) -> None:
    """
    For every user the status, the date and the entitlement are the gateway's truth;
    also if events say only which object changed, or if half of them never arrive and
    are read from the list every few days.
    """
    deployment, post, crowd, checked = await _year(seed, way)
    looks, reads = deployment.looks, deployment.line.reads.total()
    record_property(
        "figure",
        f"a year of {USERS} users (seed {seed}, {way}): "
        f"{checked} standings compared, "
        f"{post.delivered} deliveries, {post.dropped} events dropped, "
        f"{looks} looks: {looks / post.delivered:.2f} a delivery; "
        f"{reads} GETs in all, what users asked for included",
    )
    assert checked > USERS
    assert post.dropped
    assert len(crowd.done) == DEEDS, crowd.done
