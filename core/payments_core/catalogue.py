"""What is sold, and what it gives access to: the owner's decision, from a file.

Rule 1: without a catalogue every product is a feature of its own name; so are months
        that are prepaid, whose product is called `prepaid`.
Rule 2: with one, a product gives its features, and a price of it those of that price
        besides. What the catalogue does not name gives none.
Rule 3: nothing of it is stored with a user: a feature that is added reaches everybody
        who has the product at once.
Rule 4: a price is of one product.
"""

from collections.abc import Iterable, Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import Final, Self

import attrs

# The product of months that payments outside of any subscription bought.
PREPAID: Final = "prepaid"
# The version of the catalogue where there is none.
NO_VERSION: Final = "none"
_NONE: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType({})


@attrs.frozen(kw_only=True)
class CatalogueProduct:
    """A product of the gateway's, or prepaid months (`PREPAID`).

    `prices` are those that any caller may choose. `price_features` are features of
    single prices, besides those of the product. `trial_days` is what a user's first
    subscription is free for. `days_after_end` is how long access outlives what was
    paid; None: the policy's grace.
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
    """All products that are named, in the order of the file, `PREPAID` among them.

    `version` names the content in 12 characters; `features` are all that it names.
    `days_after_end` is of the products that have days of their own.
    """

    products: Mapping[str, CatalogueProduct]
    version: str
    features: tuple[str, ...]
    days_after_end: Mapping[str, timedelta]

    @classmethod
    def of(cls, products: Iterable[CatalogueProduct]) -> Self:
        """Return the catalogue of these products, each once."""
        by_id = {it.product: it for it in products}
        # The first of each, in order.
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
        """Return what a product gives at a price; no price: what it always gives."""
        if self.is_none:
            return (product,)
        known = self.products.get(product)
        if known is None:
            return ()
        of_price = known.price_features.get(price, ()) if price else ()
        return (*known.features, *(it for it in of_price if it not in known.features))

    def product_of(self, price: str) -> str | None:
        """Return the product among whose prices any caller may choose this one."""
        for it in self.products.values():
            if price in it.prices:
                return it.product
        return None

    def trial_days(self, product: str) -> int | None:
        """Return how long a user's first subscription is free; None: it is not."""
        known = self.products.get(product)
        return known.trial_days if known else None


def _version_of(products: Mapping[str, CatalogueProduct]) -> str:
    if not products:
        return NO_VERSION
    # Not before it is needed: it would be a part of each import of the rules.
    import hashlib  # noqa: PLC0415
    import json  # noqa: PLC0415

    content = [
        {**attrs.asdict(it), "price_features": sorted(it.price_features.items())}
        for it in products.values()
    ]
    text = json.dumps(content, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


# Where a policy has none.
NO_CATALOGUE: Final = Catalogue.of(())
