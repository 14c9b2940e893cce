import pytest
from hypothesis import given
from hypothesis import strategies as st

from payments_core import Money
from payments_core.errors import CurrencyMismatch, InvalidValue
from payments_core.money import AMOUNT_MINOR_MAX

currencies = st.sampled_from(["eur", "usd", "jpy"])
amounts = st.integers(0, AMOUNT_MINOR_MAX // 2)


@given(st.builds(Money, amounts, currencies), st.builds(Money, amounts, currencies))
def test_p12_money_adds_or_refuses(left: Money, right: Money) -> None:
    """
    Same currency: the minor units add up. Different currency: an error.
    """
    if left.currency == right.currency:
        total = left + right
        assert total == right + left
        assert total.amount_minor == left.amount_minor + right.amount_minor
        assert total.currency == left.currency
    else:
        with pytest.raises(CurrencyMismatch):
            left + right


def test_p12_a_sum_stays_below_the_largest_amount() -> None:
    """
    An overflow is an error, not a number that some readers round.
    """
    with pytest.raises(InvalidValue):
        Money(AMOUNT_MINOR_MAX, "eur") + Money(1, "eur")


@pytest.mark.parametrize("amount", [0, 1, 2**53 - 1])
def test_p12_whole_minor_units_are_money(amount: int) -> None:
    """
    From nothing to the largest integer that every JSON reader keeps.
    """
    assert Money(amount, "eur").amount_minor == amount


@pytest.mark.parametrize("amount", [-1, 2**53, 1.0, True, "1", None])
def test_p12_anything_else_is_no_amount(amount: object) -> None:
    """
    Negative, huge, a float, a bool, a text: refused, and the field is named.
    """
    with pytest.raises(InvalidValue) as refused:
        Money(amount, "eur")  # type: ignore[arg-type]  # that is the point
    assert refused.value.field == "amount_minor"


@pytest.mark.parametrize("currency", ["", "EUR", "eu", "euro", "eu1", "eur\n", "éur"])
def test_a_currency_is_three_small_letters(currency: str) -> None:
    """
    ISO 4217 as gateways spell it; nothing before, between or after.
    """
    with pytest.raises(InvalidValue) as refused:
        Money(1, currency)
    assert refused.value.field == "currency"
