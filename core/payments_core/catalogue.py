"""The catalogue: what is sold and what it gives access to, from the owner's file.

Rule 1: without a catalogue every product is a feature of the same name; so are prepaid
        months, whose product is called `prepaid`.
Rule 2: with a catalogue, a product gives its features, and a price of it gives its own
        features in addition. What the catalogue does not list gives none.
Rule 3: none of it is stored with a user: an added feature applies at once to everybody
        who has the product.
Rule 4: a price belongs to one product.
"""

from collections.abc import Iterable, Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import Final, Self

import attrs

# The product of months bought by payments outside of any subscription.
PREPAID: Final = "prepaid"
# The version where there is no catalogue.
NO_VERSION: Final = "none"
_NONE: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType({})


@attrs.frozen(kw_only=True)
class CatalogueProduct:
    """One of the gateway's products, or prepaid months (`PREPAID`).

    `prices` are those that any caller may choose. `price_features` are additional
    features of single prices. `trial_days` is how many days a user's first subscription
    is free. `days_after_end` is how many days access outlives the paid time; None: the
    policy's grace.
    """

    product: str
    name: str | None = None
    prices: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    price_features: Mapping[str, tuple[str, ...]] = _NONE
    trial_days: int | None = None
    days_after_end: int | None = None


@attrs.frozen(kw_only=True)
class Catalogue:
    """All listed products, in the order of the file, including `PREPAID` if listed.

    `version` is a hash of the content, 12 characters; `features` are all that it lists.
    `days_after_end` has the products with days of their own.
    """

    products: Mapping[str, CatalogueProduct]
    version: str
    features: tuple[str, ...]
    days_after_end: Mapping[str, timedelta]

    @classmethod
    def of(cls, products: Iterable[CatalogueProduct]) -> Self:
        """Return the catalogue of these products, each once."""
        by_id = {it.product: it for it in products}
        # Each once, in order of first appearance.
        features = dict.fromkeys(
            feature
            for it in by_id.values()
            for some in (it.features, *it.price_features.values())
            for feature in some
        )
        days = {
            id_: timedelta(days=it.days_after_end)
            for id_, it in by_id.items()
            if it.days_after_end is not None
        }
        return cls(
            products=MappingProxyType(by_id),
            version=_version_of(by_id),
            features=tuple(features),
            days_after_end=MappingProxyType(days),
        )

    @property
    def is_none(self) -> bool:
        """Whether there is no catalogue (rule 1)."""
        return not self.products

    def features_of(self, product: str, price: str | None) -> tuple[str, ...]:
        """Return a product's features at a price; no price: the product's own."""
        if self.is_none:
            return (product,)
        known = self.products.get(product)
        if known is None:
            return ()
        of_price = known.price_features.get(price, ()) if price else ()
        return (*known.features, *(it for it in of_price if it not in known.features))

    def product_of(self, price: str) -> str | None:
        """Return the product that lists this price for any caller."""
        for it in self.products.values():
            if price in it.prices:
                return it.product
        return None

    def trial_days(self, product: str) -> int | None:
        """Return the free days of a user's first subscription; None: no trial."""
        known = self.products.get(product)
        return known.trial_days if known else None


def _version_of(products: Mapping[str, CatalogueProduct]) -> str:
    if not products:
        return NO_VERSION
    # Imported when needed, so that an import of the rules does not load it.
    import hashlib  # noqa: PLC0415
    import json  # noqa: PLC0415

    content = [
        {**attrs.asdict(it), "price_features": sorted(it.price_features.items())}
        for it in products.values()
    ]
    text = json.dumps(content, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


# Used where a policy has no catalogue.
NO_CATALOGUE: Final = Catalogue.of(())
