"""Our migrations pass squawk, a linter, without a silenced rule.

The SQL is what an upgrade from the previous release's schema sends. Alembic's offline
mode (`--sql`) cannot show it: revisions 0003 and 0005 query the database.
"""

import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pytest
import sqlalchemy as sa
from alembic import command
from sqlalchemy.pool import NullPool

from payments_adapters.postgres import schema
from payments_adapters.postgres.engine import engine_on
from support import databases

pytestmark = pytest.mark.anyio

# The schema of 0.1.0, and the oldest supported server.
RELEASED: Final = "0002"
OLDEST: Final = "15.0"
SQUAWK: Final = Path(sys.executable).with_name("squawk")
# Rules that do not apply to any revision, each with its reason.
EXCLUDED: Final[Mapping[str, str]] = {
    "require-statement-timeout": (
        "an upgrade takes as long as there are rows; the deadline of its Job ends it,"
        " and a lock is waited for three seconds"
    ),
    "ban-drop-function": (
        "functions are of one release: the newest revision makes them anew"
    ),
    "ban-drop-type": "arguments and results of these functions",
}
_BUILT: Final = {
    "require-concurrent-index-creation": (
        "in the one transaction of the upgrade, where nothing is `concurrently`: writes"
        " of 0.1.0 wait or are 503 for as long as its few months of rows take"
    )
}
_CHECKED: Final = {
    "ban-drop-constraint": "a check of words, made anew at once with one more",
    "constraint-missing-not-valid": "the same check: each row passes it already",
}
_FREED: Final = {
    "ban-drop-not-null": "0.1.0 writes it in rows of its own, and reads ours without it"
}
_SMALL: Final = {"prefer-bigint-over-int": "a number that stays small"}
# Findings of squawk in revisions that were written before it was used, and why each may
# stay. A new revision has an entry only with a reason of its own.
KNOWN: Final[Mapping[str, Mapping[str, str]]] = {
    "0003": {
        **_BUILT,
        **_FREED,
        **_SMALL,
        "ban-drop-constraint": "unique keys, made anew at once for what is not null",
    },
    "0006": _CHECKED,
    **dict.fromkeys(("0007", "0010", "0014", "0016", "0017", "0022"), _BUILT),
    "0009": _SMALL,
    "0012": {
        **_BUILT,
        **_CHECKED,
        **_FREED,
        "require-concurrent-index-deletion": "made anew at once, with one column more",
    },
    "0013": {**_BUILT, **_CHECKED},
    "0019": {**_BUILT, **_CHECKED},
    "0020": _SMALL,
    "0021": {
        **_BUILT,
        "adding-not-nullable-field": (
            "rows of revoked tokens alone, numbered in the same transaction"
        ),
    },
}


async def sent(dsn: str) -> Mapping[str, str]:
    """Upgrade a database from the released schema; return the SQL of each revision."""
    statements = list[str]()

    def noted(_: object, __: object, statement: str, *___: object) -> None:
        statements.append(statement)

    def upgraded(connection: sa.Connection) -> None:
        command.upgrade(schema._config(connection, []), RELEASED)
        sa.event.listen(connection, "before_cursor_execute", noted)
        command.upgrade(schema._config(connection, []), "head")

    engine = engine_on(databases.direct(dsn), connecting={}, poolclass=NullPool)
    async with engine.begin() as connection:
        await connection.run_sync(upgraded)
    await engine.dispose()
    return dict(_by_revision(statements))


def _by_revision(statements: list[str]) -> Iterator[tuple[str, str]]:
    # The start of each: the lock time-out, which `env.py` sets once.
    began = [it for it in statements if it.startswith("set local lock_timeout")]
    assert len(began) == 1
    mine = [*began]
    for statement in statements:
        if found := re.match(
            r"UPDATE alembic_version SET version_num='(\d+)'", statement
        ):
            yield found[1], "".join(f"{it.strip().rstrip(';')};\n" for it in mine)
            mine = [*began]
        elif "alembic_version" not in statement and statement not in began:
            mine.append(statement)


def squawked(folder: Path) -> Mapping[str, set[str]]:
    """Return the rules that each revision's SQL violates."""
    excluded = [f"--exclude={it}" for it in EXCLUDED]
    done = subprocess.run(
        [
            *(str(SQUAWK), "--assume-in-transaction", f"--pg-version={OLDEST}"),
            *("--reporter=json", *excluded, *map(str, sorted(folder.glob("*.sql")))),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    found: list[dict[str, Any]] = json.loads(done.stdout)
    said = dict[str, set[str]]()
    for it in found:
        said.setdefault(Path(it["file"]).stem, set()).add(it["rule_name"])
    return said


async def test_f49_squawk_says_of_no_revision_what_is_not_known(
    empty_database: str, tmp_path: Path
) -> None:
    """
    No exception is listed that squawk does not report.
    """
    revisions = await sent(empty_database)
    for revision, sql in revisions.items():
        (tmp_path / f"{revision}.sql").write_text(sql)

    assert list(revisions) == [
        it for it in sorted(schema._revisions()) if it > RELEASED
    ]
    assert squawked(tmp_path) == {it: set(rules) for it, rules in KNOWN.items()}


@pytest.mark.parametrize(
    ("sql", "rule"),
    [
        ("alter table payments drop column state", "ban-drop-column"),
        ("alter table payments rename column state to it", "renaming-column"),
        ("alter table payments alter column id type bytea", "changing-column-type"),
        ("create index it on payments (state)", "require-concurrent-index-creation"),
        (
            "alter table payments alter column fee set not null",
            "adding-not-nullable-field",
        ),
    ],
)
def test_f50_what_breaks_the_release_before_is_told(
    tmp_path: Path, sql: str, rule: str
) -> None:
    (tmp_path / "9999.sql").write_text(f"set local lock_timeout = '3s';\n{sql};\n")
    assert squawked(tmp_path) == {"9999": {rule}}


def test_each_exception_has_its_reason() -> None:
    reasons = [*EXCLUDED.values(), *(r for it in KNOWN.values() for r in it.values())]
    assert all(len(it.split()) > 3 for it in reasons)
