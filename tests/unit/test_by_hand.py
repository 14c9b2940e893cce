"""What an administrator decides by hand, with a reason."""

import pytest

from payments_core.by_hand import REASON_LENGTH_MAX, ByHand
from payments_core.errors import InvalidValue


@pytest.mark.parametrize(
    "reason", ["", "  ", "x" * (REASON_LENGTH_MAX + 1), "a\nb", "a\0", "\u200b"]
)
def test_a_reason_is_printable_text(reason: str) -> None:
    """
    It goes into a log, a page and a table.
    """
    with pytest.raises(InvalidValue) as refused:
        ByHand.of("ada", reason)
    assert refused.value.field == "reason"


def test_spaces_around_a_reason_do_not_count() -> None:
    """
    The longest reason is 500 characters.
    """
    longest = "ü" * REASON_LENGTH_MAX
    assert ByHand.of("ada", f" {longest}\n") == ByHand(by="ada", reason=longest)
