"""`make test` runs what is quick, `make prove` everything with many more cases."""

import os
from typing import Final

import pytest

PROVES: Final = os.environ.get("HYPOTHESIS_PROFILE") == "prove"
only_in_prove: Final = pytest.mark.skipif(not PROVES, reason="`make prove` runs it")
