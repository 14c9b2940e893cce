"""A file of users and their customers, read row by row.

Rule 1: a row that cannot be read is refused with its line, the field and the reason;
        the rest is read. A line that is too long is cut, and its row is refused.
Rule 2: a file can be larger than memory: one row at a time is in memory. The users,
        customers and e-mails of earlier rows are stored on disk.
Rule 3: a refused row can be written unchanged, to be corrected, after the reason. The
        reason is skipped when the row is read, and replaced when the row is refused
        again.
"""

import csv
import json
import re
import sqlite3
from collections.abc import Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Final, TextIO

import attrs
import msgspec

from payments_adapters.emails import read_email
from payments_core.errors import InvalidValue
from payments_core.identity import customer_id, user_id
from payments_core.jobs import ImportRow

FIELDS: Final = ("user_id", "email", "customer_id")
# The reason in a file of refused rows: the first column, or the first member.
REFUSED: Final = "refused"
_REFUSED_CELL: Final = re.compile(r'(?:"(?:[^"]|"")*"|[^",\r\n]*),')
_REFUSED_MEMBER: Final = re.compile(
    rf'\s*\{{(?:[ \t]*"{REFUSED}"[ \t]*:[ \t]*"(?:[^"\\]|\\.)*"[ \t]*,?)?[ \t]*'
)
# A user id, an e-mail and a customer id have a few hundred characters.
LINE_LENGTH_MAX: Final = 16 * 1024


class FileFormat(StrEnum):
    CSV = "csv"
    JSONL = "jsonl"


def format_of(name: str) -> FileFormat | None:
    """Return the format of a file by its extension; None if it is not known."""
    suffix = Path(name).suffix.lower().removeprefix(".")
    return next((it for it in FileFormat if it == suffix), None)


@attrs.frozen
class FileRow:
    """A row as text, and its fields, or why it cannot be read.

    It ends in `last_line`: a quoted text can have several lines.
    """

    line: int
    text: str
    said: Mapping[str, str] | InvalidValue
    last_line: int = 0

    def read(self) -> ImportRow:
        """Read the row.

        Raises:
            InvalidValue: a field, or the whole row, is missing or wrong.
        """
        try:
            return self._read()
        except InvalidValue as error:
            if self.last_line <= self.line:
                raise
            # A quote that is not closed also includes valid rows.
            reason = f"{error.reason} (lines {self.line} to {self.last_line})"
            raise InvalidValue(error.field, reason) from error

    def _read(self) -> ImportRow:
        if isinstance(self.said, InvalidValue):
            raise self.said
        if self.text.encode(errors="ignore") != self.text.encode(
            errors="surrogateescape"
        ):
            raise InvalidValue("", "not UTF-8")
        user, email, customer = (self.said.get(name, "") for name in FIELDS)
        for name in FIELDS:
            if not self.said.get(name):
                raise InvalidValue(name, "missing")
        return ImportRow(
            number=self.line,
            user_id=user_id(user),
            email=read_email(email),
            customer_id=customer_id(customer),
        )


@attrs.define
class _Lines:
    """The lines of a stream; `text` has those of the present row."""

    stream: TextIO
    read: int = 0
    text: str = ""
    too_long: bool = False

    def begin_row(self) -> None:
        self.text, self.too_long = "", False

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self.stream.readline(LINE_LENGTH_MAX)
        if not line:
            raise StopIteration
        part = line
        while len(part) == LINE_LENGTH_MAX and not part.endswith("\n"):
            self.too_long = True
            part = self.stream.readline(LINE_LENGTH_MAX)
        if self.too_long:
            line = f"{line.rstrip()}\n"
        self.read += 1
        self.text += line
        return line


@attrs.define
class CustomerFile:
    """The rows of a stream that was opened with `newline=""`.

    `refused_header` is the text that a file of its refused rows begins with,
    `read_bytes` the length of the rows returned so far.
    """

    _stream: TextIO
    _format: FileFormat
    refused_header: str = ""
    read_bytes: int = 0
    # Whether this file is itself a file of refused rows.
    _has_reasons: bool = False

    def rows(self) -> Iterator[FileRow]:
        """Return the rows in the order of the file, without blank lines.

        Raises:
            InvalidValue: the header line lacks a column, or has one twice.
        """
        lines = _Lines(self._stream)
        rows = self._csv(lines) if self._format is FileFormat.CSV else _json_rows(lines)
        for row in rows:
            if lines.too_long:
                reason = f"over {LINE_LENGTH_MAX} characters in a line"
                row = attrs.evolve(row, said=InvalidValue("", reason))  # noqa: PLW2901
            self.read_bytes += len(lines.text.encode(errors="surrogateescape"))
            yield attrs.evolve(row, last_line=lines.read)

    def _csv(self, lines: _Lines) -> Iterator[FileRow]:
        reader, names = csv.reader(lines, strict=True), None
        while True:
            lines.begin_row()
            line = lines.read + 1
            said: Mapping[str, str] | InvalidValue
            try:
                cells = [it.strip() for it in next(reader)]
            except StopIteration:
                break
            except csv.Error as error:
                said = InvalidValue("", f"not CSV: {error}; is a quote not closed?")
                if names is None:
                    raise said from error
                yield FileRow(line, lines.text, said)
                continue
            if not any(cells):
                continue
            if names is None:
                names = _headers(cells)
                self._has_reasons = names[0] == REFUSED
                again = lines.text if self._has_reasons else f"{REFUSED},{lines.text}"
                self.refused_header = again
                continue
            said = dict(zip(names, cells, strict=False))
            if len(cells) != len(names):
                reason = f"{len(cells)} cells, but the header line has {len(names)}"
                said = InvalidValue("", reason)
            yield FileRow(line, lines.text, said)
        if names is None:
            wanted = ",".join(FIELDS)
            raise InvalidValue("", f"the file has no header line: {wanted}")

    def refused(self, text: str, reason: str) -> str:
        """Return the text of a refused row, with the reason before it."""
        reason = " ".join(reason.split())
        # The last line of a file may lack a newline.
        text = text if text.endswith("\n") else f"{text}\n"
        if self._format is FileFormat.CSV:
            cell = _REFUSED_CELL.match(text) if self._has_reasons else None
            quoted = reason.replace('"', '""')
            return f'"{quoted}",{text[cell.end() :] if cell else text}'
        begin = _REFUSED_MEMBER.match(text)
        if begin is None:
            # The text is not an object, so the reason has no place in it.
            return text
        rest = text[begin.end() :]
        comma = "" if rest.startswith("}") else ", "
        return f'{{"{REFUSED}": {json.dumps(reason)}{comma}{rest}'


def _headers(cells: list[str]) -> list[str]:
    for name in FIELDS:
        if cells.count(name) != 1:
            wanted = ",".join(FIELDS)
            how = "twice" if name in cells else "not"
            reason = f"{how} in the header line, which must have {wanted}"
            raise InvalidValue(name, reason)
    return cells


def _json_rows(lines: _Lines) -> Iterator[FileRow]:
    lines.begin_row()
    for text in lines:
        if text.strip():
            yield FileRow(lines.read, lines.text, _said(text))
        lines.begin_row()


def _said(text: str) -> Mapping[str, str] | InvalidValue:
    try:
        it = msgspec.json.decode(text.encode(errors="surrogateescape"))
        names = json.loads(text, object_pairs_hook=_names)
    except (ValueError, RecursionError):
        return InvalidValue("", "not JSON")
    if not isinstance(it, dict):
        return InvalidValue("", "not a JSON object")
    for name in FIELDS:
        if names.count(name) > 1:
            return InvalidValue(name, "twice in the object")
        if it.get(name) is not None and not isinstance(it[name], str):
            return InvalidValue(name, "not a string")
    return {name: it[name] for name in FIELDS if it.get(name) is not None}


def _names(pairs: list[tuple[str, object]]) -> list[str]:
    return [name for name, _ in pairs]


class SeenRows:
    """The line of each user, customer and e-mail so far, in a temporary file."""

    def __init__(self) -> None:
        # Without a name SQLite uses a temporary file, deleted with the connection.
        self._rows = sqlite3.connect("", isolation_level=None)
        self._rows.execute("pragma journal_mode = off")
        self._rows.execute("pragma synchronous = off")
        self._rows.execute(
            "create table seen (name text primary key, line int, other text)"
            " without rowid"
        )

    def add(self, row: ImportRow) -> int | None:
        """Add a row; return the earlier line that had this user and customer.

        Raises:
            InvalidValue: an earlier line contradicts it.
        """
        known = {
            "customer_id": (f"user {row.user_id}", row.customer_id),
            "user_id": (f"customer {row.customer_id}", row.user_id),
            "email": (f"email {row.email.key}", row.user_id),
        }
        before: int | None = None
        for field, (name, other) in known.items():
            found = self._rows.execute(
                "select line, other from seen where name = ?", (name,)
            ).fetchone()
            if found is not None and found[1] != other:
                whose = name.partition(" ")[0]
                reason = f"line {found[0]} has a different value for the same {whose}"
                raise InvalidValue(field, reason)
            if found is not None and field == "customer_id":
                before = int(found[0])
        self._rows.executemany(
            "insert or ignore into seen values (?, ?, ?)",
            [(name, row.number, other) for name, other in known.values()],
        )
        return before

    def close(self) -> None:
        self._rows.close()
