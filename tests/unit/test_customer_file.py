"""A file of customers: each row is read, or refused with its line and the reason."""

import io
import tracemalloc
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from typing_extensions import override

from payments_core.errors import InvalidValue
from payments_core.identity import CustomerId, Email, UserId
from payments_core.jobs import ImportRow
from payments_service.cli.customer_file import (
    LINE_LENGTH_MAX,
    CustomerFile,
    FileFormat,
    FileRow,
    SeenRows,
    format_of,
)
from support.profiles import PROVES

HEADER = "user_id,email,customer_id\n"
ADA = "ada,ada@example.com,cus_1"
FIELDS_OF_ADA = {"user_id": "ada", "email": "ada@example.com", "customer_id": "cus_1"}


def opened(body: bytes | str, format_: FileFormat = FileFormat.CSV) -> CustomerFile:
    raw = io.BytesIO(body.encode() if isinstance(body, str) else body)
    text = io.TextIOWrapper(
        raw, encoding="utf-8-sig", errors="surrogateescape", newline=""
    )
    return CustomerFile(text, format_)


def rows(body: bytes | str, format_: FileFormat = FileFormat.CSV) -> list[FileRow]:
    return list(opened(body, format_).rows())


def refusal_of(row: FileRow) -> InvalidValue:
    with pytest.raises(InvalidValue) as refusal:
        row.read()
    return refusal.value


@pytest.mark.parametrize(
    "body",
    [
        f"{HEADER}{ADA}\n",
        f"{HEADER}{ADA}",
        f"\ufeff{HEADER}{ADA}\n",
        f"{HEADER}{ADA}\n".replace("\n", "\r\n"),
        f'{HEADER}"ada","ada@example.com","cus_1"\n',
        f"{HEADER}  ada , ada@example.com ,cus_1 \n",
        "customer_id,name,user_id,email\ncus_1,Ada,ada,ada@example.com\n",
        'customer_id,name,user_id,email\ncus_1,"A, ""da""",ada,ada@example.com\n',
    ],
)
def test_a_row_of_csv_is_read(body: str) -> None:
    """
    In whatever order the columns are; unknown columns are ignored.
    """
    [row] = rows(body)

    assert row.line == 2
    assert row.read() == ImportRow(
        number=2,
        user_id=UserId("ada"),
        email=Email.of("ada@example.com"),
        customer_id=CustomerId("cus_1"),
    )


def test_a_row_of_json_lines_is_read() -> None:
    """
    Unknown fields are ignored, and so are blank lines.
    """
    line = (
        '{"customer_id": "cus_1", "name": null, "user_id": "ada",'
        ' "email": "ada@example.com"}'
    )
    found = rows(f"\ufeff{line}\r\n\n  \n{line}", FileFormat.JSONL)

    assert [it.line for it in found] == [1, 4]
    assert [it.said for it in found] == [FIELDS_OF_ADA] * 2


def test_how_much_was_read_is_known_row_by_row() -> None:
    """
    To the byte, though the stream reads ahead; the rest does not count yet.
    """
    row = "jürgen,j@b.c,cus_1\n"
    file = opened(HEADER + row * 3)
    seen = [file.read_bytes for _ in file.rows()]
    assert seen == [count * len(row.encode()) for count in (1, 2, 3)]


def test_lines_are_numbered_as_an_editor_does() -> None:
    """
    Blank lines count; a row of several lines has the number of its first.
    """
    body = f'{HEADER}\n{ADA}\n\n"b\nc",b@example.com,cus_2\n{ADA}\n'
    found = rows(body)

    assert [it.line for it in found] == [3, 5, 7]
    assert refusal_of(found[1]).field == "user_id"
    assert [found[0].read().number, found[2].read().number] == [3, 7]


@pytest.mark.parametrize(
    ("row", "field"),
    [
        ("ada,ada@example.com", ""),
        ("ada,ada@example.com,cus_1,more", ""),
        (",ada@example.com,cus_1", "user_id"),
        ("ada,,cus_1", "email"),
        ("ada,ada@example.com,", "customer_id"),
        ("a da,ada@example.com,cus_1", "user_id"),
        ("ada,ada,cus_1", "email"),
        ("ada,ada@example.com,cus/1", "customer_id"),
        ("ada,ada@exa\x00mple.com,cus_1", "email"),
        ('ada,"ada"@example.com,cus_1', ""),
        (f"ada,{'a' * LINE_LENGTH_MAX}@example.com,cus_1", ""),
        ("ada,\udcff@example.com,cus_1", ""),
    ],
)
def test_a_bad_row_of_csv_is_refused_and_the_rest_is_read(row: str, field: str) -> None:
    """
    With the field, if the error is about one; its text is stored to be written again.
    """
    body = f"{HEADER}{row}\n{ADA}\n".encode(errors="surrogateescape")
    bad, good = rows(body)

    assert refusal_of(bad).field == field
    assert bad.text[:LINE_LENGTH_MAX] == f"{row}\n"[:LINE_LENGTH_MAX]
    assert good.read().number == 3


@pytest.mark.parametrize(
    ("line", "field"),
    [
        ("{", ""),
        ("[]", ""),
        ("7", ""),
        ("[" * 5_000, ""),
        ('{"email": "ada@example.com", "customer_id": "cus_1"}', "user_id"),
        ('{"user_id": 7, "email": "a@b.c", "customer_id": "cus_1"}', "user_id"),
        ('{"user_id": "ada", "email": null, "customer_id": "cus_1"}', "email"),
        ('{"user_id": "ada", "email": "\udcff@b.c", "customer_id": "cus_1"}', ""),
        (f'{{"user_id": "{"a" * LINE_LENGTH_MAX}"}}', ""),
        (
            '{"user_id": "a", "user_id": "b", "email": "a@b.c", "customer_id": "c"}',
            "user_id",
        ),
        ('{"user_id": ' + "9" * 5_000 + "}", ""),
    ],
)
def test_a_bad_line_of_json_is_refused_and_the_rest_is_read(
    line: str, field: str
) -> None:
    """
    As a row of CSV is.
    """
    good = '{"user_id": "ada", "email": "a@b.c", "customer_id": "cus_1"}'
    body = f"{line}\n{good}\n".encode(errors="surrogateescape")
    bad, fine = rows(body, FileFormat.JSONL)

    assert refusal_of(bad).field == field
    assert fine.read().number == 2


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ("", ""),
        ("\n\n", ""),
        (f"{ADA}\n", "user_id"),
        ("user_id,email\n", "customer_id"),
        ("user_id,email,customer_id,email\n", "email"),
        ('user_id,"email"x,customer_id\n', ""),
    ],
)
def test_without_its_line_of_headers_nothing_is_read(body: str, field: str) -> None:
    """
    Which column is which would be a guess.
    """
    with pytest.raises(InvalidValue) as refusal:
        rows(body)
    assert refusal.value.field == field


def test_a_quote_that_is_never_closed_costs_some_rows_and_no_more() -> None:
    """
    The reader abandons it, and continues.
    """
    body = f'{HEADER}"ada,\n' + f"{ADA}\n" * 20_000
    bad, *rest = rows(body)

    reason = refusal_of(bad).reason
    assert reason.startswith("not CSV")
    assert rest[-1].read().user_id == "ada"
    assert rest[-1].line == 20_002
    assert reason.endswith(f"(lines 2 to {rest[0].line - 1})")


def test_a_quote_that_is_closed_in_a_later_row_names_the_lines_between() -> None:
    """
    Their rows are valid, and are refused with it.
    """
    body = f'{HEADER}"ada,a@b.c,cus_1\nbob,b@b.c,cus_2\n",x,cus_3\n{ADA}\n'
    bad, after = rows(body)

    assert refusal_of(bad).reason.endswith("(lines 2 to 4)")
    assert (after.line, after.read().user_id) == (5, "ada")


@pytest.mark.parametrize(
    ("name", "format_"),
    [
        ("a.csv", FileFormat.CSV),
        ("a.b.CSV", FileFormat.CSV),
        ("a.jsonl", FileFormat.JSONL),
        ("a.json", None),
        ("csv", None),
        ("-", None),
    ],
)
def test_a_files_name_says_its_format(name: str, format_: FileFormat | None) -> None:
    """
    Otherwise it must be given.
    """
    assert format_of(name) is format_


# What comes twice


@pytest.fixture
def seen() -> Iterator[SeenRows]:
    with closing(SeenRows()) as it:
        yield it


def row(number: int, user: str, customer: str, email: str | None = None) -> ImportRow:
    return ImportRow(
        number=number,
        user_id=UserId(user),
        email=Email.of(email or f"{user}@example.com"),
        customer_id=CustomerId(customer),
    )


@pytest.mark.parametrize(
    ("format_", "body", "refused"),
    [
        (FileFormat.CSV, f"{HEADER}a,b,c", 'refused,{}"why ""so"", now",a,b,c\n'),
        (FileFormat.CSV, f'{HEADER}"a,b\n', 'refused,{}"why ""so"", now","a,b\n'),
        (FileFormat.JSONL, '{"a": 1}', '{"refused": "why \\"so\\", now", "a": 1}\n'),
        (FileFormat.JSONL, " {} \n", '{"refused": "why \\"so\\", now"} \n'),
        (FileFormat.JSONL, "{a\n", '{"refused": "why \\"so\\", now", a\n'),
        # Its line ends where it did.
        (FileFormat.JSONL, "{\n", '{"refused": "why \\"so\\", now", \n'),
        (
            FileFormat.JSONL,
            '{"refused":"a"\n',
            '{"refused": "why \\"so\\", now", \n',
        ),
        (FileFormat.JSONL, "[7]\n", "[7]\n"),
    ],
)
def test_a_refused_row_is_written_as_it_was_behind_why(
    format_: FileFormat, body: str, refused: str
) -> None:
    """
    Only once: of a row that was refused before, the former reason is dropped. A
    corrected row is read without it; a line that is not an object has no place for it.
    """

    def again(body: str, reason: str) -> str:
        file = CustomerFile(io.StringIO(body, newline=""), format_)
        text = "".join(file.refused(it.text, reason) for it in file.rows())
        return file.refused_header + text

    before = again(body, "before")
    expected = (
        refused.replace("{}", HEADER, 1) if format_ is FileFormat.CSV else refused
    )

    assert again(body, 'why "so",\nnow') == expected
    assert again(before, 'why "so",\nnow') == expected


def test_a_mended_row_is_read_without_why_it_was_refused() -> None:
    """
    However a spreadsheet changed the quotes.
    """
    for cell in ('"email: missing"', "email: missing", ""):
        [mended] = rows(f"refused,{HEADER}{cell},{ADA}\n")
        assert (mended.read().user_id, mended.read().customer_id) == ("ada", "cus_1")


@pytest.mark.parametrize(
    ("second", "field", "what"),
    [
        (row(7, "ada", "cus_2"), "customer_id", "user"),
        (row(7, "bob", "cus_1"), "user_id", "customer"),
        (row(7, "bob", "cus_2", "ADA@example.com"), "email", "email"),
    ],
)
def test_a_line_that_contradicts_one_before_is_refused(
    seen: SeenRows, second: ImportRow, field: str, what: str
) -> None:
    """
    It names the earlier line; a refused line refuses nothing after it.
    """
    seen.add(row(2, "ada", "cus_1"))
    with pytest.raises(InvalidValue) as refusal:
        seen.add(second)

    assert refusal.value.field == field
    assert refusal.value.reason == f"line 2 has a different value for the same {what}"
    seen.add(row(8, "carl", "cus_2"))


def test_a_line_that_says_the_same_is_fine(seen: SeenRows) -> None:
    """
    It names the first such line; a new e-mail of the same user changes nothing.
    """
    assert seen.add(row(2, "ada", "cus_1")) is None
    assert seen.add(row(3, "ada", "cus_1")) == 2
    assert seen.add(row(4, "ada", "cus_1", "other@example.com")) == 2
    assert seen.add(row(4, "bob", "cus_2")) is None
    # A later line is compared with the first line.
    with pytest.raises(InvalidValue, match="line 2"):
        seen.add(row(5, "ada", "cus_2"))


def test_a_file_may_be_longer_than_memory(seen: SeenRows) -> None:
    """
    What is stored of it does not grow with its length.
    """
    length = 1_000_000 if PROVES else 10_000

    class Endless(io.RawIOBase):
        """Rows that are generated as they are read."""

        number = 0

        @override
        def readable(self) -> bool:
            return True

        @override
        def readinto(self, buffer: Any) -> int:
            if self.number > length:
                return 0
            number, self.number = self.number, self.number + 1
            text = f"u{number},u{number}@example.com,cus_{number}\n".encode()
            text = text if number else HEADER.encode()
            buffer[: len(text)] = text
            return len(text)

    file = CustomerFile(
        io.TextIOWrapper(io.BufferedReader(Endless()), newline=""), FileFormat.CSV
    )
    count = 0
    tracemalloc.start()
    try:
        for it in file.rows():
            if not it.line % 10:
                seen.add(it.read())
            count += 1
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert count == length
    assert peak < 1024 * 1024
