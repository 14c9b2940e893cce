"""A locked, frozen or slow account does not affect the others."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Final

import attrs
import pytest

from faults.beside import (
    Beside,
    assert_each_paid_once,
    held,
    redelivered,
    registered,
    states_of,
)
from faults.deliveries import Event
from faults.payers import Payer
from support import databases
from support.events import FAILED, SUCCEEDED, event
from support.profiles import only_in_prove
from support.service import ServiceProcess, World, running

pytestmark = pytest.mark.anyio

OTHERS: Final = 49
MONTHS: Final = 4
_NUMBERS: Final = itertools.count(step=1_000)

Pair = Sequence[ServiceProcess]


@pytest.fixture(scope="module")
def pair(postgres: str, template: str) -> Iterator[Pair]:
    """Two processes for the tests of the module; each uses its own payers."""
    with (
        databases.copy_of(postgres, template) as dsn,
        running(World(dsn), 2) as services,
    ):
        yield services


@pytest.fixture
def dsn(pair: Pair) -> str:
    return pair[0].world.database_url


@pytest.fixture
def everybody() -> list[Payer]:
    """Return payers whom no other test has."""
    first = next(_NUMBERS)
    return [Payer(first + number, MONTHS) for number in range(OTHERS + 1)]


def events_of(everybody: Sequence[Payer]) -> list[Event]:
    return [event for payer in everybody for event in payer.events()]


@pytest.mark.parametrize("strength", ["for update", "for no key update"])
async def test_f21_a_locked_account_waits_alone(
    pair: Pair, dsn: str, everybody: list[Payer], strength: str
) -> None:
    """
    A session locks one account's row. All others get their 200 meanwhile; that
    account's own events are refused or wait, and count once they are sent again.
    """
    await registered(dsn, everybody)
    one, *others = everybody
    query = f"select from payment_accounts where user_id = '{one.user}' {strength}"
    async with held(dsn, query) as release:
        answers = await Beside(pair, events_of(others), one.events(), release).deliver()

    assert answers.others == {200: OTHERS * MONTHS}
    assert set(answers.early) <= {503}
    assert set(answers.own) <= {200, 503}
    await redelivered(pair, one.events())
    await assert_each_paid_once(dsn, everybody)


@attrs.frozen
class Row:
    """A row that a session locks, and the events that want to write it.

    `before` creates it. `early` are the answers that events may get while it is locked;
    `ends` is the final state of all of them.
    """

    query: Callable[[int], str]
    events: Callable[[int], list[Event]]
    before: Callable[[int], list[Event]] = lambda _: []
    early: frozenset[int] = frozenset({503})
    ends: str = "applied"


def refunds(number: int) -> list[Event]:
    """Return refunds of one charge, each a little larger."""
    charge = f"{number}_part"
    return [
        {
            **event(SUCCEEDED, charge, amount_refunded=cents),
            "id": f"evt_{number}_part_{cents}",
            "type": "charge.refunded",
        }
        for cents in range(1, 5)
    ]


def the_charge(number: int) -> list[Event]:
    return [event(SUCCEEDED, f"{number}_part")]


def contradictions(number: int) -> list[Event]:
    """Return reports of a charge that failed and succeeded: a worker must fetch it."""
    charge = f"ch_{number}_torn"
    return [event(FAILED, f"{number}_torn_{n}", id=charge) for n in range(4)]


def contradicted(number: int) -> list[Event]:
    charge = f"ch_{number}_torn"
    return [
        event(SUCCEEDED, f"{number}_torn_a", id=charge),
        event(FAILED, f"{number}_torn_b", id=charge),
    ]


def strangers(number: int) -> list[Event]:
    """Return charges of an unknown customer."""
    customer = f"cus_{number}_nobody"
    return [event(SUCCEEDED, f"{number}_{n}_s", customer=customer) for n in range(4)]


def many_strangers(number: int) -> list[Event]:
    customer = f"cus_{number}_nobody"
    return [event(SUCCEEDED, f"{number}_{n}_m", customer=customer) for n in range(40)]


def a_stranger(number: int) -> list[Event]:
    customer = f"cus_{number}_nobody"
    return [event(SUCCEEDED, f"{number}_first_s", customer=customer)]


_INSERT: Final = """
insert into webhook_events (id, type, created_at, received_at, livemode, state)
values ('evt_{}_first_s', 'charge.succeeded', now(), now(), false, 'applied')
"""

ROWS: Final = {
    "a payment": Row(
        lambda number: f"select from payments where id = 'ch_{number}_part' for update",
        refunds,
        before=the_charge,
    ),
    "a job": Row(
        lambda number: (
            f"select from jobs where subject = 'ch_{number}_torn' for update"
        ),
        contradictions,
        before=contradicted,
        ends="pending",
    ),
    "an event that is known": Row(
        lambda number: (
            f"select from webhook_events where id = 'evt_{number}_first_s' for update"
        ),
        a_stranger,
        before=a_stranger,
        # Its outcome was decided before: nothing is written.
        early=frozenset({200}),
    ),
    "an event that is being inserted": Row(
        _INSERT.format,
        a_stranger,
    ),
    "a link key": Row(
        lambda number: (
            f"select from link_keys where key = 'customer cus_{number}_nobody'"
            " for update"
        ),
        strangers,
        before=a_stranger,
    ),
    "a link key of many": Row(
        lambda number: (
            f"select from link_keys where key = 'customer cus_{number}_nobody'"
            " for update"
        ),
        many_strangers,
        before=a_stranger,
    ),
    "an advisory lock of a link key": Row(
        lambda number: (
            "select pg_advisory_xact_lock("
            f"7451, hashtext('customer cus_{number}_nobody'))"
        ),
        strangers,
    ),
}


# The quick ones; `make prove` runs all of them.
_BY_DEFAULT: Final = ("a payment", "an event that is known")


@pytest.mark.parametrize(
    "row",
    [
        pytest.param(row, id=name, marks=[] if name in _BY_DEFAULT else [only_in_prove])
        for name, row in ROWS.items()
    ],
)
async def test_a_locked_row_delays_nobody_else(
    pair: Pair, dsn: str, everybody: list[Payer], row: Row
) -> None:
    """
    A session locks one row. All events that do not write it get their 200 meanwhile.
    """
    await registered(dsn, everybody)
    number = everybody[0].number
    await redelivered(pair, row.before(number))
    own = row.events(number)
    async with held(dsn, row.query(number)) as release:
        answers = await Beside(pair, events_of(everybody), own, release).deliver()

    assert answers.others == {200: len(everybody) * MONTHS}
    assert set(answers.early) <= row.early
    assert set(answers.own) <= {200, 503}
    await redelivered(pair, own)
    assert await states_of(dsn, own) == {row.ends: len(own)}
    await assert_each_paid_once(dsn, everybody)
