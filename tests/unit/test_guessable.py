"""What looks randomly generated, and what does not."""

import random

from payments_adapters.guessable import weakness_of


def test_what_was_drawn_at_random_is_taken() -> None:
    """
    In any usual form: hexadecimal, base 62 and plain bytes, of 32 and more.
    """
    draw = random.Random(7)  # noqa: S311  # the same ones each time
    letters = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
    for _ in range(3_000):
        for secret in (
            draw.randbytes(32),
            draw.randbytes(16).hex().encode(),
            "".join(draw.choices(letters, k=32)).encode(),
        ):
            assert weakness_of(secret) is None


def test_what_nobody_drew_is_told_with_its_reason() -> None:
    """
    Zeros, a counter, a repeated text.
    """
    assert weakness_of(bytes(32)) == "has fewer than 6 different characters"
    assert weakness_of(bytes(range(32))) == "is a sequence"
    assert weakness_of(bytes(range(0, 256, 8))) == "is a sequence"
    assert weakness_of(b"correct horse " * 3) == "is one repeated text"
