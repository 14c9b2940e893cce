"""Rows of the log as Postgres has them, also those of earlier migrations."""

from datetime import timedelta
from typing import Any, Final

import pytest

from contracts.examples import NOON
from payments_adapters.postgres.rows import to_logged

DAY: Final = timedelta(days=1)


def row(**others: Any) -> dict[str, Any]:
    return {
        "version": 1,
        "at": NOON,
        "payment_status": "paid",
        "payment_expire_date": NOON + DAY,
        "entitled_until": NOON + 2 * DAY,
        "grace_s": 86_400,
        "status_by": None,
        "date_by": None,
        "cause": "paid",
        "sources": [],
        "grants": None,
        "catalogue": None,
        "ends_at": None,
        **others,
    }


@pytest.mark.parametrize(
    ("others", "ends_at"),
    [
        ({}, NOON + 2 * DAY),
        ({"at": NOON + 2 * DAY}, None),
        ({"entitled_until": None}, None),
        ({"grants": "[]"}, None),
        ({"grants": "[]", "ends_at": NOON + DAY}, NOON + DAY),
    ],
    ids=["before 0018", "over", "none", "nothing ends", "the first end"],
)
def test_when_access_ends_is_known_of_rows_of_each_age(
    others: dict[str, Any], ends_at: object
) -> None:
    """
    Before migration 0018 all of it ended at once.
    """
    assert to_logged(row(**others)).ends_at == ends_at
