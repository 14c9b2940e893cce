"""The catalogue's file: read strictly, and all errors are reported at once."""

import pytest

from payments_core.catalogue import PREPAID, Catalogue, CatalogueProduct
from payments_service.catalogue_file import read_catalogue

FILE = """
[products.prod_pro]
name = "Pro"
prices = ["price_pro_month", "price_pro_year"]
features = ["reports", "api"]
trial_days = 14
days_after_end = 5
[products.prod_pro.price_features]
price_pro_year = ["priority_support"]
[products.prod_basic]
[prepaid]
features = ["reports"]
"""


def problems(text: str) -> list[str]:
    with pytest.raises(ValueError, match=r".") as refused:
        read_catalogue(text)
    return str(refused.value).split("; ")


def test_a_file_is_read() -> None:
    """
    Each key reaches its field; an omitted key is empty.
    """
    assert read_catalogue(FILE) == Catalogue.of(
        [
            CatalogueProduct(
                product="prod_pro",
                name="Pro",
                prices=("price_pro_month", "price_pro_year"),
                features=("reports", "api"),
                price_features={"price_pro_year": ("priority_support",)},
                trial_days=14,
                days_after_end=5,
            ),
            CatalogueProduct(product="prod_basic"),
            CatalogueProduct(product=PREPAID, features=("reports",)),
        ]
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("# nothing", "it names no product"),
        ("products = 1", "products: not a table"),
        ("prices = []", "prices: not one of prepaid, products"),
        ("[products]\nprod_a = 1", "products.prod_a: not a table"),
        ("[products.'a b']", "products.(a text with other characters): not a Stripe"),
        ("[products.'']", 'products."": not a Stripe id'),
        ("[products.prepaid]", "products.prepaid: prepaid months are [prepaid]"),
        ("[products.p]\nfeature = []", "products.p.feature: not one of"),
        ("[products.p]\nname = ''", "products.p.name: empty"),
        ("[products.p]\nname = ' '", "products.p.name: empty"),
        ("[products.p]\nname = 1", "products.p.name: not a text"),
        ('[products.p]\nname = "\\u0007"', "products.p.name: not up to 255"),
        ("[products.p]\nprices = 'price_1'", "products.p.prices: not a list"),
        ("[products.p]\nprices = [1]", "products.p.prices: not a list of texts"),
        ("[products.p]\nprices = ['']", 'products.p.prices: "": not a Stripe id'),
        ("[products.p]\nprices = ['a', 'a']", "products.p.prices: a appears twice"),
        ("[products.p]\nfeatures = ['']", 'products.p.features: "": not 1 to 255'),
        ("[products.p]\nfeatures = ['a b']", "products.p.features: (a text"),
        ("[products.p]\nprice_features = []", "products.p.price_features: not a"),
        (
            "[products.p.price_features]\nprice_1 = ['']",
            'products.p.price_features.price_1: "": not 1 to 255',
        ),
        (
            "[products.p.price_features]\n'x y' = ['a']",
            "products.p.price_features: (a text with other characters): not a Stripe",
        ),
        ("[products.p]\ntrial_days = 0", "products.p.trial_days: not a whole number"),
        ("[products.p]\ntrial_days = 731", "products.p.trial_days: not a whole"),
        ("[products.p]\ntrial_days = true", "products.p.trial_days: not a whole"),
        ("[products.p]\ntrial_days = 1.5", "products.p.trial_days: not a whole"),
        ("[products.p]\ndays_after_end = -1", "products.p.days_after_end: not a"),
        ("[products.p]\ndays_after_end = 367", "products.p.days_after_end: not a"),
        ("[prepaid]\nprices = ['price_1']", "prepaid.prices: not one of"),
        ("[prepaid]\ntrial_days = 3", "prepaid.trial_days: not one of"),
        (
            "[products.p]\nprices = ['price_1']\n[products.q]\nprices = ['price_1']",
            "products.q: price_1 is also of p",
        ),
        (
            "[products.p]\nprices = ['a']\n[products.q.price_features]\na = ['b']",
            "products.q: a is also of p",
        ),
        ("[products.p", "not readable TOML"),
        ("[products.p]\n[products.p]", "not readable TOML"),
        ("x = " + "[" * 5_000, "not readable TOML"),
    ],
)
def test_what_is_wrong_is_named_by_its_key(text: str, problem: str) -> None:
    """
    Each with the reason, and no error causes another.
    """
    [found] = problems(text)
    assert found.startswith(problem)


def test_a_number_that_is_too_long_is_refused() -> None:
    text = f"[products.prod_1]\ntrial_days = {'9' * 5_000}"
    assert problems(text) == ["not readable TOML: a number is too long"]


def test_all_that_is_wrong_is_said_at_once() -> None:
    """
    Nobody wants to start a service three times to learn of three errors.
    """
    text = "[products.p]\nname = ''\ntrial_days = 0\n[prepaid]\nfeature = ['a']"
    assert [it.partition(":")[0] for it in problems(text)] == [
        *("products.p.name", "products.p.trial_days", "prepaid.feature")
    ]
