"""Card data is not accepted: numbers, security codes and tracks are recognised.

A card number goes from the browser to the gateway and never through us; if it is sent
here by mistake, it is refused, and never logged.

Rule 1: a number is 13 to 19 digits of any script, with at most one space, dash or dot
        between two of them (invisible characters do not count), with the prefix and a
        length of a card scheme, and a valid check digit (Luhn).
Rule 2: it begins and ends at the boundary of a group of digits. A group that is longer,
        adjacent to an ASCII letter or underscore, or in a UUID, belongs to an id; other
        scripts do not put spaces around a number. The first 15 digits after a "+" are a
        telephone number (E.164).
Rule 3: a number that was split (a list of groups, fields of groups), or encoded
        (base64), counts too.

All checks are linear in the length of the text: senders choose it.

Source of the schemes: ISO/IEC 7812; en.wikipedia.org/wiki/Payment_card_number.
"""

import base64
import binascii
import functools
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate, pairwise
from typing import Final, TypeGuard

DEPTH_MAX: Final = 64
REDACTED: Final = "[card]"
DIGITS_MIN: Final = 13
DIGITS_MAX: Final = 19

_UNSEEN: Final = (
    r"[\u00ad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff]*+"
)
_MARK: Final = (
    r"[\s.\-\u00b7\u058a\u05be\u1400\u1806\u2010-\u2015\u2024\u2027\u2043\u2212"
    r"\u2e17\u2e1a\u2e3a\u2e3b\u2e40\u2e5d\u301c\u3030\u30a0\U00010ead"
    r"\ufe31\ufe32\ufe58\ufe63\uff0d\uff0e]?+"
)
_GAP: Final = _UNSEEN + _MARK + _UNSEEN
_RUN: Final = re.compile(rf"(?<![A-Za-z_\d])\d(?:{_GAP}\d){{{DIGITS_MIN - 1},}}+")
_DIGITS: Final = re.compile(rf"\d{{{DIGITS_MIN},}}+")
_GLUE: Final = re.compile(r"[A-Za-z_]")
_UUID: Final = re.compile(
    r"(?<![0-9A-Za-z_])[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}"
    r"(?![0-9A-Za-z_])"
)
_UUID_LENGTH: Final = 36
_PHONE_DIGITS_MAX: Final = 15

# The range of the first four digits, and the possible numbers of digits. For Maestro
# only what its banks issued: "50, 56 to 69" is a tenth of all numbers.
_SCHEMES: Final = (
    (2200, 2204, range(16, 20)),  # Mir
    (2221, 2720, (16,)),  # Mastercard
    (3000, 3059, range(14, 20)),  # Diners Club
    (3095, 3095, range(14, 20)),
    (3400, 3499, (15,)),  # American Express
    (3528, 3589, range(16, 20)),  # JCB
    (3600, 3699, range(14, 20)),  # Diners Club
    (3700, 3799, (15,)),  # American Express
    (3800, 3999, range(14, 20)),  # Diners Club
    (4000, 4999, (13, 16, 19)),  # Visa
    (5018, 5018, range(13, 20)),  # Maestro
    (5020, 5020, range(13, 20)),
    (5038, 5038, range(13, 20)),
    (5060, 5099, (16,)),  # Verve, Elo, RuPay
    (5100, 5599, (16,)),  # Mastercard
    (5893, 5893, range(13, 20)),  # Maestro
    (6011, 6011, range(16, 20)),  # Discover
    (6200, 6299, range(16, 20)),  # UnionPay
    (6304, 6304, range(13, 20)),  # Maestro
    (6440, 6599, range(16, 20)),  # Discover
    (6759, 6763, range(13, 20)),  # Maestro
)
# The digit sum of a doubled digit.
_DOUBLED: Final = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)
# To the end of the track: it contains a security code.
_TRACK: Final = re.compile(
    rf"%B\d(?:{_GAP}\d){{11,18}}+\^[^^]*+\^(?:[^?\r\n]{{0,80}}\?|[^?\s]*)"
    r"|;\d{12,19}+=(?:\d{4}|=)[\d=]*\??",
    re.IGNORECASE,
)
# Twelve bytes are 16 letters in base64; thirteen, the shortest number, are 18.
_BASE64: Final = re.compile(r"[A-Za-z0-9+/_-]{18,}+")
_URL_SAFE: Final = str.maketrans("-_", "+/")
# Fields count if split as people do: in fours, or as American Express does.
_CUT_UP: Final = re.compile(
    r"(?<!\d)(?=(\d{4}(?: \d{4}){2,4}(?: \d{1,3})?|\d{4} \d{6} \d{4,5})(?!\d))"
)
_FIELD: Final = re.compile(
    r".*(?:cvc|cvv)2?(?:code|number|value)?"
    r"|(?:card)?(?:cid|csc|cvd|cvn2?|cav2|pan)|cardcode"
    r"|.*(?:card)?securitycode|.*cardverification(?:code|number|value)"
    r"|(?:.*card|cc)(?:no|nr|num|numbers?|pan)|numbers?of(?:the)?cards?|creditcard"
    r"|primaryaccountnumber"
    r"|(?:card|mag|magstripe)?track(?:(?:[123]|one|two|three)(?:data)?|data)"
    r"|(?:magstripe|magneticstripe)(?:data)?"
)


def is_card_field(name: str) -> bool:
    """Return whether a field of this name is for card data, however it is spelled."""
    plain = "".join(filter(str.isalnum, name.casefold()))
    return _FIELD.fullmatch(plain) is not None


def holds_card_number(text: str) -> bool:
    """Return whether a text has a card number (rules 1 and 2)."""
    return next(_numbers(text), None) is not None


def surrounds_card_number(text: str) -> bool:
    """Return whether a text has a card number, also within a longer group or id.

    For texts that need not be long: one in a thousand random ids of 32 hex digits
    matches.
    """
    return any(map(_surrounds_number, _DIGITS.finditer(text)))


def holds_track(text: str) -> bool:
    """Return whether a text has the data of a magnetic stripe."""
    return _TRACK.search(text) is not None


def holds_card_data(text: str) -> bool:
    """Return whether a text has a number or a track, plain or in base64."""
    return holds_card_number(text) or holds_track(text) or _is_hidden(text)


def without_card_data(text: str) -> str:
    """Return a text with every number and track masked.

    The result contains none; masking it again changes nothing.
    """
    text = _TRACK.sub(REDACTED, text)
    kept, end = [], 0
    for first, after in _numbers(text):
        kept += [text[end:first], REDACTED]
        end = after
    return "".join([*kept, text[end:]])


def find_card_data(value: object, at: str = "") -> str | None:
    """Return where a decoded JSON value has card data; None if nowhere.

    A JSON pointer (RFC 6901), appended to `at`; "" is the whole value. If a name
    contains a number, it is the parent's pointer, so that a pointer never does.
    Anything nested deeper than `DEPTH_MAX` counts as well: no request needs it.
    """
    below = _found(value, DEPTH_MAX)
    if below is None:
        return None
    # Escaping inserts digits: harmless names may become a number.
    return at if holds_card_data(below) else at + below


def _found(value: object, depth: int) -> str | None:
    if isinstance(value, Mapping):
        return _found_in_object(value, depth)
    if isinstance(value, list | tuple):
        return _found_in_list(value, depth)
    seen = holds_card_data(value) if isinstance(value, str) else _is_number(value)
    return "" if seen else None


def _found_in_object(fields: Mapping[str, object], depth: int) -> str | None:
    if depth == 0 or any(holds_card_data(str(name)) for name in fields):
        return ""
    for name, inner in fields.items():
        is_field = inner is not None and is_card_field(str(name))
        below = "" if is_field else _found(inner, depth - 1)
        # Built on return: on the way down each pointer would be as long as all names.
        if below is not None:
            return f"/{_escaped(str(name))}{below}"
    groups = " ".join(it for it in fields.values() if _is_group(it))
    return "" if any(map(_holds_group, _CUT_UP.finditer(groups))) else None


def _found_in_list(values: Sequence[object], depth: int) -> str | None:
    if depth == 0:
        return ""
    for number, inner in enumerate(values):
        below = _found(inner, depth - 1)
        if below is not None:
            return f"/{number}{below}"
    # Only strings: adjacent numbers are amounts.
    groups = " ".join(it if _is_group(it) else "," for it in values)
    return "" if holds_card_number(groups) else None


def _is_group(value: object) -> TypeGuard[str]:
    return isinstance(value, str) and value.isdecimal()


def _holds_group(match: re.Match[str]) -> bool:
    return holds_card_number(match[1])


def _is_number(value: object) -> bool:
    """Return whether a JSON number is a card number; also a float such as 4e15."""
    if not isinstance(value, int | float):
        return False
    # Compared first: infinity, or thousands of digits, cannot be formatted.
    if not 10 ** (DIGITS_MIN - 1) <= abs(value) < 10**DIGITS_MAX:
        return False
    return value == int(value) and holds_card_number(str(int(value)))


def _is_hidden(text: str) -> bool:
    return any(map(_decodes_to_card_data, _BASE64.finditer(text)))


def _decodes_to_card_data(match: re.Match[str]) -> bool:
    coded = match[0].translate(_URL_SAFE)
    try:
        text = base64.b64decode(coded + "=" * (-len(coded) % 4)).decode()
    except (binascii.Error, UnicodeDecodeError):
        return False
    return holds_card_number(text) or holds_track(text)


def _escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")


def _numbers(text: str) -> Iterator[tuple[int, int]]:
    """Yield the bounds of each number in a text, the longest one at each position."""
    for run in _RUN.finditer(text):
        end = 0
        for first, after in _numbers_of_run(text, *run.span()):
            # Nothing new follows one that overlaps.
            if first >= end and not _in_uuid(text, first, after):
                yield first, after
                end = after


def _numbers_of_run(text: str, begin: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield the numbers among the groups of a run, longest first.

    A run may contain more than the number: an expiry may follow after a space.
    """
    places = [at for at in range(begin, end) if text[at].isdecimal()]
    digits = [int(text[at]) for at in places]
    # Whether a group ends before the digit at this position, or begins with it.
    bounds = [True, *(b - a > 1 for a, b in pairwise(places))]
    bounds.append(_GLUE.match(text, end) is None)
    sums = _luhn_sums(digits)
    phone = _PHONE_DIGITS_MAX if text[begin - 1 : begin] == "+" else 0
    for first, is_bound in enumerate(bounds[:-1]):
        if not is_bound:
            continue
        for length in _lengths(*digits[first : first + 4]):
            after = first + length
            if after >= len(bounds) or after <= phone or not bounds[after]:
                continue
            total = sums[after % 2]
            if (total[after] - total[first]) % 10 == 0:
                yield places[first], places[after - 1] + 1


def _surrounds_number(run: re.Match[str]) -> bool:
    digits = [int(it) for it in run[0]]
    sums = _luhn_sums(digits)
    return any(
        (sums[after % 2][after] - sums[after % 2][first]) % 10 == 0
        for first in range(len(digits) - DIGITS_MIN + 1)
        for length in _lengths(*digits[first : first + 4])
        if (after := first + length) <= len(digits)
    )


def _luhn_sums(digits: Sequence[int]) -> tuple[list[int], list[int]]:
    """Return sums of the digits before each position, for an even and an odd end.

    A number's Luhn sum is a difference of two of them, however many overlap.
    """
    even, odd = [*digits], [*digits]
    # From its end, a number's every second digit is doubled.
    even[::2] = [_DOUBLED[digit] for digit in digits[::2]]
    odd[1::2] = [_DOUBLED[digit] for digit in digits[1::2]]
    return list(accumulate(even, initial=0)), list(accumulate(odd, initial=0))


@functools.cache
def _lengths(*digits: int) -> Sequence[int]:
    """Return the lengths of numbers with these first four digits, longest first."""
    prefix = int("".join(map(str, digits)))
    for low, high, lengths in _SCHEMES:
        if low <= prefix <= high:
            return sorted(lengths, reverse=True)
    return ()


def _in_uuid(text: str, first: int, after: int) -> bool:
    """Return whether a UUID overlaps with this position; two never overlap."""
    # One more letter on each side, to see what is adjacent to the UUID.
    near = _UUID.finditer(text, max(0, first - _UUID_LENGTH), after + _UUID_LENGTH + 1)
    return any(it.start() < after and first < it.end() for it in near)
