"""Whatever is stored, a call reads only what it needs: by indexes, and with a limit.

Rule 1: each public function of the adapters is called, on tables of which one account
        has a half; or it is named in `NOT_HOT`, with the reason.
Rule 2: a call scans no table that grows, and reads no more rows than it is given, nor
        pages: of an index that is read from end to end few rows come.
Rule 3: each statement that a module has is among those that were sent, and each that
        names a table within a function was planned; or it is named with the reason.
Rule 4: so it is with plans for any values, and with those for the values of a call.
"""

import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Final, NamedTuple

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

import payments_adapters.postgres as adapters
from payments_adapters.postgres.store import PostgresStore
from payments_adapters.postgres.tables import METADATA
from support import databases
from support.hot_calls import CALLS, Call, World
from support.many_rows import FILL
from support.postgres_stores import TOMBSTONES, stores_on
from support.reads import Counts, Told, plain, read_by_each, told

pytestmark = pytest.mark.anyio

# Each has a row, or one for each thing of which a deployment has few.
SMALL: Final = frozenset(
    {
        *("feed_head", "delivery_cursors", "purged_jobs", "checkpoints"),
        *("gateway_budgets", "deployment", "erasures", "alembic_version"),
        *("revocation_head", "revocation_heartbeats"),
    }
)
# A row costs its page, and the descent of an index, three pages at most. A written row
# costs as much for each index.
PAGES_A_ROW: Final = 6
PAGES_MORE: Final = 60
# The bounds are of the pinned server, and of older servers that read as much.
READS_BY_ARRAYS: Final = 17
TELLS_OF_FUNCTIONS: Final = 18
_BY_HAND: Final = "of one user, by hand: all that is kept of them, and every body"
_NIGHTLY: Final = "once a night: it goes through all that there is"
_ONCE: Final = "once a process, or once a day"
# Functions that no walk calls.
NOT_HOT: Final[Mapping[str, str]] = {
    **dict.fromkeys(
        (
            *("AccountExport.__call__", "mentions.mentioning"),
            *("PostgresErasures.begin", "PostgresErasures.finish"),
            *("PostgresErasures.open_without_owner", "personal_data.identifiers_of"),
            "personal_data.shared_emails",
        ),
        _BY_HAND,
    ),
    **dict.fromkeys(
        (
            *("PostgresKeptObjects.unlisted", "PostgresKeptObjects.forget_listed"),
            "PostgresWorkQueue.linkable",
        ),
        _NIGHTLY,
    ),
    **dict.fromkeys(
        (
            *("schema.current", "schema.upgrade", "partitions.prepare"),
            *("partitions.days_before", "partitions.drop"),
        ),
        _ONCE,
    ),
    "PostgresStore.execute": "it runs what the others give it",
}
# Statements of these, and fragments from which others are built.
NOT_SENT: Final[Mapping[str, str]] = {
    **dict.fromkeys(
        (
            *(f"erasures.{it}" for it in ("_BEGIN", "_BURY", "_ERASE", "_EVENT_JOBS")),
            *(f"erasures.{it}" for it in ("_LET_GO", "_LOCK", "_LOCK_KEYS", "_LOG")),
            *("erasures._OPEN_PAYMENTS", "erasures._OPEN_SUBSCRIPTIONS"),
            *("erasures._OWN_PAYMENTS", "erasures._OWN_SUBSCRIPTIONS"),
            *("erasures._PURGE_JOBS", "erasures._STRIP_BODIES"),
            *("erasures._STRIP_CHANGES", "erasures._STRIP_EVENTS"),
            *("mentions._BODIES", "mentions._EVENTS", "mentions._MAY_MENTION"),
            *("personal_data._CARDS", "personal_data._CHANGES"),
            *("personal_data._CUSTOMERS", "personal_data._EMAILS"),
            *("personal_data._EVENT", "personal_data._OWN_EVENTS"),
        ),
        _BY_HAND,
    ),
    **dict.fromkeys(
        ("kept_objects._FORGET", "kept_objects._UNLISTED", "statements.LINKABLE"),
        _NIGHTLY,
    ),
    **dict.fromkeys(
        ("partitions.HAS_LZ4", "partitions._EXISTS", "partitions._IS_ATTACHED"), _ONCE
    ),
    "account_history._HELD_BODY": "a part of `_QUARANTINED`",
}
_BEFORE: Final = "a trigger for the release before, which writes by itself"
# Tables that a function names where no walk calls it.
NOT_PLANNED: Final[Mapping[str, str]] = {
    "email_changed: into former_keys": _BEFORE,
    "payment_changed: update payment_accounts": _BEFORE,
    "raise_link_keys: into link_keys": _BEFORE,
    "give_positions_v1: from feed_head": "where the row is missing, or locked",
    "give_positions_v1: into feed_head": "where the row is missing",
    "give_positions_v1: from account_log": "where the row is missing",
    **dict.fromkeys(
        (
            "begin_revocations_v1: from invalidated_tokens",
            "begin_revocations_v1: from token_cut_offs",
            "begin_revocations_v1: into revocation_head",
        ),
        "where the row is missing",
    ),
    **dict.fromkeys(
        (
            "revoke_issued_before_v1: from token_cut_offs",
            "revoke_token_v1: from invalidated_tokens",
        ),
        "where another one was first",
    ),
}
_STATEMENT: Final = re.compile(
    r"\s*(select|with\s+\w+|insert\s+into|update|delete\s+from)\b", re.IGNORECASE
)
_DIALECT: Final = postgresql.asyncpg.dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy's
_GROWS: Final = sorted({it.name for it in METADATA.sorted_tables} - SMALL)


class Walk(NamedTuple):
    """The rows that each call has read, and the statements of all of them."""

    reads: Sequence[tuple[Call, Counts]]
    told: Told
    # Of the server: 18, say.
    version: int


@pytest.fixture(scope="module")
def filled(postgres: str, template: str) -> Iterator[str]:
    with databases.copy_of(postgres, template) as dsn:
        proof = TOMBSTONES.proof.hex()
        ours = f"insert into erased_keys values ('\\x{proof}', now())"  # noqa: S608  # hex
        # The planner's statistics are updated once.
        unwatched = [
            f"alter table {it} set (autovacuum_enabled = off)"
            for it in _GROWS
            if it != "event_bodies"
        ]
        databases.run(databases.execute(dsn, *unwatched, FILL, ours, "vacuum analyze"))
        yield dsn


@pytest.fixture(scope="module", params=["generic", "custom"])
async def walk(filled: str, request: pytest.FixtureRequest) -> Walk:
    """Call every function, with plans of this kind."""
    mode = request.param
    # Sent to a new database only; the walk before has stamped this one.
    await databases.execute(filled, "delete from deployment")
    with told(filled) as (found, through):
        async with PostgresStore(through).opened() as store:
            world = World(store, stores_on(store), mode)
            reads = await read_by_each(
                store, [partial(_called, world, it, mode) for it in CALLS]
            )
            async with store.connection() as connection:
                version = connection.get_server_version().major
    return Walk(list(zip(CALLS, reads, strict=True)), found, version)


async def _called(world: World, call: Call, mode: str) -> None:
    # SQLAlchemy's statements have no name: they are planned for their values.
    plans = "custom" if call.planned_anew else mode
    async with world.store.connection() as connection:
        await connection.execute(f"set plan_cache_mode = force_{plans}_plan")
    await call.work(world)


async def test_every_call_reads_by_indexes_and_no_more_than_it_asks_for(
    walk: Walk,
) -> None:
    if walk.version < READS_BY_ARRAYS:
        pytest.skip("before PostgreSQL 17 an array of keys is looked up key by key")
    wrong = [sentence for it in walk.reads for sentence in _wrong_of(*it)]
    assert not wrong


def _wrong_of(call: Call, counts: Counts) -> Iterator[str]:
    for table, count in counts.items():
        if count.scans and _grows(table):
            yield f"{call.name} scans {table}"
    rows = sum(it.rows for it in counts.values())
    pages = sum(it.pages for it in counts.values())
    if rows > call.rows_max:
        yield f"{call.name} reads {rows} rows of {counts}"
    if pages > PAGES_A_ROW * call.rows_max + PAGES_MORE:
        yield f"{call.name} reads {pages} pages of {counts}"


def _grows(table: str) -> bool:
    return table in _GROWS or table.startswith("event_bodies_")


def test_every_function_of_the_adapters_is_called_or_named() -> None:
    called = {it.name for it in CALLS}
    assert set(_functions()) == called | set(NOT_HOT)
    assert not called & set(NOT_HOT)


def _modules() -> Iterator[tuple[str, Any]]:
    for found in pkgutil.iter_modules(adapters.__path__):
        if found.name != "migrations":
            yield (
                found.name,
                importlib.import_module(f"{adapters.__name__}.{found.name}"),
            )


def _functions() -> Iterator[str]:
    """Return the public asynchronous functions: `module.function`, `Class.method`."""
    for name, module in _modules():
        for made, value in vars(module).items():
            if (
                made.startswith("_")
                or getattr(value, "__module__", "") != module.__name__
            ):
                continue
            if inspect.iscoroutinefunction(value) or inspect.isasyncgenfunction(value):
                yield f"{name}.{made}"
            elif inspect.isclass(value):
                yield from (
                    f"{made}.{method}"
                    for method, it in vars(value).items()
                    if (not method.startswith("_") or method == "__call__")
                    and (
                        inspect.iscoroutinefunction(it)
                        or inspect.isasyncgenfunction(it)
                    )
                )


async def test_every_statement_of_a_module_was_sent_or_is_named(walk: Walk) -> None:
    texts = "\n".join(walk.told.statements)
    unsent = {
        name
        for name, statement in _constants()
        if not re.search(_pattern(statement), texts)
    }
    assert unsent == set(NOT_SENT)


def _constants() -> Iterator[tuple[str, str]]:
    for module, found in _modules():
        for name, value in vars(found).items():
            if name != "__doc__":
                for text in _texts_in(value):
                    yield f"{module}.{name}", text


def _texts_in(value: object) -> Iterator[str]:
    if isinstance(value, str):
        if _STATEMENT.match(value):
            yield value
    elif isinstance(value, sa.Executable) and isinstance(value, sa.ClauseElement):
        yield str(value.compile(dialect=_DIALECT))
    elif isinstance(value, Mapping):
        for it in value.values():
            yield from _texts_in(it)
    elif isinstance(value, tuple | list):
        for it in value:
            yield from _texts_in(it)


def _pattern(statement: str) -> str:
    """Return a pattern that finds a statement, whatever fills its gaps."""
    gap = r"__\[[^\]]*\]|\{\{?\w*\}?\}|%s|\$\d+(?:::\w+)?"
    return ".*".join(
        re.escape(it) for it in re.split(gap, plain(statement), flags=re.IGNORECASE)
    )


async def test_every_table_that_a_function_names_was_read_or_is_named(
    walk: Walk, filled: str
) -> None:
    if walk.version < TELLS_OF_FUNCTIONS:
        pytest.skip("before PostgreSQL 18 no plan within an SQL function is told")
    found = await databases.fetch(
        filled,
        "select proname, prosrc from pg_proc"
        " where pronamespace = 'public'::regnamespace",
    )
    unread = {
        f"{name}: {missed}"
        for name, source in found
        if name not in walk.told.functions
        for missed in _missed(source, walk.told.within)
    }
    assert unread == set(NOT_PLANNED)


_NAMES: Final = re.compile(
    rf"\b(?:from|join|into|update|using|table) ({'|'.join(sorted(METADATA.tables))})\b"
)


def _missed(source: str, planned: set[str]) -> Iterator[str]:
    """Return the parts of a function that name a table, and that were not planned."""
    # As the server reports them: without the target of an insert, and as queries.
    source = re.sub(r"(?<!insert) into [\w, ]+?(?= from\b|;)", " ", plain(source))
    source = re.sub(r"\s+", " ", source.replace("perform ", "select "))
    covered = [
        range(start.start(), start.end())
        for text in planned
        for start in re.finditer(re.escape(text), source)
    ]
    for named in _NAMES.finditer(source):
        if not any(named.start() in it for it in covered):
            yield named[0]
