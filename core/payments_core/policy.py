"""What the owner of a deployment decides."""

from datetime import timedelta
from typing import Final

import attrs


@attrs.frozen
class Policy:
    """What the owner of the service decided.

    `grace` is how long access outlives the date. `livemode` is whether money is
    real here: events of the other mode are kept apart and never applied.
    """

    grace: timedelta = timedelta(days=3)
    livemode: bool = False


DEFAULT_POLICY: Final = Policy()
