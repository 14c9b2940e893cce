"""What happens to each column when a user is erased is decided, and documented."""

from pathlib import Path

from payments_adapters.postgres.personal_data import FATES, Fate, fates
from payments_adapters.postgres.tables import METADATA

PAGE = Path(__file__).parents[2] / "docs" / "retention.md"


def test_of_each_column_it_is_decided_what_becomes_of_it() -> None:
    """
    A new column must be listed, because it may name a user.
    """
    columns = {
        (name, it.name) for name, table in METADATA.tables.items() for it in table.c
    }
    assert fates().keys() == columns


def test_what_becomes_of_it_is_told() -> None:
    """
    Table by table, in docs/retention.md.
    """
    assert f"\n{table()}\n" in PAGE.read_text()


def table() -> str:
    lines = ["| Table | kept | pseudonym | emptied |", "| --- | --- | --- | --- |"]
    for name, fate in sorted(FATES.items()):
        if isinstance(fate, Fate):
            lines.append(f"| `{name}` | {_WHOLE[fate]} | | |")
            continue
        cells = (
            ", ".join(f"`{it}`" for it, its in fate.items() if its is wanted)
            for wanted in (Fate.KEPT, Fate.PSEUDONYM, Fate.EMPTIED)
        )
        lines.append(f"| `{name}` | {' | '.join(cells)} |")
    return "\n".join(lines)


_WHOLE = {
    Fate.KEPT: "all",
    Fate.ROW_DELETED: "nothing: the rows go",
    Fate.EXPIRES: "all, until no token that it revokes is valid: then it is purged",
    Fate.OF_NO_USER: "all: it is about no user",
}
