"""Ids of the gateway's objects, as callers give them."""

import pytest

from payments_core.errors import InvalidValue
from payments_core.use_cases.references import REFERENCE_LENGTH_MAX, gateway_reference


@pytest.mark.parametrize("text", ["pm_1", "prod_NffrFeUfNV2Hib", "x" * 255])
def test_an_id_of_the_gateways_is_taken_as_it_is(text: str) -> None:
    """
    Letters, digits and underscores, up to 255 of them.
    """
    assert gateway_reference("product", text) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "pm/1",
        "pm_1/../pm_2",
        "pm 1",
        "pm_1\n",
        "pm?1",
        "pm%2F",
        "pö",
        "..",
        "-",
        "x" * (REFERENCE_LENGTH_MAX + 1),
    ],
)
def test_what_would_change_a_path_is_no_id(text: str) -> None:
    """
    It becomes part of an address: the refusal names the field, not the text.
    """
    with pytest.raises(InvalidValue) as refused:
        gateway_reference("payment_method", text)
    assert refused.value.field == "payment_method"
    assert not text or text not in refused.value.reason
