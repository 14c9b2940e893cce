"""TOML that others write, read in a time that its length bounds.

`tomllib` takes the cube of how many parts a key has: one of 64 KiB would take a minute.
"""

import tomllib
from typing import Any, Final

# In a line. A key has a few, and is never of two lines.
DOTS_MAX: Final = 200


class TomlError(ValueError):
    """It cannot be read; the message says where, and quotes no value."""


def read_toml(text: str) -> dict[str, Any]:
    """Read TOML.

    Raises:
        TomlError: it is none, is nested too deeply, or has a number or a key that is
            too long.
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
        # What Python says of it is advice for a program.
        raise TomlError("a number is too long") from None
