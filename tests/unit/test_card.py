"""What is known of a card, wherever it is stored or shown."""

import attrs

from payments_core.card import Card


def test_a_card_is_known_by_what_its_owner_recognises_and_by_nothing_else() -> None:
    """
    There is no field for its number, its code or the name on it.
    """
    known = {field.name for field in attrs.fields(Card)}

    assert known == {"id", "brand", "last4", "exp_month", "exp_year"}
    card = Card(id="pm_1", brand="visa", last4="4242", exp_month=1, exp_year=2030)
    assert not hasattr(card, "__dict__")
