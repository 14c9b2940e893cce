"""What is known of a reader of hostile input."""

from collections.abc import Callable, Sequence
from typing import Final

import attrs

# A text in the place of what an input keeps secret. It cannot be the id of a key, which
# errors show.
CANARY: Final = "canary.7Qx4"


@attrs.frozen
class Reader:
    """`read` raises `errors` and nothing else; what it returns is a kind of answer.

    `seeds` are valid, or nearly so. `bytes_max` is how long an input may become:
    somewhat more than the reader takes. `weight` is its share of all inputs.
    """

    name: str
    read: Callable[[bytes], object]
    seeds: Sequence[bytes]
    errors: tuple[type[Exception], ...] = ()
    bytes_max: int = 16_384
    weight: float = 1.0
