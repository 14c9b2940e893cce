"""Inputs that are nearly valid: what fails in a reader is seldom random bytes.

An input is made of a valid one, or of one that a reader answered in a new way: bytes of
it are changed, or values of the JSON that it is.
"""

import json
import math
import re
from collections.abc import Sequence
from contextlib import suppress
from random import Random
from typing import Any, Final

import attrs

# What readers trip over: of encodings, of JSON, of HTTP, of numbers.
_BYTES: Final = (
    *(b"\x00", b"\xff", b"\x80", b"\xc3\x28", b"\xed\xa0\x80", b"\xf4\x90\x80\x80"),
    *(b"\xef\xbb\xbf", b"\xe2\x80\xa8", "İ".encode(), "\u017f".encode(), "٣".encode()),
    *(b"\r\n", b"\n", b"\r", b"\t", b" ", b"\x0b", b"\x1b[2J", b"\x7f", b"\r\n\r\n"),
    *(b'"', b"'", b"\\", b"{", b"}", b"[", b"]", b",", b":", b";", b"=", b"&", b"#"),
    *(b".", b"..", b"/", b"//", b"%00", b"%2e", b"%", b"+", b"-", b"_", b"~", b"@"),
    *(b"0", b"-1", b"1e999", b"9" * 19, b"9" * 5_000, b"0x10", b"1_000", b"00", b"1.0"),
    *(b"\\u0000", b"\\ud800", b"NaN", b"Infinity", b"null", b"true", b"[]", b"{}"),
    *(b"[" * 1_200, b'{"a":' * 1_200),
    *(b"xn--", b"://", b"[::1]", b"t=1,", b"v1=", b"Bearer ", b"W/", b"*", b"\xfe"),
)
# In the place of a value, behind a name: of TOML, of settings, of headers.
_ASSIGNED: Final = (
    *(b'"x"', b"''", b"1", b"-1", b"1.5", b"nan", b"true", b"[]", b"{}", b"[[]]"),
    *(b"[1]", b'["x", "x"]', b'{ a = "x" }', b"2026-01-01T00:00:00Z", b"9" * 30, b""),
)
_NAMED: Final = re.compile(rb"(?m)[=:] ?([^\n]*)$")
# Written as so many lists in each other: too many for what writes JSON.
_DEEP: Final = "<deep>"
_DEPTHS: Final = (70, 1_200, 30_000)
_VALUES: Final[tuple[Any, ...]] = (
    *(None, True, False, 0, 1, -1, 1.0, 0.5, 2**31, 2**53, 2**63, 2**64, 10**400),
    *(-(10**400), 1e308, math.inf, math.nan, 253_402_300_800, -62_135_596_801),
    *("", " ", "\0", "a\0b", "\ud800", "\u2028", "\r\nX: y", "٣", "é", "\u017f", "🦀"),
    *("a" * 256, "a" * 5_000, "0", "1", "true", "null", ".", "..", "/", "%00", "a@b"),
    *(
        _DEEP,
        [],
        {},
        [[]],
        [None],
        {"": None},
        {"id": None},
        {"id": "x"},
        {"object": "x"},
    ),
    *("2026-01-01T00:00:00Z", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59"),
)
_CHANGES_MAX: Final = 4
_REPEATS_MAX: Final = 64


@attrs.frozen
class Seed:
    """An input that others are made of, and the JSON that it is, if it is any.

    `is_lines` says that it is JSON in each line, here in one list.
    """

    data: bytes
    json: Any = None
    is_lines: bool = False

    @classmethod
    def of(cls, data: bytes) -> "Seed":
        with suppress(ValueError, RecursionError):
            return cls(data, _json(data))
        with suppress(ValueError, RecursionError):
            return cls(data, [_json(it) for it in data.split(b"\n")], is_lines=True)
        return cls(data)


def _json(data: bytes) -> Any:
    """Return an object or a list.

    Raises:
        ValueError, RecursionError: it is none, or cannot be written when it is changed.
    """
    value = json.loads(data)
    json.dumps([[[[value]]]])
    if not isinstance(value, dict | list):
        raise ValueError("a single value")  # noqa: TRY004  # of data, not of a caller
    return value


@attrs.frozen
class Mutator:
    """Makes inputs; the same ones for the same numbers and seeds."""

    random: Random

    def input(self, seeds: Sequence[Seed], bytes_max: int) -> bytes:
        """Return an input made of one or two of these."""
        seed = seeds[self._below(len(seeds))]
        kind = self.random.random()
        if kind < 0.01:
            return self.random.randbytes(self._below(256))
        if seed.json is not None and kind < 0.7:
            value = seed.json
            for _ in range(1 + self._below(2)):
                value = self._changed(value, seed.json)
            if seed.is_lines and isinstance(value, list):
                return b"\n".join(map(self._written, value))[:bytes_max]
            return self._written(value)[:bytes_max]
        data = seed.data
        for _ in range(1 + self._below(_CHANGES_MAX)):
            data = self._edited(data, seeds)
        if kind > 0.998:
            data = self._grown(data, bytes_max)
        return data

    def _below(self, end: int) -> int:
        # Several times as fast as `randrange`.
        return int(self.random.random() * end)

    def _span(self, data: bytes) -> tuple[int, int]:
        begin = self._below(len(data) + 1)
        length = self._below(8) if self.random.random() < 0.7 else self._below(200)
        return begin, min(len(data), begin + length)

    def _edited(self, data: bytes, seeds: Sequence[Seed]) -> bytes:
        begin, end = self._span(data)
        before, after = data[:begin], data[end:]
        match self._below(9):
            case 0:
                put = b""
            case 1:
                put = data[begin:end] * (2 + self._below(_REPEATS_MAX))
            case 2:
                put = _BYTES[self._below(len(_BYTES))] + data[begin:end]
            case 3:
                put = _BYTES[self._below(len(_BYTES))]
            case 4:
                put, after = bytes([self._below(256)]), data[begin + 1 :]
            case 5 if seeds:
                other = seeds[self._below(len(seeds))].data
                from_, to = self._span(other)
                put = other[from_:to]
            case 6:
                put, after = b"", b"" if self.random.random() < 0.5 else after
            case 7 if named := _NAMED.search(data, begin):
                put, after = _ASSIGNED[self._below(len(_ASSIGNED))], data[named.end() :]
                before = data[: named.start(1)]
            case _:
                bit = 1 << self._below(8)
                put = bytes(it ^ bit for it in data[begin : begin + 1])
                after = data[begin + 1 :]
        return before + put + after

    def _grown(self, data: bytes, bytes_max: int) -> bytes:
        begin, end = self._span(data)
        cut = data[begin:end] or b"["
        return data[:begin] + cut * ((bytes_max - len(data)) // len(cut)) + data[end:]

    def _changed(self, value: Any, root: Any) -> Any:
        """Return JSON in which a value is another one, or is elsewhere, or missing."""
        if value and isinstance(value, dict | list) and self.random.random() < 0.85:
            is_object = isinstance(value, dict)
            change = self._changed_object if is_object else self._changed_list
            return change(value, root)
        match self._below(8):
            case 0:
                return [value]
            case 1:
                return self._part(root)
            case 2 if isinstance(value, str):
                edited = self._edited(value.encode(errors="surrogatepass"), [])
                return edited.decode(errors="replace")
            case 3 if isinstance(value, int):
                return value + (1, -1, 2**32, -(2**32))[self._below(4)]
            case _:
                return _VALUES[self._below(len(_VALUES))]

    def _changed_object(self, value: Any, root: Any) -> Any:
        names = list(value)
        name = names[self._below(len(names))]
        match self._below(8):
            case 0:
                return {key: it for key, it in value.items() if key != name}
            case 1:
                return {**value, names[self._below(len(names))]: value[name]}
            case _:
                return {**value, name: self._changed(value[name], root)}

    def _changed_list(self, value: Any, root: Any) -> Any:
        at = self._below(len(value))
        before, after = value[:at], value[at + 1 :]
        match self._below(8):
            case 0:
                return before + after
            case 1:
                return before + [value[at]] * (2 + self._below(3)) + after
            case _:
                return [*before, self._changed(value[at], root), *after]

    def _part(self, value: Any) -> Any:
        while self.random.random() < 0.8:
            inner = [*value.values()] if isinstance(value, dict) else value
            if not isinstance(inner, list) or not inner:
                break
            value = inner[self._below(len(inner))]
        return value

    def _written(self, value: object) -> bytes:
        text = json.dumps(value, ensure_ascii=self.random.random() < 0.5)
        if _DEEP in text:
            depth = _DEPTHS[self._below(len(_DEPTHS))]
            text = text.replace(f'"{_DEEP}"', "[" * depth + "]" * depth)
        return text.encode(errors="surrogatepass")
