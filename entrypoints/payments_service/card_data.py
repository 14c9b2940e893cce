"""Card data does not come in here: numbers, security codes and tracks are recognised.

A card's number goes from the browser to the gateway and never through us; what comes
here by mistake is refused, and never logged.

Rule 1: a number is 13 to 19 digits of any script, with at most one space, dash or dot
        between two of them, that begins as a card scheme's do, is as long as that
        scheme's are, and has a right check digit (Luhn).
Rule 2: what is part of a longer run of digits, glued to letters, or in a UUID, is an
        id; after a "+" up to 15 digits are a telephone's (E.164).
Rule 3: a number that was cut up (a list of groups), or hidden (base64), is one too.

Source of the schemes: ISO/IEC 7812; en.wikipedia.org/wiki/Payment_card_number.
"""

import base64
import binascii
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

DEPTH_MAX: Final = 64
REDACTED: Final = "[card]"
DIGITS_MIN: Final = 13
DIGITS_MAX: Final = 19

# What may stand between two digits: spaces, dashes, dots, and what nobody sees.
_GAP: Final = r"[\s.\-\u00ad\u2010-\u2015\u2212\u200b-\u200d\u2060\ufeff]?"
_RUN: Final = re.compile(rf"\d(?:{_GAP}\d)+")
_UUID: Final = re.compile(
    r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE
)
_PHONE_DIGITS_MAX: Final = 15
# First digits, from and to, and how many there are in all.
_SCHEMES: Final = (
    ("4", "4", {13, 16, 19}),
    ("51", "55", {16}),
    ("2221", "2720", {16}),
    ("34", "34", {15}),
    ("37", "37", {15}),
    ("6011", "6011", {16, 19}),
    ("644", "649", {16, 19}),
    ("65", "65", {16, 19}),
    ("300", "305", {14, 16, 19}),
    ("36", "36", {14, 16, 19}),
    ("38", "39", {14, 16, 19}),
    ("3528", "3589", {16, 19}),
    ("62", "62", {16, 17, 18, 19}),
    ("50", "50", {16, 18, 19}),
    ("56", "58", {16, 18, 19}),
    ("67", "67", {16, 18, 19}),
)
_TRACK: Final = re.compile(
    r"%B\d{12,19}\^[^^]{2,26}\^\d{4}|;\d{12,19}=\d{4}", re.IGNORECASE
)
_FIELDS: Final = frozenset(
    {
        "cardcode",
        "cardcvc",
        "cardcvv",
        "cardnumber",
        "cardpan",
        "cardsecuritycode",
        "cardverificationcode",
        "cardverificationvalue",
        "ccnum",
        "ccnumber",
        "creditcard",
        "creditcardnumber",
        "csc",
        "cvc",
        "cvc2",
        "cvccode",
        "cvv",
        "cvv2",
        "cvvcode",
        "pan",
        "primaryaccountnumber",
        "securitycode",
        "track",
        "track1",
        "track1data",
        "track2",
        "track2data",
        "trackdata",
        "trackone",
        "tracktwo",
    }
)
_BASE64: Final = re.compile(r"[A-Za-z0-9+/_-]{18,}={0,2}")


def is_card_field(name: str) -> bool:
    """Say whether a field of this name is for card data, however it is spelled."""
    return "".join(filter(str.isalnum, name.casefold())) in _FIELDS


def holds_card_number(text: str) -> bool:
    """Say whether a card's number is in a text (rules 1 and 2)."""
    return any(True for _ in _numbers(text))


def holds_track(text: str) -> bool:
    """Say whether the data of a magnetic stripe is in a text."""
    return _TRACK.search(_plain(text)) is not None


def without_card_data(text: str) -> str:
    """Return a text with every number and track blotted out."""
    # Nearly every text: looking for a digit is cheaper than for a number.
    if not any(letter.isdecimal() for letter in text):
        return text
    text = _TRACK.sub(REDACTED, text)
    for start, end in reversed(list(_numbers(text))):
        text = f"{text[:start]}{REDACTED}{text[end:]}"
    return text


def find_card_data(value: Any, at: str = "") -> str | None:  # JSON is anything
    """Return where in a JSON value card data is; "" is all of it, None nowhere.

    A JSON pointer, of the parent where a name itself holds a number. What is nested
    too deeply to be looked into counts as well: nobody needs it.
    """
    waiting: list[tuple[Any, str, int]] = [(value, at, 0)]
    while waiting:
        it, where, depth = waiting.pop()
        if depth > DEPTH_MAX or _is_card_data(it):
            return where
        if isinstance(it, Mapping):
            for name, inner in it.items():
                if _in_text(str(name)):
                    return where
                below = f"{where}/{_escaped(str(name))}"
                if is_card_field(str(name)) and inner is not None:
                    return below
                waiting.append((inner, below, depth + 1))
        elif isinstance(it, list | tuple):
            waiting += [
                (inner, f"{where}/{number}", depth + 1)
                for number, inner in enumerate(it)
            ]
    return None


def _is_card_data(value: Any) -> bool:  # JSON is anything
    if isinstance(value, str):
        return _in_text(value)
    if isinstance(value, bool):
        return False
    if isinstance(value, int):
        return abs(value) < 10**DIGITS_MAX and holds_card_number(str(value))
    if isinstance(value, Mapping):
        return _is_cut_up(list(value.values()))
    return isinstance(value, list | tuple) and _is_cut_up(value)


def _in_text(text: str) -> bool:
    return holds_card_number(text) or holds_track(text) or _is_hidden(text)


def _is_cut_up(values: Sequence[Any]) -> bool:  # JSON is anything
    """Say whether groups of digits, one after the other, are a number."""
    groups = [str(it) for it in values if isinstance(it, str | int)]
    short = [it for it in groups if it.isdecimal() and len(it) < DIGITS_MIN]
    whole = "".join(short)
    return len(short) > 1 and len(whole) <= DIGITS_MAX and holds_card_number(whole)


def _is_hidden(text: str) -> bool:
    for match in _BASE64.finditer(text):
        coded = match[0].rstrip("=")
        padded = coded + "=" * (-len(coded) % 4)
        try:
            inner = base64.b64decode(padded.translate(_URL_SAFE), validate=True)
            if holds_card_number(inner.decode()):
                return True
        except (binascii.Error, ValueError):
            continue
    return False


_URL_SAFE: Final = str.maketrans("-_", "+/")


def _escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")


def _plain(text: str) -> str:
    """Return a text with its digits as ASCII."""
    if text.isascii():
        return text
    return "".join(
        str(unicodedata.decimal(letter)) if letter.isdecimal() else letter
        for letter in text
    )


def _numbers(text: str) -> Iterator[tuple[int, int]]:
    """Return where the numbers in a text begin and end.

    A run may hold more digits than the number: the gaps between words are gaps too,
    so every beginning and every length within it is tried.
    """
    # Of the same length, so that what is found is where it was.
    plain = _UUID.sub(lambda match: "x" * len(match[0]), _plain(text))
    end = 0
    for run in _runs(plain):
        digits = [at for at in range(*run) if plain[at].isdecimal()]
        for first in range(len(digits)):
            if digits[first] < end:
                continue
            found = _number_at(plain, digits, first)
            if found is not None:
                end = digits[found] + 1
                yield digits[first], end


def _runs(text: str) -> Iterator[tuple[int, int]]:
    for match in _RUN.finditer(text):
        before = text[match.start() - 1 : match.start()]
        after = text[match.end() : match.end() + 1]
        digits = sum(letter.isdecimal() for letter in match[0])
        is_phone = before == "+" and digits <= _PHONE_DIGITS_MAX
        if not (is_phone or _glued(before) or _glued(after)):
            yield match.span()


def _glued(letter: str) -> bool:
    return letter.isalpha() or letter == "_"


def _number_at(text: str, digits: Sequence[int], first: int) -> int | None:
    """Return the last digit of a number that begins with this one; None if none does.

    It begins and ends where a group does: within a group it would be part of an id.
    """
    if first and digits[first] == digits[first - 1] + 1:
        return None
    for last in range(
        min(len(digits), first + DIGITS_MAX) - 1, first + DIGITS_MIN - 2, -1
    ):
        if last + 1 < len(digits) and digits[last + 1] == digits[last] + 1:
            continue
        number = "".join(text[at] for at in digits[first : last + 1])
        if _is_of_a_scheme(number) and _is_luhn(number):
            return last
    return None


def _is_of_a_scheme(number: str) -> bool:
    return any(
        len(number) in lengths and low <= number[: len(low)] <= high
        for low, high, lengths in _SCHEMES
    )


def _is_luhn(number: str) -> bool:
    doubled = (int(digit) * 2 for digit in number[-2::-2])
    total = sum(sum(divmod(it, 10)) for it in doubled)
    return (total + sum(int(digit) for digit in number[-1::-2])) % 10 == 0
