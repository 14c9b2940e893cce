"""What a copy knows about all users: pure rules, without a clock or a network.

Rule 1: for each user the change with the greatest version counts; a late or repeated
        change has no effect.
Rule 2: features follow from the catalogue; without one each product is a feature with
        its own name.
Rule 3: if several grants give a feature, the latest end counts.
Rule 4: the access of a user whose change has no grants is unknown: the change was made
        by a release that did not log them.
"""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from payments_client.shapes import Catalogue, Change

# The version of a service that has no catalogue.
NO_CATALOGUE: Final = "none"
PREPAID: Final = "prepaid"
_NOTHING: Final[Mapping[str, float]] = {}


class Row(NamedTuple):
    """A user: the version of what is known, and when each of their features ends.

    Features are None if they are unknown.
    """

    version: int
    until: Mapping[str, float] | None


class Features:
    """Which features a product gives at a price."""

    def __init__(self, catalogue: Catalogue) -> None:
        self.catalogue = catalogue
        self.version = catalogue.version
        self._products = {it.product: it for it in catalogue.products}
        if catalogue.prepaid is not None:
            self._products[PREPAID] = catalogue.prepaid
        self._names = {
            name
            for it in self._products.values()
            for names in (it.features, *it.price_features.values())
            for name in names
        }

    def names(self, feature: str) -> bool:
        """Return whether a feature may exist; without a catalogue any name may."""
        return self.version == NO_CATALOGUE or feature in self._names

    def of(self, product: str, price: str | None) -> Sequence[str]:
        if self.version == NO_CATALOGUE:
            return (product,)
        known = self._products.get(product)
        if known is None:
            return ()
        of_price = known.price_features.get(price, ()) if price else ()
        return (*known.features, *of_price)


class Rows:
    """All users about whom something is known."""

    def __init__(
        self, features: Features, rows: Mapping[str, Row] | None = None
    ) -> None:
        self.features = features
        self._rows = dict(rows or {})

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, user: str) -> bool:
        row = self._rows.get(user)
        return row is not None and row.until is not None

    def all(self) -> dict[str, Row]:
        """Return a copy of all rows, by user."""
        return dict(self._rows)

    def take(self, change: Change) -> None:
        """Apply a change, unless a later one of the user is known."""
        known = self._rows.get(change.user_id)
        if known is not None and known.version >= change.version:
            return
        ends_at = change.entitled_until
        if ends_at is not None and ends_at > change.at and not change.grants:
            self._rows[change.user_id] = Row(change.version, None)
            return
        until: dict[str, float] = {}
        for grant in change.grants:
            ends = grant.until.timestamp()
            for feature in self.features.of(grant.product, grant.price):
                until[feature] = max(ends, until.get(feature, ends))
        self._rows[change.user_id] = Row(change.version, until or _NOTHING)

    def until(self, user: str, feature: str) -> float:
        """Return when a user's feature ends, in seconds since 1970; 0: never."""
        row = self._rows.get(user)
        if row is None or row.until is None:
            return 0.0
        return row.until.get(feature, 0.0)
