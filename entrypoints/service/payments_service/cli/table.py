"""Lists for people: a header line, aligned columns, and what a `-` means."""

from collections.abc import Mapping, Sequence

import click

EMPTY = "-"


def show_table(
    columns: Sequence[str],
    rows: Sequence[Mapping[str, object]],
    *,
    nothing: str,
    empty: Mapping[str, str],
) -> None:
    """Print rows under their columns; an empty value is a `-`.

    Print `nothing` on stderr if there is no row, and for each column with a `-` its
    text in `empty`.
    """
    cells = [[_cell(row[name]) for name in columns] for row in rows]
    table = [[name.upper() for name in columns], *cells]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for line in table:
        padded = (it.ljust(width) for it, width in zip(line, widths, strict=True))
        click.echo("  ".join(padded).rstrip())
    if not rows:
        click.echo(nothing, err=True)
    for number, name in enumerate(columns):
        if name in empty and any(line[number] == EMPTY for line in cells):
            click.echo(f"{EMPTY} in {name.upper()}: {empty[name]}", err=True)


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return EMPTY if value is None or value == "" else str(value)
