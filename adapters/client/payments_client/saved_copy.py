"""A copy in a file, for an application that starts while the service is down.

Anyone who can write the file decides who has access: keep it the application's own.
"""

import contextlib
import os
from pathlib import Path
from typing import Final

import msgspec

from payments_client.rows import Row
from payments_client.shapes import Catalogue

# The version of the file's format; a file of another format is ignored.
FORMAT: Final = 1


class SavedCopy(msgspec.Struct, frozen=True, kw_only=True):
    """All that a copy needs to continue from where it was."""

    format: int = FORMAT
    after: str
    heard_at: float
    catalogue: Catalogue
    rows: dict[str, Row]


def load(path: Path) -> SavedCopy | None:
    """Return the content of a file; None: there is no file.

    Raises:
        OSError, ValueError: the file cannot be read, or is not a saved copy.
    """
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return None
    try:
        found = msgspec.json.decode(text, type=SavedCopy)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if found.format != FORMAT:
        raise ValueError(f"it has format {found.format}, not {FORMAT}")
    return found


def save(path: Path, copy: SavedCopy) -> None:
    """Replace a file, whole or not at all.

    Raises:
        OSError: the file cannot be written; the previous one is unchanged.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with os.fdopen(
            os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb"
        ) as file:
            # Not synced to the disk: a file that a crash truncated counts as missing.
            file.write(msgspec.json.encode(copy))
        beside.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            beside.unlink()
        raise
