"""The previous release and this one at once, on one database that this one migrated.

The previous release is checked out from the history and runs in today's environment.
`make prove` runs it; if the history exists and it cannot run, that is a failure.
"""

import os
import random
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

import anyio
import attrs
import httpx
import pytest

from contracts.examples import (
    ADA,
    CH_1,
    a_payment,
    a_record,
    an_account,
    email_of,
    in_trial,
)
from faults.deliveries import DEADLINE_S, Stripe, client
from payments_adapters.postgres.store import PostgresStore
from payments_core.entitlement import PaymentSummary
from payments_core.months import months_after
from support import databases
from support.events import SUCCEEDED, event, utc
from support.postgres_stores import stores_on
from support.profiles import only_in_prove
from support.service import (
    ServiceProcess,
    World,
    code_of,
    free_port,
    running,
    start,
)

pytestmark = [pytest.mark.anyio, only_in_prove]

# Tagged v0.1.0; by its commit, because a clone may have no tags.
PREVIOUS: Final = "f35a7f8760008988cc9627343b11238c6b9e229f"
ROOT: Final = Path(__file__).parents[2]
USERS: Final = 150
AGAIN_MAX: Final = 50
START: Final = utc(2015, 1, 31)
SEEDS: Final = range(3)


@pytest.fixture(scope="module")
def previous(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    if not (ROOT / ".git").exists() or shutil.which("git") is None:
        pytest.skip("no history here")
    folder = tmp_path_factory.mktemp("previous") / "release"
    git = ["git", "-C", str(ROOT), "worktree"]
    subprocess.run([*git, "add", "--detach", str(folder), PREVIOUS], check=True)
    try:
        yield folder
    finally:
        subprocess.run([*git, "remove", "--force", str(folder)], check=True)


@pytest.fixture
def both(
    postgres: str, template: str, previous: Path
) -> Iterator[Sequence[ServiceProcess]]:
    """Lend a process of this release, and one of the previous release."""
    with databases.copy_of(postgres, template) as dsn, running(World(dsn)) as [this]:
        old = start(this.world, release=previous)
        try:
            yield [this, old]
        finally:
            old.kill()


def _email(seed: int, user: int) -> str:
    return f"user-{seed}-{user}@example.com"


def _events(seed: int, user: int) -> list[dict[str, Any]]:
    """Return two unlinked months, and a partial refund of each."""
    events = []
    for month in range(2):
        number = f"{seed}_{user}_{month}"
        whose = {"receipt_email": _email(seed, user)}
        at = months_after(START, month)
        paid = event(SUCCEEDED, number, at=at, **whose)
        part = event(SUCCEEDED, number, at=at, amount_refunded=40, **whose)
        part |= {"id": f"evt_{number}_part", "type": "charge.refunded"}
        events += [paid, part]
    return events


async def _register(
    http: httpx.AsyncClient, service: ServiceProcess, seed: int, user: int
) -> None:
    """Register a user; retry while other saves conflict, as callers are told to."""
    headers = {"Authorization": f"Bearer {service.world.admin()}"}
    for _ in range(AGAIN_MAX):
        answer = await http.put(
            f"{service.url}/users/user-{seed}-{user}",
            json={"email": _email(seed, user)},
            headers=headers,
        )
        if answer.status_code != 503:
            answer.raise_for_status()
            return
    raise AssertionError("never registered")


async def _both(services: Sequence[ServiceProcess], seed: int) -> Stripe:
    dice = random.Random(seed)  # noqa: S311  # no secret
    events = [it for user in range(USERS) for it in _events(seed, user)]
    dice.shuffle(events)
    stripe = Stripe(events)
    async with client() as http, anyio.create_task_group() as work:
        work.start_soon(stripe.deliver, *services)
        for user in range(USERS):
            work.start_soon(_register, http, services[(user + seed) % 2], seed, user)
    return stripe


@pytest.mark.parametrize("seed", SEEDS)
async def test_f50_registrations_and_refunds_lose_nothing_between_two_releases(
    both: Sequence[ServiceProcess], seed: int
) -> None:
    """
    Each event is acknowledged once by either release; every payment is linked, counted,
    and known to be partly refunded.
    """
    dsn = both[0].world.database_url
    stripe = await _both(both, seed)

    assert set(stripe.statuses) <= {200, 503}
    assert Counter(stripe.acknowledged) == Counter(
        it["id"] for user in range(USERS) for it in _events(seed, user)
    )
    found = await databases.fetch(
        dsn, "select user_id, state, refunded_minor from payments"
    )
    assert len(found) == 2 * USERS
    assert [row for row in found if row["user_id"] is None] == []
    assert {(row["state"], row["refunded_minor"]) for row in found} == {
        ("partially_refunded", 40)
    }
    dates = await databases.fetch(
        dsn, "select distinct payment_expire_date from payment_accounts"
    )
    assert [row[0] for row in dates] == [months_after(START, 2)]


async def _begin_trial(dsn: str) -> None:
    """Let a user who paid in December begin a trial at the end of January."""
    paid = a_payment(at=START, email=email_of(ADA))
    trial = attrs.evolve(in_trial(), user_id=ADA)
    account = attrs.evolve(
        an_account(), subscriptions=(trial,), summary=PaymentSummary.replay([paid])
    )
    async with PostgresStore(dsn, 1).opened() as store:
        await stores_on(store).keep(
            account, payments=[a_record(paid, owner=ADA)], subscriptions=[trial]
        )


async def _stored_status(dsn: str) -> str:
    [(status,)] = await databases.fetch(
        dsn, "select payment_status from payment_accounts where user_id = $1", ADA
    )
    return str(status)


async def test_f50_a_trial_is_shown_by_this_release_and_read_by_the_one_before(
    both: Sequence[ServiceProcess],
) -> None:
    """
    The previous release uses its own word for it: it reads the account, and writes it
    for a webhook. After each of these this release says that it is a trial.
    """
    this, old = both
    dsn = this.world.database_url
    await _begin_trial(dsn)
    kept = await _stored_status(dsn)
    refunded = event(SUCCEEDED, "1", at=START, amount_refunded=100)
    refunded |= {"type": "charge.refunded"}
    refunded["data"]["object"]["id"] = CH_1
    paid = event(SUCCEEDED, "2", at=START, metadata={"user_id": ADA})

    told = []
    for service, body in ((old, refunded), (this, paid)):
        shown = [it.status(ADA)["payment_status"] for it in both]
        answer = service.post_event(body)
        told.append((shown, answer.status_code, await _stored_status(dsn)))

    assert kept == "trialing"
    assert told == [
        (["trialing", "paid"], 200, "refunded"),
        (["trialing", "refunded"], 200, "trialing"),
    ]


# Rows of the previous release, which the migration processes.
OLD_ROWS: Final = 30_000
PAYERS: Final = 100
# From 2015 on, so that none of them is in the future.
MONTHS_MAX: Final = 140
BEFORE: Final = 200
AFTER: Final = 400
# As a Job retries when it cannot get a lock.
TRIES_MAX: Final = 6
_FILLED: Final = """
insert into {table} select (jsonb_populate_record(
    null::{table},
    to_jsonb(one) || jsonb_build_object(
        'id', 'old_' || n, 'user_id', null, 'email_key', null, 'customer_id', null
    )
)).* from (select * from {table} limit 1) as one, generate_series(1, {count}) as n
"""


def _run_payments(
    world: World, *words: str, release: Path | None = None
) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "payments_service", *words],
        env={**os.environ, **world.env(free_port(), free_port()), **code_of(release)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@attrs.define
class _Payments:
    """Months of payers, one after the other, as many as are requested."""

    stripe: Stripe = attrs.field(init=False)
    sent: int = 0
    wanted: int = BEFORE
    goes_on: bool = False
    reached: anyio.Event = attrs.field(factory=anyio.Event)

    def __attrs_post_init__(self) -> None:
        self.stripe = Stripe([], on_answer=self._heard)
        self._send()

    def begin(self) -> None:
        """Send continuously: each acknowledged payment is followed by another."""
        self.goes_on = True
        for _ in range(2 * self.stripe.senders):
            self._send()

    def _send(self) -> None:
        user, month = self.sent % PAYERS, self.sent // PAYERS
        if month >= MONTHS_MAX:
            return
        whose = {"receipt_email": _email(0, user)}
        at = months_after(START, month)
        paid = event(SUCCEEDED, f"{user}_{month}", at=at, **whose)
        self.stripe.waiting.append(paid)
        self.sent += 1

    def _heard(self, _: object, answer: httpx.Response) -> None:
        if len(self.stripe.acknowledged) >= self.wanted:
            self.reached.set()
        if answer.is_success and self.goes_on:
            self._send()

    async def acknowledge(self, more: int) -> None:
        """Return once so many more were acknowledged."""
        self.wanted = len(self.stripe.acknowledged) + more
        self.reached = anyio.Event()
        with anyio.fail_after(DEADLINE_S):
            await self.reached.wait()


async def _migrated(world: World) -> int:
    """Run this release's upgrade as a Job would; return the number of attempts."""
    why_not = ""
    for tried in range(1, TRIES_MAX + 1):
        done = await anyio.to_thread.run_sync(
            partial(_run_payments, world, "db", "upgrade")
        )
        if done.returncode == 0:
            return tried
        why_not = done.stderr
    raise AssertionError(why_not)


async def test_f49_f50_the_release_before_serves_while_this_one_migrates(
    empty_database: str, previous: Path, record_property: Callable[[str, object], None]
) -> None:
    """
    It begins on its own schema, under webhooks; an event that is refused meanwhile is a
    503, which Stripe sends again. Nothing is lost or counted twice, by either release.
    """
    dsn = empty_database
    world = World(dsn)
    begun = _run_payments(world, "db", "upgrade", release=previous)
    assert begun.returncode == 0, begun.stderr
    old = start(world, release=previous)
    try:
        async with client() as http, anyio.create_task_group() as registering:
            for user in range(PAYERS):
                registering.start_soon(_register, http, old, 0, user)
        load = _Payments()
        await load.stripe.deliver(old)
        for table in ("webhook_events", "payments"):
            filling = _FILLED.format(table=table, count=OLD_ROWS)
            await databases.execute(dsn, filling, f"analyze {table}")
        load.begin()
        async with anyio.create_task_group() as work:
            work.start_soon(load.stripe.deliver, old)
            await load.acknowledge(BEFORE)
            before = len(load.stripe.answers)
            began = anyio.current_time()
            tried = await _migrated(world)
            took_s = anyio.current_time() - began
            during = load.stripe.answers[before:]
            await load.acknowledge(AFTER)
            load.goes_on = False
        with running(world) as [this]:
            shown = [
                [it.status(f"user-0-{user}") for user in range(PAYERS)]
                for it in (old, this)
            ]
    finally:
        old.kill()
    refused = Counter(it.status_code for it in during)
    record_property(
        "figure",
        f"migration beside 0.1.0: {took_s:.1f} s, {tried} tries, {len(during)}"
        f" webhooks answered meanwhile, {refused[503]} of them with 503",
    )
    found = await databases.fetch(
        dsn,
        "select user_id, count(*) as count from payments where id not like 'old%'"
        " group by user_id",
    )
    known = await databases.fetch(
        dsn, "select count(distinct id) from webhook_events where id like 'evt%'"
    )

    assert set(load.stripe.statuses) <= {200, 503}
    assert load.stripe.unanswered == 0
    assert len(load.stripe.acknowledged) == len(set(load.stripe.acknowledged))
    assert len(load.stripe.acknowledged) == load.sent == known[0][0]
    months = Counter(f"user-0-{number % PAYERS}" for number in range(load.sent))
    assert {row["user_id"]: row["count"] for row in found} == months
    until = [months_after(START, months[f"user-0-{user}"]) for user in range(PAYERS)]
    for statuses in shown:
        dates = [datetime.fromisoformat(it["payment_expire_date"]) for it in statuses]
        assert dates == until
