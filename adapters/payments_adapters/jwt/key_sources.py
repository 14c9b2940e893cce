"""Where a verifier gets its keys: those that are current at any time."""

from typing import Protocol

import attrs

from payments_adapters.jwt.keys import KeySet


class TooManyWait(Exception):  # noqa: N818  # not a failure: others wait already
    """Keys are being fetched, and no more callers may wait for them."""


class KeySource(Protocol):
    @property
    def current(self) -> KeySet | None:
        """The keys to verify with now; None if no key may be trusted.

        A changed set is another object: a token verified with the previous set is
        verified again.
        """

    async def refresh(self) -> bool:
        """Fetch the keys anew, if that is allowed now; return whether they changed.

        Tokens trigger it, so it is done rarely, whatever tokens say.

        Raises:
            TooManyWait: a fetch is in progress, and too many callers wait for it.
        """


@attrs.define(eq=False)
class HeldKeys:
    """Keys that are replaced from outside, if at all: of a variable or a file."""

    current: KeySet | None

    async def refresh(self) -> bool:
        return False


def source_of(keys: KeySet | KeySource) -> KeySource:
    """Return fixed keys as a source; a source is returned unchanged."""
    return HeldKeys(keys) if isinstance(keys, KeySet) else keys
