"""How many requests a caller may make, by the kind of route.

Rule 1: one subject (issuer and `sub`) of a verified token has a quota of requests of a
        kind a minute: as many at once, and then each as soon as its share of the minute
        is over (the generic cell rate algorithm, which stores one number per subject).
Rule 2: an administrator has a separate kind on all routes. What an application's
        backend requests for all of its users is not one caller's quota.
Rule 3: of each kind `SUBJECTS_MAX` subjects are known; the least recently seen is
        forgotten, and has its whole quota again. A refused subject was just seen, so a
        flood of others does not reset it.

The state is of one process: N processes allow up to N times as much.
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
# The rounding error of adding up a minute.
_ROUNDING_S: Final = 1e-6


class RequestKind(StrEnum):
    """The kind that a route counts as; the name of its policy in an answer."""

    READ = "reads"
    CHANGE = "changes"
    # Routes by which a stolen card could be tried.
    CARD = "cards"
    FEED = "feed"
    # Per token, not per subject.
    REVOCATION = "revocations"
    # For administrators, on any route.
    ADMIN = "admin"


@attrs.frozen(kw_only=True)
class RateLimits:
    """Requests a minute for one subject, by kind; 0 is no limit.

    A page that reads the status each second, in two tabs, uses a tenth of `reads`.
    """

    reads: int = 1_200
    changes: int = 120
    cards: int = 30
    feed: int = 6_000
    revocations: int = 120
    admin: int = 0


@attrs.define
class _Shares:
    """The quotas that the subjects of one kind have left."""

    quota: int
    # The time until which each subject's requests take, one share after the other.
    _busy_until: "OrderedDict[tuple[str, str], float]" = attrs.field(
        init=False, factory=OrderedDict
    )

    def wait_s(self, subject: tuple[str, str], now: float) -> float:
        """Count a request and return 0; or return how long until one is allowed."""
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
    """The limits of one process, and each subject's remaining quota."""

    _shares: Mapping[RequestKind, _Shares] = attrs.field(converter=_shares_of)
    _on_refused: Callable[[RequestKind], None] = lambda _: None
    _monotonic: Callable[[], float] = time.monotonic

    def take(self, caller: Caller, kind: RequestKind) -> None:
        """Count a request of a verified caller.

        Raises:
            RateLimited: the caller has sent too many requests of the kind.
        """
        shares = self._shares.get(RequestKind.ADMIN if caller.is_admin else kind)
        if shares is None:
            return
        token = caller.token
        # A stolen token uses up only its own quota, not its owner's.
        of = token.jti if kind is RequestKind.REVOCATION else token.user_id
        wait_s = shares.wait_s((token.issuer, of), self._monotonic())
        if wait_s:
            kind = RequestKind.ADMIN if caller.is_admin else kind
            self._on_refused(kind)
            raise RateLimited(kind, shares.quota, WINDOW_S, max(1, math.ceil(wait_s)))
