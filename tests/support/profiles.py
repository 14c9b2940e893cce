"""`make test` runs the quick tests, `make prove` everything with many more cases."""

import os
from typing import Final

import pytest

PROVES: Final = os.environ.get("HYPOTHESIS_PROFILE") == "prove"
# The factor by which a proof has more examples, for a property with its own number.
_MORE: Final = 10
only_in_prove: Final = pytest.mark.skipif(not PROVES, reason="`make prove` runs it")


def examples(count: int, *, proven: int | None = None) -> int:
    """Return the number of examples of a property that needs more, or fewer, than most.

    `proven` is the number in `make prove`, if ten times as many are too few.
    """
    return (proven or count * _MORE) if PROVES else count
