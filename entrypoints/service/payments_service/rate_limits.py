"""How many requests a caller may make, by the kind of route.

Rule 1: one subject (issuer and `sub`) of a verified token has so many requests of a
        kind a minute: as many at once, and then each as soon as its share of the minute
        is over (the generic cell rate algorithm, which keeps one number a subject).
Rule 2: an administrator has a kind of its own on all routes. What an application's
        backend asks for all of its users is no caller's share.
Rule 3: of each kind `SUBJECTS_MAX` subjects are known; the one that has not asked for
        the longest is forgotten, and has its whole share again. Who is refused has
        just asked, so a flood of others does not set it free.

It is the state of one process: N processes allow up to N times as much.
"""

import math
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Final

import attrs

from payments_core.caller import Caller
from payments_core.errors import RateLimited

SUBJECTS_MAX: Final = 10_000
WINDOW_S: Final = 60
# Of adding up to a minute.
_ROUNDING_S: Final = 1e-6


class RequestKind(StrEnum):
    """What a route is counted as; the name of its policy in an answer."""

    READ = "reads"
    CHANGE = "changes"
    # What a stolen card could be tried by.
    CARD = "cards"
    FEED = "feed"
    # Of each token, not of each subject.
    REVOCATION = "revocations"
    # Of administrators, on any route.
    ADMIN = "admin"


@attrs.frozen(kw_only=True)
class RateLimits:
    """Requests a minute of one subject, by kind; 0 is no limit.

    A page that asks for the status each second, in two tabs, makes a tenth of `reads`.
    """

    reads: int = 1_200
    changes: int = 120
    cards: int = 30
    feed: int = 6_000
    revocations: int = 120
    admin: int = 0


@attrs.define
class _Shares:
    """What the subjects of one kind have left."""

    quota: int
    # Until when each subject's requests so far would take, one after the other.
    _busy_until: "OrderedDict[tuple[str, str], float]" = attrs.field(
        init=False, factory=OrderedDict
    )

    def wait_s(self, subject: tuple[str, str], now: float) -> float:
        """Take a request in, and return 0; or return after how long there is room."""
        known, share_s = self._busy_until, WINDOW_S / self.quota
        until = max(known.get(subject, now), now)
        over_s = until + share_s - now - WINDOW_S
        is_taken = over_s <= _ROUNDING_S
        known[subject] = until + share_s if is_taken else until
        known.move_to_end(subject)
        if len(known) > SUBJECTS_MAX:
            known.popitem(last=False)
        return 0.0 if is_taken else over_s


def _shares_of(limits: RateLimits) -> Mapping[RequestKind, _Shares]:
    quotas = attrs.asdict(limits)
    return {kind: _Shares(quotas[kind]) for kind in RequestKind if quotas[kind]}


@attrs.define
class RateLimiter:
    """The limits of one process, and what each subject has left of them."""

    _shares: Mapping[RequestKind, _Shares] = attrs.field(converter=_shares_of)
    _on_refused: Callable[[RequestKind], None] = lambda _: None
    _monotonic: Callable[[], float] = time.monotonic

    def take(self, caller: Caller, kind: RequestKind) -> None:
        """Count a request of a verified caller.

        Raises:
            RateLimited: the caller has made too many of the kind.
        """
        shares = self._shares.get(RequestKind.ADMIN if caller.is_admin else kind)
        if shares is None:
            return
        token = caller.token
        # Who holds a stolen token uses up that token's share, and not its owner's.
        of = token.jti if kind is RequestKind.REVOCATION else token.user_id
        wait_s = shares.wait_s((token.issuer, of), self._monotonic())
        if wait_s:
            kind = RequestKind.ADMIN if caller.is_admin else kind
            self._on_refused(kind)
            raise RateLimited(kind, shares.quota, WINDOW_S, max(1, math.ceil(wait_s)))
