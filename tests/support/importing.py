"""A sandbox with a history that the service does not know, and its customers."""

import json
import random
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

import attrs

from payments_adapters.memory import MemoryDatabase
from payments_adapters.stripe import translate
from payments_core.account import PaymentAccount
from payments_core.by_hand import ByHand
from payments_core.identity import CustomerId, Email, UserId
from payments_core.jobs import (
    ImportCustomers,
    ImportRow,
    Patience,
    ReadHistory,
    RowResult,
)
from payments_core.jobs.import_customers import BATCH
from payments_core.subscription import Subscription, SubscriptionReport
from payments_sandbox.resources.endpoints import shown as event_shown
from support.crowd import Crowd, Post, catch_up, work
from support.deployment import Deployment
from support.reconciling import Story, no_wait

BY: Final = ByHand(by="operator", reason="imported from customers.csv")


@attrs.frozen
class Before:
    """State known by webhooks alone, which is now lost.

    `besides` are users about whom the gateway does not report everything: with a
    deleted customer, or with a second item of the same second as the first, so that
    nothing shows which was ordered here. `disputed` says whether the bank took any
    payment back.
    """

    accounts: Mapping[UserId, PaymentAccount]
    owners: Mapping[str, UserId]
    besides: frozenset[UserId]
    rows: Sequence[ImportRow]
    disputed: bool


async def lived(deployment: Deployment, dice: random.Random, *, users: int) -> Before:
    """Let users live for some weeks, and delete all that was received about them.

    In every other sandbox no metadata name the owner, as before the service existed.
    """
    other = deployment.api.price(500)["id"]
    crowd = Crowd(deployment, dice, other)
    post, days = Post(deployment, dice, needless_lost=0.0), dice.randint(35, 65)
    for day in range(days):
        if day % 3 == 0 and len(crowd.users) < users:
            await crowd.arrive(UserId(f"user-{day}"))
        await crowd.do([it for it in crowd.users if dice.random() < 0.12])
        if dice.random() < 0.05:
            _dispute(deployment, dice)
        await deployment.advance(timedelta(days=1))
        post.collect(day)
        await post.deliver(day)
        await work(deployment)
    await catch_up(deployment, post, days)
    accounts = {it: await deployment.account(it) for it in crowd.users}
    deployment.database = MemoryDatabase()
    rows = rows_of(deployment, crowd.owners)
    there = {it.customer_id for it in rows}
    besides = {user for id_, user in crowd.owners.items() if id_ not in there}
    for it in deployment.engine.world.all("subscription"):
        made = [item["created"] for item in it["items"]["data"]]
        if len(set(made)) < len(made):
            besides.add(crowd.owners[it["customer"]])
    if dice.random() < 0.5:
        for kind in ("customer", "subscription"):
            for it in deployment.engine.world.all(kind):
                it["metadata"].clear()
    disputed = bool(deployment.engine.world.all("dispute"))
    return Before(accounts, crowd.owners, frozenset(besides), rows, disputed)


async def overheard(deployment: Deployment, dice: random.Random) -> None:
    """Deliver half of all events, in any order, before an import."""
    world = deployment.engine.world
    happened = [it for it in world.events.values() if dice.random() < 0.5]
    dice.shuffle(happened)
    for event in happened:
        body = json.dumps(event_shown(world, event)).encode()
        await deployment.apply([translate(body)])
    await work(deployment)


def _dispute(deployment: Deployment, dice: random.Random) -> None:
    """Make a single sale, and dispute it, maybe for good."""
    there: list[Any] = deployment.engine.world.all("customer")
    if not there:
        return
    deployment.api.post(
        "payment_intents",
        amount=500,
        currency="eur",
        customer=dice.choice(there)["id"],
        payment_method="pm_card_createDispute",
        confirm=True,
        off_session=True,
    )
    if dice.random() < 0.5:
        latest = deployment.engine.world.all("dispute")[-1]
        deployment.api.post(f"disputes/{latest['id']}/close")


def rows_of(deployment: Deployment, owners: Mapping[str, UserId]) -> list[ImportRow]:
    """Return a row for each existing customer with a user."""
    all_ = [it["id"] for it in deployment.engine.world.all("customer")]
    there = [it for it in all_ if it in owners]
    return [
        ImportRow(
            number=number,
            user_id=owners[id_],
            email=Email.of(f"{owners[id_]}@example.com"),
            customer_id=CustomerId(id_),
        )
        for number, id_ in enumerate(there, 2)
    ]


def importer(story: Story) -> ImportCustomers:
    return ImportCustomers(ReadHistory(story.reconcile, Patience(sleep=no_wait)))


async def imported(story: Story, rows: Sequence[ImportRow]) -> list[RowResult]:
    """Import rows, batch by batch."""
    run, results = importer(story), list[RowResult]()
    for start in range(0, len(rows), BATCH):
        results += await run(rows[start : start + BATCH], BY)
    return results


def shown(account: PaymentAccount, deployment: Deployment) -> tuple[object, ...]:
    """Return the answers about an account."""
    now, policy = deployment.clock.now, deployment.policy
    return (
        account.standing(now=now, policy=policy),
        account.card,
        account.customer_id,
        {it.gateway_id: (_said(it), it.paid_period) for it in account.subscriptions},
    )


def _said(subscription: Subscription) -> SubscriptionReport:
    """Return a subscription's fields, without marks, or a card after its end."""
    report = attrs.evolve(subscription.report, metadata_user_id=None, intent_id=None)
    if subscription.is_terminal:
        return attrs.evolve(report, pinned_card=None)
    return report
