"""Fields that are for card data, and what a magnetic stripe holds."""

import pytest

from payments_service.card_data import (
    find_card_data,
    holds_track,
    is_card_field,
    without_card_data,
)

IN_FOURS = "4242 4242 4242 4242"


@pytest.mark.parametrize(
    "name",
    [
        "cvc",
        "CVV",
        "cvv2",
        "CVC2",
        "cid",
        "csc",
        "card_cvc",
        "new-cvc",
        "cvcCode",
        "security_code",
        "Security Code",
        "cardSecurityCode",
        "card_number",
        "card-number",
        "cardNumber",
        "CardNo",
        "card_num",
        "cc_number",
        "creditCardNumber",
        "pan",
        "card_pan",
        "number_of_card",
        "primary_account_number",
        "card[number]",
        "track1",
        "track_2",
        "track_data",
        "Track1Data",
        "magstripe",
    ],
)
def test_t59_a_field_for_card_data_is_refused_whatever_is_in_it(name: str) -> None:
    """
    Three digits alone mean nothing; the name of their field does.
    """
    assert is_card_field(name)
    assert find_card_data({"card": {name: "123"}}) == f"/card/{name}"
    assert find_card_data({"card": [{name: 123}]}) == f"/card/0/{name}"
    assert find_card_data({"card": {name: None}}) is None


@pytest.mark.parametrize(
    "name",
    [
        "card",
        "card_id",
        "payment_method",
        "last4",
        "card_last4",
        "pan_last4",
        "quantity",
        "company",
        "code",
        "number",
        "number_of_seats",
        "account_number",
        "acc_no",
        "doc_id",
        "trace_id",
        "japan",
        "cvc_check",
        "track",
        "tracking_number",
        "card_notes",
        "",
    ],
)
def test_t59_other_fields_are_fine(name: str) -> None:
    """
    A payment method's id, and names that a card may have.
    """
    assert find_card_data({name: "pm_card_visa"}) is None


@pytest.mark.parametrize(
    "track",
    [
        "%B4242424242424242^DOE/JANE^29121010000000000000?",
        ";4242424242424242=29121010000000000000?",
    ],
)
def test_t59_a_track_is_seen(track: str) -> None:
    """
    What a magnetic stripe holds.
    """
    assert holds_track(track)
    assert find_card_data([track]) == "/0"
    assert "4242" not in without_card_data(track)


@pytest.mark.parametrize(
    "track",
    [
        "%B4242424242424242^DOE/JANE^29121010000000987000?",
        "%b3782 822463 10005^DOE/JANE^2912101 000 987000?",
        "%B4242424242424242^DOE/JANE^29121010000000987000",
        ";4242424242424242=29121010000000987000?",
        ";1234567890123456=29121010000000987000?",
        f"%B123456789012^ {IN_FOURS} aaaaaaaaaaaa ^2912987",
    ],
)
def test_t59_nothing_of_a_track_stays(track: str) -> None:
    """
    A security code comes after the expiry.
    """
    assert without_card_data(f"read {track}") == "read [card]"
