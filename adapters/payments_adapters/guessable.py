"""Secrets that were not drawn at random: placeholders, patterns, a key of zeros."""

from itertools import pairwise
from typing import Final

# The fewest different characters of a secret. 18 random hexadecimal digits, the
# shortest accepted, have so few a few times in a million.
DIFFERENT_MIN: Final = 6


def weakness_of(secret: bytes) -> str | None:
    """Return why a secret can be guessed, None if it may have been drawn at random.

    For 16 bytes or more. It knows no dictionary: a secret that passes is not thereby
    strong.
    """
    if len(set(secret)) < DIFFERENT_MIN:
        return f"has fewer than {DIFFERENT_MIN} different characters"
    if any(secret[n:] == secret[:-n] for n in range(1, len(secret) // 2 + 1)):
        return "is one repeated text"
    if len({(b - a) % 256 for a, b in pairwise(secret)}) < DIFFERENT_MIN:
        return "is a sequence"
    return None
