"""Bind many customers from a file, and import what they have at Stripe."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from io import TextIOWrapper
from pathlib import Path
from typing import BinaryIO, Final, Self, TextIO

import attrs
import click

from payments_core.by_hand import ByHand
from payments_core.errors import InvalidValue
from payments_core.jobs import (
    ImportCustomers,
    ImportRow,
    Patience,
    ReadHistory,
    Reconcile,
    RowResult,
    RowState,
)
from payments_core.jobs.import_customers import BATCH
from payments_service.cli import environment
from payments_service.cli.customer_file import (
    CustomerFile,
    FileFormat,
    FileRow,
    SeenRows,
    format_of,
)
from payments_service.cli.exit_codes import CommandError, Exit
from payments_service.cli.import_report import ImportReport
from payments_service.cli.progress import say_wait, told_if_cut_off

STDIN: Final = "-"


@attrs.define
class _RefusedFile:
    """The file of refused rows: each row as it was read, after the reason."""

    name: str
    rows: CustomerFile
    _file: TextIO
    # The file already has the headers, from an earlier run.
    _begun: bool

    @classmethod
    @contextmanager
    def opened(
        cls, name: str, rows: CustomerFile, *, source: str, again: bool
    ) -> Iterator[Self]:
        """Open the file; `again` appends to it. `source` is the file to import.

        Raises:
            CommandError: it cannot be opened, or must not be overwritten.
        """
        path = Path(name)
        try:
            if source != STDIN and path.exists() and path.samefile(source):
                raise CommandError(Exit.USAGE, "--refused: this is the file to import")
            begun = path.is_file() and path.stat().st_size > 0
            if begun and not again:
                raise CommandError(
                    Exit.USAGE, f"--refused: {name} exists, and is not empty"
                )
            file = path.open(
                "a" if again else "w",
                encoding="utf-8",
                errors="surrogateescape",
                newline="",
            )
        except OSError as error:
            raise cls._failed(name, error) from error
        try:
            yield cls(name, rows, file, begun)
        finally:
            # Each row was flushed as it was written, or its error was reported.
            with suppress(OSError):
                file.close()

    def write(self, text: str, why: str) -> None:
        """Write a row.

        Raises:
            CommandError: it cannot be written.
        """
        try:
            if not self._begun:
                self._begun = True
                self._file.write(self.rows.refused_header)
            self._file.write(self.rows.refused(text, why))
            self._file.flush()
        except OSError as error:
            raise self._failed(self.name, error) from error

    @staticmethod
    def _failed(name: str, error: OSError) -> CommandError:
        reason = error.strerror or type(error).__name__
        return CommandError(Exit.CONFIGURATION, f"--refused: {name}: {reason}")


@attrs.define
class _Source:
    """The rows of the file; rows that cannot be read go to the report."""

    size: int | None
    file: CustomerFile
    report: ImportReport
    refused: _RefusedFile | None
    seen: SeenRows
    from_line: int
    # The original text of the rows that the importer has at present.
    _texts: dict[int, str] = attrs.field(init=False, factory=dict)
    _unreadable: list[tuple[FileRow, InvalidValue]] = attrs.field(
        init=False, factory=list
    )

    @property
    def share(self) -> float | None:
        """How much of the file the rows returned so far are, from 0 to 1."""
        return self.file.read_bytes / self.size if self.size else None

    def batches(self) -> Iterator[list[ImportRow]]:
        """Return rows to import; call `add` with their results before the next."""
        rows, repeated = list[ImportRow](), 0
        for row in self.file.rows():
            try:
                read = row.read()
                before = self.seen.add(read)
            except InvalidValue as error:
                if row.line >= self.from_line:
                    self._unreadable.append((row, error))
            else:
                if row.line < self.from_line:
                    continue
                if before is not None:
                    self.report.repeated += 1
                    repeated = row.line
                    continue
                rows.append(read)
                self._texts[row.line] = row.text
            if len(rows) + len(self._unreadable) == BATCH:
                yield rows
                rows = []
        if rows or self._unreadable:
            yield rows
        elif self.from_line > 1 and not (self.report.begun or repeated):
            raise CommandError(
                Exit.USAGE,
                f"--from-line: there is no row in line {self.from_line} or after it",
            )
        self.report.next_line = max(self.report.next_line, repeated + 1)

    def add(self, results: Sequence[RowResult]) -> None:
        """Record the results of the rows, in the order of the file."""
        told: dict[int, RowResult | tuple[FileRow, InvalidValue]] = {
            **{it.row.number: it for it in results},
            **{row.line: (row, error) for row, error in self._unreadable},
        }
        for line, it in sorted(told.items()):
            if isinstance(it, RowResult):
                self.report.add(it)
                if it.state is RowState.REFUSED and self.refused is not None:
                    why = f"{it.field}: {it.reason}" if it.field else str(it.reason)
                    self.refused.write(self._texts[line], why)
            else:
                row, error = it
                self.report.unreadable(row, error)
                if self.refused is not None:
                    self.refused.write(row.text, str(error))
            self.report.next_line = line + 1
        self._texts.clear()
        self._unreadable.clear()


@click.command(name="import")
@click.argument(
    "file",
    type=click.Path(exists=True, dir_okay=False, allow_dash=True),
    help="The file; `-` is standard input.",
)
@click.option(
    "--format",
    "format_",
    type=click.Choice([it.value for it in FileFormat]),
    help="csv, with a header line, or jsonl; by default the file's extension.",
)
@click.option("--reason", help="Why; stored permanently; by default the file's name.")
@click.option(
    "--refused",
    "refused_file",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="Where to write the refused rows, each after the reason. A file that is not "
    "empty is refused, or appended to with --from-line.",
)
@click.option(
    "--from-line",
    type=click.IntRange(1),
    default=1,
    metavar="LINE",
    help="Continue with this line of the file: the lines before it were imported by a "
    "run that was interrupted. Refused rows are appended to --refused.",
)
@click.option(
    "--dry-run",
    is_flag=True,
    help="Check everything, also at Stripe, and change nothing.",
)
@click.option("--json", "as_json", is_flag=True, help="JSON on stdout.")
def import_(
    *,
    file: str,
    format_: str | None,
    reason: str | None,
    refused_file: str | None,
    from_line: int,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Bind many Stripe customers to users, and import what they have.

    A row has a user_id, an email and a customer_id. For each customer the
    subscriptions, paid invoices, charges and the card are read and recorded. A refused
    row is listed with the reason, and the import continues: exit code 6. An interrupted
    run prints the line to continue with; nothing is imported twice. More:
    docs/import.md.
    """
    known = FileFormat(format_) if format_ else format_of(file)
    if known is None:
        formats = " or ".join(it.value for it in FileFormat)
        raise click.UsageError(f"the file's name has no format: --format {formats}")
    if reason is None:
        name = "standard input" if file == STDIN else Path(file).name
        reason = f"imported from {name}"
    by_hand = ByHand.of(environment.operator().user_id, reason)
    report = ImportReport(dry_run=dry_run, next_line=from_line)

    async def work() -> None:
        with _opened(file, known, refused_file, report, from_line) as source:
            async with environment.opened() as container:
                history = ReadHistory(container[Reconcile], Patience(on_wait=say_wait))
                import_rows = ImportCustomers(history, report)
                for rows in source.batches():
                    report.begin_batch(len(rows))
                    results: Sequence[RowResult] = ()
                    if rows:
                        results = await import_rows(rows, by_hand, dry_run=dry_run)
                    source.add(results)
                    report.end_batch(source.share)

    def tell() -> None:
        if report.begun:
            report.step(last=True)
            if report.counts:
                report.tell(as_json=as_json)
            click.echo(
                f"stopped before the end: run it again with --from-line "
                f"{report.next_line}. What was imported stays imported",
                err=True,
            )

    with told_if_cut_off(tell):
        environment.run(work())
    report.complete = True
    report.step(last=True)
    report.tell(as_json=as_json)
    if report.refused:
        click.echo(
            f"{refused_file} has the refused rows with reasons: correct and import it"
            if refused_file
            else "--refused FILE writes the refused rows to a file, with the reasons",
            err=True,
        )
        raise SystemExit(Exit.REFUSED)


@contextmanager
def _opened(
    file: str,
    format_: FileFormat,
    refused_file: str | None,
    report: ImportReport,
    from_line: int,
) -> Iterator[_Source]:
    with ExitStack() as stack:
        raw: BinaryIO = sys.stdin.buffer
        size = None
        if file != STDIN:
            size = Path(file).stat().st_size
            raw = stack.enter_context(Path(file).open("rb"))
        text = TextIOWrapper(
            raw, encoding="utf-8-sig", errors="surrogateescape", newline=""
        )
        rows = CustomerFile(text, format_)
        refused = None
        if refused_file is not None:
            refused = stack.enter_context(
                _RefusedFile.opened(
                    refused_file, rows, source=file, again=from_line > 1
                )
            )
        seen = stack.enter_context(closing(SeenRows()))
        yield _Source(size, rows, report, refused, seen, from_line)
