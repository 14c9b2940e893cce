"""`make test` runs what is quick, `make prove` everything with many more cases."""

import os
from typing import Final

import pytest

PROVES: Final = os.environ.get("HYPOTHESIS_PROFILE") == "prove"
# How many times as many examples a proof has, of a property with a number of its own.
_MORE: Final = 10
only_in_prove: Final = pytest.mark.skipif(not PROVES, reason="`make prove` runs it")


def examples(count: int, *, proven: int | None = None) -> int:
    """Return how many examples a property has that needs more, or fewer, than most.

    `proven` is how many it has in `make prove`, where ten times as many are too few.
    """
    return (proven or count * _MORE) if PROVES else count
