"""Tokens that were verified recently, by their text."""

from collections import OrderedDict
from datetime import datetime
from typing import Final

import attrs

from payments_adapters.jwt.keys import KeySet
from payments_core.tokens import Token

REMEMBERED_BYTES_MAX: Final = 8 * 1024 * 1024
# The memory that a token takes besides its text, and that each of its scopes takes. A
# test fails if it measures more.
ENTRY_BYTES: Final = 1_536
SCOPE_BYTES: Final = 192


@attrs.frozen
class _Remembered:
    token: Token
    keys: KeySet
    at: datetime
    until: datetime
    size: int


@attrs.define(eq=False)
class RememberedTokens:
    """Verified tokens, in 8 MiB of memory at most; the oldest are removed first.

    That is some 4,000 of a usual length (700 bytes), and 800 of the longest (8 KiB). A
    remembered token is not used before the time at which it was verified: if the clock
    was set back, the whole check runs again, `iat` and `nbf` included. It is used only
    with the key set that it was verified with: after a change of keys, all tokens are
    verified again.
    """

    _kept: OrderedDict[str, _Remembered] = attrs.field(init=False, factory=OrderedDict)
    size: int = attrs.field(init=False, default=0)

    def __len__(self) -> int:
        return len(self._kept)

    def find(self, text: str, now: datetime, keys: KeySet | None) -> Token | None:
        known = self._kept.get(text)
        if known is None:
            return None
        if known.keys is keys and known.at <= now < known.until:
            return known.token
        self._drop(text)
        return None

    def keep(
        self, text: str, token: Token, keys: KeySet, at: datetime, until: datetime
    ) -> None:
        self._drop(text)
        size = len(text) + ENTRY_BYTES + SCOPE_BYTES * len(token.scopes)
        self._kept[text] = _Remembered(token, keys, at, until, size)
        self.size += size
        while self.size > REMEMBERED_BYTES_MAX:
            _, oldest = self._kept.popitem(last=False)
            self.size -= oldest.size

    def _drop(self, text: str) -> None:
        known = self._kept.pop(text, None)
        if known is not None:
            self.size -= known.size
