"""A year of one user, in seconds."""

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from support.dev_service import (
    payments,
    processes_of,
)

# The progress that it reports.
STEPS: Final = r"(?m)^ *\d+\.\d s  \S.*\n"


def test_the_demo_plays_a_year_and_leaves_nothing(tmp_path: Path) -> None:
    """
    Subscribed, eleven renewals, a card that fails in month seven, recovered, canceled;
    the demo changes nothing that the user has.
    """
    cwd, temporary = tmp_path / "cwd", tmp_path / "temporary"
    cwd.mkdir()
    temporary.mkdir()

    answer = payments(
        "dev",
        "--demo",
        folder=tmp_path / ".payments",
        cwd=cwd,
        TMPDIR=str(temporary),
        PAYMENTS_DATABASE_URL="postgresql://nobody@127.0.0.1:1/mine",
    )

    assert (answer.returncode, re.sub(STEPS, "", answer.stderr)) == (0, "")
    rows = [re.split(r"\s{2,}", line) for line in answer.stdout.splitlines()]
    assert rows[0] == [
        "day",
        "what happened",
        "status",
        "paid until",
        "access",
        "why",
    ]
    # Her last month ends on the day of the last row: grace begins.
    assert [row[4] for row in rows[1:]] == ["no", *["yes"] * (len(rows) - 2)]
    told = [(row[1], row[2]) for row in rows[1:]]
    assert told == [
        ("registered", "none"),
        ("subscribed", "paid"),
        *((f"renewal {month}", "paid") for month in range(1, 7)),
        ("renewal 7: the card fails", "failed"),
        ("Stripe retries: recovered", "paid"),
        *((f"renewal {month}", "paid") for month in range(8, 12)),
        ("canceled", "paid"),
        ("a month later", "paid"),
    ]
    by_what = {row[1]: row for row in rows[1:]}
    failed = by_what["renewal 7: the card fails"]
    assert failed[5].endswith("failed (insufficient_funds)")
    # A failure shortens no paid period, and every payment extends it.
    assert failed[3] == by_what["renewal 6"][3]
    until = [row[3] for row in rows[2:]]
    assert until == sorted(until)
    assert len(set(until)) == 12
    assert datetime.fromisoformat(rows[-1][0]).date() == datetime.now(UTC).date()
    assert list(cwd.iterdir()) == []
    assert list(temporary.iterdir()) == []
    assert not (tmp_path / ".payments").exists()
    assert processes_of(tmp_path) == []
