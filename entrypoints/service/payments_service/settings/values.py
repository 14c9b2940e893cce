"""Types of values that many settings share: words, whole numbers, durations."""

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Final

ENVIRONMENTS: Final = ("development", "production")
PORT_MAX: Final = 65_535


def plain_text(text: str) -> str:
    return text


def one_of(words: tuple[str, ...]) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text not in words:
            raise ValueError(f"not one of {', '.join(words)}")
        return text

    return read


def whole(least: int, most: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        # Nine digits exceed the limit of every setting here.
        is_number = re.fullmatch(r"[0-9]{1,9}", text) is not None
        if not (is_number and least <= int(text) <= most):
            raise ValueError(f"not a whole number in {least}..{most}")
        return int(text)

    return read


def seconds(least: int, most: int) -> Callable[[str], timedelta]:
    return lambda text: timedelta(seconds=whole(least, most)(text))


def days(text: str) -> timedelta:
    return timedelta(days=whole(0, 366)(text))
