"""All that a database stores about a user: each row of each table with their ids."""

import json
from collections.abc import Collection, Mapping
from typing import Any, Final

from payments_adapters.postgres.tables import METADATA
from support import databases

_ROWS: Final = "select * from {}"
Row = tuple[str, tuple[str, ...]]


def every_row(dsn: str) -> list[tuple[str, Mapping[str, Any]]]:
    """Return all rows of all tables."""

    async def read() -> list[tuple[str, Mapping[str, Any]]]:
        return [
            (table, dict(row))
            for table in METADATA.tables
            for row in await databases.fetch(dsn, _ROWS.format(table))
        ]

    return databases.run(read())


def saying(dsn: str, names: Collection[str]) -> set[Row]:
    """Return the keys of all rows that contain one of the names anywhere."""
    return {
        key_of(table, row)
        for table, row in every_row(dsn)
        if any(name.lower() in _text(row).lower() for name in names)
    }


def key_of(table: str, row: Mapping[str, Any]) -> Row:
    """Return the identity of a row; an event and its body have the same."""
    if table in {"webhook_events", "event_bodies"}:
        return "events", (row["id"], row["type"])
    keys = METADATA.tables[table].primary_key.columns
    return table, tuple(_plain(row[it.name]) for it in keys)


def _plain(value: Any) -> str:
    text = value.isoformat() if hasattr(value, "isoformat") else str(value)
    return text.replace("+00:00", "Z")


def _text(row: Mapping[str, Any]) -> str:
    return "\n".join(
        it.decode("latin-1") if isinstance(it, bytes) else str(it)
        for it in row.values()
    )


def names_of(exported: str) -> Mapping[Row, Mapping[str, Any]]:
    """Return the rows of an export, by their keys."""
    lines = [json.loads(line) for line in exported.splitlines()]
    return {key_of(it["table"], it["row"]): it["row"] for it in lines}
