"""Users who change their minds over a long time, and how their events arrive.

Cards, plans, a second product, trials; and independently of us refunds that fail or
succeed, single sales, added items, changed cards, deleted customers.
"""

import json
import random
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from datetime import timedelta
from typing import Any

import attrs

from payments_adapters.stripe import translate
from payments_core.errors import AccountNotFound, PaymentsError
from payments_core.events import GatewayEvent
from payments_core.identity import UserId
from payments_core.subscription import SubscriptionReport
from payments_core.use_cases import Change, Order
from payments_sandbox.api_versions import NEWEST, knows
from payments_sandbox.state import Event
from payments_sandbox.thin_events import thin
from payments_sandbox.webhook_delivery import payload
from support.deployment import Deployment, admin, caller_of
from support.sandbox import Refused
from support.year_truth import GatewayRecords, KnownSubscription, Truth

LATE_DAYS_MAX = 3
DOUBLED = 0.3
DROPPED = 0.05
BATCH = 32
CARDS = ["pm_card_visa", "pm_card_mastercard", "pm_card_refundFail"]


@attrs.define
class Post:
    """Delivers the gateway's events to the service, badly."""

    deployment: Deployment
    dice: random.Random
    thin_events: bool = False
    version: str = NEWEST
    # How many arrive again as an event with another id.
    twinned: float = 0.0
    late_days: int = LATE_DAYS_MAX
    # The share of lost events: of those that a later event replaces, and of all others.
    needless_lost: float = DROPPED
    lost: float = 0.0
    _seen: int = 0
    _bag: list[tuple[int, tuple[int, Event]]] = attrs.field(factory=list)
    _latest: dict[str, int] = attrs.field(factory=dict)
    # Events that arrived at least once, duplicates too, and how often one arrived.
    heard: int = 0
    delivered: int = 0
    dropped: int = 0

    def collect(self, day: int) -> None:
        """Queue new events, each with a day on which it is delivered."""
        events = list(self.deployment.engine.world.events.values())
        for number, event in enumerate(events[self._seen :], self._seen):
            late = self.dice.randint(0, self.late_days)
            if not knows(self.version, event.type):
                continue
            self._latest[_object_of(event)] = number
            self._bag.append((day + late, (number, event)))
        self._seen = len(events)

    def give_up(self) -> int:
        """Lose the new events for good; return how many."""
        before, self._seen = self._seen, len(self.deployment.engine.world.events)
        return self._seen - before

    def _letters(self, event: Event) -> Iterator[bytes]:
        world = self.deployment.engine.world
        sent = [event] * (2 if self.dice.random() < DOUBLED else 1)
        if self.twinned and self.dice.random() < self.twinned:
            sent.append(attrs.evolve(event, id=f"{event.id}_twin"))
        for it in sent:
            if self.thin_events:
                yield json.dumps(thin(it)).encode()
            else:
                yield payload(world, it, self.version)

    async def deliver(self, day: int) -> None:
        due = [it for when, it in self._bag if when <= day]
        self._bag = [(when, it) for when, it in self._bag if when > day]
        self.dice.shuffle(due)
        letters = list[GatewayEvent]()
        for number, event in due:
            newer = self._latest[_object_of(event)] > number
            lost = self.needless_lost if newer else self.lost
            if self.dice.random() < lost:
                self.dropped += 1
                continue
            letters += map(translate, self._letters(event))
        self.dice.shuffle(letters)
        for start in range(0, len(letters), BATCH):
            await self.deployment.apply(letters[start : start + BATCH])
        self.delivered += len(letters)
        self.heard += len({it.id for it in letters})


def _object_of(event: Event) -> str:
    thing = event.object
    # A customer's balance says nothing of their card.
    what = "card of" if "invoice_settings" in (event.previous or {}) else ""
    return f"{what} {thing['object']} {thing['id']}"


# What users do


@attrs.define
class Crowd:
    """Users who change their minds, and a person who works in the dashboard."""

    deployment: Deployment
    dice: random.Random
    other: str
    users: list[UserId] = attrs.field(factory=list)
    # The owner of each customer, including deleted ones.
    owners: dict[str, UserId] = attrs.field(factory=dict)
    done: Counter[str] = attrs.field(factory=Counter)

    async def arrive(self, user: UserId) -> None:
        await self.deployment.register(user)
        self.users.append(user)
        await self._update_card(user)
        await self._start(user)
        self._note_customers()

    def _note_customers(self) -> None:
        self.owners |= owners_of(self.deployment)

    async def live_a_day(self) -> None:
        await self.do(self.dice.sample(self.users, len(self.users) // 20))

    async def do(self, users: Sequence[UserId], *, elsewhere: bool = False) -> None:
        """Let each of these act, if the action is possible.

        `elsewhere`: in the dashboard or the portal, as when the service cannot be
        reached.
        """
        here = [
            *(self._change, self._change, self._cancel, self._start),
            *(self._lose_card, self._update_card, self._start_another),
        ]
        there = [
            *(self._give_back, self._give_back, self._sell_once),
            *(self._add_item, self._change_card_elsewhere, self._delete),
        ]
        for user in users:
            deed = self.dice.choice(there if elsewhere else here + there)
            try:
                await deed(user)
            except (PaymentsError, Refused):
                # Not now: nothing to change or to begin.
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
        """Refund a payment, in full or in part; the bank may refuse the refund."""
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
        """Sell something besides a paid subscription; maybe refund it."""
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


async def work(deployment: Deployment) -> None:
    """Let the worker do what is due, and what becomes due within the minute."""
    await deployment.work()
    deployment.clock.advance(timedelta(minutes=1))
    await deployment.work()


async def catch_up(deployment: Deployment, post: Post, day: int) -> None:
    """Deliver everything under way; the gateway's clock stands still."""
    post.collect(day)
    await post.deliver(day + LATE_DAYS_MAX)
    await work(deployment)


def owners_of(deployment: Deployment) -> dict[str, UserId]:
    """Return the owner of each customer that the gateway has."""
    return {
        it["id"]: UserId(it["metadata"]["user_id"])
        for it in deployment.engine.world.all("customer")
    }


def _shown(report: SubscriptionReport) -> KnownSubscription:
    return KnownSubscription(
        id=report.gateway_id,
        status=report.status.value,
        price=report.price,
        quantity=report.quantity,
        period_end=report.period_end,
        cancel_at=report.cancel_at,
        cancel_at_period_end=report.cancel_at_period_end,
        ended_at=report.ended_at,
    )


async def compare(
    deployment: Deployment,
    owners: dict[str, UserId],
    where: object,
    *,
    besides: Collection[UserId] = (),
) -> int:
    records = GatewayRecords(deployment.engine.world, owners)
    users = {it for it in owners.values() if it not in besides}
    for user in sorted(users):
        known, truth = await known_and_true(deployment, records, user)
        assert known == truth, (where, user, deployment.subscriptions_of(user))
    return len(users)


async def known_and_true(
    deployment: Deployment, records: GatewayRecords, user: UserId
) -> tuple[Truth, Truth]:
    """Return what is stored about a user, and the truth by the gateway's objects."""
    now, account = deployment.clock.now, await deployment.account(user)
    ours = account.standing(now=now, policy=deployment.policy)
    known = Truth(
        ours.payment_status,
        ours.payment_expire_date,
        ours.entitled,
        (account.card.id, account.card.exp_year) if account.card else None,
        frozenset(_shown(it.report) for it in account.subscriptions),
    )
    return known, records.truth_of(user, now)
