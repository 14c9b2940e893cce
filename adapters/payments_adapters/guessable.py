"""Secrets that nobody drew at random: placeholders, patterns, a key of zeros."""

from itertools import pairwise
from typing import Final

# Of 18 random hexadecimal digits, the fewest that are taken anywhere, that few are
# different a few times in a million.
DIFFERENT_MIN: Final = 6


def weakness_of(secret: bytes) -> str | None:
    """Return why a secret can be guessed, None if it may have been drawn at random.

    For 16 bytes or more. It knows no words: what is left is not strong by that.
    """
    if len(set(secret)) < DIFFERENT_MIN:
        return f"has fewer than {DIFFERENT_MIN} different characters"
    if any(secret[n:] == secret[:-n] for n in range(1, len(secret) // 2 + 1)):
        return "is one text over and over"
    if len({(b - a) % 256 for a, b in pairwise(secret)}) < DIFFERENT_MIN:
        return "is a sequence"
    return None
