"""The catalogue: what is sold, and what it gives."""

from datetime import timedelta

import attrs
import pytest

from payments_core.catalogue import (
    NO_CATALOGUE,
    PREPAID,
    Catalogue,
    CatalogueProduct,
)

PRO = CatalogueProduct(
    product="prod_pro",
    name="Pro",
    prices=("price_month", "price_year"),
    features=("reports", "api"),
    price_features={"price_year": ("support", "api")},
    trial_days=14,
    days_after_end=5,
)
MONTHS = CatalogueProduct(product=PREPAID, features=("reports",))
CATALOGUE = Catalogue.of([PRO, MONTHS])


def test_without_a_catalogue_a_product_is_a_feature_of_its_own_name() -> None:
    """
    Prepaid months, too.
    """
    assert NO_CATALOGUE.features_of("prod_pro", "price_month") == ("prod_pro",)
    assert NO_CATALOGUE.features_of(PREPAID, None) == (PREPAID,)
    assert NO_CATALOGUE.version == "none"


def test_a_price_gives_what_its_product_gives_and_more() -> None:
    """
    Each feature once; a product that is not listed gives none.
    """
    assert CATALOGUE.features_of("prod_pro", "price_month") == ("reports", "api")
    assert CATALOGUE.features_of("prod_pro", "price_year") == (
        *("reports", "api", "support"),
    )
    assert CATALOGUE.features_of(PREPAID, None) == ("reports",)
    assert CATALOGUE.features_of("prod_other", "price_month") == ()
    assert CATALOGUE.features == ("reports", "api", "support")


def test_the_prices_that_a_caller_may_choose_are_of_one_product() -> None:
    """
    A price that only gives features is not for sale.
    """
    assert CATALOGUE.product_of("price_year") == "prod_pro"
    assert CATALOGUE.product_of("price_other") is None
    assert CATALOGUE.trial_days("prod_pro") == 14
    assert CATALOGUE.trial_days("prod_other") is None
    assert CATALOGUE.days_after_end == {"prod_pro": timedelta(days=5)}


@pytest.mark.parametrize(
    "change",
    [
        {"name": "More"},
        {"prices": ("price_month",)},
        {"features": ("reports",)},
        {"price_features": {}},
        {"trial_days": 15},
        {"days_after_end": None},
    ],
    ids=lambda it: next(iter(it)),
)
def test_the_version_names_the_content(change: dict[str, object]) -> None:
    """
    The same content has the same version, and any other has another.
    """
    same = Catalogue.of([attrs.evolve(PRO), MONTHS])
    other = attrs.evolve(PRO, **change)  # type: ignore[arg-type]  # one of its fields

    assert same.version == CATALOGUE.version
    assert len(CATALOGUE.version) == 12
    assert Catalogue.of([other, MONTHS]) != CATALOGUE
    versions = {
        Catalogue.of([other, MONTHS]).version,
        Catalogue.of([PRO]).version,
        CATALOGUE.version,
    }
    assert len(versions) == 3
