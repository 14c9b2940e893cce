"""Lists for people: headers, columns, and missing values."""

import pytest

from payments_service.cli.table import show_table

COLUMNS = ("id", "user_id", "livemode", "reason")
EMPTY = {"user_id": "not linked", "reason": "nothing is open"}


def shown(
    capsys: pytest.CaptureFixture[str], *rows: dict[str, object]
) -> tuple[list[str], list[str]]:
    show_table(COLUMNS, rows, nothing="no event is kept", empty=EMPTY)
    out, err = capsys.readouterr()
    return out.splitlines(), err.splitlines()


def test_columns_stand_under_their_headers(capsys: pytest.CaptureFixture[str]) -> None:
    """
    As wide as the widest value; a missing value is explained once for a column.
    """
    out, err = shown(
        capsys,
        {"id": "evt_1", "user_id": None, "livemode": False, "reason": ""},
        {"id": "evt_1000", "user_id": None, "livemode": True, "reason": "late"},
    )

    assert out == [
        "ID        USER_ID  LIVEMODE  REASON",
        "evt_1     -        no        -",
        "evt_1000  -        yes       late",
    ]
    assert err == ["- in USER_ID: not linked", "- in REASON: nothing is open"]


def test_what_is_there_is_not_explained(capsys: pytest.CaptureFixture[str]) -> None:
    """
    Zero is a value, too.
    """
    out, err = shown(
        capsys, {"id": 0, "user_id": "ada", "livemode": True, "reason": "x"}
    )

    assert out[1].split() == ["0", "ada", "yes", "x"]
    assert err == []


def test_without_rows_it_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    """
    On stderr: stdout has no data but the headers.
    """
    assert shown(capsys) == (
        ["ID  USER_ID  LIVEMODE  REASON"],
        ["no event is kept"],
    )
