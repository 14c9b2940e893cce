"""A change of the feed on its way to one delivery endpoint.

Rule 1: a user's changes are delivered in their order: a later one waits until each
        earlier one is delivered or dead. Other users, and other endpoints, do not wait.
Rule 2: a failed delivery is retried with back-off for three days from its first
        attempt; the last attempt is at their end. After that it is dead: it is listed,
        and retried only on request.
Rule 3: a delivery is leased to the process that claims it (`payments_core.lease`). It
        may be sent more than once, always under the same id.
Rule 4: the content is read from the feed when it is sent. Changes of an erased user are
        no longer sent.
Rule 5: an endpoint has at most `OPEN_MAX` open deliveries. Later changes stay in the
        feed, after the endpoint's cursor, until there is room; a replay ends there.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple, Self

import attrs

from payments_core.errors import InvalidValue
from payments_core.identity import UserId
from payments_core.lease import BackOff, Lease

ENDPOINT_LENGTH_MAX: Final = 64
TIMEOUT_MAX: Final = timedelta(seconds=30)
# Longer than an attempt takes.
LEASE: Final = timedelta(seconds=60)
BACK_OFF: Final = BackOff(timedelta(seconds=5), timedelta(hours=6))
GIVE_UP_AFTER: Final = timedelta(days=3)
# The longest wait that an endpoint may request by `Retry-After`.
RETRY_AFTER_MAX: Final = timedelta(days=1)
OPEN_MAX: Final = 10_000
# Attempts to one endpoint at a time in a process.
AT_ONCE: Final = 4
REASON_LENGTH_MAX: Final = 200
# A wait is shortened or extended by up to a quarter.
_JITTER: Final = 0.25
_CHANGE: Final = "chg_"
# A position is a bigint: this limit is below its 19 digits.
_DIGITS_MAX: Final = 18


class DeliveryKey(NamedTuple):
    """A delivery endpoint, and the position of a change in the feed."""

    endpoint: str
    position: int

    @property
    def id(self) -> str:
        """Return the id that people use: `crm:12`."""
        return f"{self.endpoint}:{self.position}"

    @property
    def webhook_id(self) -> str:
        """Return the id of the change for the endpoint, the same in every attempt."""
        return f"{_CHANGE}{self.position}"

    @classmethod
    def of_id(cls, text: str) -> "DeliveryKey":
        """Read what `id` returned; `chg_12` is accepted for 12.

        Raises:
            InvalidValue: it is not such an id.
        """
        endpoint, _, number = text.rpartition(":")
        number = number.removeprefix(_CHANGE)
        is_number = number.isascii() and number.isdecimal()
        if not (endpoint and is_number and len(number) <= _DIGITS_MAX):
            raise InvalidValue("id", "not an endpoint and a position: crm:12")
        return cls(endpoint, int(number))


@attrs.frozen
class SendResult:
    """Whether an endpoint accepted it, why not, and how long it asks to wait."""

    is_delivered: bool
    reason: str = ""
    retry_after: timedelta | None = None


@attrs.frozen(kw_only=True)
class Delivery:
    """A delivery, open or dead.

    `reason` is why the last attempt failed; the three days begin with
    `first_tried_at`.
    """

    key: DeliveryKey
    user_id: UserId
    lease: Lease
    first_tried_at: datetime | None = None
    dead: bool = False
    reason: str | None = None

    @classmethod
    def due(cls, key: DeliveryKey, user_id: UserId, at: datetime) -> Self:
        return cls(key=key, user_id=user_id, lease=Lease(due_at=at))

    def claimed(self, now: datetime) -> Self:
        return attrs.evolve(self, lease=self.lease.claimed(now, LEASE))

    def failed(self, now: datetime, result: SendResult, jitter: float) -> Self:
        """Release it after a failed attempt; `jitter` is random in 0..1."""
        first = self.first_tried_at or now
        ends = first + GIVE_UP_AFTER
        wait = BACK_OFF.after(self.lease.attempts) * (1 + _JITTER * (2 * jitter - 1))
        if result.retry_after is not None:
            wait = max(wait, min(result.retry_after, RETRY_AFTER_MAX))
        lease = attrs.evolve(
            self.lease,
            due_at=min(now + wait, max(ends, now)),
            attempts=self.lease.attempts + 1,
            until=None,
        )
        return attrs.evolve(
            self,
            lease=lease,
            first_tried_at=first,
            dead=now >= ends,
            reason=result.reason[:REASON_LENGTH_MAX],
        )

    def replayed(self, now: datetime) -> Self:
        """Return it due at once, for another three days, whatever its state."""
        lease = attrs.evolve(self.lease, due_at=now, attempts=0)
        return attrs.evolve(self, lease=lease, first_tried_at=None, dead=False)


@attrs.frozen
class Replayed:
    """Deliveries that are due again, and those above the limit (`left`)."""

    due: Sequence[DeliveryKey]
    left: Sequence[DeliveryKey] = ()


@attrs.frozen(kw_only=True)
class DeliveryQuery:
    """Which deliveries: of an endpoint, if given, and only the dead ones if `dead`."""

    endpoint: str | None = None
    dead: bool = False


ALL_DELIVERIES: Final = DeliveryQuery()


@attrs.frozen
class DeliveryPage:
    """Deliveries in the order of their keys; `after`: where the next page begins."""

    deliveries: Sequence[Delivery]
    after: DeliveryKey | None = None


@attrs.frozen(kw_only=True)
class EndpointBacklog:
    """The state of an endpoint.

    `position` is how far the feed was taken over into deliveries. Counts stop at
    `OPEN_MAX`. `failing_since` is the first attempt of the open delivery that has
    failed for longest.
    """

    position: int
    open: int
    dead: int
    failing_since: datetime | None


Backlogs = Mapping[str, EndpointBacklog]
