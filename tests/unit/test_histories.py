"""Seeded histories, of which anything may be lost: a sweep knows the truth.

The truth is derived from the sandbox's own objects, by the rules of docs/domain.md.
What is lost is one event in twenty, or all for some days, or all that ever was.
"""

import random
from collections import Counter
from collections.abc import Callable
from datetime import timedelta

import pytest

from payments_core.identity import UserId
from payments_core.jobs import Finding
from support.crowd import Crowd, Post, catch_up, compare, work
from support.deployment import Deployment
from support.profiles import PROVES
from support.reconciling import Story, reconciling

SHARES = 8
# So many of a share in the suite; all of them are resumable by their seed.
HISTORIES = 20_000 // SHARES if PROVES else 304 // SHARES
DAYS = (25, 75) if PROVES else (15, 45)
ACTIVITY = 0.12


async def _lived(story: Story, dice: random.Random) -> tuple[Crowd, Post]:
    """Let one or two users live for some weeks, and lose some of it."""
    deployment = story.deployment
    other = deployment.api.price(500)["id"]
    post = Post(deployment, dice, thin_events=dice.random() < 0.2)
    crowd = Crowd(deployment, dice, other)
    days = dice.randint(*DAYS)
    how = dice.choice(["some", "some", "days", "all"])
    outage = range(begins := dice.randrange(days), begins + dice.randint(1, 40))
    for day in range(days):
        if day in {0, 3} and len(crowd.users) < 2:
            await crowd.arrive(UserId(f"user-{day}"))
        await crowd.do([it for it in crowd.users if dice.random() < ACTIVITY])
        await deployment.advance(timedelta(days=1))
        is_down = how == "all" or (how == "days" and day in outage)
        post.lost = post.needless_lost = 1.0 if is_down else 0.05
        post.collect(day)
        await post.deliver(day)
        await work(deployment)
    await catch_up(deployment, post, days)
    return crowd, post


@pytest.mark.anyio
@pytest.mark.parametrize("share", range(SHARES))
async def test_p26_p27_f39_f40_f41_after_a_sweep_all_is_known(
    share: int, record_property: Callable[[str, object], None]
) -> None:
    """
    Status, date, entitlement, card; and a second sweep finds nothing.
    """
    found, lost, users = Counter[str](), 0, 0
    for number in range(HISTORIES):
        seed = share * HISTORIES + number
        dice = random.Random(seed)  # noqa: S311  # a seed's
        async with (
            Deployment.opened(seed=seed) as deployment,
            reconciling(deployment) as story,
        ):
            crowd, post = await _lived(story, dice)
            findings = await story.sweep(repairs=True)
            await work(deployment)
            users += await compare(deployment, crowd.owners, seed)
            again = await story.sweep()
            assert again == list[Finding](), (seed, again)
            found.update(it.drift.kind.value for it in findings)
            lost += post.dropped
    record_property(
        "figure",
        f"histories, share {share}: {HISTORIES} of {users} users, {lost} events lost, "
        f"{found.total()} differences found",
    )
    assert lost
    assert found
