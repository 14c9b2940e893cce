"""The requests to a sandbox, line by line: they restore it after any end.

A world is determined by its seed and its requests, so only those are stored. A line is
written before its effect is visible; a line that a crash truncated is the last, and had
no visible effect.
"""

from pathlib import Path
from typing import IO, Any, Final

import attrs
import msgspec


class _Entry(msgspec.Struct, frozen=True, kw_only=True, tag_field="did"):
    """One line; `at` is the sandbox's time, in seconds.

    `steps` is how many things had fallen due by then, because several may in one
    second; None in lines of a version that did not count them.
    """

    at: int
    steps: int | None = None


class Called(_Entry, frozen=True, kw_only=True, tag="call"):
    number: int
    method: str
    path: str
    query: str
    body: bytes
    headers: dict[str, str]
    fails: str | None


class Authenticated(_Entry, frozen=True, kw_only=True, tag="authenticate"):
    intent_id: str
    succeed: bool
    # The card that the intent was first confirmed with; None if it was confirmed
    # before.
    card: str | None = None


class CardSet(_Entry, frozen=True, kw_only=True, tag="card"):
    payment_method_id: str
    declines: str | None


class CardReissued(_Entry, frozen=True, kw_only=True, tag="reissue"):
    payment_method_id: str


class Imported(_Entry, frozen=True, kw_only=True, tag="import"):
    objects: list[Any]


class SecretRolled(_Entry, frozen=True, kw_only=True, tag="roll"):
    endpoint_id: str
    keep_s: int


class Arrived(_Entry, frozen=True, kw_only=True, tag="arrived"):
    event_id: str
    endpoint_id: str


class Passed(_Entry, frozen=True, kw_only=True, tag="passed"):
    """Time passed, and nothing else."""


class Reset(_Entry, frozen=True, kw_only=True, tag="reset"):
    """The sandbox starts again.

    `preset` names the initial objects, because their ids are drawn first; None in lines
    of a version that did not record it.
    """

    seed: int
    preset: str | None = None


Entry = (
    Called
    | Authenticated
    | CardSet
    | CardReissued
    | Imported
    | SecretRolled
    | Arrived
    | Passed
    | Reset
)
# The only headers that decide an answer; the key must not be stored.
HEADERS: Final = ("content-type", "idempotency-key", "stripe-version")
_LINE: Final = msgspec.json.Decoder(Entry)


class JournalError(Exception):
    """A journal that cannot be read; the message says where."""


@attrs.define
class Journal:
    """A file of entries that only its owner can read.

    `written_at` is the real time, in seconds, of the last one when it was opened.
    """

    path: Path
    written_at: float = attrs.field(init=False)
    _file: IO[bytes] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        if not self.path.exists():
            self.path.touch(mode=0o600)
        self.written_at = self.path.stat().st_mtime
        # Each line is one write, so that only a crash can truncate one.
        self._file = self.path.open("r+b", buffering=0)

    def entries(self) -> list[Entry]:
        """Return its entries; remove a line that a crash truncated.

        Raises:
            JournalError: a line cannot be read.
        """
        lines = self.path.read_bytes().split(b"\n")
        self._file.truncate(sum(len(line) + 1 for line in lines[:-1]))
        self._file.seek(0, 2)
        found = []
        for number, line in enumerate(lines[:-1], 1):
            try:
                found.append(_LINE.decode(line))
            except msgspec.DecodeError as error:
                self.close()
                raise JournalError(f"{self.path}:{number}: {error}") from error
        return found

    def note(self, entry: Entry) -> None:
        if isinstance(entry, Reset):
            # All entries before it are removed.
            self._file.seek(0)
            self._file.truncate()
        self._file.write(msgspec.json.encode(entry) + b"\n")

    def close(self) -> None:
        self._file.close()
