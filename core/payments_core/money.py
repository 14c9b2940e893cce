"""Money: a whole number of minor units and a currency, never a float."""

import re
from typing import Final, Self

import attrs

from payments_core.errors import CurrencyMismatch, InvalidValue

# The largest integer that every JSON reader represents exactly.
AMOUNT_MINOR_MAX: Final = 2**53 - 1
_CURRENCY: Final = re.compile(r"[a-z]{3}")


def _whole(_: object, __: object, value: int) -> None:
    # `bool` is an `int` to Python; it is not an amount.
    if type(value) is not int or not 0 <= value <= AMOUNT_MINOR_MAX:
        raise InvalidValue("amount_minor", f"not in 0..{AMOUNT_MINOR_MAX}")


def _iso_4217(_: object, __: object, value: str) -> None:
    if _CURRENCY.fullmatch(value) is None:
        raise InvalidValue("currency", "not three lower-case letters")


@attrs.frozen
class Money:
    """An amount in minor units (cents of a euro, whole yen).

    Raises:
        InvalidValue: the amount is negative, too large or a float, or the currency is
            not three lower-case letters.
    """

    amount_minor: int = attrs.field(validator=_whole)
    currency: str = attrs.field(validator=_iso_4217)

    def __add__(self, other: Self) -> Self:
        if self.currency != other.currency:
            raise CurrencyMismatch(self.currency, other.currency)
        return attrs.evolve(self, amount_minor=self.amount_minor + other.amount_minor)
