"""Card data is recognised wherever it is, and nothing else is mistaken for it."""

import base64
import json
import random
import string
import sys
import tracemalloc
import unicodedata
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from payments_service.card_data import (
    DEPTH_MAX,
    find_card_data,
    holds_card_data,
    holds_card_number,
    holds_track,
    surrounds_card_number,
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
    "5200828282828210",
    "371449635398431",
    "6011000990139424",
    "6011981111111113",
    "6200000000000047",
    "6205500000000000004",
    "4000002500001001",
    "5555552500001001",
    "5018000000000009",
    "2200000000000004",
)
CARD = "4242424242424242"
IN_FOURS = "4242 4242 4242 4242"
COUNT = 100_000


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
    "digit by digit": " ".join,
    "before its expiry": lambda number: f"{number} 12/27 123",
    "before bare digits": lambda number: f"{number} 1227 123",
    "before an ordinal": lambda number: f"{' '.join(groups(number))} 3rd floor",
    "after an id": lambda number: f"v2 {' '.join(groups(number))}",
    "in Chinese": lambda number: f"\u5361\u53f7{number}\u8bf7",
    "with marks of direction": lambda number: "\u200e".join(groups(number)),
    "with full-width dashes": lambda number: "\uff0d".join(groups(number)),
    "with seen and unseen spaces": lambda number: "\u200b \u2060".join(groups(number)),
    "as JSON in a text": lambda number: json.dumps({"n": number}),
}


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("number", NUMBERS)
def test_t58_a_number_is_seen_however_it_is_spelled(number: str, spelling: str) -> None:
    """
    In any field, and redacted from any log.
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


@pytest.mark.parametrize("value", [float(CARD), -int(CARD), int(CARD)])
def test_t58_a_number_is_seen_as_any_json_number(value: object) -> None:
    """
    JSON has one kind of number, and `4242424242424242.0` is a whole one.
    """
    assert find_card_data([value]) == "/0"


def test_t58_groups_are_seen_beside_other_digits() -> None:
    """
    A text with a number in groups has a field for the expiry as well.
    """
    card = {"n1": "4242", "x": "y", "n2": "4242", "n3": "4242", "n4": "4242"}
    assert find_card_data({"a": card | {"month": "12", "year": "2027"}}) == "/a"
    assert find_card_data({"a": [*groups(CARD), "12", "2027", "123"]}) == "/a"
    assert find_card_data({"a": ["3782", "822463", "10005"]}) == "/a"
    assert find_card_data({"a": "3782", "b": "822463", "c": "10005"}) == ""


def test_t58_amounts_side_by_side_are_not_groups() -> None:
    """
    Four times 42.42 is an invoice, not a card's number.
    """
    assert (
        find_card_data(dict.fromkeys(("subtotal", "total", "due", "paid"), 4242))
        is None
    )
    assert find_card_data([4242] * 4) is None


def test_t58_the_first_place_is_the_one_that_is_named() -> None:
    """
    In the order of the text; a name with a number in it names its parent.
    """
    assert find_card_data({"a": [1, {"b": CARD}], "c": CARD}) == "/a/1/b"
    assert find_card_data({"a/b": {"~": CARD}}) == "/a~1b/~0"
    assert find_card_data({"a": {"b": {f"x {CARD}": CARD}}}) == "/a/b"
    assert find_card_data({CARD: 1}) == ""
    assert find_card_data(CARD, "/query/q") == "/query/q"
    assert find_card_data({"a": CARD}, "/body") == "/body/a"


def test_t58_ids_and_telephones_are_not_taken_for_cards() -> None:
    """
    None of many UUIDs, ids of Stripe, telephone numbers and times.
    """
    dice = random.Random(7)  # noqa: S311  # a seed's
    letters = string.ascii_letters + string.digits
    taken: list[str] = []
    for _ in range(COUNT):
        bits = f"{dice.getrandbits(128):032x}"
        length = 14 + int(bits[0], 16) % 11
        innocent = (
            f"{bits[:8]}-{bits[8:12]}-{bits[12:16]}-{bits[16:20]}-{bits[20:]}",
            f"pi_{''.join(dice.choices(letters, k=length))}",
            f"+{str(1 + int(bits, 16))[: 8 + length % 8]}",
            str(1_600_000_000_000 + int(bits[:9], 16) * 5),
        )
        taken += filter(holds_card_number, innocent)
    assert taken == []


@pytest.mark.parametrize(
    "text",
    [
        "42424242-4242-4242-8242-424242424242",
        f"id {uuid.UUID(int=int('42424242424242428123456789012345', 16))}.",
        f"{CARD}0000",
        f"0000{CARD}",
        f"a{CARD}",
        f"{CARD}_",
        f"pi_{CARD}",
        "+4222222222222",
        "+42 22222 222222 2026",
        "4242424242424243",
        "4242  4242  4242  4242",
        "1795514130123",
    ],
)
def test_t58_what_is_part_of_something_else_is_not_a_number(text: str) -> None:
    """
    A longer number, an id, a telephone; or the check digit is wrong.
    """
    assert not holds_card_number(text)
    assert without_card_data(text) == text


def test_t58_every_space_and_dash_may_stand_between_digits() -> None:
    """
    All that Unicode has, of this Python's version.
    """
    gaps = [
        letter
        for letter in map(chr, range(sys.maxunicode + 1))
        if unicodedata.category(letter) in {"Zs", "Zl", "Zp", "Pd"}
    ]
    assert [it for it in gaps if not holds_card_number(it.join(groups(CARD)))] == []


BEGINNINGS = {
    "4": (13, 16, 19),
    "51": (16,),
    "55": (16,),
    "2221": (16,),
    "2720": (16,),
    "34": (15,),
    "37": (15,),
    "6011": (16, 19),
    "644": (16, 19),
    "65": (16, 19),
    "300": (14, 16, 19),
    "305": (14, 16, 19),
    "36": (14, 16, 19),
    "38": (14, 16, 19),
    "3528": (16, 19),
    "3589": (16, 19),
    "62": (16, 17, 18, 19),
    "6759": (13, 16, 19),
}


def _checked(number: str) -> str:
    """Add the check digit (Luhn) to a number, found by trying."""
    for last in string.digits:
        total = sum(
            sum(map(int, str(int(digit) * (1 + place % 2))))
            for place, digit in enumerate(reversed(number + last))
        )
        if total % 10 == 0:
            return number + last
    raise AssertionError(number)


@st.composite
def numbers(draw: st.DrawFn) -> str:
    begin = draw(st.sampled_from(sorted(BEGINNINGS)))
    rest = draw(st.sampled_from(BEGINNINGS[begin])) - len(begin) - 1
    return _checked(begin + draw(st.text(string.digits, min_size=rest, max_size=rest)))


gaps = st.sampled_from(["", " ", "-", ".", "\u00a0", "\u200b", "\u2009", "\u2013"])
zeros = st.sampled_from([ord("0"), 0x660, 0x966, 0xFF10])
# Neither glue nor the plus of a telephone; and the glued character is no ASCII letter.
around = st.text(st.sampled_from("12345 -.,:;%^=?[]'\"/\u5361\u00e9"))


@given(numbers(), st.data())
def test_p17_any_number_under_any_separators_is_seen(
    number: str, data: st.DataObject
) -> None:
    """
    Of any scheme, in any script, in any sentence; and redacted.
    """
    zero = data.draw(zeros)
    spelled = "".join(chr(zero + int(it)) + data.draw(gaps) for it in number[:-1])
    spelled += chr(zero + int(number[-1]))
    before, after = data.draw(around), data.draw(around)
    text = f"{before}: {spelled}, {after}"

    assert holds_card_number(text)
    assert find_card_data({"a": [text]}) == "/a/0"
    assert find_card_data(base64.b64encode(text.encode()).decode()) == ""
    assert not holds_card_number(without_card_data(text))
    assert not holds_card_number(redacted(text))


# The parts of numbers and tracks, and of what protects ids.
digits = st.text(st.sampled_from("4240515 -.+;=%B^?a_\u200b\u0664\n/@"), max_size=80)
pieces = st.sampled_from(
    [
        CARD,
        IN_FOURS,
        "4222222222222",
        "%B123456789012^",
        ";123456789012=",
        "^2912",
        "+",
        "?",
        "://",
        "@",
        "bearer ",
        "v1=0123456789abcdef",
        "12345678-1234-4234-8123-123456789012",
        " ",
        "-",
        "x",
        "=",
        "sk_test_1",
    ]
)
messes = digits | st.lists(pieces | numbers() | digits).map("".join)


@given(messes)
@example(f"%B123456789012^ {IN_FOURS} aaaaaaaaaaaa ^2912")
@example(f"://{IN_FOURS}@")
@example("v1=0000000000000000" + "\u0664\u0662" * 8)
@example(" " * 1984 + CARD + "987654321")
@example(" " * 1984 + CARD + "a")
def test_p17_blotting_out_is_done_at_once(text: str) -> None:
    """
    In text made to look like numbers, tracks and secrets; the logs redact no less.
    """
    for blot in (without_card_data, redacted):
        once = blot(text)
        assert not holds_card_number(once)
        assert not holds_track(once)
        assert blot(once) == once


@given(st.text())
@example("4242 4242 4242 4242 4242")
@example("42424242424242424242")
@example("0 4242424242424242")
def test_p17_what_is_blotted_out_is_gone_and_stays_so(text: str) -> None:
    """
    In any text; redacting again changes nothing.
    """
    once = without_card_data(text)
    assert not holds_card_number(once)
    assert not holds_track(once)
    assert without_card_data(once) == once


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | messes,
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | messes, inner),
    max_leaves=20,
)


@given(_JSON)
@example([10**5000, float("inf"), float("nan"), {"a": 10**5000, "b": "1"}])
def test_p10_any_value_can_be_looked_through(value: Any) -> None:
    """
    It never raises, and what it points at does not hold a number itself.
    """
    where = find_card_data(value)
    assert where is None or not holds_card_data(where)


def test_t16_what_is_nested_too_deeply_is_refused_and_not_recursed_into() -> None:
    """
    Nobody needs it, and no stack may overflow on it.
    """
    value: Any = "x"
    for _ in range(100 * DEPTH_MAX):
        value = [value]
    assert find_card_data(value) is not None


@pytest.mark.parametrize(
    "group", ["4", "5 ", "1 ", "6211 ", "4\u200b", "QUJD", "%B", "k"]
)
def test_t16_a_look_through_is_linear(group: str) -> None:
    """
    The sender of the largest body delays others only in proportion to its length.

    Counted in calls, not in time: four times the text, at most five times as many.
    """

    def calls(length: int) -> int:
        count = 0

        def note(*_: object) -> None:
            nonlocal count
            count += 1

        text = group * (length // len(group))
        sys.setprofile(note)
        try:
            find_card_data({"a": text})
            without_card_data(text)
        finally:
            sys.setprofile(None)
        return count

    calls(4_000)
    assert calls(16_000) <= 5 * calls(4_000)


def test_t16_a_long_name_over_many_values_takes_no_memory() -> None:
    """
    A pointer for each value would make them many times as long as the body.
    """
    value = {"k" * 20_000: [0] * 20_000}
    tracemalloc.start()
    try:
        assert find_card_data(value) is None
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()


def test_t60_a_client_secret_is_not_logged() -> None:
    """
    A person who has it may pay with it.
    """
    secret = f"pi_123_secret_{'s' * 24}"
    assert "ssss" not in redacted(f"answered {secret}")


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("around", ["{}", "9{}1", "ab{}00cd", "00-{}0000-aa"])
def test_t16_a_number_within_an_id_is_found_where_it_is_looked_for(
    number: str, around: str
) -> None:
    """
    Whatever is on both sides of it, also other digits.
    """
    digits = "".join(filter(str.isdigit, number))
    assert surrounds_card_number(around.format(digits))


@pytest.mark.parametrize("text", ["", "4242", "4242424242424243", "a" * 32, "1" * 32])
def test_what_is_no_number_surrounds_none(text: str) -> None:
    """
    Because of its check digit, its length, or its first digits.
    """
    assert not surrounds_card_number(text)
