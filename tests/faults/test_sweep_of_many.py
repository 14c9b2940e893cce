"""A sweep of very many subscriptions: killed, resumed, in flat memory, with few calls.

All payers are copies of one, as many as needed: at the sandbox and here.
"""

import queue
import re
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import attrs
import pytest

from payments_core.object_lists import ObjectList
from payments_sandbox.api import ApiRequest, ApiResponse
from support import databases
from support.profiles import PROVES
from support.service_with_sandbox import GOOD, Payer, ServiceWithSandbox, selling

# Four processes are started: too slow for the suite.
MANY: Final = [2_000, 100_000] * PROVES
# The objects of a payer that a sweep reads: no payment intent and no payment method.
KINDS: Final = ("customer", "subscription", "invoice", "charge")
PER_PAGE: Final = 100
_OF_PAYER: Final = "user_id = '{payer}'"
TABLES: Final = {
    "payment_accounts": _OF_PAYER,
    "subscriptions": _OF_PAYER,
    "payments": _OF_PAYER,
    "paid_periods": "subscription_id in"
    " (select gateway_id from subscriptions where user_id = '{payer}')",
    "invoice_payments": "payment_id in"
    " (select id from payments where user_id = '{payer}')",
}
# A worker is killed while it waits for a page: after this share of the pages.
KILLED_AT: Final = (0.2, 0.3, 0.2)
# No request came for this long; the sweep may have ended.
QUIET_S: Final = 0.5
QUIET_TIMES_MAX: Final = 1_200
ENDED: Final = "sweep ended"
# Memory grows by at most this from the first fifth of the pages to the end.
GROWTH_MAX: Final = 1.25
CALLS_MAX: Final = 0.15

# Due at once, whatever the hour.
_DUE: Final = """
insert into checkpoints (name, position, reached_at, due_at, attempts, lease_no)
values ('sweep', null, now() - interval '1 day', now(), 0, 0)
"""
_FREED: Final = "update checkpoints set leased_until = null, due_at = now()"


def copied(it: Any, names: Mapping[str, str]) -> Any:
    """Return a value with other ids; parts without any of them are shared."""
    if isinstance(it, str):
        return names.get(it, it)
    if isinstance(it, list):
        new = [copied(one, names) for one in it]
        return new if any(a is not b for a, b in zip(new, it, strict=True)) else it
    if isinstance(it, Mapping):
        made = {name: copied(value, names) for name, value in it.items()}
        return made if any(made[name] is not it[name] for name in it) else it
    return it


def numbered(id_: str, number: str) -> str:
    """Return another id, or another e-mail, of the same kind."""
    local, at, domain = id_.partition("@")
    return f"{local}{number}{at}{domain}"


@attrs.frozen
class Original:
    """A payer, and their ids at the sandbox and here."""

    stack: ServiceWithSandbox
    payer: Payer

    @property
    def objects(self) -> list[Any]:
        [customer] = self.payer.customers
        every = [it for kind in KINDS for it in self.stack.objects(kind)]
        id_ = customer["id"]
        return [it for it in every if id_ in (it["id"], it.get("customer"))]

    @property
    def ids(self) -> list[str]:
        own = [id_ for (id_,) in self.payer.stored("id from subscriptions")]
        there = [it["id"] for it in self.objects]
        return [self.payer.id, f"{self.payer.id}@example.com", *own, *there]

    def multiply_there(self, times: int) -> None:
        objects, ids, world = self.objects, self.ids, self.stack.sandbox.engine.world
        for number in range(times):
            names = {id_: numbered(id_, f"-{number:06d}") for id_ in ids}
            for it in objects:
                world.create(copied(it, names), None)

    def multiply_here(self, times: int) -> None:
        row = "to_jsonb(it)::text"
        for id_ in self.ids:
            before, after = numbered(id_, "\n").split("\n")
            row = f"""replace({row}, '"{id_}"', '"{before}' || no || '{after}"')"""
        numbers = f"generate_series(0, {times - 1}) as number"
        copies = [
            f"insert into {table} select (jsonb_populate_record(null::{table},"  # noqa: S608  # of ours
            f" {row}::jsonb)).* from {table} it, {numbers},"
            " to_char(number, 'fm-000000') as no"
            f" where {which.format(payer=self.payer.id)}"
            for table, which in TABLES.items()
        ]
        url = self.stack.world.database_url
        databases.run(databases.execute(url, *copies, "analyze"))


@pytest.fixture
def stack(postgres: str, template: str) -> Iterator[ServiceWithSandbox]:
    """Lend a sandbox whose payers came a day ago: new objects are not compared yet."""
    with selling(postgres, template, ago=timedelta(days=1)) as stack:
        yield stack


@contextmanager
def sweeping(
    stack: ServiceWithSandbox, log: Path
) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a worker that compares and does not repair; kill it in the end."""
    more = {"PAYMENTS_SWEEP": "report", "PAYMENTS_EVENT_BACK_FILL_S": "0"}
    with log.open("ab") as output:
        worker = subprocess.Popen(
            [sys.executable, "-m", "payments_service", "worker"],
            env={**stack.world.env(0, 0), **more},
            stdout=output,
            stderr=output,
        )
    try:
        yield worker
    finally:
        worker.kill()
        worker.wait()


def memory_of(process: int) -> int:
    """Return how much memory a process has now, in KiB."""
    status = Path(f"/proc/{process}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert found
    return int(found[1])


@attrs.define
class Calls:
    """A worker's requests, and its memory at each."""

    stack: ServiceWithSandbox
    by_list: Counter[str] = attrs.field(factory=Counter)
    memory: list[int] = attrs.field(factory=list)
    _asked: "queue.SimpleQueue[str]" = attrs.field(factory=queue.SimpleQueue)
    _left: float = float("inf")
    _killed: threading.Event = attrs.field(factory=threading.Event)

    def sweep(self, log: Path, kills: Sequence[int]) -> None:
        """Sweep to the end, killed after so many calls each time."""
        engine, url = self.stack.sandbox.engine, self.stack.world.database_url
        before, engine.watch = engine.watch, self._note
        try:
            for calls in (*kills, float("inf")):
                self._left = calls
                self._killed.clear()
                with sweeping(self.stack, log) as worker:
                    self._follow(worker.pid, log)
                self._killed.set()
                databases.run(databases.execute(url, _FREED))
        finally:
            self._killed.set()
            engine.watch = before

    def _note(self, request: ApiRequest, _: ApiResponse) -> None:
        self._left -= 1
        self._asked.put(request.path)
        if self._left == 0:
            # The sandbox answers no more requests until the worker is killed.
            self._killed.wait()

    def _follow(self, worker: int, log: Path) -> None:
        for _ in range(QUIET_TIMES_MAX):
            with suppress(queue.Empty):
                while True:
                    path = self._asked.get(timeout=QUIET_S)
                    self.by_list[path.rpartition("/")[2]] += 1
                    self.memory.append(memory_of(worker))
            if self._left <= 0 or ENDED in log.read_text():
                return
        raise AssertionError(log.read_text())


@pytest.mark.starts_first
@pytest.mark.parametrize("many", MANY)
def test_p26_f41_a_sweep_of_many_is_resumed_after_kills(
    stack: ServiceWithSandbox,
    ada: Payer,
    tmp_path: Path,
    many: int,
    record_property: Callable[[str, object], None],
) -> None:
    """
    In constant memory, with one call for each page; what is known is no drift.
    """
    ada.subscribed(GOOD)
    stack.settle()
    original = Original(stack, ada)
    original.multiply_here(many)
    original.multiply_there(many)
    databases.run(databases.execute(stack.world.database_url, _DUE))
    pages = len(KINDS) * many // PER_PAGE
    calls, log = Calls(stack), tmp_path / "worker.log"
    calls.sweep(log, [int(pages * it) for it in KILLED_AT])

    said, total = log.read_text(), calls.by_list.total()
    early, late = calls.memory[len(calls.memory) // 5], calls.memory[-1]
    record_property(
        "figure",
        f"{many} subscriptions swept, with {len(KILLED_AT)} kills: {total} calls, "
        f"{total / many:.3f} a subscription, {dict(calls.by_list)}; "
        f"{early // 1024} MiB after a fifth of them, {late // 1024} MiB at the end",
    )
    assert said.count(ENDED) == 1
    assert "drift" not in said
    # Each kill costs the page that was being read; there are two more lists.
    assert pages <= total <= pages + len(KILLED_AT) + len(ObjectList)
    assert total / many <= CALLS_MAX
    assert late <= early * GROWTH_MAX
