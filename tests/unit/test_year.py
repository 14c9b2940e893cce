"""A year of 200 users: whatever arrives, and however, we know the truth.

The sandbox is the truth. Its events come doubled, shuffled, days late, and one in
twenty not at all, where a later one about the same thing exists. Users change plans,
subscribe to a second product, cancel, let trials pass, and have cards that fail and are
replaced. Beside us money is given back, or is not after all, things are sold once,
items are added, cards are changed, and customers are deleted.
"""

import json
import random
from collections import Counter, deque
from collections.abc import Callable
from datetime import timedelta
from enum import StrEnum
from typing import Any

import attrs
import pytest

from payments_adapters.stripe import translate
from payments_core.errors import AccountNotFound, PaymentsError
from payments_core.identity import UserId
from payments_core.use_cases import Change, Order
from payments_sandbox.resources.endpoints import shown
from payments_sandbox.thin_events import thin
from support.deployment import BEGINNING, Deployment, admin, caller_of
from support.profiles import PROVES
from support.sandbox import Refused
from support.year_truth import GatewayRecords, Truth

USERS = 200
DAYS = 366


class Way(StrEnum):
    """How events come."""

    SNAPSHOTS = "snapshots"
    THIN = "thin"
    # As snapshots, of which many are lost, whatever they say; back-fill finds those.
    LOST = "lost"


YEARS = [(seed, Way.SNAPSHOTS) for seed in range(5 if PROVES else 1)]
YEARS += [(0, Way.THIN), (0, Way.LOST)] * PROVES
LATE_DAYS_MAX = 3
# Of those that are lost for good, and how often back-fill comes.
LOST = 0.5
BACK_FILL_DAYS = 4
# Each kind of deed is done at least once.
DEEDS = 11
DOUBLED = 0.3
DROPPED = 0.05
BATCH = 32
CARDS = ["pm_card_visa", "pm_card_mastercard", "pm_card_refundFail"]


@attrs.define
class Post:
    """Carries the gateway's events to us, badly."""

    deployment: Deployment
    dice: random.Random
    way: Way
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
            letter = thin(event) if self.way is Way.THIN else whole
            self._latest[_object_of(whole)] = number
            self._bag.append((day + late, (number, whole, letter)))
        self._seen = len(events)

    async def deliver(self, day: int) -> None:
        due = [it for when, it in self._bag if when <= day]
        self._bag = [(when, it) for when, it in self._bag if when > day]
        self.dice.shuffle(due)
        letters = []
        for number, whole, letter in due:
            newer = self._latest[_object_of(whole)] > number
            rate = LOST if self.way is Way.LOST else DROPPED * newer
            if rate and self.dice.random() < rate:
                self.dropped += 1
                continue
            times = 2 if self.dice.random() < DOUBLED else 1
            letters += [translate(json.dumps(letter).encode())] * times
        self.dice.shuffle(letters)
        for start in range(0, len(letters), BATCH):
            await self.deployment.apply(letters[start : start + BATCH])
        self.delivered += len(letters)


def _object_of(event: Any) -> str:
    thing, before = event["data"]["object"], event["data"].get("previous_attributes")
    # A customer's balance says nothing of their card.
    what = "card of" if "invoice_settings" in (before or {}) else ""
    return f"{what} {thing['object']} {thing['id']}"


# What users do


@attrs.define
class Crowd:
    """Users who change their minds, and somebody who works in the dashboard."""

    deployment: Deployment
    dice: random.Random
    other: str
    users: list[UserId] = attrs.field(factory=list)
    # Whose each customer is, the deleted ones too.
    owners: dict[str, UserId] = attrs.field(factory=dict)
    done: Counter[str] = attrs.field(factory=Counter)

    async def arrive(self, user: UserId) -> None:
        await self.deployment.register(user)
        self.users.append(user)
        await self._update_card(user)
        await self._start(user)
        self._note_customers()

    def _note_customers(self) -> None:
        for it in self.deployment.engine.world.all("customer"):
            self.owners[it["id"]] = UserId(it["metadata"]["user_id"])

    async def live_a_day(self) -> None:
        for user in self.dice.sample(self.users, len(self.users) // 20):
            deed = self.dice.choice(
                [
                    *(self._change, self._change, self._cancel, self._start),
                    *(self._lose_card, self._update_card, self._start_another),
                    *(self._give_back, self._give_back, self._sell_once),
                    *(self._add_item, self._change_card_elsewhere, self._delete),
                ]
            )
            try:
                await deed(user)
            except (PaymentsError, Refused):
                # Not now: nothing to change, nothing to begin.
                continue
            self.done[deed.__name__] += 1
        self._note_customers()

    # In the dashboard

    def _customer(self, user: UserId) -> str:
        customers = self.deployment.customers_of(user)
        if not customers:
            raise AccountNotFound
        return customers[0]

    def _open(self, user: UserId) -> list[Any]:
        subscriptions = self.deployment.subscriptions_of(user)
        return [it for it in subscriptions if it["status"] == "active"]

    async def _give_back(self, user: UserId) -> None:
        """Give back what was taken, in full or in part; the bank may not take it."""
        api, customer = self.deployment.api, self._customer(user)
        charges = [
            it
            for it in self.deployment.engine.world.all("charge")
            if it["customer"] == customer and it["status"] == "succeeded"
        ]
        if not charges:
            raise AccountNotFound
        charge = self.dice.choice(charges[-3:])
        whole = charge["amount"] - charge["amount_refunded"]
        amount = whole if self.dice.random() < 0.7 else min(whole, 100)
        api.post("refunds", charge=charge["id"], amount=amount)

    async def _sell_once(self, user: UserId) -> None:
        """Sell something beside a subscription that is paid; maybe give it back."""
        [subscription, *_] = self._open(user) or [None]
        customer = self._customer(user)
        if subscription is None:
            raise AccountNotFound
        api = self.deployment.api
        settings = api.get(f"customers/{customer}")["invoice_settings"]
        intent = api.post(
            "payment_intents",
            amount=500,
            currency="eur",
            customer=customer,
            payment_method=settings["default_payment_method"],
            confirm=True,
            off_session=True,
        )
        if self.dice.random() < 0.5:
            api.post("refunds", charge=intent["latest_charge"])

    async def _add_item(self, user: UserId) -> None:
        for it in self._open(user):
            if len(it["items"]["data"]) == 1:
                self.deployment.api.post(
                    f"subscriptions/{it['id']}", items=[{"price": self.other}]
                )

    async def _change_card_elsewhere(self, user: UserId) -> None:
        """Choose another card in the portal, or lose, correct or renew one there."""
        api, customer = self.deployment.api, self._customer(user)
        settings = api.get(f"customers/{customer}")["invoice_settings"]
        card = settings["default_payment_method"]
        what = self.dice.choice(["choose", "choose", "detach", "correct", "renew"])
        if what == "choose" or card is None:
            api.give_card(customer, self.dice.choice(CARDS))
        elif what == "detach":
            api.post(f"payment_methods/{card}/detach")
        elif what == "correct":
            year = api.get(f"payment_methods/{card}")["card"]["exp_year"]
            api.post(f"payment_methods/{card}", card={"exp_year": year + 1})
        else:
            self.deployment.engine.reissue_card(card)

    async def _delete(self, user: UserId) -> None:
        if self.dice.random() < 0.5:
            raise AccountNotFound
        self.deployment.api.delete(f"customers/{self._customer(user)}")

    # By themselves

    async def _start_another(self, user: UserId) -> None:
        order = Order(price=self.other)
        await self.deployment.start(user, order, caller=admin(), key=None)

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
        card = self.dice.choice(CARDS)
        await self.deployment.update_card(user, card, caller=caller, key=None)


async def _year(seed: int, way: Way) -> tuple[Deployment, Post, Crowd, int]:
    dice = random.Random(seed)  # noqa: S311  # a seed's
    checked = 0
    async with Deployment.opened(seed=seed) as deployment:
        other = deployment.api.price(500)["id"]
        post = Post(deployment, dice, way)
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
            await _work(deployment)
            if deployment.clock.now.month != month:
                month = deployment.clock.now.month
                await _catch_up(deployment, post, day)
                checked += await _compare(deployment, crowd.owners, (seed, day))
        return deployment, post, crowd, checked


async def _work(deployment: Deployment) -> None:
    """Let the worker do what is due, and what falls due within the minute."""
    await deployment.work()
    deployment.clock.advance(timedelta(minutes=1))
    await deployment.work()


async def _back_fill(deployment: Deployment, way: Way) -> None:
    """Read on in the list of events, to its end."""
    while way is Way.LOST and await deployment.back_fill():
        continue


async def _catch_up(deployment: Deployment, post: Post, day: int) -> None:
    """Let everything arrive that is under way; the gateway's clock stands still."""
    post.collect(day)
    await post.deliver(day + LATE_DAYS_MAX)
    await _back_fill(deployment, post.way)
    await _work(deployment)


async def _compare(
    deployment: Deployment, owners: dict[str, UserId], where: object
) -> int:
    records, now = GatewayRecords(deployment.engine.world, owners), deployment.clock.now
    users = set(owners.values())
    for user in sorted(users):
        account = await deployment.account(user)
        ours = account.standing(now=now, policy=deployment.policy)
        known = Truth(
            ours.payment_status,
            ours.payment_expire_date,
            ours.entitled,
            (account.card.id, account.card.exp_year) if account.card else None,
        )
        truth = records.truth_of(user, now)
        assert known == truth, (where, user, deployment.subscriptions_of(user))
    return len(users)


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
    also if all that events say is which object changed, or if half of them never come
    and are read from the list every few days.
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
