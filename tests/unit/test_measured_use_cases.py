"""Use cases are measured where they are wired: the same objects, counted."""

import asyncio
import inspect
from types import SimpleNamespace
from typing import Any

import attrs
import punq
import pytest
from prometheus_client import CollectorRegistry, generate_latest

import payments_core.jobs
import payments_core.use_cases
from contracts.examples import ADA, email_of
from payments_adapters.memory import MemoryDatabase, MemoryLedger
from payments_core.account import PaymentAccount
from payments_core.errors import AccountNotFound
from payments_core.identity import Email, UserId
from payments_core.jobs import Reconcile, SyncUser
from payments_core.ports import AccountDirectory
from payments_core.use_cases import (
    GetAuthorizedAccount,
    ReadCatalogue,
    ReadFeed,
    RecordFacts,
    RegisterUser,
)
from payments_service.container import Container, Overrides, build_container
from payments_service.ingest_queue import IngestQueue
from payments_service.metrics.use_cases import (
    MeasuredUseCases,
    UseCaseMetrics,
    is_use_case,
)
from payments_service.settings import Settings
from payments_service.spans import NO_SPANS
from payments_service.tallies import BUG, CANCELLED, OK
from support.service import World

NOWHERE = World("postgresql://nobody@127.0.0.1:1/nothing")


def wired(overrides: Overrides | None = None) -> Container:
    settings = Settings.from_env(NOWHERE.env(0, 0))
    return build_container(settings, overrides or Overrides())


def outcomes(measuring: MeasuredUseCases, cls: type) -> dict[str, int]:
    return dict(measuring.calls.of(cls.__name__).outcomes)


@attrs.frozen
class Directory:
    """Fails on request."""

    error: BaseException | None = None

    async def find(self, _: UserId | Email) -> PaymentAccount | None:
        if self.error is not None:
            raise self.error
        return None


def all_use_cases() -> list[type]:
    """Return the public classes of the core that are things to do."""
    return [
        it
        for module in (payments_core.use_cases, payments_core.jobs)
        for it in vars(module).values()
        if inspect.isclass(it) and is_use_case(it)
    ]


def test_every_use_case_that_is_wired_is_measured() -> None:
    """
    Whether punq makes it or a provider; there is no list to maintain. Other objects are
    not measured.
    """
    container = wired()
    measuring = container[MeasuredUseCases]
    found = 0
    for cls in all_use_cases():
        try:
            it: Any = container[cls]
        except punq.MissingDependencyError:
            # It is made where it is needed.
            continue
        measured = type(it)
        assert issubclass(measured, cls)
        assert measured is not cls
        assert measured is measuring.of(cls)
        found += 1
    assert found > 50
    assert type(container[IngestQueue]) is IngestQueue


@pytest.mark.anyio
async def test_a_use_case_is_what_it_was_and_counted() -> None:
    """
    Its type, its attributes and what it returns are as before.
    """
    database = MemoryDatabase()
    container = wired(Overrides(ledger=MemoryLedger(database)))
    measuring = container[MeasuredUseCases]

    account = await container[RegisterUser](ADA, email_of(ADA))

    assert database.tables.accounts[ADA] == account
    assert outcomes(measuring, RegisterUser) == {OK: 1}
    assert outcomes(measuring, RecordFacts) == {OK: 1}
    assert measuring.calls.of("RegisterUser").durations.count == 1
    assert measuring.calls.of("RegisterUser").durations.total > 0
    container[ReadFeed].stop()
    assert await container[SyncUser].drain() is None  # type: ignore[func-returns-value]  # it is there
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        container[RecordFacts].ledger = MemoryLedger(database)  # type: ignore[misc]  # that is the test


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("error", "raised", "outcome"),
    [
        (None, AccountNotFound, "account_not_found"),
        (KeyError("ada"), KeyError, BUG),
        (asyncio.CancelledError(), asyncio.CancelledError, CANCELLED),
    ],
)
async def test_an_error_goes_on_and_is_counted_by_its_code(
    error: BaseException | None, raised: type[BaseException], outcome: str
) -> None:
    """
    And how long it took until then.
    """
    measuring = MeasuredUseCases(NO_SPANS.call)
    directory: AccountDirectory = Directory(error)  # type: ignore[assignment]  # one method is enough
    nobody: Any = None
    read = measuring.of(GetAuthorizedAccount)(directory, nobody)
    caller: Any = SimpleNamespace(token=SimpleNamespace(email=None))

    with pytest.raises(raised):
        await read(ADA, caller=caller)

    assert outcomes(measuring, GetAuthorizedAccount) == {OK: 0, outcome: 1}
    assert measuring.calls.of("GetAuthorizedAccount").durations.count == 1


def test_what_is_called_without_waiting_is_counted_too() -> None:
    """
    A few use cases are not coroutines.
    """
    container = wired()
    for _ in range(3):
        container[ReadCatalogue]()

    assert outcomes(container[MeasuredUseCases], ReadCatalogue) == {OK: 3}
    durations = container[MeasuredUseCases].calls.of("ReadCatalogue").durations
    assert durations.count == 3
    assert durations.total > 0


def test_an_object_is_measured_once_however_often_it_is_asked_for() -> None:
    """
    And what is made from it is measured like it.
    """
    measuring = MeasuredUseCases(NO_SPANS.call)
    catalogue = ReadCatalogue(wired()[ReadCatalogue].policy)
    same = measuring.measured(catalogue)
    assert same is catalogue
    assert measuring.measured(same) is same
    attrs.evolve(same)()

    assert outcomes(measuring, ReadCatalogue) == {OK: 1}


def test_two_containers_count_for_themselves() -> None:
    """
    Nothing of a class of the core changes.
    """
    one, other = wired(), wired()
    one[ReadCatalogue]()

    assert outcomes(other[MeasuredUseCases], ReadCatalogue) == {OK: 0}
    assert type(one[ReadCatalogue]) is not type(other[ReadCatalogue])
    assert type(one[Reconcile]) is Reconcile


def test_each_use_case_is_shown_and_timed_once_it_was_called() -> None:
    """
    A histogram has many series.
    """
    container = wired()
    container[ReadCatalogue]()
    registry = CollectorRegistry()
    registry.register(UseCaseMetrics(container[MeasuredUseCases].calls))
    text = generate_latest(registry).decode()

    calls = 'payments_use_case_calls_total{outcome="ok",use_case="%s"}'
    assert f"{calls % 'ReadCatalogue'} 1.0" in text
    assert f"{calls % 'RecordFacts'} 0.0" in text
    count = 'payments_use_case_duration_seconds_count{use_case="%s"}'
    assert f"{count % 'ReadCatalogue'} 1.0" in text
    assert count % "RecordFacts" not in text
