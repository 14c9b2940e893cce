"""TOML written by others, parsed in a time bounded by its length.

The time of `tomllib` grows with the cube of a key's parts: a key of 64 KiB would take a
minute.
"""

import tomllib
from typing import Any, Final

# Per line. A key has a few, and is never split over two lines.
DOTS_MAX: Final = 200


class TomlError(ValueError):
    """The text cannot be parsed; the message says where, and quotes no value."""


def read_toml(text: str) -> dict[str, Any]:
    """Read TOML.

    Raises:
        TomlError: the text is not TOML, is nested too deeply, or has a number or a key
            that is too long.
    """
    for number, line in enumerate(text.split("\n"), 1):
        if line.count(".") > DOTS_MAX:
            raise TomlError(f"over {DOTS_MAX} dots in a line (at line {number})")
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise TomlError(str(error)) from None
    except RecursionError:
        raise TomlError("too deep") from None
    except ValueError:
        # Python's message is advice for a programmer.
        raise TomlError("a number is too long") from None
