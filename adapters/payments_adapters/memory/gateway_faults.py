"""What goes wrong on purpose with a gateway in memory, and what it keeps of it.

Rule 1: a planned fault happens once, to a request that matches; it never changes what
        is true behind it.
Rule 2: the first answer to an idempotency key is the answer for 24 hours: declines and
        500s too. What was refused before it was tried is not kept, nor what is busy.

Source of rule 2: docs.stripe.com/api/idempotent_requests.
"""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

import attrs

from payments_core.errors import GatewayRefused, GatewaySilent
from payments_core.gateway import Answer, FrozenRequest

KEY_LIVES: Final = timedelta(hours=24)
PLANNED_REFUSAL: Final = "planned_refusal"


class GatewayFault(StrEnum):
    """How a sending may go wrong; what matters is what was done, and what is kept."""

    # Done, but the answer got lost: the same key tells it again.
    REPLY_LOST = "reply_lost"
    # A 500, which is kept under the key: after it was done, or before.
    ERROR_MADE = "error_made"
    ERROR_NOT_MADE = "error_not_made"
    # A definite no; nothing was done.
    REFUSED = "refused"
    # Nothing was done, nothing is kept.
    RATE_LIMITED = "rate_limited"
    # No answer in time: it never arrived, or it was done all the same.
    TIMEOUT_BEFORE = "timeout_before"
    TIMEOUT_AFTER = "timeout_after"


@attrs.define
class PlannedFault:
    """A fault for a request whose class is named so, once `after` of them passed."""

    fault: GatewayFault
    matching: str
    after: int


@attrs.define
class FaultPlan:
    """Faults that are still to come, the first planned first."""

    _planned: list[PlannedFault] = attrs.field(factory=list)

    def add(self, planned: PlannedFault) -> None:
        self._planned.append(planned)

    def next_for(self, name: str) -> GatewayFault | None:
        """Return what happens to the next request of this class; None: nothing."""
        for planned in self._planned:
            if planned.matching not in name:
                continue
            if planned.after == 0:
                self._planned.remove(planned)
                return planned.fault
            planned.after -= 1
        return None


@attrs.frozen
class KeptAnswer:
    """What a key was answered, to which request, and when; None stands for a 500."""

    frozen: FrozenRequest
    at: datetime
    outcome: Answer | GatewayRefused | None

    def told(self) -> Answer:
        """Give the answer.

        Raises:
            GatewayRefused: it was a decline.
            GatewaySilent: it was a 500.
        """
        if self.outcome is None:
            raise GatewaySilent("an error of its own", poisoned=True)
        if isinstance(self.outcome, GatewayRefused):
            raise self.outcome.with_traceback(None)
        return self.outcome


@attrs.define
class KeptAnswers:
    """The answers by their keys, for as long as they are kept."""

    _answers: dict[str, KeptAnswer] = attrs.field(factory=dict)

    def keep(self, key: str, answer: KeptAnswer) -> None:
        self._answers[key] = answer

    def under(
        self, key: str, frozen: FrozenRequest, *, now: datetime
    ) -> KeptAnswer | None:
        """Return what a key was answered before; None if it is new, or new again.

        Raises:
            GatewaySilent: it came with another request.
        """
        kept = self._answers.get(key)
        if kept is None or now - kept.at >= KEY_LIVES:
            return None
        if kept.frozen != frozen:
            raise GatewaySilent("the idempotency key came with another request")
        return kept
