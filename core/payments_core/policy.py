"""What the owner of a deployment decides."""

from datetime import timedelta
from typing import Final

import attrs

from payments_core.catalogue import Catalogue


@attrs.frozen
class Policy:
    """What the owner of the service decided.

    `grace` is how long access outlives the date. `livemode` is whether money is
    real here: events of the other mode are kept apart and never applied. `catalogue` is
    what is sold, and what it gives access to; a product of it may have a grace of its
    own.
    """

    grace: timedelta = timedelta(days=3)
    livemode: bool = False
    catalogue: Catalogue | None = None

    def grace_of(self, product: str) -> timedelta:
        """Return how long access to a product outlives what was paid."""
        if self.catalogue is None:
            return self.grace
        return self.catalogue.days_after_end.get(product, self.grace)


DEFAULT_POLICY: Final = Policy()
