"""Where a verifier has its keys from: those that are current, at any moment."""

from typing import Protocol

import attrs

from payments_adapters.jwt.keys import KeySet


class TooManyWait(Exception):  # noqa: N818  # not a failure: others wait already
    """Keys are being read, and no more may wait for them."""


class KeySource(Protocol):
    @property
    def current(self) -> KeySet | None:
        """The keys to verify with now; None if there are none that may be trusted.

        Another set is another object: what was verified with the one before is
        verified again.
        """

    async def refresh(self) -> bool:
        """Read the keys anew, if that may be done now; say whether they changed.

        A token asks for it, so it is done seldom, whatever tokens say.

        Raises:
            TooManyWait: it is under way, and so many wait for it that no more may.
        """


@attrs.define(eq=False)
class HeldKeys:
    """Keys that somebody else replaces, if anybody does: of a variable or a file."""

    current: KeySet | None

    async def refresh(self) -> bool:
        return False


def source_of(keys: KeySet | KeySource) -> KeySource:
    """Return keys that never change as a source; a source is one already."""
    return HeldKeys(keys) if isinstance(keys, KeySet) else keys
