"""What makes two wishes one job: its kind and its subject.

Apart from `payments_core.job`, because events name jobs and everybody imports them.
"""

from enum import StrEnum
from typing import Self

import attrs

from payments_core.errors import InvalidValue


class JobKind(StrEnum):
    # Sync a subscription, a customer (their card, and what subscriptions they have),
    # a payment, a card set-up.
    SUBSCRIPTION = "subscription"
    CUSTOMER = "customer"
    PAYMENT = "payment"
    SET_UP = "set_up"
    # Apply an event again that could not be applied.
    EVENT = "event"
    # Tell that access of a user has ended, which nobody else does: time passed.
    ACCESS_END = "access_end"


@attrs.frozen
class JobKey:
    kind: JobKind
    subject: str

    @property
    def id(self) -> str:
        """Return its name for people: `subscription:sub_1`, `event:evt_1:type`."""
        return f"{self.kind}:{self.subject.replace(' ', ':')}"

    @classmethod
    def of_id(cls, text: str) -> Self:
        """Read what `id` returned.

        Raises:
            InvalidValue: it names no job.
        """
        kind, _, subject = text.partition(":")
        if kind not in set(JobKind) or not subject:
            kinds = ", ".join(JobKind)
            raise InvalidValue("id", f"not kind:subject; the kinds are {kinds}")
        if kind == JobKind.EVENT:
            subject = " ".join(subject.rsplit(":", 1))
        return cls(JobKind(kind), subject)
