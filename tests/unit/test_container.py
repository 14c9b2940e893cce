"""The composition root, with adapters in place of the usual ones."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import attrs
import pytest

from contracts.examples import ADA, NOON, a_token, an_account, email_of
from payments_adapters.memory import (
    FixedClock,
    MemoryDatabase,
    MemoryLedger,
    MemoryLists,
    MemoryTokenStore,
)
from payments_adapters.postgres.ledger import PostgresLedger
from payments_adapters.rate_limited_gateway import (
    CircuitBreaker,
    RateLimitedGateway,
    RateLimitedLists,
    SpareCallBudget,
    SpareGateway,
)
from payments_adapters.stripe import sign
from payments_core.jobs import Reconcile, RunWork
from payments_core.ports import GatewayLists
from payments_core.tokens import UserTokenRevocation
from payments_core.use_cases import (
    BackFillEvents,
    CheckChange,
    ExecuteOperation,
    FindPrice,
    FollowRevocations,
    GetPaymentStatus,
    InvalidateToken,
    InvalidateUserTokens,
    RecordFacts,
    RegisterUser,
)
from payments_service.back_fill_reports import BackFillReports
from payments_service.container import Container, Overrides, build_container
from payments_service.settings import Settings
from support.deployment import Deployment, caller_of
from support.events import SUCCEEDED, event
from support.service import World

NOWHERE = World("postgresql://nobody@127.0.0.1:1/nothing")


def wired(overrides: Overrides) -> Container:
    return build_container(Settings.from_env(NOWHERE.env(0, 0)), overrides)


@pytest.mark.anyio
async def test_a_ledger_and_a_clock_take_the_place_of_the_usual_ones() -> None:
    """
    A user is registered without a database, at the time of that clock.
    """
    database = MemoryDatabase()
    ledger, clock = MemoryLedger(database), FixedClock(NOON)
    container = wired(Overrides(ledger=ledger, clock=clock))

    account = await container[RegisterUser](ADA, email_of(ADA))

    assert account.user_id == an_account(ADA).user_id
    assert database.tables.accounts[ADA] == account
    [row] = database.tables.account_log.values()
    assert row.at == NOON


@pytest.mark.anyio
async def test_a_gateway_takes_the_place_of_the_usual_one() -> None:
    """
    Its price is found, with neither a budget nor a breaker in front of it.
    """
    async with Deployment.opened() as deployment:
        find = wired(Overrides(gateway=deployment.gateway))[FindPrice]
        price = await find(
            product=deployment.product, price=None, caller=caller_of(ADA)
        )

        assert price.id == deployment.basic


def test_everything_that_needs_it_gets_the_same_one() -> None:
    """
    No use case is wired around an override.
    """
    ledger = MemoryLedger(MemoryDatabase())
    clock = FixedClock(NOON)
    container = wired(Overrides(ledger=ledger, clock=clock))
    record, work = container[RecordFacts], container[RunWork]

    assert record.ledger is ledger
    assert record.clock is clock
    assert container[ExecuteOperation].ledger is ledger
    assert container[ExecuteOperation].record is record
    assert work.clock is clock


def test_tokens_leases_and_signatures_have_the_real_time() -> None:
    """
    Whatever time the gateway has, each use case gets the clock that it needs.
    """
    clock, system = FixedClock(NOON + timedelta(days=60)), FixedClock(NOON)
    container = wired(Overrides(clock=clock, system_clock=system))
    usual = wired(Overrides(clock=clock))

    record, execute = container[RecordFacts], container[ExecuteOperation]
    for it in (record, execute, container[RunWork]):
        assert it.clock is clock
        assert it.system_clock is system
    for rules in (container[GetPaymentStatus], container[CheckChange]):
        assert rules.clock is clock
    for tokens in (container[InvalidateToken], container[InvalidateUserTokens]):
        assert tokens.clock is system
    body = json.dumps(event(SUCCEEDED, 1, at=NOON)).encode()
    signature = sign(body, secret=NOWHERE.secrets[0], at=NOON)
    assert container.reader.read(body, signature).id
    assert usual[RecordFacts].system_clock() > datetime.now(UTC) - timedelta(minutes=1)


@pytest.mark.anyio
@pytest.mark.parametrize(
    "setting",
    [it.name for it in attrs.fields(Settings) if it.name.endswith("_max_age")],
)
async def test_t44_tokens_of_every_issuer_stay_revoked_while_they_may_live(
    setting: str,
) -> None:
    """
    Also if the tokens of another issuer have a shorter life, such as those of a
    cluster's services.
    """
    longer: dict[str, Any] = {setting: timedelta(days=30)}
    settings = attrs.evolve(Settings.from_env(NOWHERE.env(0, 0)), **longer)
    container = build_container(settings, Overrides(system_clock=FixedClock(NOON)))
    store = MemoryTokenStore()
    known = attrs.evolve(container[FollowRevocations], log=store, tokens=store)
    at = NOON - timedelta(days=29)
    token = a_token(issued_at=at)
    one = UserTokenRevocation(user_id=token.user_id, at=at)
    await store.revoke_issued_before(one)

    assert await known.is_revoked(token)


def test_lists_take_the_place_of_the_usual_ones() -> None:
    """
    A page that cannot be read stops no other call; a refused key does.
    """
    lists = MemoryLists(FixedClock(NOON))
    assert wired(Overrides(lists=lists))._container.resolve(GatewayLists) is lists

    container = wired(Overrides())
    usual = container._container.resolve(GatewayLists)
    assert isinstance(usual, RateLimitedLists)
    breaker = container[CircuitBreaker]
    assert usual._breaker is not breaker
    assert usual._breaker.key is breaker.key


def test_a_reconciliation_uses_what_nobody_else_needs() -> None:
    """
    What it fetches leaves half of the budget to users' operations, too.
    """
    gateway = wired(Overrides())[Reconcile].gateway
    assert isinstance(gateway, SpareGateway)
    assert isinstance(gateway._budget, SpareCallBudget)


def test_what_is_not_given_is_the_usual() -> None:
    """
    The present time, the store of the settings.
    """
    record = wired(Overrides())[RecordFacts]

    assert isinstance(record.ledger, PostgresLedger)
    assert isinstance(record.clock(), datetime)


def test_back_fill_reads_behind_the_budget_as_often_as_is_said() -> None:
    """
    Through the same gateway as everything else, and it records as everything does.
    """
    env = NOWHERE.env(0, 0) | {"PAYMENTS_EVENT_BACK_FILL_S": "7"}
    container = build_container(Settings.from_env(env))
    back_fill = container[BackFillEvents]

    assert back_fill.every == timedelta(seconds=7)
    assert isinstance(back_fill.gateway, RateLimitedGateway)
    assert back_fill.record is container[RecordFacts]
    assert back_fill.listener is container[BackFillReports]
