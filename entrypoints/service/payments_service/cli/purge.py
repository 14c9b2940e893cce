"""Delete what is past its retention, or print what would be deleted."""

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
@click.option("--dry-run", is_flag=True, help="Print what would be deleted.")
@click.option("--json", "as_json", is_flag=True, help="JSON on stdout.")
def purge(*, dry_run: bool, as_json: bool) -> None:
    """Delete what is past its retention, as the worker does once an hour.

    PAYMENTS_KEEP_…_DAYS set the retention (docs/retention.md). It uses small statements
    that do not wait for locks: rows in use now are left for the next run. A dry run
    counts at most 100,000 of each kind. `body_days` counts days, all other kinds rows.
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
        # After Ctrl-C or a database error too: report what was already deleted.
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
    show_table(_COLUMNS, rows, nothing="", empty={"count": "stored permanently"})
