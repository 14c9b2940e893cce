"""Which state of an account an answer shows, and for how long it shows the same.

Rule 1: what an answer shows of an account follows from the account's version, the
        policy and the moment.
Rule 2: the moment matters only where access ends. Between two such ends an answer of
        one version and one policy is the same.
"""

from collections.abc import Collection
from datetime import datetime
from typing import Self

import attrs

from payments_core.identity import UserId


@attrs.frozen
class AccountVersion:
    """The version that an account has now."""

    user_id: UserId
    version: int


@attrs.frozen
class AnswerVersion:
    """The version that an answer shows, and from when until when it shows the same.

    `until` is the first moment at which it no longer does. None is no bound.
    """

    version: int
    since: datetime | None = None
    until: datetime | None = None

    @classmethod
    def of(cls, version: int, ends: Collection[datetime], now: datetime) -> Self:
        """Return it for an answer that is made now; `ends` are those of access."""
        return cls(
            version,
            max((it for it in ends if it <= now), default=None),
            min((it for it in ends if it > now), default=None),
        )

    def holds(self, version: int, now: datetime) -> bool:
        """Say whether an answer that is made now would show the same."""
        return (
            self.version == version
            and (self.since is None or self.since <= now)
            and (self.until is None or now < self.until)
        )
