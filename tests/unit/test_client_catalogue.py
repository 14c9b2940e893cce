"""The client reads the catalogue as the core does, from what the service returns."""

from collections.abc import Mapping
from typing import Final

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from payments_client import Catalogue as Read
from payments_client.rows import Features
from payments_core.catalogue import PREPAID, Catalogue, CatalogueProduct
from payments_core.policy import Policy
from payments_service.presentation.access import CatalogueOut

PRODUCTS: Final = ("basic", "pro", PREPAID)
PRICES: Final = ("monthly", "yearly")
features = st.lists(st.sampled_from(["reports", "api", "support"]), unique=True).map(
    tuple
)
sold = st.fixed_dictionaries(
    {},
    optional={
        name: st.builds(
            CatalogueProduct,
            product=st.just(name),
            features=features,
            price_features=st.dictionaries(st.sampled_from(PRICES), features),
            days_after_end=st.none() | st.integers(0, 9),
        )
        for name in PRODUCTS
    },
)


@given(sold)
def test_a_product_gives_what_the_core_says(
    products: Mapping[str, CatalogueProduct],
) -> None:
    """
    With a catalogue or without one, for each product and price, prepaid months too.
    """
    catalogue = Catalogue.of(products.values())
    said = msgspec.json.encode(CatalogueOut.of(catalogue, Policy(catalogue=catalogue)))
    read = Features(msgspec.json.decode(said, type=Read))

    assert read.version == catalogue.version
    for product in (*PRODUCTS, "other"):
        for price in (*PRICES, "other", None):
            expected = {*catalogue.features_of(product, price)}
            assert {*read.of(product, price)} == expected
