"""A copy in a file: who starts while the service is down has what was known before.

Who may write the file decides who has access: it is the application's own.
"""

import contextlib
import os
from pathlib import Path
from typing import Final

import msgspec

from payments_client.rows import Row
from payments_client.shapes import Catalogue

# Of the file, not of the package: one of another format is as if it were not there.
FORMAT: Final = 1


class SavedCopy(msgspec.Struct, frozen=True, kw_only=True):
    """All that a copy needs to go on from where it was."""

    format: int = FORMAT
    after: str
    heard_at: float
    catalogue: Catalogue
    rows: dict[str, Row]


def load(path: Path) -> SavedCopy | None:
    """Return what a file has; None: there is none.

    Raises:
        OSError, ValueError: it cannot be read, or is none of ours.
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
        raise ValueError(f"of format {found.format}, not {FORMAT}")
    return found


def save(path: Path, copy: SavedCopy) -> None:
    """Put a file in the place of another one, whole or not at all.

    Raises:
        OSError: it cannot be written; the one of before is as it was.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with os.fdopen(
            os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb"
        ) as file:
            # Not synced to the disk: one that was cut off by a crash is as if it were
            # not there.
            file.write(msgspec.json.encode(copy))
        beside.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            beside.unlink()
        raise
