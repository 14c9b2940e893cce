"""The version of an account that an answer shows, and how long the answer holds.

Rule 1: an answer about an account depends on the account's version, the policy and the
        time.
Rule 2: the time matters only where access ends. Between two such ends the answer for
        one version and one policy is the same.
"""

from collections.abc import Collection
from datetime import datetime
from typing import Self

import attrs

from payments_core.identity import UserId


@attrs.frozen
class AccountVersion:
    """The current version of an account."""

    user_id: UserId
    version: int


@attrs.frozen
class AnswerVersion:
    """The version that an answer shows, and from when until when the answer holds.

    `until` is exclusive. None: no bound.
    """

    version: int
    since: datetime | None = None
    until: datetime | None = None

    @classmethod
    def of(cls, version: int, ends: Collection[datetime], now: datetime) -> Self:
        """Return it for an answer at `now`; `ends` are the ends of access."""
        return cls(
            version,
            max((it for it in ends if it <= now), default=None),
            min((it for it in ends if it > now), default=None),
        )

    def holds(self, version: int, now: datetime) -> bool:
        """Say whether an answer made now would be the same."""
        return (
            self.version == version
            and (self.since is None or self.since <= now)
            and (self.until is None or now < self.until)
        )
