"""Delete what was kept long enough, or say what would be deleted."""

import json
from collections.abc import Mapping
from typing import Final

import click

from payments_core.jobs import Purge
from payments_core.jobs.purge import COUNTED_MAX
from payments_core.retention import PurgeKind
from payments_service.cli import environment
from payments_service.cli.table import show_table

_COLUMNS: Final = ("kind", "count")


@click.command()
@click.option("--dry-run", is_flag=True, help="Say what would be deleted.")
@click.option("--json", "as_json", is_flag=True, help="JSON on stdout.")
def purge(*, dry_run: bool, as_json: bool) -> None:
    """Delete what was kept long enough: the worker does it, once an hour.

    For how long is said by PAYMENTS_KEEP_…_DAYS (docs/retention.md). Small statements
    that wait for nobody: what is in use at this moment is left to the next time. A dry
    run counts up to 100,000 of a kind, and no further. `body_days` are days, all others
    rows.
    """
    found = dict[PurgeKind, int | None]()

    async def work() -> None:
        async with environment.opened() as container:
            it = container[Purge]
            if dry_run:
                found.update(await it.due())
                return
            found.update(dict.fromkeys(PurgeKind, 0))
            async for kind, count in it.batches():
                found[kind] = (found[kind] or 0) + count

    try:
        environment.run(work())
    finally:
        # Also by Ctrl-C, or without a database: what is deleted already is told.
        if found:
            _tell(found, as_json=as_json)


def _tell(found: Mapping[PurgeKind, int | None], *, as_json: bool) -> None:
    if as_json:
        items = [
            {
                "kind": kind.value,
                "count": count,
                "more": count is not None and count >= COUNTED_MAX,
            }
            for kind, count in found.items()
        ]
        click.echo(json.dumps({"items": items}))
        return
    rows = [{"kind": kind.value, "count": count} for kind, count in found.items()]
    show_table(_COLUMNS, rows, nothing="", empty={"count": "kept for good"})
