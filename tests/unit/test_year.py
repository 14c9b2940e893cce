"""A year of 200 subscriptions: whatever arrives, and however, we know the truth.

The sandbox is the truth. Its events come doubled, shuffled, days late, and one in
twenty not at all, where a later one about the same thing exists. Users change plans,
cancel, let trials pass, and have cards that fail and are replaced, here or elsewhere.
"""

import json
import random
from collections import deque
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import attrs
import pytest

from payments_adapters.stripe import translate
from payments_core.entitlement import PaymentStatus
from payments_core.errors import PaymentsError
from payments_core.identity import UserId
from payments_core.use_cases import Change, Order
from payments_sandbox.resources.endpoints import shown
from payments_sandbox.state import World
from support.deployment import BEGINNING, Deployment, admin, caller_of
from support.profiles import PROVES

USERS = 200
DAYS = 366
SEEDS = range(5 if PROVES else 1)
LATE_DAYS_MAX = 3
DOUBLED = 0.3
DROPPED = 0.05
BATCH = 32
GRACE = timedelta(days=3)
ENDED = {"canceled", "incomplete_expired"}
GONE_WRONG = {"past_due", "unpaid"}
NEVER_LIVED = {"incomplete", "incomplete_expired"}


@attrs.define
class Post:
    """Carries the gateway's events to us, badly."""

    deployment: Deployment
    dice: random.Random
    _seen: int = 0
    _bag: list[tuple[int, Any]] = attrs.field(factory=list)
    _latest: dict[str, int] = attrs.field(factory=dict)
    delivered: int = 0
    dropped: int = 0

    def collect(self, day: int) -> None:
        """Put what happened since into the bag, each thing with a day to come out."""
        events = list(self.deployment.engine.world.events.values())
        for number, event in enumerate(events[self._seen :], self._seen):
            late = self.dice.randint(0, LATE_DAYS_MAX)
            whole = shown(self.deployment.engine.world, event)
            self._latest[_object_of(whole)] = number
            self._bag.append((day + late, (number, whole)))
        self._seen = len(events)

    async def deliver(self, day: int) -> None:
        due = [it for when, it in self._bag if when <= day]
        self._bag = [(when, it) for when, it in self._bag if when > day]
        self.dice.shuffle(due)
        letters = []
        for number, whole in due:
            newer = self._latest[_object_of(whole)] > number
            if newer and self.dice.random() < DROPPED:
                self.dropped += 1
                continue
            times = 2 if self.dice.random() < DOUBLED else 1
            letters += [translate(json.dumps(whole).encode())] * times
        self.dice.shuffle(letters)
        for start in range(0, len(letters), BATCH):
            await self.deployment.apply(letters[start : start + BATCH])
        self.delivered += len(letters)


def _object_of(event: Any) -> str:
    thing, before = event["data"]["object"], event["data"].get("previous_attributes")
    # A customer's balance says nothing of their card.
    what = "card of" if "invoice_settings" in (before or {}) else ""
    return f"{what} {thing['object']} {thing['id']}"


# What is true, by the gateway's own books


def _moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


@attrs.frozen
class PrepaidMonths:
    """What a paid invoice covers."""

    start: datetime
    end: datetime


def _true_date(terms: Sequence[datetime], subscriptions: Sequence[Any]) -> Any:
    trials = [
        _moment(min(it["trial_end"], it["ended_at"] or it["trial_end"]))
        for it in subscriptions
        if it["trial_end"] and it["status"] not in NEVER_LIVED
    ]
    return max([*terms, *trials], default=None)


def _true_status(
    subscriptions: Sequence[Any], charges: Sequence[Any], terms: Sequence[PrepaidMonths]
) -> PaymentStatus:
    statuses = {it["status"] for it in subscriptions}
    if statuses & GONE_WRONG:
        return PaymentStatus.FAILED
    if "incomplete" in statuses:
        return PaymentStatus.PENDING
    living = [it for it in subscriptions if it["status"] not in ENDED]
    # An invoice may be paid without a charge: by what was credited before.
    told = [(term.start, 1) for term in terms]
    for charge in charges:
        paid = charge["status"] == "succeeded"
        if paid or not any(charge["created"] >= it["created"] for it in living):
            told.append((_moment(charge["created"]), int(paid)))
    if not told:
        return PaymentStatus.NONE
    return PaymentStatus.PAID if max(told)[1] else PaymentStatus.FAILED


def _true_card(world: World, customer: Any, subscriptions: Sequence[Any]) -> Any:
    """Return id and expiry of the card that pays: the default, or the newest one's."""
    living = [it for it in subscriptions if it["status"] not in ENDED]
    pinned = [
        (it["created"], it["id"], it["default_payment_method"])
        for it in living
        if it["default_payment_method"]
    ]
    id_ = customer["invoice_settings"]["default_payment_method"]
    if id_ is None and pinned:
        id_ = max(pinned)[2]
    return id_ and (id_, world.get("payment_method", id_)["card"]["exp_year"])


@attrs.frozen
class Truth:
    status: PaymentStatus
    date: datetime | None
    entitled: bool
    card: Any


def _truths(deployment: Deployment) -> dict[UserId, Truth]:
    world, now = deployment.engine.world, deployment.clock.now
    by_subscription: dict[str, list[PrepaidMonths]] = {}
    for invoice in world.all("invoice"):
        if invoice["status"] != "paid":
            continue
        for line in invoice["lines"]["data"]:
            details = line["parent"]["subscription_item_details"]
            if line["amount"] > 0 and details and not details["proration"]:
                period = line["period"]
                by_subscription.setdefault(line["subscription"], []).append(
                    PrepaidMonths(_moment(period["start"]), _moment(period["end"]))
                )
    charges: dict[str, list[Any]] = {}
    for charge in world.all("charge"):
        charges.setdefault(charge["customer"], []).append(charge)
    subscriptions: dict[str, list[Any]] = {}
    for it in world.all("subscription"):
        subscriptions.setdefault(it["customer"], []).append(it)
    truths = {}
    for customer in world.all("customer"):
        mine = subscriptions.get(customer["id"], [])
        terms = [term for it in mine for term in by_subscription.get(it["id"], [])]
        date = _true_date([term.end for term in terms], mine)
        truths[UserId(customer["metadata"]["user_id"])] = Truth(
            _true_status(mine, charges.get(customer["id"], []), terms),
            date,
            date is not None and now < date + GRACE,
            _true_card(world, customer, mine),
        )
    return truths


# What users do


@attrs.define
class Crowd:
    """Users who subscribe, change their minds, and have cards of their own."""

    deployment: Deployment
    dice: random.Random
    users: list[UserId] = attrs.field(factory=list)

    async def arrive(self, user: UserId) -> None:
        await self.deployment.register(user)
        self.users.append(user)
        await self._update_card(user)
        await self._start(user)

    async def live_a_day(self) -> None:
        for user in self.dice.sample(self.users, len(self.users) // 20):
            deed = self.dice.choice(
                [
                    self._change,
                    self._change,
                    self._cancel,
                    self._start,
                    self._lose_card,
                    self._update_card,
                    self._change_card_elsewhere,
                ]
            )
            try:
                await deed(user)
            except PaymentsError:
                # Not now: nothing to change, nothing to begin.
                continue

    async def _start(self, user: UserId) -> None:
        order = Order(
            price=self.dice.choice([self.deployment.basic, self.deployment.pro]),
            trial_days=self.dice.choice([None, None, 7, 14]),
        )
        await self.deployment.start(user, order, caller=admin(), key=None)

    async def _change(self, user: UserId) -> None:
        for it in (await self.deployment.account(user)).subscriptions:
            if not it.is_terminal:
                change = Change(
                    price=self.dice.choice(
                        [self.deployment.basic, self.deployment.pro]
                    ),
                    quantity=self.dice.randint(1, 3),
                )
                await self.deployment.change(
                    user, it.id, change, caller=admin(), key=None
                )

    async def _cancel(self, user: UserId) -> None:
        for it in (await self.deployment.account(user)).subscriptions:
            if not it.is_terminal:
                await self.deployment.end(
                    user,
                    it.id,
                    at_period_end=self.dice.random() < 0.6,
                    caller=caller_of(user),
                    key=None,
                )

    async def _lose_card(self, user: UserId) -> None:
        card = (await self.deployment.account(user)).card
        if card is not None:
            self.deployment.decline(card.id)

    async def _update_card(self, user: UserId) -> None:
        caller = caller_of(user)
        await self.deployment.update_card(user, "pm_card_visa", caller=caller, key=None)

    async def _change_card_elsewhere(self, user: UserId) -> None:
        """Choose another card in the portal, or lose, correct or renew one there."""
        [customer] = self.deployment.customers_of(user)
        card, api = (await self.deployment.account(user)).card, self.deployment.api
        what = self.dice.choice(["choose", "choose", "detach", "correct", "renew"])
        if what == "choose" or card is None:
            api.give_card(customer, "pm_card_mastercard")
        elif what == "detach":
            api.post(f"payment_methods/{card.id}/detach")
        elif what == "correct":
            api.post(f"payment_methods/{card.id}", card={"exp_year": card.exp_year + 1})
        else:
            self.deployment.engine.reissue_card(card.id)


async def _year(seed: int) -> tuple[Deployment, Post, int]:
    dice = random.Random(seed)  # noqa: S311  # a seed's
    checked = 0
    async with Deployment.opened(seed=seed) as deployment:
        post, crowd = Post(deployment, dice), Crowd(deployment, dice)
        coming = deque(UserId(f"user-{number}") for number in range(USERS))
        month = BEGINNING.month
        for day in range(DAYS):
            for _ in range(min(len(coming), 4)):
                await crowd.arrive(coming.popleft())
            await crowd.live_a_day()
            await deployment.advance(timedelta(days=1))
            post.collect(day)
            await post.deliver(day)
            await _work(deployment)
            if deployment.clock.now.month != month:
                month = deployment.clock.now.month
                await _catch_up(deployment, post, day)
                checked += await _compare(deployment, (seed, day))
        return deployment, post, checked


async def _work(deployment: Deployment) -> None:
    """Let the worker do what is due, and what falls due within the minute."""
    await deployment.work()
    deployment.clock.advance(timedelta(minutes=1))
    await deployment.work()


async def _catch_up(deployment: Deployment, post: Post, day: int) -> None:
    """Let everything arrive that is under way; the gateway's clock stands still."""
    post.collect(day)
    await post.deliver(day + LATE_DAYS_MAX)
    await _work(deployment)


async def _compare(deployment: Deployment, where: object) -> int:
    truths = _truths(deployment)
    for user, truth in truths.items():
        account = await deployment.account(user)
        ours = account.standing(now=deployment.clock.now, policy=deployment.policy)
        card = account.card
        known = Truth(
            ours.payment_status,
            ours.payment_expire_date,
            ours.entitled,
            card and (card.id, card.exp_year),
        )
        assert known == truth, (where, user, deployment.subscriptions_of(user))
    return len(truths)


@pytest.mark.anyio
@pytest.mark.starts_first
@pytest.mark.parametrize("seed", SEEDS)
async def test_p01_p26_p27_a_year_of_subscriptions_is_known_at_every_months_end(
    seed: int, record_property: Callable[[str, object], None]
) -> None:
    """
    For every user the status, the date, the entitlement and the card that is shown are
    the gateway's truth.
    """
    deployment, post, checked = await _year(seed)
    looks, reads = deployment.looks, deployment.line.reads.total()
    record_property(
        "figure",
        f"a year of {USERS} users (seed {seed}): {checked} standings compared, "
        f"{post.delivered} deliveries, {post.dropped} events dropped, "
        f"{looks} looks: {looks / post.delivered:.2f} a delivery; "
        f"{reads} GETs in all, what users asked for included",
    )
    assert checked > USERS
    assert post.dropped
