"""Card data is recognised wherever it is, and nothing else is taken for it."""

import base64
import random
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from payments_service.card_data import (
    DEPTH_MAX,
    find_card_data,
    holds_card_number,
    holds_track,
    is_card_field,
    without_card_data,
)
from payments_service.logs import redacted

# Stripe's published test numbers (docs.stripe.com/testing), one of each scheme.
NUMBERS = (
    "4242424242424242",
    "4000056655665556",
    "4222222222222",
    "5555555555554444",
    "2223003122003222",
    "5105105105105100",
    "378282246310005",
    "6011111111111117",
    "3056930009020004",
    "36227206271667",
    "3566002020360505",
    "6555900000604105",
    "6200000000000005",
)
COUNT = 20_000


def groups(number: str) -> list[str]:
    return [number[at : at + 4] for at in range(0, len(number), 4)]


SPELLINGS: dict[str, Callable[[str], str]] = {
    "plain": lambda number: number,
    "spaces": lambda number: " ".join(groups(number)),
    "dashes": lambda number: "-".join(groups(number)),
    "dots": lambda number: ".".join(groups(number)),
    "hard spaces": lambda number: "\u00a0".join(groups(number)),
    "zero-width spaces": lambda number: "\u200b".join(groups(number)),
    "Arabic digits": lambda number: "".join(chr(0x660 + int(it)) for it in number),
    "full-width digits": lambda number: "".join(chr(0xFF10 + int(it)) for it in number),
    "in a sentence": lambda number: f"my card is {number}, thank you",
    "in quotes": lambda number: f'"{number}"',
    "after other digits": lambda number: f"order 12 of 2026: {number}",
}


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("number", NUMBERS)
def test_t58_a_number_is_seen_however_it_is_spelled(number: str, spelling: str) -> None:
    """
    In any field, and blotted out of any log.
    """
    text = SPELLINGS[spelling](number)
    assert holds_card_number(text)
    assert find_card_data({"a": [{"b": text}]}) == "/a/0/b"
    assert not holds_card_number(without_card_data(text))
    assert number not in redacted(text)


@pytest.mark.parametrize("number", NUMBERS)
def test_t58_a_number_is_seen_though_it_is_hidden(number: str) -> None:
    """
    As an integer, as groups in a list or in fields, in base64, as a field's name.
    """
    coded = base64.b64encode(f"card {number}".encode()).decode()
    fields = {f"part{n}": group for n, group in enumerate(groups(number))}
    assert find_card_data({"a": int(number)}) == "/a"
    assert find_card_data({"a": groups(number)}) == "/a"
    assert find_card_data({"a": fields}) == "/a"
    assert find_card_data({"a": coded}) == "/a"
    assert find_card_data({"a": {number: 1}}) == "/a"


@pytest.mark.parametrize(
    "name",
    ["cvc", "CVV", "card-number", "cardNumber", "Security Code", "track_2", "pan"],
)
def test_t59_a_field_for_card_data_is_refused_whatever_is_in_it(name: str) -> None:
    """
    Three digits alone tell nothing; their field's name does.
    """
    name = name.replace("track_2", "track2")
    assert is_card_field(name)
    assert find_card_data({"card": {name: "123"}}) == f"/card/{name}"


@pytest.mark.parametrize(
    "name",
    ["card", "card_id", "payment_method", "last4", "quantity", "company", "code"],
)
def test_t59_other_fields_are_fine(name: str) -> None:
    """
    A payment method's id, and what a card may be called.
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


def test_t58_ids_and_telephones_are_not_taken_for_cards() -> None:
    """
    Not one of many UUIDs, ids of Stripe's, telephone numbers and moments.
    """
    dice = random.Random(7)  # noqa: S311  # a seed's
    letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
    taken = 0
    for _ in range(COUNT):
        innocent: list[Any] = [
            str(uuid.UUID(int=dice.getrandbits(128))),
            f"pi_{''.join(dice.choices(letters, k=24))}",
            f"+{dice.randint(10**9, 10**13)}",
            dice.randint(1_600_000_000_000, 1_900_000_000_000),
        ]
        taken += find_card_data(innocent) is not None
    assert taken == 0


@given(st.text())
@example("4242 4242 4242 4242 4242")
@example("42424242424242424242")
@example("0 4242424242424242")
def test_p17_what_is_blotted_out_is_gone_and_stays_so(text: str) -> None:
    """
    Of any text; doing it again changes nothing.
    """
    once = without_card_data(text)
    assert not holds_card_number(once)
    assert not holds_track(once)
    assert without_card_data(once) == once


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(_JSON)
def test_p10_any_value_can_be_looked_through(value: Any) -> None:
    """
    It never raises, and what it points at holds no number itself.
    """
    where = find_card_data(value)
    assert where is None or not holds_card_number(where)


def test_t16_what_is_nested_too_deeply_is_refused_and_not_recursed_into() -> None:
    """
    Nobody needs it, and no stack may end on it.
    """
    value: Any = "x"
    for _ in range(100 * DEPTH_MAX):
        value = [value]
    assert find_card_data(value) is not None


def test_t60_a_client_secret_is_not_logged() -> None:
    """
    Whoever has it may pay with it.
    """
    secret = f"pi_123_secret_{'s' * 24}"
    assert "ssss" not in redacted(f"answered {secret}")
