"""Every kind and every cause of drift is documented."""

from collections.abc import Sequence
from pathlib import Path

from payments_core.drift import FOR_A_PERSON, MEANINGS, DriftKind
from payments_core.jobs.drift_cause import CAUSES, DriftCause

PAGE = Path(__file__).parents[2] / "docs" / "reconciliation.md"


def table(head: str, rows: Sequence[tuple[str, ...]]) -> str:
    """Return a table of Markdown, with the names in the first column."""
    columns = head.count("|") + 1
    lines = [f"| {head} |", "|" + " --- |" * columns]
    lines += [f"| `{name}` | {' | '.join(rest)} |" for name, *rest in rows]
    return "\n".join(lines)


def test_each_kind_of_drift_has_its_line() -> None:
    """
    With its meaning, and who repairs it.
    """
    assert set(MEANINGS) == set(DriftKind)
    rows = [
        (
            kind.value,
            MEANINGS[kind],
            "a person" if kind in FOR_A_PERSON else "`--apply`",
        )
        for kind in DriftKind
    ]
    assert table("Kind | What differs | Who repairs it", rows) in PAGE.read_text()


def test_each_cause_has_its_line() -> None:
    """
    As far as it can be known.
    """
    rows = [(cause.value, CAUSES[cause]) for cause in DriftCause]
    assert table("Cause | How it is known", rows) in PAGE.read_text()
