"""The owner's catalogue file: TOML, read strictly.

Rule 1: unknown keys and duplicates are refused: a misspelled feature would be one that
        nobody has.
Rule 2: all faults are reported at once, each with its key and a reason.

Source of the form: toml.io/en/v1.0.0.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

import attrs

from payments_adapters.toml_text import TomlError, read_toml
from payments_core.catalogue import PREPAID, Catalogue, CatalogueProduct
from payments_core.errors import InvalidValue
from payments_core.use_cases.references import feature_name, gateway_reference

NAME_LENGTH_MAX: Final = 255
TRIAL_DAYS_MAX: Final = 730
DAYS_AFTER_END_MAX: Final = 366
_PRODUCT: Final = re.compile(r"[A-Za-z0-9_-]{1,255}")
# A key with other characters is not shown.
_SHOWN: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_OF_PRODUCT: Final = frozenset(it.name for it in attrs.fields(CatalogueProduct)) - {
    "product"
}
_OF_PREPAID: Final = frozenset({"name", "features", "days_after_end"})

Toml = Any  # any value of TOML


def read_catalogue(text: str) -> Catalogue:
    """Return the catalogue in a file.

    Raises:
        ValueError: the file is not a catalogue; the text has each wrong key, and why.
    """
    try:
        found = read_toml(text)
    except TomlError as error:
        raise ValueError(f"not readable TOML: {error}") from None
    reading = _Reading()
    products = list(reading.products(found))
    reading.require_one_product_a_price(products)
    if not products and not reading.problems:
        reading.problems.append("it names no product")
    if reading.problems:
        raise ValueError("; ".join(reading.problems))
    return Catalogue.of(products)


@attrs.frozen
class _Reading:
    """The products read so far, and all faults."""

    problems: list[str] = attrs.field(factory=list)

    def wrong(self, key: str, reason: str) -> None:
        self.problems.append(f"{key}: {reason}")

    def products(self, found: Mapping[str, Toml]) -> Iterator[CatalogueProduct]:
        file = self.table("", found, frozenset({"products", PREPAID}))
        named = file.get("products", {})
        if not isinstance(named, dict):
            self.wrong("products", "not a table")
            named = {}
        for id_, value in named.items():
            if id_ == PREPAID:
                self.wrong(f"products.{PREPAID}", f"prepaid months are [{PREPAID}]")
            elif _PRODUCT.fullmatch(id_):
                yield self.product(f"products.{id_}", id_, value, _OF_PRODUCT)
            else:
                self.wrong(f"products.{_shown(id_)}", "not a Stripe id")
        if PREPAID in file:
            yield self.product(PREPAID, PREPAID, file[PREPAID], _OF_PREPAID)

    def product(
        self, key: str, id_: str, value: Toml, allowed: frozenset[str]
    ) -> CatalogueProduct:
        table = self.table(key, value, allowed)
        of_prices = self.table(
            f"{key}.price_features", table.get("price_features", {}), None
        )
        for price in of_prices:
            self.texts(f"{key}.price_features", [price], gateway_reference)
        return CatalogueProduct(
            product=id_,
            name=self.name(f"{key}.name", table.get("name")),
            prices=self.texts(
                f"{key}.prices", table.get("prices", []), gateway_reference
            ),
            features=self.texts(
                f"{key}.features", table.get("features", []), feature_name
            ),
            price_features={
                price: self.texts(
                    f"{key}.price_features.{_shown(price)}", features, feature_name
                )
                for price, features in of_prices.items()
            },
            trial_days=self.days(
                f"{key}.trial_days", table.get("trial_days"), 1, TRIAL_DAYS_MAX
            ),
            days_after_end=self.days(
                f"{key}.days_after_end",
                table.get("days_after_end"),
                0,
                DAYS_AFTER_END_MAX,
            ),
        )

    def table(
        self, key: str, value: Toml, allowed: frozenset[str] | None
    ) -> Mapping[str, Toml]:
        """Return a table, without the keys that are not `allowed`."""
        if not isinstance(value, dict):
            self.wrong(key, "not a table")
            return {}
        if allowed is None:
            return value
        for name in sorted(value.keys() - allowed):
            below = f"{key}.{_shown(name)}" if key else _shown(name)
            self.wrong(below, f"not one of {', '.join(sorted(allowed))}")
        return {name: it for name, it in value.items() if name in allowed}

    def texts(
        self, key: str, value: Toml, read: Callable[[str, str], object]
    ) -> tuple[str, ...]:
        """Return a list of texts, each once."""
        if not isinstance(value, list):
            self.wrong(key, "not a list of texts")
            return ()
        found = dict[str, None]()
        for it in value:
            if not isinstance(it, str):
                self.wrong(key, "not a list of texts")
                return ()
            try:
                read(key, it)
            except InvalidValue as error:
                self.wrong(key, f"{_shown(it)}: {error.reason}")
                continue
            if it in found:
                self.wrong(key, f"{it} appears twice")
            found[it] = None
        return tuple(found)

    def name(self, key: str, value: Toml) -> str | None:
        if value is None:
            return None
        if not isinstance(value, str):
            self.wrong(key, "not a text")
        elif not value.strip():
            self.wrong(key, "empty")
        elif len(value) > NAME_LENGTH_MAX or not value.isprintable():
            self.wrong(key, f"not up to {NAME_LENGTH_MAX} printable characters")
        else:
            return value
        return None

    def days(self, key: str, value: Toml, least: int, most: int) -> int | None:
        if value is None:
            return None
        # In Python, True is an int.
        is_number = isinstance(value, int) and not isinstance(value, bool)
        if not (is_number and least <= value <= most):
            self.wrong(key, f"not a whole number in {least}..{most}")
            return None
        return int(value)

    def require_one_product_a_price(self, products: Sequence[CatalogueProduct]) -> None:
        owners = dict[str, str]()
        for it in products:
            for price in dict.fromkeys((*it.prices, *it.price_features)):
                other = owners.setdefault(price, it.product)
                if other != it.product:
                    self.wrong(f"products.{it.product}", f"{price} is also of {other}")


def _shown(key: str) -> str:
    """Return a key or a text if it is safe to show."""
    if not key:
        return '""'
    return key if _SHOWN.fullmatch(key) else "(a text with other characters)"
