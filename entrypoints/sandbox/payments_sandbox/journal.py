"""What a sandbox was asked, line by line: it comes back as it was, whatever ended it.

A world is decided by its seed and by what it was asked, so that is all that has to be
kept. A line is written before anybody hears of its effect; one that a crash cut off
is the last, and was told to nobody.
"""

from pathlib import Path
from typing import IO, Any, Final

import attrs
import msgspec


class _Entry(msgspec.Struct, frozen=True, kw_only=True, tag_field="did"):
    """One line; `at` is the sandbox's time, in seconds.

    `steps` is how much had fallen due by then, as several things may in one second;
    None in what a version wrote that did not count them.
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
    # What the intent was confirmed with first; None if that had been done.
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
    """All begins anew.

    `preset` names what there was from the start, for its ids are drawn first; None in
    what a version wrote that did not say so.
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
# The only headers that decide an answer; the key is not one to keep.
HEADERS: Final = ("content-type", "idempotency-key", "stripe-version")
_LINE: Final = msgspec.json.Decoder(Entry)


class JournalError(Exception):
    """A journal that cannot be read; the sentence says where."""


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
        # Each line is one write, so that no other end of it is ever half there.
        self._file = self.path.open("r+b", buffering=0)

    def entries(self) -> list[Entry]:
        """Return what is in it; what a crash cut off is cut away.

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
            # All before it is forgotten.
            self._file.seek(0)
            self._file.truncate()
        self._file.write(msgspec.json.encode(entry) + b"\n")

    def close(self) -> None:
        self._file.close()
