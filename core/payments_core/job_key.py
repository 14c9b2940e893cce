"""The key of a job: two requests with the same kind and subject are one job.

Separate from `payments_core.job`, because events name jobs and every module imports
events.
"""

from enum import StrEnum
from typing import Self

import attrs

from payments_core.errors import InvalidValue


class JobKind(StrEnum):
    # Sync a subscription, a customer (the card and the list of subscriptions), a
    # payment, a card set-up.
    SUBSCRIPTION = "subscription"
    CUSTOMER = "customer"
    PAYMENT = "payment"
    SET_UP = "set_up"
    # Apply a stored event again that could not be applied.
    EVENT = "event"
    # Log that a user's access has ended by time: no event reports it.
    ACCESS_END = "access_end"


@attrs.frozen
class JobKey:
    kind: JobKind
    subject: str

    @property
    def id(self) -> str:
        """Return the id that people use: `subscription:sub_1`, `event:evt_1:type`."""
        return f"{self.kind}:{self.subject.replace(' ', ':')}"

    @classmethod
    def of_id(cls, text: str) -> Self:
        """Read what `id` returned.

        Raises:
            InvalidValue: it is not the id of a job.
        """
        kind, _, subject = text.partition(":")
        if kind not in set(JobKind) or not subject:
            kinds = ", ".join(JobKind)
            raise InvalidValue("id", f"not kind:subject; the kinds are {kinds}")
        if kind == JobKind.EVENT:
            subject = " ".join(subject.rsplit(":", 1))
        return cls(JobKind(kind), subject)
