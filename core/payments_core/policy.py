"""The policy of a deployment."""

from datetime import timedelta
from typing import Final

import attrs

from payments_core.catalogue import Catalogue


@attrs.frozen
class Policy:
    """The decisions of the deployment's owner.

    `grace` is how long access outlives the date. `livemode`: money is real here; events
    of the other mode are quarantined and never applied. `catalogue` is what is sold and
    what it gives access to; its products may have a grace of their own.
    """

    grace: timedelta = timedelta(days=3)
    livemode: bool = False
    catalogue: Catalogue | None = None

    def grace_of(self, product: str) -> timedelta:
        """Return how long access to a product outlives the paid time."""
        if self.catalogue is None:
            return self.grace
        return self.catalogue.days_after_end.get(product, self.grace)


DEFAULT_POLICY: Final = Policy()
