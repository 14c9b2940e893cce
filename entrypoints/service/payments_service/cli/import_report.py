"""The results of an import's rows: progress, counts, and a list of refused rows."""

import json
import time
from collections import Counter
from typing import Final

import attrs
import click
from typing_extensions import override

from payments_core.errors import InvalidValue
from payments_core.jobs import ImportListener, RowResult, RowState
from payments_service.cli.customer_file import FileRow
from payments_service.cli.progress import SAID_EVERY_S
from payments_service.cli.table import show_table

# Rows beyond this number are counted, but not listed.
LISTED_MAX: Final = 10_000
_COLUMNS: Final = ("line", "user_id", "customer_id", "state", "field", "reason")
_EMPTY: Final = {
    "user_id": "cannot be read",
    "customer_id": "cannot be read",
    "field": "the whole row",
}


@attrs.define
class ImportReport(ImportListener):
    """The results of the rows so far, and the progress of the present batch."""

    dry_run: bool
    counts: Counter[RowState] = attrs.field(factory=Counter)
    # Rows that repeat an earlier line; they are skipped.
    repeated: int = 0
    warned: int = 0
    items: list[dict[str, object]] = attrs.field(factory=list)
    unlisted: int = 0
    # The line to continue with: all lines before it are done.
    next_line: int = 1
    begun: bool = False
    complete: bool = False
    # How much of the file is done, from 0 to 1, if known.
    share: float | None = None
    _batch: int = 0
    _within: str = ""
    _began: float = attrs.field(factory=time.monotonic)
    _said: float = attrs.field(factory=time.monotonic)

    @property
    def rows(self) -> int:
        return self.counts.total() + self.repeated

    @property
    def refused(self) -> int:
        return self.counts[RowState.REFUSED]

    def unreadable(self, row: FileRow, error: InvalidValue) -> None:
        said = {} if isinstance(row.said, InvalidValue) else row.said
        self.counts[RowState.REFUSED] += 1
        self._list(
            line=row.line,
            user_id=_printable(said.get("user_id")),
            customer_id=_printable(said.get("customer_id")),
            state=RowState.REFUSED.value,
            field=error.field or None,
            reason=error.reason,
            code=error.code,
        )

    def add(self, result: RowResult) -> None:
        self.counts[result.state] += 1
        self.warned += bool(result.warnings)
        told = [(result.field, result.reason)] if result.reason else []
        told += [
            (field, reason)
            for field, _, reason in (it.partition(": ") for it in result.warnings)
        ]
        for field, reason in told:
            self._list(
                line=result.row.number,
                user_id=result.row.user_id,
                customer_id=result.row.customer_id,
                state=result.state.value,
                field=field,
                reason=reason,
                code=result.code,
            )

    def _list(self, **item: object) -> None:
        if len(self.items) < LISTED_MAX:
            self.items.append(item)
        else:
            self.unlisted += 1

    def begin_batch(self, rows: int) -> None:
        self.begun, self._batch = True, rows

    @override
    def asked(self, count: int) -> None:
        self._step_within(f"{count} looked up")

    @override
    def read(self, count: int) -> None:
        self._step_within(f"{count} read")

    def _step_within(self, text: str) -> None:
        self._within = f"; of the next {self._batch} rows {text}"
        self.step()

    def end_batch(self, share: float | None) -> None:
        self.share, self._within = share, ""
        self.step()

    def step(self, *, last: bool = False) -> None:
        """Print the progress, at most once every SAID_EVERY_S seconds."""
        now = time.monotonic()
        if not last and now - self._said < SAID_EVERY_S:
            return
        self._said = now
        took_s = max(now - self._began, 0.001)
        left = ""
        if self.share and not last:
            left = f", about {took_s / self.share - took_s:.0f} s left"
        click.echo(
            f"{self.rows} rows, to line {self.next_line - 1}: {self._counted()}; "
            f"{self.rows / took_s:.0f} a second{left}{self._within}",
            err=True,
        )

    def _counted(self) -> str:
        done = "would be imported" if self.dry_run else "imported"
        repeated = f"{self.repeated} repeated, " if self.repeated else ""
        return (
            f"{self.counts[RowState.IMPORTED]} {done}, "
            f"{self.counts[RowState.KNOWN]} known, {repeated}{self.refused} refused"
        )

    def tell(self, *, as_json: bool) -> None:
        if as_json:
            click.echo(json.dumps(self._json()))
            return
        nothing = "nothing was refused" if self.complete else "nothing was refused yet"
        show_table(_COLUMNS, self.items, nothing=nothing, empty=_EMPTY)
        if self.unlisted:
            click.echo(f"and {self.unlisted} more", err=True)

    def _json(self) -> dict[str, object]:
        return {
            "complete": self.complete,
            "dry_run": self.dry_run,
            "rows": self.rows,
            "next_line": self.next_line,
            **{state.value: self.counts[state] for state in RowState},
            "repeated": self.repeated,
            "warned": self.warned,
            "items": self.items,
        }


def _printable(text: str | None) -> str | None:
    return text if text and text.isprintable() else None
