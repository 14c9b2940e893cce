"""A fake of this whole package for tests of applications: no network, no keys.

    fake = FakePayments()
    fake.grant("ada", "reports")
    app = create_app(payments=fake, copy=fake)

It has the methods of `PaymentsClient` that an application calls, of `LocalCopy` and of
`PassVerifier`. Only what was granted exists; time passes as `clock` says.
"""

import os
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from payments_client.errors import NotFound, PassRefused, Problem, Unavailable
from payments_client.local_copy import is_user
from payments_client.passes import AccessPass
from payments_client.shapes import (
    Access,
    FeatureAccess,
    PaymentStatus,
    ProductAccess,
)

A_YEAR = timedelta(days=365)
PASS_TTL_S = 300.0
SANDBOX_CLOCK: Final = Path(".payments/sandbox-clock")
# The file has whole seconds: the clock shows the end of the second, so no time in it
# is in the future.
_SECOND_S: Final = 0.999_999


def sandbox_clock(path: Path = SANDBOX_CLOCK) -> Callable[[], float]:
    """Return a clock that shows the time of the sandbox of `payments dev`.

    For `LocalCopy(clock=…)` beside `payments sandbox advance`. Seconds since 1970, UTC.
    When the file is deleted, the time stands still.

    Raises:
        OSError, ValueError: the file does not exist now, or has no time in it.
    """
    last = _sandbox_time(path)

    def now() -> float:
        nonlocal last
        try:
            last = _sandbox_time(path)
        except (OSError, ValueError):
            # The service has ended, or is writing the file.
            return last
        return last

    return now


def _sandbox_time(path: Path) -> float:
    with path.open("rb") as file:
        since_s = time.time() - os.fstat(file.fileno()).st_mtime
        return int(file.read()) + min(max(since_s, 0.0), _SECOND_S)


class FakePayments:
    """A service in memory.

    `features` are those that exist; without them every name does. With `is_down` the
    fake does not answer: calls to the service raise `Unavailable`, and the copy still
    works.
    """

    def __init__(
        self,
        features: Iterable[str] | None = None,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.is_down = False
        # The users that were synced, in order.
        self.synced: list[str] = []
        self._features = None if features is None else frozenset(features)
        self._clock = clock
        self._until: dict[str, dict[str, float]] = {}
        self._statuses: dict[str, str] = {}

    # Set by a test

    def grant(
        self,
        user: str,
        feature: str,
        *,
        until: datetime | None = None,
        status: str = "paid",
    ) -> None:
        """Give a user a feature until a time; by default, for a year."""
        ends = until.timestamp() if until else self._clock() + A_YEAR.total_seconds()
        self._until.setdefault(user, {})[feature] = ends
        self._statuses[user] = status

    def revoke(self, user: str, feature: str, *, status: str = "none") -> None:
        """Take a feature from a user."""
        self._until.setdefault(user, {}).pop(feature, None)
        self._statuses[user] = status

    def register(self, user: str, *, status: str = "none") -> None:
        """Register a user who has nothing."""
        self._until.setdefault(user, {})
        self._statuses[user] = status

    def access_pass(self, user: str) -> str:
        """Return a pass that `verify` of this fake accepts for some minutes."""
        return f"{user} {self._clock() + PASS_TTL_S}"

    # As `PaymentsClient`

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        _: type[BaseException] | None,
        __: BaseException | None,
        ___: TracebackType | None,
    ) -> None:
        """Do nothing: a test may read the fake afterwards."""

    async def close(self) -> None:
        """Do nothing."""

    async def payment_status(self, user: str) -> PaymentStatus:
        until = self._ends(user)
        last = max(until.values(), default=None)
        return PaymentStatus(
            user_id=user,
            email=f"{user}@example.com",
            payment_status=self._statuses[user],
            payment_expire_date=None if last is None else _moment(last),
            entitled=last is not None and self._clock() < last,
        )

    async def access(self, user: str) -> Access:
        until = self._ends(user)
        last = max(until.values(), default=None)
        names = sorted({*until, *(self._features or ())})
        return Access(
            user_id=user,
            entitled=last is not None and self._clock() < last,
            entitled_until=None if last is None else _moment(last),
            products=[
                ProductAccess(
                    product=name,
                    granted=self._clock() < ends,
                    until=_moment(ends),
                )
                for name, ends in sorted(until.items())
            ],
            features=[self._one(until, name) for name in names],
        )

    async def feature(self, user: str, name: str) -> FeatureAccess:
        until = self._ends(user)
        if self._features is not None and name not in self._features:
            raise NotFound(404, Problem("feature_not_found", "no such feature"))
        return self._one(until, name)

    async def sync(self, user: str) -> PaymentStatus:
        status = await self.payment_status(user)
        self.synced.append(user)
        return status

    # As `LocalCopy`

    @property
    def age_s(self) -> float:
        return 0.0

    @property
    def is_usable(self) -> bool:
        return True

    def __len__(self) -> int:
        return len(self._until)

    def allows(self, user_id: str, feature: str) -> bool:
        if not is_user(user_id):
            return False
        return self._clock() < self._until.get(user_id, {}).get(feature, 0.0)

    async def check(self, user_id: str, feature: str) -> bool:
        if not is_user(user_id) or user_id in self._until:
            return self.allows(user_id, feature)
        if self.is_down:
            raise Unavailable("it is down")
        return False

    async def update(self, *, wait_s: int = 0) -> None:
        """Do nothing: the copy is the service."""
        del wait_s

    # As `PassVerifier`

    async def verify(self, token: str) -> AccessPass:
        user, _, ends = token.rpartition(" ")
        if user not in self._until or self._clock() >= float(ends):
            raise PassRefused("it was not made by this fake, or has expired")
        until = self._until[user]
        return AccessPass(
            user_id=user,
            expires_at=float(ends),
            features=dict(until),
            entitled_until=max(until.values(), default=None),
        )

    def _ends(self, user: str) -> dict[str, float]:
        if self.is_down:
            raise Unavailable("it is down")
        if user not in self._until:
            raise NotFound(404, Problem("account_not_found", "no such user"))
        return self._until[user]

    def _one(self, until: dict[str, float], name: str) -> FeatureAccess:
        ends = until.get(name)
        return FeatureAccess(
            feature=name,
            granted=ends is not None and self._clock() < ends,
            until=None if ends is None else _moment(ends),
            product=None if ends is None else name,
        )


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
